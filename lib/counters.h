/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_COUNTERS_H
#define CCS_COUNTERS_H

/*
 * Counters of all processes. What is counted with each handshake has two cache lines of its own in
 * each process; they are summed when somebody asks. When the slot of a dead process is used again
 * its counters go into a base sum first, so that nothing is ever counted backwards; gauges, which
 * say how things are now, go with their process. What is counted rarely is in one place for all.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <ccs/ccs.h>

#include "arena.h"

#define CCS_COUNTERS_OWN    11 /* per process: these are summed for ever */
#define CCS_COUNTERS_GAUGES 3  /* per process, as long as it lives */
#define CCS_COUNTERS_COMMON 80 /* for all processes, counted in place */
#define CCS_COUNTERS_SLOTS  128

struct ccs_counters_slot {
    _Alignas(CCS_ARENA_ALIGN) _Atomic uint64_t own[CCS_COUNTERS_OWN];
    _Atomic int64_t gauges[CCS_COUNTERS_GAUGES];
    _Atomic uint64_t incarnation; /* 0: free; else who has it: never the same number twice */
    _Atomic int64_t pid;
};

struct ccs_counters_table; /* in shared memory */

int ccs_counters_format(struct ccs_counters_table **out, struct ccs_arena *arena,
                        struct ccs_error *err);
int ccs_counters_attach(struct ccs_counters_table **out, const struct ccs_arena *arena,
                        struct ccs_error *err);

/*
 * A slot for the calling process: a free one, or one whose process is dead. Never NULL: with more
 * processes than slots they share. *incarnation is what ccs_counters_leave() wants back.
 */
struct ccs_counters_slot *ccs_counters_join(struct ccs_counters_table *t, uint64_t *incarnation);
void ccs_counters_leave(struct ccs_counters_table *t, struct ccs_counters_slot *slot,
                        uint64_t incarnation);

/* Several threads of a process share a slot, so it takes an atomic addition; nothing is ordered. */
static inline void ccs_counters_add(struct ccs_counters_slot *slot, unsigned which, uint64_t n)
{
    atomic_fetch_add_explicit(&slot->own[which], n, memory_order_relaxed);
}

static inline void ccs_counters_gauge(struct ccs_counters_slot *slot, unsigned which, int64_t n)
{
    atomic_fetch_add_explicit(&slot->gauges[which], n, memory_order_relaxed);
}

void ccs_counters_add_common(struct ccs_counters_table *t, unsigned which, uint64_t n);

struct ccs_counters_sum {
    uint64_t own[CCS_COUNTERS_OWN];
    int64_t gauges[CCS_COUNTERS_GAUGES];
    uint64_t common[CCS_COUNTERS_COMMON];
    unsigned processes; /* slots whose process lives */
};

/* Waits for a lock: not for event loops. */
void ccs_counters_read(struct ccs_counters_table *t, struct ccs_counters_sum *out);

/* For tests: another answer than the system's to whether a process lives. */
void ccs_counters_set_alive(bool (*alive)(pid_t pid));

#endif
