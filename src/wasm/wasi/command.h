/* Running a WASI command: a module with an exported "_start". */
#pragma once

#include "wasm/wasi/wasi.h"

struct wasi_command {
	const void *bytes; /* a module, binary or text */
	size_t len;
	struct wasm_limits_config limits;
};

/*
 * Decodes, links against W and runs. *RET_STATUS is what the program exits with: its proc_exit, 0 when _start returned,
 * 134 (as for SIGABRT) after a trap, which also is an error (-EFAULT) with the trap's name in it.
 */
int wasi_run_command(struct wasi *w, const struct wasi_command *command, uint32_t *ret_status, struct error *err);
