/* SPDX-License-Identifier: Apache-2.0 */
/* What goes through a whole vault: in small steps, so that no lock is held for long. */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "vault.h"
#include "vault_inside.h"

#define STEP 128 /* slots that are looked at under one lock */

/* Looks at one slot that is in use, under the lock. */
typedef void (*step_cb)(const struct ccs_pool *p, uint32_t slot, void *arg);

static void walk(const struct ccs_vault *v, bool failures, uint64_t store, step_cb step, void *arg)
{
    for (uint32_t shard = 0; shard < v->shard_count; shard++) {
        const struct ccs_pool *p = failures ? &v->shards[shard].failures
                                            : &v->shards[shard].entries;
        uint32_t i = 0, end = 1;

        while (i < end && ccs_vault_lock(v, shard, CCS_LOCK_WAIT) == CCS_OK) {
            end = p->state->fresh_slot;
            for (uint32_t n = 0; i < end && n < STEP; i++, n++) {
                if (atomic_load_explicit(&p->slots[i].state, memory_order_relaxed) ==
                        CCS_SLOT_LIVE &&
                    p->slots[i].store == store)
                    step(p, i, arg);
            }
            ccs_vault_unlock(v, shard);
        }
    }
}

static void remove_one(const struct ccs_pool *p, uint32_t slot, void *arg)
{
    size_t *removed = arg;

    ccs_pool_remove(p, slot, false);
    (*removed)++;
}

size_t ccs_vault_remove_store(const struct ccs_vault *v, uint64_t store)
{
    size_t removed = 0;

    walk(v, false, store, remove_one, &removed);
    /* What was evicted before may still be in some L1. */
    ccs_vault_arrived_all(v);
    return removed;
}

static void expire_one(const struct ccs_pool *p, uint32_t slot, void *arg)
{
    (void)arg;
    p->slots[slot].time_ms = 0;
}

void ccs_vault_expire_failures(const struct ccs_vault *v, uint64_t store)
{
    walk(v, true, store, expire_one, NULL);
}

struct believed {
    int64_t now_ms;
    size_t count;
};

static void count_one(const struct ccs_pool *p, uint32_t slot, void *arg)
{
    struct believed *b = arg;

    if (p->slots[slot].time_ms > b->now_ms)
        b->count++;
}

size_t ccs_vault_failure_count(const struct ccs_vault *v, uint64_t store, int64_t now_ms)
{
    struct believed b = {.now_ms = now_ms};

    walk(v, true, store, count_one, &b);
    return b.count;
}

/* -- enumerate ----------------------------------------------------------------------------- */

#define STEMS_MAX 64            /* copied under one lock */
#define HEADS_MAX (128 * 1024u) /* their octets; at least one entry always fits */

struct copied {
    struct ccs_vault_visit visit;
    size_t at; /* of the stem in the buffer; a NUL and the head follow */
    size_t stem_len;
};

struct batch {
    struct copied copied[STEMS_MAX];
    size_t count, used;
    uint8_t octets[HEADS_MAX];
};

/* False: no room, in a batch that is not empty. */
static bool copy_one(const struct ccs_pool *p, uint32_t slot, struct batch *b)
{
    const struct ccs_pool_slot *s = &p->slots[slot];
    size_t need = (size_t)s->stem_len + 1 + s->head_len;
    struct copied *c = &b->copied[b->count];

    if (b->count == STEMS_MAX || need > HEADS_MAX - b->used)
        return false;
    if (!ccs_pool_read(p, slot, 0, b->octets + b->used, s->stem_len) ||
        !ccs_pool_read(p, slot, s->stem_len, b->octets + b->used + s->stem_len + 1, s->head_len))
        return true;
    b->octets[b->used + s->stem_len] = '\0';
    *c = (struct copied){.at = b->used, .stem_len = s->stem_len};
    c->visit.head_len = s->head_len;
    c->visit.hash = s->hash;
    c->visit.version = s->version;
    c->visit.loaded_for = s->loaded_for;
    c->visit.loaded_ms = s->time_ms;
    b->used += need;
    b->count++;
    return true;
}

/* Copies from slot *next on; true if there may be more. */
static bool copy_step(const struct ccs_vault *v, uint32_t shard, uint64_t store, uint32_t *next,
                      struct batch *b)
{
    const struct ccs_pool *p = &v->shards[shard].entries;
    uint32_t i = *next;
    bool more;

    b->count = b->used = 0;
    if (ccs_vault_lock(v, shard, CCS_LOCK_WAIT) != CCS_OK)
        return false;
    for (uint32_t n = 0; i < p->state->fresh_slot && n < STEP; i++, n++) {
        if (atomic_load_explicit(&p->slots[i].state, memory_order_relaxed) != CCS_SLOT_LIVE ||
            p->slots[i].store != store)
            continue;
        if (!copy_one(p, i, b))
            break;
    }
    more = i < p->state->fresh_slot;
    ccs_vault_unlock(v, shard);
    *next = i;
    return more;
}

int ccs_vault_enumerate(const struct ccs_vault *v, uint64_t store,
                        int (*cb)(const struct ccs_vault_visit *visit, void *arg), void *arg)
{
    struct batch *b = malloc(sizeof(*b));
    int stop = 0;

    if (b == NULL)
        return CCS_ENOMEM;
    for (uint32_t shard = 0; shard < v->shard_count && !stop; shard++) {
        uint32_t next = 0;
        bool more = true;

        while (more && !stop) {
            more = copy_step(v, shard, store, &next, b);
            for (size_t i = 0; i < b->count && !stop; i++) {
                struct copied *c = &b->copied[i];

                c->visit.stem = (const char *)b->octets + c->at;
                c->visit.head = b->octets + c->at + c->stem_len + 1;
                stop = cb(&c->visit, arg);
            }
        }
    }
    free(b);
    return CCS_OK;
}

/* -- figures ------------------------------------------------------------------------------- */

void ccs_vault_stats_get(const struct ccs_vault *v, struct ccs_vault_stats *out)
{
    int64_t now = ccs_now_ms();

    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < v->shard_count; i++) {
        const struct ccs_pool *e = &v->shards[i].entries, *f = &v->shards[i].failures;
        const struct ccs_vault_shard *shared = v->shards[i].shared;

        out->entries += atomic_load_explicit(&e->state->used_slots, memory_order_relaxed);
        out->failures += atomic_load_explicit(&f->state->used_slots, memory_order_relaxed);
        out->octets += (uint64_t)e->block_count * CCS_POOL_BLOCK;
        out->octets_used += (uint64_t)atomic_load_explicit(&e->state->used_blocks,
                                                           memory_order_relaxed) *
                            CCS_POOL_BLOCK;
        out->evictions += atomic_load_explicit(&e->state->evictions, memory_order_relaxed);
        out->failure_evictions += atomic_load_explicit(&f->state->evictions, memory_order_relaxed);
        out->recoveries += atomic_load_explicit(&shared->recoveries, memory_order_relaxed);
        out->dropped += atomic_load_explicit(&e->state->dropped, memory_order_relaxed) +
                        atomic_load_explicit(&f->state->dropped, memory_order_relaxed);
        out->claims += ccs_claims_count(&shared->claims, now);
    }
}

int ccs_vault_verify(const struct ccs_vault *v, struct ccs_error *err)
{
    int rv = CCS_OK;

    for (uint32_t i = 0; i < v->shard_count && rv == CCS_OK; i++) {
        rv = ccs_vault_lock(v, i, CCS_LOCK_WAIT);
        if (rv != CCS_OK)
            return ccs_error_set(err, rv, "shard %u cannot be used any more", i);
        rv = ccs_pool_verify(&v->shards[i].entries, err);
        if (rv == CCS_OK)
            rv = ccs_pool_verify(&v->shards[i].failures, err);
        ccs_vault_unlock(v, i);
    }
    return rv;
}
