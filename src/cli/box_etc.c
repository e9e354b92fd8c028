#include "cli/box_etc.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/strbuf.h"
#include "base/strv.h"

enum { HOST_FILE_MAX = 1 << 20 };

static int write_file(const struct image_box *box, const char *name, const struct strbuf *text, struct error *err)
{
	char path[64];
	_cleanup_close_ int fd = -1;
	int r;

	if (strbuf_failed(text))
		return error_oom(err);
	snprintf(path, sizeof(path), "etc/%s", name);
	/* In place, not by rename: a running box has the file itself mounted. */
	fd = openat(box->dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return error_sys(err, errno, "cannot write '%s/%s'", box->path, path);
	r = fchmod(fd, 0644) < 0 ? -errno : fd_write_all(fd, strbuf_str(text), text->len);
	return r < 0 ? error_sys(err, r, "cannot write '%s/%s'", box->path, path) : 0;
}

static int write_hosts(const struct image_box *box, const char *hostname, const char *address, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
	_cleanup_strv_ char **more = image_box_strings(box, "hosts");

	strbuf_adds(&text, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	strbuf_addf(&text, "%s\t%s\n", address ? address : "127.0.1.1", hostname);
	for (char **m = more; m && *m; m++) {
		const char *colon = strchr(*m, ':');

		if (colon)
			strbuf_addf(&text, "%s\t%.*s\n", colon + 1, (int)(colon - *m), *m);
	}
	return write_file(box, "hosts", &text, err);
}

static bool is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/*
 * The host's resolver as the box can use it. A server on the host's loopback cannot be reached from another network
 * namespace; systemd-resolved keeps the real ones in a file of its own.
 */
static void add_host_servers(struct strbuf *text, bool own_network, const char *nameserver)
{
	static const char *const files[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf" };

	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		_cleanup_free_ char *content = NULL;
		_cleanup_strv_ char **lines = NULL;
		bool usable = false;

		strbuf_reset(text);
		if (file_read_at(AT_FDCWD, files[f], HOST_FILE_MAX, &content, NULL, NULL) < 0)
			continue;
		lines = strv_split(content, "\n");
		for (char **l = lines; l && *l; l++) {
			char address[128];

			if (sscanf(*l, "nameserver %127s", address) == 1) {
				if (own_network && is_loopback(address))
					continue;
				usable = true;
			}
			strbuf_addf(text, "%s\n", *l);
		}
		if (usable)
			return;
	}
	if (nameserver)
		strbuf_addf(text, "nameserver %s\n", nameserver);
}

static void add_line(struct strbuf *text, const char *keyword, char *const *words)
{
	if (!words)
		return;
	strbuf_adds(text, keyword);
	for (; *words; words++)
		strbuf_addf(text, " %s", *words);
	strbuf_addc(text, '\n');
}

static int write_resolv_conf(const struct image_box *box, const char *nameserver, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
	_cleanup_strv_ char **servers = image_box_strings(box, "dns"), **search = image_box_strings(box, "dnsSearch"),
			    **options = image_box_strings(box, "dnsOptions");
	const char *network = image_box_string(box, "network");

	if (servers)
		for (char **s = servers; *s; s++)
			strbuf_addf(&text, "nameserver %s\n", *s);
	else
		add_host_servers(&text, network && strcmp(network, "host") != 0, nameserver);
	add_line(&text, "search", search);
	add_line(&text, "options", options);
	return write_file(box, "resolv.conf", &text, err);
}

int box_etc_write(const struct image_box *box, const char *address, const char *nameserver, struct error *err)
{
	_cleanup_strbuf_ struct strbuf name = STRBUF_INIT;
	const char *hostname = image_box_string(box, "hostname");
	int r;

	if (!hostname)
		hostname = box->id;
	strbuf_addf(&name, "%s\n", hostname);
	r = write_file(box, "hostname", &name, err);
	if (r == 0)
		r = write_hosts(box, hostname, address, err);
	return r < 0 ? r : write_resolv_conf(box, nameserver, err);
}
