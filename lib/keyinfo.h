/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_KEYINFO_H
#define CCS_KEYINFO_H

/* Private keys as PKCS#12 holds them: PrivateKeyInfo (RFC 5208) and OneAsymmetricKey (RFC 5958). */

#include <openssl/evp.h>

#include "pkcs12.h"

/* Zero-initialised it is empty. */
struct ccs_keyinfo {
    EVP_PKEY *pkey;        /* in the library's own context, see decode.h */
    struct ccs_blob pkcs8; /* version 0, without attributes */
};

/*
 * *out is new. CCS_EKEYUSE for a kind of key that no TLS server can use, or a hopelessly small one;
 * CCS_EUNSUPPORTED for one that OpenSSL does not know, CCS_EDAMAGED, CCS_ENOMEM.
 */
int ccs_keyinfo_read(const uint8_t *der, size_t len, struct ccs_keyinfo *out,
                     struct ccs_error *err);
void ccs_keyinfo_clear(struct ccs_keyinfo *info); /* wipes */

#endif
