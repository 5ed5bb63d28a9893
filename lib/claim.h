/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_CLAIM_H
#define CCS_CLAIM_H

/*
 * Who loads which stem. A claim is a ticket, a number that is never given out again, and a
 * deadline. Past the deadline, or when its owner has died, anybody may take it over; the old ticket
 * is good for nothing from then on. A table belongs to one shard of the vault and is used under its
 * lock only, so that nothing can come between the check of a ticket and what is published with it.
 *
 * The bell tells all processes that some load has ended.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <ccs/ccs.h>

#include "base.h"

#define CCS_CLAIMS_PER_SHARD 64

/* What the owner keeps of it. Zero-initialised: no claim. */
struct ccs_claim {
    uint64_t ticket;
    uint64_t hash;       /* of the stem */
    uint64_t generation; /* of the stem when the claim was made */
    int64_t deadline_ms; /* ccs_now_ms(), the same clock in all processes */
};

struct ccs_claims {
    struct {
        _Atomic uint64_t ticket; /* 0: free. Written last, so that a half-made claim is none */
        uint64_t hash;
        int64_t pid; /* of the owner */
        _Atomic int64_t deadline_ms;
    } slots[CCS_CLAIMS_PER_SHARD];
};

/*
 * CCS_OK: slot is ours with the ticket given. CCS_PENDING: another one has it, until *until_ms.
 * CCS_EBUSY: so many loads are under way that this one cannot be noted.
 */
int ccs_claims_take(struct ccs_claims *claims, uint64_t hash, uint64_t ticket, int64_t now_ms,
                    int64_t deadline_ms, int64_t *until_ms);
bool ccs_claims_hold(const struct ccs_claims *claims, const struct ccs_claim *claim);
bool ccs_claims_extend(struct ccs_claims *claims, const struct ccs_claim *claim,
                       int64_t deadline_ms);
bool ccs_claims_release(struct ccs_claims *claims, const struct ccs_claim *claim);
size_t ccs_claims_count(const struct ccs_claims *claims, int64_t now_ms);

/* A counter in shared memory that can be waited for. Nothing is left behind by a waiter that is
 * killed, which cannot be said of condition variables and semaphores. */
struct ccs_bell {
    _Atomic uint32_t count;
};

uint32_t ccs_bell_count(const struct ccs_bell *bell);
void ccs_bell_ring(struct ccs_bell *bell);

/*
 * Waits until the count is no longer seen, at most timeout_ms; true if it is another one. May
 * return early. Meant for one thread per process.
 */
bool ccs_bell_wait(struct ccs_bell *bell, uint32_t seen, int64_t timeout_ms);

#endif
