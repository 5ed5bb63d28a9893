/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BAGS_H
#define CCS_BAGS_H

/* What the SafeContents of one file hold: certificates and keys, undecoded and in file order. */

#include <stdbool.h>

#include <openssl/x509.h>

#include "pbe.h"
#include "pkcs12.h"

#define CCS_BAGS_MAX       256
#define CCS_BAGS_CERTS_MAX 64
#define CCS_BAGS_KEYS_MAX  16
#define CCS_BAGS_DEPTH_MAX 8

/* localKeyID, which ties a certificate to its key if the writer got it right; len 0: none. */
struct ccs_bag_id {
    uint8_t data[64];
    size_t len;
};

struct ccs_bag_cert {
    struct ccs_blob der;
    struct ccs_bag_id id;
};

struct ccs_bag_key {
    X509_SIG *shrouded;     /* still encrypted, or */
    struct ccs_plain plain; /* PrivateKeyInfo */
    struct ccs_bag_id id;
};

/* Zero-initialised it is empty. */
struct ccs_bags {
    size_t count; /* of all kinds */
    size_t cert_count;
    struct ccs_bag_cert certs[CCS_BAGS_CERTS_MAX]; /* each once */
    size_t key_count;
    struct ccs_bag_key keys[CCS_BAGS_KEYS_MAX];
    bool bad_cert;  /* a certificate bag that does not decode was skipped */
    bool recipient; /* Windows put the password in, for certain accounts of a directory only */
};

/* Adds one SafeContents. CCS_EDAMAGED, CCS_ETOOBIG, CCS_EUNSUPPORTED, CCS_ENOMEM. */
int ccs_bags_add(struct ccs_bags *bags, const uint8_t *der, size_t len, struct ccs_error *err);
void ccs_bags_clear(struct ccs_bags *bags); /* wipes keys */

/* 1 if both are there and equal. */
int ccs_bag_id_equal(const struct ccs_bag_id *a, const struct ccs_bag_id *b);

#endif
