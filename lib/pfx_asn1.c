/* SPDX-License-Identifier: Apache-2.0 */
#include "pfx_asn1.h"

#include <limits.h>
#include <string.h>

#include <openssl/objects.h>

#include "secret.h"

typedef struct ccs_asn1_mac CCS_ASN1_MAC;
typedef struct ccs_asn1_pfx CCS_ASN1_PFX;
typedef struct ccs_asn1_cert_bag CCS_ASN1_CERT_BAG;
typedef struct ccs_asn1_key CCS_ASN1_KEY;
typedef struct ccs_asn1_pbmac1 CCS_ASN1_PBMAC1;

static void wipe_string(ASN1_STRING *string)
{
    if (string && string->data && string->length > 0)
        ccs_wipe(string->data, (size_t)string->length);
}

static int bag_event(int operation, ASN1_VALUE **value, const ASN1_ITEM *item, void *arg)
{
    struct ccs_asn1_bag *bag = (struct ccs_asn1_bag *)(void *)*value;

    (void)item;
    (void)arg;
    if (operation == ASN1_OP_FREE_PRE && bag && bag->value) {
        switch (bag->value->type) {
        case V_ASN1_BOOLEAN:
        case V_ASN1_NULL:
        case V_ASN1_OBJECT:
            break;
        default:
            wipe_string(bag->value->value.asn1_string);
        }
    }
    return 1;
}

static int key_event(int operation, ASN1_VALUE **value, const ASN1_ITEM *item, void *arg)
{
    struct ccs_asn1_key *key = (struct ccs_asn1_key *)(void *)*value;

    (void)item;
    (void)arg;
    if (operation == ASN1_OP_FREE_PRE && key)
        wipe_string(key->key);
    return 1;
}

ASN1_SEQUENCE(CCS_ASN1_MAC) =
    {
        ASN1_SIMPLE(CCS_ASN1_MAC, digest, X509_SIG),
        ASN1_SIMPLE(CCS_ASN1_MAC, salt, ASN1_OCTET_STRING),
        ASN1_OPT(CCS_ASN1_MAC, iterations, ASN1_INTEGER),
} static_ASN1_SEQUENCE_END(CCS_ASN1_MAC)

        ASN1_SEQUENCE(CCS_ASN1_PFX) =
            {
                ASN1_SIMPLE(CCS_ASN1_PFX, version, ASN1_INTEGER),
                ASN1_SIMPLE(CCS_ASN1_PFX, auth_safe, PKCS7),
                ASN1_OPT(CCS_ASN1_PFX, mac, CCS_ASN1_MAC),
} ASN1_SEQUENCE_END(CCS_ASN1_PFX)

                ASN1_SEQUENCE_cb(CCS_ASN1_BAG, bag_event) =
                    {
                        ASN1_SIMPLE(CCS_ASN1_BAG, type, ASN1_OBJECT),
                        ASN1_EXP(CCS_ASN1_BAG, value, ASN1_ANY, 0),
                        ASN1_OPT(CCS_ASN1_BAG, attributes, ASN1_ANY),
} static_ASN1_SEQUENCE_END_cb(CCS_ASN1_BAG, CCS_ASN1_BAG)

                        ASN1_ITEM_TEMPLATE(CCS_ASN1_BAGS) = ASN1_EX_TEMPLATE_TYPE(
                            ASN1_TFLG_SEQUENCE_OF, 0, CCS_ASN1_BAGS,
                            CCS_ASN1_BAG) ASN1_ITEM_TEMPLATE_END(CCS_ASN1_BAGS)

                            ASN1_ITEM_TEMPLATE(CCS_ASN1_ATTRIBUTES) = ASN1_EX_TEMPLATE_TYPE(
                                ASN1_TFLG_SET_OF, 0, CCS_ASN1_ATTRIBUTES,
                                X509_ATTRIBUTE) ASN1_ITEM_TEMPLATE_END(CCS_ASN1_ATTRIBUTES)

                                ASN1_SEQUENCE(CCS_ASN1_CERT_BAG) =
                                    {
                                        ASN1_SIMPLE(CCS_ASN1_CERT_BAG, type, ASN1_OBJECT),
                                        ASN1_EXP(CCS_ASN1_CERT_BAG, value, ASN1_ANY, 0),
} ASN1_SEQUENCE_END(CCS_ASN1_CERT_BAG)

                                        ASN1_SEQUENCE_cb(CCS_ASN1_KEY, key_event) =
                                            {
                                                ASN1_SIMPLE(CCS_ASN1_KEY, version, ASN1_INTEGER),
                                                ASN1_SIMPLE(CCS_ASN1_KEY, algorithm, X509_ALGOR),
                                                ASN1_SIMPLE(CCS_ASN1_KEY, key, ASN1_OCTET_STRING),
                                                ASN1_IMP_SET_OF_OPT(CCS_ASN1_KEY, attributes,
                                                                    X509_ATTRIBUTE, 0),
                                                ASN1_IMP_OPT(CCS_ASN1_KEY, public_key,
                                                             ASN1_BIT_STRING, 1),
} ASN1_SEQUENCE_END_cb(CCS_ASN1_KEY, CCS_ASN1_KEY)

                                                ASN1_SEQUENCE(CCS_ASN1_PBMAC1) =
                                                    {
                                                        ASN1_SIMPLE(CCS_ASN1_PBMAC1, kdf,
                                                                    X509_ALGOR),
                                                        ASN1_SIMPLE(CCS_ASN1_PBMAC1, mac,
                                                                    X509_ALGOR),
} ASN1_SEQUENCE_END(CCS_ASN1_PBMAC1)

                                                        void *
                                                    ccs_asn1_decode(const ASN1_ITEM *item,
                                                                    const uint8_t *der, size_t len)
{
    const unsigned char *p = der;

    return len > INT_MAX ? NULL : ASN1_item_d2i(NULL, &p, (long)len, item);
}

void *ccs_asn1_decode_any(const ASN1_ITEM *item, const ASN1_TYPE *any)
{
    const ASN1_STRING *raw;

    if (!any || (any->type != V_ASN1_SEQUENCE && any->type != V_ASN1_SET))
        return NULL;
    raw = any->value.asn1_string;
    return ccs_asn1_decode(item, ASN1_STRING_get0_data(raw), (size_t)ASN1_STRING_length(raw));
}

int ccs_asn1_positive(const ASN1_INTEGER *integer, uint64_t *out)
{
    int64_t value;

    if (!integer || ASN1_INTEGER_get_int64(&value, integer) != 1 || value < 1)
        return 0;
    *out = (uint64_t)value;
    return 1;
}

int ccs_asn1_is(const ASN1_OBJECT *object, const char *oid)
{
    char text[80];

    return OBJ_obj2txt(text, sizeof(text), object, 1) > 0 && strcmp(text, oid) == 0;
}

const char *ccs_asn1_name(const ASN1_OBJECT *object, char *dst, size_t size)
{
    if (size > 0 && OBJ_obj2txt(dst, size > INT_MAX ? INT_MAX : (int)size, object, 0) <= 0)
        dst[0] = '\0';
    return dst;
}
