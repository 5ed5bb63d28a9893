/* SPDX-License-Identifier: Apache-2.0 */
/* Odd spellings of file names, beside the names. All of it under the index's lock. */
#include <stddef.h>
#include <string.h>

#include "fault.h"
#include "index_inside.h"

#define OCTETS_PER_BUCKET 64 /* about as long as a record */
#define END               UINT32_MAX

/* One odd spelling; the next record begins at the next multiple of 8. */
struct record {
    uint64_t hash;
    uint32_t next; /* offset in the chain of its bucket, or END */
    uint16_t len;
    uint8_t place;
    uint8_t kind;
    uint8_t epoch;
    bool unicode;
    bool dead;
    char file[]; /* len octets */
};

static uint8_t *area(const struct ccs_index *index)
{
    return (uint8_t *)index->head + index->head->spellings_at;
}

static uint32_t *bucket_of(const struct ccs_index *index, uint64_t hash)
{
    return (uint32_t *)(void *)area(index) +
           ((hash >> 32) * index->head->spellings.bucket_count >> 32);
}

static struct record *record_at(const struct ccs_index *index, uint32_t offset)
{
    return (struct record *)(void *)(area(index) + offset);
}

static uint32_t record_size(size_t len)
{
    return (uint32_t)((offsetof(struct record, file) + len + 7) & ~(size_t)7);
}

static uint32_t records_at(const struct ccs_index_spellings *s)
{
    return (s->bucket_count * (uint32_t)sizeof(uint32_t) + 7) & ~UINT32_C(7);
}

static void empty_buckets(struct ccs_index *index)
{
    memset(area(index), 0xff, index->head->spellings.bucket_count * sizeof(uint32_t));
}

void ccs_index_odd_reset(struct ccs_index *index)
{
    struct ccs_index_spellings *s = &index->head->spellings;

    s->busy = 1;
    ccs_robust_order();
    s->bucket_count = s->size / OCTETS_PER_BUCKET;
    s->used = records_at(s);
    s->dead = 0;
    empty_buckets(index);
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++)
        atomic_store_explicit(&index->head->places[i].odd, 0, memory_order_relaxed);
    ccs_robust_order();
    s->busy = 0;
}

static void begin(struct ccs_index *index)
{
    index->head->spellings.busy = 1;
    ccs_robust_order();
    ccs_fault("index spelling");
}

static void end(struct ccs_index *index)
{
    ccs_fault("index spelling end");
    ccs_robust_order();
    index->head->spellings.busy = 0;
    ccs_robust_order();
}

static void count_odd(struct ccs_index *index, uint32_t place, uint64_t by)
{
    _Atomic uint64_t *odd = &index->head->places[place].odd;

    atomic_store_explicit(odd, atomic_load_explicit(odd, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

/* Moves what is alive together and links it anew. */
static void compact(struct ccs_index *index)
{
    struct ccs_index_spellings *s = &index->head->spellings;
    uint32_t from = records_at(s);
    uint32_t to = from;

    empty_buckets(index);
    while (from < s->used) {
        const uint32_t size = record_size(record_at(index, from)->len);

        if (!record_at(index, from)->dead) {
            struct record *r = record_at(index, to);
            uint32_t *bucket;

            memmove(r, record_at(index, from), size);
            bucket = bucket_of(index, r->hash);
            r->next = *bucket;
            *bucket = to;
            to += size;
            ccs_fault("index spelling moved");
        }
        from += size;
    }
    s->used = to;
    s->dead = 0;
}

static bool is_same(const struct record *r, uint32_t place, const struct ccs_index_odd *odd)
{
    return !r->dead && r->hash == odd->hash && r->place == place && r->kind == odd->kind &&
           r->len == odd->len && memcmp(r->file, odd->file, odd->len) == 0;
}

static struct record *find(const struct ccs_index *index, uint32_t place,
                           const struct ccs_index_odd *odd)
{
    uint32_t at = *bucket_of(index, odd->hash);

    while (at != END && !is_same(record_at(index, at), place, odd))
        at = record_at(index, at)->next;
    return at != END ? record_at(index, at) : NULL;
}

int ccs_index_odd_add(struct ccs_index *index, uint32_t place, uint32_t epoch,
                      const struct ccs_index_odd *odd, bool *is_new)
{
    struct ccs_index_spellings *s = &index->head->spellings;
    const uint32_t size = record_size(odd->len);
    struct record *r = find(index, place, odd);
    uint32_t *bucket;

    *is_new = false;
    if (r != NULL) {
        r->epoch = (uint8_t)(epoch & CCS_INDEX_EPOCH_MASK);
        return CCS_OK;
    }
    if (odd->len > CCS_FILE_NAME_MAX || s->used - s->dead + size > s->size)
        return CCS_ETOOBIG;
    begin(index);
    if (s->used + size > s->size)
        compact(index);
    r = record_at(index, s->used);
    bucket = bucket_of(index, odd->hash);
    r->hash = odd->hash;
    r->next = *bucket;
    r->len = (uint16_t)odd->len;
    r->place = (uint8_t)place;
    r->kind = (uint8_t)odd->kind;
    r->unicode = odd->unicode;
    r->dead = false;
    r->epoch = (uint8_t)(epoch & CCS_INDEX_EPOCH_MASK);
    memcpy(r->file, odd->file, odd->len);
    *bucket = s->used;
    ccs_fault("index spelling linked");
    s->used += size;
    count_odd(index, place, 1);
    end(index);
    *is_new = true;
    return CCS_OK;
}

static void bury(struct ccs_index *index, struct record *r)
{
    r->dead = 1;
    index->head->spellings.dead += record_size(r->len);
    count_odd(index, r->place, (uint64_t)-1);
}

void ccs_index_odd_remove(struct ccs_index *index, uint32_t place, const struct ccs_index_odd *odd)
{
    struct record *r = find(index, place, odd);

    if (r != NULL) {
        begin(index);
        bury(index, r);
        end(index);
    }
}

void ccs_index_odd_forget_seen(struct ccs_index *index, uint32_t place, uint32_t epoch)
{
    const struct ccs_index_spellings *s = &index->head->spellings;
    struct record *r;

    for (uint32_t at = records_at(s); at < s->used; at += record_size(r->len)) {
        r = record_at(index, at);
        if (r->place == place)
            r->epoch = (uint8_t)((epoch - 1) & CCS_INDEX_EPOCH_MASK);
    }
}

void ccs_index_odd_sweep(struct ccs_index *index, uint32_t place, uint32_t epoch,
                         void (*gone)(uint64_t hash, void *arg), void *arg)
{
    struct ccs_index_spellings *s = &index->head->spellings;
    uint32_t size;

    begin(index);
    for (uint32_t at = records_at(s); at < s->used; at += size) {
        struct record *r = record_at(index, at);

        size = record_size(r->len);
        if (r->dead || r->place != place ||
            (gone != NULL && r->epoch == (epoch & CCS_INDEX_EPOCH_MASK)))
            continue;
        bury(index, r);
        if (gone != NULL)
            gone(r->hash, arg);
    }
    if (s->dead > 0)
        compact(index);
    end(index);
}

bool ccs_index_odd_is_torn(const struct ccs_index *index)
{
    return index->head->spellings.busy != 0;
}

/* Unicode ones first, then in the order of their octets. */
static bool is_better(const struct record *r, const struct record *than)
{
    const size_t len = r->len < than->len ? r->len : than->len;
    int order;

    if (r->unicode != than->unicode)
        return r->unicode;
    order = memcmp(r->file, than->file, len);
    return order < 0 || (order == 0 && r->len < than->len);
}

int ccs_index_spelling(struct ccs_index *index, uint64_t hash, enum ccs_file_kind kind, char *out,
                       bool *unicode)
{
    const struct record *best = NULL;
    const struct record *r;
    struct ccs_index_status status;
    int rv = CCS_ENOTFOUND;

    /* Most stores have none, and a listing that is under way keeps whoever wants the lock waiting.
     * A name that says it has one says so only after it was counted. */
    ccs_index_status(index, &status);
    if (status.odd == 0)
        return CCS_ENOTFOUND;
    if (ccs_index_table_lock(index) != CCS_OK)
        return CCS_ENOTFOUND;
    for (uint32_t at = *bucket_of(index, hash); at != END; at = r->next) {
        r = record_at(index, at);
        if (!r->dead && r->hash == hash && r->kind == (unsigned)kind &&
            (best == NULL || is_better(r, best)))
            best = r;
    }
    if (best != NULL) {
        memcpy(out, best->file, best->len);
        out[best->len] = '\0';
        if (unicode != NULL)
            *unicode = best->unicode;
        rv = CCS_OK;
    }
    ccs_index_table_unlock(index);
    return rv;
}
