/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as published and as OpenSSL derives them, and that a thread gives way while it does. */
#include "pkcs12_kit.h"

#include <sched.h>

#include <openssl/pkcs12.h>

#include "companion.h"
#include "kdf.h"
#include "libctx.h"

static const char oid_sha1[] = "1.2.840.113549.2.7", oid_sha256[] = "1.2.840.113549.2.9";

static int yields;

/* In place of the C library's. */
int sched_yield(void)
{
    yields++;
    return 0;
}

struct parameters {
    const char *prf; /* NULL: not said */
    const char *salt;
    size_t salt_len;
    int64_t rounds, key_length; /* 0: no key length */
    int odd_salt;               /* not given as octets */
};

static int init(const struct parameters *m, uint64_t limit, struct ccs_pbkdf2 *out,
                struct ccs_error *err)
{
    struct ccs_der der = {0};
    const unsigned char *p;
    ASN1_TYPE *any;
    int rv;

    assert_non_null(ccs_libctx(NULL));
    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    if (m->odd_salt)
        ccs_der_int(&der, 5);
    else
        ccs_der_put(&der, CCS_DER_OCTETS, m->salt, m->salt_len);
    ccs_der_int(&der, m->rounds);
    if (m->key_length)
        ccs_der_int(&der, m->key_length);
    if (m->prf) {
        ccs_der_begin(&der, CCS_DER_SEQUENCE);
        ccs_der_oid(&der, m->prf);
        ccs_der_end(&der);
    }
    ccs_der_end(&der);
    p = der.data;
    any = d2i_ASN1_TYPE(NULL, &p, (long)der.len);
    assert_non_null(any);
    rv = ccs_pbkdf2_init(out, any, limit, err);
    ASN1_TYPE_free(any);
    ccs_der_clear(&der);
    return rv;
}

static void expect_key(const unsigned char *key, size_t len, const char *hex)
{
    char text[2 * CCS_KDF_KEY_MAX + 1];

    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", key[i]);
    assert_string_equal(text, hex);
}

static void test_pbkdf2_vectors(void **state)
{
    /* RFC 6070, and section 11 of RFC 7914. */
    static const struct {
        const char *password;
        size_t password_len;
        struct parameters making;
        size_t len;
        const char *key;
    } rows[] = {
        {"password", 8, {NULL, "salt", 4, 1, 0, 0}, 20, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
        {"password",
         8,
         {oid_sha1, "salt", 4, 2, 0, 0},
         20,
         "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
        {"password",
         8,
         {oid_sha1, "salt", 4, 4096, 20, 0},
         20,
         "4b007901b765489abead49d926f721d065a429c1"},
        {"passwordPASSWORDpassword",
         24,
         {oid_sha1, "saltSALTsaltSALTsaltSALTsaltSALTsalt", 36, 4096, 0, 0},
         25,
         "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
        {"pass\0word",
         9,
         {oid_sha1, "sa\0lt", 5, 4096, 0, 0},
         16,
         "56fa6aa75548099dcc37d7f03425e0c3"},
        {"passwd",
         6,
         {oid_sha256, "salt", 4, 1, 64, 0},
         64,
         "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
         "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"},
        {"Password",
         8,
         {oid_sha256, "NaCl", 4, 80000, 0, 0},
         64,
         "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
         "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ccs_octets password = {rows[i].password, (int)rows[i].password_len};
        unsigned char key[CCS_KDF_KEY_MAX];
        struct ccs_pbkdf2 kdf;

        assert_int_equal(init(&rows[i].making, 80000, &kdf, NULL), CCS_OK);
        assert_int_equal(kdf.rounds, rows[i].making.rounds);
        assert_int_equal(kdf.key_length, rows[i].making.key_length);
        assert_true(ccs_pbkdf2_derive(&kdf, password, key, rows[i].len));
        expect_key(key, rows[i].len, rows[i].key);
        ccs_pbkdf2_clear(&kdf);
    }
}

/* Passwords and salts around the sizes of blocks, keys around those of digests. */
static void test_pbkdf2_like_openssl(void **state)
{
    static const struct {
        const char *prf, *digest;
    } digests[] = {
        {"1.2.840.113549.2.6", "MD5"},         {oid_sha1, "SHA1"},
        {"1.2.840.113549.2.8", "SHA224"},      {oid_sha256, "SHA256"},
        {"1.2.840.113549.2.10", "SHA384"},     {"1.2.840.113549.2.11", "SHA512"},
        {"1.2.840.113549.2.12", "SHA512-224"}, {"1.2.840.113549.2.13", "SHA512-256"},
    };
    static const size_t passwords[] = {0, 1, 63, 64, 65, 127, 128, 129, 300};
    static const size_t salts[] = {0, 8, 60, 1024};
    static const int rounds[] = {1, 2, 127, 128, 129, 300};
    char text[300], salt[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7);
    for (size_t i = 0; i < sizeof(salt); i++)
        salt[i] = (char)(i * 11);
    for (size_t i = 0; i < 8 * 9 * 4 * 6; i++) {
        const size_t d = i % 8, p = i / 8 % 9, s = i / 72 % 4, r = i / 288;
        const struct parameters making = {digests[d].prf, salt, salts[s], rounds[r], 0, 0};
        const size_t len = 1 + i * 13 % 64;
        unsigned char expected[64], key[64];
        struct ccs_pbkdf2 kdf;

        assert_int_equal(init(&making, 1000, &kdf, NULL), CCS_OK);
        assert_int_equal(PKCS5_PBKDF2_HMAC(text, (int)passwords[p], (const unsigned char *)salt,
                                           (int)salts[s], rounds[r],
                                           EVP_get_digestbyname(digests[d].digest), (int)len,
                                           expected),
                         1);
        assert_true(
            ccs_pbkdf2_derive(&kdf, (struct ccs_octets){text, (int)passwords[p]}, key, len));
        if (memcmp(key, expected, len) != 0)
            fail_msg("%s, %zu octets of password, %zu of salt, %d rounds", digests[d].digest,
                     passwords[p], salts[s], rounds[r]);
        ccs_pbkdf2_clear(&kdf);
    }
}

/* Such as other implementations test themselves with. */
static void test_pkcs12_vectors(void **state)
{
    static const struct {
        const char *password, *salt;
        uint64_t rounds;
        const char *key;
    } rows[] = {
        {"smeg", "\x3d\x83\xc0\xe4\x54\x6a\xc1\x40", 1, "8d967d88f6caa9d714800ab3d48051d63f73a312"},
        {"queeg", "\x26\x32\x16\xfc\xc2\xfa\xb3\x1c", 1000,
         "5ec4c7a80df652294c3925b6489a7ab857c83476"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ccs_octets password = {rows[i].password, (int)strlen(rows[i].password)};
        ASN1_OCTET_STRING *salt = ASN1_OCTET_STRING_new();
        unsigned char key[20];

        assert_int_equal(ASN1_OCTET_STRING_set(salt, (const unsigned char *)rows[i].salt, 8), 1);
        assert_true(ccs_kdf_pkcs12_mac(EVP_sha1(), password, salt, rows[i].rounds, key));
        expect_key(key, sizeof(key), rows[i].key);
        ASN1_OCTET_STRING_free(salt);
    }
}

/* Digests with blocks of all sizes, passwords of all kinds: beyond UTF-16's first plane, no UTF-8.
 */
static void test_pkcs12_like_openssl(void **state)
{
    static const char *const digests[] = {"MD5",    "SHA1",     "SHA224",   "SHA256", "SHA384",
                                          "SHA512", "SHA3-224", "SHA3-512", "SM3",    "SHA512-256"};
    static const struct ccs_octets passwords[] = {
        {NULL, 0},
        {"", 0},
        {"pw", 2},
        {"p\xc3\xa4\xc3\x9f\xf0\x9f\x94\x91", 9},
        {"\xe4\xff", 2},
        {"thirty-one octets, and two of 0", 31},
        {"thirty-two octets, and two of 0s", 32},
        {"a password that is longer than the longest block of any digest that there is, by far",
         84},
    };
    static const size_t salts[] = {1, 8, 64, 65, 1024};
    static const int rounds[] = {1, 2, 128, 129, 300};
    unsigned char octets[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (unsigned char)(i * 11);
    for (size_t i = 0; i < 10 * 8 * 5 * 5; i++) {
        const size_t d = i % 10, p = i / 10 % 8, s = i / 80 % 5, r = i / 400;
        EVP_MD *digest = EVP_MD_fetch(ccs_libctx(NULL), digests[d], NULL);
        ASN1_OCTET_STRING *salt = ASN1_OCTET_STRING_new();
        unsigned char expected[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE];
        int size;

        assert_non_null(digest);
        size = EVP_MD_get_size(digest);
        assert_int_equal(ASN1_OCTET_STRING_set(salt, octets, (int)salts[s]), 1);
        assert_int_equal(PKCS12_key_gen_utf8_ex(passwords[p].data, passwords[p].len, octets,
                                                (int)salts[s], PKCS12_MAC_ID, rounds[r], size,
                                                expected, digest, ccs_libctx(NULL), NULL),
                         1);
        assert_true(ccs_kdf_pkcs12_mac(digest, passwords[p], salt, (uint64_t)rounds[r], key));
        if (memcmp(key, expected, (size_t)size) != 0)
            fail_msg("%s, password %zu, %zu octets of salt, %d rounds", digests[d], p, salts[s],
                     rounds[r]);
        ASN1_OCTET_STRING_free(salt);
        EVP_MD_free(digest);
    }
}

static void test_refused(void **state)
{
    static const char salt[CCS_KDF_SALT_MAX + 1];
    static const struct {
        struct parameters making;
        int code;
        const char *needle;
    } rows[] = {
        {{NULL, salt, 8, 1001, 0, 0}, CCS_EROUNDS, "1001 rounds"},
        {{NULL, salt, 8, 0, 0, 0}, CCS_EDAMAGED, "no sense"},
        {{NULL, salt, 8, -1, 0, 0}, CCS_EDAMAGED, "no sense"},
        {{NULL, salt, sizeof(salt), 1000, 0, 0}, CCS_EDAMAGED, "no sense"},
        {{NULL, salt, 8, 1000, CCS_KDF_KEY_MAX + 1, 0}, CCS_EDAMAGED, "no sense"},
        {{NULL, salt, 8, 1000, -1, 0}, CCS_EDAMAGED, "no sense"},
        {{NULL, salt, 8, 1000, 0, 1}, CCS_EDAMAGED, "no sense"},
        {{"1.2.3.4", salt, 8, 1000, 0, 0}, CCS_EUNSUPPORTED, "1.2.3.4"},
        {{"1.2.643.7.1.1.4.1", salt, 8, 1000, 0, 0}, CCS_EUNSUPPORTED, "GOST"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_error err = {0};
        struct ccs_pbkdf2 kdf;
        int rv = init(&rows[i].making, 1000, &kdf, &err);

        if (rv != rows[i].code || !strstr(err.text, rows[i].needle))
            fail_msg("row %zu: %s: %s", i, ccs_code_name(rv), err.text);
        assert_null(kdf.params);
        assert_null(kdf.digest);
    }
    ERR_clear_error();
}

struct derivation {
    const struct ccs_pbkdf2 *kdf;
    const ASN1_OCTET_STRING *salt;
    unsigned char pbkdf2[32], pkcs12[32];
};

static int derive(void *arg)
{
    const struct ccs_octets password = {"pw", 2};
    struct derivation *d = arg;

    return ccs_pbkdf2_derive(d->kdf, password, d->pbkdf2, sizeof(d->pbkdf2)) &&
           ccs_kdf_pkcs12_mac(EVP_sha256(), password, d->salt, 10000, d->pkcs12);
}

static void test_gives_way(void **state)
{
    static const struct parameters making = {oid_sha256, "salt", 4, 10000, 0, 0};
    struct derivation by_itself = {0}, handed_over = {0};
    struct ccs_thread_priority priority;
    struct ccs_companion *companion;
    struct ccs_pbkdf2 kdf;

    (void)state;
    assert_int_equal(init(&making, 10000, &kdf, NULL), CCS_OK);
    by_itself.kdf = handed_over.kdf = &kdf;
    by_itself.salt = handed_over.salt = kdf.params->salt->value.octet_string;
    companion = ccs_companion_start(&priority);
    assert_non_null(companion);

    /* A thread that has no companion does everything at one go. */
    yields = 0;
    assert_true(ccs_companion_call(derive, &by_itself));
    assert_int_equal(yields, 0);

    ccs_companion_use(companion);
    assert_true(ccs_companion_call(derive, &handed_over));
    assert_in_range(yields, 2 * 10, 2 * 1000);
    ccs_companion_use(NULL);

    assert_memory_equal(by_itself.pbkdf2, handed_over.pbkdf2, sizeof(by_itself.pbkdf2));
    assert_memory_equal(by_itself.pkcs12, handed_over.pkcs12, sizeof(by_itself.pkcs12));
    ccs_companion_end(companion);
    ccs_pbkdf2_clear(&kdf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pbkdf2_vectors), cmocka_unit_test(test_pbkdf2_like_openssl),
        cmocka_unit_test(test_pkcs12_vectors), cmocka_unit_test(test_pkcs12_like_openssl),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_gives_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
