#include "cli/network_pasta.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/process_info.h"
#include "host/program.h"

#define PID_FILE "pasta.pid"

enum { PASTA_TIMEOUT_MS = 10000 };

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

/* "-t 127.0.0.1/8080:80" for each published port. */
static int add_ports(char ***argv, struct json_object *ports)
{
	int r = 0;

	for (size_t i = 0; ports && i < json_object_array_length(ports); i++) {
		struct json_object *p = json_object_array_get_idx(ports, i);
		const char *ip = text_of(p, "hostIp");

		r |= strv_add(argv, strcmp(text_of(p, "protocol"), "udp") == 0 ? "-u" : "-t");
		r |= strv_addf(argv, "%s%s%s:%s", ip, *ip ? "/" : "", text_of(p, "hostPort"), text_of(p, "boxPort"));
	}
	return r;
}

static bool has_protocol(struct json_object *ports, const char *protocol)
{
	for (size_t i = 0; ports && i < json_object_array_length(ports); i++)
		if (strcmp(text_of(json_object_array_get_idx(ports, i), "protocol"), protocol) == 0)
			return true;
	return false;
}

/* Nothing of the host's loopback is shown to the box, and no port of the box to the host but the published ones. */
static int command_line(const struct image_box *box, int netns, struct json_object *ports, char ***ret)
{
	static const char *const fixed[] = { "pasta", "--config-net", "--quiet", "--no-map-gw", "-T", "none", "-U", "none",
					     "--no-netns-quit" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		r |= strv_add(ret, fixed[i]);
	r |= add_ports(ret, ports);
	if (!has_protocol(ports, "tcp"))
		r |= strv_add(ret, "-t") | strv_add(ret, "none");
	if (!has_protocol(ports, "udp"))
		r |= strv_add(ret, "-u") | strv_add(ret, "none");
	r |= strv_add(ret, "-P") | strv_addf(ret, "%s/" PID_FILE, box->path);
	r |= strv_add(ret, "--netns") | strv_addf(ret, "/proc/self/fd/%d", netns);
	return r;
}

/* pasta goes to the background when it is ready; its pid file says where. */
static int note_process(const struct image_box *box, struct json_object *record, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct process_info info;
	uint32_t pid;

	if (file_read_at(box->dir_fd, PID_FILE, 32, &text, NULL, err) < 0)
		return -err->code;
	text[strcspn(text, "\n")] = 0;
	if (parse_u32(text, &pid) < 0 || process_info_read((pid_t)pid, &info) < 0)
		return error_set(err, ESRCH, "pasta ended at once");
	json_object_object_add(record, "pid", json_object_new_int64(pid));
	json_object_object_add(record, "pidStart", json_object_new_uint64(info.start_time));
	return 0;
}

/*
 * A new network namespace, without leaving ours: there would be no way back without privilege. The child shares our
 * descriptors, opens its namespace among them, and tells the number as its exit status.
 */
static int make_namespace(struct error *err)
{
	int status;
	pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_FILES | SIGCHLD), NULL, NULL, NULL, 0);

	if (pid == 0) {
		int fd = unshare(CLONE_NEWNET) < 0 ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

		_exit(fd < 0 || fd > 255 ? 0 : fd);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) == 0)
		return error_set(err, EPERM, "cannot make a network namespace");
	return WEXITSTATUS(status);
}

int pasta_start(const struct image_box *box, struct json_object *record,
		int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err)
{
	_cleanup_close_ int netns = make_namespace(err);
	_cleanup_strv_ char **argv = NULL;
	struct json_object *ports = NULL;
	int r;

	if (netns < 0)
		return netns;
	(void)json_object_object_get_ex(record, "ports", &ports);
	if (command_line(box, netns, ports, &argv) < 0)
		return error_oom(err);
	r = save(box, record, err);
	(void)fcntl(netns, F_SETFD, 0); /* pasta inherits it */
	if (r == 0)
		r = program_run(argv, NULL, PASTA_TIMEOUT_MS, "passt", err);
	(void)fcntl(netns, F_SETFD, FD_CLOEXEC);
	if (r == 0)
		r = note_process(box, record, err);
	if (r == 0)
		r = save(box, record, err);
	return r < 0 ? r : take_fd(&netns);
}

/* Ends pasta, if that process still is the one we started. */
void pasta_detach(const struct image_box *box, struct json_object *record)
{
	_cleanup_close_ int pidfd = -1;
	struct json_object *pid, *start;
	struct process_info info;

	if (!json_object_object_get_ex(record, "pid", &pid) || !json_object_object_get_ex(record, "pidStart", &start))
		return;
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)json_object_get_int64(pid), 0);
	if (pidfd < 0 || process_info_read((pid_t)json_object_get_int64(pid), &info) < 0 ||
	    info.start_time != json_object_get_uint64(start))
		return;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0) < 0)
		log_warn("cannot end pasta of box '%s'", box->id);
	(void)unlinkat(box->dir_fd, PID_FILE, 0);
}
