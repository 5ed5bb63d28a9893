/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_POOL_INSIDE_H
#define CCS_POOL_INSIDE_H

/* For pool.c and pool_repair.c only. */

#include "pool.h"
#include "robust.h"

static inline enum ccs_pool_slot_state state_of(const struct ccs_pool_slot *s)
{
    return (enum ccs_pool_slot_state)atomic_load_explicit(&s->state, memory_order_relaxed);
}

/* What was written before is complete when the new state is seen; what follows comes after it. */
static inline void set_state(struct ccs_pool_slot *s, enum ccs_pool_slot_state state)
{
    ccs_robust_order();
    atomic_store_explicit(&s->state, state, memory_order_relaxed);
    ccs_robust_order();
}

static inline uint8_t *block_at(const struct ccs_pool *p, uint32_t block)
{
    return p->blocks + (size_t)block * CCS_POOL_BLOCK;
}

static inline uint32_t blocks_for(size_t len)
{
    return (uint32_t)((len + CCS_POOL_BLOCK - 1) / CCS_POOL_BLOCK);
}

static inline size_t mark_words(uint32_t blocks)
{
    return ((size_t)blocks + 63) / 64;
}

static inline uint32_t *bucket_of(const struct ccs_pool *p, uint64_t hash)
{
    /* Shards and stripes are told apart by the low bits, so take the high ones. */
    return &p->buckets[(hash >> 32) * p->slot_count >> 32];
}

static inline void link_slot(const struct ccs_pool *p, uint32_t slot)
{
    uint32_t *bucket = bucket_of(p, p->slots[slot].hash);

    p->slots[slot].next = *bucket;
    *bucket = slot;
}

#endif
