/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_INDEX_H
#define CCS_INDEX_H

/*
 * Which stems have files, for all processes: "this name has no file" is answered from memory, with
 * no I/O, no lock and no system call. It lives in one piece of memory (a part of the arena, or any
 * other), which stores share. It holds keyed hashes of stems and not the stems: two stems of one
 * hash look like one, which costs a needless look at the store at worst.
 *
 * Any process may ask. The one that holds a store's refresher lease writes. Readers leave nothing
 * behind and writers take a robust mutex, so anybody may be killed at any point: what was being
 * written is known or not known afterwards, and when even that cannot be said the index is UNKNOWN
 * until the next listing. So:
 *
 * - whoever writes must list the store whenever ccs_index_status() does not say CCS_INDEX_READY;
 * - what cannot be recorded (no memory, no room) makes the store UNKNOWN, never ABSENT.
 *
 * Odd spellings (files that are not called as ccs_name_file() or ccs_name_file_unicode() say) are
 * kept beside, in a bounded table in the same memory: a file that one process has been told of must
 * be found by all, within the second and without a listing of their own.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <ccs/ccs.h>

#include "base.h"
#include "name.h"
#include "siphash.h"
#include "store.h"

#define CCS_INDEX_SIZE_MIN   ((size_t)64 * 1024)
#define CCS_INDEX_STORES_MAX 64
#define CCS_INDEX_FORGET_MS  60000 /* without a beat until a store's room may go to others */
#define CCS_INDEX_TOLD_MAX   4096  /* names that one listing tells of one by one */

struct ccs_index_head;
struct ccs_index_slot;

/* One store as this process sees it. Filled by attach; needs no release; readers may share it. */
struct ccs_index {
    struct ccs_index_head *head;
    struct ccs_index_slot *slots;
    struct ccs_siphash_key key;
    uint64_t store;
    _Atomic uint32_t place; /* where the store was found last */
};

/* Memory aligned to 64 octets that nobody uses yet. CCS_EINVAL: too small, too big, not aligned. */
int ccs_index_format(void *mem, size_t size, struct ccs_error *err);

/* key: ccs_arena_key(arena, store). No lock. CCS_EINVAL for anything but formatted memory. */
int ccs_index_attach(struct ccs_index *index, void *mem, size_t size, uint64_t store,
                     const struct ccs_siphash_key *key, struct ccs_error *err);

/* Octets that are enough for so many names of one store, a sixteenth of them spelled oddly. */
size_t ccs_index_size_for(size_t names);

/* -- asking (any thread) ------------------------------------------------------------------- */

enum ccs_index_answer {
    CCS_INDEX_UNKNOWN, /* not listed yet, does not fit, or being rebuilt: ask the store */
    CCS_INDEX_ABSENT,
    CCS_INDEX_PRESENT
};

struct ccs_index_name {
    uint64_t stamp; /* other than before whenever a file of the stem came or changed; never 0 */
    unsigned kinds; /* 1 << enum ccs_file_kind: only these have files */
    bool odd;       /* ask ccs_index_spelling(), too */
    bool missing;   /* at the last look a file was not there: it may be gone for good */
};

static inline uint64_t ccs_index_hash(const struct ccs_index *index, const char *stem, size_t len)
{
    return ccs_siphash(&index->key, stem, len);
}

/* *out (may be NULL) is written with CCS_INDEX_PRESENT only. Never waits. */
enum ccs_index_answer ccs_index_lookup(struct ccs_index *index, uint64_t hash,
                                       struct ccs_index_name *out);

/* The stamp to remember what is loaded by, read before the files are opened; 0 if not PRESENT. */
static inline uint64_t ccs_index_stamp(struct ccs_index *index, uint64_t hash)
{
    struct ccs_index_name name;

    return ccs_index_lookup(index, hash, &name) == CCS_INDEX_PRESENT ? name.stamp : 0;
}

/* Whether a stem has changed since something was loaded by this stamp. Not if either is unknown. */
static inline bool ccs_index_is_outdated(struct ccs_index *index, uint64_t hash,
                                         uint64_t loaded_for)
{
    const uint64_t stamp = ccs_index_stamp(index, hash);

    return loaded_for != 0 && stamp != 0 && loaded_for != stamp;
}

/*
 * The odd spelling of a stem's file of this kind, if there is one: Unicode ones first, then in
 * byte order. out holds CCS_FILE_NAME_SIZE octets. *unicode (may be NULL) tells whether it has
 * U-labels. CCS_OK or CCS_ENOTFOUND. Waits for a lock, perhaps for 100 ms: not for event loops.
 */
int ccs_index_spelling(struct ccs_index *index, uint64_t hash, enum ccs_file_kind kind, char *out,
                       bool *unicode);

enum ccs_index_state {
    CCS_INDEX_NONE,  /* nobody has written for this store (or not for long) */
    CCS_INDEX_EMPTY, /* no listing has succeeded, or what it found was lost */
    CCS_INDEX_READY,
    CCS_INDEX_FULL,    /* the last listing did not fit */
    CCS_INDEX_UNLISTED /* the store may not be listed */
};

struct ccs_index_status {
    enum ccs_index_state state;
    int64_t listed_ms;     /* ccs_now_ms() when the last complete listing began; 0: none */
    int64_t suspect_ms;    /* since then removals wait; 0: they do not */
    uint64_t names;        /* stems */
    uint64_t missing;      /* of them, those that lack a file */
    uint64_t odd;          /* odd spellings kept */
    uint64_t odd_left_out; /* by the last listing: those files are not found */
    uint64_t octets;       /* in use for names of all stores */
    uint64_t octets_max;
    uint64_t rebuilds; /* of all stores */
    uint64_t lost;     /* times that a writer was killed and everything has to be listed again */
};

/* A snapshot: its numbers need not belong to exactly the same moment. No lock. */
void ccs_index_status(struct ccs_index *index, struct ccs_index_status *out);

/* Waits at most so long until a listing has ended, however it did; returns the state. */
enum ccs_index_state ccs_index_wait(struct ccs_index *index, int64_t timeout_ms);

/*
 * Whether the store does not answer, as far as the process knows that looks after it: the others
 * should find out for themselves then. No lock.
 */
void ccs_index_set_away(struct ccs_index *index, bool away);
bool ccs_index_is_away(struct ccs_index *index);

/*
 * Names are asked for that the index says are not there: a reason for whoever looks after the store
 * to see whether something has come unannounced. Noting it costs one load as a rule; taking it
 * tells whether it was noted since it was taken last. No lock.
 */
void ccs_index_note_asked(struct ccs_index *index);
bool ccs_index_take_asked(struct ccs_index *index);

/*
 * Looks at the store for names that the index cannot tell of are limited: to so many a second, by
 * all processes together, with one second's worth saved up. True: one may be made. A look that
 * finds its file is given back, so that only made-up names use them up. No lock.
 */
bool ccs_index_probe_take(struct ccs_index *index, unsigned per_second, int64_t now_ms);
void ccs_index_probe_give_back(struct ccs_index *index, unsigned per_second);

/* -- writing (the thread that holds the lease) --------------------------------------------- */

/*
 * All of it waits for a lock. Common results: CCS_OK; CCS_ECANCELED: somebody with a newer token
 * writes now, or the store's room was given away: close, and open again if the lease still holds;
 * CCS_EUNAVAIL: the memory cannot be written any more (the index is UNKNOWN from then on);
 * CCS_ENOMEM, and CCS_ETOOBIG (does not fit): the store has become UNKNOWN, list it again later.
 */
struct ccs_index_writer;

/* token: of the lease. What holders of older tokens still try to write is refused from now on.
 * CCS_EBUSY: more stores than the index has places for. */
int ccs_index_writer_open(struct ccs_index *index, uint64_t token, struct ccs_index_writer **out,
                          struct ccs_error *err);
void ccs_index_writer_close(struct ccs_index_writer *w); /* NULL allowed; what is known stays */

/* With each heartbeat of the lease: the store is in use. */
int ccs_index_beat(struct ccs_index_writer *w, int64_t now_ms);

/*
 * A listing: begin; list, or add for each file; then end, if the listing was complete and the
 * folder was the same one and answering before and after. A listing that is not ended has added
 * what it found and does nothing else.
 */
int ccs_index_scan_begin(struct ccs_index_writer *w, int64_t now_ms);

/* The store answers, but cannot be listed: whoever waits for the first listing need not go on. */
void ccs_index_scan_failed(struct ccs_index_writer *w);

/* Names that are none of a store's are passed over. Kept back and written in lots. */
int ccs_index_scan_add(struct ccs_index_writer *w, const char *file, size_t len);

/* Begins, and adds everything that ccs_store_list() gives. */
int ccs_index_scan_list(struct ccs_index_writer *w, struct ccs_store *store, int64_t now_ms,
                        struct ccs_error *err);

/* How a listing is judged (see suspect.h). */
struct ccs_index_judge {
    int64_t now_ms;
    int64_t apart_ms; /* at least between two looks that find a file absent, at most 4 minutes */
    int64_t stale_ms; /* a suspect store's removals count after this time */
    bool foreign;     /* it is another folder than before: as good as suspect */
    bool flush;       /* the administrator says that what is not there is gone */
};

/* What follows from a listing, called after it with no lock held. Either may be NULL. */
struct ccs_index_told {
    /* A file came: the stem is new, has one more kind of file, or was missing before. Not called
     * when the store was not READY before: then everything is new. */
    void (*came)(const char *stem, uint64_t hash, void *arg);
    /* A file is gone for good; all: and the stem has none any more. */
    void (*went)(uint64_t hash, bool all, void *arg);
    void *arg;
};

struct ccs_index_scanned {
    uint64_t files; /* listed that are some stem's */
    uint64_t names; /* known afterwards */
    uint64_t came, went;
    uint64_t missing; /* not there, but not gone yet: another look is due after apart_ms */
    uint64_t odd_left_out;
    bool first;    /* the store was not READY before */
    bool suspect;  /* removals wait */
    bool too_many; /* more than CCS_INDEX_TOLD_MAX came or went: not all of them were told */
};

/*
 * CCS_OK: the store is READY. CCS_EBUSY: something was lost meanwhile, list again. *out (may be
 * NULL) is written with CCS_OK and CCS_ETOOBIG.
 */
int ccs_index_scan_end(struct ccs_index_writer *w, const struct ccs_index_judge *judge,
                       const struct ccs_index_told *told, struct ccs_index_scanned *out);

/* Notifications. They count whether a listing is under way or not. CCS_ENAME: no stem's file. */

/* The file is there, and is new or changed: the stem's stamp moves. */
int ccs_index_note_present(struct ccs_index_writer *w, const char *file, size_t len);

/* The file is not there: the first look. The stem may have it in another spelling, though. */
int ccs_index_note_absent(struct ccs_index_writer *w, const char *file, size_t len, int64_t now_ms);

/*
 * A later look: there is no such file in any spelling. CCS_OK: it is gone (*all, may be NULL: the
 * stem has no other). CCS_PENDING: too early, not noted as absent before, or the store is suspect.
 * CCS_ENOTFOUND: not known.
 */
int ccs_index_note_gone(struct ccs_index_writer *w, uint64_t hash, enum ccs_file_kind kind,
                        const struct ccs_index_judge *judge, bool *all);

/*
 * Files may have come that nobody has told of: a name that is not there is UNKNOWN and not ABSENT,
 * until somebody who knows better takes that back.
 */
void ccs_index_note_doubt(struct ccs_index_writer *w, bool doubt);

/* A look at a stem's files found other ones than were loaded: its stamp moves. CCS_ENOTFOUND. */
int ccs_index_note_changed(struct ccs_index_writer *w, uint64_t hash);

#endif
