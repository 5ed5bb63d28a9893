/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_CHAIN_H
#define CCS_CHAIN_H

/* Which of a file's certificates belongs to a key, and which ones lead from it towards the root. */

#include <stdbool.h>

#include <openssl/x509.h>

#include "bags.h"

/* The certificates of one file that decode, in file order. Zero-initialised it is empty. */
struct ccs_chain {
    size_t count;
    struct {
        X509 *x509;                     /* see decode.h; shared ones are those of issuers.h */
        const struct ccs_bag_cert *bag; /* borrowed */
        bool shared;                    /* others use this object, too */
        bool used;                      /* part of a pair */
    } certs[CCS_BAGS_CERTS_MAX];
};

/* Decodes; what does not is left out and counted in *bad. CCS_ENOMEM. */
int ccs_chain_init(struct ccs_chain *chain, const struct ccs_bags *bags, size_t *bad);
void ccs_chain_clear(struct ccs_chain *chain);

/*
 * The certificate for a key, or SIZE_MAX. Several: an end entity's before an authority's, one that
 * is valid already, the one issued last, the one with the key's id, the first.
 */
size_t ccs_chain_leaf(const struct ccs_chain *chain, const EVP_PKEY *key,
                      const struct ccs_bag_id *id);

/* A reference to one that nobody else uses or will be given, for the caller to change; or NULL. */
X509 *ccs_chain_take(struct ccs_chain *chain, size_t i);

/*
 * Issuers of leaf in order, without a self-signed root; returns how many went to out. *complete is
 * false if not one issuer was found for a leaf that is not self-signed. Marks what it uses.
 */
size_t ccs_chain_build(struct ccs_chain *chain, size_t leaf, size_t out[CCS_CHAIN_MAX],
                       bool *complete);

#endif
