/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_POOL_H
#define CCS_POOL_H

/*
 * Entries of any length in shared memory: slots, found through buckets, each with a chain of blocks
 * of fixed size, so that nothing fragments. A pool has no lock of its own: the shard of the vault
 * that owns it has.
 *
 * A process may die at any instruction. Only the states of slots, and the chains of those that are
 * FRESH or LIVE, are ever relied upon; buckets, free lists and counts are made anew from them by
 * ccs_pool_recover().
 *
 *   EMPTY --claimed--> WRITING --data complete--> FRESH --older version gone--> LIVE
 *   LIVE  --to be removed--> WRITING --blocks wiped and free--> EMPTY
 *
 * Recovery ends what it finds begun: WRITING becomes EMPTY, FRESH becomes LIVE. So an older version
 * is there until the newer one is, and a writer's death costs what it was writing, nothing else.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <ccs/ccs.h>

#include "base.h"

#define CCS_POOL_BLOCK   256 /* octets; no stem is longer, so one always lies in the first block */
#define CCS_POOL_NONE    UINT32_MAX
#define CCS_POOL_CONTENT 16

enum ccs_pool_slot_state { CCS_SLOT_EMPTY, CCS_SLOT_WRITING, CCS_SLOT_FRESH, CCS_SLOT_LIVE };

struct ccs_pool_key {
    uint64_t hash;
    uint64_t store;
    uint64_t mend; /* further part of the key: see ccs_vault_put_failure(); else 0 */
    const char *stem;
    size_t len; /* at most CCS_POOL_BLOCK */
};

struct ccs_pool_slot {
    _Atomic uint32_t state;
    uint32_t next; /* in the bucket's chain, or in the free list */
    uint64_t hash;
    uint64_t store;
    uint64_t mend;
    uint64_t version;
    uint64_t loaded_for;
    int64_t time_ms; /* loaded then; of a failure: believed until then */
    uint8_t content[CCS_POOL_CONTENT];
    uint32_t first;    /* block; the stem comes first, then head, then body */
    uint32_t len;      /* of all three */
    uint32_t replaces; /* slot of the older version, while FRESH */
    uint16_t stem_len;
    uint16_t head_len;
};

/* What is to be put under a key. */
struct ccs_pool_item {
    const uint8_t *data; /* head_len octets of head, then the body */
    size_t len;
    size_t head_len; /* at most UINT16_MAX */
    uint64_t version;
    uint64_t loaded_for;
    int64_t time_ms;
    uint8_t content[CCS_POOL_CONTENT];
};

/* In shared memory, at the start of the pool's. Read without the lock for status pages only. */
struct ccs_pool_state {
    uint32_t free_slot, fresh_slot;   /* list; slots from fresh_slot on were never used */
    uint32_t free_block, fresh_block; /* the same for blocks */
    uint32_t hand;                    /* CLOCK */
    _Atomic uint32_t used_slots, used_blocks;
    _Atomic uint64_t evictions;
    _Atomic uint64_t dropped; /* entries whose change recovery had to end */
};

/* Of one process. */
struct ccs_pool {
    struct ccs_pool_state *state;
    struct ccs_pool_slot *slots;
    uint32_t *buckets; /* as many as slots */
    uint32_t *next;    /* per block */
    uint64_t *marks;   /* one bit per block; scratch of recovery */
    uint8_t *blocks;
    _Atomic uint8_t *referenced;   /* per slot; may be set at any time, without the lock */
    _Atomic uint64_t *generations; /* NULL: changes in this pool are not told */
    uint64_t generation_mask;
    uint32_t slot_count, block_count;
};

/* Most slots, with so many blocks each, that fit into size octets; false if that is hardly any. */
bool ccs_pool_fit(size_t size, uint32_t per_slot, uint32_t *slots, uint32_t *blocks);

/* Octets that a pool of these numbers takes. */
size_t ccs_pool_size(uint32_t slots, uint32_t blocks);

/* Handle for a pool at mem, which is aligned to CCS_ARENA_ALIGN. */
void ccs_pool_place(struct ccs_pool *p, void *mem, uint32_t slots, uint32_t blocks);
void ccs_pool_format(const struct ccs_pool *p);

/* Number of the slot of a key that is LIVE, or CCS_POOL_NONE. */
uint32_t ccs_pool_find(const struct ccs_pool *p, const struct ccs_pool_key *key);

/* The slots of a stem whatever mend is, one after the other; after: the last one, or
 * CCS_POOL_NONE to begin with. */
uint32_t ccs_pool_find_next(const struct ccs_pool *p, const struct ccs_pool_key *key,
                            uint32_t after);

/*
 * Puts an item in place of any older one with its key, evicting others as needed; the generation of
 * the key's stripe moves unless quiet. CCS_ETOOBIG: more than a quarter of the pool.
 */
int ccs_pool_put(const struct ccs_pool *p, const struct ccs_pool_key *key,
                 const struct ccs_pool_item *item, bool quiet, uint32_t *slot);

/* Removes a LIVE slot; the generation moves unless quiet. */
void ccs_pool_remove(const struct ccs_pool *p, uint32_t slot, bool quiet);

/* Copies len octets from offset on of stem, head and body taken together; false if there are not
 * as many. */
bool ccs_pool_read(const struct ccs_pool *p, uint32_t slot, size_t offset, uint8_t *out,
                   size_t len);

/* The last holder of the lock died. */
void ccs_pool_recover(const struct ccs_pool *p);

void ccs_pool_wipe(const struct ccs_pool *p);

/* Whether every block and slot is accounted for, exactly once. */
int ccs_pool_verify(const struct ccs_pool *p, struct ccs_error *err);

static inline void ccs_pool_bump(const struct ccs_pool *p, uint64_t hash)
{
    /* Release: whoever sees the new number and then asks finds what it stands for, or newer. */
    if (p->generations != NULL)
        atomic_fetch_add_explicit(&p->generations[hash & p->generation_mask], 1,
                                  memory_order_release);
}

#endif
