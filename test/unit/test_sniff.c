/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are no PKCS#12: each is called by its name. */
#include "pkcs12_kit.h"

#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "sniff.h"

static void expect_octets(const void *data, size_t len, int code, const char *needle)
{
    struct ccs_der file = {0};

    ccs_der_raw(&file, data, len);
    expect_refusal(&file, NULL, code, needle);
    ccs_der_clear(&file);
}

static void expect_text(const char *text, const char *needle)
{
    expect_octets(text, strlen(text), CCS_EFORMAT, needle);
}

static void test_magic(void **state)
{
    (void)state;
    expect_octets("", 0, CCS_EINCOMPLETE, "empty");
    expect_octets("\xfe\xed\xfe\xed\x00\x00\x00\x02", 8, CCS_EFORMAT, "JKS");
    expect_octets("\xce\xce\xce\xce\x00\x00\x00\x02", 8, CCS_EFORMAT, "JCEKS");
    expect_octets("PK\x03\x04\x14\x00", 6, CCS_EFORMAT, "ZIP");
    expect_octets("PK\x05\x06\x00\x00", 6, CCS_EFORMAT, "ZIP");
    expect_octets("\x1f\x8b\x08\x00", 4, CCS_EFORMAT, "gzip");
    expect_octets("\xff\xfe-\0-\0-\0", 8, CCS_EFORMAT, "UTF-16");
    expect_octets("\x7f"
                  "ELF\x02\x01",
                  6, CCS_EFORMAT, "program");
    expect_octets("%PDF-1.7", 8, CCS_EFORMAT, "PDF");
    expect_octets("\x00\x01\x02\x03\x04", 5, CCS_EFORMAT, "no known kind");
    expect_octets("\x02\x01\x03", 3, CCS_EFORMAT, "no known kind");
    expect_octets("\0\0\0\0\0\0\0\0\0\0", 10, CCS_EDAMAGED, "10 zero bytes");
    expect_octets("\0", 1, CCS_EDAMAGED, "1 zero bytes");
}

static void test_text(void **state)
{
    (void)state;
    expect_text("-----BEGIN CERTIFICATE-----\nMIIB\n", "PEM text");
    expect_text("\xef\xbb\xbf-----BEGIN CERTIFICATE-----\nMIIB\n", "PEM text");
    expect_text("Bag Attributes\n    localKeyID: 01\n-----BEGIN PRIVATE KEY-----\n", "PEM text");
    expect_text("-----BEGIN PKCS12-----\nMIIB\n", "wrapped in PEM");
    expect_text("MIIKZQIBAzCCCisGCSqGSIb3DQEHAaCCChwEggoYMIIKFDCC", "base64");
    expect_text("MIIKZQIBAzCCCisGCSqGSIb3DQEHAaCC\r\nChwEggoYMIIKFDCC\r\n", "base64");
    expect_text("<!DOCTYPE html><html><body>404", "HTML");
    expect_text("\r\n  <html>", "HTML");
    expect_text("<?xml version=\"1.0\"?><Error/>", "XML");
    expect_text("<", "HTML");
    expect_text("certificate goes here", "plain text");
    expect_text("Pr\xc3\xbc"
                "fung",
                "plain text");
    expect_text("0 is the tag of a SEQUENCE as well", "plain text");
    expect_text("   ", "plain text");
    expect_text("\n", "plain text");
    expect_text("x", "plain text");
}

/* A '0' and little more may be the beginning of a PFX. */
static void test_short_sequence(void **state)
{
    (void)state;
    expect_octets("0", 1, CCS_EINCOMPLETE, "incomplete");
    expect_octets("0123456789", 10, CCS_EINCOMPLETE, "incomplete");
}

static void expect_der(unsigned char *der, int len, int code, const char *needle)
{
    assert_true(len > 0);
    expect_octets(der, (size_t)len, code, needle);
    OPENSSL_free(der);
}

static void test_der(void **state)
{
    const struct host *h = host();
    EVP_PKEY *rsa = ccs_certkit_key("RSA:1024");
    unsigned char *der = NULL;
    X509_REQ *request = X509_REQ_new();
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(h->key);
    X509_SIG *shrouded;
    X509 *old = X509_dup(h->stranger);
    int len;

    (void)state;
    assert_true(request && info && old);
    len = i2d_X509(h->leaf, &der);
    expect_der(der, len, CCS_EFORMAT, "bare certificate");
    der = NULL;
    assert_int_equal(X509_set_version(old, X509_VERSION_1), 1);
    while (X509_get_ext_count(old) > 0)
        X509_EXTENSION_free(X509_delete_ext(old, 0));
    assert_true(X509_sign(old, h->other_key, EVP_sha256()) > 0);
    len = i2d_X509(old, &der);
    expect_der(der, len, CCS_EFORMAT, "bare certificate");
    der = NULL;
    assert_int_equal(X509_REQ_set_pubkey(request, h->key), 1);
    assert_true(X509_REQ_sign(request, h->key, EVP_sha256()) > 0);
    len = i2d_X509_REQ(request, &der);
    expect_der(der, len, CCS_EFORMAT, "certificate request");
    der = NULL;
    len = i2d_PrivateKey(h->key, &der);
    expect_der(der, len, CCS_EFORMAT, "bare key");
    der = NULL;
    len = i2d_PrivateKey(rsa, &der);
    expect_der(der, len, CCS_EFORMAT, "bare key");
    der = NULL;
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    expect_der(der, len, CCS_EFORMAT, "bare key");
    der = NULL;
    shrouded = PKCS8_encrypt(-1, EVP_aes_256_cbc(), "x", 1, NULL, 0, 10, info);
    assert_non_null(shrouded);
    len = i2d_X509_SIG(shrouded, &der);
    expect_der(der, len, CCS_EFORMAT, "encrypted key");
    X509_SIG_free(shrouded);
    X509_REQ_free(request);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_free(old);
    EVP_PKEY_free(rsa);
}

static void test_other_sequences(void **state)
{
    static const uint8_t p7b[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                  0xf7, 0x0d, 0x01, 0x07, 0x02, 0x05, 0x00};

    (void)state;
    expect_octets(p7b, sizeof(p7b), CCS_EFORMAT, "PKCS#7");
    expect_octets("\x30\x00", 2, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x03\x02\x01\x03", 5, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x05\x02\x01\x03\x30\x00", 7, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x04\x30\x02\x05\x00", 6, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x02\x30\x00", 4, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x05\x30\x03\x02\x01\x05", 7, CCS_EDAMAGED, "does not decode");
    expect_octets("\x30\x82\x00\x02\x05\x00", 6, CCS_EDAMAGED, "does not decode");
}

static void test_zeros(void **state)
{
    (void)state;
    assert_int_equal(ccs_sniff_zeros((const uint8_t *)"", 0), 0);
    assert_int_equal(ccs_sniff_zeros((const uint8_t *)"\0", 1), 1);
    assert_int_equal(ccs_sniff_zeros((const uint8_t *)"a\0\0", 3), 2);
    assert_int_equal(ccs_sniff_zeros((const uint8_t *)"\0\0a", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_magic),           cmocka_unit_test(test_text),
        cmocka_unit_test(test_short_sequence),  cmocka_unit_test(test_der),
        cmocka_unit_test(test_other_sequences), cmocka_unit_test(test_zeros),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
