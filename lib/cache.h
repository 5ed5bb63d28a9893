/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_CACHE_H
#define CCS_CACHE_H

/*
 * L1: what this process remembers of stems. Two tables of fixed size: credentials, bounded by
 * `parsed`, and failures, so that a flood of made-up names can never push out a certificate. A
 * look-up takes no lock and never waits; changes are serialised by one mutex of the cache's own, a
 * leaf in the lock order.
 */

#include <ccs/ccs.h>

#include "credential.h"
#include "siphash.h"

struct ccs_cache;

/* parsed: most credentials; failures: most failures; key: of stems' hashes. NULL: no memory. */
struct ccs_cache *ccs_cache_new(size_t parsed, size_t failures, const struct ccs_siphash_key *key);
void ccs_cache_free(struct ccs_cache *cache);

/* Keyed hash of a stem. */
uint64_t ccs_cache_hash(const struct ccs_cache *cache, const char *stem, size_t len);

/* New reference to a stem's credential, or NULL. */
struct ccs_cred *ccs_cache_get(struct ccs_cache *cache, const char *stem, size_t len,
                               uint64_t hash);

/* A remembered failure. Immutable, counted like credentials. */
struct ccs_failure {
    atomic_uint refs;
    uint64_t hash;
    _Atomic int64_t until_ms; /* believed until then (ccs_now_ms) … */
    uint64_t generation;      /* … and while this is what shared memory says, see instance.h */
    char stem[CCS_STEM_SIZE];
    struct ccs_stamp stamp; /* of the refused file; zero if there was none */
    struct ccs_error error;
};

/* New reference, expired ones included, or NULL. */
struct ccs_failure *ccs_cache_get_failure(struct ccs_cache *cache, const char *stem, size_t len,
                                          uint64_t hash);
void ccs_failure_unref(struct ccs_failure *failure);

/* Takes a reference of its own; replaces an older credential, and ends a failure, of that stem. */
void ccs_cache_put(struct ccs_cache *cache, struct ccs_cred *cred);

/* Remembers a failure (copied; stamp may be NULL). A credential of that stem stays. CCS_ENOMEM. */
int ccs_cache_put_failure(struct ccs_cache *cache, const char *stem, uint64_t hash,
                          const struct ccs_error *error, const struct ccs_stamp *stamp,
                          int64_t until_ms, uint64_t generation);

void ccs_cache_drop(struct ccs_cache *cache, const char *stem, size_t len, uint64_t hash);
void ccs_cache_drop_all(struct ccs_cache *cache);

/*
 * A failure, or all of them, is believed no longer. What was refused for its contents stays as
 * known, so that the same file need not be decoded, nor complained of, again.
 */
void ccs_cache_expire_failure(struct ccs_cache *cache, const char *stem, size_t len, uint64_t hash);
void ccs_cache_expire_failures(struct ccs_cache *cache);

size_t ccs_cache_count(const struct ccs_cache *cache);
size_t ccs_cache_failure_count(struct ccs_cache *cache, int64_t now_ms); /* believed now */
uint64_t ccs_cache_evictions(const struct ccs_cache *cache);

/* New references to all credentials: a malloc'ed array in *out (NULL: none); returns how many. */
size_t ccs_cache_snapshot(struct ccs_cache *cache, struct ccs_cred ***out);

#endif
