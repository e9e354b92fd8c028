/*
 * What the monitor of a detached box and the command line tell each other. The monitor works in the box's folder
 * (<store>/boxes/<id>/), where these files are:
 *
 *	life		locked with flock(2) as long as somebody (the monitor, or `run` in the foreground) looks after the
 *			workload; its text is the last end: "STATUS STARTED FINISHED RESTARTS", times in nanoseconds since
 *			1970. Whoever waits opens it, waits for the lock and reads, even if the box is removed meanwhile.
 *	attach.sock	SOCK_SEQPACKET; one packet is one message, below
 *	log, log.1 ...	what the workload wrote, newest first; one line is "TIME stdout|stderr F|P TEXT" (CRI's form: P is a
 *			line that goes on in the next record of that stream)
 *	stopped		exists when the user stopped the box, which no restart policy then overrules
 */
#pragma once

#include <stdint.h>

#define MONITOR_LIFE "life"
#define MONITOR_SOCKET "attach.sock"
#define MONITOR_LOG "log"
#define MONITOR_STOPPED "stopped"

#define MONITOR_PACKET_MAX 16384 /* bytes of one message, its type included */

/* The first byte of a message. */
enum {
	MONITOR_STDOUT = 'o', /* to the client: bytes the workload wrote */
	MONITOR_STDERR = 'e',
	MONITOR_EXITED = 'x', /* to the client: decimal exit status; the workload ended for good */
	MONITOR_STDIN = 'i',  /* to the monitor: bytes for the workload */
	MONITOR_EOF = 'z',    /* to the monitor: no more input */
	MONITOR_RESIZE = 'w', /* to the monitor: struct monitor_resize */
};

struct monitor_resize {
	uint16_t rows, columns;
};

/*
 * `ringwall box-launch` tells the monitor through descriptor 3 (SOCK_SEQPACKET) that the box runs; with it come the
 * terminal's master side, if there is one. Descriptors 4, 5, 6 are to become the workload's 0, 1, 2.
 */
struct launch_reply {
	int32_t pid;
};

#define LAUNCH_REPLY_FD 3
#define LAUNCH_STDIO_FD 4
