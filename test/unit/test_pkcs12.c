/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must load: every algorithm, every encoding. */
#include "pkcs12_kit.h"

#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "libctx.h"

static const struct ccs_pfxkit_password pw = {"pw", 2};

static void test_modern(void **state)
{
    struct ccs_der file = {0};
    struct ccs_pfx *pfx;

    (void)state;
    make_file(&file, &(struct making){0}, pw);
    pfx = expect_host(&file, "pw", 1);
    assert_int_equal(pfx->pair_count, 1);
    assert_int_equal(pfx->legacy, 0);
    assert_int_equal(pfx->warnings, 0);
    assert_int_equal(pfx->password, 0);
    ccs_pfx_free(pfx);
    ccs_pfx_free(NULL);
    ccs_der_clear(&file);
}

static void test_encryptions(void **state)
{
    static const struct {
        int nid, prf;
        unsigned legacy;
    } rows[] = {
        {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 0, CCS_LEGACY_3DES},
        {NID_pbe_WithSHA1And2_Key_TripleDES_CBC, 0, CCS_LEGACY_3DES},
        {NID_pbe_WithSHA1And40BitRC2_CBC, 0, CCS_LEGACY_RC2_40},
        {NID_pbe_WithSHA1And128BitRC2_CBC, 0, CCS_LEGACY_RC2_128},
        {NID_pbe_WithSHA1And128BitRC4, 0, CCS_LEGACY_RC4},
        {NID_pbe_WithSHA1And40BitRC4, 0, CCS_LEGACY_RC4},
        {NID_pbeWithMD5AndDES_CBC, 0, CCS_LEGACY_DES | CCS_LEGACY_MD5},
        {NID_pbeWithSHA1AndDES_CBC, 0, CCS_LEGACY_DES},
        {NID_pbeWithMD5AndRC2_CBC, 0, CCS_LEGACY_RC2_OTHER | CCS_LEGACY_MD5},
        {NID_pbeWithSHA1AndRC2_CBC, 0, CCS_LEGACY_RC2_OTHER},
        {NID_aes_128_cbc, NID_hmacWithSHA1, 0},
        {NID_aes_192_cbc, NID_hmacWithSHA224, 0},
        {NID_aes_256_cbc, NID_hmacWithSHA384, 0},
        {NID_aes_256_cbc, NID_hmacWithSHA512, 0},
        {NID_camellia_256_cbc, 0, 0},
        {NID_aria_256_cbc, 0, 0},
        {NID_des_ede3_cbc, 0, CCS_LEGACY_3DES},
        {NID_des_cbc, 0, CCS_LEGACY_DES},
        {NID_rc2_cbc, 0, CCS_LEGACY_RC2_OTHER},
        {NID_cast5_cbc, 0, CCS_LEGACY_OTHER},
        {NID_bf_cbc, 0, CCS_LEGACY_OTHER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ccs_pfxkit_pbe pbe = {.nid = rows[i].nid, .prf = rows[i].prf};
        struct ccs_der file = {0};
        struct ccs_pfx *pfx;

        make_file(&file, &(struct making){.certs = pbe}, pw);
        pfx = expect_host(&file, "pw", 1);
        assert_int_equal(pfx->legacy, rows[i].legacy);
        ccs_pfx_free(pfx);
        ccs_der_clear(&file);
        make_file(&file, &(struct making){.key = pbe}, pw);
        pfx = expect_host(&file, "pw", 1);
        assert_int_equal(pfx->legacy, rows[i].legacy);
        ccs_pfx_free(pfx);
        ccs_der_clear(&file);
    }
}

static void test_macs(void **state)
{
    static const struct {
        int digest;
        unsigned legacy;
    } rows[] = {
        {NID_sha1, CCS_LEGACY_SHA1_MAC},
        {NID_md5, CCS_LEGACY_MD5},
        {NID_sha224, 0},
        {NID_sha256, 0},
        {NID_sha384, 0},
        {NID_sha512, 0},
        {NID_sha3_256, 0},
        {NID_sm3, 0},
        {NID_ripemd160, 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_der file = {0};
        struct ccs_pfx *pfx;

        make_file(&file, &(struct making){.mac = {.digest = rows[i].digest}}, pw);
        pfx = expect_host(&file, "pw", 1);
        assert_int_equal(pfx->legacy, rows[i].legacy);
        ccs_pfx_free(pfx);
        ccs_der_clear(&file);
    }
}

static void test_mac_without_iterations(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.mac = {.claim = -1}}, pw);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&file);
}

static void test_pbmac1(void **state)
{
    static const struct ccs_pfxkit_mac macs[] = {
        {.pbmac1 = 1},
        {.pbmac1 = 1, .digest = NID_sha512, .prf = NID_sha512, .key_len = 64},
        {.pbmac1 = 1, .digest = NID_sha256, .prf = NID_sha512},
        {.pbmac1 = 1, .prf = -1, .key_len = 20},
        {.pbmac1 = 1, .digest = NID_sha384, .claim = 2048, .key_len = 48},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
        struct ccs_der file = {0};

        make_file(&file, &(struct making){.mac = macs[i]}, pw);
        ccs_pfx_free(expect_host(&file, "pw", 1));
        expect_refusal(&file, "wrong", CCS_EPASSWORD, "password");
        ccs_der_clear(&file);
    }
}

static void test_scrypt(void **state)
{
    const struct ccs_pfxkit_pbe pbe = {.n = 1024, .r = 8, .p = 1};
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.certs = pbe, .key = pbe}, pw);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&file);
}

static void test_no_mac(void **state)
{
    struct ccs_der file = {0};
    struct ccs_pfx *pfx;

    (void)state;
    make_file(&file, &(struct making){.no_mac = 1}, pw);
    pfx = expect_host(&file, "first\npw", 1);
    assert_int_equal(pfx->warnings, CCS_PFX_NO_MAC);
    assert_int_equal(pfx->password, 1);
    ccs_pfx_free(pfx);
    expect_refusal(&file, "wrong", CCS_EPASSWORD, "password");
    expect_refusal(&file, NULL, CCS_EPASSWORD, "none is configured");
    ccs_der_clear(&file);

    make_file(&file, &(struct making){.no_mac = 1, .plain_key = 1, .plain_certs = 1}, pw);
    pfx = expect_host(&file, "wrong", 1);
    assert_int_equal(pfx->password, CCS_PASSWORD_UNKNOWN);
    ccs_pfx_free(pfx);
    ccs_pfx_free(expect_host(&file, NULL, 1));
    ccs_der_clear(&file);
}

static void test_plain_parts(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.plain_certs = 1}, pw);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.plain_key = 1}, pw);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&file);
}

/* Everything in one encrypted part, the key unencrypted or not inside it. */
static void test_key_inside(void **state)
{
    const struct ccs_pfxkit_pbe pbe = {.password = CCS_PFXKIT_PASSWORD("pw")};
    int shrouded;

    (void)state;
    for (shrouded = 0; shrouded < 2; shrouded++) {
        struct ccs_der bags = {0}, parts = {0}, file = {0};

        if (shrouded)
            ccs_pfxkit_shrouded(&bags, host()->key, &pbe, NULL);
        else
            ccs_pfxkit_key(&bags, host()->key, NULL);
        ccs_pfxkit_cert(&bags, host()->leaf, NULL);
        ccs_pfxkit_encrypted(&parts, &bags, &pbe);
        ccs_pfxkit_file(&file, &parts, &(struct ccs_pfxkit_mac){.password = pw});
        ccs_pfx_free(expect_host(&file, "pw", 0));
        ccs_der_clear(&bags);
        ccs_der_clear(&parts);
        ccs_der_clear(&file);
    }
}

/* Indefinite lengths and chunked octet strings, outside as NSS writes them and inside too. */
static void test_ber(void **state)
{
    struct ccs_der certs = {0}, keys = {0}, parts = {0}, safe = {0}, inner = {0}, content = {0};
    struct ccs_der plain = {0}, file = {0};
    const struct ccs_pfxkit_pbe pbe = {.password = CCS_PFXKIT_PASSWORD("pw")};

    (void)state;
    ccs_pfxkit_cert(&certs, host()->leaf, "1");
    ccs_pfxkit_cert(&certs, host()->inter, NULL);
    ccs_pfxkit_shrouded(&keys, host()->key, &pbe, "1");
    ccs_pfxkit_data(&parts, &certs);
    ccs_pfxkit_data(&parts, &keys);
    ccs_der_put(&plain, CCS_DER_SEQUENCE, parts.data, parts.len);
    ccs_der_to_ber(&safe, plain.data, plain.len);
    ccs_der_begin_open(&file, CCS_DER_SEQUENCE);
    ccs_der_int(&file, 3);
    ccs_der_begin_open(&file, CCS_DER_SEQUENCE);
    ccs_der_oid(&file, "1.2.840.113549.1.7.1");
    ccs_der_begin_open(&file, CCS_DER_EXPLICIT);
    ccs_der_chunks(&file, safe.data, safe.len, 1000);
    ccs_der_end(&file);
    ccs_der_end(&file);
    ccs_pfxkit_mac(&file, &safe, &(struct ccs_pfxkit_mac){.password = pw});
    ccs_der_end(&file);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&certs);
    ccs_der_clear(&keys);
    ccs_der_clear(&parts);
    ccs_der_clear(&safe);
    ccs_der_clear(&inner);
    ccs_der_clear(&content);
    ccs_der_clear(&plain);
    ccs_der_clear(&file);
}

static void test_trailing(void **state)
{
    static const uint8_t zeros[1000];
    struct ccs_der file = {0};
    struct ccs_pfx *pfx;

    (void)state;
    make_file(&file, &(struct making){0}, pw);
    ccs_der_raw(&file, zeros, sizeof(zeros));
    pfx = expect_host(&file, "pw", 1);
    assert_int_equal(pfx->warnings, CCS_PFX_TRAILING);
    ccs_pfx_free(pfx);
    ccs_der_clear(&file);
}

/* Keys of all kinds that a TLS server can have. */
static void test_key_kinds(void **state)
{
    static const char *const kinds[] = {"P-256",           "P-384",    "P-521",    "secp256k1",
                                        "brainpoolP256r1", "RSA:1024", "RSA:2048", "RSA-PSS:2048",
                                        "ED25519",         "ED448"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ccs_der bags = {0}, parts = {0}, file = {0};
        EVP_PKEY *key = ccs_certkit_key(kinds[i]);
        X509 *cert = ccs_certkit_make(&(struct ccs_certkit){
            .subject = "leaf", .key = key, .issuer = "inter", .issuer_key = host()->inter_key});
        struct outcome o;

        ccs_pfxkit_shrouded(&bags, key, &(struct ccs_pfxkit_pbe){.password = pw}, NULL);
        ccs_pfxkit_cert(&bags, cert, NULL);
        ccs_pfxkit_data(&parts, &bags);
        ccs_pfxkit_file(&file, &parts, &(struct ccs_pfxkit_mac){.password = pw});
        o = load(&file, "pw");
        if (o.rv != CCS_OK)
            fail_msg("%s: %s", kinds[i], o.err.text);
        check_cert(&o.pfx->pairs[0].leaf, cert);
        check_key(&o.pfx->pairs[0].key, key);
        ccs_pfx_free(o.pfx);
        EVP_PKEY_free(key);
        X509_free(cert);
        ccs_der_clear(&bags);
        ccs_der_clear(&parts);
        ccs_der_clear(&file);
    }
}

/* With a default context that can do nothing at all, files of every kind load all the same. */
static void test_default_context_untouched(void **state)
{
    static const struct making makings[] = {
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC},
         .key = {.nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
         .mac = {.digest = NID_sha1}},
        {.certs = {.nid = NID_pbe_WithSHA1And128BitRC4}, .key = {.nid = NID_pbeWithMD5AndDES_CBC}},
        {.mac = {.pbmac1 = 1}},
        {.key = {.n = 1024, .r = 8, .p = 1}},
    };
    OSSL_LIB_CTX *crippled = OSSL_LIB_CTX_new(), *before;
    OSSL_PROVIDER *null = OSSL_PROVIDER_load(crippled, "null");
    struct ccs_pfx_params params = {NULL, CCS_PASSWORD_UNKNOWN, 2000000};
    struct ccs_passwords *list = NULL;
    struct ccs_error err;
    struct ccs_pfx *pfx;
    EVP_MD *md;
    size_t i;

    (void)state;
    assert_non_null(null);
    assert_int_equal(ccs_passwords_parse("pw", 2, &list, NULL), CCS_OK);
    params.passwords = list;
    for (i = 0; i < sizeof(makings) / sizeof(makings[0]); i++) {
        struct ccs_der file = {0};
        int rv;

        make_file(&file, &makings[i], pw);
        pfx = NULL;
        before = OSSL_LIB_CTX_set0_default(crippled);
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
        assert_null(md);
        ERR_clear_error();
        rv = ccs_pkcs12_decode(file.data, file.len, &params, &pfx, &err);
        OSSL_LIB_CTX_set0_default(before);
        if (rv != CCS_OK)
            fail_msg("%zu: %s", i, err.text);
        ccs_pfx_free(pfx);
        ccs_der_clear(&file);
    }
    ccs_passwords_unref(list);
    OSSL_PROVIDER_unload(null);
    OSSL_LIB_CTX_free(crippled);
    assert_int_equal(OSSL_PROVIDER_available(NULL, "legacy"), 0);
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    assert_non_null(md);
    EVP_MD_free(md);
}

/* What the caller has in OpenSSL's error queue stays there, and nothing is added. */
static void test_error_queue(void **state)
{
    struct ccs_pfx_params params = {NULL, CCS_PASSWORD_UNKNOWN, 2000000};
    struct ccs_der file = {0};
    struct ccs_pfx *pfx = NULL;
    unsigned long before;

    (void)state;
    make_file(&file, &(struct making){0}, pw);
    ERR_raise(ERR_LIB_USER, 42);
    before = ERR_peek_last_error();
    assert_int_equal(ccs_pkcs12_decode(file.data, file.len, &params, &pfx, NULL), CCS_EPASSWORD);
    assert_int_equal(ERR_peek_last_error(), before);
    assert_int_equal(ERR_get_error(), before);
    assert_int_equal(ERR_get_error(), 0);
    ccs_der_clear(&file);
}

static void test_legacy_names(void **state)
{
    unsigned flag;

    (void)state;
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_RC2_40), "RC2-40");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_RC2_128), "RC2-128");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_RC4), "RC4");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_DES), "DES");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_3DES), "3DES");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_MD5), "MD5");
    assert_string_equal(ccs_legacy_name(CCS_LEGACY_SHA1_MAC), "SHA1-MAC");
    for (flag = 1; flag <= CCS_LEGACY_OTHER; flag <<= 1)
        assert_non_null(ccs_legacy_name(flag));
    assert_null(ccs_legacy_name(0));
    assert_null(ccs_legacy_name(3));
    assert_null(ccs_legacy_name(1u << 31));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modern),
        cmocka_unit_test(test_encryptions),
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_mac_without_iterations),
        cmocka_unit_test(test_pbmac1),
        cmocka_unit_test(test_scrypt),
        cmocka_unit_test(test_no_mac),
        cmocka_unit_test(test_plain_parts),
        cmocka_unit_test(test_key_inside),
        cmocka_unit_test(test_ber),
        cmocka_unit_test(test_trailing),
        cmocka_unit_test(test_key_kinds),
        cmocka_unit_test(test_default_context_untouched),
        cmocka_unit_test(test_error_queue),
        cmocka_unit_test(test_legacy_names),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
