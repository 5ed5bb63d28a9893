/* SPDX-License-Identifier: Apache-2.0 */
#include "vault.h"

#include <string.h>

#include "error.h"
#include "fault.h"
#include "vault_inside.h"

/* -- layout -------------------------------------------------------------------------------- */

#define SHARD_SIZE_MIN ((size_t)512 * 1024)
#define STRIPES_MIN    64
#define STRIPES_SHARE  32 /* of the memory at most: the generations */
#define FAILURES_SHARE 32 /* of the memory: failures */

/* A P-256 host takes six blocks, and a smaller one must not run out of slots first. Of failures,
 * few take more than one. */
#define BLOCKS_PER_ENTRY   5
#define BLOCKS_PER_FAILURE 1

static bool geometry_of(size_t size, struct ccs_vault_geometry *g)
{
    size_t shard, failures, fixed;

    memset(g, 0, sizeof(*g));
    g->shards = CCS_VAULT_SHARDS_MAX;
    while (g->shards > 1 && size / g->shards < SHARD_SIZE_MIN)
        g->shards /= 2;
    g->stripes = CCS_VAULT_STRIPES_MAX;
    while (g->stripes > STRIPES_MIN && g->stripes * sizeof(uint64_t) > size / STRIPES_SHARE)
        g->stripes /= 2;
    fixed = ccs_arena_align(sizeof(struct ccs_vault_head)) + g->stripes * sizeof(uint64_t);
    if (size <= fixed)
        return false;
    shard = (size - fixed) / g->shards & ~(size_t)(CCS_ARENA_ALIGN - 1);
    failures = shard / FAILURES_SHARE;
    if (shard <= sizeof(struct ccs_vault_shard) + failures)
        return false;
    return ccs_pool_fit(failures, BLOCKS_PER_FAILURE, &g->failure_slots, &g->failure_blocks) &&
           ccs_pool_fit(shard - failures - sizeof(struct ccs_vault_shard), BLOCKS_PER_ENTRY,
                        &g->slots, &g->blocks) &&
           g->slots < (uint32_t)1 << CCS_VAULT_SLOT_BITS;
}

static void place(struct ccs_vault *v, void *mem, const struct ccs_vault_geometry *g)
{
    uintptr_t at = (uintptr_t)mem;

    memset(v, 0, sizeof(*v));
    v->head = mem;
    at += ccs_arena_align(sizeof(struct ccs_vault_head));
    v->generations = (_Atomic uint64_t *)at;
    v->generation_mask = g->stripes - 1;
    v->shard_count = g->shards;
    at += g->stripes * sizeof(uint64_t);
    for (uint32_t i = 0; i < g->shards; i++) {
        v->shards[i].shared = (struct ccs_vault_shard *)at;
        at += sizeof(struct ccs_vault_shard);
        ccs_pool_place(&v->shards[i].entries, (void *)at, g->slots, g->blocks);
        at += ccs_pool_size(g->slots, g->blocks);
        ccs_pool_place(&v->shards[i].failures, (void *)at, g->failure_slots, g->failure_blocks);
        at += ccs_pool_size(g->failure_slots, g->failure_blocks);
        v->shards[i].entries.generations = v->generations;
        v->shards[i].entries.generation_mask = v->generation_mask;
    }
}

int ccs_vault_format(struct ccs_vault *v, struct ccs_arena *arena, struct ccs_error *err)
{
    size_t size = ccs_arena_left(arena);
    struct ccs_vault_geometry g;
    void *mem;

    if (!geometry_of(size, &g))
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is too small for certificates");
    mem = ccs_arena_reserve(arena, CCS_ARENA_VAULT, size);
    if (mem == NULL)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is divided already");
    place(v, mem, &g);
    memset(v->head, 0, sizeof(*v->head));
    v->head->geometry = g;
    /* Never 0, so that a zeroed generation or version means none. */
    for (uint32_t i = 0; i < g.stripes; i++)
        atomic_init(&v->generations[i], 1);
    for (uint32_t i = 0; i < g.shards; i++) {
        struct ccs_vault_shard *shard = v->shards[i].shared;

        memset(shard, 0, sizeof(*shard));
        if (ccs_robust_init(&shard->lock) != CCS_OK)
            return ccs_error_set(err, CCS_ENOMEM, "no lock for the shared memory");
        ccs_pool_format(&v->shards[i].entries);
        ccs_pool_format(&v->shards[i].failures);
    }
    return CCS_OK;
}

int ccs_vault_attach(struct ccs_vault *v, const struct ccs_arena *arena, struct ccs_error *err)
{
    struct ccs_vault_geometry g;
    size_t size;
    void *mem = ccs_arena_part(arena, CCS_ARENA_VAULT, &size);

    if (mem == NULL || !geometry_of(size, &g) ||
        memcmp(&g, &((const struct ccs_vault_head *)mem)->geometry, sizeof(g)) != 0)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory holds no certificates of ours");
    place(v, mem, &g);
    return CCS_OK;
}

void ccs_vault_wipe(struct ccs_vault *v)
{
    for (uint32_t i = 0; i < v->shard_count; i++) {
        ccs_pool_wipe(&v->shards[i].entries);
        ccs_pool_wipe(&v->shards[i].failures);
    }
}

/* -- locks --------------------------------------------------------------------------------- */

int ccs_vault_lock(const struct ccs_vault *v, uint32_t shard, enum ccs_lock_mode mode)
{
    struct ccs_vault_shard *shared = v->shards[shard].shared;
    bool died;
    int rv;

    rv = ccs_robust_lock(&shared->lock, mode, &died);
    if (rv != CCS_OK || !died)
        return rv;
    ccs_fault("vault.died");
    ccs_pool_recover(&v->shards[shard].entries);
    ccs_pool_recover(&v->shards[shard].failures);
    atomic_fetch_add_explicit(&shared->recoveries, 1, memory_order_relaxed);
    ccs_robust_repaired(&shared->lock);
    ccs_fault("vault.repaired");
    /* Whoever waits for what the dead one was loading may find it, or load it after the deadline.
     */
    ccs_bell_ring(&v->head->bell);
    return CCS_OK;
}

void ccs_vault_unlock(const struct ccs_vault *v, uint32_t shard)
{
    ccs_robust_unlock(&v->shards[shard].shared->lock);
}

/* -- generations --------------------------------------------------------------------------- */

void ccs_vault_arrived(const struct ccs_vault *v, uint64_t hash)
{
    ccs_pool_bump(&v->shards[0].entries, hash);
}

void ccs_vault_arrived_all(const struct ccs_vault *v)
{
    for (uint64_t i = 0; i <= v->generation_mask; i++)
        ccs_pool_bump(&v->shards[0].entries, i);
}

/* -- entries ------------------------------------------------------------------------------- */

static struct ccs_pool_key pool_key(const struct ccs_vault_key *key)
{
    return (struct ccs_pool_key){
        .hash = key->hash, .store = key->store, .stem = key->stem, .len = key->len};
}

#define GET_TRIES      4
#define GET_SIZE_FIRST 2048 /* a P-256 host without asking twice */

/* One look, under the lock. CCS_PENDING: the buffer must hold *need octets first. */
static int get_locked(const struct ccs_vault *v, uint32_t shard, const struct ccs_vault_key *key,
                      uint64_t known, struct ccs_vault_entry *e, size_t *need)
{
    const struct ccs_pool *p = &v->shards[shard].entries;
    struct ccs_pool_key pk = pool_key(key);
    uint32_t slot = ccs_pool_find(p, &pk);
    const struct ccs_pool_slot *s;

    /* Before the copy: files may arrive meanwhile, and then the copy must not seem newer than it
     * is. */
    e->generation = atomic_load_explicit(&v->generations[key->hash & v->generation_mask],
                                         memory_order_acquire);
    if (slot == CCS_POOL_NONE)
        return CCS_ENOTFOUND;
    s = &p->slots[slot];
    e->same = s->version == known;
    *need = s->len - s->stem_len;
    if (!e->same && *need > e->data.size)
        return CCS_PENDING;
    if (!e->same && !ccs_pool_read(p, slot, s->stem_len, e->data.data, *need))
        return CCS_ENOTFOUND;
    e->data.len = e->same ? 0 : *need;
    e->head_len = e->same ? 0 : s->head_len;
    e->version = s->version;
    e->loaded_for = s->loaded_for;
    e->loaded_ms = s->time_ms;
    memcpy(e->content, s->content, sizeof(e->content));
    e->slot = shard << CCS_VAULT_SLOT_BITS | slot;
    ccs_vault_touch(v, e->slot);
    return CCS_OK;
}

int ccs_vault_get(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t known,
                  enum ccs_lock_mode mode, struct ccs_vault_entry *e)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    size_t need = GET_SIZE_FIRST;
    int rv = CCS_PENDING;

    /* Memory is found without the lock; an entry may grow meanwhile, but not for ever. */
    for (int i = 0; i < GET_TRIES && rv == CCS_PENDING; i++) {
        e->data.len = 0;
        rv = ccs_secret_reserve(&e->data, need);
        if (rv == CCS_OK)
            rv = ccs_vault_lock(v, shard, mode);
        if (rv != CCS_OK)
            return rv;
        rv = get_locked(v, shard, key, known, e, &need);
        ccs_vault_unlock(v, shard);
    }
    return rv == CCS_PENDING ? CCS_EBUSY : rv;
}

bool ccs_vault_has(const struct ccs_vault *v, const struct ccs_vault_key *key,
                   enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    struct ccs_pool_key pk = pool_key(key);
    bool has;

    if (ccs_vault_lock(v, shard, mode) != CCS_OK)
        return false;
    has = ccs_pool_find(&v->shards[shard].entries, &pk) != CCS_POOL_NONE;
    ccs_vault_unlock(v, shard);
    return has;
}

void ccs_vault_entry_free(struct ccs_vault_entry *e)
{
    ccs_secret_free(&e->data);
    memset(e, 0, sizeof(*e));
}

static bool is_same(const struct ccs_pool_slot *s, const uint8_t content[CCS_POOL_CONTENT])
{
    static const uint8_t none[CCS_POOL_CONTENT];

    return memcmp(content, none, sizeof(none)) != 0 &&
           memcmp(content, s->content, sizeof(s->content)) == 0;
}

static int put_locked(const struct ccs_vault *v, uint32_t shard, const struct ccs_vault_key *key,
                      const struct ccs_vault_item *item, struct ccs_vault_published *out)
{
    const struct ccs_pool *p = &v->shards[shard].entries;
    struct ccs_pool_key pk = pool_key(key);
    struct ccs_pool_item pi = {
        .data = item->data,
        .len = item->len,
        .head_len = item->head_len,
        .loaded_for = item->loaded_for,
        .time_ms = item->loaded_ms,
    };
    uint32_t slot = ccs_pool_find(p, &pk);
    bool quiet = slot != CCS_POOL_NONE && is_same(&p->slots[slot], item->content);
    int rv;

    memcpy(pi.content, item->content, sizeof(pi.content));
    pi.version = quiet ? p->slots[slot].version
                       : atomic_fetch_add_explicit(&v->head->versions, 1, memory_order_relaxed) + 1;
    rv = ccs_pool_put(p, &pk, &pi, quiet, &slot);
    if (rv != CCS_OK)
        return rv;
    out->generation = ccs_vault_generation(v, key->hash);
    out->version = pi.version;
    out->slot = shard << CCS_VAULT_SLOT_BITS | slot;
    return CCS_OK;
}

int ccs_vault_put(const struct ccs_vault *v, const struct ccs_vault_key *key,
                  const struct ccs_claim *claim, bool done, const struct ccs_vault_item *item,
                  enum ccs_lock_mode mode, struct ccs_vault_published *out)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    struct ccs_claims *claims = &v->shards[shard].shared->claims;
    struct ccs_vault_published published;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    if (claim->hash != key->hash || !ccs_claims_hold(claims, claim))
        rv = CCS_ECANCELED;
    else
        rv = put_locked(v, shard, key, item, &published);
    if (rv == CCS_OK && done)
        ccs_claims_release(claims, claim);
    ccs_vault_unlock(v, shard);
    if (rv != CCS_OK)
        return rv;
    if (done)
        ccs_bell_ring(&v->head->bell);
    if (out != NULL)
        *out = published;
    return CCS_OK;
}

int ccs_vault_restamp(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t version,
                      uint64_t loaded_for, enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    const struct ccs_pool *p = &v->shards[shard].entries;
    struct ccs_pool_key pk = pool_key(key);
    uint32_t slot;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    slot = ccs_pool_find(p, &pk);
    if (slot == CCS_POOL_NONE || p->slots[slot].version != version)
        rv = CCS_ENOTFOUND;
    else
        p->slots[slot].loaded_for = loaded_for; /* one aligned store: no half-way to repair */
    ccs_vault_unlock(v, shard);
    return rv;
}

int ccs_vault_remove(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t version,
                     enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    const struct ccs_pool *p = &v->shards[shard].entries;
    struct ccs_pool_key pk = pool_key(key);
    uint32_t slot;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    slot = ccs_pool_find(p, &pk);
    if (slot == CCS_POOL_NONE)
        ccs_pool_bump(p, key->hash);
    else if (version != 0 && p->slots[slot].version != version)
        rv = CCS_ENOTFOUND;
    else
        ccs_pool_remove(p, slot, false);
    ccs_vault_unlock(v, shard);
    return rv;
}

/* -- claims -------------------------------------------------------------------------------- */

int ccs_vault_claim(const struct ccs_vault *v, const struct ccs_vault_key *key, int64_t deadline_ms,
                    enum ccs_lock_mode mode, struct ccs_claim *out, int64_t *until_ms)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    struct ccs_claim claim = {.hash = key->hash, .deadline_ms = deadline_ms};
    int rv;

    claim.ticket = atomic_fetch_add_explicit(&v->head->tickets, 1, memory_order_relaxed) + 1;
    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    rv = ccs_claims_take(&v->shards[shard].shared->claims, key->hash, claim.ticket, ccs_now_ms(),
                         deadline_ms, until_ms);
    claim.generation = ccs_vault_generation(v, key->hash);
    ccs_vault_unlock(v, shard);
    if (rv == CCS_OK)
        *out = claim;
    return rv;
}

int ccs_vault_extend(const struct ccs_vault *v, struct ccs_claim *claim, int64_t deadline_ms,
                     enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, claim->hash);
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    if (!ccs_claims_extend(&v->shards[shard].shared->claims, claim, deadline_ms))
        rv = CCS_ECANCELED;
    ccs_vault_unlock(v, shard);
    if (rv == CCS_OK)
        claim->deadline_ms = deadline_ms;
    return rv;
}

int ccs_vault_release(const struct ccs_vault *v, const struct ccs_claim *claim,
                      enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, claim->hash);
    bool held;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    held = ccs_claims_release(&v->shards[shard].shared->claims, claim);
    ccs_vault_unlock(v, shard);
    if (held)
        ccs_bell_ring(&v->head->bell);
    return CCS_OK;
}

uint32_t ccs_vault_ended(const struct ccs_vault *v)
{
    return ccs_bell_count(&v->head->bell);
}

bool ccs_vault_wait(const struct ccs_vault *v, uint32_t seen, int64_t timeout_ms)
{
    return ccs_bell_wait(&v->head->bell, seen, timeout_ms);
}
