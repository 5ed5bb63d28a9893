/* SPDX-License-Identifier: Apache-2.0 */
#include "mac.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "error.h"
#include "libctx.h"
#include "pkcs12.h"

#define OID_PBMAC1      "1.2.840.113549.1.5.14"
#define PBMAC1_KEY_MIN  20
#define PBMAC1_KEY_MAX  64
#define DIGEST_SIZE_MAX 64

static int damaged(const char *what, struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EDAMAGED,
                         "the file's MAC has %s: it is damaged, or was made to do harm; export it "
                         "again",
                         what);
}

/* Fetches a digest by OID. Those of the legacy provider are named as such where it is missing. */
static int fetch(const ASN1_OBJECT *object, EVP_MD **out, struct ccs_error *err)
{
    EVP_MD *md = NULL;
    char name[128];

    if (OBJ_obj2txt(name, sizeof(name), object, 1) > 0)
        md = EVP_MD_fetch(ccs_libctx(NULL), name, NULL);
    if (md) {
        *out = md;
        return CCS_OK;
    }
    ccs_asn1_name(object, name, sizeof(name));
    switch (OBJ_obj2nid(object)) {
    case NID_md4:
    case NID_mdc2:
    case NID_ripemd160:
    case NID_whirlpool:
        if (!ccs_libctx_has_legacy())
            return ccs_error_set(err, CCS_ELEGACY,
                                 "the file's MAC uses %s, which needs OpenSSL's legacy provider "
                                 "(legacy.so); install that, or export the file again with SHA-256",
                                 name);
        break;
    default:
        break;
    }
    return ccs_error_set(
        err, CCS_EUNSUPPORTED,
        "the file's MAC uses %s, which OpenSSL cannot do here; export it again with "
        "SHA-256",
        name);
}

static int fetch_hmac(const X509_ALGOR *algorithm, EVP_MD **out, struct ccs_error *err)
{
    const ASN1_OBJECT *object;
    char name[128];

    *out = ccs_kdf_hmac_digest(algorithm);
    if (*out)
        return CCS_OK;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    return ccs_error_set(
        err, CCS_EUNSUPPORTED,
        "the file's MAC uses %s, which OpenSSL cannot do here; export it again with "
        "HMAC-SHA-256",
        ccs_asn1_name(object, name, sizeof(name)));
}

static int init_pbmac1(struct ccs_mac *mac, const ASN1_TYPE *any, uint64_t limit,
                       struct ccs_error *err)
{
    struct ccs_asn1_pbmac1 *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(CCS_ASN1_PBMAC1), any);
    const ASN1_OBJECT *object;
    char name[128];
    int rv;

    if (!params)
        return damaged("parameters that do not decode", err);
    X509_ALGOR_get0(&object, NULL, NULL, params->kdf);
    if (OBJ_obj2nid(object) == NID_id_pbkdf2)
        rv = ccs_pbkdf2_init(&mac->pbkdf2, params->kdf->parameter, limit, err);
    else
        rv = ccs_error_set(err, CCS_EUNSUPPORTED,
                           "the file's MAC derives its key with %s, which is not supported; export "
                           "it again with PBKDF2",
                           ccs_asn1_name(object, name, sizeof(name)));
    /* RFC 9579 section 4: the length must be there; a short one would make the MAC guessable. */
    if (rv == CCS_OK &&
        (mac->pbkdf2.key_length < PBMAC1_KEY_MIN || mac->pbkdf2.key_length > PBMAC1_KEY_MAX))
        rv = damaged("a key length that is missing or out of bounds", err);
    if (rv == CCS_OK)
        rv = fetch_hmac(params->mac, &mac->md, err);
    mac->rounds = mac->pbkdf2.rounds;
    ASN1_item_free((ASN1_VALUE *)params, ASN1_ITEM_rptr(CCS_ASN1_PBMAC1));
    return rv;
}

static int init_pkcs12(struct ccs_mac *mac, const ASN1_OBJECT *object,
                       const struct ccs_asn1_mac *asn1, uint64_t limit, struct ccs_error *err)
{
    int rv;

    mac->pkcs12 = true;
    mac->salt = asn1->salt;
    mac->rounds = 1;
    if (asn1->iterations && !ccs_asn1_positive(asn1->iterations, &mac->rounds))
        return damaged("an iteration count that is no positive number", err);
    if (ASN1_STRING_length(mac->salt) > CCS_KDF_SALT_MAX)
        return damaged("a salt that is too long", err);
    rv = ccs_kdf_bound(mac->rounds, limit, err);
    if (rv == CCS_OK)
        rv = fetch(object, &mac->md, err);
    if (rv == CCS_OK && EVP_MD_is_a(mac->md, "SHA1"))
        mac->legacy = CCS_LEGACY_SHA1_MAC;
    else if (rv == CCS_OK && EVP_MD_is_a(mac->md, "MD5"))
        mac->legacy = CCS_LEGACY_MD5;
    return rv;
}

int ccs_mac_init(struct ccs_mac *mac, const struct ccs_asn1_mac *asn1, uint64_t limit,
                 struct ccs_error *err)
{
    const X509_ALGOR *algorithm;
    const ASN1_OBJECT *object;
    int rv, size;

    memset(mac, 0, sizeof(*mac));
    X509_SIG_get0(asn1->digest, &algorithm, &mac->expected);
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (ccs_asn1_is(object, OID_PBMAC1))
        rv = init_pbmac1(mac, algorithm->parameter, limit, err);
    else
        rv = init_pkcs12(mac, object, asn1, limit, err);
    if (rv == CCS_OK) {
        size = EVP_MD_get_size(mac->md);
        if (size <= 0 || size > DIGEST_SIZE_MAX || size != ASN1_STRING_length(mac->expected))
            rv = damaged("a value of the wrong length", err);
    }
    if (rv != CCS_OK)
        ccs_mac_clear(mac);
    return rv;
}

void ccs_mac_clear(struct ccs_mac *mac)
{
    ccs_pbkdf2_clear(&mac->pbkdf2);
    EVP_MD_free(mac->md);
    memset(mac, 0, sizeof(*mac));
}

int ccs_mac_check(const struct ccs_mac *mac, struct ccs_octets password,
                  const ASN1_OCTET_STRING *data)
{
    unsigned char key[DIGEST_SIZE_MAX], value[DIGEST_SIZE_MAX];
    size_t key_length, length = 0;
    int ok;

    if (mac->pkcs12) {
        key_length = (size_t)EVP_MD_get_size(mac->md);
        ok = ccs_kdf_pkcs12_mac(mac->md, password, mac->salt, mac->rounds, key);
    } else {
        key_length = (size_t)mac->pbkdf2.key_length;
        ok = ccs_pbkdf2_derive(&mac->pbkdf2, password, key, key_length);
    }
    if (ok)
        ok = EVP_Q_mac(ccs_libctx(NULL), "HMAC", NULL, EVP_MD_get0_name(mac->md), NULL, key,
                       key_length, ASN1_STRING_get0_data(data), (size_t)ASN1_STRING_length(data),
                       value, sizeof(value), &length) != NULL;
    OPENSSL_cleanse(key, sizeof(key));
    if (!ok)
        return CCS_ESSL;
    if (length != (size_t)ASN1_STRING_length(mac->expected) ||
        CRYPTO_memcmp(value, ASN1_STRING_get0_data(mac->expected), length) != 0)
        return CCS_EPASSWORD;
    return CCS_OK;
}
