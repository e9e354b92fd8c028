/*
 * WASI preview 1: the system interface of a module. Directories are capabilities: a path is resolved beneath the
 * directory it is given relative to, by the kernel (openat2 with RESOLVE_BENEATH and NO_MAGICLINKS), symbolic links and
 * all, so nothing outside is ever reached.
 */
#pragma once

#include "wasm/runtime/runtime.h"

struct wasi;

/* Makes an interface with ARGS and ENV (copied), and descriptors 0, 1 and 2 (borrowed; -1: closed). */
int wasi_new(char *const *args, char *const *env, const int stdio[3], struct wasi **ret, struct error *err);
void wasi_free(struct wasi *w);

/* Adds the directory FD (taken) under the name GUEST ("/", "/data"). */
int wasi_preopen_dir(struct wasi *w, int fd, const char *guest, bool read_only, struct error *err);
/* Adds a listening socket (taken). Both number upwards from 3. */
int wasi_preopen_listener(struct wasi *w, int fd, struct error *err);

/*
 * The host function that a module imports as MODULE.NAME, for an import of function type TYPE. -ENOENT when WASI has
 * none of that name; -ENOEXEC when its type is another.
 */
int wasi_import(struct wasi *w, struct wasm_store *store, const struct wasm_name *module, const struct wasm_name *name,
		uint32_t type, struct wasm_funcref **ret, struct error *err);

/* Whether the program called proc_exit, and with what. */
bool wasi_exited(const struct wasi *w, uint32_t *ret_status);

/* Instances that call through a table or from C have no caller to take the memory from: this one is used then. */
void wasi_set_instance(struct wasi *w, struct wasm_instance *instance);
