/*
 * The system calls that the process running a module may make, once the module and its directories are open. Both the
 * engine, which installs the filter, and the plan, which counts what it lets through, use it.
 */
#pragma once

#include "host/seccomp.h"

/* The filter as a program, freed with free(). */
int wasm_filter_compile(struct seccomp_program **ret, struct error *err);
/* Puts it on this process, for good. */
int wasm_filter_install(struct error *err);
