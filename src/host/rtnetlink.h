/*
 * Network interfaces, addresses and routes over rtnetlink(7). A socket acts on the network namespace it was opened in,
 * wherever the process is later. IPv4 addresses are in network byte order.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* A socket for the network namespace NETNS_FD (-1: our own). The caller must have one thread only. */
int rtnl_open(int netns_fd, struct error *err);

/* The interface's index, 0 when there is none of that name, or a negative errno. */
int rtnl_link_index(int sock, const char *name, struct error *err);

/* -EEXIST when the name is taken. */
int rtnl_add_bridge(int sock, const char *name, struct error *err);
/* A pair: NAME here, PEER in the namespace PEER_NETNS_FD. */
int rtnl_add_veth(int sock, const char *name, const char *peer, int peer_netns_fd, struct error *err);
/* A missing one is fine. */
int rtnl_delete_link(int sock, const char *name, struct error *err);
int rtnl_set_up(int sock, int index, struct error *err);
int rtnl_set_master(int sock, int index, int bridge_index, struct error *err);
int rtnl_add_address(int sock, int index, struct in_addr address, unsigned prefix, struct error *err);
int rtnl_add_default_route(int sock, struct in_addr gateway, struct error *err);

/* Whether an address or a route of this namespace overlaps NETWORK/PREFIX (default routes do not count). */
int rtnl_subnet_in_use(int sock, struct in_addr network, unsigned prefix, bool *ret, struct error *err);
