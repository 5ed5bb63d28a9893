/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_DECODE_H
#define CCS_DECODE_H

/*
 * DER -> OpenSSL objects, in the library's own contexts. Loader threads: this is dear. On failure
 * OpenSSL's reasons are left in its error queue, for the caller.
 */

#include <openssl/x509.h>

#include "pkcs12.h"

/*
 * Certificate with its extensions looked at, so that nothing is left to do for a handshake. *out is
 * new. CCS_EDAMAGED if it does not decode, CCS_ETOOBIG if something follows it, CCS_ENOMEM.
 */
int ccs_decode_certificate(const uint8_t *der, size_t len, X509 **out);

/* The key of a PrivateKeyInfo, given as octets and decoded: one is read, the other one tells how.
 * New, or NULL. */
EVP_PKEY *ccs_decode_key(const struct ccs_blob *der, const PKCS8_PRIV_KEY_INFO *info);

/* The same in a context of the caller's choice; NULL is the host's default one. */
EVP_PKEY *ccs_decode_key_in(OSSL_LIB_CTX *libctx, const struct ccs_blob *der,
                            const PKCS8_PRIV_KEY_INFO *info);

#endif
