/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "fault.h"
#include "pool_inside.h"
#include "secret.h"

static bool is_marked(const uint64_t *marks, uint32_t block)
{
    return (marks[block / 64] >> (block % 64) & 1) != 0;
}

/* Marks the blocks of a slot; false, with no mark left, if its chain is not a sound one. */
static bool mark_chain(const struct ccs_pool *p, const struct ccs_pool_slot *s, uint64_t *marks)
{
    uint32_t count = blocks_for(s->len), block = s->first, done = 0;

    while (done < count && block < p->state->fresh_block && !is_marked(marks, block)) {
        marks[block / 64] |= (uint64_t)1 << (block % 64);
        block = p->next[block];
        done++;
    }
    if (done == count && count > 0 && block == CCS_POOL_NONE)
        return true;
    for (block = s->first; done > 0; done--, block = p->next[block])
        marks[block / 64] &= ~((uint64_t)1 << (block % 64));
    return false;
}

/* An entry of which a newer version is complete goes, before the newer one counts as settled. */
static void settle_fresh(const struct ccs_pool *p)
{
    for (uint32_t i = 0; i < p->state->fresh_slot; i++) {
        struct ccs_pool_slot *s = &p->slots[i];

        if (state_of(s) != CCS_SLOT_FRESH)
            continue;
        if (s->replaces < p->state->fresh_slot &&
            state_of(&p->slots[s->replaces]) == CCS_SLOT_LIVE &&
            p->slots[s->replaces].hash == s->hash)
            set_state(&p->slots[s->replaces], CCS_SLOT_WRITING);
        ccs_fault("pool.recover.fresh");
        ccs_pool_bump(p, s->hash);
        set_state(s, CCS_SLOT_LIVE);
    }
}

/* Every slot into a bucket or into the free list; marks the blocks of those that stay. */
static void sort_slots(const struct ccs_pool *p)
{
    struct ccs_pool_state *st = p->state;
    uint32_t used = 0;

    st->free_slot = CCS_POOL_NONE;
    memset(p->buckets, 0xff, p->slot_count * sizeof(*p->buckets));
    memset(p->marks, 0, mark_words(p->block_count) * sizeof(*p->marks));
    for (uint32_t i = 0; i < st->fresh_slot; i++) {
        struct ccs_pool_slot *s = &p->slots[i];
        enum ccs_pool_slot_state state = state_of(s);

        if (state == CCS_SLOT_LIVE && mark_chain(p, s, p->marks)) {
            link_slot(p, i);
            used++;
            continue;
        }
        if (state != CCS_SLOT_EMPTY) {
            ccs_pool_bump(p, s->hash);
            atomic_fetch_add_explicit(&st->dropped, 1, memory_order_relaxed);
            ccs_fault("pool.recover.drop");
            set_state(s, CCS_SLOT_EMPTY);
        }
        s->next = st->free_slot;
        st->free_slot = i;
    }
    atomic_store_explicit(&st->used_slots, used, memory_order_relaxed);
}

static void sort_blocks(const struct ccs_pool *p)
{
    struct ccs_pool_state *st = p->state;
    uint32_t used = 0;

    st->free_block = CCS_POOL_NONE;
    for (uint32_t b = 0; b < st->fresh_block; b++) {
        if (is_marked(p->marks, b)) {
            used++;
            continue;
        }
        ccs_wipe(block_at(p, b), CCS_POOL_BLOCK);
        p->next[b] = st->free_block;
        st->free_block = b;
    }
    atomic_store_explicit(&st->used_blocks, used, memory_order_relaxed);
}

void ccs_pool_recover(const struct ccs_pool *p)
{
    settle_fresh(p);
    ccs_fault("pool.recover.settled");
    sort_slots(p);
    ccs_fault("pool.recover.slots");
    sort_blocks(p);
    ccs_fault("pool.recover.blocks");
}

/* -- the end, and tests -------------------------------------------------------------------- */

void ccs_pool_wipe(const struct ccs_pool *p)
{
    ccs_wipe(p->blocks, (size_t)p->state->fresh_block * CCS_POOL_BLOCK);
}

static int verify_slots(const struct ccs_pool *p, uint64_t *marks, struct ccs_error *err)
{
    const struct ccs_pool_state *st = p->state;
    uint32_t used = 0, free_slots = 0;

    if (st->fresh_slot > p->slot_count || st->fresh_block > p->block_count)
        return ccs_error_set(err, CCS_EDAMAGED, "more slots or blocks in use than there are");
    for (uint32_t i = 0; i < st->fresh_slot; i++) {
        const struct ccs_pool_slot *s = &p->slots[i];
        struct ccs_pool_key key = {s->hash, s->store, s->mend, NULL, s->stem_len};

        if (state_of(s) == CCS_SLOT_EMPTY)
            continue;
        if (state_of(s) != CCS_SLOT_LIVE)
            return ccs_error_set(err, CCS_EDAMAGED, "slot %u is in the middle of a change", i);
        if (!mark_chain(p, s, marks))
            return ccs_error_set(err, CCS_EDAMAGED, "the blocks of slot %u are not its own", i);
        key.stem = (const char *)block_at(p, s->first);
        if (ccs_pool_find(p, &key) != i)
            return ccs_error_set(err, CCS_EDAMAGED, "slot %u is not found by its key", i);
        used++;
    }
    for (uint32_t i = st->free_slot; i != CCS_POOL_NONE; i = p->slots[i].next) {
        if (i >= st->fresh_slot || state_of(&p->slots[i]) != CCS_SLOT_EMPTY ||
            ++free_slots > st->fresh_slot)
            return ccs_error_set(err, CCS_EDAMAGED, "the list of free slots is broken");
    }
    if (used + free_slots != st->fresh_slot || used != atomic_load(&st->used_slots))
        return ccs_error_set(err, CCS_EDAMAGED, "%u slots used, %u free, %u in all", used,
                             free_slots, st->fresh_slot);
    return CCS_OK;
}

static int verify_blocks(const struct ccs_pool *p, uint64_t *marks, struct ccs_error *err)
{
    static const uint8_t zero[CCS_POOL_BLOCK];
    const struct ccs_pool_state *st = p->state;
    uint32_t used = 0, free_blocks = 0;

    for (uint32_t b = 0; b < st->fresh_block; b++)
        used += is_marked(marks, b);
    for (uint32_t b = st->free_block; b != CCS_POOL_NONE; b = p->next[b]) {
        if (b >= st->fresh_block || is_marked(marks, b))
            return ccs_error_set(err, CCS_EDAMAGED, "the list of free blocks is broken");
        marks[b / 64] |= (uint64_t)1 << (b % 64);
        free_blocks++;
        if (memcmp(block_at(p, b), zero, sizeof(zero)) != 0)
            return ccs_error_set(err, CCS_EDAMAGED, "free block %u was not wiped", b);
    }
    if (used + free_blocks != st->fresh_block || used != atomic_load(&st->used_blocks))
        return ccs_error_set(err, CCS_EDAMAGED, "%u blocks used, %u free, %u in all", used,
                             free_blocks, st->fresh_block);
    return CCS_OK;
}

int ccs_pool_verify(const struct ccs_pool *p, struct ccs_error *err)
{
    uint64_t *marks = calloc(mark_words(p->block_count), sizeof(*marks));
    int rv;

    if (marks == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory");
    rv = verify_slots(p, marks, err);
    if (rv == CCS_OK)
        rv = verify_blocks(p, marks, err);
    free(marks);
    return rv;
}
