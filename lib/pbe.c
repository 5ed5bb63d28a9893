/* SPDX-License-Identifier: Apache-2.0 */
#include "pbe.h"

#include <inttypes.h>
#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "error.h"
#include "libctx.h"
#include "pfx_asn1.h"
#include "pkcs12.h"

#define KEY_LENGTH_MAX 64
#define SCRYPT_MEM_MAX (UINT64_C(32) * 1024 * 1024) /* what OpenSSL allows by itself */

/* Encryption by one OID that names cipher and derivation. */
struct scheme {
    int nid;
    bool pkcs12;
    bool needs_legacy;
    unsigned legacy;
};

static const struct scheme schemes[] = {
    {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, true, false, CCS_LEGACY_3DES},
    {NID_pbe_WithSHA1And2_Key_TripleDES_CBC, true, false, CCS_LEGACY_3DES},
    {NID_pbe_WithSHA1And40BitRC2_CBC, true, true, CCS_LEGACY_RC2_40},
    {NID_pbe_WithSHA1And128BitRC2_CBC, true, true, CCS_LEGACY_RC2_128},
    {NID_pbe_WithSHA1And128BitRC4, true, true, CCS_LEGACY_RC4},
    {NID_pbe_WithSHA1And40BitRC4, true, true, CCS_LEGACY_RC4},
    {NID_pbeWithMD5AndDES_CBC, false, true, CCS_LEGACY_DES | CCS_LEGACY_MD5},
    {NID_pbeWithSHA1AndDES_CBC, false, true, CCS_LEGACY_DES},
    {NID_pbeWithMD5AndRC2_CBC, false, true, CCS_LEGACY_RC2_OTHER | CCS_LEGACY_MD5},
    {NID_pbeWithSHA1AndRC2_CBC, false, true, CCS_LEGACY_RC2_OTHER},
};

/* Ciphers of PBES2 that deserve a word; all others are judged by whether they can be had. */
static const struct scheme ciphers[] = {
    {NID_des_ede3_cbc, false, false, CCS_LEGACY_3DES},
    {NID_des_cbc, false, true, CCS_LEGACY_DES},
    {NID_rc2_cbc, false, true, CCS_LEGACY_RC2_OTHER},
    {NID_rc4, false, true, CCS_LEGACY_RC4},
    {NID_cast5_cbc, false, true, CCS_LEGACY_OTHER},
    {NID_bf_cbc, false, true, CCS_LEGACY_OTHER},
    {NID_idea_cbc, false, true, CCS_LEGACY_OTHER},
    {NID_seed_cbc, false, true, CCS_LEGACY_OTHER},
};

static const struct scheme *find(const struct scheme *table, size_t count, int nid)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (table[i].nid == nid)
            return &table[i];
    return NULL;
}

static int damaged(struct ccs_error *err)
{
    return ccs_error_set(
        err, CCS_EDAMAGED,
        "the file's encryption parameters make no sense: it is damaged, or was made "
        "to do harm; export it again");
}

static int unsupported(const ASN1_OBJECT *object, const char *role, struct ccs_error *err)
{
    char name[128];

    return ccs_error_set(
        err, CCS_EUNSUPPORTED,
        "the file uses %s as %s, which OpenSSL cannot do here; export it again with "
        "AES-256 and SHA-256",
        ccs_asn1_name(object, name, sizeof(name)), role);
}

static int need_legacy(const ASN1_OBJECT *object, struct ccs_error *err)
{
    char name[128];

    return ccs_error_set(err, CCS_ELEGACY,
                         "the file is encrypted with %s, which needs OpenSSL's legacy provider "
                         "(legacy.so); install that, or export the file again with AES-256",
                         ccs_asn1_name(object, name, sizeof(name)));
}

int ccs_pbe_bound(uint64_t rounds, uint64_t limit, struct ccs_error *err)
{
    if (rounds <= limit)
        return CCS_OK;
    return ccs_error_set(err, CCS_EROUNDS,
                         "the file asks for %" PRIu64 " rounds of key derivation where kdf_limit "
                         "allows %" PRIu64 "; export it again with fewer",
                         rounds, limit);
}

int ccs_pbe_pbkdf2(const ASN1_TYPE *any, uint64_t limit, PBKDF2PARAM **out, uint64_t *rounds,
                   uint64_t *key_length, struct ccs_error *err)
{
    PBKDF2PARAM *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBKDF2PARAM), any);
    const ASN1_OBJECT *prf = NULL;
    int digest = NID_undef;
    int rv;

    *key_length = 0;
    if (!params || !params->salt || params->salt->type != V_ASN1_OCTET_STRING ||
        ASN1_STRING_length(params->salt->value.octet_string) > CCS_PBE_SALT_MAX ||
        !ccs_asn1_positive(params->iter, rounds) ||
        (params->keylength &&
         (!ccs_asn1_positive(params->keylength, key_length) || *key_length > KEY_LENGTH_MAX))) {
        rv = damaged(err);
        goto out;
    }
    rv = ccs_pbe_bound(*rounds, limit, err);
    if (rv == CCS_OK && params->prf) {
        X509_ALGOR_get0(&prf, NULL, NULL, params->prf);
        if (EVP_PBE_find(EVP_PBE_TYPE_PRF, OBJ_obj2nid(prf), NULL, &digest, NULL) != 1)
            rv = unsupported(prf, "pseudo-random function", err);
    }
    if (rv == CCS_OK) {
        *out = params;
        params = NULL;
    }
out:
    PBKDF2PARAM_free(params);
    return rv;
}

static int inspect_scrypt(const ASN1_TYPE *any, uint64_t limit, uint64_t *rounds,
                          struct ccs_error *err)
{
    SCRYPT_PARAMS *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(SCRYPT_PARAMS), any);
    uint64_t n, r, p, length;
    int rv;

    if (!params || !params->salt || ASN1_STRING_length(params->salt) > CCS_PBE_SALT_MAX ||
        !ccs_asn1_positive(params->costParameter, &n) ||
        !ccs_asn1_positive(params->blockSize, &r) ||
        !ccs_asn1_positive(params->parallelizationParameter, &p) || n < 2 || (n & (n - 1)) != 0 ||
        (params->keyLength &&
         (!ccs_asn1_positive(params->keyLength, &length) || length > KEY_LENGTH_MAX)))
        rv = damaged(err);
    /* Each factor first, so that the products below stay in range. */
    else if (n > SCRYPT_MEM_MAX || r > SCRYPT_MEM_MAX || p > SCRYPT_MEM_MAX ||
             (n + p + 2) * r > SCRYPT_MEM_MAX / 128)
        rv = ccs_error_set(err, CCS_EROUNDS,
                           "the file asks for more than 32 MiB of memory to derive a key (scrypt); "
                           "export it again with smaller parameters");
    else {
        /* One round of PBKDF2 costs about as much as two such blocks. */
        *rounds = n * r * p;
        rv = ccs_pbe_bound(*rounds, limit, err);
    }
    SCRYPT_PARAMS_free(params);
    return rv;
}

static int inspect_cipher(const X509_ALGOR *algorithm, struct ccs_pbe *pbe, struct ccs_error *err)
{
    const ASN1_OBJECT *object;
    const struct scheme *scheme;
    EVP_CIPHER *cipher;
    char oid[80];
    int mode;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    scheme = find(ciphers, CCS_ARRAY_LEN(ciphers), OBJ_obj2nid(object));
    if (scheme && scheme->needs_legacy && !ccs_libctx_has_legacy())
        return need_legacy(object, err);
    if (scheme)
        pbe->legacy |= scheme->legacy;
    if (OBJ_obj2txt(oid, sizeof(oid), object, 1) <= 0)
        return damaged(err);
    /* OpenSSL would look for it in the default context as well if it were not in this one. */
    cipher = EVP_CIPHER_fetch(ccs_libctx(NULL), oid, NULL);
    if (!cipher)
        return unsupported(object, "cipher", err);
    mode = EVP_CIPHER_get_mode(cipher);
    EVP_CIPHER_free(cipher);
    if (mode != EVP_CIPH_CBC_MODE && mode != EVP_CIPH_STREAM_CIPHER && mode != EVP_CIPH_CFB_MODE &&
        mode != EVP_CIPH_OFB_MODE)
        return unsupported(object, "cipher", err);
    return CCS_OK;
}

static int inspect_pbes2(const ASN1_TYPE *any, uint64_t limit, struct ccs_pbe *pbe,
                         struct ccs_error *err)
{
    PBE2PARAM *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBE2PARAM), any);
    PBKDF2PARAM *kdf = NULL;
    const ASN1_OBJECT *object;
    const void *value;
    uint64_t key_length;
    int type, rv;
    ASN1_TYPE *parameter;

    if (!params)
        return damaged(err);
    X509_ALGOR_get0(&object, &type, &value, params->keyfunc);
    parameter = params->keyfunc->parameter;
    switch (OBJ_obj2nid(object)) {
    case NID_id_pbkdf2:
        rv = ccs_pbe_pbkdf2(parameter, limit, &kdf, &pbe->rounds, &key_length, err);
        PBKDF2PARAM_free(kdf);
        break;
    case NID_id_scrypt:
        rv = inspect_scrypt(parameter, limit, &pbe->rounds, err);
        break;
    default:
        rv = unsupported(object, "key derivation", err);
    }
    if (rv == CCS_OK)
        rv = inspect_cipher(params->encryption, pbe, err);
    PBE2PARAM_free(params);
    return rv;
}

static int inspect_pbes1(const ASN1_OBJECT *object, const ASN1_TYPE *any, uint64_t limit,
                         struct ccs_pbe *pbe, struct ccs_error *err)
{
    const struct scheme *scheme = find(schemes, CCS_ARRAY_LEN(schemes), OBJ_obj2nid(object));
    PBEPARAM *params;
    int rv;

    if (!scheme)
        return unsupported(object, "encryption", err);
    params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBEPARAM), any);
    if (!params || ASN1_STRING_length(params->salt) > CCS_PBE_SALT_MAX ||
        !ccs_asn1_positive(params->iter, &pbe->rounds))
        rv = damaged(err);
    else
        rv = ccs_pbe_bound(pbe->rounds, limit, err);
    PBEPARAM_free(params);
    if (rv == CCS_OK && scheme->needs_legacy && !ccs_libctx_has_legacy())
        rv = need_legacy(object, err);
    pbe->legacy = scheme->legacy;
    pbe->pkcs12 = scheme->pkcs12;
    return rv;
}

int ccs_pbe_inspect(const X509_ALGOR *algorithm, uint64_t limit, struct ccs_pbe *out,
                    struct ccs_error *err)
{
    struct ccs_pbe pbe = {0};
    const ASN1_OBJECT *object;
    int rv;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (OBJ_obj2nid(object) == NID_pbes2)
        rv = inspect_pbes2(algorithm->parameter, limit, &pbe, err);
    else
        rv = inspect_pbes1(object, algorithm->parameter, limit, &pbe, err);
    if (rv == CCS_OK)
        *out = pbe;
    return rv;
}

int ccs_pbe_decrypt(const X509_ALGOR *algorithm, struct ccs_octets password,
                    const ASN1_OCTET_STRING *in, struct ccs_plain *out)
{
    unsigned char *data = NULL;
    int len = 0;

    if (ASN1_STRING_length(in) == 0 ||
        !PKCS12_pbe_crypt_ex(algorithm, password.data, password.len, ASN1_STRING_get0_data(in),
                             ASN1_STRING_length(in), &data, &len, 0, ccs_libctx(NULL), NULL))
        return CCS_EPASSWORD;
    out->data = data;
    out->len = len > 0 ? (size_t)len : 0;
    return CCS_OK;
}

void ccs_pbe_clear(struct ccs_plain *plain)
{
    OPENSSL_clear_free(plain->data, plain->len);
    plain->data = NULL;
    plain->len = 0;
}
