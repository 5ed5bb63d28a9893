/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_KDF_H
#define CCS_KDF_H

/*
 * Key derivation: what parameters may ask for, and PBKDF2 with HMAC (RFC 8018 section 5.2). All of
 * OpenSSL's PBKDF2 is one call, for which a thread cannot give way; this one does so between
 * pieces.
 */

#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <ccs/ccs.h>

#include "passform.h"

#define CCS_KDF_SALT_MAX 1024
#define CCS_KDF_KEY_MAX  64

/* CCS_EROUNDS with its sentence if rounds is over limit. */
int ccs_kdf_bound(uint64_t rounds, uint64_t limit, struct ccs_error *err);

/* CCS_EDAMAGED: parameters that make no sense. */
int ccs_kdf_damaged(struct ccs_error *err);

/* CCS_EUNSUPPORTED: an algorithm that OpenSSL cannot do here, in the role it has in the file. */
int ccs_kdf_unsupported(const ASN1_OBJECT *object, const char *role, struct ccs_error *err);

/* The digest of an HMAC that has an OID of its own: new, or NULL if there is none. */
EVP_MD *ccs_kdf_hmac_digest(const X509_ALGOR *algorithm);

/* PBKDF2 with HMAC (RFC 8018 section 5.2). Zero-initialised it is empty. */
struct ccs_pbkdf2 {
    PBKDF2PARAM *params;
    EVP_MD *digest;      /* of the HMAC */
    uint64_t rounds;     /* at least 1 */
    uint64_t key_length; /* that is asked for; 0: none */
};

/*
 * Reads the parameters, deriving nothing. CCS_EROUNDS above limit, CCS_EUNSUPPORTED for what this
 * OpenSSL cannot do, CCS_EDAMAGED for parameters that make no sense; *out is empty then.
 */
int ccs_pbkdf2_init(struct ccs_pbkdf2 *out, const ASN1_TYPE *any, uint64_t limit,
                    struct ccs_error *err);
void ccs_pbkdf2_clear(struct ccs_pbkdf2 *pbkdf2);

/* A key of len octets. 0 if there is no memory, which OpenSSL's error queue then says. */
int ccs_pbkdf2_derive(const struct ccs_pbkdf2 *pbkdf2, struct ccs_octets password,
                      unsigned char *key, size_t len);

/*
 * The key of a MAC (RFC 7292 appendix B), as long as a value of the digest. password is UTF-8; its
 * data NULL: none, which is something else than an empty one. 0 as above.
 */
int ccs_kdf_pkcs12_mac(const EVP_MD *digest, struct ccs_octets password,
                       const ASN1_OCTET_STRING *salt, uint64_t rounds, unsigned char *key);

#endif
