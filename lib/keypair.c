/* SPDX-License-Identifier: Apache-2.0 */
#include "keypair.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/x509.h>

#include "companion.h"
#include "decode.h"
#include "error.h"
#include "issuers.h"
#include "libctx.h"
#include "proof.h"
#include "secret.h"

/*
 * OpenSSL 3.0 writes the result of EVP_PKEY_fromdata() into an EVP_PKEY that is there already.
 * Writing the private key into the leaf's own public key makes both one object, which a handshake
 * attaches at half the cost. That is a habit and no promise, so each pair is checked, and the first
 * one that shows another habit ends it for the process.
 */
static atomic_int join_works = 1;

int ccs_key_pair_parse_certificate(const uint8_t *der, size_t len, X509 **out,
                                   struct ccs_error *err)
{
    int rv;

    if (!ccs_libctx(err))
        return CCS_ESSL;
    rv = ccs_decode_certificate(der, len, out);
    switch (rv) {
    case CCS_OK:
        return CCS_OK;
    case CCS_ENOMEM:
        return ccs_error_ssl(err, CCS_ENOMEM, "no memory for a certificate");
    case CCS_ETOOBIG:
        return ccs_error_set(err, CCS_EDAMAGED, "a certificate in it is followed by other data");
    default:
        return ccs_error_ssl(err, CCS_EDAMAGED, "a certificate in it does not decode");
    }
}

/* Numbers and strings of a key on their way from one context to the other. */
#define SLOT_SIZE  2048 /* an RSA modulus of 16384 bits */
#define SLOT_COUNT 9

struct transfer {
    OSSL_PARAM params[SLOT_COUNT + 1];
    uint8_t slots[SLOT_COUNT][SLOT_SIZE];
};

static void transfer_add(struct transfer *t, size_t i, const char *name, unsigned type)
{
    if (type == OSSL_PARAM_UNSIGNED_INTEGER)
        t->params[i] = OSSL_PARAM_construct_BN(name, t->slots[i], SLOT_SIZE);
    else if (type == OSSL_PARAM_UTF8_STRING)
        t->params[i] = OSSL_PARAM_construct_utf8_string(name, (char *)t->slots[i], SLOT_SIZE);
    else
        t->params[i] = OSSL_PARAM_construct_octet_string(name, t->slots[i], SLOT_SIZE);
}

/* Asks key for everything in t; keeps what it has. 1 if that is at least the first `least`. */
static int transfer_fetch(struct transfer *t, const EVP_PKEY *key, size_t least)
{
    size_t kept = 0;

    if (!EVP_PKEY_get_params(key, t->params))
        return 0;
    for (size_t i = 0; t->params[i].key; i++) {
        if (!OSSL_PARAM_modified(&t->params[i]) || t->params[i].return_size > SLOT_SIZE) {
            if (i < least)
                return 0;
            continue;
        }
        t->params[kept] = t->params[i];
        t->params[kept].data_size = t->params[i].return_size;
        kept++;
    }
    t->params[kept] = OSSL_PARAM_construct_end();
    return 1;
}

static int transfer_ec(struct transfer *t, const EVP_PKEY *key)
{
    transfer_add(t, 0, OSSL_PKEY_PARAM_GROUP_NAME, OSSL_PARAM_UTF8_STRING);
    transfer_add(t, 1, OSSL_PKEY_PARAM_PUB_KEY, OSSL_PARAM_OCTET_STRING);
    transfer_add(t, 2, OSSL_PKEY_PARAM_PRIV_KEY, OSSL_PARAM_UNSIGNED_INTEGER);
    t->params[3] = OSSL_PARAM_construct_end();
    return transfer_fetch(t, key, 3);
}

static int transfer_rsa(struct transfer *t, const EVP_PKEY *key)
{
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
        OSSL_PKEY_PARAM_RSA_FACTOR3,
    };
    size_t i;

    for (i = 0; i < CCS_ARRAY_LEN(names); i++)
        transfer_add(t, i, names[i], OSSL_PARAM_UNSIGNED_INTEGER);
    t->params[i] = OSSL_PARAM_construct_end();
    /* A key of more than two primes has numbers that are not asked for here. */
    return transfer_fetch(t, key, 3) && !OSSL_PARAM_locate(t->params, OSSL_PKEY_PARAM_RSA_FACTOR3);
}

/* Whether x encodes to the very octets that it was parsed from. */
static int encodes_to(X509 *x, const struct ccs_blob *der)
{
    uint8_t *buf = NULL;
    int len = i2d_X509(x, &buf);
    int same = len > 0 && (size_t)len == der->len && memcmp(buf, der->data, der->len) == 0;

    OPENSSL_free(buf);
    return same;
}

/*
 * Makes decoded's key anew in the default context and inside the leaf's own key. Returns a
 * reference to that, or NULL where this cannot be done; leaf must not be used any further then.
 */
static EVP_PKEY *join(X509 *leaf, const struct ccs_blob *leaf_der, const EVP_PKEY *decoded)
{
    const char *type = EVP_PKEY_is_a(decoded, "RSA") ? "RSA" : "EC";
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *own, *made;
    struct transfer *t;
    int known = 0;

    if (!atomic_load_explicit(&join_works, memory_order_relaxed))
        return NULL;
    /* Into a key that no provider made it must not be written: that crashes. */
    if (!EVP_PKEY_is_a(decoded, type) || !EVP_PKEY_get0_provider(X509_get0_pubkey(leaf)))
        return NULL;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    own = made = X509_get_pubkey(leaf);
    if (*type == 'R' ? !transfer_rsa(t, decoded) : !transfer_ec(t, decoded))
        goto out;
    ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, t->params) != 1)
        goto out;
    known = made == own && X509_get0_pubkey(leaf) == own && encodes_to(leaf, leaf_der);
    if (!known)
        atomic_store_explicit(&join_works, 0, memory_order_relaxed);
out:
    if (made != own)
        EVP_PKEY_free(made);
    if (!known) {
        EVP_PKEY_free(own);
        own = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    ccs_wipe(t, sizeof(*t));
    free(t);
    return own;
}

static int decode_key_info(const struct ccs_blob *der, PKCS8_PRIV_KEY_INFO **out,
                           struct ccs_error *err)
{
    const uint8_t *p = der->data;
    PKCS8_PRIV_KEY_INFO *info = NULL;

    if (der->len <= LONG_MAX)
        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der->len);
    if (!info || p != der->data + der->len) {
        PKCS8_PRIV_KEY_INFO_free(info);
        return ccs_error_ssl(err, CCS_EDAMAGED, "its private key does not decode");
    }
    *out = info;
    return CCS_OK;
}

/* Decodes what is not decoded yet. */
static int decode_pair(const struct ccs_pair *der, X509 **leaf, EVP_PKEY **decoded,
                       struct ccs_error *err)
{
    PKCS8_PRIV_KEY_INFO *info;
    int rv;

    if (!*decoded) {
        rv = decode_key_info(&der->key, &info, err);
        if (rv != CCS_OK)
            return rv;
        *decoded = ccs_decode_key(&der->key, info);
        PKCS8_PRIV_KEY_INFO_free(info);
        if (!*decoded)
            return ccs_error_ssl(err, CCS_EUNSUPPORTED, "its private key cannot be read");
    }
    return *leaf ? CCS_OK
                 : ccs_key_pair_parse_certificate(der->leaf.data, der->leaf.len, leaf, err);
}

/* Leaf and key as two objects, each made anew; the key in the default context. */
static int make_apart(const struct ccs_pair *der, struct ccs_key_pair *pair, struct ccs_error *err)
{
    PKCS8_PRIV_KEY_INFO *info;
    int rv = ccs_key_pair_parse_certificate(der->leaf.data, der->leaf.len, &pair->leaf, err);

    if (rv == CCS_OK)
        rv = decode_key_info(&der->key, &info, err);
    if (rv != CCS_OK)
        return rv;
    pair->key = ccs_decode_key_in(NULL, &der->key, info);
    PKCS8_PRIV_KEY_INFO_free(info);
    return pair->key ? CCS_OK
                     : ccs_error_ssl(err, CCS_EUNSUPPORTED, "its private key cannot be read");
}

/* Joins the key with its leaf, or puts it beside it. What is decoded already is given: decoded,
 * which is consumed, and pair->leaf. */
static int make_key(const struct ccs_pair *der, EVP_PKEY *decoded, struct ccs_key_pair *pair,
                    struct ccs_error *err)
{
    EVP_PKEY *public_key;
    int joined, rv;

    rv = decode_pair(der, &pair->leaf, &decoded, err);
    if (rv != CCS_OK)
        goto out;
    public_key = X509_get0_pubkey(pair->leaf);
    if (!public_key) {
        rv = ccs_error_ssl(err, CCS_EUNSUPPORTED, "the certificate's public key cannot be read");
        goto out;
    }
    /* Before they become one: afterwards any two would seem to match. */
    if (EVP_PKEY_eq(public_key, decoded) != 1) {
        rv = ccs_error_set(
            err, CCS_EMISMATCH,
            "certificate and key do not belong together: export the certificate again "
            "with its own key");
        goto out;
    }

    pair->key = join(pair->leaf, &der->leaf, decoded);
    joined = pair->key != NULL;
    if (joined) {
        ccs_companion_yield();
        rv = ccs_proof(pair->key, decoded, err);
        if (rv == CCS_OK)
            goto out;
    }
    EVP_PKEY_free(pair->key);
    pair->key = NULL;
    X509_free(pair->leaf);
    pair->leaf = NULL;
    rv = make_apart(der, pair, err);
    if (rv == CCS_OK)
        rv = ccs_proof(pair->key, decoded, err);
    if (rv == CCS_OK && joined)
        atomic_store_explicit(&join_works, 0, memory_order_relaxed);
out:
    EVP_PKEY_free(decoded);
    ERR_clear_error();
    return rv;
}

static int make_chain(const struct ccs_pair *der, struct ccs_key_pair *pair, struct ccs_error *err)
{
    int rv;

    if (der->chain_len == 0)
        return CCS_OK;
    pair->chain = sk_X509_new_reserve(NULL, CCS_CHAIN_MAX);
    if (!pair->chain)
        return ccs_error_ssl(err, CCS_ENOMEM, "no memory for a chain of certificates");
    for (size_t i = 0; i < der->chain_len && i < CCS_CHAIN_MAX; i++) {
        X509 *x;

        rv = ccs_issuers_get(der->chain[i].data, der->chain[i].len, &x, err);
        if (rv != CCS_OK)
            return rv;
        (void)sk_X509_push(pair->chain, x); /* its room is reserved */
    }
    pair->chain = ccs_issuers_share_chain(pair->chain);
    return CCS_OK;
}

static int unix_time(const ASN1_TIME *t, int64_t *out)
{
    struct tm tm;

    if (!ASN1_TIME_to_tm(t, &tm))
        return 0;
    *out = (int64_t)timegm(&tm);
    return 1;
}

static int fill_facts(const struct ccs_blob *leaf, struct ccs_key_pair *pair, struct ccs_error *err)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[32];

    if (!unix_time(X509_get0_notBefore(pair->leaf), &pair->not_before) ||
        !unix_time(X509_get0_notAfter(pair->leaf), &pair->not_after))
        return ccs_error_ssl(err, CCS_EDAMAGED, "the certificate has a date that cannot be read");
    if (!EVP_Q_digest(ccs_libctx(NULL), "SHA256", NULL, leaf->data, leaf->len, digest, NULL))
        return ccs_error_ssl(err, CCS_ESSL, "cannot compute the digest of a certificate");
    for (size_t i = 0; i < sizeof(digest); i++) {
        pair->fingerprint[2 * i] = hex[digest[i] >> 4];
        pair->fingerprint[2 * i + 1] = hex[digest[i] & 15];
    }
    pair->key_type = EVP_PKEY_get_base_id(pair->key);
    return CCS_OK;
}

int ccs_key_pair_make(const struct ccs_pair *der, X509 *leaf, EVP_PKEY *key,
                      struct ccs_key_pair *out, struct ccs_error *err)
{
    struct ccs_key_pair pair = {.leaf = leaf};
    int rv = make_key(der, key, &pair, err);

    if (rv == CCS_OK)
        rv = make_chain(der, &pair, err);
    if (rv == CCS_OK)
        rv = fill_facts(&der->leaf, &pair, err);
    if (rv == CCS_OK)
        *out = pair;
    else
        ccs_key_pair_clear(&pair);
    return rv;
}

void ccs_key_pair_clear(struct ccs_key_pair *pair)
{
    ccs_issuers_release_chain(pair->chain);
    EVP_PKEY_free(pair->key);
    X509_free(pair->leaf);
    *pair = (struct ccs_key_pair){0};
}
