/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LOOKER_H
#define CCS_LOOKER_H

/*
 * What the refresher's files share. Of its two threads, the *looker* (looker.c, glance.c) asks the
 * store, which may take for ever. The *clock* (refresh.c) never does: it runs the timers and
 * notices when the looker does not come back.
 */

#include <pthread.h>

#include "index.h"
#include "refresh.h"

#define CCS_NEVER    INT64_MAX
#define CCS_GONE_MAX 256 /* names of removed files kept until the next look */

/* A file behind something cached that was not there when it was looked for. */
struct ccs_missing {
    char stem[CCS_STEM_SIZE];
    char file[CCS_FILE_NAME_SIZE];
    int64_t since;
    int respelled; /* there is one that is only called otherwise */
};

/* What only the looker touches. */
struct ccs_looker {
    struct ccs_root root; /* as the last probe found it */
    struct ccs_root home; /* the one in which most of what is cached was seen */
    int known;            /* both are set */
    unsigned breaks;      /* how often the store went away or was exchanged */

    uint64_t token;                  /* of the lease; 0: another process looks after the store */
    struct ccs_index_writer *writer; /* NULL: names cannot be written */

    int64_t due_refresh;
    int64_t due_open; /* the writer */
    int64_t due_probe;
    int64_t due_watch;
    int64_t due_list;
    int64_t due_look;    /* at everything cached */
    int64_t due_missing; /* at files that may have gone */
    int64_t due_tick;

    int64_t probed_at;
    int64_t moved_at;     /* when the folder's mtime was last seen to have moved */
    int64_t list_allowed; /* not before */
    int64_t look_allowed;
    int64_t down_pause;
    int64_t watch_pause;
    int64_t list_pause;
    int list_warned;
    int open_warned;
    int full_warned;
    int left_out_warned;
    int watch_warned;
    unsigned suspect; /* who finds too much missing: CCS_SUSPECT_ */

    struct ccs_missing *missing; /* sorted by file */
    size_t missing_count;
    char (*gone)[CCS_FILE_NAME_SIZE]; /* room for CCS_GONE_MAX */
    size_t gone_count;
    uint64_t went[CCS_GONE_MAX]; /* stems that a listing finds without a file they had */
    size_t went_count;           /* more than CCS_GONE_MAX: of any stem */
    char last_changed[CCS_STEM_SIZE];
    uint64_t random;
};

struct ccs_refresh {
    struct ccs_store *store;
    struct ccs_index *index;
    struct ccs_log *log;
    struct ccs_refresh_ops ops;
    struct ccs_refresh_times times;
    pthread_t looker_thread;
    pthread_t clock_thread;
    int wake_fd; /* for the looker */
    struct ccs_looker look;

    pthread_mutex_t lock; /* a leaf: guards all below */
    pthread_cond_t turn;  /* in_ops, stop, the threads' end */
    pthread_cond_t hurry; /* for the clock: woken, stop, up */
    int stop;
    int abandoned; /* the looker hangs: it releases this object when it comes back */
    int looker_ended;
    int clock_ended;
    int in_ops; /* one of the threads is in a call of ops */
    int up;
    int64_t down_since;
    int expired;
    int64_t busy_until; /* the looker should be back from the store by then; 0: not in it */
    int64_t busy_since;
    int woken;
    int hinted;
    int distrusted; /* everything is to be looked at anew */
};

/* -- refresh.c -- */

void ccs_refresh_release(struct ccs_refresh *r);

int ccs_refresh_is_stopping(struct ccs_refresh *r);
int ccs_refresh_is_up(struct ccs_refresh *r); /* 0 too when stopping */

/* Takes the turn to call ops; 0 when they must not be called any more. */
int ccs_refresh_enter_ops(struct ccs_refresh *r);
void ccs_refresh_leave_ops(struct ccs_refresh *r);

/*
 * Around every call of the store. ccs_refresh_leave_store() gives 0 when the looker was told to end
 * meanwhile: then it must touch nothing that is borrowed.
 */
void ccs_refresh_enter_store(struct ccs_refresh *r, int64_t limit_ms);
int ccs_refresh_leave_store(struct ccs_refresh *r);

/* Tells a change of state once. hung: only if the looker has not come back meanwhile. */
void ccs_refresh_set_up(struct ccs_refresh *r, int up, int hung, const struct ccs_error *why);

void ccs_refresh_tell_changed(struct ccs_refresh *r, const char *stem);

/* -- looker.c -- */

void ccs_looker_init(struct ccs_refresh *r);
void *ccs_looker_main(void *arg);

/* 1 if the store answers. Notices everything that follows from it. */
int ccs_looker_probe(struct ccs_refresh *r);

/* A call other than a probe found the store not answering: one is due. */
void ccs_looker_doubt(struct ccs_refresh *r);

/* Whether whatever happens in the folder is told. */
int ccs_looker_is_notified(struct ccs_refresh *r);

void ccs_looker_forget_failures(struct ccs_refresh *r);

/* A time 10 % around ms, so that many processes do not ask a file server at the same moment. */
int64_t ccs_looker_jitter(struct ccs_looker *l, int64_t ms);

/* Doubles a pause between first and most, and returns it. */
int64_t ccs_looker_back_off(int64_t *pause, int64_t first, int64_t most);

/* Who may find that too much is missing at once. */
enum { CCS_SUSPECT_GLANCE = 1 << 0, CCS_SUSPECT_LISTING = 1 << 1 };

/* One of them does, or does not any more; 1 if it is the first, which is to be said. */
static inline int ccs_looker_suspect(struct ccs_looker *l, unsigned who, int suspect)
{
    const unsigned before = l->suspect;

    l->suspect = suspect ? before | who : before & ~who;
    return before == 0 && l->suspect != 0;
}

static inline int64_t ccs_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t ccs_later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int ccs_same_root(const struct ccs_root *a, const struct ccs_root *b)
{
    return a->device == b->device && a->file_id == b->file_id && a->fs_type == b->fs_type;
}

/* -- indexer.c -- */

/* Asks whether this process looks after the store, and takes up what follows from it. */
void ccs_indexer_lead(struct ccs_refresh *r);

/* Whether it still does, as it did when ccs_indexer_lead() was called last. */
int ccs_indexer_leads(struct ccs_refresh *r);

void ccs_indexer_beat(struct ccs_refresh *r);

/* Lists the store, and tells what has changed since the last time. */
void ccs_indexer_list(struct ccs_refresh *r);

/* Something may have come that was not told. Until the next listing. */
void ccs_indexer_doubt(struct ccs_refresh *r);

/* A file came or changed; was not there; is another one than was loaded. */
void ccs_indexer_arrived(struct ccs_refresh *r, const char *file);
void ccs_indexer_absent(struct ccs_refresh *r, const char *file);
void ccs_indexer_changed(struct ccs_refresh *r, const char *stem);

/* A file that was absent is so again: 1 if that may count, with everything else that is missing. */
int ccs_indexer_may_go(struct ccs_refresh *r, const char *file);

/* -- glance.c -- */

/*
 * Looks at the files behind what is cached, either at all of them, or at those that may be missing.
 * The folder is probed before and after: what was not there counts only if it was the same one.
 */
void ccs_glance(struct ccs_refresh *r, int all);

/* A file is there (again): it is not missed any more. */
void ccs_glance_arrived(struct ccs_looker *l, const char *file);

#endif
