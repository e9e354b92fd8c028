#include "host/rtnetlink.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

struct request {
	struct nlmsghdr header;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct rtmsg route;
	};
	char attributes[512];
};

static void begin(struct request *rq, uint16_t type, uint16_t flags, size_t body)
{
	memset(rq, 0, sizeof(*rq));
	rq->header.nlmsg_type = type;
	rq->header.nlmsg_flags = NLM_F_REQUEST | flags;
	rq->header.nlmsg_len = NLMSG_LENGTH(body);
}

/* Appends an attribute; all requests here fit by construction. */
static struct rtattr *put(struct request *rq, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)rq + NLMSG_ALIGN(rq->header.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	rq->header.nlmsg_len = NLMSG_ALIGN(rq->header.nlmsg_len) + (uint32_t)RTA_ALIGN(a->rta_len);
	return a;
}

static void put_string(struct request *rq, uint16_t type, const char *s)
{
	put(rq, type, s, strlen(s) + 1);
}

/* Everything appended since NEST belongs to it. */
static void end_nest(struct request *rq, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((char *)rq + rq->header.nlmsg_len - (char *)nest);
}

int rtnl_open(int netns_fd, struct error *err)
{
	_cleanup_close_ int here = -1, sock = -1;
	struct timeval timeout = { .tv_sec = 5 };
	int r = 0;

	if (netns_fd >= 0) {
		here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (here < 0)
			return error_sys(err, errno, "cannot open our network namespace");
		if (setns(netns_fd, CLONE_NEWNET) < 0)
			return error_sys(err, errno, "cannot enter the box's network namespace");
	}
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (sock < 0)
		r = error_sys(err, errno, "cannot open a netlink socket");
	if (here >= 0 && setns(here, CLONE_NEWNET) < 0)
		r = error_sys(err, errno, "cannot return to our network namespace");
	if (r < 0)
		return r;
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return take_fd(&sock);
}

typedef int (*message_fn)(const struct nlmsghdr *message, void *data);

/* Sends RQ and reads the answer; every message of it goes to ON_MESSAGE (which may be NULL). 0 or a negative errno. */
static int talk(int sock, struct request *rq, message_fn on_message, void *data)
{
	static uint32_t sequence;
	char buf[32768];

	rq->header.nlmsg_seq = ++sequence;
	if (send(sock, rq, rq->header.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, buf, sizeof(buf), 0);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (size_t left = (size_t)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_seq != sequence)
				continue;
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			if (on_message && on_message(h, data) < 0)
				return -EIO;
		}
	}
}

static int keep_index(const struct nlmsghdr *message, void *data)
{
	if (message->nlmsg_type == RTM_NEWLINK)
		*(int *)data = ((const struct ifinfomsg *)NLMSG_DATA(message))->ifi_index;
	return 0;
}

int rtnl_link_index(int sock, const char *name, struct error *err)
{
	struct request rq;
	int index = 0, r;

	begin(&rq, RTM_GETLINK, NLM_F_ACK, sizeof(rq.link));
	put_string(&rq, IFLA_IFNAME, name);
	r = talk(sock, &rq, keep_index, &index);
	if (r < 0 && r != -ENODEV)
		return error_sys(err, r, "cannot look for the interface '%s'", name);
	return index;
}

int rtnl_add_bridge(int sock, const char *name, struct error *err)
{
	struct request rq;
	struct rtattr *info;
	int r;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(rq.link));
	put_string(&rq, IFLA_IFNAME, name);
	info = put(&rq, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	put_string(&rq, IFLA_INFO_KIND, "bridge");
	end_nest(&rq, info);
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot make the bridge '%s'", name) : 0;
}

int rtnl_add_veth(int sock, const char *name, const char *peer, int peer_netns_fd, struct error *err)
{
	struct ifinfomsg peer_link = { 0 };
	struct rtattr *info, *data, *other;
	struct request rq;
	int r;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(rq.link));
	put_string(&rq, IFLA_IFNAME, name);
	info = put(&rq, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	put_string(&rq, IFLA_INFO_KIND, "veth");
	data = put(&rq, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
	other = put(&rq, VETH_INFO_PEER | NLA_F_NESTED, &peer_link, sizeof(peer_link));
	put_string(&rq, IFLA_IFNAME, peer);
	put(&rq, IFLA_NET_NS_FD, &(uint32_t){ (uint32_t)peer_netns_fd }, sizeof(uint32_t));
	end_nest(&rq, other);
	end_nest(&rq, data);
	end_nest(&rq, info);
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot make the interface pair '%s'", name) : 0;
}

int rtnl_delete_link(int sock, const char *name, struct error *err)
{
	struct request rq;
	int r;

	begin(&rq, RTM_DELLINK, NLM_F_ACK, sizeof(rq.link));
	put_string(&rq, IFLA_IFNAME, name);
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 && r != -ENODEV ? error_sys(err, r, "cannot remove the interface '%s'", name) : 0;
}

int rtnl_set_up(int sock, int index, struct error *err)
{
	struct request rq;
	int r;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK, sizeof(rq.link));
	rq.link.ifi_index = index;
	rq.link.ifi_flags = rq.link.ifi_change = IFF_UP;
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot switch on interface %d", index) : 0;
}

int rtnl_set_master(int sock, int index, int bridge_index, struct error *err)
{
	struct request rq;
	int r;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK, sizeof(rq.link));
	rq.link.ifi_index = index;
	put(&rq, IFLA_MASTER, &bridge_index, sizeof(bridge_index));
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot put interface %d into the bridge", index) : 0;
}

int rtnl_add_address(int sock, int index, struct in_addr address, unsigned prefix, struct error *err)
{
	struct request rq;
	struct in_addr broadcast = { address.s_addr | htonl(0xffffffffu >> prefix) };
	int r;

	begin(&rq, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(rq.address));
	rq.address.ifa_family = AF_INET;
	rq.address.ifa_prefixlen = (unsigned char)prefix;
	rq.address.ifa_index = (unsigned)index;
	put(&rq, IFA_LOCAL, &address, sizeof(address));
	put(&rq, IFA_ADDRESS, &address, sizeof(address));
	put(&rq, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot give interface %d an address", index) : 0;
}

int rtnl_add_default_route(int sock, struct in_addr gateway, struct error *err)
{
	struct request rq;
	int r;

	begin(&rq, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(rq.route));
	rq.route.rtm_family = AF_INET;
	rq.route.rtm_table = RT_TABLE_MAIN;
	rq.route.rtm_protocol = RTPROT_STATIC;
	rq.route.rtm_scope = RT_SCOPE_UNIVERSE;
	rq.route.rtm_type = RTN_UNICAST;
	put(&rq, RTA_GATEWAY, &gateway, sizeof(gateway));
	r = talk(sock, &rq, NULL, NULL);
	return r < 0 ? error_sys(err, r, "cannot set the default route") : 0;
}

struct overlap {
	uint32_t network, mask; /* host byte order */
	bool found;
};

static int look_for_overlap(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *route = NLMSG_DATA(message);
	struct overlap *o = data;
	int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*route));

	if (message->nlmsg_type != RTM_NEWROUTE || left < 0 || route->rtm_family != AF_INET || route->rtm_dst_len == 0)
		return 0;
	for (const struct rtattr *a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		uint32_t dst, mask = 0xffffffffu << (32 - MIN(route->rtm_dst_len, (unsigned char)32));

		if (a->rta_type != RTA_DST || RTA_PAYLOAD(a) != sizeof(dst))
			continue;
		memcpy(&dst, RTA_DATA(a), sizeof(dst));
		mask &= o->mask; /* the shorter of both prefixes */
		o->found |= (ntohl(dst) & mask) == (o->network & mask);
	}
	return 0;
}

int rtnl_subnet_in_use(int sock, struct in_addr network, unsigned prefix, bool *ret, struct error *err)
{
	struct overlap o = { .network = ntohl(network.s_addr), .mask = 0xffffffffu << (32 - prefix) };
	struct request rq;
	int r;

	/* The kernel's local and connected routes tell of every address too. */
	begin(&rq, RTM_GETROUTE, NLM_F_DUMP, sizeof(rq.route));
	rq.route.rtm_family = AF_INET;
	r = talk(sock, &rq, look_for_overlap, &o);
	if (r < 0)
		return error_sys(err, r, "cannot read the host's routes");
	*ret = o.found;
	return 0;
}
