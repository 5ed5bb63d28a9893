/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_INDEX_INSIDE_H
#define CCS_INDEX_INSIDE_H

/*
 * For the index's own files only. The memory holds, one after another: the head, the spellings, the
 * slots.
 *
 * Slots form one open-addressing table for all stores. While the table is what it is (an even
 * sequence number that does not change), the hash in a slot is written once and stays; everything
 * else about the name is one word beside it, which changes by single stores. So a reader can never
 * put together halves of two names. Rebuilding the table makes the number odd for as long as it is
 * being overwritten.
 *
 * All stores that readers rely on are release and all their loads acquire: the next load or store
 * of the same side cannot overtake it, so that no fences are needed.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "index.h"
#include "robust.h"

#define CCS_INDEX_LINE 64

#define CCS_INDEX_ALL_KINDS ((1u << CCS_FILE_KINDS) - 1)

struct ccs_index_slot {
    _Atomic uint64_t hash; /* 0: free, here ends every search */
    _Atomic uint64_t word; /* 0: the name is gone */
};

/* The fields of a word, and how many bits each has. */
struct ccs_index_word {
    uint64_t stamp;   /* 33 */
    unsigned since;   /* 12: ticks, when the first of `lacking` was found absent */
    unsigned place;   /* 6: of the store */
    unsigned epoch;   /* 3: of the listing that `seen` is about */
    unsigned kinds;   /* 3: the name has these files, as far as is known */
    unsigned seen;    /* 3: kinds that this listing has met */
    unsigned lacking; /* 3: kinds that the last look has not found */
    bool odd;         /* 1 */
};

#define CCS_INDEX_STAMP_MASK ((UINT64_C(1) << 33) - 1)
#define CCS_INDEX_TICK_MASK  0xfffu
#define CCS_INDEX_EPOCH_MASK 7u
#define CCS_INDEX_TICK_SHIFT 6 /* a tick is 64 ms */

static inline uint64_t ccs_index_pack(const struct ccs_index_word *w)
{
    return (w->stamp & CCS_INDEX_STAMP_MASK) << 31 | (uint64_t)w->since << 19 |
           (uint64_t)w->place << 13 | (uint64_t)w->epoch << 10 | (uint64_t)w->kinds << 7 |
           (uint64_t)w->seen << 4 | (uint64_t)w->lacking << 1 | (w->odd ? 1 : 0);
}

static inline struct ccs_index_word ccs_index_unpack(uint64_t x)
{
    return (struct ccs_index_word){
        .stamp = x >> 31,
        .since = (unsigned)(x >> 19) & CCS_INDEX_TICK_MASK,
        .place = (unsigned)(x >> 13) & (CCS_INDEX_STORES_MAX - 1),
        .epoch = (unsigned)(x >> 10) & CCS_INDEX_EPOCH_MASK,
        .kinds = (unsigned)(x >> 7) & CCS_INDEX_ALL_KINDS,
        .seen = (unsigned)(x >> 4) & CCS_INDEX_ALL_KINDS,
        .lacking = (unsigned)(x >> 1) & CCS_INDEX_ALL_KINDS,
        .odd = (x & 1) != 0,
    };
}

/* What is known of one store. The counts follow from slots and spellings, and are counted again
 * when a writer has died. */
struct ccs_index_place {
    _Alignas(CCS_INDEX_LINE) _Atomic uint64_t store;
    _Atomic uint32_t state;  /* enum ccs_index_state; processes wait for it */
    _Atomic uint32_t breaks; /* how often it stopped to be READY */
    _Atomic uint32_t doubt;  /* names that are not there may be there */
    _Atomic uint32_t away;   /* the store does not answer */
    _Atomic uint32_t asked;  /* names were asked for that are not there */
    uint32_t epoch;          /* of the listing under way, or of the last one */
    uint32_t listing;        /* one has begun and has not been ended */
    _Atomic int64_t listed_ms;
    _Atomic int64_t suspect_ms;
    _Atomic int64_t used_ms;
    uint64_t token;
    _Atomic uint64_t names;
    _Atomic uint64_t missing;
    _Atomic uint64_t odd;
    _Atomic uint64_t odd_left_out;
};

/* A chained hash table whose records lie one after another. */
struct ccs_index_spellings {
    uint32_t size; /* octets, with the buckets, from the start of the buckets */
    uint32_t bucket_count;
    uint32_t used; /* octets */
    uint32_t dead; /* of them, in records that are not linked any more */
    uint32_t busy; /* being changed */
};

struct ccs_index_head {
    uint64_t magic;
    uint64_t size;
    uint64_t spellings_at; /* offsets from the head */
    uint64_t slots_at;
    uint64_t slots_max;

    _Alignas(CCS_INDEX_LINE) _Atomic uint64_t sequence; /* odd: the table is being overwritten */
    _Atomic uint64_t capacity;                          /* slots in use, of slots_max */

    _Alignas(CCS_INDEX_LINE) pthread_mutex_t lock; /* a leaf; guards whatever is written */
    uint64_t used;                                 /* slots that are not free */
    uint64_t names;                                /* of them, those of names that are there */
    uint64_t next_stamp;
    _Atomic uint64_t rebuilds;
    _Atomic uint64_t lost;
    struct ccs_index_spellings spellings;

    /* When the looks that were taken so far will have been earned, in microseconds; by store. */
    _Alignas(CCS_INDEX_LINE) _Atomic int64_t probes[CCS_INDEX_STORES_MAX];

    struct ccs_index_place places[CCS_INDEX_STORES_MAX];
};

/* -- index_table.c: everything with the lock held ------------------------------------------ */

/* Takes the lock, and repairs what a dead holder left. CCS_OK or CCS_EUNAVAIL. */
int ccs_index_table_lock(struct ccs_index *index);
void ccs_index_table_unlock(struct ccs_index *index);

void ccs_index_table_reset(struct ccs_index *index); /* empty, for formatting and repair */

/* The store's place, or a free one, or one that nobody has used for long. CCS_EBUSY: none. */
int ccs_index_table_claim(struct ccs_index *index, int64_t now_ms, uint32_t *place);

/* The slot of a name, known or gone; NULL if there is none. */
struct ccs_index_slot *ccs_index_table_find(struct ccs_index *index, uint64_t hash);

/* For a name that is not there: a slot with this word. CCS_OK, CCS_ETOOBIG, CCS_ENOMEM. */
int ccs_index_table_insert(struct ccs_index *index, uint64_t hash,
                           const struct ccs_index_word *word);

/* Changes what a slot says; keeps the counts. */
void ccs_index_table_put(struct ccs_index *index, struct ccs_index_slot *slot,
                         const struct ccs_index_word *word);

/* All names and spellings of a place go; its state is to be something else than READY. */
void ccs_index_table_clear(struct ccs_index *index, uint32_t place);

uint64_t ccs_index_table_stamp(struct ccs_index *index);

/* Wakes who waits for it. */
void ccs_index_table_set_state(struct ccs_index *index, uint32_t place, enum ccs_index_state state);

/* -- index_spelling.c: with the lock held, but for ccs_index_spelling() --------------------- */

struct ccs_index_odd {
    uint64_t hash;
    const char *file;
    size_t len;
    enum ccs_file_kind kind;
    bool unicode;
};

void ccs_index_odd_reset(struct ccs_index *index);
/* CCS_OK, or CCS_ETOOBIG. *is_new: it was not known. */
int ccs_index_odd_add(struct ccs_index *index, uint32_t place, uint32_t epoch,
                      const struct ccs_index_odd *odd, bool *is_new);
void ccs_index_odd_remove(struct ccs_index *index, uint32_t place, const struct ccs_index_odd *odd);
/* No listing has met those of a place. */
void ccs_index_odd_forget_seen(struct ccs_index *index, uint32_t place, uint32_t epoch);
/* Removes those of a place that this listing has not met, and tells of each; with no function to
 * tell, all of the place's. */
void ccs_index_odd_sweep(struct ccs_index *index, uint32_t place, uint32_t epoch,
                         void (*gone)(uint64_t hash, void *arg), void *arg);
/* A holder of the lock died in the middle of a change: all are lost, reset. */
bool ccs_index_odd_is_torn(const struct ccs_index *index);

/* -- what the two of them share ------------------------------------------------------------- */

#define CCS_INDEX_LOT 128 /* files that are written at a time */

/* A file, as its name says. */
struct ccs_index_found {
    uint64_t hash;
    enum ccs_file_kind kind;
    bool unicode;
    bool odd;
    size_t len;
    char stem[CCS_STEM_SIZE];
    char file[CCS_FILE_NAME_SIZE]; /* of odd ones only */
};

struct ccs_index_writer {
    struct ccs_index *index;
    uint64_t token;
    uint32_t place;

    /* Of the listing. */
    int64_t began_ms;
    uint64_t stamp;  /* of all names, if it is the first one */
    uint32_t breaks; /* of the place, when it began */
    bool open;
    bool first;
    bool full;
    uint64_t files;
    uint64_t came;
    size_t lot_count;
    struct ccs_index_found lot[CCS_INDEX_LOT];
    size_t came_len;
    size_t came_size;
    size_t came_held;
    char *came_stems; /* one after another, NUL after each */
};

/* -- index_scan.c -- */

/* Writes what a listing keeps back: it is older than what is to be noted now. A failure ends the
 * listing, but for CCS_ETOOBIG. */
int ccs_index_scan_flush(struct ccs_index_writer *w);

/* -- index_writer.c -- */

/* CCS_OK, CCS_ENAME, CCS_ENOMEM. */
int ccs_index_writer_read_name(const struct ccs_index *index, const char *file, size_t len,
                               struct ccs_index_found *f);

/* Locks. CCS_ECANCELED if the place is not this writer's any more. */
int ccs_index_writer_lock(struct ccs_index_writer *w);

/*
 * A file is there. changed: so far as is known it is another one than before; else only a file that
 * was not known, or that was missing, counts as one that came. Lock held.
 */
int ccs_index_writer_add(struct ccs_index_writer *w, const struct ccs_index_found *f, bool changed,
                         bool *came);

/* Something cannot be recorded: the store is unknown from now on. Lock held. Returns rv. */
int ccs_index_writer_give_up(struct ccs_index_writer *w, int rv);

/*
 * Whether what is absent may count as gone; keeps the time since when it may not. absent: names
 * that lack a file; empty: whether the listing found none at all, NULL if there was no listing.
 */
bool ccs_index_writer_may_remove(struct ccs_index_writer *w, const struct ccs_index_judge *judge,
                                 uint64_t absent, const bool *empty);

/* Whether so long has passed for certain since a tick. After a full round of ticks it may say no
 * for a while. */
bool ccs_index_has_passed(unsigned since, int64_t now_ms, int64_t ms);
unsigned ccs_index_tick(int64_t ms);

static inline struct ccs_index_place *ccs_index_writer_place(const struct ccs_index_writer *w)
{
    return &w->index->head->places[w->place];
}

/* Whether a slot is a name of the writer's store; *word is what it says. */
static inline bool ccs_index_writer_owns(const struct ccs_index_writer *w,
                                         const struct ccs_index_slot *slot,
                                         struct ccs_index_word *word)
{
    *word = ccs_index_unpack(atomic_load_explicit(&slot->word, memory_order_relaxed));
    return word->kinds != 0 && word->place == w->place;
}

#endif
