/* SPDX-License-Identifier: Apache-2.0 */
#include "keyinfo.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "decode.h"
#include "error.h"
#include "pfx_asn1.h"

#define RSA_BITS_MIN                                                                               \
    1024 /* below it OpenSSL's lowest usual security level refuses, and so do clients */

static int damaged(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EDAMAGED,
                         "the file's key does not decode; it is damaged: export it again");
}

/* Version 0 without attributes is what every reader takes; OpenSSL 3.0 takes nothing else. */
static PKCS8_PRIV_KEY_INFO *rebuild(const struct ccs_asn1_key *key)
{
    PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    X509_ALGOR *algorithm = X509_ALGOR_dup(key->algorithm);
    int len = ASN1_STRING_length(key->key);
    unsigned char *octets = len > 0 ? OPENSSL_memdup(ASN1_STRING_get0_data(key->key), (size_t)len)
                                    : NULL;
    const ASN1_OBJECT *object;
    ASN1_OBJECT *copy = NULL;
    int ok = 0;

    if (info && algorithm && octets) {
        ASN1_TYPE *parameter = algorithm->parameter;
        int type = parameter ? parameter->type : V_ASN1_UNDEF;
        void *value = parameter ? parameter->value.ptr : NULL;

        X509_ALGOR_get0(&object, NULL, NULL, algorithm);
        copy = OBJ_dup(object);
        /* A boolean is no pointer, and one of type 0 would be left to nobody. */
        if (copy && type != V_ASN1_BOOLEAN && type != V_ASN1_EOC)
            ok = PKCS8_pkey_set0(info, copy, 0, type, value, octets, len);
        if (ok && parameter) {
            /* The value belongs to info now, its shell still to algorithm. */
            parameter->type = V_ASN1_NULL;
            parameter->value.ptr = NULL;
        }
    }
    if (!ok) {
        ASN1_OBJECT_free(copy);
        OPENSSL_clear_free(octets, len > 0 ? (size_t)len : 0);
        PKCS8_PRIV_KEY_INFO_free(info);
        info = NULL;
    }
    X509_ALGOR_free(algorithm);
    return info;
}

static int encode(const PKCS8_PRIV_KEY_INFO *info, struct ccs_blob *out)
{
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, NULL);
    unsigned char *p;

    if (len <= 0)
        return CCS_EDAMAGED;
    out->data = malloc((size_t)len);
    if (!out->data)
        return CCS_ENOMEM;
    p = out->data;
    out->len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &p);
    return CCS_OK;
}

static int judge(const EVP_PKEY *pkey, struct ccs_error *err)
{
    static const char *const usable[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"};
    int bits = EVP_PKEY_get_bits(pkey);
    const char *name = EVP_PKEY_get0_type_name(pkey);
    size_t i;

    for (i = 0; i < CCS_ARRAY_LEN(usable); i++)
        if (EVP_PKEY_is_a(pkey, usable[i]))
            break;
    if (i == CCS_ARRAY_LEN(usable))
        return ccs_error_set(err, CCS_EKEYUSE,
                             "the file's key is of kind %s, which no TLS server can use; issue the "
                             "certificate for an RSA or ECDSA key",
                             name ? name : "unknown");
    if (i < 2 && bits < RSA_BITS_MIN)
        return ccs_error_set(
            err, CCS_EKEYUSE,
            "the file's RSA key has only %d bits, which no TLS client accepts; issue "
            "the certificate for one of 2048 bits or more",
            bits);
    return CCS_OK;
}

static int load(const struct ccs_asn1_key *key, struct ccs_keyinfo *out, struct ccs_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = rebuild(key);
    const ASN1_OBJECT *object;
    char name[128];
    int rv;

    if (!info)
        return damaged(err);
    rv = encode(info, &out->pkcs8);
    if (rv != CCS_OK) {
        PKCS8_PRIV_KEY_INFO_free(info);
        return ccs_error_set(err, rv, "no memory to encode the file's key");
    }
    out->pkey = ccs_decode_key(&out->pkcs8, info);
    if (out->pkey) {
        rv = judge(out->pkey, err);
    } else {
        X509_ALGOR_get0(&object, NULL, NULL, key->algorithm);
        switch (OBJ_obj2nid(object)) {
        case NID_rsaEncryption:
        case NID_rsassaPss:
        case NID_X9_62_id_ecPublicKey:
        case NID_ED25519:
        case NID_ED448:
            rv = damaged(err);
            break;
        default:
            rv = ccs_error_set(err, CCS_EUNSUPPORTED,
                               "the file's key is of kind %s, which OpenSSL does not know here; "
                               "issue the certificate for an RSA or ECDSA key",
                               ccs_asn1_name(object, name, sizeof(name)));
        }
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return rv;
}

int ccs_keyinfo_read(const uint8_t *der, size_t len, struct ccs_keyinfo *out, struct ccs_error *err)
{
    struct ccs_asn1_key *key = ccs_asn1_decode(ASN1_ITEM_rptr(CCS_ASN1_KEY), der, len);
    struct ccs_keyinfo made = {0};
    int64_t version;
    int rv;

    if (!key || ASN1_INTEGER_get_int64(&version, key->version) != 1 || version < 0 || version > 1)
        rv = damaged(err);
    else
        rv = load(key, &made, err);
    ASN1_item_free((ASN1_VALUE *)key, ASN1_ITEM_rptr(CCS_ASN1_KEY));
    if (rv == CCS_OK)
        *out = made;
    else
        ccs_keyinfo_clear(&made);
    return rv;
}

void ccs_keyinfo_clear(struct ccs_keyinfo *info)
{
    EVP_PKEY_free(info->pkey);
    ccs_wipe(info->pkcs8.data, info->pkcs8.len);
    free(info->pkcs8.data);
    memset(info, 0, sizeof(*info));
}
