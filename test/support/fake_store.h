/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

/*
 * A store in memory that does what a test tells it: a struct ccs_store without a file system.
 *
 *     struct fake_store *fake = fake_store_new();
 *     fake_store_put(fake, "www.example.com.pfx", bytes, len);
 *     ... give fake_store_base(fake) to the code under test ...
 *     fake_store_free(fake);
 *
 * All functions may be called from any thread. ccs_store_close() on it is only counted, so that a
 * test can look at the counters afterwards: fake_store_free() releases it, once no thread is in a
 * call any more (a thread that waits at a closed gate would be one: open it first).
 *
 * File names are told apart by case, as most Linux file systems do. Running out of memory aborts.
 */

#include "store.h"

/* The calls of a store, as bits, for the functions that are about some of them. */
enum {
    FAKE_LIST = 1u << 0,
    FAKE_STAT = 1u << 1,
    FAKE_READ = 1u << 2,
    FAKE_PROBE = 1u << 3,
    FAKE_WATCH_START = 1u << 4,
    FAKE_WATCH_READ = 1u << 5,
    FAKE_CLOSE = 1u << 6,
    FAKE_ALL = (1u << 5) - 1 /* list, stat, read, probe, watch_start: what can fail or hang */
};

struct fake_store;

struct fake_store *fake_store_new(void); /* empty, answering, can be watched */
void fake_store_free(struct fake_store *fake);
struct ccs_store *fake_store_base(struct fake_store *fake); /* borrowed */

/* -- contents ------------------------------------------------------------------------------ */

/*
 * A new file, or another one in its place as by rename: a new file_id, and the root's mtime moves.
 * The bytes are copied. A name that does not end in .pfx is kept, but not listed.
 */
void fake_store_put(struct fake_store *fake, const char *file, const void *data, size_t len);

/* Other bytes in the same file: mtime and ctime move, file_id and the root's mtime stay. */
void fake_store_overwrite(struct fake_store *fake, const char *file, const void *data, size_t len);

/* Only the file's mtime and ctime move. */
void fake_store_touch(struct fake_store *fake, const char *file);

/* Does nothing if there is no such file. The root's mtime moves. */
void fake_store_remove(struct fake_store *fake, const char *file);

/* Removes all files. */
void fake_store_clear(struct fake_store *fake);

/* The stamp that a stat would give now. 1 if there is such a file. */
int fake_store_stamp(struct fake_store *fake, const char *file, struct ccs_stamp *out);

/* -- the root ------------------------------------------------------------------------------ */

/* What probes answer. Starts as {1, 2, 3, some mtime, false}; contents that change move mtime by 1.
 */
void fake_store_get_root(struct fake_store *fake, struct ccs_root *out);
void fake_store_set_root(struct fake_store *fake, const struct ccs_root *root);

/* Moves the root's mtime without any file having changed. */
void fake_store_touch_root(struct fake_store *fake);

/* -- errors -------------------------------------------------------------------------------- */

/*
 * Every call named by ops (FAKE_READ | FAKE_STAT, FAKE_ALL …) fails with this code from now on;
 * CCS_OK mends them. fake_store_set_error() is the same for FAKE_ALL. Errors are looked at after
 * the gate, so a hung call can be made to fail when it is let go.
 */
void fake_store_set_error(struct fake_store *fake, int code);
void fake_store_set_op_error(struct fake_store *fake, unsigned ops, int code);

/*
 * The next `times` (negative: all) calls named by ops (of FAKE_STAT and FAKE_READ) about this file
 * fail with this code, whether there is such a file or not. The stamp is still written if there is.
 * CCS_OK mends it.
 */
void fake_store_fail_file(struct fake_store *fake, const char *file, unsigned ops, int code,
                          int times);

/* -- the gate ------------------------------------------------------------------------------ */

/*
 * Calls named by ops wait from now on until they are let go; fake_store_block() is the same for
 * FAKE_READ only. fake_store_unblock() opens the gate for all. What a call answers is decided when
 * it is let go.
 */
void fake_store_block(struct fake_store *fake);
void fake_store_block_ops(struct fake_store *fake, unsigned ops);
void fake_store_unblock(struct fake_store *fake);

/* Lets n of the calls that wait, or of the next ones that would, through a closed gate. */
void fake_store_let(struct fake_store *fake, unsigned n);

/* Waits until at least n calls wait at the gate. 1, or 0 when timeout_ms passed before. */
int fake_store_wait_blocked(struct fake_store *fake, unsigned n, int timeout_ms);

/* -- counters ------------------------------------------------------------------------------ */

/* How many calls named by ops have begun. fake_store_reads() is the same for FAKE_READ. */
unsigned fake_store_calls(struct fake_store *fake, unsigned ops);
unsigned fake_store_reads(struct fake_store *fake);

/* How many reads of this file have begun. */
unsigned fake_store_file_reads(struct fake_store *fake, const char *file);

/* Waits until at least n calls named by ops have begun. 1, or 0 when timeout_ms passed before. */
int fake_store_wait_calls(struct fake_store *fake, unsigned ops, unsigned n, int timeout_ms);

/* Most calls named by FAKE_READ that were ever under way at the same time. */
unsigned fake_store_reads_at_once(struct fake_store *fake);

/* -- events -------------------------------------------------------------------------------- */

/*
 * Queues an event for watch_read and makes watch_fd readable. file NULL for those without one.
 * CCS_EVENT_ROOT_GONE ends the watch when it is read.
 */
void fake_store_event(struct fake_store *fake, enum ccs_event_kind kind, const char *file);

/* Whether all events were read, and whoever read them is done with them. */
int fake_store_is_told(struct fake_store *fake);

/* 1: put, overwrite, touch and remove also queue their event while watched. Starts as 0. */
void fake_store_set_auto_events(struct fake_store *fake, int on);

/* 0: watch_fd is -1 and watch_start fails, as where the kind of store cannot watch. */
void fake_store_set_watchable(struct fake_store *fake, int on);

#endif
