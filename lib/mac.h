/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_MAC_H
#define CCS_MAC_H

/* The MAC over a PKCS#12 file: that of RFC 7292, and PBMAC1 of RFC 9579. */

#include <stdbool.h>

#include <openssl/evp.h>

#include "kdf.h"
#include "pfx_asn1.h"

/* Borrows from the structure it was read from. Zero-initialised it is empty. */
struct ccs_mac {
    uint64_t rounds;
    unsigned legacy; /* CCS_LEGACY_* */
    bool pkcs12;     /* derives with the PKCS#12 KDF, from struct ccs_passform's pkcs12 */
    EVP_MD *md;      /* of the HMAC */
    const ASN1_OCTET_STRING *expected;
    const ASN1_OCTET_STRING *salt;
    struct ccs_pbkdf2 pbkdf2; /* PBMAC1 */
};

/* Reads the parameters, deriving nothing. Reasons as for ccs_pbe_inspect(). */
int ccs_mac_init(struct ccs_mac *mac, const struct ccs_asn1_mac *asn1, uint64_t limit,
                 struct ccs_error *err);
void ccs_mac_clear(struct ccs_mac *mac);

/* CCS_OK: password and data belong to the MAC. CCS_EPASSWORD: not. CCS_ESSL. */
int ccs_mac_check(const struct ccs_mac *mac, struct ccs_octets password,
                  const ASN1_OCTET_STRING *data);

#endif
