/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include "error.h"

#define INTERMEDIATES_SHARE 64 /* of the memory */
#define INTERMEDIATES_MIN   ((size_t)16 * 1024)
#define INTERMEDIATES_MAX   ((size_t)1024 * 1024)

static size_t intermediates_size(size_t size)
{
    size_t n = size / INTERMEDIATES_SHARE;

    if (n < INTERMEDIATES_MIN)
        n = INTERMEDIATES_MIN;
    return n < INTERMEDIATES_MAX ? n : INTERMEDIATES_MAX;
}

int ccs_layout_format(void *mem, size_t size, size_t index, struct ccs_layout *out,
                      struct ccs_error *err)
{
    struct ccs_layout l = {.index_size = index};
    int rv;

    rv = ccs_arena_format(mem, size, &l.arena, err);
    if (rv != CCS_OK)
        return rv;
    if (index > size / 2)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is too small for the index");
    if (index > 0) {
        l.index = ccs_arena_reserve(l.arena, CCS_ARENA_INDEX, index);
        rv = ccs_index_format(l.index, index, err);
        if (rv != CCS_OK)
            return rv;
    }
    rv = ccs_counters_format(&l.counters, l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_leases_format(&l.leases, l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_intermediates_format(&l.intermediates, l.arena, intermediates_size(size), err);
    /* Last, because it takes what is left. */
    if (rv == CCS_OK)
        rv = ccs_vault_format(&l.vault, l.arena, err);
    if (rv != CCS_OK)
        return rv;
    ccs_arena_seal(l.arena);
    *out = l;
    return CCS_OK;
}

int ccs_layout_attach(void *mem, size_t size, struct ccs_layout *out, struct ccs_error *err)
{
    struct ccs_layout l = {0};
    int rv;

    rv = ccs_arena_attach(mem, size, &l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_counters_attach(&l.counters, l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_leases_attach(&l.leases, l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_intermediates_attach(&l.intermediates, l.arena, err);
    if (rv == CCS_OK)
        rv = ccs_vault_attach(&l.vault, l.arena, err);
    if (rv != CCS_OK)
        return rv;
    l.index = ccs_arena_part(l.arena, CCS_ARENA_INDEX, &l.index_size);
    *out = l;
    return CCS_OK;
}

void ccs_layout_wipe(struct ccs_layout *layout)
{
    ccs_arena_break(layout->arena);
    ccs_vault_wipe(&layout->vault);
}
