#include "cli/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/fdio.h"
#include "base/strv.h"
#include "cli/image_box.h"
#include "cli/relay.h"
#include "host/terminal.h"
#include "monitor/protocol.h"

enum { KEYS_MAX = 16 };

struct attached {
	int fd, signals;
	bool input, detached;
	unsigned char keys[KEYS_MAX]; /* what detaches */
	size_t n_keys, matched;
	const struct attach_mode *mode;
	const struct cli *cli;
};

/* "ctrl-p,ctrl-q", "a", "ctrl-\" to bytes. */
static int parse_keys(const char *text, struct attached *a, struct error *err)
{
	_cleanup_strv_ char **words = strv_split(text, ",");

	for (char **w = words; w && *w; w++) {
		unsigned char key;

		if (strlen(*w) == 1)
			key = (unsigned char)(*w)[0];
		else if (strncmp(*w, "ctrl-", 5) == 0 && strlen(*w) == 6 && strchr("@abcdefghijklmnopqrstuvwxyz[\\]^_", (*w)[5]))
			key = (*w)[5] == '@' ? 0 : (unsigned char)((*w)[5] & 0x1f);
		else
			return error_set(err, EINVAL, "detach keys: '%s' is neither one character nor ctrl-KEY", *w);
		if (a->n_keys == KEYS_MAX)
			return error_set(err, EINVAL, "detach keys: more than %d keys", KEYS_MAX);
		a->keys[a->n_keys++] = key;
	}
	return 0;
}

static int send_packet(struct attached *a, char type, const void *data, size_t len)
{
	char packet[MONITOR_PACKET_MAX];

	packet[0] = type;
	memcpy(packet + 1, data, len);
	return send(a->fd, packet, len + 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void send_size(struct attached *a)
{
	struct monitor_resize size;
	struct winsize ws;

	if (!a->mode->terminal || ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0)
		return;
	size = (struct monitor_resize){ .rows = ws.ws_row, .columns = ws.ws_col };
	(void)send_packet(a, MONITOR_RESIZE, &size, sizeof(size));
}

/* Passes BYTES on, except the detach keys; what was held back as their beginning follows when it was not them. */
static void type_bytes(struct attached *a, const unsigned char *bytes, size_t len)
{
	unsigned char out[MONITOR_PACKET_MAX - 1];
	size_t n = 0;

	for (size_t i = 0; i < len && !a->detached; i++) {
		if (a->n_keys && bytes[i] == a->keys[a->matched]) {
			a->detached = ++a->matched == a->n_keys;
			continue;
		}
		memcpy(out + n, a->keys, a->matched);
		n += a->matched;
		a->matched = a->n_keys && bytes[i] == a->keys[0] ? 1 : 0;
		if (!a->matched)
			out[n++] = bytes[i];
	}
	if (n)
		(void)send_packet(a, MONITOR_STDIN, out, n);
}

static void read_input(struct attached *a)
{
	unsigned char buf[MONITOR_PACKET_MAX - 1 - KEYS_MAX - 4096];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf) / (KEYS_MAX + 1));

	if (n > 0) {
		type_bytes(a, buf, (size_t)n);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		a->input = false;
		(void)send_packet(a, MONITOR_EOF, "", 0);
	}
}

/* One message of the monitor: 1 when the box ended (its status in *RET), 0 to go on. */
static int receive(struct attached *a, int *ret, struct error *err)
{
	char packet[MONITOR_PACKET_MAX + 1];
	ssize_t n = recv(a->fd, packet, MONITOR_PACKET_MAX, 0);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return error_set(err, EPIPE, "the box's monitor is gone");
	switch (packet[0]) {
	case MONITOR_STDOUT:
	case MONITOR_STDERR:
		(void)fd_write_all(packet[0] == MONITOR_STDERR ? STDERR_FILENO : STDOUT_FILENO, packet + 1, (size_t)n - 1);
		return 0;
	case MONITOR_EXITED:
		packet[n] = 0;
		*ret = atoi(packet + 1) & 0xff;
		return 1;
	}
	return 0;
}

static void on_signals(struct attached *a)
{
	struct signalfd_siginfo info;

	while (read(a->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		_cleanup_box_ struct box *box = NULL;

		if (info.ssi_signo == SIGWINCH)
			send_size(a);
		else if (a->mode->signal_box && box_load(a->cli->root, a->mode->signal_box, false, &box, NULL) == 0)
			(void)boundary_signal(box, (int)info.ssi_signo, false, NULL);
		else
			a->detached = true;
	}
}

static int loop(struct attached *a, struct error *err)
{
	int status = 0, r = 0;

	send_size(a);
	while (r == 0 && !a->detached) {
		struct pollfd fds[] = {
			{ .fd = a->fd, .events = POLLIN },
			{ .fd = a->signals, .events = POLLIN },
			{ .fd = a->input ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return error_sys(err, errno, "cannot wait for the box");
		if (fds[0].revents)
			r = receive(a, &status, err);
		if (fds[1].revents)
			on_signals(a);
		if (fds[2].revents && r == 0)
			read_input(a);
	}
	return r < 0 ? r : status;
}

int attach_run(int fd, const struct attach_mode *mode, const struct cli *cli, struct error *err)
{
	struct attached a = { .fd = fd, .input = mode->input, .mode = mode, .cli = cli };
	_cleanup_close_ int signals = -1;
	sigset_t set;
	int r = 0;

	if (mode->terminal && mode->input)
		r = parse_keys(mode->detach_keys ? mode->detach_keys : "ctrl-p,ctrl-q", &a, err);
	if (r < 0)
		return r;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	a.signals = signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return error_sys(err, errno, "cannot wait for signals");
	if (mode->terminal && mode->input)
		r = relay_raw_terminal(err);
	if (r == 0)
		r = loop(&a, err);
	relay_restore_terminal();
	if (a.detached)
		fputs("\r\n", stderr);
	return r;
}

/* ---- the verb ---- */

static struct {
	const char *keys;
	bool no_stdin;
	bool sig_proxy;
} opt = { .sig_proxy = true };

static const struct option options[] = {
	{ 0, "detach-keys", OPTION_STRING, &opt.keys, "KEYS", "what to type to let go of the box", .fallback = "ctrl-p,ctrl-q" },
	{ 0, "no-stdin", OPTION_FLAG, &opt.no_stdin, NULL, "only watch" },
	{ 0, "sig-proxy", OPTION_FLAG, &opt.sig_proxy, NULL, "pass signals sent to us to the workload (--sig-proxy=false: do not)" },
	{ 0 },
};

static int run_attach(struct cli *cli, char **operands, struct error *err)
{
	_cleanup_image_box_ struct image_box box = IMAGE_BOX_INIT;
	_cleanup_close_ int fd = -1;
	struct attach_mode mode = { .detach_keys = opt.keys };
	int r;

	r = image_box_load(cli, operands[0], &box, err);
	if (r < 0)
		return r;
	fd = socket_connect(box.dir_fd, MONITOR_SOCKET, SOCK_SEQPACKET, err);
	if (fd < 0)
		return error_set(err, -fd, "box '%s' is not running detached: nobody holds its output to attach to", box.id);
	mode.terminal = image_box_flag(&box, "terminal");
	mode.input = !opt.no_stdin && (mode.terminal || image_box_flag(&box, "interactive"));
	mode.signal_box = opt.sig_proxy && !mode.terminal ? box.id : NULL;
	return attach_run(fd, &mode, cli, err);
}

const struct command cli_attach = {
	.name = "attach",
	.group = "Boxes made from images",
	.operands = "ID",
	.summary = "connect the terminal with a detached box",
	.details = "The exit status is the workload's, or 0 after the detach keys.",
	.options = options,
	.min_operands = 1,
	.max_operands = 1,
	.run = run_attach,
};
