/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_UNLOCK_H
#define CCS_UNLOCK_H

/* Finding the password of one file, with an eye on how much key derivation that may cost. */

#include "mac.h"
#include "pbe.h"
#include "pkcs12.h"

/*
 * What all attempts with passwords that turn out wrong may cost together, as a multiple of
 * kdf_limit: 40 million rounds with the default one, some 15 seconds.
 */
#define CCS_UNLOCK_SEARCH_FACTOR 20

struct ccs_unlock {
    const struct ccs_passwords *passwords; /* borrowed */
    uint64_t limit;                        /* for one set of parameters */
    uint64_t declared;                     /* rounds that the file asks for in sum */
    uint64_t searched;                     /* rounds spent on passwords not known to be right */
    int hint;                              /* password to try first */
    int password;                          /* the one that opens the file, once it is known */
    size_t form;                           /* of its forms, the one that the PKCS#12 KDF took */
};

void ccs_unlock_init(struct ccs_unlock *unlock, const struct ccs_pfx_params *params);

/* Counts rounds that the file asks for. CCS_EROUNDS once they are above 2.5 times the limit. */
int ccs_unlock_declare(struct ccs_unlock *unlock, uint64_t rounds, struct ccs_error *err);

/* Looks for the password by the MAC. CCS_EPASSWORD: no password fits, *err is untouched. */
int ccs_unlock_mac(struct ccs_unlock *unlock, const struct ccs_mac *mac,
                   const ASN1_OCTET_STRING *data, struct ccs_error *err);

/*
 * Decrypts to something that is at least an ASN.1 SEQUENCE of bags or a key, with the password that
 * is known, else with any other: contents and keys may have one of their own. CCS_EPASSWORD as
 * above.
 */
int ccs_unlock_decrypt(struct ccs_unlock *unlock, const X509_ALGOR *algorithm,
                       const struct ccs_pbe *pbe, const ASN1_OCTET_STRING *in,
                       struct ccs_plain *out, struct ccs_error *err);

#endif
