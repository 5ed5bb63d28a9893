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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
