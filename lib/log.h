/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LOG_H
#define CCS_LOG_H

#include <ccs/ccs.h>

#include "base.h"

/*
 * Where one instance's log lines go. Lines from the library's threads are either handed to the
 * callback at once, or (CCS_LOG_DISPATCHED) kept in a bounded queue until the owner delivers them.
 * A queue that overflows drops the newest lines and says how many.
 */
struct ccs_log;

#define CCS_LOG_LINE_MAX  1024
#define CCS_LOG_QUEUE_MAX 256

/*
 * New, or NULL: no memory. wake(wake_arg), NULL allowed, is called with no lock held when an empty
 * queue gets its first line, and by ccs_log_deliver() when it leaves lines behind.
 */
struct ccs_log *ccs_log_new(enum ccs_level max, ccs_log_cb cb, void *arg, unsigned flags,
                            void (*wake)(void *wake_arg), void *wake_arg);
void ccs_log_free(struct ccs_log *log); /* delivers nothing */

/* 1 if a line of this level would be kept: test it before costly formatting. NULL log: 0. */
int ccs_log_wants(const struct ccs_log *log, enum ccs_level level);

/*
 * Any thread, no lock held. NULL log: nothing happens. Control octets become spaces, so that one
 * call is one line; a line that is too long is cut with "...".
 */
void ccs_log(struct ccs_log *log, enum ccs_level level, const char *fmt, ...) CCS_PRINTF(3, 4);

/*
 * Owner's thread: hands queued lines to the callback, at most max (0: all that are there when it
 * starts); returns how many. The callback may log.
 */
unsigned ccs_log_deliver(struct ccs_log *log, unsigned max);

#endif
