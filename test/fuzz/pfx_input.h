/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_FUZZ_PFX_INPUT_H
#define CCS_FUZZ_PFX_INPUT_H

/* What the PKCS#12 targets share. The key in their inputs is the one with the secret number 1. */

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "fuzz.h"
#include "libctx.h"
#include "pkcs12.h"

#define FUZZ_LIMIT 1000 /* rounds of key derivation, so that every input is quick */

/* A list of passwords, made once: what the inputs are encrypted with is among them. */
static inline const struct ccs_passwords *fuzz_passwords(void)
{
    static const char text[] = "wrong\npw\ngr\xc3\xbc\xc3\x9f\n";
    static struct ccs_passwords *list;

    if (!list)
        CHECK(ccs_passwords_parse(text, sizeof(text) - 1, &list, NULL) == CCS_OK);
    return list;
}

static inline X509 *fuzz_cert(const struct ccs_blob *blob)
{
    const unsigned char *p = blob->data;
    X509 *cert = X509_new_ex(ccs_libctx(NULL), NULL);

    CHECK(cert && d2i_X509(&cert, &p, (long)blob->len));
    CHECK(p == blob->data + blob->len);
    return cert;
}

/* Whatever loads can be served: leaf and key decode and belong together, the chain decodes. */
static inline void fuzz_check(const struct ccs_pfx *pfx)
{
    size_t i, j;

    CHECK(pfx && pfx->pair_count > 0 && pfx->pair_count <= CCS_PAIRS_MAX);
    for (i = 0; i < pfx->pair_count; i++) {
        const struct ccs_pair *pair = &pfx->pairs[i];
        const unsigned char *p = pair->key.data;
        PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)pair->key.len);
        EVP_PKEY *key = info ? EVP_PKCS82PKEY_ex(info, ccs_libctx(NULL), NULL) : NULL;
        X509 *leaf = fuzz_cert(&pair->leaf);

        CHECK(key && p == pair->key.data + pair->key.len);
        CHECK(EVP_PKEY_eq(X509_get0_pubkey(leaf), key) == 1);
        CHECK(pair->chain_len <= CCS_CHAIN_MAX);
        for (j = 0; j < pair->chain_len; j++)
            X509_free(fuzz_cert(&pair->chain[j]));
        X509_free(leaf);
        EVP_PKEY_free(key);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
}

/* A refusal has one of the codes that concern a file, and says why. */
static inline void fuzz_check_refusal(int rv, const struct ccs_error *err)
{
    CHECK(rv <= CCS_ETOOBIG && rv >= CCS_EKEYUSE);
    CHECK(err->code == rv);
    CHECK(memchr(err->text, '\0', sizeof(err->text)) && strlen(err->text) > 20);
}

#endif
