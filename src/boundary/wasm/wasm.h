/*
 * The wasm wall: the workload is a WebAssembly module, run by our own engine; it has no instructions but those the engine
 * makes for it and no system calls but WASI. The engine's process itself is a box of the container wall with nothing in it
 * but the module and its directories, no capabilities, and a filter of its own.
 */
#pragma once

#include "boundary/boundary.h"

extern const struct boundary_ops wasm_boundary;

/* Directories the module gets, one a line: PATH[:GUEST[:ro]], paths of the box. Absent: the whole root as "/". */
#define WASM_ANNOTATION_DIRS "run.ringwall.wasm.dirs"

/* A container configuration that runs the engine on what SPEC describes. */
struct wasm_spec {
	struct oci_spec spec;
	struct oci_process process;
	struct oci_mount *mounts; /* owned; its strings are SPEC's or static, or `engine` */
	char **args;              /* owned */
	char *engine;             /* owned: path of ringwall-wasm on the host */
	char **bind_options;      /* owned */
};

void wasm_spec_free(struct wasm_spec *s);

/* SPEC must outlive *RET. */
int wasm_spec_derive(const struct oci_spec *spec, struct wasm_spec *ret, struct error *err);
