#include "host/netdev.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define MESSAGE_MAX 512
#define ANSWER_MAX 32768
#define ADDRESSES_MAX 64
#define NUMBERS_MAX 4096

int netdev_loopback_up(struct error *err)
{
	_cleanup_close_ int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any family takes the request */
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING };

	if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &request) < 0)
		return error_sys(err, errno, "cannot bring up the loopback interface");
	return 0;
}

struct request {
	struct nlmsghdr header;
	char body[MESSAGE_MAX];
};

static void *request_begin(struct request *q, int type, int flags, size_t body)
{
	memset(q, 0, sizeof(*q));
	q->header.nlmsg_type = (uint16_t)type;
	q->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	q->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	return q->body;
}

static void request_add(struct request *q, int type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->header.nlmsg_len));

	a->rta_type = (uint16_t)type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	q->header.nlmsg_len = NLMSG_ALIGN(q->header.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
}

typedef void (*message_handler)(const struct nlmsghdr *m, void *data);

static int read_answers(int sock, message_handler handle, void *data)
{
	_cleanup_free_ char *buf = malloc(ANSWER_MAX);

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = recv(sock, buf, ANSWER_MAX, 0);
		int len = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (struct nlmsghdr *m = (struct nlmsghdr *)(void *)buf; NLMSG_OK(m, len); m = NLMSG_NEXT(m, len)) {
			if (m->nlmsg_type == NLMSG_DONE)
				return 0;
			if (m->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(m))->error;
			if (handle)
				handle(m, data);
		}
	}
}

static int ask(int sock, struct request *q, message_handler handle, void *data)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(sock, q, q->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	return read_answers(sock, handle, data);
}

/* ---- interfaces ---- */

static void take_index(const struct nlmsghdr *m, void *data)
{
	if (m->nlmsg_type == RTM_NEWLINK)
		*(int *)data = ((struct ifinfomsg *)NLMSG_DATA(m))->ifi_index;
}

/* The index of interface NAME, or -ENODEV. */
static int find_interface(int sock, const char *name)
{
	struct request q;
	int index = -ENODEV, r;

	request_begin(&q, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	request_add(&q, IFLA_IFNAME, name, strlen(name) + 1);
	r = ask(sock, &q, take_index, &index);
	return r < 0 ? r : index;
}

static int move(int sock, int index, const char *new_name, int netns_fd)
{
	struct request q;
	struct ifinfomsg *info = request_begin(&q, RTM_NEWLINK, NLM_F_ACK, sizeof(*info));

	info->ifi_index = index;
	request_add(&q, IFLA_NET_NS_FD, &netns_fd, sizeof(netns_fd));
	request_add(&q, IFLA_IFNAME, new_name, strlen(new_name) + 1);
	return ask(sock, &q, NULL, NULL);
}

static int bring_up(int sock, int index)
{
	struct request q;
	struct ifinfomsg *info = request_begin(&q, RTM_NEWLINK, NLM_F_ACK, sizeof(*info));

	info->ifi_index = index;
	info->ifi_flags = info->ifi_change = IFF_UP;
	return ask(sock, &q, NULL, NULL);
}

/* ---- addresses ---- */

struct address {
	unsigned char family, prefix, len, local_len, broadcast_len;
	char address[16], local[16], broadcast[16];
};

struct addresses {
	int index;
	struct address v[ADDRESSES_MAX];
	size_t n;
};

static void copy_attribute(const struct rtattr *a, char *to, unsigned char *len)
{
	size_t n = RTA_PAYLOAD(a);

	if (n <= 16) {
		memcpy(to, RTA_DATA(a), n);
		*len = (unsigned char)n;
	}
}

static void take_address(const struct nlmsghdr *m, void *data)
{
	const struct ifaddrmsg *info = NLMSG_DATA(m);
	struct addresses *all = data;
	struct address *a = &all->v[all->n];
	int len = (int)IFA_PAYLOAD(m);

	if (m->nlmsg_type != RTM_NEWADDR || (int)info->ifa_index != all->index || info->ifa_scope != RT_SCOPE_UNIVERSE ||
	    all->n == ADDRESSES_MAX)
		return;
	*a = (struct address){ .family = info->ifa_family, .prefix = info->ifa_prefixlen };
	for (struct rtattr *at = IFA_RTA(info); RTA_OK(at, len); at = RTA_NEXT(at, len)) {
		if (at->rta_type == IFA_ADDRESS)
			copy_attribute(at, a->address, &a->len);
		else if (at->rta_type == IFA_LOCAL)
			copy_attribute(at, a->local, &a->local_len);
		else if (at->rta_type == IFA_BROADCAST)
			copy_attribute(at, a->broadcast, &a->broadcast_len);
	}
	all->n++;
}

static int read_addresses(int sock, struct addresses *all)
{
	struct request q;

	request_begin(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	return ask(sock, &q, take_address, all);
}

static int add_address(int sock, int index, const struct address *a)
{
	struct request q;
	struct ifaddrmsg *info = request_begin(&q, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*info));

	info->ifa_family = a->family;
	info->ifa_prefixlen = a->prefix;
	info->ifa_scope = RT_SCOPE_UNIVERSE;
	info->ifa_index = (unsigned)index;
	if (a->local_len)
		request_add(&q, IFA_LOCAL, a->local, a->local_len);
	if (a->len)
		request_add(&q, IFA_ADDRESS, a->address, a->len);
	if (a->broadcast_len)
		request_add(&q, IFA_BROADCAST, a->broadcast, a->broadcast_len);
	return ask(sock, &q, NULL, NULL);
}

/* ---- moving ---- */

/* A netlink socket that speaks to another network namespace. */
static int open_socket_in(int netns_fd, struct error *err)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int sock, code;

	if (own < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "cannot enter the container's network namespace");
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	code = errno;
	if (setns(own, CLONE_NEWNET) < 0) {
		code = errno;
		safe_close(sock);
		return error_sys(err, code, "cannot return to the own network namespace");
	}
	return sock < 0 ? error_sys(err, code, "cannot make a netlink socket") : sock;
}

/* "eth%d" to the first of eth0, eth1, ... that is free. */
static int choose_name(int sock, const char *wanted, char ret[IFNAMSIZ], struct error *err)
{
	size_t len = strlen(wanted);
	bool numbered = len > 2 && strcmp(wanted + len - 2, "%d") == 0;

	for (int i = 0; i < (numbered ? NUMBERS_MAX : 1); i++) {
		int n = numbered ? snprintf(ret, IFNAMSIZ, "%.*s%d", (int)len - 2, wanted, i) :
				   snprintf(ret, IFNAMSIZ, "%s", wanted);

		if (n >= IFNAMSIZ)
			return error_set(err, ENAMETOOLONG, "network interface name '%s' is too long", wanted);
		if (find_interface(sock, ret) == -ENODEV)
			return 0;
	}
	return error_set(err, EEXIST, "the container's network namespace already has an interface '%s'", wanted);
}

static int finish(int sock, const char *name, const struct addresses *addresses, struct error *err)
{
	int index = find_interface(sock, name), r;

	if (index < 0)
		return error_sys(err, index, "cannot find the network interface '%s' after it was moved", name);
	for (size_t i = 0; i < addresses->n; i++) {
		r = add_address(sock, index, &addresses->v[i]);
		if (r < 0 && r != -EEXIST)
			return error_sys(err, r, "cannot restore an address of the network interface '%s'", name);
	}
	r = bring_up(sock, index);
	return r < 0 ? error_sys(err, r, "cannot bring up the network interface '%s'", name) : 0;
}

int netdev_move(const char *name, const char *new_name, int netns_fd, struct error *err)
{
	_cleanup_close_ int here = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), there = -1;
	_cleanup_free_ struct addresses *addresses = calloc(1, sizeof(*addresses));
	char chosen[IFNAMSIZ];
	int index, r;

	if (!addresses)
		return error_oom(err);
	if (here < 0)
		return error_sys(err, errno, "cannot make a netlink socket");
	index = find_interface(here, name);
	if (index < 0)
		return error_sys(err, index, "cannot find the network interface '%s'", name);
	addresses->index = index;
	r = read_addresses(here, addresses);
	if (r < 0)
		return error_sys(err, r, "cannot read the addresses of the network interface '%s'", name);
	there = open_socket_in(netns_fd, err);
	if (there < 0)
		return there;
	r = choose_name(there, new_name, chosen, err);
	if (r < 0)
		return r;
	r = move(here, index, chosen, netns_fd);
	if (r < 0)
		return error_sys(err, r, "cannot move the network interface '%s' into the container", name);
	return finish(there, chosen, addresses, err);
}
