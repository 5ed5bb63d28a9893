/* SPDX-License-Identifier: Apache-2.0 */
#include "kdf.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "companion.h"
#include "error.h"
#include "libctx.h"
#include "pfx_asn1.h"

#define BLOCK_MAX 256 /* octets that a digest takes in at once; 144 is the most there is */
#define PIECE     128 /* rounds; some 20 to 100 microseconds */

int ccs_kdf_bound(uint64_t rounds, uint64_t limit, struct ccs_error *err)
{
    if (rounds <= limit)
        return CCS_OK;
    return ccs_error_set(err, CCS_EROUNDS,
                         "the file asks for %" PRIu64 " rounds of key derivation where kdf_limit "
                         "allows %" PRIu64 "; export it again with fewer",
                         rounds, limit);
}

int ccs_kdf_damaged(struct ccs_error *err)
{
    return ccs_error_set(
        err, CCS_EDAMAGED,
        "the file's encryption parameters make no sense: it is damaged, or was made "
        "to do harm; export it again");
}

int ccs_kdf_unsupported(const ASN1_OBJECT *object, const char *role, struct ccs_error *err)
{
    char name[128];

    return ccs_error_set(
        err, CCS_EUNSUPPORTED,
        "the file uses %s as %s, which OpenSSL cannot do here; export it again with "
        "AES-256 and SHA-256",
        ccs_asn1_name(object, name, sizeof(name)), role);
}

EVP_MD *ccs_kdf_hmac_digest(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    int digest = NID_undef;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (EVP_PBE_find(EVP_PBE_TYPE_PRF, OBJ_obj2nid(object), NULL, &digest, NULL) != 1)
        return NULL;
    return EVP_MD_fetch(ccs_libctx(NULL), OBJ_nid2sn(digest), NULL);
}

/* -- PBKDF2 -------------------------------------------------------------------------------- */

static int is_sound(const PBKDF2PARAM *params, uint64_t *rounds, uint64_t *key_length)
{
    *key_length = 0;
    if (params == NULL || params->salt == NULL || params->salt->type != V_ASN1_OCTET_STRING ||
        ASN1_STRING_length(params->salt->value.octet_string) > CCS_KDF_SALT_MAX ||
        !ccs_asn1_positive(params->iter, rounds))
        return 0;
    return params->keylength == NULL ||
           (ccs_asn1_positive(params->keylength, key_length) && *key_length <= CCS_KDF_KEY_MAX);
}

int ccs_pbkdf2_init(struct ccs_pbkdf2 *out, const ASN1_TYPE *any, uint64_t limit,
                    struct ccs_error *err)
{
    struct ccs_pbkdf2 p = {.params = ccs_asn1_decode_any(ASN1_ITEM_rptr(PBKDF2PARAM), any)};
    const ASN1_OBJECT *object;
    int rv;

    memset(out, 0, sizeof(*out));
    if (!is_sound(p.params, &p.rounds, &p.key_length))
        rv = ccs_kdf_damaged(err);
    else
        rv = ccs_kdf_bound(p.rounds, limit, err);
    if (rv == CCS_OK) {
        object = OBJ_nid2obj(NID_hmacWithSHA1); /* unless they name another */
        if (p.params->prf != NULL) {
            X509_ALGOR_get0(&object, NULL, NULL, p.params->prf);
            p.digest = ccs_kdf_hmac_digest(p.params->prf);
        } else {
            p.digest = EVP_MD_fetch(ccs_libctx(NULL), SN_sha1, NULL);
        }
        if (p.digest == NULL)
            rv = ccs_kdf_unsupported(object, "pseudo-random function", err);
    }
    if (rv == CCS_OK)
        *out = p;
    else
        ccs_pbkdf2_clear(&p);
    return rv;
}

void ccs_pbkdf2_clear(struct ccs_pbkdf2 *pbkdf2)
{
    PBKDF2PARAM_free(pbkdf2->params);
    EVP_MD_free(pbkdf2->digest);
    memset(pbkdf2, 0, sizeof(*pbkdf2));
}

/* HMAC (RFC 2104) with one key, over and over: what begins either digest is taken in only once. */
struct hmac {
    EVP_MD_CTX *inner, *outer, *work;
    size_t size;
};

static void hmac_clear(struct hmac *h)
{
    EVP_MD_CTX_free(h->inner);
    EVP_MD_CTX_free(h->outer);
    EVP_MD_CTX_free(h->work);
}

static int take_in_key(EVP_MD_CTX *ctx, const EVP_MD *digest, unsigned char key[BLOCK_MAX],
                       size_t block, unsigned char pad)
{
    int ok;

    for (size_t i = 0; i < block; i++)
        key[i] ^= pad;
    ok = EVP_DigestInit_ex2(ctx, digest, NULL) == 1 && EVP_DigestUpdate(ctx, key, block) == 1;
    for (size_t i = 0; i < block; i++)
        key[i] ^= pad;
    return ok;
}

static int hmac_init(struct hmac *h, const EVP_MD *digest, struct ccs_octets password)
{
    const size_t len = password.len > 0 ? (size_t)password.len : 0;
    const size_t block = (size_t)EVP_MD_get_block_size(digest);
    unsigned char key[BLOCK_MAX] = {0};
    int ok;

    h->inner = EVP_MD_CTX_new();
    h->outer = EVP_MD_CTX_new();
    h->work = EVP_MD_CTX_new();
    h->size = (size_t)EVP_MD_get_size(digest);
    ok = h->inner != NULL && h->outer != NULL && h->work != NULL && block <= sizeof(key);
    if (ok && len > block)
        ok = EVP_Digest(password.data, len, key, NULL, digest, NULL) == 1;
    else if (ok && len > 0)
        memcpy(key, password.data, len);
    ok = ok && take_in_key(h->inner, digest, key, block, 0x36) &&
         take_in_key(h->outer, digest, key, block, 0x5c);
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

static int hmac_begin(struct hmac *h)
{
    return EVP_MD_CTX_copy_ex(h->work, h->inner) == 1;
}

static int hmac_end(struct hmac *h, unsigned char *value)
{
    return EVP_DigestFinal_ex(h->work, value, NULL) == 1 &&
           EVP_MD_CTX_copy_ex(h->work, h->outer) == 1 &&
           EVP_DigestUpdate(h->work, value, h->size) == 1 &&
           EVP_DigestFinal_ex(h->work, value, NULL) == 1;
}

/* One block of the key, as long as a value of the digest. */
static int derive_block(struct hmac *h, const struct ccs_pbkdf2 *p, uint32_t number,
                        unsigned char block[EVP_MAX_MD_SIZE])
{
    const ASN1_OCTET_STRING *salt = p->params->salt->value.octet_string;
    const unsigned char end[] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                 (unsigned char)(number >> 8), (unsigned char)number};
    unsigned char value[EVP_MAX_MD_SIZE];
    int ok = hmac_begin(h) &&
             EVP_DigestUpdate(h->work, ASN1_STRING_get0_data(salt),
                              (size_t)ASN1_STRING_length(salt)) == 1 &&
             EVP_DigestUpdate(h->work, end, sizeof(end)) == 1 && hmac_end(h, value);

    if (ok)
        memcpy(block, value, h->size);
    for (uint64_t round = 1; ok && round < p->rounds; round++) {
        if (round % PIECE == 0)
            ccs_companion_yield();
        ok = hmac_begin(h) && EVP_DigestUpdate(h->work, value, h->size) == 1 && hmac_end(h, value);
        for (size_t i = 0; ok && i < h->size; i++)
            block[i] ^= value[i];
    }
    OPENSSL_cleanse(value, sizeof(value));
    return ok;
}

int ccs_pbkdf2_derive(const struct ccs_pbkdf2 *pbkdf2, struct ccs_octets password,
                      unsigned char *key, size_t len)
{
    unsigned char block[EVP_MAX_MD_SIZE];
    struct hmac h = {NULL, NULL, NULL, 0};
    int ok = hmac_init(&h, pbkdf2->digest, password);
    size_t part;

    for (uint32_t number = 1; ok && len > 0; number++, key += part, len -= part) {
        part = len < h.size ? len : h.size;
        ok = derive_block(&h, pbkdf2, number, block);
        if (ok)
            memcpy(key, block, part);
    }
    OPENSSL_cleanse(block, sizeof(block));
    hmac_clear(&h);
    /* Copies of a digest's state need memory, and nothing else of this can fail. */
    if (!ok)
        ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
    return ok;
}

/* -- the KDF of PKCS#12 -------------------------------------------------------------------- */

/* Again and again, up to a whole number of blocks. */
static int take_in_repeated(EVP_MD_CTX *ctx, const unsigned char *data, size_t len, size_t block)
{
    size_t left = (len + block - 1) / block * block;
    size_t part;
    int ok = 1;

    for (; ok && left > 0; left -= part) {
        part = left < len ? left : len;
        ok = EVP_DigestUpdate(ctx, data, part) == 1;
    }
    return ok;
}

int ccs_kdf_pkcs12_mac(const EVP_MD *digest, struct ccs_octets password,
                       const ASN1_OCTET_STRING *salt, uint64_t rounds, unsigned char *key)
{
    static const unsigned char purpose[] = {PKCS12_MAC_ID};
    const size_t block = (size_t)EVP_MD_get_block_size(digest);
    const size_t size = (size_t)EVP_MD_get_size(digest);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *bmp = NULL; /* the password in two octets a character, and two of zeros */
    int bmp_len = 0;
    int ok = ctx != NULL && (password.data == NULL ||
                             OPENSSL_utf82uni(password.data, password.len, &bmp, &bmp_len) != NULL);

    ok = ok && EVP_DigestInit_ex2(ctx, digest, NULL) == 1 &&
         take_in_repeated(ctx, purpose, sizeof(purpose), block) &&
         take_in_repeated(ctx, ASN1_STRING_get0_data(salt), (size_t)ASN1_STRING_length(salt),
                          block) &&
         take_in_repeated(ctx, bmp, (size_t)bmp_len, block) &&
         EVP_DigestFinal_ex(ctx, key, NULL) == 1;
    for (uint64_t round = 1; ok && round < rounds; round++) {
        if (round % PIECE == 0)
            ccs_companion_yield();
        ok = EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, key, size) == 1 &&
             EVP_DigestFinal_ex(ctx, key, NULL) == 1;
    }
    OPENSSL_clear_free(bmp, (size_t)bmp_len);
    EVP_MD_CTX_free(ctx);
    if (!ok)
        ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
    return ok;
}
