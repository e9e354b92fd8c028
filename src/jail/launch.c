#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "host/credentials.h"
#include "host/lsm.h"
#include "jail/child.h"
#include "jail/final.h"

#define PASSWD_MAX 65535
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int exec_error(int code, const char *name, struct error *err)
{
	int r = error_sys(err, code, "cannot execute '%s'", name);

	channel_set_exec_status(code, err);
	return r;
}

static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* As execvpe(3) would find it, but before the gate, so that `create` can tell. *RET is owned. */
static int find_program(const char *name, char **env, char **ret, struct error *err)
{
	const char *dirs = strv_env_get(env, "PATH") ?: DEFAULT_PATH;
	int denied = 0, r;

	if (strchr(name, '/')) {
		r = check_program(name);
		if (r < 0)
			return exec_error(-r, name, err);
		*ret = strdup(name);
		return *ret ? 0 : error_oom(err);
	}
	for (const char *p = dirs;; p++) {
		_cleanup_free_ char *path = NULL;
		size_t len = strcspn(p, ":");

		if (asprintf(&path, "%.*s%s%s", (int)len, p, len ? "/" : "./", name) < 0)
			return error_oom(err);
		r = *name ? check_program(path) : -ENOENT;
		if (r == 0) {
			*ret = take_ptr(path);
			return 0;
		}
		if (r == -EACCES)
			denied = 1;
		p += len;
		if (!*p)
			break;
	}
	if (denied)
		return exec_error(EACCES, name, err);
	r = error_set(err, ENOENT, "cannot execute '%s': not found in $PATH (%s)", name, dirs);
	channel_set_exec_status(ENOENT, err);
	return r;
}

/* The next line of TEXT, cut off in place; NULL after the last. */
static char *next_line(char **text)
{
	char *line = *text, *end;

	if (!*line)
		return NULL;
	end = strchrnul(line, '\n');
	*text = *end ? end + 1 : end;
	*end = 0;
	return line;
}

/* The home directory in a line of passwd(5) when it is UID's, cut out in place; NULL otherwise. */
static char *home_of(char *line, uint32_t uid)
{
	char *field[7];
	uint32_t found;
	size_t n = 0;

	for (char *p = line; p && n < ARRAY_SIZE(field);) {
		field[n++] = p;
		p = strchr(p, ':');
		if (p)
			*p++ = 0;
	}
	return n == ARRAY_SIZE(field) && parse_u32(field[2], &found) == 0 && found == uid ? field[5] : NULL;
}

/* The home directory of UID in the box's own /etc/passwd (as far as it is of a sensible size), or "/". */
static void add_home(const struct jail_process *p, char *buf, size_t size)
{
	_cleanup_close_ int fd = open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char text[PASSWD_MAX + 1], *rest = text, *line, *home = NULL;
	ssize_t n = fd < 0 ? 0 : fd_read_full(fd, text, PASSWD_MAX);

	text[n > 0 ? n : 0] = 0;
	while (!home && (line = next_line(&rest)))
		home = home_of(line, p->uid);
	snprintf(buf, size, "HOME=%s", home && *home ? home : "/");
}

/* What only the process itself can tell: its home, and for socket activation (sd_listen_fds(3)) its own pid. */
static int complete_environment(struct jail_process *p, struct error *err)
{
	char home[4096];
	char **env;

	if (!strv_env_get(p->env, "HOME")) {
		add_home(p, home, sizeof(home));
		env = strv_copy(p->env);
		if (strv_add(&env, home) < 0)
			return error_oom(err);
		p->env = env; /* until the end of this process */
	}
	if (!p->preserve_fds || !strv_env_get(p->env, "LISTEN_FDS"))
		return 0;
	env = strv_copy(p->env);
	if (strv_addf(&env, "LISTEN_PID=%d", (int)getpid()) < 0)
		return error_oom(err);
	p->env = env;
	return 0;
}

static int set_exec_labels(const struct child *c, struct error *err)
{
	int r = 0;

	if (c->selinux_fd >= 0)
		r = lsm_set(c->selinux_fd, LSM_SELINUX_EXEC, c->jail->process.selinux, err);
	if (r == 0 && c->apparmor_fd >= 0)
		r = lsm_set(c->apparmor_fd, LSM_APPARMOR_EXEC, c->jail->process.apparmor, err);
	return r;
}

static int load_listening_filter(struct child *c, struct error *err)
{
	return seccomp_install_and_pass(c->jail->process.seccomp, c->listener_sock, err);
}

/* Waits for `start`, whose connection is the signal; from then on errors go to it. */
static int wait_at_gate(struct child *c, struct error *err)
{
	int sock;

	do
		sock = accept4(c->jail->gate_fd, NULL, NULL, SOCK_CLOEXEC);
	while (sock < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (sock < 0)
		return error_sys(err, errno, "cannot wait at the start gate");
	c->channel = sock;
	return 0;
}

static int announce(struct child *c, struct error *err)
{
	int r = child_wait_recorded(c, err);

	if (r == 0)
		r = channel_send(c->channel, CHANNEL_READY, 0, -1);
	if (r < 0)
		return error_sys(err, r, "cannot speak to the runtime");
	if (c->jail->gate_fd < 0)
		return 0;
	close(c->channel);
	return wait_at_gate(c, err);
}

static bool loads_here(const struct jail_process *p)
{
	return p->seccomp && !seccomp_program_listens(p->seccomp);
}

/* For a `main` of our own there is no program to leave: the same steps, made here. */
static int confine_main(const struct jail_process *p, const struct cap_sets *caps, struct error *err)
{
	int r = 0;

	if (loads_here(p) && !p->no_new_privs)
		r = seccomp_install(p->seccomp, NULL, err);
	if (r == 0)
		r = caps_set(caps, err);
	if (r == 0)
		r = caps_raise_ambient(caps->ambient, err);
	if (r == 0 && loads_here(p) && p->no_new_privs)
		r = seccomp_install(p->seccomp, NULL, err);
	return r;
}

/* Without a capability that lets us leave our program there is no box around us either that could use it. */
static bool can_leave(void)
{
	return caps_have(21 /* CAP_SYS_ADMIN */) && final_step_possible();
}

static int execute(struct child *c, const struct cap_sets *caps, const char *program, struct error *err)
{
	const struct jail_process *p = &c->jail->process;
	const struct final_step step = {
		.path = program,
		.argv = p->argv,
		.env = p->env,
		.caps = caps,
		.filter = loads_here(p) ? p->seccomp : NULL,
		.filter_first = !p->no_new_privs,
		.channel = c->channel,
	};
	int r;

	if (can_leave())
		return final_step_take(&step, err);
	r = confine_main(p, caps, err);
	if (r < 0)
		return r;
	execve(program, p->argv, p->env);
	return exec_error(errno, program, err);
}

int child_launch(struct child *c, struct error *err)
{
	struct jail_process *p = &c->jail->process;
	struct cap_sets caps = p->caps;
	_cleanup_free_ char *program = NULL;
	int r = 0;

	/*
	 * The kernel makes only what is permitted and inheritable ambient. Configurations that ask for more are common
	 * (crun's own default does), and run with less everywhere.
	 */
	caps.ambient &= caps.permitted & caps.inheritable;
	if (!p->main) {
		r = complete_environment(p, err);
		if (r == 0)
			r = find_program(p->program ?: p->argv[0], p->env, &program, err);
	}
	if (r == 0)
		r = set_exec_labels(c, err);
	if (r == 0 && p->seccomp && seccomp_program_listens(p->seccomp))
		r = load_listening_filter(c, err);
	if (r == 0)
		r = announce(c, err);
	if (r == 0 && c->jail->callbacks.start)
		r = c->jail->callbacks.start(c->outer_pid, c->jail->callback_data, err);
	if (r == 0 && p->confine)
		r = p->confine(p->confine_data, err);
	if (r < 0)
		return r;
	if (!p->main)
		return execute(c, &caps, program, err);
	r = confine_main(p, &caps, err);
	if (r < 0)
		return r;
	close(c->channel);
	_exit(p->main(p->main_data));
}
