/*
 * How much of the kernel a filter leaves reachable: the cBPF is interpreted for every x86-64 system call number the
 * running kernel implements.
 */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

#include "host/seccomp.h"

struct seccomp_reach {
	unsigned total;       /* numbers the running kernel implements */
	unsigned allowed;     /* reach the kernel whatever the arguments (allow and log) */
	unsigned conditional; /* reach it for some arguments, or when a supervisor or tracer lets them */
	unsigned refused;     /* always answered with an errno */
	unsigned killed;      /* always end the thread or process, or raise SIGSYS */
};

/* PROGRAM NULL: no filter; then all are allowed. */
void seccomp_reach(const struct seccomp_program *program, struct seccomp_reach *ret);

/* The action (SECCOMP_RET_..., data included) that the program gives DATA; SECCOMP_RET_KILL_PROCESS if it is invalid. */
uint32_t seccomp_interpret(const struct sock_filter *insns, size_t n, const struct seccomp_data *data);
