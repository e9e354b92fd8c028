/*
 * Test scripts of the specification (interpreter/README "Scripts"): modules, actions and assertions. What the tests of
 * the specification import as "spectest" is there.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

struct wasm_wast_report {
	unsigned passed, failed;
	/* Called for each failed command. May be NULL. */
	void (*failure)(void *data, unsigned line, const char *message);
	void *data;
};

/* Runs the script. Negative only when it cannot be run at all (no tokens, out of memory); failures are counted. */
int wasm_wast_run(const char *text, size_t len, struct wasm_wast_report *report, struct error *err);
