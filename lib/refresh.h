/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_REFRESH_H
#define CCS_REFRESH_H

/*
 * The refresher: it learns of changes in the store, by notification, by looking at what is cached
 * every `refresh`, by listing the folder, and by looking at its mtime once a second while names are
 * asked for that are not there. What it learns of names it writes into the index. It also keeps the
 * instance's time.
 *
 * Of all processes that share the index, one looks after the store. The refreshers of the others
 * only find out whether it answers.
 *
 * Two threads per instance: one that asks the store, and a clock that never does, so that timers
 * run and a store that hangs is noticed whatever the store does.
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
    uint64_t loaded_for; /* the index's stamp that it was loaded by; 0: not known */
};

/*
 * What the instance does for it. All are called with no lock held, from the refresher's two threads
 * but never by both at the same time. None may call ccs_refresh_stop().
 */
struct ccs_refresh_ops {
    /* The token of the lease by which this process looks after the store; 0: it does not. */
    uint64_t (*token)(void *arg);

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

    /* More than 0 while names are asked for that are not there, or failures are remembered, which a
     * file that came would end. Asked once a second. */
    size_t (*failures)(void *arg);

    /* All files behind what is cached. *out is new (free()), NULL if there are none. */
    size_t (*cached)(struct ccs_cached_file **out, void *arg);

    /*
     * The store stopped to answer (up 0, with the reason) or answers again (1). It is taken for up
     * at the start. Repeats are not told. The refresher itself logs neither.
     */
    void (*store_state)(int up, const struct ccs_error *why, void *arg);

    /* No contact for longer than `stale`: drop everything cached. */
    void (*expired)(void *arg);

    /* Runs timers that are due; returns the time (ccs_now_ms) of the next one, INT64_MAX for none.
     */
    int64_t (*timers)(int64_t now_ms, void *arg);

    void *arg;
};

struct ccs_refresh;

/*
 * Starts the threads. All arguments but ops (copied) are borrowed until ccs_refresh_stop()
 * returned. *out is written before any of ops is called.
 */
int ccs_refresh_start(struct ccs_store *store, struct ccs_index *index, struct ccs_log *log,
                      const struct ccs_settings *settings, const struct ccs_refresh_ops *ops,
                      struct ccs_refresh **out, struct ccs_error *err);

/* Any thread: there may be an earlier timer than the one known. Never blocks. NULL allowed. */
void ccs_refresh_wake(struct ccs_refresh *refresh);

/* Any thread: a load found the store not answering (or answering); the refresher checks for itself.
 * Never blocks. NULL allowed. */
void ccs_refresh_hint(struct ccs_refresh *refresh, int code);

/* Any thread: what was learned so far may be out of date, so everything is looked at anew. */
void ccs_refresh_distrust(struct ccs_refresh *refresh);

/*
 * Asks it to end, and waits at most timeout_ms. 1: it ended, and everything borrowed may go. 0: it
 * hangs in the store; whatever it borrows must stay, and it ends without touching ops any more.
 * refresh itself is released either way. NULL: 1.
 */
int ccs_refresh_stop(struct ccs_refresh *refresh, int64_t timeout_ms);

/* Its times in milliseconds, so that tests need not wait for them. */
struct ccs_refresh_times {
    int64_t refresh;   /* between two looks at what is cached */
    int64_t stale;     /* without contact until everything cached is dropped */
    int64_t tick;      /* between two looks at the folder while failures are remembered */
    int64_t apart;     /* at least between two looks before a file counts as removed */
    int64_t down_max;  /* longest time between two probes of a store that is down */
    int64_t hang;      /* a call that takes longer is a store that does not answer */
    int64_t hang_list; /* the same for a listing */
    int64_t list_rest; /* times its own duration that pass between two listings */
};
void ccs_refresh_times_default(const struct ccs_settings *settings, struct ccs_refresh_times *out);
int ccs_refresh_start_timed(struct ccs_store *store, struct ccs_index *index, struct ccs_log *log,
                            const struct ccs_refresh_times *times,
                            const struct ccs_refresh_ops *ops, struct ccs_refresh **out,
                            struct ccs_error *err);

#endif
