/* SPDX-License-Identifier: Apache-2.0 */
#include "pfx.h"

#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "error.h"
#include "keyinfo.h"

static const char *const legacy_names[] = {
    "RC2-40", "RC2-128", "RC4", "DES", "3DES", "MD5", "SHA1-MAC", "RC2", "other",
};

const char *ccs_legacy_name(unsigned flag)
{
    size_t i;

    for (i = 0; i < CCS_ARRAY_LEN(legacy_names); i++)
        if (flag == 1u << i)
            return legacy_names[i];
    return NULL;
}

void ccs_pfx_free(struct ccs_pfx *pfx)
{
    size_t i, j;

    if (!pfx)
        return;
    for (i = 0; i < pfx->pair_count; i++) {
        struct ccs_pair *pair = &pfx->pairs[i];

        free(pair->leaf.data);
        ccs_wipe(pair->key.data, pair->key.len);
        free(pair->key.data);
        for (j = 0; j < pair->chain_len; j++)
            free(pair->chain[j].data);
        X509_free(pair->leaf_object);
        EVP_PKEY_free(pair->key_object);
    }
    free(pfx);
}

/* All that lives while one file's pairs are put together. */
struct builder {
    const struct ccs_bags *bags;
    struct ccs_unlock *unlock;
    struct ccs_chain chain;
    size_t bad_certs;
    size_t key_count;
    struct {
        struct ccs_keyinfo info;
        const struct ccs_bag_key *bag;
    } keys[CCS_BAGS_KEYS_MAX];
    int failure; /* why the first key that cannot be used cannot be used */
    struct ccs_error failure_text;
    struct ccs_pfx *pfx;
};

static int open_shrouded(struct builder *b, const struct ccs_bag_key *bag, struct ccs_keyinfo *info,
                         struct ccs_error *err)
{
    struct ccs_plain plain = {NULL, 0};
    const X509_ALGOR *algorithm;
    const ASN1_OCTET_STRING *octets;
    struct ccs_pbe pbe;
    int rv;

    X509_SIG_get0(bag->shrouded, &algorithm, &octets);
    rv = ccs_pbe_inspect(algorithm, b->unlock->limit, &pbe, err);
    if (rv == CCS_OK) {
        b->pfx->legacy |= pbe.legacy;
        rv = ccs_unlock_decrypt(b->unlock, algorithm, &pbe, octets, &plain, err);
    }
    if (rv == CCS_EPASSWORD)
        return ccs_error_set(err, CCS_EKEYPASSWORD,
                             "the file's key is protected by another password than the file, and "
                             "none of those known opens it; export it again with one password");
    if (rv == CCS_OK)
        rv = ccs_keyinfo_read(plain.data, plain.len, info, err);
    ccs_pbe_clear(&plain);
    return rv;
}

static int is_known_key(const struct builder *b, const EVP_PKEY *pkey)
{
    size_t i;

    for (i = 0; i < b->key_count; i++)
        if (EVP_PKEY_eq(b->keys[i].info.pkey, pkey) == 1)
            return 1;
    return 0;
}

/* One key that cannot be used does not matter as long as another one can. */
static int open_keys(struct builder *b, struct ccs_error *err)
{
    struct ccs_keyinfo info = {0};
    struct ccs_error why;
    size_t i;
    int rv;

    for (i = 0; i < b->bags->key_count; i++) {
        const struct ccs_bag_key *bag = &b->bags->keys[i];

        rv = bag->shrouded ? open_shrouded(b, bag, &info, &why)
                           : ccs_keyinfo_read(bag->plain.data, bag->plain.len, &info, &why);
        if (rv == CCS_ENOMEM || rv == CCS_EROUNDS) {
            if (err)
                *err = why;
            return rv;
        }
        if (rv != CCS_OK) {
            b->pfx->warnings |= CCS_PFX_UNUSED_KEY;
            if (b->failure == CCS_OK) {
                b->failure = rv;
                b->failure_text = why;
            }
        } else if (is_known_key(b, info.pkey)) {
            ccs_keyinfo_clear(&info);
        } else {
            b->keys[b->key_count].info = info;
            b->keys[b->key_count++].bag = bag;
        }
    }
    return CCS_OK;
}

static int copy_cert(const struct ccs_chain *chain, size_t i, struct ccs_blob *out)
{
    const struct ccs_blob *der = &chain->certs[i].bag->der;

    out->data = malloc(der->len);
    if (!out->data)
        return CCS_ENOMEM;
    memcpy(out->data, der->data, der->len);
    out->len = der->len;
    return CCS_OK;
}

static int add_pair(struct builder *b, size_t key, size_t leaf)
{
    struct ccs_pair *pair = &b->pfx->pairs[b->pfx->pair_count++];
    size_t path[CCS_CHAIN_MAX], count;
    bool complete;
    int rv;

    pair->key = b->keys[key].info.pkcs8;
    pair->key_object = b->keys[key].info.pkey;
    pair->leaf_object = ccs_chain_take(&b->chain, leaf);
    memset(&b->keys[key].info, 0, sizeof(b->keys[key].info));
    count = ccs_chain_build(&b->chain, leaf, path, &complete);
    if (!complete)
        b->pfx->warnings |= CCS_PFX_NO_ISSUER;
    rv = copy_cert(&b->chain, leaf, &pair->leaf);
    while (rv == CCS_OK && pair->chain_len < count) {
        rv = copy_cert(&b->chain, path[pair->chain_len], &pair->chain[pair->chain_len]);
        if (rv == CCS_OK)
            pair->chain_len++;
    }
    return rv;
}

static int no_memory(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_ENOMEM, "no memory to decode the file");
}

static int add_pairs(struct builder *b, struct ccs_error *err)
{
    size_t i, leaf;

    for (i = 0; i < b->key_count; i++) {
        leaf = ccs_chain_leaf(&b->chain, b->keys[i].info.pkey, &b->keys[i].bag->id);
        if (leaf == SIZE_MAX) {
            b->pfx->warnings |= CCS_PFX_UNUSED_KEY;
            continue;
        }
        if (b->pfx->pair_count == CCS_PAIRS_MAX)
            return ccs_error_set(err, CCS_ETOOBIG,
                                 "the file holds more than %d keys with certificates; export one "
                                 "host's only",
                                 CCS_PAIRS_MAX);
        if (add_pair(b, i, leaf) != CCS_OK)
            return no_memory(err);
    }
    for (i = 0; i < b->chain.count; i++)
        if (!b->chain.certs[i].used)
            b->pfx->warnings |= CCS_PFX_UNUSED_CERT;
    return CCS_OK;
}

/* Why there is not one pair. */
static int explain(const struct builder *b, struct ccs_error *err)
{
    bool broken = b->bad_certs > 0 || b->bags->bad_cert;

    if (b->failure != CCS_OK) {
        if (err)
            *err = b->failure_text;
        return b->failure;
    }
    if (b->key_count == 0)
        return ccs_error_set(
            err, CCS_ENOKEY,
            b->bags->cert_count > 0
                ? "the file holds certificates only; export it again together with "
                  "the private key"
                : "the file holds neither a key nor a certificate; export it again");
    if (broken)
        return ccs_error_set(
            err, CCS_EDAMAGED,
            "the file's certificate does not decode; it is damaged: export it again");
    if (b->chain.count == 0)
        return ccs_error_set(err, CCS_ENOCERT,
                             "the file holds a key only; export it again together with its "
                             "certificate");
    return ccs_error_set(err, CCS_EMISMATCH,
                         "the file's certificate and key do not belong together; export the "
                         "certificate that was issued for this key");
}

static int build(struct builder *b, struct ccs_error *err)
{
    int rv = ccs_chain_init(&b->chain, b->bags, &b->bad_certs);

    if (rv != CCS_OK)
        return no_memory(err);
    if (b->bad_certs > 0 || b->bags->bad_cert)
        b->pfx->warnings |= CCS_PFX_BAD_CERT;
    rv = open_keys(b, err);
    if (rv == CCS_OK)
        rv = add_pairs(b, err);
    if (rv == CCS_OK && b->pfx->pair_count == 0)
        rv = explain(b, err);
    return rv;
}

int ccs_pfx_build(const struct ccs_bags *bags, struct ccs_unlock *unlock, struct ccs_pfx **out,
                  struct ccs_error *err)
{
    struct builder *b = calloc(1, sizeof(*b));
    struct ccs_pfx *pfx = calloc(1, sizeof(*pfx));
    size_t i;
    int rv;

    if (b && pfx) {
        b->bags = bags;
        b->unlock = unlock;
        b->pfx = pfx;
        rv = build(b, err);
        for (i = 0; i < b->key_count; i++)
            ccs_keyinfo_clear(&b->keys[i].info);
        ccs_chain_clear(&b->chain);
    } else {
        rv = no_memory(err);
    }
    free(b);
    if (rv == CCS_OK)
        *out = pfx;
    else
        ccs_pfx_free(pfx);
    return rv;
}
