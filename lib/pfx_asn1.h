/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PFX_ASN1_H
#define CCS_PFX_ASN1_H

/*
 * The structures of RFC 7292, RFC 5958 and RFC 9579 as this library decodes them. OpenSSL's own
 * PKCS12 type hides the octets that a PBMAC1 covers, and its bags fail a whole file for one odd
 * attribute; here a bag's value and attributes stay raw until somebody wants them.
 */

#include <openssl/asn1.h>
#include <openssl/asn1t.h>
#include <openssl/pkcs7.h>
#include <openssl/safestack.h>
#include <openssl/x509.h>

struct ccs_asn1_mac {
    X509_SIG *digest; /* algorithm and value */
    ASN1_OCTET_STRING *salt;
    ASN1_INTEGER *iterations; /* NULL: 1 */
};

struct ccs_asn1_pfx {
    ASN1_INTEGER *version;
    PKCS7 *auth_safe;
    struct ccs_asn1_mac *mac; /* NULL: none */
};

/* The value of a bag is wiped when it is freed: it may be an unencrypted key. */
struct ccs_asn1_bag {
    ASN1_OBJECT *type;
    ASN1_TYPE *value;
    ASN1_TYPE *attributes; /* SET OF Attribute as it is encoded; NULL: none */
};
typedef struct ccs_asn1_bag CCS_ASN1_BAG;
DEFINE_STACK_OF(CCS_ASN1_BAG)

struct ccs_asn1_cert_bag {
    ASN1_OBJECT *type;
    ASN1_TYPE *value;
};

/* PrivateKeyInfo with version 0, OneAsymmetricKey with version 1. The key is wiped when freed. */
struct ccs_asn1_key {
    ASN1_INTEGER *version;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *key;
    STACK_OF(X509_ATTRIBUTE) *attributes;
    ASN1_BIT_STRING *public_key;
};

struct ccs_asn1_pbmac1 {
    X509_ALGOR *kdf;
    X509_ALGOR *mac;
};

DECLARE_ASN1_ITEM(CCS_ASN1_PFX)
DECLARE_ASN1_ITEM(CCS_ASN1_BAGS)       /* SEQUENCE OF bag */
DECLARE_ASN1_ITEM(CCS_ASN1_ATTRIBUTES) /* SET OF Attribute */
DECLARE_ASN1_ITEM(CCS_ASN1_CERT_BAG)
DECLARE_ASN1_ITEM(CCS_ASN1_KEY)
DECLARE_ASN1_ITEM(CCS_ASN1_PBMAC1)

/* What der starts with, new, or NULL. Octets after it are ignored, as writers leave some behind. */
void *ccs_asn1_decode(const ASN1_ITEM *item, const uint8_t *der, size_t len);

/* The same for an element kept raw; NULL for NULL, and for one that is no SEQUENCE or SET. */
void *ccs_asn1_decode_any(const ASN1_ITEM *item, const ASN1_TYPE *any);

/* 1 if integer is there and positive, which then goes to *out. */
int ccs_asn1_positive(const ASN1_INTEGER *integer, uint64_t *out);

/* 1 if object is the dotted OID. */
int ccs_asn1_is(const ASN1_OBJECT *object, const char *oid);

/* Name of an algorithm for a message: OpenSSL's name for it, or its OID. Returns dst. */
const char *ccs_asn1_name(const ASN1_OBJECT *object, char *dst, size_t size);

#endif
