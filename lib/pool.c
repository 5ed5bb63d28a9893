/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <string.h>

#include "arena.h"
#include "fault.h"
#include "pool_inside.h"
#include "secret.h"

/* Nothing may take more than this part of a pool, lest it evict half of what is hot. */
#define SHARE 4

/* -- layout -------------------------------------------------------------------------------- */

/* Where the arrays are, from the start of the pool. */
struct layout {
    size_t slots, buckets, next, marks, referenced, blocks, end;
};

static struct layout layout_of(uint32_t slots, uint32_t blocks)
{
    struct layout l;

    l.slots = ccs_arena_align(sizeof(struct ccs_pool_state));
    l.buckets = ccs_arena_align(l.slots + slots * sizeof(struct ccs_pool_slot));
    l.next = ccs_arena_align(l.buckets + slots * sizeof(uint32_t));
    l.marks = ccs_arena_align(l.next + blocks * sizeof(uint32_t));
    l.referenced = ccs_arena_align(l.marks + mark_words(blocks) * sizeof(uint64_t));
    l.blocks = ccs_arena_align(l.referenced + slots);
    l.end = l.blocks + (size_t)blocks * CCS_POOL_BLOCK;
    return l;
}

size_t ccs_pool_size(uint32_t slots, uint32_t blocks)
{
    return ccs_arena_align(layout_of(slots, blocks).end);
}

bool ccs_pool_fit(size_t size, uint32_t per_slot, uint32_t *slots, uint32_t *blocks)
{
    size_t each = sizeof(struct ccs_pool_slot) + sizeof(uint32_t) + 1 +
                  per_slot * (CCS_POOL_BLOCK + sizeof(uint32_t));
    size_t n = size / each;

    if (n > CCS_POOL_NONE / per_slot / 2)
        return false;
    while (n > 0 && ccs_pool_size((uint32_t)n, (uint32_t)n * per_slot) > size)
        n--;
    if (n * per_slot < SHARE * SHARE)
        return false;
    *slots = (uint32_t)n;
    *blocks = (uint32_t)n * per_slot;
    return true;
}

void ccs_pool_place(struct ccs_pool *p, void *mem, uint32_t slots, uint32_t blocks)
{
    struct layout l = layout_of(slots, blocks);
    uintptr_t base = (uintptr_t)mem;

    memset(p, 0, sizeof(*p));
    p->state = mem;
    p->slots = (struct ccs_pool_slot *)(base + l.slots);
    p->buckets = (uint32_t *)(base + l.buckets);
    p->next = (uint32_t *)(base + l.next);
    p->marks = (uint64_t *)(base + l.marks);
    p->referenced = (_Atomic uint8_t *)(base + l.referenced);
    p->blocks = (uint8_t *)(base + l.blocks);
    p->slot_count = slots;
    p->block_count = blocks;
}

void ccs_pool_format(const struct ccs_pool *p)
{
    /* Slots and blocks are made ready when they are first used, so that memory that nobody needs is
     * never touched. */
    memset(p->state, 0, sizeof(*p->state));
    p->state->free_slot = CCS_POOL_NONE;
    p->state->free_block = CCS_POOL_NONE;
    memset(p->buckets, 0xff, p->slot_count * sizeof(*p->buckets));
    for (uint32_t i = 0; i < p->slot_count; i++)
        atomic_init(&p->referenced[i], 0);
}

/* -- blocks -------------------------------------------------------------------------------- */

static uint32_t take_block(const struct ccs_pool *p)
{
    struct ccs_pool_state *st = p->state;
    uint32_t block = st->free_block;

    if (block != CCS_POOL_NONE)
        st->free_block = p->next[block];
    else
        block = st->fresh_block++;
    return block;
}

static uint32_t take_chain(const struct ccs_pool *p, uint32_t count)
{
    uint32_t first = take_block(p), last = first;

    for (uint32_t i = 1; i < count; i++) {
        uint32_t block = take_block(p);

        p->next[last] = block;
        last = block;
        ccs_fault("pool.chain");
    }
    p->next[last] = CCS_POOL_NONE;
    atomic_fetch_add_explicit(&p->state->used_blocks, count, memory_order_relaxed);
    /* The blocks count as used from here on, so that recovery wipes what follows. */
    ccs_robust_order();
    return first;
}

static void give_chain(const struct ccs_pool *p, const struct ccs_pool_slot *s)
{
    uint32_t count = blocks_for(s->len), block = s->first;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t next = p->next[block];

        ccs_wipe(block_at(p, block), CCS_POOL_BLOCK);
        p->next[block] = p->state->free_block;
        p->state->free_block = block;
        block = next;
        ccs_fault("pool.give");
    }
    atomic_fetch_sub_explicit(&p->state->used_blocks, count, memory_order_relaxed);
}

/* A place in a chain. */
struct cursor {
    uint32_t block;
    size_t offset; /* in the block */
};

static void chain_write(const struct ccs_pool *p, struct cursor *at, const void *data, size_t len)
{
    const uint8_t *from = data;

    while (len > 0) {
        size_t n = CCS_POOL_BLOCK - at->offset;

        if (n == 0) {
            *at = (struct cursor){.block = p->next[at->block]};
            continue;
        }
        if (n > len)
            n = len;
        memcpy(block_at(p, at->block) + at->offset, from, n);
        ccs_fault("pool.copy");
        at->offset += n;
        from += n;
        len -= n;
    }
}

bool ccs_pool_read(const struct ccs_pool *p, uint32_t slot, size_t offset, uint8_t *out, size_t len)
{
    const struct ccs_pool_slot *s = &p->slots[slot];
    uint32_t block = s->first;

    if (offset > s->len || len > s->len - offset)
        return false;
    for (; offset >= CCS_POOL_BLOCK; offset -= CCS_POOL_BLOCK)
        block = p->next[block];
    while (len > 0) {
        size_t n = CCS_POOL_BLOCK - offset;

        if (n > len)
            n = len;
        memcpy(out, block_at(p, block) + offset, n);
        out += n;
        len -= n;
        offset = 0;
        if (len > 0)
            block = p->next[block];
    }
    return true;
}

/* -- finding ------------------------------------------------------------------------------- */

static bool is_stem(const struct ccs_pool *p, const struct ccs_pool_slot *s,
                    const struct ccs_pool_key *key)
{
    return s->hash == key->hash && s->store == key->store && s->stem_len == key->len &&
           memcmp(block_at(p, s->first), key->stem, key->len) == 0;
}

uint32_t ccs_pool_find_next(const struct ccs_pool *p, const struct ccs_pool_key *key,
                            uint32_t after)
{
    uint32_t i = after == CCS_POOL_NONE ? *bucket_of(p, key->hash) : p->slots[after].next;

    /* Counted, so that nothing that could ever be wrong in there makes a loop without an end. */
    for (uint32_t n = 0; i != CCS_POOL_NONE && n < p->slot_count; n++, i = p->slots[i].next) {
        if (is_stem(p, &p->slots[i], key))
            return i;
    }
    return CCS_POOL_NONE;
}

uint32_t ccs_pool_find(const struct ccs_pool *p, const struct ccs_pool_key *key)
{
    uint32_t i = ccs_pool_find_next(p, key, CCS_POOL_NONE);

    while (i != CCS_POOL_NONE && p->slots[i].mend != key->mend)
        i = ccs_pool_find_next(p, key, i);
    return i;
}

static void unlink_slot(const struct ccs_pool *p, uint32_t slot)
{
    uint32_t *at = bucket_of(p, p->slots[slot].hash);

    for (uint32_t n = 0; *at != CCS_POOL_NONE && n < p->slot_count; n++, at = &p->slots[*at].next) {
        if (*at == slot) {
            *at = p->slots[slot].next;
            return;
        }
    }
}

/* -- coming and going ---------------------------------------------------------------------- */

static uint32_t take_slot(const struct ccs_pool *p)
{
    struct ccs_pool_state *st = p->state;
    uint32_t slot = st->free_slot;

    if (slot != CCS_POOL_NONE) {
        st->free_slot = p->slots[slot].next;
    } else {
        slot = st->fresh_slot;
        /* Recovery looks at it from the next line on: it must not find what was there before. */
        memset(&p->slots[slot], 0, sizeof(p->slots[slot]));
        ccs_robust_order();
        st->fresh_slot = slot + 1;
    }
    atomic_store_explicit(&p->referenced[slot], 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&st->used_slots, 1, memory_order_relaxed);
    return slot;
}

static void give_slot(const struct ccs_pool *p, uint32_t slot)
{
    p->slots[slot].next = p->state->free_slot;
    p->state->free_slot = slot;
    atomic_fetch_sub_explicit(&p->state->used_slots, 1, memory_order_relaxed);
    set_state(&p->slots[slot], CCS_SLOT_EMPTY);
}

void ccs_pool_remove(const struct ccs_pool *p, uint32_t slot, bool quiet)
{
    struct ccs_pool_slot *s = &p->slots[slot];

    set_state(s, CCS_SLOT_WRITING);
    ccs_fault("pool.remove.marked");
    unlink_slot(p, slot);
    ccs_fault("pool.remove.unlinked");
    give_chain(p, s);
    if (!quiet)
        ccs_pool_bump(p, s->hash);
    ccs_fault("pool.remove.told");
    give_slot(p, slot);
    ccs_fault("pool.remove.done");
}

/* CLOCK: the first one that was not used since the hand came by last. */
static bool evict(const struct ccs_pool *p)
{
    struct ccs_pool_state *st = p->state;

    for (uint64_t turn = 0; turn < 2 * (uint64_t)p->slot_count; turn++) {
        uint32_t i = st->hand < st->fresh_slot ? st->hand : 0;

        st->hand = i + 1;
        if (i >= st->fresh_slot || state_of(&p->slots[i]) != CCS_SLOT_LIVE)
            continue;
        /* In the second turn readers may have set it again: then any one will do. */
        if (atomic_exchange_explicit(&p->referenced[i], 0, memory_order_relaxed) != 0 &&
            turn < p->slot_count)
            continue;
        ccs_pool_remove(p, i, true);
        atomic_fetch_add_explicit(&st->evictions, 1, memory_order_relaxed);
        return true;
    }
    return false;
}

static bool has_room(const struct ccs_pool *p, uint32_t blocks)
{
    return p->block_count - atomic_load_explicit(&p->state->used_blocks, memory_order_relaxed) >=
               blocks &&
           atomic_load_explicit(&p->state->used_slots, memory_order_relaxed) < p->slot_count;
}

static void fill(const struct ccs_pool *p, uint32_t slot, const struct ccs_pool_key *key,
                 const struct ccs_pool_item *item)
{
    struct ccs_pool_slot *s = &p->slots[slot];
    struct cursor at = {0};

    s->hash = key->hash;
    s->store = key->store;
    s->mend = key->mend;
    s->version = item->version;
    s->loaded_for = item->loaded_for;
    s->time_ms = item->time_ms;
    memcpy(s->content, item->content, sizeof(s->content));
    s->stem_len = (uint16_t)key->len;
    s->head_len = (uint16_t)item->head_len;
    s->len = (uint32_t)(key->len + item->len);
    ccs_fault("pool.put.described");
    s->first = take_chain(p, blocks_for(s->len));
    at.block = s->first;
    chain_write(p, &at, key->stem, key->len);
    chain_write(p, &at, item->data, item->len);
}

int ccs_pool_put(const struct ccs_pool *p, const struct ccs_pool_key *key,
                 const struct ccs_pool_item *item, bool quiet, uint32_t *slot)
{
    struct ccs_pool_slot *s;
    uint32_t i, need, old;

    if (key->len == 0 || key->len > CCS_POOL_BLOCK || item->head_len > item->len ||
        item->head_len > UINT16_MAX)
        return CCS_EINVAL;
    if (item->len > (size_t)p->block_count / SHARE * CCS_POOL_BLOCK - key->len)
        return CCS_ETOOBIG;
    need = blocks_for(key->len + item->len);
    while (!has_room(p, need)) {
        if (!evict(p))
            return CCS_ETOOBIG;
    }
    i = take_slot(p);
    s = &p->slots[i];
    set_state(s, CCS_SLOT_WRITING);
    ccs_fault("pool.put.marked");
    fill(p, i, key, item);
    old = ccs_pool_find(p, key);
    s->replaces = old;
    ccs_fault("pool.put.filled");
    set_state(s, CCS_SLOT_FRESH);
    ccs_fault("pool.put.fresh");
    if (old != CCS_POOL_NONE)
        ccs_pool_remove(p, old, true);
    link_slot(p, i);
    ccs_fault("pool.put.linked");
    if (!quiet)
        ccs_pool_bump(p, key->hash);
    ccs_fault("pool.put.told");
    set_state(s, CCS_SLOT_LIVE);
    *slot = i;
    return CCS_OK;
}
