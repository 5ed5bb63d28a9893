/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LAYOUT_H
#define CCS_LAYOUT_H

/* How an arena is divided among its rooms, and the handles of all of them in this process. */

#include <ccs/ccs.h>

#include "arena.h"
#include "counters.h"
#include "index.h"
#include "intermediates.h"
#include "lease.h"
#include "vault.h"

struct ccs_layout {
    struct ccs_arena *arena;
    struct ccs_counters_table *counters;
    struct ccs_leases *leases;
    struct ccs_intermediates *intermediates;
    void *index; /* formatted memory for ccs_index_attach(); NULL: none was set aside */
    size_t index_size;
    struct ccs_vault vault; /* pointers of this process; any number of copies may exist */
};

/*
 * Formats memory (see ccs_arena_format()). index octets are set aside for the names of files, at
 * most half of size, or 0 for none. CCS_EINVAL if size is too small for all of it.
 */
int ccs_layout_format(void *mem, size_t size, size_t index, struct ccs_layout *out,
                      struct ccs_error *err);

/* Attaches to memory that was formatted, here or in another process. No I/O, no lock. */
int ccs_layout_attach(void *mem, size_t size, struct ccs_layout *out, struct ccs_error *err);

/* Nobody else uses it any more: overwrites whatever may be secret, and makes it unusable. */
void ccs_layout_wipe(struct ccs_layout *layout);

#endif
