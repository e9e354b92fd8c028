#include "cli/network.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/fdio.h"
#include "base/parse.h"
#include "base/strv.h"
#include "cli/network_bridge.h"
#include "cli/network_pasta.h"
#include "host/userns.h"

enum { RECORD_MAX = 1 << 20 };

/* ---- "[[IP:]HOST:]BOX[/PROTO]" ---- */

/* "80" or "8000-8010". */
static int parse_range(const char *text, uint32_t *ret_first, uint32_t *ret_last)
{
	_cleanup_strv_ char **parts = strv_split(text, "-");
	size_t n = strv_len(parts);

	if (n < 1 || n > 2 || parse_u32(parts[0], ret_first) < 0 || parse_u32(parts[n - 1], ret_last) < 0)
		return -EINVAL;
	return *ret_first >= 1 && *ret_last <= 65535 && *ret_first <= *ret_last ? 0 : -ERANGE;
}

static void add_port(struct json_object *ports, const char *ip, uint32_t host, uint32_t box, const char *protocol)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "hostIp", json_object_new_string(ip));
	json_object_object_add(o, "hostPort", json_object_new_int64(host));
	json_object_object_add(o, "boxPort", json_object_new_int64(box));
	json_object_object_add(o, "protocol", json_object_new_string(protocol));
	json_object_array_add(ports, o);
}

int network_parse_port(const char *text, struct json_object *ports, struct error *err)
{
	_cleanup_free_ char *copy = strdup(text);
	_cleanup_strv_ char **parts = NULL;
	const char *protocol = "tcp", *ip = "";
	uint32_t host[2], box[2];
	struct in_addr address;
	char *slash;
	size_t n;

	if (!copy)
		return error_oom(err);
	slash = strchr(copy, '/');
	if (slash) {
		*slash = 0;
		protocol = strcmp(slash + 1, "udp") == 0 ? "udp" : strcmp(slash + 1, "tcp") == 0 ? "tcp" : NULL;
	}
	parts = strv_split(copy, ":");
	n = strv_len(parts);
	if (!protocol || n < 1 || n > 3 || parse_range(parts[n - 1], &box[0], &box[1]) < 0 ||
	    parse_range(n > 1 ? parts[n - 2] : parts[0], &host[0], &host[1]) < 0)
		return error_set(err, EINVAL, "option --publish: '%s' is not of the form [[IP:]HOST:]BOX[/tcp|/udp] with ports from 1 to 65535",
				 text);
	if (n == 3) {
		ip = parts[0];
		if (inet_pton(AF_INET, ip, &address) != 1)
			return error_set(err, EINVAL, "option --publish: '%s' is not an IPv4 address", ip);
		if (address.s_addr == 0)
			ip = "";
	}
	if (host[1] - host[0] != box[1] - box[0])
		return error_set(err, EINVAL, "option --publish: in '%s' the two ranges differ in length", text);
	for (uint32_t i = 0; i <= host[1] - host[0]; i++)
		add_port(ports, ip, host[0] + i, box[0] + i, protocol);
	return 0;
}

/* ---- up and down ---- */

bool network_is_private(const struct image_box *box)
{
	const char *mode = image_box_string(box, "network");

	return mode && strcmp(mode, "private") == 0;
}

static int save(const struct image_box *box, struct json_object *record, struct error *err)
{
	const char *text = json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN);

	return text ? file_replace_at(box->dir_fd, IMAGE_BOX_NETWORK, text, strlen(text), 0600, err) : error_oom(err);
}

static int new_record(const struct image_box *box, const char *kind, struct json_object **ret, struct error *err)
{
	struct json_object *ports;

	*ret = json_object_new_object();
	if (!*ret)
		return error_oom(err);
	json_object_object_add(*ret, "kind", json_object_new_string(kind));
	if (json_object_object_get_ex(box->record, "ports", &ports))
		json_object_object_add(*ret, "ports", json_object_get(ports));
	return 0;
}

bool network_comes_first(const struct image_box *box)
{
	return network_is_private(box) && !userns_is_initial();
}

int network_make(const struct image_box *box, struct error *err)
{
	_cleanup_json_ struct json_object *record = NULL;
	int r = new_record(box, "pasta", &record, err);

	return r < 0 ? r : pasta_start(box, record, save, err);
}

int network_attach(const struct cli *cli, const struct image_box *box, pid_t pid, struct error *err)
{
	_cleanup_json_ struct json_object *record = NULL;
	int r = new_record(box, "bridge", &record, err);

	return r < 0 ? r : bridge_attach(box, pid, record, save, err);
}

void network_detach(const struct cli *cli, const struct image_box *box)
{
	_cleanup_json_ struct json_object *record = NULL;
	_cleanup_free_ char *text = NULL;
	struct json_object *kind;
	size_t len;

	if (file_read_at(box->dir_fd, IMAGE_BOX_NETWORK, RECORD_MAX, &text, &len, NULL) < 0 ||
	    json_parse(text, len, &record, NULL) < 0 || !json_object_object_get_ex(record, "kind", &kind))
		return;
	if (strcmp(json_object_get_string(kind), "bridge") == 0)
		bridge_detach(box, record);
	else
		pasta_detach(box, record);
	(void)unlinkat(box->dir_fd, IMAGE_BOX_NETWORK, 0);
}
