/* SPDX-License-Identifier: Apache-2.0 */
#include "pbe.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "base.h"
#include "error.h"
#include "kdf.h"
#include "libctx.h"
#include "pfx_asn1.h"
#include "pkcs12.h"

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

static int need_legacy(const ASN1_OBJECT *object, struct ccs_error *err)
{
    char name[128];

    return ccs_error_set(err, CCS_ELEGACY,
                         "the file is encrypted with %s, which needs OpenSSL's legacy provider "
                         "(legacy.so); install that, or export the file again with AES-256",
                         ccs_asn1_name(object, name, sizeof(name)));
}

static int inspect_scrypt(const ASN1_TYPE *any, uint64_t limit, uint64_t *rounds,
                          struct ccs_error *err)
{
    SCRYPT_PARAMS *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(SCRYPT_PARAMS), any);
    uint64_t n, r, p, length;
    int rv;

    if (!params || !params->salt || ASN1_STRING_length(params->salt) > CCS_KDF_SALT_MAX ||
        !ccs_asn1_positive(params->costParameter, &n) ||
        !ccs_asn1_positive(params->blockSize, &r) ||
        !ccs_asn1_positive(params->parallelizationParameter, &p) || n < 2 || (n & (n - 1)) != 0 ||
        (params->keyLength &&
         (!ccs_asn1_positive(params->keyLength, &length) || length > CCS_KDF_KEY_MAX)))
        rv = ccs_kdf_damaged(err);
    /* Each factor first, so that the products below stay in range. */
    else if (n > SCRYPT_MEM_MAX || r > SCRYPT_MEM_MAX || p > SCRYPT_MEM_MAX ||
             (n + p + 2) * r > SCRYPT_MEM_MAX / 128)
        rv = ccs_error_set(err, CCS_EROUNDS,
                           "the file asks for more than 32 MiB of memory to derive a key (scrypt); "
                           "export it again with smaller parameters");
    else {
        /* One round of PBKDF2 costs about as much as two such blocks. */
        *rounds = n * r * p;
        rv = ccs_kdf_bound(*rounds, limit, err);
    }
    SCRYPT_PARAMS_free(params);
    return rv;
}

/*
 * New, or NULL. OpenSSL would look for it in the default context as well if it were not in this
 * one.
 */
static EVP_CIPHER *fetch_cipher(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    char oid[80];

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (OBJ_obj2txt(oid, sizeof(oid), object, 1) <= 0)
        return NULL;
    return EVP_CIPHER_fetch(ccs_libctx(NULL), oid, NULL);
}

static int inspect_cipher(const X509_ALGOR *algorithm, struct ccs_pbe *pbe, struct ccs_error *err)
{
    const ASN1_OBJECT *object;
    const struct scheme *scheme;
    EVP_CIPHER *cipher;
    int mode;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    scheme = find(ciphers, CCS_ARRAY_LEN(ciphers), OBJ_obj2nid(object));
    if (scheme && scheme->needs_legacy && !ccs_libctx_has_legacy())
        return need_legacy(object, err);
    if (scheme)
        pbe->legacy |= scheme->legacy;
    cipher = fetch_cipher(algorithm);
    if (!cipher)
        return ccs_kdf_unsupported(object, "cipher", err);
    mode = EVP_CIPHER_get_mode(cipher);
    EVP_CIPHER_free(cipher);
    if (mode != EVP_CIPH_CBC_MODE && mode != EVP_CIPH_STREAM_CIPHER && mode != EVP_CIPH_CFB_MODE &&
        mode != EVP_CIPH_OFB_MODE)
        return ccs_kdf_unsupported(object, "cipher", err);
    return CCS_OK;
}

static int inspect_pbes2(const ASN1_TYPE *any, uint64_t limit, struct ccs_pbe *pbe,
                         struct ccs_error *err)
{
    PBE2PARAM *params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBE2PARAM), any);
    const ASN1_OBJECT *object;
    struct ccs_pbkdf2 kdf;
    ASN1_TYPE *parameter;
    int rv;

    if (!params)
        return ccs_kdf_damaged(err);
    X509_ALGOR_get0(&object, NULL, NULL, params->keyfunc);
    parameter = params->keyfunc->parameter;
    switch (OBJ_obj2nid(object)) {
    case NID_id_pbkdf2:
        rv = ccs_pbkdf2_init(&kdf, parameter, limit, err);
        pbe->rounds = kdf.rounds;
        ccs_pbkdf2_clear(&kdf);
        break;
    case NID_id_scrypt:
        rv = inspect_scrypt(parameter, limit, &pbe->rounds, err);
        break;
    default:
        rv = ccs_kdf_unsupported(object, "key derivation", err);
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
        return ccs_kdf_unsupported(object, "encryption", err);
    params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBEPARAM), any);
    if (!params || ASN1_STRING_length(params->salt) > CCS_KDF_SALT_MAX ||
        !ccs_asn1_positive(params->iter, &pbe->rounds))
        rv = ccs_kdf_damaged(err);
    else
        rv = ccs_kdf_bound(pbe->rounds, limit, err);
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

/* The cipher with its parameters, and then its key, which is as long as these make it. */
static int prepare_cipher(EVP_CIPHER_CTX *ctx, const X509_ALGOR *algorithm,
                          const struct ccs_pbkdf2 *kdf, struct ccs_octets password)
{
    EVP_CIPHER *cipher = fetch_cipher(algorithm);
    unsigned char key[EVP_MAX_KEY_LENGTH];
    int ok, len;

    ok = cipher && EVP_DecryptInit_ex2(ctx, cipher, NULL, NULL, NULL) == 1 &&
         EVP_CIPHER_asn1_to_param(ctx, algorithm->parameter) > 0;
    EVP_CIPHER_free(cipher);
    len = ok ? EVP_CIPHER_CTX_get_key_length(ctx) : 0;
    if (len <= 0 || len > EVP_MAX_KEY_LENGTH ||
        (kdf->key_length != 0 && kdf->key_length != (uint64_t)len))
        return 0;
    ok = ccs_pbkdf2_derive(kdf, password, key, (size_t)len) &&
         EVP_DecryptInit_ex2(ctx, NULL, key, NULL, NULL) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

static int decrypt(EVP_CIPHER_CTX *ctx, const ASN1_OCTET_STRING *in, struct ccs_plain *out)
{
    const size_t room = (size_t)ASN1_STRING_length(in) + EVP_MAX_BLOCK_LENGTH;
    unsigned char *data = OPENSSL_malloc(room);
    int len = 0, last = 0;

    if (data == NULL) {
        ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
        return 0;
    }
    if (EVP_DecryptUpdate(ctx, data, &len, ASN1_STRING_get0_data(in), ASN1_STRING_length(in)) !=
            1 ||
        EVP_DecryptFinal_ex(ctx, data + len, &last) != 1) {
        OPENSSL_clear_free(data, room);
        return 0;
    }
    out->data = data;
    out->len = (size_t)len + (size_t)last;
    return 1;
}

static int decrypt_pbkdf2(const PBE2PARAM *params, struct ccs_octets password,
                          const ASN1_OCTET_STRING *in, struct ccs_plain *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    struct ccs_pbkdf2 kdf;
    int ok = ccs_pbkdf2_init(&kdf, params->keyfunc->parameter, UINT64_MAX, NULL) == CCS_OK &&
             ctx != NULL;

    /* The parameters were found to be good before, so that it is not they that fail. */
    if (!ok)
        ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
    ok = ok && prepare_cipher(ctx, params->encryption, &kdf, password) && decrypt(ctx, in, out);
    ccs_pbkdf2_clear(&kdf);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* PBES2's parameters where they ask for PBKDF2: new, or NULL. */
static PBE2PARAM *with_pbkdf2(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    PBE2PARAM *params = NULL;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (OBJ_obj2nid(object) == NID_pbes2)
        params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBE2PARAM), algorithm->parameter);
    if (params != NULL) {
        X509_ALGOR_get0(&object, NULL, NULL, params->keyfunc);
        if (OBJ_obj2nid(object) == NID_id_pbkdf2)
            return params;
    }
    PBE2PARAM_free(params);
    return NULL;
}

int ccs_pbe_decrypt(const X509_ALGOR *algorithm, struct ccs_octets password,
                    const ASN1_OCTET_STRING *in, struct ccs_plain *out)
{
    PBE2PARAM *params = with_pbkdf2(algorithm);
    unsigned char *data = NULL;
    int len = 0, ok;

    if (ASN1_STRING_length(in) == 0) {
        ok = 0;
    } else if (params != NULL) {
        ok = decrypt_pbkdf2(params, password, in, out);
    } else {
        ok = PKCS12_pbe_crypt_ex(algorithm, password.data, password.len, ASN1_STRING_get0_data(in),
                                 ASN1_STRING_length(in), &data, &len, 0, ccs_libctx(NULL),
                                 NULL) != NULL;
        if (ok) {
            out->data = data;
            out->len = len > 0 ? (size_t)len : 0;
        }
    }
    PBE2PARAM_free(params);
    return ok ? CCS_OK : CCS_EPASSWORD;
}

void ccs_pbe_clear(struct ccs_plain *plain)
{
    OPENSSL_clear_free(plain->data, plain->len);
    plain->data = NULL;
    plain->len = 0;
}
