/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "error.h"
#include "vault.h"
#include "vault_inside.h"

/* A failure as it is kept; its text follows. */
struct kept {
    int32_t code;
    int32_t sys_errno;
    struct ccs_stamp stamp;
};

#define KEPT_MAX (sizeof(struct kept) + CCS_VAULT_TEXT_MAX)

static struct ccs_pool_key failure_key(const struct ccs_vault_key *key, uint64_t mend)
{
    return (struct ccs_pool_key){
        .hash = key->hash, .store = key->store, .mend = mend, .stem = key->stem, .len = key->len};
}

int ccs_vault_get_failure(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t mend,
                          enum ccs_lock_mode mode, struct ccs_vault_failure *out)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    const struct ccs_pool *p = &v->shards[shard].failures;
    struct ccs_pool_key pk = failure_key(key, mend);
    struct ccs_vault_failure f = {0};
    uint8_t octets[KEPT_MAX];
    struct kept kept;
    size_t len = 0;
    uint32_t slot;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    slot = ccs_pool_find(p, &pk);
    if (slot != CCS_POOL_NONE) {
        const struct ccs_pool_slot *s = &p->slots[slot];

        len = s->len - s->stem_len;
        f.until_ms = s->time_ms;
        f.loaded_for = s->loaded_for;
        f.generation = ccs_vault_generation(v, key->hash);
        if (len > sizeof(octets) || !ccs_pool_read(p, slot, s->stem_len, octets, len))
            len = 0;
        atomic_store_explicit(&p->referenced[slot], 1, memory_order_relaxed);
    }
    ccs_vault_unlock(v, shard);
    if (len < sizeof(kept))
        return CCS_ENOTFOUND;
    memcpy(&kept, octets, sizeof(kept));
    f.stamp = kept.stamp;
    ccs_error_set(&f.error, kept.code, "%.*s", (int)(len - sizeof(kept)),
                  (const char *)octets + sizeof(kept));
    f.error.sys_errno = kept.sys_errno;
    *out = f;
    return CCS_OK;
}

int ccs_vault_put_failure(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t mend,
                          const struct ccs_claim *claim, bool done,
                          const struct ccs_vault_failure *failure, enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash), slot;
    struct ccs_claims *claims = &v->shards[shard].shared->claims;
    const struct ccs_pool *p = &v->shards[shard].failures;
    struct ccs_pool_key pk = failure_key(key, mend);
    size_t text = strnlen(failure->error.text, CCS_VAULT_TEXT_MAX);
    uint8_t octets[KEPT_MAX];
    struct kept kept = {failure->error.code, failure->error.sys_errno, failure->stamp};
    struct ccs_pool_item item = {
        .data = octets,
        .len = sizeof(kept) + text,
        .loaded_for = failure->loaded_for,
        .time_ms = failure->until_ms,
    };
    int rv;

    memcpy(octets, &kept, sizeof(kept));
    memcpy(octets + sizeof(kept), failure->error.text, text);
    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    if (claim->hash != key->hash || !ccs_claims_hold(claims, claim)) {
        rv = CCS_ECANCELED;
    } else {
        rv = ccs_pool_put(p, &pk, &item, true, &slot);
        /* Whoever tells of an arrival moves the generation first and expires failures then. If it
         * had the lock before us its new generation is seen here; if not, it finds this one. */
        if (rv == CCS_OK && ccs_vault_generation(v, key->hash) != claim->generation)
            p->slots[slot].time_ms = 0;
        if (rv == CCS_OK && done)
            ccs_claims_release(claims, claim);
    }
    ccs_vault_unlock(v, shard);
    if (rv == CCS_OK && done)
        ccs_bell_ring(&v->head->bell);
    return rv;
}

int ccs_vault_expire_failure(const struct ccs_vault *v, const struct ccs_vault_key *key,
                             enum ccs_lock_mode mode)
{
    uint32_t shard = ccs_vault_shard_of(v, key->hash);
    const struct ccs_pool *p = &v->shards[shard].failures;
    struct ccs_pool_key pk = failure_key(key, 0);
    uint32_t slot = CCS_POOL_NONE;
    int rv;

    rv = ccs_vault_lock(v, shard, mode);
    if (rv != CCS_OK)
        return rv;
    while ((slot = ccs_pool_find_next(p, &pk, slot)) != CCS_POOL_NONE)
        p->slots[slot].time_ms = 0;
    ccs_vault_unlock(v, shard);
    return CCS_OK;
}
