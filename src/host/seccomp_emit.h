/*
 * The code generator: a balanced search tree over ranges of system call numbers that are answered alike, argument tests
 * at its leaves. Numbers that are allowed without looking at arguments reach their answer through comparisons of the
 * number alone, which lets the kernel (5.11 and later) answer them from a bitmap without running the filter at all.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "base/error.h"
#include "host/seccomp_table.h"

/*
 * Writes the program for TABLE (not an ambiguous one) to the end of INSNS, which holds MAX instructions, and returns
 * how many it has; it begins at INSNS + MAX - count. -E2BIG when it does not fit.
 */
int seccomp_emit(const struct seccomp_table *table, struct sock_filter *insns, size_t max);
