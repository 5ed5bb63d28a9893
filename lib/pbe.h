/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PBE_H
#define CCS_PBE_H

/* Password-based encryption (RFC 7292, RFC 8018): what one use of it would cost, and decryption. */

#include <stdbool.h>

#include <openssl/x509.h>

#include "passform.h"

/* What a set of parameters asks for. */
struct ccs_pbe {
    uint64_t rounds; /* of key derivation, at least 1 */
    unsigned legacy; /* CCS_LEGACY_* */
    bool pkcs12;     /* derives with the PKCS#12 KDF, from struct ccs_passform's pkcs12 */
};

/*
 * Reads the parameters, deriving nothing. CCS_EROUNDS above limit, CCS_ELEGACY, CCS_EUNSUPPORTED
 * for what this OpenSSL cannot do, CCS_EDAMAGED for parameters that make no sense.
 */
int ccs_pbe_inspect(const X509_ALGOR *algorithm, uint64_t limit, struct ccs_pbe *out,
                    struct ccs_error *err);

/*
 * Decrypts after ccs_pbe_inspect() was content. CCS_OK: *out is filled; it is wiped by
 * ccs_pbe_clear(). CCS_EPASSWORD: not with this password. Nothing goes to an error text.
 */
struct ccs_plain {
    unsigned char *data;
    size_t len;
};
int ccs_pbe_decrypt(const X509_ALGOR *algorithm, struct ccs_octets password,
                    const ASN1_OCTET_STRING *in, struct ccs_plain *out);
void ccs_pbe_clear(struct ccs_plain *plain);

#endif
