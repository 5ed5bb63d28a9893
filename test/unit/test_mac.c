/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of a MAC that must be refused before anything is derived. */
#include "pkcs12_kit.h"

#include "libctx.h"
#include "mac.h"

#define SHA256 "2.16.840.1.101.3.4.2.1"
#define PBMAC1 "1.2.840.113549.1.5.14"
#define PBKDF2 "1.2.840.113549.1.5.12"
#define SCRYPT "1.3.6.1.4.1.11591.4.11"
#define HMAC   "1.2.840.113549.2.9"

/* DigestInfo: algorithm with these parameters, and a value of so many octets. */
static int init(const char *oid, const struct ccs_der *parameters, size_t value,
                struct ccs_error *err)
{
    static const uint8_t octets[100];
    struct ccs_asn1_mac asn1 = {NULL, ASN1_OCTET_STRING_new(), NULL};
    struct ccs_der der = {0};
    struct ccs_mac mac;
    int rv;

    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_oid(&der, oid);
    if (parameters)
        ccs_der_add(&der, parameters);
    ccs_der_end(&der);
    ccs_der_put(&der, CCS_DER_OCTETS, octets, value);
    ccs_der_end(&der);
    asn1.digest = ccs_asn1_decode(ASN1_ITEM_rptr(X509_SIG), der.data, der.len);
    assert_non_null(asn1.digest);
    assert_non_null(ccs_libctx(NULL));
    rv = ccs_mac_init(&mac, &asn1, 1000, err);
    if (rv == CCS_OK)
        ccs_mac_clear(&mac);
    else
        assert_null(mac.md);
    ERR_clear_error();
    X509_SIG_free(asn1.digest);
    ASN1_OCTET_STRING_free(asn1.salt);
    ccs_der_clear(&der);
    return rv;
}

static void expect(const char *oid, const struct ccs_der *parameters, size_t value, int code,
                   const char *needle)
{
    struct ccs_error err = {0};
    int rv = init(oid, parameters, value, &err);

    if (rv != code || !strstr(err.text, needle))
        fail_msg("%s: expected %s, got %s: %s", oid, ccs_code_name(code), ccs_code_name(rv),
                 err.text);
}

static void test_digests(void **state)
{
    (void)state;
    expect(SHA256, NULL, 32, CCS_OK, "");
    expect(SHA256, NULL, 31, CCS_EDAMAGED, "wrong length");
    expect(SHA256, NULL, 0, CCS_EDAMAGED, "wrong length");
    expect("1.2.643.7.1.1.2.2", NULL, 32, CCS_EUNSUPPORTED, "GOST");
    expect("1.2.643.2.2.9", NULL, 32, CCS_EUNSUPPORTED, "GOST");
    expect("1.2.3.4", NULL, 32, CCS_EUNSUPPORTED, "1.2.3.4");
    expect("1.2.840.113549.2.2", NULL, 16, CCS_EUNSUPPORTED, "md2");
}

struct pbmac1 {
    const char *kdf, *mac;
    int64_t iterations, key_length;
    size_t salt;
};

static void expect_pbmac1(const struct pbmac1 *p, int code, const char *needle)
{
    static const uint8_t salt[2000];
    struct ccs_der der = {0};

    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_oid(&der, p->kdf);
    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_put(&der, CCS_DER_OCTETS, salt, p->salt);
    ccs_der_int(&der, p->iterations);
    if (p->key_length)
        ccs_der_int(&der, p->key_length);
    ccs_der_end(&der);
    ccs_der_end(&der);
    ccs_der_begin(&der, CCS_DER_SEQUENCE);
    ccs_der_oid(&der, p->mac);
    ccs_der_end(&der);
    ccs_der_end(&der);
    expect(PBMAC1, &der, 32, code, needle);
    ccs_der_clear(&der);
}

static void test_pbmac1(void **state)
{
    struct ccs_der empty = {0};

    (void)state;
    expect(PBMAC1, NULL, 32, CCS_EDAMAGED, "do not decode");
    ccs_der_put(&empty, CCS_DER_SEQUENCE, NULL, 0);
    expect(PBMAC1, &empty, 32, CCS_EDAMAGED, "do not decode");
    ccs_der_clear(&empty);
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 32, 8}, CCS_OK, "");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 20, 1024}, CCS_OK, "");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 64, 0}, CCS_OK, "");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1001, 32, 8}, CCS_EROUNDS, "1001 rounds");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 0, 32, 8}, CCS_EDAMAGED, "no sense");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, -1, 32, 8}, CCS_EDAMAGED, "no sense");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 0, 8}, CCS_EDAMAGED, "key length");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 19, 8}, CCS_EDAMAGED, "key length");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 65, 8}, CCS_EDAMAGED, "no sense");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, INT64_MAX, 8}, CCS_EDAMAGED, "no sense");
    expect_pbmac1(&(struct pbmac1){PBKDF2, HMAC, 1000, 32, 1025}, CCS_EDAMAGED, "no sense");
    expect_pbmac1(&(struct pbmac1){SCRYPT, HMAC, 1000, 32, 8}, CCS_EUNSUPPORTED, "derives its key");
    expect_pbmac1(&(struct pbmac1){PBKDF2, SHA256, 1000, 32, 8}, CCS_EUNSUPPORTED, "sha256");
    expect_pbmac1(&(struct pbmac1){PBKDF2, "1.2.3.4", 1000, 32, 8}, CCS_EUNSUPPORTED, "1.2.3.4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_pbmac1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
