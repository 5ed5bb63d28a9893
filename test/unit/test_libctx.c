/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "certkit.h"
#include "libctx.h"

#define THREADS 8

static void *get(void *arg)
{
    (void)arg;
    return ccs_libctx(NULL);
}

/* Asked by many threads at first, it is made once. */
static void test_once(void **state)
{
    pthread_t threads[THREADS];
    void *got[THREADS];
    size_t i;

    (void)state;
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get, NULL), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], &got[i]), 0);
    for (i = 0; i < THREADS; i++) {
        assert_non_null(got[i]);
        assert_ptr_equal(got[i], got[0]);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

/* What it can do, the default context still cannot, and goes on doing what it could. */
static void test_apart(void **state)
{
    OSSL_LIB_CTX *ctx = ccs_libctx(NULL);
    EVP_CIPHER *cipher;
    EVP_MD *md;

    (void)state;
    assert_int_equal(ccs_libctx_has_legacy(), 1);
    cipher = EVP_CIPHER_fetch(ctx, "RC2-40-CBC", NULL);
    assert_non_null(cipher);
    EVP_CIPHER_free(cipher);
    md = EVP_MD_fetch(ctx, "SHA256", NULL);
    assert_non_null(md);
    EVP_MD_free(md);
    assert_null(EVP_CIPHER_fetch(NULL, "RC2-40-CBC", NULL));
    ERR_clear_error();
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert_non_null(md);
    EVP_MD_free(md);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "legacy"), 0);
}

static EVP_PKEY *copy_in(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    EVP_PKEY *copy = EVP_PKCS82PKEY_ex(info, ctx, NULL);

    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    return copy;
}

/* The keys of TLS servers live in the second context, and do there what they do in the first. */
static void test_keys(void **state)
{
    static const char *const kinds[] = {"RSA:2048", "RSA-PSS:2048", "P-256",
                                        "P-384",    "ED25519",      "ED448"};
    OSSL_LIB_CTX *full = ccs_libctx(NULL), *few = ccs_libctx_keys(NULL);

    (void)state;
    assert_ptr_not_equal(few, full);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        EVP_PKEY *key = ccs_certkit_key(kinds[i]), *a = copy_in(full, key), *b = copy_in(few, key);
        EVP_MD_CTX *md = EVP_MD_CTX_new();
        unsigned char signature[1024];
        size_t len = sizeof(signature);

        assert_non_null(a);
        assert_non_null(b);
        assert_ptr_equal(ccs_libctx_of(a), full);
        assert_ptr_equal(ccs_libctx_of(b), few);
        assert_int_equal(EVP_PKEY_eq(a, b), 1);
        assert_int_equal(EVP_PKEY_eq(b, key), 1);
        assert_int_equal(EVP_DigestSignInit_ex(md, NULL, NULL, few, NULL, b, NULL), 1);
        assert_int_equal(EVP_DigestSign(md, signature, &len, (const unsigned char *)"x", 1), 1);
        EVP_MD_CTX_reset(md);
        assert_int_equal(EVP_DigestVerifyInit_ex(md, NULL, NULL, full, NULL, a, NULL), 1);
        assert_int_equal(EVP_DigestVerify(md, signature, len, (const unsigned char *)"x", 1), 1);
        EVP_MD_CTX_free(md);
        EVP_PKEY_free(key);
        EVP_PKEY_free(a);
        EVP_PKEY_free(b);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_keys_of_others(void **state)
{
    EVP_KEYMGMT *dsa = EVP_KEYMGMT_fetch(ccs_libctx(NULL), "DSA", NULL);

    (void)state;
    assert_non_null(dsa);
    EVP_KEYMGMT_free(dsa);
    assert_null(EVP_KEYMGMT_fetch(ccs_libctx_keys(NULL), "DSA", NULL));
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
