/* What the parts of WASI share. */
#pragma once

#include <sys/uio.h>

#include "wasm/runtime/runtime.h"
#include "wasm/wasi/abi.h"
#include "wasm/wasi/wasi.h"

#define WASI_MAX_FDS 65536u
#define WASI_MAX_PATH 4096u
#define WASI_MAX_IOVECS 1024u

struct wasi_fd {
	int fd; /* -1: free */
	bool borrowed;
	bool append;
	uint8_t type; /* enum wasi_filetype */
	uint64_t rights, inheriting;
	char *preopen; /* guest name of a preopened directory */
};

struct wasi {
	char **args, **env;
	struct wasi_fd *fds;
	uint32_t n_fds;
	struct wasm_instance *instance;
	bool exited;
	uint32_t status;
};

/* One call: its arguments, and the memory that pointers in them point into. */
struct wasi_call {
	struct wasi *w;
	struct wasm_store *store;
	struct wasm_memory_inst *memory;
	const union wasm_value *args;
};

typedef enum wasi_errno (*wasi_function)(struct wasi_call *c);

static inline uint32_t wasi_u32(const struct wasi_call *c, unsigned i)
{
	return (uint32_t)c->args[i].i32;
}

static inline uint64_t wasi_u64(const struct wasi_call *c, unsigned i)
{
	return (uint64_t)c->args[i].i64;
}

/* memory.c: [PTR, PTR + LEN) of linear memory, or NULL */
uint8_t *wasi_span(const struct wasi_call *c, uint32_t ptr, uint64_t len);
enum wasi_errno wasi_put(const struct wasi_call *c, uint32_t ptr, const void *data, size_t len);
enum wasi_errno wasi_put32(const struct wasi_call *c, uint32_t ptr, uint32_t v);
enum wasi_errno wasi_put64(const struct wasi_call *c, uint32_t ptr, uint64_t v);
/* Copies the (ptr, len) pairs, so that nobody can change them after they were checked. The number, or a negative wasi_errno. */
int wasi_iovecs(const struct wasi_call *c, uint32_t ptr, uint32_t n, struct iovec *ret);
/* A path of LEN bytes, copied and terminated. */
enum wasi_errno wasi_path(const struct wasi_call *c, uint32_t ptr, uint32_t len, char ret[WASI_MAX_PATH]);
enum wasi_errno wasi_from_errno(int err);

/* fds.c */
enum wasi_errno wasi_get_fd(struct wasi *w, uint32_t n, uint64_t rights, struct wasi_fd **ret);
/* Adds FD (taken, also on failure). */
enum wasi_errno wasi_add_fd(struct wasi *w, struct wasi_fd fd, uint32_t *ret);
uint8_t wasi_filetype(uint32_t mode);
void wasi_close_fd(struct wasi_fd *f);

/* The tables of functions, each ended by a NULL name. Signature: parameters, i or I, then ':' and the result if any. */
struct wasi_entry {
	const char *name, *sig;
	wasi_function f;
};

extern const struct wasi_entry wasi_process_functions[], wasi_fd_functions[], wasi_path_functions[], wasi_socket_functions[],
	wasi_poll_functions[];
