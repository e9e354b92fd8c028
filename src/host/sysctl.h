/* Names of kernel parameters, sysctl(8), and the namespace each belongs to. */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define SYSCTL_PATH_MAX 256

/*
 * The path below /proc/sys of KEY, which is written "net.ipv4.ip_forward" or "net/ipv4/ip_forward": whichever separator
 * comes first separates, the other one stands for itself turned round ("net.ipv4.conf.eth0/1.mtu"). -EINVAL for a name
 * that would lead out of /proc/sys.
 */
int sysctl_path(const char *key, char ret[SYSCTL_PATH_MAX], struct error *err);

/* The namespace (CLONE_NEW...) that the parameter at PATH belongs to; 0: to the whole machine. */
int sysctl_namespace(const char *path);
