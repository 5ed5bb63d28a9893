/* SPDX-License-Identifier: Apache-2.0 */
#include "pkcs12.h"

#include <inttypes.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "bags.h"
#include "error.h"
#include "libctx.h"
#include "mac.h"
#include "pfx.h"
#include "pfx_asn1.h"
#include "sniff.h"
#include "tlv.h"
#include "unlock.h"

/* One file on its way from octets to pairs. */
struct reader {
    const uint8_t *data;
    size_t len; /* of the PFX, without what trails it */
    struct ccs_asn1_pfx *pfx;
    ASN1_OCTET_STRING *content; /* AuthenticatedSafe, borrowed from pfx */
    STACK_OF(PKCS7) *safes;
    struct ccs_mac mac;
    struct ccs_unlock unlock;
    struct ccs_bags bags;
    unsigned legacy;
    unsigned warnings;
};

static int no_memory(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_ENOMEM, "no memory to decode the file");
}

static int check_extent(struct reader *r, size_t len, struct ccs_error *err)
{
    struct ccs_tlv_extent extent = ccs_tlv_scan(r->data, len);

    switch (extent.state) {
    case CCS_TLV_SHORT:
        if (extent.want > CCS_PKCS12_SIZE_MAX)
            return ccs_error_set(err, CCS_ETOOBIG,
                                 "the file says that it is %" PRIu64
                                 " bytes long, more than a PFX for a server can be; it is damaged "
                                 "or no PFX",
                                 extent.want);
        if (extent.want > 0)
            return ccs_error_set(err, CCS_EINCOMPLETE,
                                 "the file is incomplete: have %zu of %" PRIu64
                                 " bytes; it is still being written, else copy it again",
                                 len, extent.want);
        return ccs_error_set(err, CCS_EINCOMPLETE,
                             "the file is incomplete: have %zu bytes and no end; it is still being "
                             "written, else copy it again",
                             len);
    case CCS_TLV_TRAILING:
        r->warnings |= CCS_PFX_TRAILING;
        break;
    case CCS_TLV_BAD:
        return ccs_sniff_damaged(r->data, len,
                                 "the file is neither PKCS#12 nor any other ASN.1; it is damaged: "
                                 "export it again",
                                 err);
    case CCS_TLV_WHOLE:
        break;
    }
    r->len = (size_t)extent.size;
    return CCS_OK;
}

static int open_outer(struct reader *r, struct ccs_error *err)
{
    int64_t version;

    r->pfx = ccs_asn1_decode(ASN1_ITEM_rptr(CCS_ASN1_PFX), r->data, r->len);
    if (!r->pfx)
        return ccs_sniff_der(r->data, r->len, err);
    if (ASN1_INTEGER_get_int64(&version, r->pfx->version) != 1 || version != 3)
        return ccs_error_set(
            err, CCS_EUNSUPPORTED,
            "the file is of another PKCS#12 version than 3; export it again with a "
            "current program");
    if (OBJ_obj2nid(r->pfx->auth_safe->type) == NID_pkcs7_signed)
        return ccs_error_set(err, CCS_EUNSUPPORTED,
                             "the file is signed with a key instead of a password (public-key "
                             "integrity mode), which is not supported; export it again with a "
                             "password");
    if (OBJ_obj2nid(r->pfx->auth_safe->type) != NID_pkcs7_data)
        return ccs_error_set(err, CCS_EUNSUPPORTED,
                             "the file's contents are of a kind that PKCS#12 does not know; export "
                             "it again");
    r->content = r->pfx->auth_safe->d.data;
    if (!r->content || ASN1_STRING_length(r->content) == 0)
        return ccs_error_set(err, CCS_EDAMAGED,
                             "the file has no contents; it is damaged: export it again");
    r->safes = ccs_asn1_decode(ASN1_ITEM_rptr(PKCS12_AUTHSAFES), ASN1_STRING_get0_data(r->content),
                               (size_t)ASN1_STRING_length(r->content));
    if (!r->safes)
        return ccs_error_set(err, CCS_EDAMAGED,
                             "the file's contents do not decode; it is damaged: export it again");
    return CCS_OK;
}

/* The parts of an encrypted part, 0 if one of them is missing. */
static int get_encrypted(const PKCS7 *safe, const X509_ALGOR **algorithm,
                         const ASN1_OCTET_STRING **octets)
{
    const PKCS7_ENC_CONTENT *content = safe->d.encrypted ? safe->d.encrypted->enc_data : NULL;

    if (!content || !content->algorithm || !content->enc_data)
        return 0;
    *algorithm = content->algorithm;
    *octets = content->enc_data;
    return 1;
}

static int lacks_contents(struct ccs_error *err)
{
    return ccs_error_set(err, CCS_EDAMAGED,
                         "the file lacks contents that it announces; it is damaged: export it "
                         "again");
}

static int declare_keys(struct reader *r, size_t from, struct ccs_error *err)
{
    const X509_ALGOR *algorithm;
    struct ccs_pbe pbe;
    size_t i;
    int rv;

    for (i = from; i < r->bags.key_count; i++) {
        if (!r->bags.keys[i].shrouded)
            continue;
        X509_SIG_get0(r->bags.keys[i].shrouded, &algorithm, NULL);
        rv = ccs_pbe_inspect(algorithm, r->unlock.limit, &pbe, err);
        if (rv == CCS_OK)
            rv = ccs_unlock_declare(&r->unlock, pbe.rounds, err);
        /* Whatever else is wrong with a key may not matter: another one may be usable. */
        if (rv == CCS_EROUNDS)
            return rv;
    }
    return CCS_OK;
}

static int survey_encrypted(struct reader *r, const PKCS7 *safe, struct ccs_error *err)
{
    const X509_ALGOR *algorithm;
    const ASN1_OCTET_STRING *octets;
    struct ccs_pbe pbe;
    int rv;

    if (!get_encrypted(safe, &algorithm, &octets))
        return lacks_contents(err);
    rv = ccs_pbe_inspect(algorithm, r->unlock.limit, &pbe, err);
    if (rv != CCS_OK)
        return rv;
    r->legacy |= pbe.legacy;
    return ccs_unlock_declare(&r->unlock, pbe.rounds, err);
}

/* Reads all that is not encrypted, and adds up what key derivation the rest would take. */
static int survey(struct reader *r, struct ccs_error *err)
{
    int i, rv = CCS_OK;

    if (r->pfx->mac) {
        rv = ccs_mac_init(&r->mac, r->pfx->mac, r->unlock.limit, err);
        if (rv == CCS_OK)
            rv = ccs_unlock_declare(&r->unlock, r->mac.rounds, err);
        r->legacy |= r->mac.legacy;
    }
    for (i = 0; rv == CCS_OK && i < sk_PKCS7_num(r->safes); i++) {
        const PKCS7 *safe = sk_PKCS7_value(r->safes, i);

        switch (OBJ_obj2nid(safe->type)) {
        case NID_pkcs7_data:
            if (safe->d.data)
                rv = ccs_bags_add(&r->bags, ASN1_STRING_get0_data(safe->d.data),
                                  (size_t)ASN1_STRING_length(safe->d.data), err);
            break;
        case NID_pkcs7_encrypted:
            rv = survey_encrypted(r, safe, err);
            break;
        case NID_pkcs7_enveloped:
            rv = ccs_error_set(
                err, CCS_ERECIPIENT,
                "the file is encrypted to a certificate, not with a password; export "
                "it again with a password");
            break;
        default:
            rv = ccs_error_set(err, CCS_EUNSUPPORTED,
                               "the file has contents of a kind that PKCS#12 does not know; export "
                               "it again");
        }
    }
    return rv == CCS_OK ? declare_keys(r, 0, err) : rv;
}

static int wrong_password(const struct reader *r, struct ccs_error *err)
{
    size_t count = ccs_passwords_count(r->unlock.passwords);

    if (r->bags.recipient)
        return ccs_error_set(err, CCS_ERECIPIENT,
                             "the file is protected to accounts of a directory (Active Directory), "
                             "and no password known opens it; export it again with a password");
    if (count == 0)
        return ccs_error_set(err, CCS_EPASSWORD,
                             "the file needs a password and none is configured; put it into the "
                             "file that password_file names (or the file is damaged)");
    return ccs_error_set(err, CCS_EPASSWORD,
                         "none of the %zu passwords of password_file opens the file, nor does the "
                         "empty one; add its password (or the file is damaged)",
                         count);
}

/*
 * A wrong password and a damaged file look the same to a MAC. If something can be decrypted all the
 * same, then the password is right.
 */
static int explain_mac(struct reader *r, struct ccs_error *err)
{
    const X509_ALGOR *algorithm = NULL;
    const ASN1_OCTET_STRING *octets = NULL;
    struct ccs_plain plain = {NULL, 0};
    struct ccs_pbe pbe;
    int i, rv = CCS_EPASSWORD;

    for (i = 0; !algorithm && i < sk_PKCS7_num(r->safes); i++)
        if (PKCS7_type_is_encrypted(sk_PKCS7_value(r->safes, i)))
            get_encrypted(sk_PKCS7_value(r->safes, i), &algorithm, &octets);
    for (i = 0; !algorithm && i < (int)r->bags.key_count; i++)
        if (r->bags.keys[i].shrouded)
            X509_SIG_get0(r->bags.keys[i].shrouded, &algorithm, &octets);
    if (algorithm && ccs_pbe_inspect(algorithm, r->unlock.limit, &pbe, NULL) == CCS_OK)
        rv = ccs_unlock_decrypt(&r->unlock, algorithm, &pbe, octets, &plain, NULL);
    ccs_pbe_clear(&plain);
    if (rv != CCS_OK)
        return wrong_password(r, err);
    return ccs_error_set(err, CCS_EDAMAGED,
                         "the password is right, but the file does not fit its MAC: it was damaged "
                         "or changed, or its MAC has another password; export it again");
}

static int authenticate(struct reader *r, struct ccs_error *err)
{
    int rv;

    if (!r->pfx->mac) {
        r->warnings |= CCS_PFX_NO_MAC;
        return CCS_OK;
    }
#ifdef CCS_FUZZING
    /* A fuzzer cannot compute a MAC: without this it would never see what lies behind. */
    rv = CCS_OK;
#else
    rv = ccs_unlock_mac(&r->unlock, &r->mac, r->content, err);
#endif
    return rv == CCS_EPASSWORD ? explain_mac(r, err) : rv;
}

static int decrypt(struct reader *r, const PKCS7 *safe, struct ccs_error *err)
{
    const X509_ALGOR *algorithm;
    const ASN1_OCTET_STRING *octets;
    struct ccs_plain plain = {NULL, 0};
    size_t keys = r->bags.key_count;
    struct ccs_pbe pbe;
    int rv;

    if (!get_encrypted(safe, &algorithm, &octets))
        return lacks_contents(err);
    rv = ccs_pbe_inspect(algorithm, r->unlock.limit, &pbe, err);
    if (rv == CCS_OK)
        rv = ccs_unlock_decrypt(&r->unlock, algorithm, &pbe, octets, &plain, err);
    if (rv == CCS_EPASSWORD && r->pfx->mac)
        return ccs_error_set(err, CCS_EPASSWORD,
                             "the file's contents have another password than its MAC, and none of "
                             "those known opens them; add it to the file that password_file names");
    if (rv == CCS_EPASSWORD)
        return wrong_password(r, err);
    if (rv == CCS_OK)
        rv = ccs_bags_add(&r->bags, plain.data, plain.len, err);
    ccs_pbe_clear(&plain);
    return rv == CCS_OK ? declare_keys(r, keys, err) : rv;
}

static int decode(struct reader *r, struct ccs_pfx **out, struct ccs_error *err)
{
    int i, rv = open_outer(r, err);

    if (rv == CCS_OK)
        rv = survey(r, err);
    if (rv == CCS_OK)
        rv = authenticate(r, err);
    for (i = 0; rv == CCS_OK && i < sk_PKCS7_num(r->safes); i++)
        if (PKCS7_type_is_encrypted(sk_PKCS7_value(r->safes, i)))
            rv = decrypt(r, sk_PKCS7_value(r->safes, i), err);
    if (rv == CCS_OK)
        rv = ccs_pfx_build(&r->bags, &r->unlock, out, err);
    if (rv == CCS_OK) {
        (*out)->legacy |= r->legacy;
        (*out)->warnings |= r->warnings;
        (*out)->password = r->unlock.password;
    } else if (rv == CCS_EDAMAGED && err) {
        /* Where the tail is missing, that is the better explanation. */
        struct ccs_error why = *err;

        rv = ccs_sniff_damaged(r->data, r->len, why.text, err);
    }
    return rv;
}

/* Files without encryption hold the key in the open: none of its copies stays in memory. */
static void wipe_octets(ASN1_OCTET_STRING *octets)
{
    if (octets && ASN1_STRING_length(octets) > 0)
        ccs_wipe(octets->data, (size_t)octets->length);
}

static void reader_free(struct reader *r)
{
    int i;

    for (i = 0; i < sk_PKCS7_num(r->safes); i++)
        if (PKCS7_type_is_data(sk_PKCS7_value(r->safes, i)))
            wipe_octets(sk_PKCS7_value(r->safes, i)->d.data);
    sk_PKCS7_pop_free(r->safes, PKCS7_free);
    wipe_octets(r->content);
    ccs_mac_clear(&r->mac);
    ASN1_item_free((ASN1_VALUE *)r->pfx, ASN1_ITEM_rptr(CCS_ASN1_PFX));
    ccs_bags_clear(&r->bags);
    free(r);
}

int ccs_pkcs12_decode(const uint8_t *data, size_t len, const struct ccs_pfx_params *params,
                      struct ccs_pfx **out, struct ccs_error *err)
{
    struct reader *r;
    int rv, queue_was_empty;

    if (len > CCS_PKCS12_SIZE_MAX)
        return ccs_error_set(err, CCS_ETOOBIG,
                             "the file has %zu bytes, more than a PFX for a server can be; export "
                             "one host's certificate, key and chain only",
                             len);
    rv = ccs_sniff(data, len, err);
    if (rv != CCS_OK)
        return rv;
    if (!ccs_libctx(err))
        return CCS_ESSL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return no_memory(err);
    queue_was_empty = ERR_peek_error() == 0;
    ERR_set_mark();
    r->data = data;
    ccs_unlock_init(&r->unlock, params);
    rv = check_extent(r, len, err);
    if (rv == CCS_OK)
        rv = decode(r, out, err);
    reader_free(r);
    /* OpenSSL out of memory looks like a file out of order, unless one looks closer. */
    if (rv != CCS_OK && queue_was_empty && ccs_error_queue_says_no_memory())
        rv = no_memory(err);
    ERR_pop_to_mark();
    return rv;
}
