/* SPDX-License-Identifier: Apache-2.0 */
#include "decode.h"

#include <limits.h>

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "companion.h"
#include "libctx.h"

static int certificate_in(OSSL_LIB_CTX *libctx, const uint8_t *der, size_t len, X509 **out)
{
    const uint8_t *p = der;
    X509 *x;

    if (len > LONG_MAX)
        return CCS_EDAMAGED;
    x = X509_new_ex(libctx, NULL);
    if (!x)
        return CCS_ENOMEM;
    /* On failure it frees x. */
    if (!d2i_X509(&x, &p, (long)len))
        return CCS_EDAMAGED;
    if (p != der + len) {
        X509_free(x);
        return CCS_ETOOBIG;
    }
    *out = x;
    return CCS_OK;
}

int ccs_decode_certificate(const uint8_t *der, size_t len, X509 **out)
{
    OSSL_LIB_CTX *full = ccs_libctx(NULL), *quick = ccs_libctx_keys(NULL);
    X509 *x = NULL;
    int rv;

    if (!full)
        return CCS_ENOMEM;
    ERR_set_mark();
    rv = certificate_in(quick, der, len, &x);
    if (rv == CCS_OK && quick != full && !X509_get0_pubkey(x)) {
        X509_free(x);
        rv = certificate_in(full, der, len, &x);
    }
    if (rv != CCS_OK) {
        ERR_clear_last_mark();
        return rv;
    }
    /* Fills the cache of extensions; one that is not valid is the clients' to judge. */
    (void)X509_check_purpose(x, -1, 0);
    ERR_pop_to_mark();
    *out = x;
    ccs_companion_yield();
    return CCS_OK;
}

/* Telling the decoder which type to expect saves it from trying all. */
static EVP_PKEY *typed_key_in(OSSL_LIB_CTX *libctx, const struct ccs_blob *der,
                              const PKCS8_PRIV_KEY_INFO *info)
{
    const ASN1_OBJECT *algorithm;
    const uint8_t *p = der->data;
    OSSL_DECODER_CTX *ctx = NULL;
    EVP_PKEY *key = NULL;
    size_t left = der->len;
    char oid[128];
    int len;

    if (PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) != 1)
        return NULL;
    len = OBJ_obj2txt(oid, sizeof(oid), algorithm, 1);
    if (len > 0 && (size_t)len < sizeof(oid))
        ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", "PrivateKeyInfo", oid, EVP_PKEY_KEYPAIR,
                                            libctx, NULL);
    if (ctx)
        (void)OSSL_DECODER_from_data(ctx, &p, &left);
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

EVP_PKEY *ccs_decode_key_in(OSSL_LIB_CTX *libctx, const struct ccs_blob *der,
                            const PKCS8_PRIV_KEY_INFO *info)
{
    EVP_PKEY *key = typed_key_in(libctx, der, info);

    return key ? key : EVP_PKCS82PKEY_ex(info, libctx, NULL);
}

EVP_PKEY *ccs_decode_key(const struct ccs_blob *der, const PKCS8_PRIV_KEY_INFO *info)
{
    OSSL_LIB_CTX *full = ccs_libctx(NULL), *quick = ccs_libctx_keys(NULL);
    EVP_PKEY *key = NULL;

    if (!full)
        return NULL;
    ERR_set_mark();
    if (quick != full)
        key = typed_key_in(quick, der, info);
    if (!key)
        key = ccs_decode_key_in(full, der, info);
    if (key)
        ERR_pop_to_mark();
    else
        ERR_clear_last_mark();
    ccs_companion_yield();
    return key;
}
