/* Lists of small numbers in the "list format" of cpuset(7), "0-3,8": CPUs and memory nodes. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * Sets the bits that LIST names in BITS, an array of at least MAX / (8 * sizeof(long)) words, which is zeroed first. The
 * empty list is allowed; white space around numbers is. -EINVAL: not a list; -ERANGE: a number of MAX or more.
 */
int bitlist_parse(const char *list, unsigned long *bits, size_t max, struct error *err);
