/* Starting the box, and what is left of it tidied away: both are done by the ringwall program, which then ends. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct launched {
	pid_t pid;             /* the workload's first process, our child by adoption */
	int input;             /* write end of its standard input; -1: it has none */
	int output[2];         /* read ends of its standard output and error; -1 with a terminal */
	int terminal;          /* master side; -1 without a terminal */
};

#define LAUNCHED_INIT ((struct launched){ .input = -1, .output = { -1, -1 }, .terminal = -1 })

struct launch {
	char *const *ringwall; /* the program and its global options, without a verb */
	const char *id;
	bool terminal, interactive;
	int error_fd; /* where ringwall's own messages go */
};

/* Runs "RINGWALL box-launch ID" and takes what it hands over. On failure the exit status of ringwall is in *RET_STATUS. */
int launch_box(const struct launch *l, struct launched *ret, int *ret_status, struct error *err);
void launched_close(struct launched *l);

/* Runs "RINGWALL VERB ARGUMENT ID" to its end. Its exit status or a negative errno. */
int launch_verb(const struct launch *l, const char *verb, const char *argument);
