/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SHARED_H
#define CCS_SHARED_H

/* The memory that the instances of several processes share, as the public interface has it. */

#include <stdatomic.h>

#include <ccs/ccs.h>

#include "layout.h"
#include "settings.h"

struct ccs_shared {
    atomic_uint refs;
    void *mem;
    size_t size;
    int owned; /* it was mapped here, and goes with the last reference of the process that did */
    struct ccs_layout layout;
};

struct ccs_shared *ccs_shared_ref(struct ccs_shared *shared);

/*
 * Which store, for the shared memory: configurations with the same number find each other's
 * certificates. Some settings keep them apart, as they decide what may be served at all.
 */
uint64_t ccs_shared_store_id(const struct ccs_settings *settings);

/* Digest of the settings that decide whether a file is refused. */
uint64_t ccs_shared_mend(const struct ccs_settings *settings);

#endif
