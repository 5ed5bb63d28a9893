/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_VAULT_H
#define CCS_VAULT_H

/*
 * L2: what all processes together remember of stems, as octets (record.h), in an arena.
 *
 * Shards, each with a robust mutex, own their entries, failures and claims. Any call may come from
 * any thread of any process, and any process may be killed at any point. Calls marked [lock] take a
 * shard's mutex as their mode says; with CCS_LOCK_TRY they return CCS_EBUSY instead of waiting, and
 * any of them returns CCS_EUNAVAIL in the (unheard of) case that a shard cannot be used any more.
 *
 * Freshness in L1. Each stem has a *generation*, a 64-bit counter shared with the other stems of
 * its stripe, which moves whenever something about the stem changes: published, removed, arrived,
 * lost by recovery; not when it is evicted. What ccs_vault_get() copies may be served for as long
 * as ccs_vault_generation() says the number that came with it. When it says another one, ask again
 * with the version that is known: an unchanged entry is not copied then, and need not be decoded.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <ccs/ccs.h>

#include "arena.h"
#include "base.h"
#include "claim.h"
#include "pool.h"
#include "robust.h"
#include "secret.h"
#include "store.h"

#define CCS_VAULT_SHARDS_MAX  16
#define CCS_VAULT_STRIPES_MAX 65536
#define CCS_VAULT_SLOT_NONE   UINT32_MAX
#define CCS_VAULT_SLOT_BITS   26 /* of a slot's number; the shard's is above */

struct ccs_vault_shard;
struct ccs_vault_head;

/* Of one process; filled by format and attach, read-only afterwards, may be copied. */
struct ccs_vault {
    struct ccs_vault_head *head;
    _Atomic uint64_t *generations;
    uint64_t generation_mask;
    uint32_t shard_count;
    struct {
        struct ccs_vault_shard *shared;
        struct ccs_pool entries;
        struct ccs_pool failures;
    } shards[CCS_VAULT_SHARDS_MAX];
};

/* Takes all that is left of the arena. CCS_EINVAL if that is too little. */
int ccs_vault_format(struct ccs_vault *v, struct ccs_arena *arena, struct ccs_error *err);
int ccs_vault_attach(struct ccs_vault *v, const struct ccs_arena *arena, struct ccs_error *err);
void ccs_vault_wipe(struct ccs_vault *v); /* nobody else uses it any more */

struct ccs_vault_key {
    uint64_t store; /* says which store (and what else keeps configurations apart) */
    uint64_t hash;  /* ccs_siphash() of the stem with ccs_arena_key(arena, store) */
    const char *stem;
    size_t len;
};

/* -- generations --------------------------------------------------------------------------- */

/*
 * One load. Relaxed is enough: the number is only compared, and what it stands for is read under a
 * lock afterwards. Another process's change is seen as soon as the hardware shows it, and at once
 * by whoever was told of it in any way that orders memory.
 */
static inline uint64_t ccs_vault_generation(const struct ccs_vault *v, uint64_t hash)
{
    return atomic_load_explicit(&v->generations[hash & v->generation_mask], memory_order_relaxed);
}

/* Before ccs_vault_generation() of the same stem, which may lie where nobody has looked for long.
 */
__attribute__((always_inline)) static inline void ccs_vault_prefetch(const struct ccs_vault *v,
                                                                     uint64_t hash)
{
    ccs_prefetch(&v->generations[hash & v->generation_mask], 1);
}

/* A file of the stem came or changed: what anybody has is to be looked at again. No lock. */
void ccs_vault_arrived(const struct ccs_vault *v, uint64_t hash);

/* The same for all stems of all stores. */
void ccs_vault_arrived_all(const struct ccs_vault *v);

/* -- entries ------------------------------------------------------------------------------- */

struct ccs_vault_entry {
    struct ccs_secret data; /* head and body; holds keys */
    size_t head_len;
    uint64_t generation; /* as of before the copy; also set with CCS_ENOTFOUND */
    uint64_t version;    /* unique for ever, never 0; the same while the content is */
    uint64_t loaded_for;
    int64_t loaded_ms;
    uint8_t content[CCS_POOL_CONTENT];
    uint32_t slot; /* for ccs_vault_touch() */
    bool same;     /* it is the version that was known; data is empty */
};

/*
 * [lock] What there is for a stem. e must be zero-initialised, or come from an earlier call: its
 * buffer is used again. known: version that the caller has already, or 0. Counts as a use for
 * eviction. CCS_OK, CCS_ENOTFOUND, CCS_EBUSY, CCS_ENOMEM, CCS_EUNAVAIL.
 */
int ccs_vault_get(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t known,
                  enum ccs_lock_mode mode, struct ccs_vault_entry *e);
void ccs_vault_entry_free(struct ccs_vault_entry *e); /* wipes */

/* [lock] Whether there is an entry. */
bool ccs_vault_has(const struct ccs_vault *v, const struct ccs_vault_key *key,
                   enum ccs_lock_mode mode);

/* Uses that were answered by L1, so that what is hot there stays here. Costs one load as a rule. */
static inline void ccs_vault_touch(const struct ccs_vault *v, uint32_t slot)
{
    _Atomic uint8_t *r;

    if (slot == CCS_VAULT_SLOT_NONE)
        return;
    r = &v->shards[slot >> CCS_VAULT_SLOT_BITS]
             .entries.referenced[slot & ((1u << CCS_VAULT_SLOT_BITS) - 1)];
    /* The slot may hold another entry by now, which does no harm. */
    if (atomic_load_explicit(r, memory_order_relaxed) == 0)
        atomic_store_explicit(r, 1, memory_order_relaxed);
}

/* What is to be published. */
struct ccs_vault_item {
    const uint8_t *data; /* head_len octets of head, then the body */
    size_t len;
    size_t head_len;
    uint64_t loaded_for;               /* the index's stamp, read before the files were opened */
    int64_t loaded_ms;                 /* Unix time in milliseconds */
    uint8_t content[CCS_POOL_CONTENT]; /* digest of what matters to L1; equal to that of what is
                                          there: the version stays. Zero equals nothing */
};

/* What a published item became. */
struct ccs_vault_published {
    uint64_t generation;
    uint64_t version;
    uint32_t slot;
};

/*
 * [lock] Publishes, in place of what was there, which stays if this fails. The claim must hold.
 * done: the claim ends in the same step. out may be NULL. CCS_OK; CCS_ECANCELED: the claim was
 * taken over; CCS_ETOOBIG: it does not fit, the claim goes on; CCS_EBUSY, CCS_EUNAVAIL.
 */
int ccs_vault_put(const struct ccs_vault *v, const struct ccs_vault_key *key,
                  const struct ccs_claim *claim, bool done, const struct ccs_vault_item *item,
                  enum ccs_lock_mode mode, struct ccs_vault_published *out);

/* [lock] The files were looked at and are what they were. CCS_ENOTFOUND: another version, or none.
 */
int ccs_vault_restamp(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t version,
                      uint64_t loaded_for, enum ccs_lock_mode mode);

/*
 * [lock] Forgets an entry (version 0: any version; else only that one: CCS_ENOTFOUND if there is
 * another). With no entry there the generation moves all the same, because L1s may have one.
 */
int ccs_vault_remove(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t version,
                     enum ccs_lock_mode mode);

/* Forgets all entries of a store; waits for locks. All generations move. Returns how many. */
size_t ccs_vault_remove_store(const struct ccs_vault *v, uint64_t store);

/* -- failures ------------------------------------------------------------------------------ */

/*
 * Failures have slots and blocks of their own, so that no number of them displaces an entry. Beside
 * the stem they are keyed by a digest of what could mend them (passwords, kdf_limit, check_name):
 * a process with other passwords does not find them. They leave generations alone.
 */
struct ccs_vault_failure {
    struct ccs_error error; /* texts longer than CCS_VAULT_TEXT_MAX are cut */
    struct ccs_stamp stamp; /* of the refused file; zero if there was none */
    int64_t until_ms;       /* believed until then (ccs_now_ms()); known beyond */
    uint64_t loaded_for;
    uint64_t generation; /* out only */
};

#define CCS_VAULT_TEXT_MAX 500

/* [lock] Expired ones included. CCS_OK, CCS_ENOTFOUND, CCS_EBUSY, CCS_EUNAVAIL. */
int ccs_vault_get_failure(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t mend,
                          enum ccs_lock_mode mode, struct ccs_vault_failure *out);

/*
 * [lock] Remembers one; an entry of the stem stays. The claim must hold. If the generation is not
 * the claim's any more (something came or changed meanwhile), it is known but not believed: until
 * 0. Results as with ccs_vault_put().
 */
int ccs_vault_put_failure(const struct ccs_vault *v, const struct ccs_vault_key *key, uint64_t mend,
                          const struct ccs_claim *claim, bool done,
                          const struct ccs_vault_failure *failure, enum ccs_lock_mode mode);

/*
 * [lock] The stem's failures, whatever could mend them, are believed no longer; what was refused
 * stays known. The generation does not move.
 */
int ccs_vault_expire_failure(const struct ccs_vault *v, const struct ccs_vault_key *key,
                             enum ccs_lock_mode mode);

/* The same for all failures of a store; waits for locks. */
void ccs_vault_expire_failures(const struct ccs_vault *v, uint64_t store);

/* How many of a store are believed now; waits for locks. */
size_t ccs_vault_failure_count(const struct ccs_vault *v, uint64_t store, int64_t now_ms);

/* -- claims -------------------------------------------------------------------------------- */

/*
 * [lock] Makes the caller the one who loads a stem, until deadline_ms. CCS_OK: *out is the claim.
 * CCS_PENDING: another one is loading it, until *until_ms (may be NULL). CCS_EBUSY: not now.
 * Look at the vault again after taking one: the last owner may just have published.
 */
int ccs_vault_claim(const struct ccs_vault *v, const struct ccs_vault_key *key, int64_t deadline_ms,
                    enum ccs_lock_mode mode, struct ccs_claim *out, int64_t *until_ms);

/* [lock] More time. CCS_ECANCELED: it was taken over. claim->deadline_ms is written on CCS_OK. */
int ccs_vault_extend(const struct ccs_vault *v, struct ccs_claim *claim, int64_t deadline_ms,
                     enum ccs_lock_mode mode);

/* [lock] Gives it back with nothing (more) to publish. One that was taken over: nothing happens. */
int ccs_vault_release(const struct ccs_vault *v, const struct ccs_claim *claim,
                      enum ccs_lock_mode mode);

/*
 * For the one thread of a process that waits for the loads of others: take the count, look at the
 * vault, then wait for another count. Rings after each claim that ended, and after each recovery.
 */
uint32_t ccs_vault_ended(const struct ccs_vault *v);
bool ccs_vault_wait(const struct ccs_vault *v, uint32_t seen, int64_t timeout_ms);

/* -- looking around ------------------------------------------------------------------------ */

struct ccs_vault_visit {
    const char *stem; /* NUL-terminated; all borrowed for the call */
    const uint8_t *head;
    size_t head_len;
    uint64_t hash, version, loaded_for;
    int64_t loaded_ms;
};

/*
 * Calls cb for every entry of a store, with no lock held; stops when it returns non-zero. What is
 * published meanwhile may come twice, or not at all. Waits for locks. CCS_OK or CCS_ENOMEM.
 */
int ccs_vault_enumerate(const struct ccs_vault *v, uint64_t store,
                        int (*cb)(const struct ccs_vault_visit *visit, void *arg), void *arg);

/* Of all stores and processes. */
struct ccs_vault_stats {
    uint64_t entries, failures;
    uint64_t octets, octets_used; /* in blocks of entries */
    uint64_t evictions, failure_evictions;
    uint64_t recoveries; /* times that a process died in a shard */
    uint64_t dropped;    /* entries and failures that were being changed then */
    uint64_t claims;     /* loads under way */
};
void ccs_vault_stats_get(const struct ccs_vault *v, struct ccs_vault_stats *out);

/* Whether every slot and block is accounted for. CCS_EDAMAGED says what is not. For tests. */
int ccs_vault_verify(const struct ccs_vault *v, struct ccs_error *err);

#endif
