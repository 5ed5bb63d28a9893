/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in all their wrappings, OneAsymmetricKey among them. */
#include "pkcs12_kit.h"

#include <openssl/pkcs12.h>

#include "keyinfo.h"

static void expect_key(const struct ccs_der *der, EVP_PKEY *key)
{
    struct ccs_keyinfo info = {0};
    struct ccs_error err = {0};
    int rv = ccs_keyinfo_read(der->data, der->len, &info, &err);

    if (rv != CCS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(EVP_PKEY_eq(info.pkey, key), 1);
    check_key(&info.pkcs8, key);
    ccs_keyinfo_clear(&info);
    assert_null(info.pkey);
    ccs_keyinfo_clear(&info);
}

/* The private key's octets as they lie in PrivateKeyInfo, and the public key's bits. */
static void put_one_asymmetric_key(struct ccs_der *out, EVP_PKEY *key, int version, int attributes,
                                   int with_public)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    const unsigned char *octets;
    unsigned char *algorithm = NULL;
    uint8_t bits[200] = {0};
    size_t bits_len = sizeof(bits) - 1;
    const X509_ALGOR *alg;
    int len, alg_len;

    assert_non_null(info);
    assert_int_equal(PKCS8_pkey_get0(NULL, &octets, &len, &alg, info), 1);
    alg_len = i2d_X509_ALGOR(alg, &algorithm);
    assert_true(alg_len > 0);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_int(out, version);
    ccs_der_raw(out, algorithm, (size_t)alg_len);
    ccs_der_put(out, CCS_DER_OCTETS, octets, (size_t)len);
    if (attributes) {
        /* Windows says here what the key is for. */
        ccs_der_begin(out, CCS_DER_EXPLICIT);
        ccs_der_begin(out, CCS_DER_SEQUENCE);
        ccs_der_oid(out, "2.5.29.15");
        ccs_der_begin(out, CCS_DER_SET);
        ccs_der_put(out, CCS_DER_BITS, "\x00\x10", 2);
        ccs_der_end(out);
        ccs_der_end(out);
        ccs_der_end(out);
    }
    if (with_public) {
        if (EVP_PKEY_is_a(key, "EC"))
            assert_int_equal(
                EVP_PKEY_get_octet_string_param(key, "pub", bits + 1, bits_len, &bits_len), 1);
        else
            assert_int_equal(EVP_PKEY_get_raw_public_key(key, bits + 1, &bits_len), 1);
        ccs_der_put(out, CCS_DER_CONTEXT + 1, bits, bits_len + 1);
    }
    ccs_der_end(out);
    OPENSSL_free(algorithm);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void test_one_asymmetric_key(void **state)
{
    static const char *const kinds[] = {"ED25519", "ED448", "P-256"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        EVP_PKEY *key = ccs_certkit_key(kinds[i]);
        unsigned form;

        for (form = 0; form < 8; form++) {
            struct ccs_der der = {0};

            put_one_asymmetric_key(&der, key, form & 1, (form >> 1) & 1, (form >> 2) & 1);
            expect_key(&der, key);
            ccs_der_clear(&der);
        }
        EVP_PKEY_free(key);
    }
}

/* An EC key that leaves out its public half, or names its curve only outside: OpenSSL adds both. */
static void test_short_ec(void **state)
{
    EVP_PKEY *key = host()->key;
    struct ccs_der inner = {0}, outer = {0};
    uint8_t secret[32];
    BIGNUM *bn = NULL;

    (void)state;
    assert_int_equal(EVP_PKEY_get_bn_param(key, "priv", &bn), 1);
    assert_int_equal(BN_bn2binpad(bn, secret, 32), 32);
    ccs_der_begin(&inner, CCS_DER_SEQUENCE);
    ccs_der_int(&inner, 1);
    ccs_der_put(&inner, CCS_DER_OCTETS, secret, 32);
    ccs_der_end(&inner);
    ccs_der_begin(&outer, CCS_DER_SEQUENCE);
    ccs_der_int(&outer, 0);
    ccs_der_begin(&outer, CCS_DER_SEQUENCE);
    ccs_der_oid(&outer, "1.2.840.10045.2.1");
    ccs_der_oid(&outer, "1.2.840.10045.3.1.7");
    ccs_der_end(&outer);
    ccs_der_put(&outer, CCS_DER_OCTETS, inner.data, inner.len);
    ccs_der_end(&outer);
    expect_key(&outer, key);
    BN_clear_free(bn);
    ccs_der_clear(&inner);
    ccs_der_clear(&outer);
}

/* Octets behind the key, and BER instead of DER. */
static void test_untidy(void **state)
{
    struct ccs_der der = {0}, ber = {0};

    (void)state;
    ccs_pfxkit_info(&der, host()->key);
    ccs_der_to_ber(&ber, der.data, der.len);
    expect_key(&ber, host()->key);
    ccs_der_raw(&der, "tail", 4);
    expect_key(&der, host()->key);
    ccs_der_clear(&der);
    ccs_der_clear(&ber);
}

static void test_cut(void **state)
{
    struct ccs_keyinfo info = {0};
    struct ccs_error err;
    struct ccs_der der = {0};
    size_t len;

    (void)state;
    ccs_pfxkit_info(&der, host()->key);
    for (len = 0; len < der.len; len++) {
        assert_int_equal(ccs_keyinfo_read(der.data, len, &info, &err), CCS_EDAMAGED);
        assert_null(info.pkey);
        assert_null(info.pkcs8.data);
    }
    ERR_clear_error();
    ccs_der_clear(&der);
}

/* Parameters of any ASN.1 type are carried over or refused, and freed once. */
static void test_parameters(void **state)
{
    static const struct {
        const char *der;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\x05\x00", 2},
        {"\x01\x01\xff", 3},
        {"\x02\x01\x05", 3},
        {"\x06\x01\x2a", 3},
        {"\x30\x00", 2},
        {"\x04\x02xy", 4},
        {"\x80\x01x", 3},
        {"\x00\x02xy", 4}, /* the tag of an end of contents, with contents */
        {"\x0c\x01x", 3},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_keyinfo info = {0};
        struct ccs_der der = {0};
        struct ccs_error err;
        int rv;

        ccs_der_begin(&der, CCS_DER_SEQUENCE);
        ccs_der_int(&der, 0);
        ccs_der_begin(&der, CCS_DER_SEQUENCE);
        ccs_der_oid(&der, "1.2.840.10045.2.1");
        ccs_der_raw(&der, rows[i].der, rows[i].len);
        ccs_der_end(&der);
        ccs_der_put(&der, CCS_DER_OCTETS, "\x30\x03\x02\x01\x01", 5);
        ccs_der_end(&der);
        rv = ccs_keyinfo_read(der.data, der.len, &info, &err);
        assert_int_equal(rv, CCS_EDAMAGED);
        ccs_der_clear(&der);
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_asymmetric_key),
        cmocka_unit_test(test_short_ec),
        cmocka_unit_test(test_untidy),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
