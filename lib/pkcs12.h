/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PKCS12_H
#define CCS_PKCS12_H

/*
 * PKCS#12 (RFC 7292, RFC 9579) -> pairs of a leaf certificate and its key, each with its chain, all
 * as DER. Decoding runs in the contexts of libctx.h only.
 */

#include <openssl/types.h>

#include <ccs/ccs.h>

#include "secret.h"

#define CCS_PKCS12_SIZE_MAX ((size_t)1024 * 1024)
#define CCS_PAIRS_MAX       8
#define CCS_CHAIN_MAX       10

struct ccs_blob {
    uint8_t *data;
    size_t len;
};

/* Algorithms that OpenSSL keeps in its legacy provider, or that are weak by today's measure. */
enum {
    CCS_LEGACY_RC2_40 = 1 << 0,
    CCS_LEGACY_RC2_128 = 1 << 1,
    CCS_LEGACY_RC4 = 1 << 2,
    CCS_LEGACY_DES = 1 << 3,
    CCS_LEGACY_3DES = 1 << 4,
    CCS_LEGACY_MD5 = 1 << 5,
    CCS_LEGACY_SHA1_MAC = 1 << 6,
    CCS_LEGACY_RC2_OTHER = 1 << 7, /* RC2 with 64 bits, or with a length of its own */
    CCS_LEGACY_OTHER = 1 << 8      /* CAST5, Blowfish, IDEA, SEED */
};

/* Name of one of these flags, "RC2-40"; NULL for anything else. */
const char *ccs_legacy_name(unsigned flag);

/* What deserves a line in the log although the file is good. */
enum {
    CCS_PFX_TRAILING = 1 << 0,    /* bytes after the end */
    CCS_PFX_NO_MAC = 1 << 1,      /* not integrity protected */
    CCS_PFX_BAD_CERT = 1 << 2,    /* an extra certificate does not decode */
    CCS_PFX_NO_ISSUER = 1 << 3,   /* a chain lacks its intermediate */
    CCS_PFX_UNUSED_CERT = 1 << 4, /* certificates that belong to no pair */
    CCS_PFX_UNUSED_KEY = 1 << 5   /* keys left out: no certificate, not openable, or not for TLS */
};

struct ccs_pair {
    struct ccs_blob leaf; /* X.509 DER, octets as they were in the file */
    struct ccs_blob key;  /* PKCS#8 PrivateKeyInfo DER, unencrypted: wiped when freed */
    size_t chain_len;     /* intermediates from the leaf upwards, without a self-signed root */
    struct ccs_blob chain[CCS_CHAIN_MAX];
    /*
     * What leaf and key were decoded to while they were paired, for whoever needs it first; see
     * ccs_part_take(). NULL afterwards, or where a pair was not made by ccs_pkcs12_decode().
     */
    X509 *leaf_object;
    EVP_PKEY *key_object;
};

struct ccs_pfx {
    size_t pair_count; /* at least 1 */
    struct ccs_pair pairs[CCS_PAIRS_MAX];
    unsigned legacy;   /* CCS_LEGACY_* */
    unsigned warnings; /* CCS_PFX_* */
    int password; /* index of the one that opened it, or CCS_PASSWORD_*; UNKNOWN: none needed */
};

#define CCS_PASSWORD_EMPTY   (-1) /* the empty password, in one of its two encodings */
#define CCS_PASSWORD_UNKNOWN (-2)

struct ccs_pfx_params {
    const struct ccs_passwords
        *passwords;     /* borrowed; the empty password is always tried as well, last */
    int password;       /* which worked last time: tried first; CCS_PASSWORD_UNKNOWN */
    uint64_t kdf_limit; /* most rounds for one set of parameters; 2.5 times it for the file */
};

/*
 * Decodes one file. *out is new, written on CCS_OK only. Otherwise one of the reasons to refuse a
 * file in ccs.h, with one sentence in *err that does not name the file: the caller knows it.
 * Any thread; several at once.
 */
int ccs_pkcs12_decode(const uint8_t *data, size_t len, const struct ccs_pfx_params *params,
                      struct ccs_pfx **out, struct ccs_error *err);
void ccs_pfx_free(struct ccs_pfx *pfx); /* wipes keys */

#endif
