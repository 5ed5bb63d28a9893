/* SPDX-License-Identifier: Apache-2.0 */
#include "counters.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fault.h"
#include "robust.h"

/*
 * A slot is folded into the base sum in one step that cannot be seen half done: the new base is
 * written beside the old one, then one word says which of the two is valid *and* that the slot is
 * empty now, then the slot is cleared. Whoever takes the lock after a death finds from that word
 * what is left to do.
 */
struct ccs_counters_table {
    _Alignas(CCS_ARENA_ALIGN) pthread_mutex_t lock;
    uint64_t
        folding; /* bit 0: which base is valid; above: 1 + the slot that counts no more, or 0 */
    uint64_t incarnations; /* the last one given out */
    uint64_t base[2][CCS_COUNTERS_OWN];
    _Alignas(CCS_ARENA_ALIGN) _Atomic uint64_t common[CCS_COUNTERS_COMMON];
    struct ccs_counters_slot slots[CCS_COUNTERS_SLOTS];
};

static bool system_alive(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

static bool (*is_alive)(pid_t pid) = system_alive;

void ccs_counters_set_alive(bool (*alive)(pid_t pid))
{
    is_alive = alive != NULL ? alive : system_alive;
}

int ccs_counters_format(struct ccs_counters_table **out, struct ccs_arena *arena,
                        struct ccs_error *err)
{
    struct ccs_counters_table *t = ccs_arena_reserve(arena, CCS_ARENA_COUNTERS, sizeof(*t));

    if (t == NULL)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is too small for counters");
    memset(t, 0, sizeof(*t));
    if (ccs_robust_init(&t->lock) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no lock for the shared memory");
    *out = t;
    return CCS_OK;
}

int ccs_counters_attach(struct ccs_counters_table **out, const struct ccs_arena *arena,
                        struct ccs_error *err)
{
    size_t size;
    struct ccs_counters_table *t = ccs_arena_part(arena, CCS_ARENA_COUNTERS, &size);

    if (t == NULL || size != sizeof(*t))
        return ccs_error_set(err, CCS_EINVAL, "the shared memory holds no counters of ours");
    *out = t;
    return CCS_OK;
}

/* Clears the slot that counts no more. */
static void fold_end_locked(struct ccs_counters_table *t)
{
    struct ccs_counters_slot *s = &t->slots[(t->folding >> 1) - 1];

    for (size_t i = 0; i < CCS_COUNTERS_OWN; i++)
        atomic_store_explicit(&s->own[i], 0, memory_order_relaxed);
    ccs_fault("counters.cleared");
    for (size_t i = 0; i < CCS_COUNTERS_GAUGES; i++)
        atomic_store_explicit(&s->gauges[i], 0, memory_order_relaxed);
    atomic_store_explicit(&s->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&s->incarnation, 0, memory_order_relaxed);
    ccs_robust_order();
    t->folding &= 1;
    ccs_fault("counters.folded");
}

static void fold_locked(struct ccs_counters_table *t, size_t slot)
{
    uint64_t valid = t->folding & 1;

    for (size_t i = 0; i < CCS_COUNTERS_OWN; i++)
        t->base[valid ^ 1][i] = t->base[valid][i] +
                                atomic_load_explicit(&t->slots[slot].own[i], memory_order_relaxed);
    ccs_fault("counters.summed");
    ccs_robust_order();
    t->folding = (uint64_t)(slot + 1) << 1 | (valid ^ 1);
    ccs_robust_order();
    ccs_fault("counters.switched");
    fold_end_locked(t);
}

static bool lock_table(struct ccs_counters_table *t)
{
    bool died;

    if (ccs_robust_lock(&t->lock, CCS_LOCK_WAIT, &died) != CCS_OK)
        return false;
    if (died) {
        if (t->folding >> 1 != 0)
            fold_end_locked(t);
        ccs_robust_repaired(&t->lock);
    }
    return true;
}

static bool is_free(const struct ccs_counters_slot *s)
{
    return atomic_load_explicit(&s->incarnation, memory_order_relaxed) == 0;
}

static bool has_owner(const struct ccs_counters_slot *s)
{
    return is_alive((pid_t)atomic_load_explicit(&s->pid, memory_order_relaxed));
}

static size_t find_slot_locked(struct ccs_counters_table *t)
{
    for (size_t i = 0; i < CCS_COUNTERS_SLOTS; i++) {
        if (is_free(&t->slots[i]))
            return i;
    }
    for (size_t i = 0; i < CCS_COUNTERS_SLOTS; i++) {
        if (!has_owner(&t->slots[i])) {
            fold_locked(t, i);
            return i;
        }
    }
    return CCS_COUNTERS_SLOTS;
}

struct ccs_counters_slot *ccs_counters_join(struct ccs_counters_table *t, uint64_t *incarnation)
{
    pid_t pid = getpid();
    size_t i = CCS_COUNTERS_SLOTS;

    *incarnation = 0;
    if (lock_table(t)) {
        i = find_slot_locked(t);
        if (i < CCS_COUNTERS_SLOTS) {
            *incarnation = ++t->incarnations;
            atomic_store_explicit(&t->slots[i].pid, pid, memory_order_relaxed);
            ccs_robust_order();
            ccs_fault("counters.joining");
            atomic_store_explicit(&t->slots[i].incarnation, *incarnation, memory_order_relaxed);
            ccs_fault("counters.joined");
        }
        ccs_robust_unlock(&t->lock);
    }
    return &t->slots[i < CCS_COUNTERS_SLOTS ? i : (size_t)pid % CCS_COUNTERS_SLOTS];
}

void ccs_counters_leave(struct ccs_counters_table *t, struct ccs_counters_slot *slot,
                        uint64_t incarnation)
{
    if (incarnation == 0 || !lock_table(t))
        return;
    if (atomic_load_explicit(&slot->incarnation, memory_order_relaxed) == incarnation)
        fold_locked(t, (size_t)(slot - t->slots));
    ccs_robust_unlock(&t->lock);
}

void ccs_counters_add_common(struct ccs_counters_table *t, unsigned which, uint64_t n)
{
    atomic_fetch_add_explicit(&t->common[which], n, memory_order_relaxed);
}

void ccs_counters_read(struct ccs_counters_table *t, struct ccs_counters_sum *out)
{
    bool locked = lock_table(t);

    memset(out, 0, sizeof(*out));
    memcpy(out->own, t->base[t->folding & 1], sizeof(out->own));
    for (size_t i = 0; i < CCS_COUNTERS_SLOTS; i++) {
        const struct ccs_counters_slot *s = &t->slots[i];

        for (size_t k = 0; k < CCS_COUNTERS_OWN; k++)
            out->own[k] += atomic_load_explicit(&s->own[k], memory_order_relaxed);
        if (is_free(s) || !has_owner(s))
            continue;
        out->processes++;
        for (size_t k = 0; k < CCS_COUNTERS_GAUGES; k++)
            out->gauges[k] += atomic_load_explicit(&s->gauges[k], memory_order_relaxed);
    }
    if (locked)
        ccs_robust_unlock(&t->lock);
    for (size_t k = 0; k < CCS_COUNTERS_COMMON; k++)
        out->common[k] = atomic_load_explicit(&t->common[k], memory_order_relaxed);
}
