/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without legacy.so: files that need it are told so, all others load. */
#include "pkcs12_kit.h"

#include <openssl/provider.h>

#include "libctx.h"
#include "tmp.h"

static const struct ccs_pfxkit_password pw = {"pw", 2};
static struct ccs_tmp empty;

/* The kit writes with the legacy provider, so it takes its own before the folder is hidden. */
static int hide(void **state)
{
    (void)state;
    ccs_pfxkit_ctx();
    ccs_tmp_make(&empty);
    return setenv("OPENSSL_MODULES", empty.path, 1);
}

static int unhide(void **state)
{
    ccs_tmp_remove(&empty);
    return host_free(state);
}

static void test_needs_legacy(void **state)
{
    static const struct {
        int nid;
        const char *needle;
    } rows[] = {
        {NID_pbe_WithSHA1And40BitRC2_CBC, "RC2"},
        {NID_pbe_WithSHA1And128BitRC2_CBC, "RC2"},
        {NID_pbe_WithSHA1And128BitRC4, "RC4"},
        {NID_pbe_WithSHA1And40BitRC4, "RC4"},
        {NID_pbeWithMD5AndDES_CBC, "DES"},
        {NID_pbeWithSHA1AndDES_CBC, "DES"},
        {NID_pbeWithMD5AndRC2_CBC, "RC2"},
        {NID_des_cbc, "des-cbc"},
        {NID_rc2_cbc, "rc2-cbc"},
        {NID_bf_cbc, "bf-cbc"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ccs_pfxkit_pbe pbe = {.nid = rows[i].nid};
        struct ccs_der file = {0};

        make_file(&file, &(struct making){.certs = pbe}, pw);
        expect_refusal(&file, "pw", CCS_ELEGACY, rows[i].needle);
        expect_refusal(&file, "pw", CCS_ELEGACY, "legacy.so");
        ccs_der_clear(&file);
        make_file(&file, &(struct making){.key = pbe}, pw);
        expect_refusal(&file, "pw", CCS_ELEGACY, "legacy.so");
        ccs_der_clear(&file);
    }
    assert_int_equal(ccs_libctx_has_legacy(), 0);
}

static void test_mac_needs_legacy(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.mac = {.digest = NID_md4}}, pw);
    expect_refusal(&file, "pw", CCS_ELEGACY, "legacy.so");
    ccs_der_clear(&file);
}

static void test_others_load(void **state)
{
    static const struct making makings[] = {
        {.no_inter = 0},
        {.certs = {.nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
         .key = {.nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
         .mac = {.digest = NID_sha1}},
        {.mac = {.pbmac1 = 1}},
        {.mac = {.digest = NID_md5}},
        {.key = {.n = 1024, .r = 8, .p = 1}},
        {.no_mac = 1, .plain_certs = 1, .plain_key = 1},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(makings) / sizeof(makings[0]); i++) {
        struct ccs_der file = {0};

        make_file(&file, &makings[i], pw);
        ccs_pfx_free(expect_host(&file, "pw", 1));
        ccs_der_clear(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs_legacy),
        cmocka_unit_test(test_mac_needs_legacy),
        cmocka_unit_test(test_others_load),
    };

    return cmocka_run_group_tests(tests, hide, unhide);
}
