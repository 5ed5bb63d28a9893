/* SPDX-License-Identifier: Apache-2.0 */
/* The table of names: what changes it, all under one lock. */
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "index_inside.h"

#define CAPACITY_MIN 256

/* How many names may be in a table. */
static uint64_t names_limit(uint64_t capacity)
{
    return capacity / 4 * 3;
}

/* With slots of names that are gone. The largest table may be fuller with them, so that it can go
 * on for a while between two rebuilds even if it holds as many names as it may. */
static uint64_t used_limit(uint64_t capacity, uint64_t slots_max)
{
    return capacity < slots_max ? names_limit(capacity) : capacity / 8 * 7;
}

static uint64_t load_u64(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void store_u64(_Atomic uint64_t *p, uint64_t x)
{
    atomic_store_explicit(p, x, memory_order_release);
}

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    /* One writer at a time: no need of a locked instruction. */
    atomic_store_explicit(counter, load_u64(counter) + by, memory_order_relaxed);
}

static uint64_t home(uint64_t hash, uint64_t capacity)
{
    return (hash >> 32) * capacity >> 32;
}

uint64_t ccs_index_table_stamp(struct ccs_index *index)
{
    struct ccs_index_head *head = index->head;

    head->next_stamp = (head->next_stamp + 1) & CCS_INDEX_STAMP_MASK;
    if (head->next_stamp == 0)
        head->next_stamp = 1;
    return head->next_stamp;
}

void ccs_index_table_set_state(struct ccs_index *index, uint32_t place, enum ccs_index_state state)
{
    struct ccs_index_place *p = &index->head->places[place];
    _Atomic uint32_t *word = &p->state;

    if (state != CCS_INDEX_READY)
        atomic_fetch_add_explicit(&p->breaks, 1, memory_order_relaxed);
    if (atomic_exchange_explicit(word, (uint32_t)state, memory_order_acq_rel) != (uint32_t)state)
        (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* -- repair -------------------------------------------------------------------------------- */

/* Nothing of the table is known any more; the sequence number is odd. */
static void forget_table(struct ccs_index *index)
{
    struct ccs_index_head *head = index->head;

    atomic_store_explicit(&head->capacity,
                          head->slots_max < CAPACITY_MIN ? head->slots_max : CAPACITY_MIN,
                          memory_order_release);
    for (uint64_t i = 0; i < load_u64(&head->capacity); i++) {
        store_u64(&index->slots[i].word, 0);
        store_u64(&index->slots[i].hash, 0);
    }
    head->used = 0;
    head->names = 0;
}

void ccs_index_table_reset(struct ccs_index *index)
{
    struct ccs_index_head *head = index->head;
    const uint64_t sequence = load_u64(&head->sequence) | 1;

    store_u64(&head->sequence, sequence);
    forget_table(index);
    store_u64(&head->sequence, sequence + 1);
}

/* Names of places that are not in use any more, and the counts of all others. */
static void count_again(struct ccs_index *index)
{
    struct ccs_index_head *head = index->head;
    const uint64_t capacity = load_u64(&head->capacity);

    head->used = 0;
    head->names = 0;
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        atomic_store_explicit(&head->places[i].names, 0, memory_order_relaxed);
        atomic_store_explicit(&head->places[i].missing, 0, memory_order_relaxed);
    }
    for (uint64_t i = 0; i < capacity; i++) {
        struct ccs_index_slot *slot = &index->slots[i];
        const struct ccs_index_word w = ccs_index_unpack(load_u64(&slot->word));
        struct ccs_index_place *p = &head->places[w.place];

        if (load_u64(&slot->hash) == 0) {
            /* Its writer had come to the word only. */
            store_u64(&slot->word, 0);
            continue;
        }
        head->used++;
        if (w.kinds != 0 && atomic_load_explicit(&p->state, memory_order_relaxed) == CCS_INDEX_NONE)
            store_u64(&slot->word, 0);
        else if (w.kinds != 0) {
            head->names++;
            count(&p->names, 1);
            count(&p->missing, w.lacking != 0);
        }
    }
}

static void lose_all(struct ccs_index *index)
{
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        if (atomic_load_explicit(&index->head->places[i].state, memory_order_relaxed) !=
            CCS_INDEX_NONE)
            ccs_index_table_set_state(index, i, CCS_INDEX_EMPTY);
    }
}

static void repair(struct ccs_index *index)
{
    struct ccs_index_head *head = index->head;
    const bool torn_table = load_u64(&head->sequence) % 2 != 0;
    const bool torn_odd = ccs_index_odd_is_torn(index);

    /* First of all, because a repair may also be cut short, and leave no trace of the damage. */
    if (torn_table || torn_odd) {
        lose_all(index);
        count(&head->lost, 1);
    }
    ccs_fault("index repair");
    if (torn_table)
        ccs_index_table_reset(index);
    if (torn_odd)
        ccs_index_odd_reset(index);
    count_again(index);
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        if (atomic_load_explicit(&head->places[i].state, memory_order_relaxed) == CCS_INDEX_NONE &&
            load_u64(&head->places[i].odd) > 0)
            ccs_index_odd_sweep(index, i, 0, NULL, NULL);
    }
}

int ccs_index_table_lock(struct ccs_index *index)
{
    bool died;
    const int rv = ccs_robust_lock(&index->head->lock, CCS_LOCK_WAIT, &died);

    if (rv != CCS_OK) {
        lose_all(index);
        return rv;
    }
    if (died) {
        repair(index);
        ccs_robust_repaired(&index->head->lock);
    }
    return CCS_OK;
}

void ccs_index_table_unlock(struct ccs_index *index)
{
    ccs_robust_unlock(&index->head->lock);
}

/* -- places -------------------------------------------------------------------------------- */

void ccs_index_table_clear(struct ccs_index *index, uint32_t place)
{
    const uint64_t capacity = load_u64(&index->head->capacity);
    const struct ccs_index_word none = {0};

    for (uint64_t i = 0; i < capacity; i++) {
        struct ccs_index_slot *slot = &index->slots[i];
        const struct ccs_index_word w = ccs_index_unpack(load_u64(&slot->word));

        if (w.kinds != 0 && w.place == place && load_u64(&slot->hash) != 0)
            ccs_index_table_put(index, slot, &none);
    }
    ccs_index_odd_sweep(index, place, 0, NULL, NULL);
}

static bool is_idle(const struct ccs_index_place *p, int64_t now_ms)
{
    return now_ms - atomic_load_explicit(&p->used_ms, memory_order_relaxed) > CCS_INDEX_FORGET_MS;
}

static void release_place(struct ccs_index *index, uint32_t place)
{
    ccs_index_table_set_state(index, place, CCS_INDEX_NONE);
    ccs_fault("index place");
    ccs_index_table_clear(index, place);
}

/* Of other stores. */
static void release_idle(struct ccs_index *index, int64_t now_ms)
{
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        struct ccs_index_place *p = &index->head->places[i];

        if (atomic_load_explicit(&p->state, memory_order_relaxed) != CCS_INDEX_NONE &&
            load_u64(&p->store) != index->store && is_idle(p, now_ms))
            release_place(index, i);
    }
}

int ccs_index_table_claim(struct ccs_index *index, int64_t now_ms, uint32_t *place)
{
    struct ccs_index_place *p;
    uint32_t found = CCS_INDEX_STORES_MAX;

    for (uint32_t i = CCS_INDEX_STORES_MAX; i-- > 0;) {
        p = &index->head->places[i];
        if (atomic_load_explicit(&p->state, memory_order_relaxed) == CCS_INDEX_NONE) {
            found = i;
        } else if (load_u64(&p->store) == index->store) {
            *place = i;
            return CCS_OK;
        }
    }
    if (found == CCS_INDEX_STORES_MAX) {
        for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX && found == CCS_INDEX_STORES_MAX; i++) {
            if (is_idle(&index->head->places[i], now_ms))
                found = i;
        }
        if (found == CCS_INDEX_STORES_MAX)
            return CCS_EBUSY;
        release_place(index, found);
    }
    p = &index->head->places[found];
    p->token = 0;
    p->epoch = 0;
    p->listing = 0;
    atomic_store_explicit(&p->doubt, 0, memory_order_relaxed);
    atomic_store_explicit(&p->away, 0, memory_order_relaxed);
    atomic_store_explicit(&p->asked, 0, memory_order_relaxed);
    atomic_store_explicit(&p->listed_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&p->suspect_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&p->used_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&p->odd_left_out, 0, memory_order_relaxed);
    store_u64(&p->store, index->store);
    ccs_index_table_set_state(index, found, CCS_INDEX_EMPTY);
    *place = found;
    return CCS_OK;
}

/* -- slots --------------------------------------------------------------------------------- */

struct ccs_index_slot *ccs_index_table_find(struct ccs_index *index, uint64_t hash)
{
    const uint64_t capacity = load_u64(&index->head->capacity);
    const uint64_t wanted = hash != 0 ? hash : 1;
    uint64_t at = home(wanted, capacity);

    for (uint64_t n = 0; n < capacity; n++) {
        const uint64_t h = load_u64(&index->slots[at].hash);

        if (h == wanted)
            return &index->slots[at];
        if (h == 0)
            return NULL;
        at = at + 1 < capacity ? at + 1 : 0;
    }
    return NULL;
}

void ccs_index_table_put(struct ccs_index *index, struct ccs_index_slot *slot,
                         const struct ccs_index_word *word)
{
    const struct ccs_index_word old = ccs_index_unpack(load_u64(&slot->word));
    struct ccs_index_place *p = &index->head->places[old.kinds != 0 ? old.place : word->place];
    const uint64_t x = word->kinds != 0 ? ccs_index_pack(word) : 0;

    store_u64(&slot->word, x);
    ccs_fault("index word");
    index->head->names += (uint64_t)(word->kinds != 0) - (uint64_t)(old.kinds != 0);
    count(&p->names, (uint64_t)(word->kinds != 0) - (uint64_t)(old.kinds != 0));
    count(&p->missing, (uint64_t)(word->lacking != 0) - (uint64_t)(old.lacking != 0));
}

struct plain_slot {
    uint64_t hash;
    uint64_t word;
};

/* The table as it is to be, in private memory. */
static struct plain_slot *copy_live(const struct ccs_index *index, uint64_t capacity)
{
    const uint64_t old_capacity = load_u64(&index->head->capacity);
    struct plain_slot *to = calloc(capacity, sizeof(*to));

    for (uint64_t i = 0; to != NULL && i < old_capacity; i++) {
        const uint64_t word = load_u64(&index->slots[i].word);
        const uint64_t hash = load_u64(&index->slots[i].hash);
        uint64_t at = home(hash, capacity);

        if (hash == 0 || word == 0)
            continue;
        while (to[at].hash != 0)
            at = at + 1 < capacity ? at + 1 : 0;
        to[at].hash = hash;
        to[at].word = word;
    }
    return to;
}

/* Another capacity, without the names that are gone. */
static int rebuild(struct ccs_index *index, uint64_t capacity)
{
    struct ccs_index_head *head = index->head;
    const uint64_t sequence = load_u64(&head->sequence);
    struct plain_slot *from = copy_live(index, capacity);

    if (from == NULL)
        return CCS_ENOMEM;
    store_u64(&head->sequence, sequence + 1);
    ccs_fault("index rebuild begin");
    store_u64(&head->capacity, capacity);
    for (uint64_t i = 0; i < capacity; i++) {
        store_u64(&index->slots[i].word, from[i].word);
        store_u64(&index->slots[i].hash, from[i].hash);
        if (i == capacity / 2)
            ccs_fault("index rebuild middle");
    }
    head->used = head->names;
    count(&head->rebuilds, 1);
    ccs_fault("index rebuild end");
    store_u64(&head->sequence, sequence + 2);
    free(from);
    return CCS_OK;
}

/* Makes sure that one more name may be there. */
static int make_room_for_name(struct ccs_index *index)
{
    const struct ccs_index_head *head = index->head;

    if (head->names < names_limit(head->slots_max))
        return CCS_OK;
    release_idle(index, ccs_now_ms());
    return head->names < names_limit(head->slots_max) ? CCS_OK : CCS_ETOOBIG;
}

/* Makes sure that one more slot may be used. */
static int make_room_for_slot(struct ccs_index *index)
{
    const struct ccs_index_head *head = index->head;
    const uint64_t next = head->names * 2 > CAPACITY_MIN ? head->names * 2 : CAPACITY_MIN;

    if (head->used < used_limit(load_u64(&head->capacity), head->slots_max))
        return CCS_OK;
    return rebuild(index, next < head->slots_max ? next : head->slots_max);
}

int ccs_index_table_insert(struct ccs_index *index, uint64_t hash,
                           const struct ccs_index_word *word)
{
    const uint64_t wanted = hash != 0 ? hash : 1;
    struct ccs_index_slot *slot = ccs_index_table_find(index, hash);
    uint64_t capacity;
    uint64_t at;
    int rv = make_room_for_name(index);

    if (rv == CCS_OK && slot == NULL)
        rv = make_room_for_slot(index);
    if (rv != CCS_OK)
        return rv;
    if (slot != NULL) {
        ccs_index_table_put(index, slot, word);
        return CCS_OK;
    }
    capacity = load_u64(&index->head->capacity);
    at = home(wanted, capacity);
    while (load_u64(&index->slots[at].hash) != 0)
        at = at + 1 < capacity ? at + 1 : 0;
    /* The hash comes last: who finds it finds the word. */
    store_u64(&index->slots[at].word, ccs_index_pack(word));
    ccs_fault("index insert word");
    store_u64(&index->slots[at].hash, wanted);
    ccs_fault("index insert hash");
    index->head->used++;
    index->head->names++;
    count(&index->head->places[word->place].names, 1);
    count(&index->head->places[word->place].missing, word->lacking != 0);
    return CCS_OK;
}
