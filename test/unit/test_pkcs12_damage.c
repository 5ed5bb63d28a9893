/* SPDX-License-Identifier: Apache-2.0 */
/* Files half written or broken: cut anywhere, changed anywhere, zeros for a tail. */
#include "pkcs12_kit.h"

#include <openssl/pkcs12.h>

static const struct ccs_pfxkit_password pw = {"pw", 2};

/* Cheap to decode, so that thousands of attempts are. */
static void make_quick(struct ccs_der *file)
{
    const struct ccs_pfxkit_pbe quick = {.iterations = 1};

    make_file(file, &(struct making){.certs = quick, .key = quick, .mac = {.claim = 1}}, pw);
}

static void make_open(struct ccs_der *ber, const struct ccs_der *der)
{
    ccs_der_to_ber(ber, der->data, der->len);
}

static struct outcome load_part(const struct ccs_der *file, size_t len)
{
    return load_with(file->data, len, "pw", CCS_PASSWORD_UNKNOWN, 2000000);
}

static void test_cut(void **state)
{
    struct ccs_der file = {0};
    struct outcome o;
    char have[60];
    size_t len;

    (void)state;
    make_quick(&file);
    o = load_part(&file, 0);
    assert_int_equal(o.rv, CCS_EINCOMPLETE);
    assert_non_null(strstr(o.err.text, "empty"));
    for (len = 1; len < file.len; len++) {
        o = load_part(&file, len);
        if (o.rv != CCS_EINCOMPLETE)
            fail_msg("cut at %zu: %s: %s", len, ccs_code_name(o.rv), o.err.text);
        snprintf(have, sizeof(have), len < 4 ? "have %zu bytes" : "have %zu of %zu bytes", len,
                 file.len);
        if (!strstr(o.err.text, have))
            fail_msg("cut at %zu: %s", len, o.err.text);
    }
    o = load_part(&file, file.len);
    assert_int_equal(o.rv, CCS_OK);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&file);
}

static void test_cut_ber(void **state)
{
    struct ccs_der file = {0}, ber = {0};
    struct outcome o;
    size_t len;

    (void)state;
    make_quick(&file);
    make_open(&ber, &file);
    for (len = 1; len < ber.len; len++) {
        o = load_part(&ber, len);
        if (o.rv != CCS_EINCOMPLETE)
            fail_msg("cut at %zu: %s: %s", len, ccs_code_name(o.rv), o.err.text);
    }
    o = load_part(&ber, ber.len);
    assert_int_equal(o.rv, CCS_OK);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&file);
    ccs_der_clear(&ber);
}

/* The room was reserved, the contents did not all arrive. */
static void test_zero_tail(void **state)
{
    struct ccs_der file = {0}, torn = {0};
    struct outcome o;
    size_t len;

    (void)state;
    make_quick(&file);
    for (len = 0; len + 8 < file.len; len++) {
        torn.len = 0;
        ccs_der_raw(&torn, file.data, file.len);
        memset(torn.data + len, 0, torn.len - len);
        o = load_part(&torn, torn.len);
        /* Within the first header the length itself is zero. */
        if (len < 4 && o.rv != CCS_OK)
            continue;
        if (o.rv != CCS_EDAMAGED || !strstr(o.err.text, "zero bytes"))
            fail_msg("zeros from %zu: %s: %s", len, ccs_code_name(o.rv), o.err.text);
    }
    ccs_der_clear(&torn);
    ccs_der_clear(&file);
}

/* A change of any octet is seen, or changes nothing that is used. */
static void test_any_octet(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    struct ccs_der file = {0};
    struct outcome o;
    size_t i, j;

    (void)state;
    make_quick(&file);
    for (i = 0; i < file.len; i++) {
        for (j = 0; j < sizeof(masks); j++) {
            file.data[i] ^= masks[j];
            o = load_part(&file, file.len);
            if (o.rv == CCS_OK) {
                check_cert(&o.pfx->pairs[0].leaf, host()->leaf);
                check_key(&o.pfx->pairs[0].key, host()->key);
            }
            ccs_pfx_free(o.pfx);
            file.data[i] ^= masks[j];
        }
    }
    ccs_der_clear(&file);
}

/* Without MAC and encryption nothing protects the file: still no crash, and never a wrong pair. */
static void test_any_octet_plain(void **state)
{
    struct ccs_der file = {0};
    struct outcome o;
    size_t i;

    (void)state;
    make_file(&file, &(struct making){.no_mac = 1, .plain_certs = 1, .plain_key = 1}, pw);
    for (i = 0; i < file.len; i++) {
        uint8_t mask = (uint8_t)(1u << i % 8);

        file.data[i] ^= mask;
        o = load_part(&file, file.len);
        if (o.rv == CCS_OK)
            check_key(&o.pfx->pairs[0].key, host()->key);
        ccs_pfx_free(o.pfx);
        file.data[i] ^= mask;
    }
    ccs_der_clear(&file);
}

/* A part that decodes as far as its MAC, but not inside. */
static void test_broken_inside(void **state)
{
    const struct ccs_pfxkit_pbe pbe = {.password = CCS_PFXKIT_PASSWORD("pw")};
    struct ccs_der bags = {0}, parts = {0}, file = {0};

    (void)state;
    ccs_der_raw(&bags, "\x02\x01\x05", 3);
    ccs_pfxkit_encrypted(&parts, &bags, &pbe);
    ccs_pfxkit_file(&file, &parts, &(struct ccs_pfxkit_mac){.password = pw});
    expect_refusal(&file, "pw", CCS_EDAMAGED, "does not decode");
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

/* Writers that get an attribute or an extra certificate wrong do not lose the file. */
static void test_odd_bags(void **state)
{
    static const uint8_t odd_bmp[] = {0x30, 0x10, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                      0x0d, 0x01, 0x09, 0x14, 0x31, 0x03, 0x1e, 0x01, 'x'};
    struct ccs_der bags = {0}, parts = {0}, file = {0}, attributes = {0}, value = {0};
    struct ccs_pfx *pfx;
    X509 *leaf = host()->leaf;
    unsigned char *der = NULL;
    int len = i2d_X509(leaf, &der);

    (void)state;
    assert_true(len > 0);
    /* friendlyName as a BMPString of odd length, localKeyID as an INTEGER. */
    ccs_der_begin(&attributes, CCS_DER_SET);
    ccs_der_raw(&attributes, odd_bmp, sizeof(odd_bmp));
    ccs_der_end(&attributes);
    ccs_der_begin(&value, CCS_DER_SEQUENCE);
    ccs_der_oid(&value, "1.2.840.113549.1.9.22.1");
    ccs_der_begin(&value, CCS_DER_EXPLICIT);
    ccs_der_put(&value, CCS_DER_OCTETS, der, (size_t)len);
    ccs_der_end(&value);
    ccs_der_end(&value);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.3", &value, &attributes);
    ccs_der_clear(&attributes);
    ccs_der_clear(&value);
    ccs_der_begin(&attributes, CCS_DER_SET);
    ccs_der_begin(&attributes, CCS_DER_SEQUENCE);
    ccs_der_oid(&attributes, "1.2.840.113549.1.9.21");
    ccs_der_begin(&attributes, CCS_DER_SET);
    ccs_der_int(&attributes, 1);
    ccs_der_end(&attributes);
    ccs_der_end(&attributes);
    ccs_der_end(&attributes);
    ccs_pfxkit_info(&value, host()->key);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.1", &value, &attributes);
    ccs_der_clear(&attributes);
    ccs_der_clear(&value);
    /* No SET at all where attributes belong, an SDSI certificate, a CRL, an unknown bag. */
    ccs_der_int(&attributes, 5);
    ccs_der_begin(&value, CCS_DER_SEQUENCE);
    ccs_der_oid(&value, "1.2.840.113549.1.9.22.2");
    ccs_der_begin(&value, CCS_DER_EXPLICIT);
    ccs_der_put(&value, 0x16, "sdsi", 4);
    ccs_der_end(&value);
    ccs_der_end(&value);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.3", &value, &attributes);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.4", &value, NULL);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.5", &value, NULL);
    ccs_pfxkit_bag(&bags, "1.2.3.4", &attributes, NULL);
    /* Extra certificates that are none, in four ways. */
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.3", &attributes, NULL);
    ccs_pfxkit_cert_octets(&bags, "rubbish", 7, NULL);
    ccs_pfxkit_cert_octets(&bags, "", 0, NULL);
    ccs_pfxkit_cert_octets(&bags, der, (size_t)len - 1, NULL);
    /* The leaf again with octets behind it: the same certificate. */
    der = OPENSSL_realloc(der, (size_t)len + 4);
    assert_non_null(der);
    memcpy(der + len, "tail", 4);
    ccs_pfxkit_cert_octets(&bags, der, (size_t)len + 4, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    pfx = expect_host(&file, NULL, 0);
    assert_int_equal(pfx->pair_count, 1);
    assert_int_equal(pfx->warnings, CCS_PFX_NO_MAC | CCS_PFX_BAD_CERT | CCS_PFX_NO_ISSUER);
    ccs_pfx_free(pfx);
    OPENSSL_free(der);
    ccs_der_clear(&attributes);
    ccs_der_clear(&value);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_cut_ber),
        cmocka_unit_test(test_zero_tail),
        cmocka_unit_test(test_any_octet),
        cmocka_unit_test(test_any_octet_plain),
        cmocka_unit_test(test_broken_inside),
        cmocka_unit_test(test_odd_bags),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
