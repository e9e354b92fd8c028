/* Running a helper program (nft, pasta) to its end, with a deadline: it dies with us, and its complaint is in the error. */
#pragma once

#include "base/error.h"

/*
 * Runs ARGV[0] (looked up in $PATH) with INPUT (NULL: nothing) as its standard input. 0 when it ended with status 0;
 * -ENOENT when there is no such program (with the Debian PACKAGE that has it); -ETIMEDOUT; -EIO with its last words.
 */
int program_run(char *const *argv, const char *input, unsigned timeout_ms, const char *package, struct error *err);
