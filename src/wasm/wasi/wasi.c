#include "wasm/wasi/wasi.h"

#include <string.h>
#include <sys/stat.h>

#include "base/strv.h"
#include "wasm/wasi/internal.h"

#define STDIO_RIGHTS                                                                                                   \
	(WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_SYNC |                  \
	 WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_FILESTAT_GET | WASI_RIGHT_POLL_FD_READWRITE | WASI_RIGHT_FD_ADVISE)
#define SEEK_RIGHTS (WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL)

int wasi_new(char *const *args, char *const *env, const int stdio[3], struct wasi **ret, struct error *err)
{
	struct wasi *w = calloc(1, sizeof(*w));

	if (!w)
		return error_oom(err);
	w->args = strv_copy(args);
	w->env = strv_copy(env);
	w->fds = calloc(16, sizeof(*w->fds));
	if (!w->args || !w->env || !w->fds) {
		wasi_free(w);
		return error_oom(err);
	}
	w->n_fds = 16;
	for (uint32_t i = 0; i < w->n_fds; i++)
		w->fds[i].fd = -1;
	for (uint32_t i = 0; i < 3; i++) {
		struct stat st;
		struct wasi_fd *f = &w->fds[i];

		if (stdio[i] < 0 || fstat(stdio[i], &st) < 0)
			continue;
		/* A terminal is known by a character device that cannot seek: what isatty(3) of wasi-libc asks for. */
		*f = (struct wasi_fd){ .fd = stdio[i], .borrowed = true, .type = wasi_filetype(st.st_mode),
				       .rights = STDIO_RIGHTS | (S_ISREG(st.st_mode) ? SEEK_RIGHTS : 0) };
	}
	*ret = w;
	return 0;
}

void wasi_free(struct wasi *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n_fds; i++)
		wasi_close_fd(&w->fds[i]);
	free(w->fds);
	strv_free(w->args);
	strv_free(w->env);
	free(w);
}

/* Preopens are numbered from 3, whether or not 0 to 2 are open. */
static int add_from_3(struct wasi *w, struct wasi_fd fd, struct error *err)
{
	struct wasi_fd saved[3];
	enum wasi_errno e;
	uint32_t n;

	memcpy(saved, w->fds, sizeof(saved));
	for (uint32_t i = 0; i < 3; i++)
		w->fds[i].fd = 0; /* taken, for the moment */
	e = wasi_add_fd(w, fd, &n);
	memcpy(w->fds, saved, sizeof(saved));
	return e ? error_set(err, EMFILE, "too many preopened directories and sockets") : 0;
}

int wasi_preopen_dir(struct wasi *w, int fd, const char *guest, bool read_only, struct error *err)
{
	struct wasi_fd f = { .fd = fd, .type = WASI_FILETYPE_DIRECTORY, .preopen = strdup(guest) };

	if (!f.preopen) {
		safe_close(fd);
		return error_oom(err);
	}
	f.inheriting = WASI_RIGHTS_ALL & ~(WASI_RIGHT_SOCK_ACCEPT | WASI_RIGHT_SOCK_SHUTDOWN);
	if (read_only)
		f.inheriting &= ~WASI_RIGHTS_MUTATING;
	f.rights = f.inheriting & ~(WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | SEEK_RIGHTS);
	return add_from_3(w, f, err);
}

int wasi_preopen_listener(struct wasi *w, int fd, struct error *err)
{
	return add_from_3(w,
			  (struct wasi_fd){ .fd = fd, .type = WASI_FILETYPE_SOCKET_STREAM,
					    .rights = WASI_RIGHT_SOCK_ACCEPT | WASI_RIGHT_POLL_FD_READWRITE |
						      WASI_RIGHT_FD_FDSTAT_SET_FLAGS | WASI_RIGHT_FD_FILESTAT_GET },
			  err);
}

bool wasi_exited(const struct wasi *w, uint32_t *ret_status)
{
	if (w->exited)
		*ret_status = w->status;
	return w->exited;
}

void wasi_set_instance(struct wasi *w, struct wasm_instance *instance)
{
	w->instance = instance;
}

/* ---- binding ---- */

struct binding {
	struct wasi *w;
	wasi_function f;
};

static int call(void *data, struct wasm_store *store, struct wasm_instance *caller, const union wasm_value *args,
		union wasm_value *results, struct error *err)
{
	const struct binding *b = data;
	struct wasm_instance *i = caller ? caller : b->w->instance;
	struct wasi_call c = { .w = b->w, .store = store, .args = args };

	c.memory = i && i->module->n_memories ? i->memories[0] : NULL;
	results[0].bits[0] = b->f(&c);
	return 0;
}

static int proc_exit(void *data, struct wasm_store *store, struct wasm_instance *caller, const union wasm_value *args,
		     union wasm_value *results, struct error *err)
{
	const struct binding *b = data;

	b->w->exited = true;
	b->w->status = (uint32_t)args[0].i32;
	return error_set(err, ECANCELED, "the program ended itself with status %u", b->w->status);
}

static const struct wasi_entry proc_exit_entry = { "proc_exit", "i:", NULL };

static bool name_is(const struct wasm_name *n, const char *s)
{
	return n->len == strlen(s) && memcmp(n->s, s, n->len) == 0;
}

static const struct wasi_entry *find(const struct wasm_name *name)
{
	static const struct wasi_entry *const tables[] = { wasi_process_functions, wasi_fd_functions, wasi_path_functions,
							   wasi_socket_functions, wasi_poll_functions };

	if (name_is(name, "proc_exit"))
		return &proc_exit_entry;
	for (size_t k = 0; k < ARRAY_SIZE(tables); k++)
		for (const struct wasi_entry *e = tables[k]; e->name; e++)
			if (name_is(name, e->name))
				return e;
	return NULL;
}

static int signature(const char *sig, uint32_t *ret, struct error *err)
{
	wasm_type types[16], result = WASM_I32;
	uint32_t n = 0;

	for (; *sig != ':'; sig++)
		types[n++] = *sig == 'i' ? WASM_I32 : WASM_I64;
	return wasm_types_func(types, n, &result, sig[1] ? 1 : 0, ret, err);
}

int wasi_import(struct wasi *w, struct wasm_store *store, const struct wasm_name *module, const struct wasm_name *name,
		uint32_t type, struct wasm_funcref **ret, struct error *err)
{
	const struct wasi_entry *e;
	struct binding *b;
	uint32_t own;
	int r;

	/* "wasi_unstable" had other structures in three calls: a module built for it must be refused, not half understood. */
	e = name_is(module, "wasi_snapshot_preview1") ? find(name) : NULL;
	if (!e)
		return error_set(err, ENOENT, "unknown import '%.*s' from '%.*s'", (int)MIN(name->len, 200u), name->s,
				 (int)MIN(module->len, 200u), module->s);
	r = signature(e->sig, &own, err);
	if (r < 0)
		return r;
	if (!wasm_heap_subtype(own, type))
		return error_set(err, ENOEXEC, "incompatible import type: '%s' of WASI has another signature", e->name);
	b = wasm_store_alloc(store, sizeof(*b), err);
	if (!b)
		return -ENOMEM;
	*b = (struct binding){ .w = w, .f = e->f };
	return wasm_func_new(store, own, e->f ? call : proc_exit, b, ret, err);
}
