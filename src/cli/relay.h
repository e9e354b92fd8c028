/* Standing by a workload in the foreground: its terminal, the signals meant for it, and how it ends. */
#pragma once

#include "base/error.h"
#include "boundary/boundary.h"

/*
 * Waits until the workload ends and tells its exit status (128 + signal when one ended it) in *RET_STATUS. Meanwhile
 * its terminal (if STARTED has one) is connected with ours, and signals that we get are passed to it. Orphans that we
 * inherit are reaped.
 */
int relay_wait(const struct started *started, int *ret_status, struct error *err);

/* To be called before the workload starts: the signals to pass on are blocked, so that none is lost. */
int relay_prepare(bool subreaper, struct error *err);

/* Puts our terminal into raw mode until relay_restore_terminal() or the end of the process. 0 when stdin is none. */
int relay_raw_terminal(struct error *err);
void relay_restore_terminal(void);
