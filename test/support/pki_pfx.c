/* SPDX-License-Identifier: Apache-2.0 */
/* PFX files by OpenSSL's own means, in a library context of their own: the old ciphers live in the
 * legacy provider, which must not get into the default context of the program under test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "pki.h"
#include "tmp.h"

struct scheme {
    int cert_pbe;
    int key_pbe;
    const char *mac;
};

static const struct scheme schemes[] = {
    [CCS_PKI_MODERN] = {NID_aes_256_cbc, NID_aes_256_cbc, "SHA256"},
    [CCS_PKI_WINDOWS] = {NID_pbe_WithSHA1And40BitRC2_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                         "SHA1"},
    [CCS_PKI_3DES] = {NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                      NID_pbe_WithSHA1And3_Key_TripleDES_CBC, "SHA1"},
};

static void need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("PFX, %s: %s", what, reason);
    }
}

/* Lives as long as the process: unloading providers before OpenSSL's own end is of no use. */
static OSSL_LIB_CTX *private_ctx(void)
{
    static OSSL_PROVIDER *standard, *legacy;
    static OSSL_LIB_CTX *ctx;

    if (ctx == NULL) {
        ctx = OSSL_LIB_CTX_new();
        need(ctx != NULL, "library context");
        standard = OSSL_PROVIDER_load(ctx, "default");
        legacy = OSSL_PROVIDER_load(ctx, "legacy");
        need(standard != NULL && legacy != NULL, "providers");
    }
    return ctx;
}

static int holds(const STACK_OF(PKCS12_SAFEBAG) *bags, X509 *cert)
{
    int i, equal = 0;

    for (i = 0; i < sk_PKCS12_SAFEBAG_num(bags) && !equal; i++) {
        X509 *other = PKCS12_SAFEBAG_get1_cert(sk_PKCS12_SAFEBAG_value(bags, i));

        equal = other != NULL && X509_cmp(other, cert) == 0;
        X509_free(other);
    }
    return equal;
}

static void add_leaf(STACK_OF(PKCS12_SAFEBAG) **certs, STACK_OF(PKCS12_SAFEBAG) **keys,
                     const struct ccs_pki_leaf *leaf, const struct ccs_pki_pfx *how, int iterations)
{
    const struct scheme *scheme = &schemes[how->protection];
    unsigned char id[EVP_MAX_MD_SIZE];
    PKCS12_SAFEBAG *bag;
    unsigned len = 0;
    int i;

    if (leaf->cert != NULL) {
        need(X509_digest(leaf->cert, EVP_sha1(), id, &len), "digest");
        bag = PKCS12_add_cert(certs, leaf->cert);
        need(bag != NULL && PKCS12_add_localkeyid(bag, id, (int)len), "certificate");
        if (how->friendly_name != NULL) {
            need(PKCS12_add_friendlyname_utf8(bag, how->friendly_name, -1), "friendly name");
        }
    }
    if (leaf->key != NULL) {
        bag = PKCS12_add_key_ex(keys, leaf->key, 0, iterations, scheme->key_pbe, how->password,
                                private_ctx(), NULL);
        need(bag != NULL, "key");
        if (len > 0) {
            need(PKCS12_add_localkeyid(bag, id, (int)len), "key identifier");
        }
    }
    for (i = 0; i < sk_X509_num(leaf->chain); i++) {
        X509 *cert = sk_X509_value(leaf->chain, i);

        if (*certs == NULL || !holds(*certs, cert)) {
            need(PKCS12_add_cert(certs, cert) != NULL, "chain");
        }
    }
}

struct ccs_pki_bytes ccs_pki_pfx_make(const struct ccs_pki_leaf *leaves, size_t count,
                                      const struct ccs_pki_pfx *how)
{
    static const struct ccs_pki_pfx plain = {.password = ""};
    STACK_OF(PKCS12_SAFEBAG) *certs = NULL, *keys = NULL;
    struct ccs_pki_bytes bytes = {NULL, 0};
    STACK_OF(PKCS7) *safes = NULL;
    unsigned char *der = NULL;
    int iterations, len;
    PKCS12 *p12;
    EVP_MD *md;
    size_t i;

    if (how == NULL) {
        how = &plain;
    }
    iterations = how->iterations > 0 ? how->iterations : 100;
    for (i = 0; i < count; i++) {
        add_leaf(&certs, &keys, &leaves[i], how, iterations);
    }
    if (certs != NULL) {
        need(PKCS12_add_safe_ex(&safes, certs, schemes[how->protection].cert_pbe, iterations,
                                how->password, private_ctx(), NULL),
             "certificates");
    }
    if (keys != NULL) {
        need(PKCS12_add_safe_ex(&safes, keys, -1, 0, NULL, private_ctx(), NULL), "keys");
    }
    p12 = PKCS12_add_safes_ex(safes, 0, private_ctx(), NULL);
    need(p12 != NULL, "safes");
    if (!how->no_mac) {
        md = EVP_MD_fetch(private_ctx(), schemes[how->protection].mac, NULL);
        need(md != NULL && PKCS12_set_mac(p12, how->password, -1, NULL, 0, iterations, md), "MAC");
        EVP_MD_free(md);
    }
    len = i2d_PKCS12(p12, &der);
    need(len > 0, "encoding");
    bytes.data = malloc((size_t)len);
    assert_non_null(bytes.data);
    memcpy(bytes.data, der, (size_t)len);
    bytes.len = (size_t)len;
    OPENSSL_free(der);
    PKCS12_free(p12);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(certs, PKCS12_SAFEBAG_free);
    sk_PKCS12_SAFEBAG_pop_free(keys, PKCS12_SAFEBAG_free);
    return bytes;
}

void ccs_pki_bytes_clear(struct ccs_pki_bytes *bytes)
{
    free(bytes->data);
    bytes->data = NULL;
    bytes->len = 0;
}

void ccs_pki_pfx_file(const struct ccs_pki_leaf *leaf, const struct ccs_pki_pfx *how,
                      const char *dir, const char *file)
{
    struct ccs_pki_bytes bytes = ccs_pki_pfx_make(leaf, 1, how);

    ccs_tmp_replace(dir, file, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
}
