/* SPDX-License-Identifier: Apache-2.0 */
/* Whichever allocation of OpenSSL's fails: no crash, no leak, and the file is not called damaged.
 */
#include "pkcs12_kit.h"

#include <openssl/crypto.h>

/* Every so many allocations one attempt; with no common factor, rows take turns at different ones.
 */
#define STRIDE 7

static long countdown = -1; /* allocations until the one that fails; negative: none */
static long allocations;

static int fails(void)
{
    allocations++;
    return countdown >= 0 && countdown-- == 0;
}

static void *hook_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : malloc(len);
}

static void *hook_realloc(void *p, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : realloc(p, len);
}

static void hook_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static int decode(const struct ccs_der *file, const struct ccs_pfx_params *params, long failing)
{
    struct ccs_error err = {0};
    struct ccs_pfx *pfx = NULL;
    int rv;

    allocations = 0;
    countdown = failing;
    rv = ccs_pkcs12_decode(file->data, file->len, params, &pfx, &err);
    countdown = -1;
    assert_int_equal(ERR_peek_error(), 0);
    if (rv != CCS_OK) {
        assert_null(pfx);
        assert_int_equal(err.code, rv);
    }
    ccs_pfx_free(pfx);
    return rv;
}

static void test_any_allocation(void **state)
{
    static const struct making makings[] = {
        {.no_inter = 1},
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC}, .mac = {.digest = NID_sha1}},
        {.plain_key = 1, .plain_certs = 1, .no_mac = 1},
        {.mac = {.pbmac1 = 1}},
    };
    struct ccs_passwords *passwords = NULL;
    long i, failing, total, refused = 0;

    (void)state;
    assert_int_equal(ccs_passwords_parse("pw", 2, &passwords, NULL), CCS_OK);
    for (i = 0; i < (long)(sizeof(makings) / sizeof(makings[0])); i++) {
        const struct ccs_pfx_params params = {passwords, 0, 100000};
        struct ccs_der file = {0};

        make_file(&file, &makings[i], (struct ccs_pfxkit_password){"pw", 2});
        /* The first makes what is made once. */
        assert_int_equal(decode(&file, &params, -1), CCS_OK);
        assert_int_equal(decode(&file, &params, -1), CCS_OK);
        total = allocations;
        for (failing = i; failing < total; failing += STRIDE) {
            int rv = decode(&file, &params, failing);

            refused += rv == CCS_ENOMEM;
            assert_int_not_equal(rv, CCS_EDAMAGED);
        }
        assert_int_equal(decode(&file, &params, -1), CCS_OK);
        ccs_der_clear(&file);
    }
    assert_true(refused > 10);
    ccs_passwords_unref(passwords);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_allocation),
    };

    /* Only before OpenSSL has taken its first block. */
    if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, host_free);
}
