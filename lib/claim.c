/* SPDX-License-Identifier: Apache-2.0 */
#include "claim.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "robust.h"

/* Another process that has got the number of a dead one is waited for in vain, to the deadline. */
static bool is_dead(int64_t pid)
{
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

int ccs_claims_take(struct ccs_claims *claims, uint64_t hash, uint64_t ticket, int64_t now_ms,
                    int64_t deadline_ms, int64_t *until_ms)
{
    size_t place = CCS_CLAIMS_PER_SHARD;

    for (size_t i = 0; i < CCS_CLAIMS_PER_SHARD; i++) {
        uint64_t held = atomic_load_explicit(&claims->slots[i].ticket, memory_order_relaxed);
        int64_t until = atomic_load_explicit(&claims->slots[i].deadline_ms, memory_order_relaxed);

        if (held != 0 && until > now_ms) {
            if (claims->slots[i].hash != hash)
                continue;
            if (!is_dead(claims->slots[i].pid)) {
                if (until_ms != NULL)
                    *until_ms = until;
                return CCS_PENDING;
            }
        }
        /* Its own old one before any other, so that no stem ever has two. */
        if (place == CCS_CLAIMS_PER_SHARD || (held != 0 && claims->slots[i].hash == hash))
            place = i;
    }
    if (place == CCS_CLAIMS_PER_SHARD)
        return CCS_EBUSY;
    atomic_store_explicit(&claims->slots[place].ticket, 0, memory_order_relaxed);
    ccs_robust_order();
    ccs_fault("claim.take");
    claims->slots[place].hash = hash;
    claims->slots[place].pid = getpid();
    atomic_store_explicit(&claims->slots[place].deadline_ms, deadline_ms, memory_order_relaxed);
    ccs_robust_order();
    atomic_store_explicit(&claims->slots[place].ticket, ticket, memory_order_relaxed);
    ccs_fault("claim.taken");
    return CCS_OK;
}

static size_t find_claim(const struct ccs_claims *claims, const struct ccs_claim *claim)
{
    size_t i;

    for (i = 0; i < CCS_CLAIMS_PER_SHARD; i++) {
        if (atomic_load_explicit(&claims->slots[i].ticket, memory_order_relaxed) == claim->ticket)
            break;
    }
    return claim->ticket != 0 ? i : CCS_CLAIMS_PER_SHARD;
}

bool ccs_claims_hold(const struct ccs_claims *claims, const struct ccs_claim *claim)
{
    return find_claim(claims, claim) < CCS_CLAIMS_PER_SHARD;
}

bool ccs_claims_extend(struct ccs_claims *claims, const struct ccs_claim *claim,
                       int64_t deadline_ms)
{
    size_t i = find_claim(claims, claim);

    if (i == CCS_CLAIMS_PER_SHARD)
        return false;
    atomic_store_explicit(&claims->slots[i].deadline_ms, deadline_ms, memory_order_relaxed);
    return true;
}

bool ccs_claims_release(struct ccs_claims *claims, const struct ccs_claim *claim)
{
    size_t i = find_claim(claims, claim);

    if (i == CCS_CLAIMS_PER_SHARD)
        return false;
    atomic_store_explicit(&claims->slots[i].ticket, 0, memory_order_relaxed);
    ccs_fault("claim.released");
    return true;
}

size_t ccs_claims_count(const struct ccs_claims *claims, int64_t now_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < CCS_CLAIMS_PER_SHARD; i++) {
        if (atomic_load_explicit(&claims->slots[i].ticket, memory_order_relaxed) != 0 &&
            atomic_load_explicit(&claims->slots[i].deadline_ms, memory_order_relaxed) > now_ms)
            n++;
    }
    return n;
}

/* -- bell ---------------------------------------------------------------------------------- */

/* Not FUTEX_PRIVATE_FLAG: the waiters are other processes. */

uint32_t ccs_bell_count(const struct ccs_bell *bell)
{
    /* Acquire, with the release below: who sees the count sees what had ended before it. */
    return atomic_load_explicit(&bell->count, memory_order_acquire);
}

void ccs_bell_ring(struct ccs_bell *bell)
{
    atomic_fetch_add_explicit(&bell->count, 1, memory_order_release);
    /* Whoever dies here wakes nobody; waiters have a time-out for that. */
    ccs_fault("bell.ring");
    (void)syscall(SYS_futex, &bell->count, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool ccs_bell_wait(struct ccs_bell *bell, uint32_t seen, int64_t timeout_ms)
{
    struct timespec ts;

    if (timeout_ms > 0 && ccs_bell_count(bell) == seen) {
        ts.tv_sec = (time_t)(timeout_ms / 1000);
        ts.tv_nsec = (long)(timeout_ms % 1000) * 1000000;
        (void)syscall(SYS_futex, &bell->count, FUTEX_WAIT, seen, &ts, NULL, 0);
    }
    return ccs_bell_count(bell) != seen;
}
