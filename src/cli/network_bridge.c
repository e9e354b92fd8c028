#include "cli/network_bridge.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "cli/box_etc.h"
#include "host/namespaces.h"
#include "host/program.h"
#include "host/rtnetlink.h"

#define BRIDGE "ringwall0"
#define STATE_DIR "/run/ringwall-network" /* one folder for each network namespace that has a bridge */

enum { PREFIX = 16, NFT_TIMEOUT_MS = 10000 };

/* Tried in this order: the first that meets no route of the host's. */
static const char *const subnets[] = { "10.209.0.0", "10.210.0.0", "172.29.0.0", "172.30.0.0", "10.99.0.0" };

/* ---- what all boxes of a network namespace share ---- */

/* The folder of leases of our network namespace, made when it is missing. Locked as long as the descriptor is open. */
static int state_path(char *path, size_t size, struct error *err)
{
	struct stat st;

	if (stat("/proc/self/ns/net", &st) < 0)
		return error_sys(err, errno, "cannot look at our network namespace");
	snprintf(path, size, STATE_DIR "/%llu", (unsigned long long)st.st_ino);
	return 0;
}

/* The folder, locked. Who had it before us may have removed it as the last one: then there is a new one to be made. */
static int open_state(struct error *err)
{
	char path[64];
	int r = state_path(path, sizeof(path), err);

	while (r == 0) {
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (mkdir_parents_at(AT_FDCWD, path, 0700) < 0)
			return error_sys(err, errno, "cannot make '%s'", path);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return error_sys(err, errno, "cannot open '%s'", path);
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return error_sys(err, errno, "cannot lock '%s'", path);
		if (fstat(fd, &st) == 0 && st.st_nlink > 0)
			return take_fd(&fd);
	}
	return r;
}

/* With the last box of the last namespace its folder goes; the lock is still held. */
static void remove_state(void)
{
	char path[64];

	if (state_path(path, sizeof(path), NULL) == 0 && rmdir(path) == 0)
		(void)rmdir(STATE_DIR);
}

static int read_subnet(int state, struct in_addr *ret)
{
	_cleanup_free_ char *text = NULL;

	if (file_read_at(state, "subnet", 64, &text, NULL, NULL) < 0)
		return -ENOENT;
	return inet_pton(AF_INET, text, ret) == 1 ? 0 : -EINVAL;
}

static int choose_subnet(int sock, struct in_addr *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(subnets); i++) {
		bool used;
		int r;

		(void)inet_pton(AF_INET, subnets[i], ret);
		r = rtnl_subnet_in_use(sock, *ret, PREFIX, &used, err);
		if (r < 0)
			return r;
		if (!used)
			return 0;
	}
	return error_set(err, EADDRINUSE, "every subnet for the bridge " BRIDGE " meets a route of this host; use --network host or none");
}

/*
 * NAT, and the maps of published ports. What comes to a published port of any local address is sent on, also from this
 * host itself (127.0.0.1 included: then the source is rewritten, or the answer would not find back).
 */
static int write_rules(struct in_addr subnet, struct error *err)
{
	char *argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	char net[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &subnet, net, sizeof(net));
	strbuf_addf(&b,
		    "table ip ringwall {\n"
		    " map any { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
		    " map at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
		    " chain publish {\n"
		    "  dnat ip to ip daddr . meta l4proto . th dport map @at\n"
		    "  fib daddr type local dnat ip to meta l4proto . th dport map @any\n"
		    " }\n"
		    " chain prerouting { type nat hook prerouting priority dstnat; meta l4proto { tcp, udp } jump publish; }\n"
		    " chain output { type nat hook output priority -100; meta l4proto { tcp, udp } jump publish; }\n"
		    " chain postrouting {\n"
		    "  type nat hook postrouting priority srcnat;\n"
		    "  ip saddr %s/%d ip daddr != %s/%d masquerade\n"
		    "  ip saddr 127.0.0.0/8 oifname \"" BRIDGE "\" masquerade\n"
		    "  ip saddr %s/%d ip daddr %s/%d ct status dnat masquerade\n"
		    " }\n"
		    "}\n",
		    net, PREFIX, net, PREFIX, net, PREFIX, net, PREFIX);
	return strbuf_failed(&b) ? error_oom(err) : program_run(argv, strbuf_str(&b), NFT_TIMEOUT_MS, "nftables", err);
}

static int write_sysctl(const char *path, const char *value, struct error *err)
{
	int r = file_write_at(AT_FDCWD, path, value);

	return r < 0 ? error_sys(err, r, "cannot set '%s' to %s", path, value) : 0;
}

/* Makes the bridge with its first address, forwarding and rules. */
static int make_bridge(int sock, int state, struct in_addr *ret_subnet, struct error *err)
{
	char *remove[] = { (char[]){ "nft" }, (char[]){ "delete" }, (char[]){ "table" }, (char[]){ "ip" }, (char[]){ "ringwall" }, NULL };
	struct in_addr subnet, gateway;
	char text[INET_ADDRSTRLEN];
	int r, index;

	r = choose_subnet(sock, &subnet, err);
	if (r < 0)
		return r;
	(void)program_run(remove, NULL, NFT_TIMEOUT_MS, "nftables", NULL);
	r = write_rules(subnet, err);
	if (r == 0)
		r = rtnl_add_bridge(sock, BRIDGE, err);
	if (r < 0)
		return r;
	index = rtnl_link_index(sock, BRIDGE, err);
	gateway.s_addr = subnet.s_addr | htonl(1);
	r = index <= 0 ? -ENODEV : rtnl_add_address(sock, index, gateway, PREFIX, err);
	if (r == 0)
		r = rtnl_set_up(sock, index, err);
	if (r == 0)
		r = write_sysctl("/proc/sys/net/ipv4/ip_forward", "1", err);
	if (r == 0)
		r = write_sysctl("/proc/sys/net/ipv4/conf/" BRIDGE "/route_localnet", "1", err);
	(void)inet_ntop(AF_INET, &subnet, text, sizeof(text));
	if (r == 0)
		r = file_replace_at(state, "subnet", text, strlen(text), 0600, err);
	if (r < 0) {
		(void)rtnl_delete_link(sock, BRIDGE, NULL);
		return r;
	}
	*ret_subnet = subnet;
	return 0;
}

static int get_bridge(int sock, int state, int *ret_index, struct in_addr *ret_subnet, struct error *err)
{
	int index = rtnl_link_index(sock, BRIDGE, err), r;

	if (index < 0)
		return index;
	if (index == 0 || read_subnet(state, ret_subnet) < 0) {
		if (index > 0)
			(void)rtnl_delete_link(sock, BRIDGE, NULL);
		r = make_bridge(sock, state, ret_subnet, err);
		if (r < 0)
			return r;
		index = rtnl_link_index(sock, BRIDGE, err);
	}
	*ret_index = index;
	return index > 0 ? 0 : -ENODEV;
}

/* ---- addresses ---- */

/* A lease is a file named by the address; its text is the path of the box's folder, without which it is void. */
static bool lease_is_void(int state, const char *name)
{
	_cleanup_free_ char *text = NULL;

	return file_read_at(state, name, 4096, &text, NULL, NULL) == 0 && access(text, F_OK) < 0;
}

static int take_lease(int state, const char *name, const char *owner)
{
	_cleanup_close_ int fd = -1;

	if (lease_is_void(state, name))
		(void)unlinkat(state, name, 0);
	fd = openat(state, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	return fd_write_all(fd, owner, strlen(owner));
}

static int lease_address(const struct image_box *box, int state, struct in_addr subnet, struct in_addr *ret, struct error *err)
{
	const char *wanted = image_box_string(box, "ip");
	char name[INET_ADDRSTRLEN];
	uint32_t hosts = 1u << (32 - PREFIX);

	if (wanted) {
		if (inet_pton(AF_INET, wanted, ret) != 1 || (ntohl(ret->s_addr) & (0xffffffffu << (32 - PREFIX))) != ntohl(subnet.s_addr))
			return error_set(err, EINVAL, "the address '%s' is not in the private network %s/%d", wanted,
					 inet_ntop(AF_INET, &subnet, name, sizeof(name)), PREFIX);
		if (take_lease(state, wanted, box->path) < 0)
			return error_set(err, EADDRINUSE, "the address '%s' is taken by another box", wanted);
		return 0;
	}
	for (uint32_t i = 2; i < hosts - 1; i++) {
		ret->s_addr = subnet.s_addr | htonl(i);
		(void)inet_ntop(AF_INET, ret, name, sizeof(name));
		if (take_lease(state, name, box->path) == 0)
			return 0;
	}
	return error_set(err, EADDRNOTAVAIL, "the private network has no address left");
}

/* ---- published ports ---- */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

/* Adds or removes the map elements of all ports, in one transaction. */
static int change_ports(struct json_object *record, const char *verb, struct error *err)
{
	char *argv[] = { (char[]){ "nft" }, (char[]){ "-f" }, (char[]){ "-" }, NULL };
	_cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
	const char *address = text_of(record, "address");
	struct json_object *ports;
	bool add = strcmp(verb, "create") == 0; /* unlike "add", it refuses a port that is taken */

	if (!json_object_object_get_ex(record, "ports", &ports))
		return 0;
	for (size_t i = 0; i < json_object_array_length(ports); i++) {
		struct json_object *p = json_object_array_get_idx(ports, i);
		const char *ip = text_of(p, "hostIp"), *protocol = text_of(p, "protocol");

		strbuf_addf(&b, "%s element ip ringwall %s { %s%s%s . %s", verb, *ip ? "at" : "any", ip, *ip ? " . " : "", protocol,
			    text_of(p, "hostPort"));
		if (add)
			strbuf_addf(&b, " : %s . %s", address, text_of(p, "boxPort"));
		strbuf_adds(&b, " }\n");
	}
	if (!b.len)
		return 0;
	return strbuf_failed(&b) ? error_oom(err) : program_run(argv, strbuf_str(&b), NFT_TIMEOUT_MS, "nftables", err);
}

/* The record says so first; when nft refuses (a port is taken), nothing was published. */
static int publish(const struct image_box *box, struct json_object *record,
		   int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err)
{
	int r;

	json_object_object_add(record, "published", json_object_new_boolean(true));
	r = save(box, record, err);
	if (r == 0)
		r = change_ports(record, "create", err);
	if (r < 0) {
		json_object_object_del(record, "published");
		(void)save(box, record, NULL);
		return error_prefix(err, "cannot publish the ports of box '%s'", box->id);
	}
	return 0;
}

/* ---- a box ---- */

static int connect_box(int sock, int bridge, pid_t pid, const char *veth, struct in_addr address, struct in_addr gateway,
		       struct error *err)
{
	_cleanup_close_ int netns = namespace_open_pid(pid, CLONE_NEWNET, err), inside = -1;
	int r, index;

	if (netns < 0)
		return netns;
	inside = rtnl_open(netns, err);
	if (inside < 0)
		return inside;
	r = rtnl_add_veth(sock, veth, "eth0", netns, err);
	if (r < 0)
		return r;
	index = rtnl_link_index(sock, veth, err);
	r = index > 0 ? rtnl_set_master(sock, index, bridge, err) : -ENODEV;
	if (r == 0)
		r = rtnl_set_up(sock, index, err);
	if (r < 0)
		return r;
	index = rtnl_link_index(inside, "lo", err);
	r = index > 0 ? rtnl_set_up(inside, index, err) : -ENODEV;
	index = r < 0 ? r : rtnl_link_index(inside, "eth0", err);
	if (index <= 0)
		return index < 0 ? index : error_set(err, ENODEV, "the box's interface is gone");
	r = rtnl_add_address(inside, index, address, PREFIX, err);
	if (r == 0)
		r = rtnl_set_up(inside, index, err);
	return r < 0 ? r : rtnl_add_default_route(inside, gateway, err);
}

int bridge_attach(const struct image_box *box, pid_t pid, struct json_object *record,
		  int (*save)(const struct image_box *, struct json_object *, struct error *), struct error *err)
{
	_cleanup_close_ int state = open_state(err), sock = -1;
	struct in_addr subnet, address, gateway;
	char text[INET_ADDRSTRLEN], veth[16];
	int r, bridge;

	if (state < 0)
		return state;
	sock = rtnl_open(-1, err);
	if (sock < 0)
		return sock;
	r = get_bridge(sock, state, &bridge, &subnet, err);
	if (r == 0)
		r = lease_address(box, state, subnet, &address, err);
	if (r < 0)
		return r;
	(void)inet_ntop(AF_INET, &address, text, sizeof(text));
	snprintf(veth, sizeof(veth), "rw%08x", ntohl(address.s_addr));
	gateway.s_addr = subnet.s_addr | htonl(1);
	json_object_object_add(record, "address", json_object_new_string(text));
	json_object_object_add(record, "interface", json_object_new_string(veth));
	json_object_object_add(record, "prefix", json_object_new_int(PREFIX));
	r = save(box, record, err);
	if (r == 0)
		r = connect_box(sock, bridge, pid, veth, address, gateway, err);
	if (r == 0)
		r = publish(box, record, save, err);
	return r < 0 ? r : box_etc_write(box, text, NULL, err);
}

/* Whether no box has an address any more. */
static bool is_unused(int state)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(state, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "subnet") != 0 && !lease_is_void(state, e->d_name))
			return false;
	return dir;
}

/* The last box takes the bridge and the rules with it. */
static void remove_bridge(int sock, int state)
{
	char *argv[] = { (char[]){ "nft" }, (char[]){ "delete" }, (char[]){ "table" }, (char[]){ "ip" }, (char[]){ "ringwall" }, NULL };
	struct error err = ERROR_INIT;

	if (program_run(argv, NULL, NFT_TIMEOUT_MS, "nftables", &err) < 0)
		log_debug("%s", err.message);
	if (rtnl_delete_link(sock, BRIDGE, &err) < 0)
		log_warn("%s", err.message);
	(void)unlinkat(state, "subnet", 0);
	remove_state();
}

/* Takes down what the record tells of, in the opposite order; a step that fails does not keep the others from being done. */
void bridge_detach(const struct image_box *box, struct json_object *record)
{
	_cleanup_close_ int state = -1, sock = -1;
	const char *address = text_of(record, "address"), *veth = text_of(record, "interface");
	struct error err = ERROR_INIT;
	struct in_addr parsed;

	state = open_state(&err);
	sock = rtnl_open(-1, &err);
	if (state < 0 || sock < 0) {
		log_warn("cannot take down the network of box '%s': %s", box->id, err.message);
		return;
	}
	if (json_object_object_get_ex(record, "published", NULL) && change_ports(record, "delete", &err) < 0)
		log_debug("published ports of box '%s': %s", box->id, err.message);
	if (*veth && rtnl_delete_link(sock, veth, &err) < 0)
		log_warn("box '%s': %s", box->id, err.message);
	if (inet_pton(AF_INET, address, &parsed) == 1) {
		_cleanup_free_ char *owner = NULL;

		if (file_read_at(state, address, 4096, &owner, NULL, NULL) == 0 && strcmp(owner, box->path) == 0)
			(void)unlinkat(state, address, 0);
	}
	if (is_unused(state))
		remove_bridge(sock, state);
}
