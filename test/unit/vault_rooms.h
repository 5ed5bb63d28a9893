/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_VAULT_ROOMS_H
#define CCS_TEST_VAULT_ROOMS_H

/*
 * The rooms of shared memory once more, with fault points. Whoever includes this defines
 * ccs_fault(); none of these rooms is linked from the library then.
 */
#define CCS_FAULT_POINTS
#include "arena.c"
#include "claim.c"
#include "counters.c"
#include "intermediates.c"
#include "layout.c"
#include "lease.c"
#include "pool.c"
#include "pool_repair.c"
#include "robust.c"
#include "vault.c"
#include "vault_failure.c"
#include "vault_scan.c"

#endif
