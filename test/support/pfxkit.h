/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_PFXKIT_H
#define CCS_TEST_PFXKIT_H

/*
 * PFX files put together piece by piece with the DER builder, in every way that writers or
 * attackers do. What cannot be done fails the running test. Bags go into one struct ccs_der, parts
 * made of bags into another, the file is made of parts.
 */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "der.h"

/* A password as octets: text NULL is the empty one without terminator. */
struct ccs_pfxkit_password {
    const char *text; /* UTF-8 for the PKCS#12 KDF */
    int len;
};

/* Initialiser from a literal. */
#define CCS_PFXKIT_PASSWORD(text)                                                                  \
    {                                                                                              \
        text, (int)sizeof(text) - 1                                                                \
    }

struct ccs_pfxkit_pbe {
    int nid;          /* of a scheme, or of a cipher for PBES2; 0: AES-256-CBC */
    int prf;          /* NID of PBKDF2's HMAC; 0: HMAC-SHA-256 */
    int iterations;   /* 0: 10 */
    uint64_t n, r, p; /* scrypt instead of PBKDF2, if n is not 0 */
    int fake;         /* encrypt nothing, so that any cost can be claimed */
    struct ccs_pfxkit_password password;
};

struct ccs_pfxkit_mac {
    int digest;      /* NID; 0: SHA-256 */
    int64_t claim;   /* iterations; 0: 10; -1: the field is left out, which is 1 */
    int pbmac1;      /* RFC 9579 */
    int64_t key_len; /* of PBMAC1; 0: 32; -1: left out */
    int prf;         /* NID of PBMAC1's HMAC in PBKDF2; 0: SHA-256; -1: left out, which is SHA-1 */
    int fake;        /* compute nothing */
    struct ccs_pfxkit_password password;
};

/* Library context with the default and the legacy provider; lives as long as the process. */
OSSL_LIB_CTX *ccs_pfxkit_ctx(void);

/* Attributes: SET of localKeyID, as an octet string, or whatever element is given. id NULL: none.
 */
void ccs_pfxkit_id(struct ccs_der *out, const char *id);

/* Bags; attributes is a whole SET or NULL. */
void ccs_pfxkit_bag(struct ccs_der *out, const char *type, const struct ccs_der *value,
                    const struct ccs_der *attributes);
void ccs_pfxkit_cert(struct ccs_der *out, X509 *cert, const char *id);
void ccs_pfxkit_cert_octets(struct ccs_der *out, const void *der, size_t len, const char *id);
void ccs_pfxkit_key(struct ccs_der *out, EVP_PKEY *key, const char *id);
void ccs_pfxkit_key_info(struct ccs_der *out, const struct ccs_der *info, const char *id);
void ccs_pfxkit_shrouded(struct ccs_der *out, EVP_PKEY *key, const struct ccs_pfxkit_pbe *pbe,
                         const char *id);
void ccs_pfxkit_shrouded_info(struct ccs_der *out, const struct ccs_der *info,
                              const struct ccs_pfxkit_pbe *pbe, const char *id);

/* PrivateKeyInfo of a key, as OpenSSL writes it. */
void ccs_pfxkit_info(struct ccs_der *out, EVP_PKEY *key);

/* AlgorithmIdentifier, and what it makes of the data. */
void ccs_pfxkit_encrypt(struct ccs_der *algorithm, struct ccs_der *octets,
                        const struct ccs_pfxkit_pbe *pbe, const struct ccs_der *data);

/* Parts, from the bags in them. */
void ccs_pfxkit_data(struct ccs_der *out, const struct ccs_der *bags);
void ccs_pfxkit_encrypted(struct ccs_der *out, const struct ccs_der *bags,
                          const struct ccs_pfxkit_pbe *pbe);
void ccs_pfxkit_part(struct ccs_der *out, const char *type, const struct ccs_der *content);

/* The file; mac NULL: none. */
void ccs_pfxkit_file(struct ccs_der *out, const struct ccs_der *parts,
                     const struct ccs_pfxkit_mac *mac);

/* The MacData over an AuthenticatedSafe. */
void ccs_pfxkit_mac(struct ccs_der *out, const struct ccs_der *safe,
                    const struct ccs_pfxkit_mac *mac);

#endif
