/* SPDX-License-Identifier: Apache-2.0 */
#include "chain.h"

#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

#include "companion.h"
#include "decode.h"
#include "issuers.h"

int ccs_chain_init(struct ccs_chain *chain, const struct ccs_bags *bags, size_t *bad)
{
    size_t i;

    memset(chain, 0, sizeof(*chain));
    *bad = 0;
    for (i = 0; i < bags->cert_count; i++) {
        const struct ccs_blob *der = &bags->certs[i].der;
        X509 *x509 = ccs_issuers_find(der->data, der->len);
        bool shared = x509 != NULL;
        int rv = shared ? CCS_OK : ccs_decode_certificate(der->data, der->len, &x509);

        if (rv == CCS_ENOMEM) {
            ccs_chain_clear(chain);
            return CCS_ENOMEM;
        }
        if (rv != CCS_OK) {
            ++*bad;
            continue;
        }
        chain->certs[chain->count].x509 = x509;
        chain->certs[chain->count].bag = &bags->certs[i];
        chain->certs[chain->count].shared = shared;
        chain->certs[chain->count++].used = false;
    }
    return CCS_OK;
}

void ccs_chain_clear(struct ccs_chain *chain)
{
    size_t i;

    for (i = 0; i < chain->count; i++)
        ccs_issuers_release(chain->certs[i].x509);
    chain->count = 0;
}

X509 *ccs_chain_take(struct ccs_chain *chain, size_t i)
{
    X509 *x509 = chain->certs[i].x509;

    if (chain->certs[i].shared || X509_up_ref(x509) != 1)
        return NULL;
    chain->certs[i].shared = true;
    return x509;
}

/* What makes one leaf better than another, greater values first. */
struct rank {
    bool end_entity;
    bool begun;
    const ASN1_TIME *not_before;
    bool same_id;
};

static struct rank rank_of(const struct ccs_chain *chain, size_t i, const struct ccs_bag_id *id)
{
    X509 *x509 = chain->certs[i].x509;
    const ASN1_TIME *not_before = X509_get0_notBefore(x509);

    return (struct rank){(X509_get_extension_flags(x509) & EXFLAG_CA) == 0,
                         X509_cmp_current_time(not_before) < 0, not_before,
                         ccs_bag_id_equal(&chain->certs[i].bag->id, id)};
}

static bool is_better(const struct rank *a, const struct rank *b)
{
    int order;

    if (a->end_entity != b->end_entity)
        return a->end_entity;
    if (a->begun != b->begun)
        return a->begun;
    order = ASN1_TIME_compare(a->not_before, b->not_before);
    if (order == 1 || order == -1)
        return order == 1;
    return a->same_id && !b->same_id;
}

size_t ccs_chain_leaf(const struct ccs_chain *chain, const EVP_PKEY *key,
                      const struct ccs_bag_id *id)
{
    struct rank best = {0}, rank;
    size_t found = SIZE_MAX, i;

    for (i = 0; i < chain->count; i++) {
        EVP_PKEY *public_key = X509_get0_pubkey(chain->certs[i].x509);

        if (!public_key || EVP_PKEY_eq(public_key, key) != 1)
            continue;
        rank = rank_of(chain, i, id);
        if (found == SIZE_MAX || is_better(&rank, &best)) {
            best = rank;
            found = i;
        }
    }
    return found;
}

/* Names and key identifiers fit, and the signature is right: names alone are not unique. */
static bool issued(X509 *issuer, X509 *subject)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);

    if (!key || X509_check_issued(issuer, subject) != X509_V_OK)
        return false;
    ccs_companion_yield();
    return X509_verify(subject, key) == 1;
}

/* Not by issued(): a server's own certificate often has no right to sign others. */
static bool self_signed(X509 *x509)
{
    EVP_PKEY *key = X509_get0_pubkey(x509);

    return key && X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0 &&
           X509_verify(x509, key) == 1;
}

/* The issuer of a certificate that is not in the path yet; of several the one that lasts longest.
 */
static size_t find_issuer(const struct ccs_chain *chain, size_t subject, const bool *in_path)
{
    size_t found = SIZE_MAX, i;

    for (i = 0; i < chain->count; i++) {
        if (in_path[i] || !issued(chain->certs[i].x509, chain->certs[subject].x509))
            continue;
        if (found == SIZE_MAX ||
            ASN1_TIME_compare(X509_get0_notAfter(chain->certs[i].x509),
                              X509_get0_notAfter(chain->certs[found].x509)) == 1)
            found = i;
    }
    return found;
}

size_t ccs_chain_build(struct ccs_chain *chain, size_t leaf, size_t out[CCS_CHAIN_MAX],
                       bool *complete)
{
    bool in_path[CCS_BAGS_CERTS_MAX] = {false};
    size_t count = 0, current = leaf;

    in_path[leaf] = true;
    chain->certs[leaf].used = true;
    *complete = self_signed(chain->certs[leaf].x509);
    if (*complete)
        return 0;
    while (count < CCS_CHAIN_MAX) {
        current = find_issuer(chain, current, in_path);
        if (current == SIZE_MAX)
            break;
        *complete = true;
        in_path[current] = true;
        chain->certs[current].used = true;
        if (self_signed(chain->certs[current].x509))
            break;
        out[count++] = current;
    }
    return count;
}
