/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_ARENA_H
#define CCS_ARENA_H

/*
 * One piece of shared memory, cut into parts, one for each room that keeps something there. Its
 * creator formats it, everybody else attaches. There are no pointers inside, only offsets, so that
 * it may be mapped anywhere.
 *
 * Lock order: the locks inside (one per shard of the vault, one each for intermediates, leases and
 * counters) are leaves. None is taken while another is held, and nothing is called out with one.
 */

#include <ccs/ccs.h>

#include "base.h"
#include "siphash.h"

#define CCS_ARENA_ABI      1u /* one more whenever anything in shared memory changes its layout */
#define CCS_ARENA_ALIGN    64 /* of the memory, of each part, and of what different CPUs write */
#define CCS_ARENA_SIZE_MIN ((size_t)1024 * 1024)
#define CCS_ARENA_SIZE_MAX ((size_t)64 * 1024 * 1024 * 1024)

static inline size_t ccs_arena_align(size_t n)
{
    return (n + CCS_ARENA_ALIGN - 1) & ~(size_t)(CCS_ARENA_ALIGN - 1);
}

enum ccs_arena_part {
    CCS_ARENA_INDEX,
    CCS_ARENA_COUNTERS,
    CCS_ARENA_LEASES,
    CCS_ARENA_INTERMEDIATES,
    CCS_ARENA_VAULT,
    CCS_ARENA_PARTS
};

struct ccs_arena; /* at the start of the memory itself */

/*
 * Memory that all children forked from now on share, all zero, and left out of core dumps. Release
 * it with ccs_arena_unmap(), which does not wipe: see ccs_layout_wipe().
 */
int ccs_arena_map(size_t size, void **out, struct ccs_error *err);
void ccs_arena_unmap(void *mem, size_t size);

/*
 * Makes an arena of memory aligned to CCS_ARENA_ALIGN that nobody uses yet; its contents do not
 * matter. Nobody can attach before ccs_arena_seal(). CCS_EINVAL: too small, too big, or not
 * aligned. CCS_EUNAVAIL: no random numbers for the key.
 */
int ccs_arena_format(void *mem, size_t size, struct ccs_arena **out, struct ccs_error *err);

/* Only between format and seal: gives a part its memory, NULL if there is not as much left. */
void *ccs_arena_reserve(struct ccs_arena *arena, enum ccs_arena_part part, size_t size);
size_t ccs_arena_left(const struct ccs_arena *arena);
void ccs_arena_seal(struct ccs_arena *arena);

/* CCS_EINVAL, with the reason, for anything but a sealed arena of this version and this size. */
int ccs_arena_attach(void *mem, size_t size, struct ccs_arena **out, struct ccs_error *err);

/* Nobody can attach any more. Whoever is attached already goes on. */
void ccs_arena_break(struct ccs_arena *arena);

/* Start and size of a part; NULL if it has none. */
void *ccs_arena_part(const struct ccs_arena *arena, enum ccs_arena_part part, size_t *size);

size_t ccs_arena_size(const struct ccs_arena *arena);

/* The hash key of one store, the same in all processes: for vault, index and L1 alike. */
struct ccs_siphash_key ccs_arena_key(const struct ccs_arena *arena, uint64_t store);

#endif
