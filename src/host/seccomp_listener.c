#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "host/seccomp.h"

#define AGENT_SECONDS 10
#define OCI_STATE_VERSION "1.3.0"

int seccomp_receive_listener(int sock, struct error *err)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "seccomp: cannot receive the listener");
	c = CMSG_FIRSTHDR(&msg);
	if (n == 0 || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return error_set(err, EPROTO, "seccomp: the process ended before it passed its listener");
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* {"ociVersion", "fds", "pid", "metadata", "state"} */
static int process_state(pid_t pid, const char *metadata, const char *state_json, struct json_object **ret,
			 struct error *err)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();
	struct json_object *fds = json_object_new_array(), *state = NULL;
	int r;

	if (!o || !fds)
		return error_oom(err);
	r = json_parse(state_json, strlen(state_json), &state, err);
	if (r < 0) {
		json_object_put(fds);
		return error_prefix(err, "seccomp: container state");
	}
	json_object_array_add(fds, json_object_new_string("seccompFd"));
	json_object_object_add(o, "ociVersion", json_object_new_string(OCI_STATE_VERSION));
	json_object_object_add(o, "fds", fds);
	json_object_object_add(o, "pid", json_object_new_int64(pid));
	json_object_object_add(o, "metadata", json_object_new_string(metadata ? metadata : ""));
	json_object_object_add(o, "state", state);
	*ret = take_ptr(o);
	return 0;
}

/* Connects to PATH; a path longer than sun_path goes through a descriptor of its directory. */
static int connect_path(int sock, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int dir = -1;
	_cleanup_free_ char *copy = NULL;
	char *slash;

	if (strlen(path) < sizeof(addr.sun_path)) {
		strcpy(addr.sun_path, path);
	} else {
		copy = strdup(path);
		if (!copy)
			return -ENOMEM;
		slash = strrchr(copy, '/');
		if (!slash)
			return -ENAMETOOLONG;
		*slash = 0;
		dir = open(slash == copy ? "/" : copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", dir, slash + 1) >=
		    sizeof(addr.sun_path))
			return -ENAMETOOLONG;
	}
	return connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

static int send_with_descriptor(int sock, const char *text, size_t len, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (char *)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	while (iov.iov_len) {
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

int seccomp_send_listener(const char *path, int listener, pid_t pid, const char *metadata, const char *state_json,
			  struct error *err)
{
	_cleanup_json_ struct json_object *state = NULL;
	struct timeval deadline = { AGENT_SECONDS, 0 };
	_cleanup_close_ int sock = -1;
	const char *text;
	size_t len;
	int r;

	r = process_state(pid, metadata, state_json, &state, err);
	if (r < 0)
		return r;
	text = json_object_to_json_string_length(state, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		return error_oom(err);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return error_sys(err, errno, "seccomp: cannot create a socket");
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
	r = connect_path(sock, path);
	if (r == -EAGAIN)
		return error_set(err, ETIMEDOUT, "seccomp: the agent at listenerPath '%s' does not accept connections", path);
	if (r < 0)
		return error_sys(err, r, "seccomp: cannot connect to listenerPath '%s'; is its agent running?", path);
	r = send_with_descriptor(sock, text, len, listener);
	return r < 0 ? error_sys(err, r, "seccomp: cannot send the listener to '%s'", path) : 0;
}
