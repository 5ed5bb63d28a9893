/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_CREDENTIAL_H
#define CCS_CREDENTIAL_H

/*
 * Credentials: what is served for one stem, parsed and ready for use. Immutable and counted. A
 * credential is put together from *parts*, one per file, which are immutable and counted as well,
 * so that a bad new file can be passed over and the part of the good old one kept.
 */

#include <openssl/types.h>
#include <stdatomic.h>

#include <ccs/ccs.h>

#include "base.h"
#include "name.h"
#include "pkcs12.h"
#include "settings.h"
#include "store.h"

/* One certificate with its key and chain, as OpenSSL objects (keypair.h). The leaf's public key and
 * key may be one EVP_PKEY. */
struct ccs_key_pair {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* NULL: none; shared ones, see issuers.h */
    int key_type;          /* EVP_PKEY_RSA, EVP_PKEY_EC, … (base id) */
    int64_t not_before;    /* Unix seconds */
    int64_t not_after;
    char fingerprint[65];
};

struct ccs_part {
    atomic_uint refs;
    char file[CCS_FILE_NAME_SIZE];
    enum ccs_file_kind kind;
    struct ccs_stamp stamp;
    uint8_t digest[32]; /* SHA-256 of the file */
    int password;       /* see struct ccs_pfx */
    unsigned legacy, warnings;
    size_t pair_count; /* at most CCS_PAIRS_MAX */
    struct ccs_key_pair pairs[];
};

/*
 * New part from a decoded file. Parses leaf, key and chain (in contexts of libctx.h, the key then
 * in the default one), checks that leaf and key belong together. On failure the reason, without the
 * file's name. The caller fills file, kind, stamp and digest before anyone else sees the part.
 */
int ccs_part_new(const struct ccs_pfx *pfx, struct ccs_part **out, struct ccs_error *err);

/* The same of a file just decoded: makes use of its objects, and leaves it with its octets only. */
int ccs_part_take(struct ccs_pfx *pfx, struct ccs_part **out, struct ccs_error *err);
struct ccs_part *ccs_part_ref(struct ccs_part *part);
void ccs_part_unref(struct ccs_part *part);

/*
 * 1 if each leaf covers the stem ("_.example.com" as *.example.com), 0 if not; then *err (code
 * CCS_ENAMEMISMATCH) says what it covers instead.
 */
int ccs_part_covers(const struct ccs_part *part, const char *stem, struct ccs_error *err);

#define CCS_CRED_PARTS_MAX (CCS_FILE_KINDS * 2)

/* How large OpenSSL 3's objects are, more or less. */
#define CCS_CRED_LEAF_SIZE 384
#define CCS_CRED_KEY_SIZE  192

/* What goes into a connection. */
struct ccs_served {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* NULL: none */
};

static inline struct ccs_served ccs_served_of(const struct ccs_key_pair *pair)
{
    return (struct ccs_served){.leaf = pair->leaf, .key = pair->key, .chain = pair->chain};
}

struct ccs_cred {
    /*
     * What a handshake looks at comes first, in two lines of the processor's cache: with thousands
     * of hosts asked for in turn each line has to come from memory.
     */
    atomic_uint refs;
    uint32_t slot;
    uint64_t hash; /* of the stem, with the key of the shared memory */
    /*
     * What it is in shared memory (vault.h): it may be served for as long as the stem's generation
     * is this one. Written by loaders only, which see each stem one at a time.
     */
    _Atomic uint64_t generation;
    uint32_t pair_count;
    atomic_uint uses;                     /* more or less: no more than a hint for query.c */
    struct ccs_served main;               /* pairs[0] */
    const void *public_key;               /* inside of the main leaf, to be prefetched */
    uint8_t name_digest[CCS_DIGEST_SIZE]; /* ccs_name_digest() of the stem, own 0 */
    char stem[CCS_STEM_SIZE];

    uint64_t version; /* in shared memory; 0: it is not in there */
    /* What is served: one pair per key type, the newest; the first is the main one. */
    const struct ccs_key_pair *pairs[CCS_PAIRS_MAX];
    size_t part_count;
    struct ccs_part *parts[CCS_CRED_PARTS_MAX];
    const struct ccs_part *main_part; /* the file of pairs[0] */
};

/* Has the processor fetch what a handshake reads of cred's objects some ten microseconds later. */
__attribute__((always_inline)) static inline void ccs_cred_prefetch(const struct ccs_cred *cred)
{
    ccs_prefetch(cred->main.leaf, CCS_CRED_LEAF_SIZE);
    ccs_prefetch(cred->main.key, CCS_CRED_KEY_SIZE);
    ccs_prefetch(cred->public_key, 1);
    ccs_prefetch(cred->main.chain, 1);
}

/*
 * New credential from at least one part. Takes over the references of all parts, on success only.
 * Of the pairs of one key type, one that is valid now goes before one that is not, then the one
 * valid from the latest time. NULL: no memory, more parts than a stem can have, or no SHA-256.
 */
struct ccs_cred *ccs_cred_new(const char *stem, struct ccs_part **parts, size_t count);

#endif
