/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first octet says what follows: a private key, the algorithm and value of a MAC (PBMAC1 among
 * them), or the parameters of an encryption.
 */

#include <openssl/x509.h>

#include "keyinfo.h"
#include "mac.h"
#include "pbe.h"
#include "pfx_input.h"

static const struct ccs_octets password = {"pw", 2};

static void try_key(const uint8_t *data, size_t size)
{
    struct ccs_keyinfo info = {0};
    struct ccs_error err = {0};
    int rv = ccs_keyinfo_read(data, size, &info, &err);

    if (rv == CCS_OK) {
        const unsigned char *p = info.pkcs8.data;
        PKCS8_PRIV_KEY_INFO *again = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)info.pkcs8.len);

        CHECK(info.pkey && again && p == info.pkcs8.data + info.pkcs8.len);
        PKCS8_PRIV_KEY_INFO_free(again);
    } else {
        CHECK(!info.pkey && !info.pkcs8.data);
        fuzz_check_refusal(rv, &err);
    }
    ccs_keyinfo_clear(&info);
}

static void try_mac(const uint8_t *data, size_t size)
{
    struct ccs_asn1_mac asn1 = {NULL, NULL, NULL};
    struct ccs_error err = {0};
    struct ccs_mac mac;
    int rv;

    asn1.digest = ccs_asn1_decode(ASN1_ITEM_rptr(X509_SIG), data, size);
    asn1.salt = ASN1_OCTET_STRING_new();
    CHECK(asn1.salt && ASN1_OCTET_STRING_set(asn1.salt, (const unsigned char *)"salt", 4) == 1);
    if (asn1.digest) {
        rv = ccs_mac_init(&mac, &asn1, FUZZ_LIMIT, &err);
        if (rv == CCS_OK) {
            CHECK(mac.rounds >= 1 && mac.rounds <= FUZZ_LIMIT);
            rv = ccs_mac_check(&mac, password, asn1.salt);
            CHECK(rv == CCS_OK || rv == CCS_EPASSWORD || rv == CCS_ESSL);
            ccs_mac_clear(&mac);
        } else {
            fuzz_check_refusal(rv, &err);
        }
    }
    X509_SIG_free(asn1.digest);
    ASN1_OCTET_STRING_free(asn1.salt);
}

static void try_pbe(const uint8_t *data, size_t size)
{
    const unsigned char *p = data;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &p, (long)size);
    ASN1_OCTET_STRING *in = ASN1_OCTET_STRING_new();
    struct ccs_plain plain = {NULL, 0};
    struct ccs_error err = {0};
    struct ccs_pbe pbe;
    int rv;

    CHECK(in && ASN1_OCTET_STRING_set(in, (const unsigned char *)"thirty-two octets of ciphertext!",
                                      32) == 1);
    if (algorithm) {
        rv = ccs_pbe_inspect(algorithm, FUZZ_LIMIT, &pbe, &err);
        if (rv == CCS_OK) {
            CHECK(pbe.rounds >= 1 && pbe.rounds <= FUZZ_LIMIT);
            rv = ccs_pbe_decrypt(algorithm, password, in, &plain);
            CHECK(rv == CCS_OK || rv == CCS_EPASSWORD);
            CHECK(rv == CCS_OK || !plain.data);
        } else {
            fuzz_check_refusal(rv, &err);
        }
    }
    ccs_pbe_clear(&plain);
    X509_ALGOR_free(algorithm);
    ASN1_OCTET_STRING_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    CHECK(ccs_libctx(NULL));
    switch (data[0] % 3) {
    case 0:
        try_key(data + 1, size - 1);
        break;
    case 1:
        try_mac(data + 1, size - 1);
        break;
    default:
        try_pbe(data + 1, size - 1);
    }
    ERR_clear_error();
    return 0;
}
