/* SPDX-License-Identifier: Apache-2.0 */
/* What any process does with the index: attaching, and asking without a lock. */
#include "index.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "index_inside.h"

#define MAGIC UINT64_C(0x3178646e69534343)

#define TRIES         4   /* while the table is being rebuilt */
#define WAIT_SLICE_MS 500 /* a writer may be killed between its change and the wake-up */

#define SPELLINGS_SHARE 8 /* one in so many octets is for odd spellings */

static size_t align_up(size_t n)
{
    return (n + CCS_INDEX_LINE - 1) & ~(size_t)(CCS_INDEX_LINE - 1);
}

static int check_place(const void *mem, size_t size, struct ccs_error *err)
{
    if (mem == NULL || (uintptr_t)mem % CCS_INDEX_LINE != 0)
        return ccs_error_set(err, CCS_EINVAL, "memory for names must be aligned to %d octets",
                             CCS_INDEX_LINE);
    if (size < CCS_INDEX_SIZE_MIN || size / sizeof(struct ccs_index_slot) > UINT32_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%zu octets for names are too few or too many", size);
    return CCS_OK;
}

static size_t spellings_size(size_t size)
{
    const size_t share = align_up(size / SPELLINGS_SHARE);

    return share < UINT32_MAX / 2 ? share : UINT32_MAX / 2 + 1;
}

int ccs_index_format(void *mem, size_t size, struct ccs_error *err)
{
    struct ccs_index_head *head = mem;
    struct ccs_index index = {0};
    int rv = check_place(mem, size, err);

    if (rv != CCS_OK)
        return rv;
    memset(head, 0, sizeof(*head));
    head->size = size;
    head->spellings_at = align_up(sizeof(*head));
    head->spellings.size = (uint32_t)spellings_size(size);
    head->slots_at = head->spellings_at + head->spellings.size;
    head->slots_max = (size - head->slots_at) / sizeof(struct ccs_index_slot);
    if (ccs_robust_init(&head->lock) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no mutex for the names in the store");
    index.head = head;
    index.slots = (struct ccs_index_slot *)((uintptr_t)mem + head->slots_at);
    ccs_index_table_reset(&index);
    ccs_index_odd_reset(&index);
    head->magic = MAGIC;
    return CCS_OK;
}

int ccs_index_attach(struct ccs_index *index, void *mem, size_t size, uint64_t store,
                     const struct ccs_siphash_key *key, struct ccs_error *err)
{
    struct ccs_index_head *head = mem;
    int rv = check_place(mem, size, err);

    if (rv != CCS_OK)
        return rv;
    if (head->magic != MAGIC || head->size != size || head->slots_at >= size ||
        head->slots_max > (size - head->slots_at) / sizeof(struct ccs_index_slot))
        return ccs_error_set(err, CCS_EINVAL, "the memory for names in the store is damaged");
    index->head = head;
    index->slots = (struct ccs_index_slot *)((uintptr_t)mem + head->slots_at);
    index->key = *key;
    index->store = store;
    atomic_init(&index->place, 0);
    return CCS_OK;
}

size_t ccs_index_size_for(size_t names)
{
    const size_t most = SIZE_MAX / 64;
    const size_t slots = (names < most ? names : most) / 3 * 4 + 8;
    const size_t size = align_up(sizeof(struct ccs_index_head)) +
                        slots * sizeof(struct ccs_index_slot) + CCS_INDEX_LINE;
    const size_t whole = align_up(size / (SPELLINGS_SHARE - 1) * SPELLINGS_SHARE + CCS_INDEX_LINE);

    return whole > CCS_INDEX_SIZE_MIN ? whole : CCS_INDEX_SIZE_MIN;
}

/* -- asking -------------------------------------------------------------------------------- */

static bool is_at(const struct ccs_index *index, uint32_t place, enum ccs_index_state *state)
{
    const struct ccs_index_place *p = &index->head->places[place];

    *state = (enum ccs_index_state)atomic_load_explicit(&p->state, memory_order_acquire);
    return *state != CCS_INDEX_NONE &&
           atomic_load_explicit(&p->store, memory_order_acquire) == index->store;
}

/* The store's state and place; no place with CCS_INDEX_NONE. */
static enum ccs_index_state find_place(struct ccs_index *index, uint32_t *place)
{
    enum ccs_index_state state;

    *place = atomic_load_explicit(&index->place, memory_order_relaxed);
    if (is_at(index, *place, &state))
        return state;
    for (uint32_t i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        if (is_at(index, i, &state)) {
            atomic_store_explicit(&index->place, i, memory_order_relaxed);
            *place = i;
            return state;
        }
    }
    return CCS_INDEX_NONE;
}

/* The word of a name, 0 if there is none. What it says counts if the table stayed as it was. */
static uint64_t find_word(const struct ccs_index *index, uint64_t hash)
{
    const struct ccs_index_head *head = index->head;
    const uint64_t wanted = hash != 0 ? hash : 1;
    uint64_t capacity = atomic_load_explicit(&head->capacity, memory_order_acquire);
    uint64_t at;
    uint64_t h;

    if (capacity > head->slots_max)
        capacity = head->slots_max;
    at = (wanted >> 32) * capacity >> 32;
    for (uint64_t n = 0; n < capacity; n++) {
        h = atomic_load_explicit(&index->slots[at].hash, memory_order_acquire);
        if (h == wanted)
            return atomic_load_explicit(&index->slots[at].word, memory_order_acquire);
        if (h == 0)
            return 0;
        at = at + 1 < capacity ? at + 1 : 0;
    }
    return 0;
}

enum ccs_index_answer ccs_index_lookup(struct ccs_index *index, uint64_t hash,
                                       struct ccs_index_name *out)
{
    const struct ccs_index_head *head = index->head;
    enum ccs_index_state state;
    struct ccs_index_word w;
    uint64_t sequence;
    uint32_t place;

    for (int i = 0; i < TRIES; i++) {
        sequence = atomic_load_explicit(&head->sequence, memory_order_acquire);
        if (sequence % 2 != 0 || find_place(index, &place) != CCS_INDEX_READY)
            return CCS_INDEX_UNKNOWN;
        w = ccs_index_unpack(find_word(index, hash));
        if (!is_at(index, place, &state) || state != CCS_INDEX_READY)
            return CCS_INDEX_UNKNOWN;
        if (atomic_load_explicit(&head->sequence, memory_order_acquire) != sequence)
            continue;
        if (w.kinds == 0)
            return atomic_load_explicit(&head->places[place].doubt, memory_order_acquire) != 0
                       ? CCS_INDEX_UNKNOWN
                       : CCS_INDEX_ABSENT;
        if (out != NULL)
            *out = (struct ccs_index_name){
                .stamp = w.stamp,
                .kinds = w.kinds,
                .odd = w.odd,
                .missing = w.lacking != 0,
            };
        return CCS_INDEX_PRESENT;
    }
    return CCS_INDEX_UNKNOWN;
}

void ccs_index_status(struct ccs_index *index, struct ccs_index_status *out)
{
    const struct ccs_index_head *head = index->head;
    const struct ccs_index_place *p;
    uint32_t place;

    memset(out, 0, sizeof(*out));
    out->state = find_place(index, &place);
    out->octets = atomic_load_explicit(&head->capacity, memory_order_relaxed) *
                  sizeof(struct ccs_index_slot);
    out->octets_max = head->slots_max * sizeof(struct ccs_index_slot);
    out->rebuilds = atomic_load_explicit(&head->rebuilds, memory_order_relaxed);
    out->lost = atomic_load_explicit(&head->lost, memory_order_relaxed);
    if (out->state == CCS_INDEX_NONE)
        return;
    p = &head->places[place];
    out->listed_ms = atomic_load_explicit(&p->listed_ms, memory_order_relaxed);
    out->suspect_ms = atomic_load_explicit(&p->suspect_ms, memory_order_relaxed);
    out->names = atomic_load_explicit(&p->names, memory_order_relaxed);
    out->missing = atomic_load_explicit(&p->missing, memory_order_relaxed);
    out->odd = atomic_load_explicit(&p->odd, memory_order_relaxed);
    out->odd_left_out = atomic_load_explicit(&p->odd_left_out, memory_order_relaxed);
}

/* -- waiting ------------------------------------------------------------------------------- */

/* Until the state of a place is another one than this, or a slice of the time has passed. */
static void wait_slice(struct ccs_index_place *p, enum ccs_index_state state, int64_t ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)syscall(SYS_futex, &p->state, FUTEX_WAIT, (uint32_t)state, &ts, NULL, 0);
}

enum ccs_index_state ccs_index_wait(struct ccs_index *index, int64_t timeout_ms)
{
    const int64_t until = ccs_now_ms() + (timeout_ms > 0 ? timeout_ms : 0);
    enum ccs_index_state state;
    uint32_t place;
    int64_t left;

    for (;;) {
        state = find_place(index, &place);
        left = until - ccs_now_ms();
        if ((state != CCS_INDEX_NONE && state != CCS_INDEX_EMPTY) || left <= 0)
            return state;
        left = left < WAIT_SLICE_MS ? left : WAIT_SLICE_MS;
        if (state != CCS_INDEX_NONE)
            wait_slice(&index->head->places[place], state, left);
        else /* nobody has begun, and nobody knows where it will be */
            (void)usleep((useconds_t)(left < 10 ? left : 10) * 1000);
    }
}

void ccs_index_set_away(struct ccs_index *index, bool away)
{
    uint32_t place;

    if (find_place(index, &place) != CCS_INDEX_NONE)
        atomic_store_explicit(&index->head->places[place].away, away ? 1 : 0, memory_order_relaxed);
}

bool ccs_index_is_away(struct ccs_index *index)
{
    uint32_t place;

    return find_place(index, &place) != CCS_INDEX_NONE &&
           atomic_load_explicit(&index->head->places[place].away, memory_order_relaxed) != 0;
}

void ccs_index_note_asked(struct ccs_index *index)
{
    _Atomic uint32_t *asked;
    uint32_t place;

    if (find_place(index, &place) == CCS_INDEX_NONE)
        return;
    asked = &index->head->places[place].asked;
    if (atomic_load_explicit(asked, memory_order_relaxed) == 0)
        atomic_store_explicit(asked, 1, memory_order_relaxed);
}

bool ccs_index_take_asked(struct ccs_index *index)
{
    uint32_t place;

    return find_place(index, &place) != CCS_INDEX_NONE &&
           atomic_exchange_explicit(&index->head->places[place].asked, 0, memory_order_relaxed) !=
               0;
}

/* -- looking at the store ------------------------------------------------------------------ */

#define SECOND_US INT64_C(1000000)

static _Atomic int64_t *probes_of(struct ccs_index *index)
{
    /* Stores that share one are slower for it at worst. */
    return &index->head->probes[index->store % CCS_INDEX_STORES_MAX];
}

bool ccs_index_probe_take(struct ccs_index *index, unsigned per_second, int64_t now_ms)
{
    _Atomic int64_t *probes = probes_of(index);
    const int64_t now = now_ms * 1000;
    int64_t earned = atomic_load_explicit(probes, memory_order_relaxed);
    int64_t next;

    do {
        next = (earned > now ? earned : now) + SECOND_US / per_second;
        if (next > now + SECOND_US)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(probes, &earned, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void ccs_index_probe_give_back(struct ccs_index *index, unsigned per_second)
{
    atomic_fetch_sub_explicit(probes_of(index), SECOND_US / per_second, memory_order_relaxed);
}
