/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LEASE_H
#define CCS_LEASE_H

/*
 * One process at a time refreshes a store for all of them. A lease is kept alive by a heartbeat and
 * carries a token, a number that is never given out again. A process of a newer configuration takes
 * it at once, one of the same or an older configuration once the heartbeat is too old. A former
 * holder learns of it by its token and must check that before each batch of changes.
 */

#include <stdbool.h>

#include <ccs/ccs.h>

#include "arena.h"

#define CCS_LEASE_STALE_MS  5000
#define CCS_LEASE_BEAT_MS   1000 /* how often a holder should say that it is alive */
#define CCS_LEASE_FORGET_MS 60000
#define CCS_LEASES_MAX      64 /* stores */

struct ccs_leases; /* in shared memory */

int ccs_leases_format(struct ccs_leases **out, struct ccs_arena *arena, struct ccs_error *err);
int ccs_leases_attach(struct ccs_leases **out, const struct ccs_arena *arena,
                      struct ccs_error *err);

/* Number for a new configuration, larger than all before. The parent takes it, before it forks. */
uint64_t ccs_leases_configuration(struct ccs_leases *leases);

/* What a holder keeps of it. Zero-initialised: none. */
struct ccs_lease {
    uint64_t token; /* also fit as fencing token for whatever the holder changes */
    uint32_t slot;
};

/*
 * CCS_OK: *out is ours now. CCS_PENDING: another one has it. CCS_EBUSY: more stores than the table
 * holds. CCS_EUNAVAIL: the table cannot be used any more. now_ms: ccs_now_ms(). May wait for a lock
 * for some milliseconds, the only one of these calls that does: not for event loops.
 */
int ccs_lease_take(struct ccs_leases *leases, uint64_t store, uint64_t configuration,
                   int64_t now_ms, struct ccs_lease *out);

/* True while it is ours. One load: cheap enough for every change. */
bool ccs_lease_check(const struct ccs_leases *leases, const struct ccs_lease *lease);

/* Heartbeat. CCS_OK, or CCS_ECANCELED: it is another one's. */
int ccs_lease_beat(struct ccs_leases *leases, const struct ccs_lease *lease, int64_t now_ms);

/*
 * Gives it up; *lease is zero afterwards. Processes of the same configuration or a newer one may
 * take it at once, those of an older one when the last heartbeat is too old.
 */
void ccs_lease_give(struct ccs_leases *leases, struct ccs_lease *lease);

#endif
