/*
 * What a process-wall box may reach, from the annotations "run.ringwall.process.*" of its configuration (the command
 * line's flags become annotations too, so a bundle says everything). docs/process.md is the user's description.
 *
 *	read-only, read-write	paths, separated by ':'
 *	devices			device nodes (or directories of them) that may be opened and sent ioctls, separated by ':'
 *	tcp-connect, tcp-bind	ports, separated by ',', or "any"
 *	allow			names of enum process_allow, separated by ','
 *	floor			promises that must be kept, separated by ','; without it all must
 *	system			"false": do not give the host's programs and libraries read-only
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/spec.h"

#define PROCESS_ANNOTATION_PREFIX "run.ringwall.process."

enum process_allow {
	PROCESS_ALLOW_UDP = 1 << 0,
	PROCESS_ALLOW_UNIX = 1 << 1,          /* socket files, wherever file permissions let it */
	PROCESS_ALLOW_ABSTRACT_UNIX = 1 << 2, /* and the host's abstract sockets */
	PROCESS_ALLOW_NETLINK = 1 << 3,       /* NETLINK_ROUTE */
	PROCESS_ALLOW_RAW = 1 << 4,           /* raw IP, ping and packet sockets, as far as capabilities go */
	PROCESS_ALLOW_SIGNALS = 1 << 5,       /* to processes outside */
	PROCESS_ALLOW_PTRACE = 1 << 6,        /* of processes inside */
	PROCESS_ALLOW_INOTIFY = 1 << 7,       /* of any directory that file permissions let it read */
	PROCESS_ALLOW_IPC = 1 << 8,           /* System V and POSIX message queues, shared with the host */
	PROCESS_ALLOW_METADATA = 1 << 9,      /* modes, owners, times, attributes of any file it owns */
};

struct process_ports {
	bool any;
	uint16_t *v; /* owned */
	size_t n;
};

struct process_policy {
	char **read_only, **read_write, **devices; /* absolute, normalized */
	struct process_ports tcp_connect, tcp_bind;
	unsigned allow; /* enum process_allow */
	unsigned floor; /* enum process_promise: what must be kept */
	bool system;
};

int process_policy_parse(const struct oci_spec *spec, struct process_policy *ret, struct error *err);
void process_policy_free(struct process_policy *policy);

/* "udp", ...; NULL past the last bit. */
const char *process_allow_name(unsigned bit_index);

/* A path without "//", "/./" and a trailing slash, owned; NULL when out of memory. ".." stays: the caller refuses it. */
char *process_path_normalize(const char *path);
