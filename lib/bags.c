/* SPDX-License-Identifier: Apache-2.0 */
#include "bags.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/objects.h>

#include "error.h"
#include "pfx_asn1.h"
#include "tlv.h"

#define OID_PROTECTED_PASSWORD "1.3.6.1.4.1.311.17.4"

static int no_memory(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_ENOMEM, "no memory to decode the file");
}

static int damaged(const char *what, struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EDAMAGED,
                         "the file has %s that does not decode; it is damaged: export it again",
                         what);
}

static int too_big(size_t most, const char *what, struct ccs_error *err)
{
    return ccs_error_set(err, CCS_ETOOBIG,
                         "the file holds more than %zu %s; export one host's certificate, key and "
                         "chain only",
                         most, what);
}

static void find_id(const ASN1_TYPE *raw, struct ccs_bag_id *id)
{
    STACK_OF(X509_ATTRIBUTE) *attributes = ccs_asn1_decode_any(ASN1_ITEM_rptr(CCS_ASN1_ATTRIBUTES),
                                                               raw);
    int i, len;

    for (i = 0; i < sk_X509_ATTRIBUTE_num(attributes); i++) {
        X509_ATTRIBUTE *attribute = sk_X509_ATTRIBUTE_value(attributes, i);
        const ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(attribute, 0);

        /* Writers in the field have put other types here: never take one for granted. */
        if (OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attribute)) != NID_localKeyID || !value ||
            value->type != V_ASN1_OCTET_STRING)
            continue;
        len = ASN1_STRING_length(value->value.octet_string);
        if (len <= 0 || (size_t)len > sizeof(id->data))
            continue;
        memcpy(id->data, ASN1_STRING_get0_data(value->value.octet_string), (size_t)len);
        id->len = (size_t)len;
        break;
    }
    sk_X509_ATTRIBUTE_pop_free(attributes, X509_ATTRIBUTE_free);
}

int ccs_bag_id_equal(const struct ccs_bag_id *a, const struct ccs_bag_id *b)
{
    return a->len > 0 && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static int put_cert(struct ccs_bags *bags, const ASN1_OCTET_STRING *octets,
                    const struct ccs_bag_id *id, struct ccs_error *err)
{
    const uint8_t *data = ASN1_STRING_get0_data(octets);
    size_t len = (size_t)ASN1_STRING_length(octets), i;
    struct ccs_tlv_extent extent = ccs_tlv_scan(data, len);
    struct ccs_bag_cert *cert;

    if (extent.state != CCS_TLV_WHOLE && extent.state != CCS_TLV_TRAILING) {
        bags->bad_cert = true;
        return CCS_OK;
    }
    len = (size_t)extent.size;
    for (i = 0; i < bags->cert_count; i++) {
        cert = &bags->certs[i];
        if (cert->der.len == len && memcmp(cert->der.data, data, len) == 0) {
            if (cert->id.len == 0)
                cert->id = *id;
            return CCS_OK;
        }
    }
    if (bags->cert_count == CCS_BAGS_CERTS_MAX)
        return too_big(CCS_BAGS_CERTS_MAX, "different certificates", err);
    cert = &bags->certs[bags->cert_count];
    cert->der.data = malloc(len);
    if (!cert->der.data)
        return no_memory(err);
    memcpy(cert->der.data, data, len);
    cert->der.len = len;
    cert->id = *id;
    bags->cert_count++;
    return CCS_OK;
}

static int add_cert(struct ccs_bags *bags, const struct ccs_asn1_bag *bag, struct ccs_error *err)
{
    struct ccs_asn1_cert_bag *cert = ccs_asn1_decode_any(ASN1_ITEM_rptr(CCS_ASN1_CERT_BAG),
                                                         bag->value);
    struct ccs_bag_id id = {{0}, 0};
    int rv = CCS_OK;

    if (!cert) {
        bags->bad_cert = true;
    } else if (OBJ_obj2nid(cert->type) == NID_x509Certificate) {
        find_id(bag->attributes, &id);
        if (cert->value->type == V_ASN1_OCTET_STRING)
            rv = put_cert(bags, cert->value->value.octet_string, &id, err);
        else
            bags->bad_cert = true;
    }
    ASN1_item_free((ASN1_VALUE *)cert, ASN1_ITEM_rptr(CCS_ASN1_CERT_BAG));
    return rv;
}

static int add_key(struct ccs_bags *bags, const struct ccs_asn1_bag *bag, bool shrouded,
                   struct ccs_error *err)
{
    struct ccs_bag_key *key;
    const ASN1_STRING *raw;

    if (bag->value->type != V_ASN1_SEQUENCE)
        return damaged("a key", err);
    if (bags->key_count == CCS_BAGS_KEYS_MAX)
        return too_big(CCS_BAGS_KEYS_MAX, "keys", err);
    raw = bag->value->value.sequence;
    key = &bags->keys[bags->key_count];
    if (shrouded) {
        key->shrouded = ccs_asn1_decode_any(ASN1_ITEM_rptr(X509_SIG), bag->value);
        if (!key->shrouded)
            return damaged("an encrypted key", err);
    } else {
        key->plain.data = OPENSSL_memdup(ASN1_STRING_get0_data(raw),
                                         (size_t)ASN1_STRING_length(raw));
        if (!key->plain.data)
            return no_memory(err);
        key->plain.len = (size_t)ASN1_STRING_length(raw);
    }
    find_id(bag->attributes, &key->id);
    bags->key_count++;
    return CCS_OK;
}

/* A secret bag has the shape of a certificate bag: what kind, and the value. */
static void note_secret(struct ccs_bags *bags, const struct ccs_asn1_bag *bag)
{
    struct ccs_asn1_cert_bag *secret = ccs_asn1_decode_any(ASN1_ITEM_rptr(CCS_ASN1_CERT_BAG),
                                                           bag->value);

    if (secret && ccs_asn1_is(secret->type, OID_PROTECTED_PASSWORD))
        bags->recipient = true;
    ASN1_item_free((ASN1_VALUE *)secret, ASN1_ITEM_rptr(CCS_ASN1_CERT_BAG));
}

static int add(struct ccs_bags *bags, const uint8_t *der, size_t len, unsigned depth,
               struct ccs_error *err);

static int add_bag(struct ccs_bags *bags, const struct ccs_asn1_bag *bag, unsigned depth,
                   struct ccs_error *err)
{
    const ASN1_STRING *raw;

    if (bags->count == CCS_BAGS_MAX)
        return too_big(CCS_BAGS_MAX, "entries", err);
    bags->count++;
    switch (OBJ_obj2nid(bag->type)) {
    case NID_keyBag:
        return add_key(bags, bag, false, err);
    case NID_pkcs8ShroudedKeyBag:
        return add_key(bags, bag, true, err);
    case NID_certBag:
        return add_cert(bags, bag, err);
    case NID_secretBag:
        note_secret(bags, bag);
        return CCS_OK;
    case NID_safeContentsBag:
        if (bag->value->type != V_ASN1_SEQUENCE)
            return damaged("a nested part", err);
        raw = bag->value->value.sequence;
        return add(bags, ASN1_STRING_get0_data(raw), (size_t)ASN1_STRING_length(raw), depth + 1,
                   err);
    default:
        return CCS_OK;
    }
}

static int add(struct ccs_bags *bags, const uint8_t *der, size_t len, unsigned depth,
               struct ccs_error *err)
{
    STACK_OF(CCS_ASN1_BAG) *safe;
    int rv = CCS_OK, i;

    if (depth > CCS_BAGS_DEPTH_MAX)
        return ccs_error_set(err, CCS_EUNSUPPORTED,
                             "the file nests its contents more than %d deep; export it again",
                             CCS_BAGS_DEPTH_MAX);
    safe = ccs_asn1_decode(ASN1_ITEM_rptr(CCS_ASN1_BAGS), der, len);
    if (!safe)
        return damaged("a part", err);
    for (i = 0; rv == CCS_OK && i < sk_CCS_ASN1_BAG_num(safe); i++)
        rv = add_bag(bags, sk_CCS_ASN1_BAG_value(safe, i), depth, err);
    ASN1_item_free((ASN1_VALUE *)safe, ASN1_ITEM_rptr(CCS_ASN1_BAGS));
    return rv;
}

int ccs_bags_add(struct ccs_bags *bags, const uint8_t *der, size_t len, struct ccs_error *err)
{
    return add(bags, der, len, 0, err);
}

void ccs_bags_clear(struct ccs_bags *bags)
{
    size_t i;

    for (i = 0; i < bags->cert_count; i++)
        free(bags->certs[i].der.data);
    for (i = 0; i < bags->key_count; i++) {
        X509_SIG_free(bags->keys[i].shrouded);
        ccs_pbe_clear(&bags->keys[i].plain);
    }
    memset(bags, 0, sizeof(*bags));
}
