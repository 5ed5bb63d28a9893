/* SPDX-License-Identifier: Apache-2.0 */
/* A listing: written in lots as it comes, and judged when it is complete. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fault.h"
#include "index_inside.h"
#include "suspect.h"

/* -- a listing ----------------------------------------------------------------------------- */

/*
 * What listings that were not ended have met does not count. Epochs are few: after some of those
 * listings it would look as if the one under way had met it.
 */
static void forget_seen(const struct ccs_index_writer *w)
{
    const struct ccs_index *index = w->index;
    const uint64_t capacity = atomic_load_explicit(&index->head->capacity, memory_order_relaxed);
    const struct ccs_index_place *p = ccs_index_writer_place(w);
    struct ccs_index_word word;

    for (uint64_t i = 0; i < capacity; i++) {
        if (ccs_index_writer_owns(w, &index->slots[i], &word)) {
            word.seen = 0;
            word.epoch = (p->epoch - 1) & CCS_INDEX_EPOCH_MASK;
            ccs_index_table_put(w->index, &index->slots[i], &word);
        }
    }
    ccs_index_odd_forget_seen(w->index, w->place, p->epoch);
}

int ccs_index_scan_begin(struct ccs_index_writer *w, int64_t now_ms)
{
    struct ccs_index_place *p = ccs_index_writer_place(w);
    const int rv = ccs_index_writer_lock(w);

    w->open = false;
    if (rv != CCS_OK)
        return rv;
    p->epoch = (p->epoch + 1) & CCS_INDEX_EPOCH_MASK;
    if (p->listing)
        forget_seen(w);
    p->listing = 1;
    atomic_store_explicit(&p->odd_left_out, 0, memory_order_relaxed);
    atomic_store_explicit(&p->used_ms, now_ms, memory_order_relaxed);
    w->stamp = ccs_index_table_stamp(w->index);
    w->first = atomic_load_explicit(&p->state, memory_order_relaxed) != CCS_INDEX_READY;
    w->breaks = atomic_load_explicit(&p->breaks, memory_order_relaxed);
    ccs_index_table_unlock(w->index);
    w->open = true;
    w->full = false;
    w->began_ms = now_ms;
    w->files = 0;
    w->came = 0;
    w->lot_count = 0;
    w->came_len = 0;
    w->came_held = 0;
    return CCS_OK;
}

/* Room for the stems of a whole lot, so that none is wanted with the lock held. */
static int make_room_for_stems(struct ccs_index_writer *w)
{
    const size_t wanted = w->came_len + CCS_INDEX_LOT * (size_t)CCS_STEM_SIZE;
    size_t size;
    char *p;

    if (w->first || w->came_held >= CCS_INDEX_TOLD_MAX || wanted <= w->came_size)
        return CCS_OK;
    size = w->came_size * 2 > wanted ? w->came_size * 2 : wanted;
    p = realloc(w->came_stems, size);
    if (p == NULL)
        return CCS_ENOMEM;
    w->came_stems = p;
    w->came_size = size;
    return CCS_OK;
}

static void keep_stem(struct ccs_index_writer *w, const char *stem)
{
    const size_t size = strlen(stem) + 1;

    w->came++;
    if (w->first || w->came_held >= CCS_INDEX_TOLD_MAX || size > w->came_size - w->came_len)
        return;
    memcpy(w->came_stems + w->came_len, stem, size);
    w->came_len += size;
    w->came_held++;
}

int ccs_index_scan_flush(struct ccs_index_writer *w)
{
    bool came;
    int rv;

    if (!w->open || w->lot_count == 0)
        return CCS_OK;
    rv = make_room_for_stems(w);
    if (rv == CCS_OK)
        rv = ccs_index_writer_lock(w);
    if (rv != CCS_OK) {
        w->open = false;
        return rv;
    }
    for (size_t i = 0; i < w->lot_count && rv == CCS_OK; i++) {
        rv = ccs_index_writer_add(w, &w->lot[i], false, &came);
        if (rv == CCS_OK && came)
            keep_stem(w, w->lot[i].stem);
    }
    if (rv != CCS_OK)
        rv = ccs_index_writer_give_up(w, rv);
    ccs_index_table_unlock(w->index);
    w->lot_count = 0;
    w->open = rv == CCS_OK || w->full;
    return rv;
}

int ccs_index_scan_add(struct ccs_index_writer *w, const char *file, size_t len)
{
    int rv;

    if (!w->open)
        return CCS_ECANCELED;
    rv = ccs_index_writer_read_name(w->index, file, len, &w->lot[w->lot_count]);
    if (rv == CCS_ENAME)
        return CCS_OK;
    w->files += rv == CCS_OK;
    /* Once it does not fit nothing more is kept, but what there is is counted. */
    if (rv == CCS_OK && !w->full && ++w->lot_count == CCS_INDEX_LOT)
        rv = ccs_index_scan_flush(w);
    if (rv == CCS_OK || (w->open && w->full))
        return CCS_OK;
    w->open = false;
    return rv;
}

struct listing {
    struct ccs_index_writer *w;
    int rv;
};

static int on_listed(const char *file, size_t len, void *arg)
{
    struct listing *l = arg;

    l->rv = ccs_index_scan_add(l->w, file, len);
    return l->rv != CCS_OK;
}

int ccs_index_scan_list(struct ccs_index_writer *w, struct ccs_store *store, int64_t now_ms,
                        struct ccs_error *err)
{
    struct listing l = {w, ccs_index_scan_begin(w, now_ms)};
    int rv;

    if (l.rv == CCS_OK) {
        rv = ccs_store_list(store, on_listed, &l, err);
        if (rv != CCS_OK) {
            w->open = false;
            return rv;
        }
    }
    if (l.rv == CCS_OK)
        return CCS_OK;
    return ccs_error_set(err, l.rv, "%s",
                         l.rv == CCS_ENOMEM ? "no memory for the names in the store"
                                            : "the names in the store cannot be written any more");
}

void ccs_index_scan_failed(struct ccs_index_writer *w)
{
    w->open = false;
    if (ccs_index_writer_lock(w) != CCS_OK)
        return;
    /* What an earlier listing found is better than nothing. */
    if (atomic_load_explicit(&ccs_index_writer_place(w)->state, memory_order_relaxed) !=
        CCS_INDEX_READY)
        ccs_index_table_set_state(w->index, w->place, CCS_INDEX_UNLISTED);
    ccs_index_table_unlock(w->index);
}

/* -- its end ------------------------------------------------------------------------------- */

/* What a listing says of one name: the kinds that it lacks. */
static unsigned absent_kinds(const struct ccs_index_word *word, uint32_t epoch)
{
    return word->kinds & ~(word->epoch == epoch ? word->seen : 0);
}

struct sweep {
    struct ccs_index_writer *w;
    const struct ccs_index_judge *judge;
    bool remove;
    uint64_t went_count;
    struct {
        uint64_t hash;
        bool all;
    } * went; /* room for CCS_INDEX_TOLD_MAX */
};

static void keep_hash(struct sweep *s, uint64_t hash, bool all)
{
    if (s->went_count < CCS_INDEX_TOLD_MAX) {
        s->went[s->went_count].hash = hash;
        s->went[s->went_count].all = all;
    }
    s->went_count++;
}

static void judge_name(struct sweep *s, struct ccs_index_slot *slot)
{
    const uint64_t before = atomic_load_explicit(&slot->word, memory_order_relaxed);
    const unsigned epoch = ccs_index_writer_place(s->w)->epoch;
    struct ccs_index_word word = ccs_index_unpack(before);
    const unsigned absent = absent_kinds(&word, epoch);
    unsigned gone = 0;

    if (absent == 0)
        return;
    if (s->remove && s->judge->flush)
        gone = absent;
    else if (s->remove && ccs_index_has_passed(word.since, s->w->began_ms, s->judge->apart_ms))
        gone = absent & word.lacking;
    if ((absent & ~gone & ~word.lacking) != 0)
        word.since = ccs_index_tick(s->judge->now_ms);
    word.kinds &= ~gone;
    word.lacking = absent & ~gone;
    word.epoch = epoch;
    word.seen = word.kinds & ~word.lacking;
    if (gone != 0) {
        word.stamp = ccs_index_table_stamp(s->w->index);
        keep_hash(s, atomic_load_explicit(&slot->hash, memory_order_relaxed), word.kinds == 0);
    }
    if (ccs_index_pack(&word) != before)
        ccs_index_table_put(s->w->index, slot, &word);
}

/* A stem has an odd spelling less: the file may be there in another one. */
static void on_odd_gone(uint64_t hash, void *arg)
{
    struct sweep *s = arg;
    struct ccs_index_slot *slot = ccs_index_table_find(s->w->index, hash);
    struct ccs_index_word word;

    if (slot == NULL || !ccs_index_writer_owns(s->w, slot, &word))
        return;
    word.stamp = ccs_index_table_stamp(s->w->index);
    ccs_index_table_put(s->w->index, slot, &word);
    keep_hash(s, hash, false);
}

/* Lock held. */
static void sweep(struct sweep *s)
{
    const struct ccs_index *index = s->w->index;
    const uint64_t capacity = atomic_load_explicit(&index->head->capacity, memory_order_relaxed);
    const struct ccs_index_place *p = ccs_index_writer_place(s->w);
    const bool empty = s->w->files == 0;
    struct ccs_index_word word;
    uint64_t absent = 0;

    for (uint64_t i = 0; i < capacity; i++)
        absent += ccs_index_writer_owns(s->w, &index->slots[i], &word) &&
                  absent_kinds(&word, p->epoch) != 0;
    s->remove = ccs_index_writer_may_remove(s->w, s->judge, absent, &empty);
    for (uint64_t i = 0; i < capacity && absent > 0; i++) {
        if (ccs_index_writer_owns(s->w, &index->slots[i], &word))
            judge_name(s, &index->slots[i]);
        if (i == capacity / 2)
            ccs_fault("index sweep");
    }
    /* Files that are only missing may be asked for again. */
    if (s->remove)
        ccs_index_odd_sweep(s->w->index, s->w->place, p->epoch, on_odd_gone, s);
}

static void tell(const struct ccs_index_writer *w, const struct sweep *s,
                 const struct ccs_index_told *told)
{
    size_t at = 0;

    for (uint64_t i = 0; told->went != NULL && i < s->went_count && i < CCS_INDEX_TOLD_MAX; i++)
        told->went(s->went[i].hash, s->went[i].all, told->arg);
    while (told->came != NULL && at < w->came_len) {
        const char *stem = w->came_stems + at;
        const size_t len = strlen(stem);

        told->came(stem, ccs_index_hash(w->index, stem, len), told->arg);
        at += len + 1;
    }
}

static void fill_result(const struct ccs_index_writer *w, const struct sweep *s,
                        struct ccs_index_scanned *out)
{
    const struct ccs_index_place *p = ccs_index_writer_place(w);

    *out = (struct ccs_index_scanned){
        .files = w->files,
        .names = atomic_load_explicit(&p->names, memory_order_relaxed),
        .came = w->came,
        .went = s->went_count,
        .missing = atomic_load_explicit(&p->missing, memory_order_relaxed),
        .odd_left_out = atomic_load_explicit(&p->odd_left_out, memory_order_relaxed),
        .first = w->first,
        .suspect = atomic_load_explicit(&p->suspect_ms, memory_order_relaxed) != 0,
        .too_many = (!w->first && w->came > w->came_held) || s->went_count > CCS_INDEX_TOLD_MAX,
    };
}

int ccs_index_scan_end(struct ccs_index_writer *w, const struct ccs_index_judge *judge,
                       const struct ccs_index_told *told, struct ccs_index_scanned *out)
{
    struct sweep s = {.w = w, .judge = judge};
    struct ccs_index_scanned result = {0};
    struct ccs_index_place *p = ccs_index_writer_place(w);
    int rv;

    if (!w->open)
        return CCS_ECANCELED;
    rv = ccs_index_scan_flush(w);
    w->open = false;
    s.went = calloc(CCS_INDEX_TOLD_MAX, sizeof(*s.went));
    if (rv == CCS_OK && s.went == NULL)
        rv = CCS_ENOMEM;
    if (rv == CCS_OK || rv == CCS_ETOOBIG)
        rv = ccs_index_writer_lock(w);
    if (rv != CCS_OK)
        goto out;
    if (w->full) {
        rv = CCS_ETOOBIG;
    } else if (atomic_load_explicit(&p->breaks, memory_order_relaxed) != w->breaks) {
        rv = CCS_EBUSY;
    } else {
        sweep(&s);
        p->listing = 0;
        atomic_store_explicit(&p->listed_ms, w->began_ms, memory_order_relaxed);
        atomic_store_explicit(&p->used_ms, judge->now_ms, memory_order_relaxed);
        ccs_index_table_set_state(w->index, w->place, CCS_INDEX_READY);
    }
    fill_result(w, &s, &result);
    ccs_index_table_unlock(w->index);
    if (rv == CCS_OK && told != NULL)
        tell(w, &s, told);
    if (out != NULL && rv != CCS_EBUSY)
        *out = result;
out:
    free(s.went);
    return rv;
}
