/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_VAULT_INSIDE_H
#define CCS_VAULT_INSIDE_H

/* For vault.c, vault_failure.c and vault_scan.c only: what is in shared memory, and its locks. */

#include "vault.h"

/* How the part is divided; follows from its size alone. */
struct ccs_vault_geometry {
    uint32_t shards, stripes;
    uint32_t slots, blocks; /* per shard */
    uint32_t failure_slots, failure_blocks;
};

struct ccs_vault_head {
    struct ccs_vault_geometry geometry;
    _Alignas(CCS_ARENA_ALIGN) _Atomic uint64_t versions; /* the last one given out */
    _Atomic uint64_t tickets;
    _Alignas(CCS_ARENA_ALIGN) struct ccs_bell bell;
};

struct ccs_vault_shard {
    _Alignas(CCS_ARENA_ALIGN) pthread_mutex_t lock;
    _Atomic uint64_t recoveries;
    _Alignas(CCS_ARENA_ALIGN) struct ccs_claims claims;
};

static inline uint32_t ccs_vault_shard_of(const struct ccs_vault *v, uint64_t hash)
{
    /* Stripes are told apart by the low bits too, and are at least as many: each has one shard. */
    return (uint32_t)hash & (v->shard_count - 1);
}

/* Takes a shard's lock and repairs the shard if its last user died. CCS_OK: to be unlocked. */
int ccs_vault_lock(const struct ccs_vault *v, uint32_t shard, enum ccs_lock_mode mode);
void ccs_vault_unlock(const struct ccs_vault *v, uint32_t shard);

#endif
