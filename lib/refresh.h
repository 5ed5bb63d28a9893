/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_REFRESH_H
#define CCS_REFRESH_H

/*
 * The refresher: one thread per instance that learns of changes in the store, by notification, by
 * looking at what is cached every `refresh`, and by looking at the folder's mtime once a second
 * while names are remembered as not found. It also keeps the instance's time.
 */

#include <ccs/ccs.h>

#include "index.h"
#include "log.h"
#include "name.h"
#include "settings.h"
#include "store.h"

/* One file that a cached credential came from. */
struct ccs_cached_file {
    char stem[CCS_STEM_SIZE];
    char file[CCS_FILE_NAME_SIZE];
    struct ccs_stamp stamp;
};

/* What the instance does for it. All are called from the refresher's thread with no lock held. */
struct ccs_refresh_ops {
    /* A file of this stem came, or has other contents: load again if cached, forget failures. */
    void (*changed)(const char *stem, void *arg);

    /*
     * A file is gone for good: its stem is to be loaded anew without it, and dropped if that finds
     * nothing. Called after two looks at least 2 s apart during which the store answered.
     */
    void (*removed)(const char *stem, void *arg);

    /* Anything may have changed: forget all failures (cached credentials are looked at one by one).
     */
    void (*forget_failures)(void *arg);

    /* How many failures ("not found" among them) are remembered. */
    size_t (*failures)(void *arg);

    /* All files behind what is cached. *out is new (free()), NULL if there are none. */
    size_t (*cached)(struct ccs_cached_file **out, void *arg);

    /* The store began to answer (up 1), or stopped (0, with the reason). Repeats are not told. */
    void (*store_state)(int up, const struct ccs_error *why, void *arg);

    /* No contact for longer than `stale`: drop everything cached. */
    void (*expired)(void *arg);

    /* Runs timers that are due; returns the time (ccs_now_ms) of the next one, INT64_MAX for none.
     */
    int64_t (*timers)(int64_t now_ms, void *arg);

    void *arg;
};

struct ccs_refresh;

/* Starts the thread. All arguments but ops (copied) are borrowed until ccs_refresh_stop() returned.
 */
int ccs_refresh_start(struct ccs_store *store, struct ccs_index *index, struct ccs_log *log,
                      const struct ccs_settings *settings, const struct ccs_refresh_ops *ops,
                      struct ccs_refresh **out, struct ccs_error *err);

/* Any thread: something (a timer, a hint) needs the refresher's attention now. Never blocks. */
void ccs_refresh_wake(struct ccs_refresh *refresh);

/* Any thread: a load found the store not answering (or answering); the refresher checks for itself.
 */
void ccs_refresh_hint(struct ccs_refresh *refresh, int code);

/*
 * Asks it to end, and waits at most timeout_ms. 1: it ended, and everything borrowed may go. 0: it
 * hangs in the store; whatever it borrows must stay, and it ends without touching ops any more.
 */
int ccs_refresh_stop(struct ccs_refresh *refresh, int64_t timeout_ms);

#endif
