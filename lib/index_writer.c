/* SPDX-License-Identifier: Apache-2.0 */
/* Writing into the index: one file at a time, and what a process must be to be allowed to. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "index_inside.h"
#include "suspect.h"

int ccs_index_writer_lock(struct ccs_index_writer *w)
{
    struct ccs_index *index = w->index;
    const struct ccs_index_place *p = &index->head->places[w->place];
    int rv = ccs_index_table_lock(index);

    if (rv != CCS_OK)
        return rv;
    if (atomic_load_explicit(&p->store, memory_order_relaxed) == index->store &&
        atomic_load_explicit(&p->state, memory_order_relaxed) != CCS_INDEX_NONE &&
        p->token == w->token)
        return CCS_OK;
    ccs_index_table_unlock(index);
    return CCS_ECANCELED;
}

static enum ccs_index_state state_of(const struct ccs_index_writer *w)
{
    return (enum ccs_index_state)atomic_load_explicit(&ccs_index_writer_place(w)->state,
                                                      memory_order_relaxed);
}

int ccs_index_writer_give_up(struct ccs_index_writer *w, int rv)
{
    if (rv == CCS_ETOOBIG) {
        w->full = true;
        ccs_index_table_set_state(w->index, w->place, CCS_INDEX_FULL);
        /* What others may need is not to be held by names that nobody can use. */
        ccs_index_table_clear(w->index, w->place);
    } else {
        ccs_index_table_set_state(w->index, w->place, CCS_INDEX_EMPTY);
    }
    return rv;
}

/* -- life ---------------------------------------------------------------------------------- */

int ccs_index_writer_open(struct ccs_index *index, uint64_t token, struct ccs_index_writer **out,
                          struct ccs_error *err)
{
    const int64_t now_ms = ccs_now_ms();
    struct ccs_index_writer *w = calloc(1, sizeof(*w));
    struct ccs_index_place *p;
    int rv;

    if (w == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to list the store");
    w->index = index;
    w->token = token;
    rv = ccs_index_table_lock(index);
    if (rv == CCS_OK) {
        rv = ccs_index_table_claim(index, now_ms, &w->place);
        p = ccs_index_writer_place(w);
        if (rv == CCS_OK && token < p->token)
            rv = CCS_ECANCELED;
        if (rv == CCS_OK) {
            p->token = token;
            atomic_store_explicit(&p->used_ms, now_ms, memory_order_relaxed);
        }
        ccs_index_table_unlock(index);
    }
    if (rv != CCS_OK) {
        free(w);
        return ccs_error_set(err, rv, "%s",
                             rv == CCS_EBUSY ? "too many stores share one memory for names"
                             : rv == CCS_ECANCELED
                                 ? "another process lists the store"
                                 : "the memory for names in the store cannot be used any more");
    }
    *out = w;
    return CCS_OK;
}

void ccs_index_writer_close(struct ccs_index_writer *w)
{
    if (w == NULL)
        return;
    free(w->came_stems);
    free(w);
}

int ccs_index_beat(struct ccs_index_writer *w, int64_t now_ms)
{
    const int rv = ccs_index_writer_lock(w);

    if (rv == CCS_OK) {
        atomic_store_explicit(&ccs_index_writer_place(w)->used_ms, now_ms, memory_order_relaxed);
        ccs_index_table_unlock(w->index);
    }
    return rv;
}

/* -- names --------------------------------------------------------------------------------- */

static bool has_upper_case(const char *file, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (file[i] >= 'A' && file[i] <= 'Z')
            return true;
    }
    return false;
}

int ccs_index_writer_read_name(const struct ccs_index *index, const char *file, size_t len,
                               struct ccs_index_found *f)
{
    char plain[CCS_FILE_NAME_SIZE];
    int unicode;
    int rv = ccs_name_from_file(file, len, f->stem, &f->kind, &unicode);

    if (rv != CCS_OK)
        return rv;
    f->unicode = unicode != 0;
    f->odd = has_upper_case(file, len);
    if (unicode && !f->odd) {
        rv = ccs_name_file_unicode(f->stem, f->kind, plain);
        if (rv == CCS_ENOMEM)
            return rv;
        f->odd = rv != CCS_OK || strlen(plain) != len || memcmp(plain, file, len) != 0;
    }
    f->len = len;
    if (f->odd) {
        memcpy(f->file, file, len);
        f->file[len] = '\0';
    }
    f->hash = ccs_index_hash(index, f->stem, strlen(f->stem));
    return CCS_OK;
}

static struct ccs_index_odd odd_of(const struct ccs_index_found *f)
{
    return (struct ccs_index_odd){
        .hash = f->hash,
        .file = f->file,
        .len = f->len,
        .kind = f->kind,
        .unicode = f->unicode,
    };
}

/* Keeps an odd spelling; true if it was not known. */
static bool add_odd(struct ccs_index_writer *w, const struct ccs_index_found *f)
{
    struct ccs_index_place *p = ccs_index_writer_place(w);
    const struct ccs_index_odd odd = odd_of(f);
    bool is_new;

    if (ccs_index_odd_add(w->index, w->place, p->epoch, &odd, &is_new) != CCS_OK)
        atomic_store_explicit(&p->odd_left_out,
                              atomic_load_explicit(&p->odd_left_out, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    return is_new;
}

int ccs_index_writer_add(struct ccs_index_writer *w, const struct ccs_index_found *f, bool changed,
                         bool *came)
{
    const struct ccs_index_place *p = ccs_index_writer_place(w);
    const unsigned kind = 1u << f->kind;
    const bool first = w->open && w->first;
    struct ccs_index_slot *slot = ccs_index_table_find(w->index, f->hash);
    struct ccs_index_word word = {0};
    bool known;

    *came = false;
    if (slot != NULL)
        word = ccs_index_unpack(atomic_load_explicit(&slot->word, memory_order_relaxed));
    known = word.kinds != 0;
    /* The same hash in another store: only that no name of ours may seem absent matters. */
    if (known && word.place != w->place)
        return CCS_OK;
    *came = (word.kinds & kind) == 0 || (word.lacking & kind) != 0;
    if (f->odd && add_odd(w, f))
        *came = true;
    if (!known || word.epoch != p->epoch) {
        word.seen = 0;
        /* What happened before a first listing, nobody knows. */
        if (first)
            word.stamp = w->stamp;
    }
    if (changed || word.stamp == 0 || (*came && !first))
        word.stamp = ccs_index_table_stamp(w->index);
    word.place = w->place;
    word.epoch = p->epoch;
    word.seen |= kind;
    word.kinds |= kind;
    word.lacking &= ~kind;
    word.odd = word.odd || f->odd;
    if (!known)
        return ccs_index_table_insert(w->index, f->hash, &word);
    ccs_index_table_put(w->index, slot, &word);
    return CCS_OK;
}

/* -- what is absent ------------------------------------------------------------------------ */

unsigned ccs_index_tick(int64_t ms)
{
    return (unsigned)((uint64_t)ms >> CCS_INDEX_TICK_SHIFT) & CCS_INDEX_TICK_MASK;
}

bool ccs_index_has_passed(unsigned since, int64_t now_ms, int64_t ms)
{
    const unsigned passed = (ccs_index_tick(now_ms) - since) & CCS_INDEX_TICK_MASK;

    return passed > 0 && (int64_t)(passed - 1) << CCS_INDEX_TICK_SHIFT >= ms;
}

bool ccs_index_writer_may_remove(struct ccs_index_writer *w, const struct ccs_index_judge *judge,
                                 uint64_t absent, const bool *empty)
{
    struct ccs_index_place *p = ccs_index_writer_place(w);
    const uint64_t known = atomic_load_explicit(&p->names, memory_order_relaxed);
    int64_t since = atomic_load_explicit(&p->suspect_ms, memory_order_relaxed);
    bool suspect = ccs_suspect(known, absent, empty != NULL ? *empty : absent == known);

    suspect = suspect || (judge->foreign && absent > 0);
    /* Only a listing can say that it is over. */
    suspect = suspect || (empty == NULL && since != 0);
    if (judge->flush)
        return true;
    if (!suspect)
        since = 0;
    else if (since == 0)
        since = judge->now_ms > 0 ? judge->now_ms : 1;
    atomic_store_explicit(&p->suspect_ms, since, memory_order_relaxed);
    return since == 0 || judge->now_ms - since >= judge->stale_ms;
}

/* -- notifications ------------------------------------------------------------------------- */

/* Locks, with everything written that a listing has met before. */
static int note_lock(struct ccs_index_writer *w)
{
    (void)ccs_index_scan_flush(w); /* a listing that failed says so at its end */
    return ccs_index_writer_lock(w);
}

int ccs_index_note_present(struct ccs_index_writer *w, const char *file, size_t len)
{
    struct ccs_index_found f;
    bool came;
    int rv = ccs_index_writer_read_name(w->index, file, len, &f);

    if (rv == CCS_ENAME)
        return rv;
    if (rv != CCS_OK) {
        if (note_lock(w) == CCS_OK) {
            (void)ccs_index_writer_give_up(w, rv);
            ccs_index_table_unlock(w->index);
        }
        return rv;
    }
    rv = note_lock(w);
    if (rv != CCS_OK)
        return rv;
    /* A listing that may bring it back is to know of this file, too. */
    if (state_of(w) != CCS_INDEX_FULL || (w->open && !w->full)) {
        rv = ccs_index_writer_add(w, &f, true, &came);
        if (rv != CCS_OK)
            rv = ccs_index_writer_give_up(w, rv);
    } else {
        rv = CCS_ETOOBIG;
    }
    ccs_index_table_unlock(w->index);
    return rv;
}

int ccs_index_note_absent(struct ccs_index_writer *w, const char *file, size_t len, int64_t now_ms)
{
    struct ccs_index_slot *slot;
    struct ccs_index_word word;
    struct ccs_index_odd odd;
    struct ccs_index_found f;
    unsigned kind;
    int rv = ccs_index_writer_read_name(w->index, file, len, &f);

    if (rv != CCS_OK)
        return rv;
    kind = 1u << f.kind;
    rv = note_lock(w);
    if (rv != CCS_OK)
        return rv;
    if (f.odd) {
        odd = odd_of(&f);
        ccs_index_odd_remove(w->index, w->place, &odd);
    }
    slot = ccs_index_table_find(w->index, f.hash);
    if (slot != NULL && ccs_index_writer_owns(w, slot, &word) && (word.kinds & kind) != 0) {
        if ((word.lacking & kind) == 0)
            word.since = ccs_index_tick(now_ms);
        word.lacking |= kind;
        word.seen &= ~kind;
        ccs_index_table_put(w->index, slot, &word);
    }
    ccs_index_table_unlock(w->index);
    return CCS_OK;
}

int ccs_index_note_gone(struct ccs_index_writer *w, uint64_t hash, enum ccs_file_kind kind,
                        const struct ccs_index_judge *judge, bool *all)
{
    const unsigned bit = 1u << kind;
    const struct ccs_index_place *p = ccs_index_writer_place(w);
    struct ccs_index_slot *slot;
    struct ccs_index_word word;
    bool last = false;
    int rv = note_lock(w);

    if (rv != CCS_OK)
        return rv;
    slot = ccs_index_table_find(w->index, hash);
    if (slot == NULL || !ccs_index_writer_owns(w, slot, &word) || (word.kinds & bit) == 0) {
        rv = CCS_ENOTFOUND;
        goto out;
    }
    if ((word.lacking & bit) == 0) {
        word.since = ccs_index_tick(judge->now_ms);
        word.lacking |= bit;
        word.seen &= ~bit;
        ccs_index_table_put(w->index, slot, &word);
    }
    rv = CCS_PENDING;
    if (ccs_index_writer_may_remove(
            w, judge, atomic_load_explicit(&p->missing, memory_order_relaxed), NULL) &&
        (judge->flush || ccs_index_has_passed(word.since, judge->now_ms, judge->apart_ms))) {
        word.kinds &= ~bit;
        word.lacking &= ~bit;
        word.stamp = ccs_index_table_stamp(w->index);
        last = word.kinds == 0;
        ccs_index_table_put(w->index, slot, &word);
        rv = CCS_OK;
    }
out:
    ccs_index_table_unlock(w->index);
    if (rv == CCS_OK && all != NULL)
        *all = last;
    return rv;
}

void ccs_index_note_doubt(struct ccs_index_writer *w, bool doubt)
{
    if (ccs_index_writer_lock(w) != CCS_OK)
        return;
    atomic_store_explicit(&ccs_index_writer_place(w)->doubt, doubt ? 1 : 0, memory_order_release);
    ccs_index_table_unlock(w->index);
}

int ccs_index_note_changed(struct ccs_index_writer *w, uint64_t hash)
{
    struct ccs_index_slot *slot;
    struct ccs_index_word word;
    int rv = note_lock(w);

    if (rv != CCS_OK)
        return rv;
    slot = ccs_index_table_find(w->index, hash);
    if (slot != NULL && ccs_index_writer_owns(w, slot, &word)) {
        word.stamp = ccs_index_table_stamp(w->index);
        ccs_index_table_put(w->index, slot, &word);
    } else {
        rv = CCS_ENOTFOUND;
    }
    ccs_index_table_unlock(w->index);
    return rv;
}
