#include <errno.h>
#include <string.h>

#include "wasm/wasi/internal.h"

uint8_t *wasi_span(const struct wasi_call *c, uint32_t ptr, uint64_t len)
{
	return c->memory && wasm_memory_check(c->memory, ptr, len) ? c->memory->base + ptr : NULL;
}

enum wasi_errno wasi_put(const struct wasi_call *c, uint32_t ptr, const void *data, size_t len)
{
	uint8_t *p = wasi_span(c, ptr, len);

	if (!p)
		return WASI_EFAULT;
	memcpy(p, data, len);
	return WASI_SUCCESS;
}

enum wasi_errno wasi_put32(const struct wasi_call *c, uint32_t ptr, uint32_t v)
{
	return wasi_put(c, ptr, &v, sizeof(v));
}

enum wasi_errno wasi_put64(const struct wasi_call *c, uint32_t ptr, uint64_t v)
{
	return wasi_put(c, ptr, &v, sizeof(v));
}

int wasi_iovecs(const struct wasi_call *c, uint32_t ptr, uint32_t n, struct iovec *ret)
{
	uint64_t total = 0;
	const uint8_t *p;

	if (n > WASI_MAX_IOVECS)
		return -WASI_EINVAL;
	p = wasi_span(c, ptr, (uint64_t)n * WASI_IOVEC_SIZE);
	if (!p)
		return -WASI_EFAULT;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t pair[2];

		memcpy(pair, p + i * WASI_IOVEC_SIZE, sizeof(pair));
		ret[i].iov_base = wasi_span(c, pair[0], pair[1]);
		ret[i].iov_len = pair[1];
		if (!ret[i].iov_base)
			return -WASI_EFAULT;
		total += pair[1];
	}
	return total > UINT32_MAX ? -WASI_EINVAL : (int)n; /* the answer is a 32-bit count */
}

enum wasi_errno wasi_path(const struct wasi_call *c, uint32_t ptr, uint32_t len, char ret[WASI_MAX_PATH])
{
	const uint8_t *p = wasi_span(c, ptr, len);

	if (!p)
		return WASI_EFAULT;
	if (len >= WASI_MAX_PATH)
		return WASI_ENAMETOOLONG;
	memcpy(ret, p, len);
	ret[len] = 0;
	return strlen(ret) == len ? WASI_SUCCESS : WASI_EILSEQ;
}

enum wasi_errno wasi_from_errno(int err)
{
	static const uint8_t map[] = {
		[0] = WASI_SUCCESS,
		[E2BIG] = WASI_E2BIG, [EACCES] = WASI_EACCES, [EADDRINUSE] = WASI_EADDRINUSE,
		[EADDRNOTAVAIL] = WASI_EADDRNOTAVAIL, [EAFNOSUPPORT] = WASI_EAFNOSUPPORT, [EAGAIN] = WASI_EAGAIN,
		[EALREADY] = WASI_EALREADY, [EBADF] = WASI_EBADF, [EBADMSG] = WASI_EBADMSG, [EBUSY] = WASI_EBUSY,
		[ECANCELED] = WASI_ECANCELED, [ECHILD] = WASI_ECHILD, [ECONNABORTED] = WASI_ECONNABORTED,
		[ECONNREFUSED] = WASI_ECONNREFUSED, [ECONNRESET] = WASI_ECONNRESET, [EDEADLK] = WASI_EDEADLK,
		[EDESTADDRREQ] = WASI_EDESTADDRREQ, [EDOM] = WASI_EDOM, [EDQUOT] = WASI_EDQUOT, [EEXIST] = WASI_EEXIST,
		[EFAULT] = WASI_EFAULT, [EFBIG] = WASI_EFBIG, [EHOSTUNREACH] = WASI_EHOSTUNREACH, [EIDRM] = WASI_EIDRM,
		[EILSEQ] = WASI_EILSEQ, [EINPROGRESS] = WASI_EINPROGRESS, [EINTR] = WASI_EINTR, [EINVAL] = WASI_EINVAL,
		[EIO] = WASI_EIO, [EISCONN] = WASI_EISCONN, [EISDIR] = WASI_EISDIR, [ELOOP] = WASI_ELOOP,
		[EMFILE] = WASI_EMFILE, [EMLINK] = WASI_EMLINK, [EMSGSIZE] = WASI_EMSGSIZE, [EMULTIHOP] = WASI_EMULTIHOP,
		[ENAMETOOLONG] = WASI_ENAMETOOLONG, [ENETDOWN] = WASI_ENETDOWN, [ENETRESET] = WASI_ENETRESET,
		[ENETUNREACH] = WASI_ENETUNREACH, [ENFILE] = WASI_ENFILE, [ENOBUFS] = WASI_ENOBUFS, [ENODEV] = WASI_ENODEV,
		[ENOENT] = WASI_ENOENT, [ENOEXEC] = WASI_ENOEXEC, [ENOLCK] = WASI_ENOLCK, [ENOLINK] = WASI_ENOLINK,
		[ENOMEM] = WASI_ENOMEM, [ENOMSG] = WASI_ENOMSG, [ENOPROTOOPT] = WASI_ENOPROTOOPT, [ENOSPC] = WASI_ENOSPC,
		[ENOSYS] = WASI_ENOSYS, [ENOTCONN] = WASI_ENOTCONN, [ENOTDIR] = WASI_ENOTDIR, [ENOTEMPTY] = WASI_ENOTEMPTY,
		[ENOTRECOVERABLE] = WASI_ENOTRECOVERABLE, [ENOTSOCK] = WASI_ENOTSOCK, [EOPNOTSUPP] = WASI_ENOTSUP,
		[ENOTTY] = WASI_ENOTTY, [ENXIO] = WASI_ENXIO, [EOVERFLOW] = WASI_EOVERFLOW, [EOWNERDEAD] = WASI_EOWNERDEAD,
		[EPERM] = WASI_EPERM, [EPIPE] = WASI_EPIPE, [EPROTO] = WASI_EPROTO, [EPROTONOSUPPORT] = WASI_EPROTONOSUPPORT,
		[EPROTOTYPE] = WASI_EPROTOTYPE, [ERANGE] = WASI_ERANGE, [EROFS] = WASI_EROFS, [ESPIPE] = WASI_ESPIPE,
		[ESRCH] = WASI_ESRCH, [ESTALE] = WASI_ESTALE, [ETIMEDOUT] = WASI_ETIMEDOUT, [ETXTBSY] = WASI_ETXTBSY,
		[EXDEV] = WASI_ENOTCAPABLE, /* openat2: the path leads out of its directory */
	};

	if (err < 0 || (size_t)err >= ARRAY_SIZE(map) || (err && !map[err]))
		return WASI_EIO;
	return map[err];
}
