/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PASSFORM_H
#define CCS_PASSFORM_H

/*
 * The ways in which writers turn one password into octets. RFC 7292 wants big-endian UTF-16 with a
 * terminator for its own key derivation (KDF), PBKDF2 and scrypt take octets of any kind, and both
 * are got wrong in the field: the empty password comes with and without terminator, OpenSSL
 * before 1.1.0 widened each octet of UTF-8, BouncyCastle hands Latin-1 to PBKDF2.
 */

#include "secret.h"

struct ccs_octets {
    const char *data;
    int len;
};

struct ccs_passform {
    struct ccs_octets pkcs12; /* for the PKCS#12 KDF, in UTF-8; data NULL: no terminator either */
    size_t raw_count;
    struct ccs_octets raw[2]; /* for all other KDFs, likelier first */
};

#define CCS_PASSFORMS_MAX 2

/* Borrows the password for as long as it is used. */
struct ccs_passforms {
    size_t count; /* likelier first; all have the same raw[0] */
    struct ccs_passform form[CCS_PASSFORMS_MAX];
    struct ccs_secret other;   /* the password in Latin-1 if it is UTF-8, the reverse if not */
    struct ccs_secret widened; /* each octet of it as a character, in UTF-8 */
};

/* CCS_OK, CCS_ENOMEM, or CCS_EINVAL for one that is too long. len 0: the empty password. */
int ccs_passforms_init(struct ccs_passforms *forms, const char *password, size_t len);
void ccs_passforms_clear(struct ccs_passforms *forms); /* wipes */

#endif
