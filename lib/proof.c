/* SPDX-License-Identifier: Apache-2.0 */
#include "proof.h"

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/params.h>

#include "error.h"
#include "libctx.h"
#include "secret.h"

#define SCALAR_MAX 72       /* octets of a private key of the largest curve, 571 bits */
#define POINT_MAX  (2 * 73) /* and of a public one */

/* The private number of a key on a named curve, and the curve; 0 if it has none. */
static int get_scalar(const EVP_PKEY *key, int *curve, BIGNUM *scalar)
{
    uint8_t octets[SCALAR_MAX] = {0};
    char name[64] = "";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof(name)),
        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, octets, sizeof(octets)),
        OSSL_PARAM_construct_end(),
    };
    int ok = EVP_PKEY_get_params(key, params) == 1 && OSSL_PARAM_modified(&params[0]) &&
             OSSL_PARAM_modified(&params[1]) && params[1].return_size <= sizeof(octets) &&
             BN_native2bn(octets, (int)params[1].return_size, scalar) != NULL;

    ccs_wipe(octets, sizeof(octets));
    *curve = ok ? OBJ_txt2nid(name) : NID_undef;
    return *curve != NID_undef;
}

/*
 * Whether an elliptic curve's private number gives check's point: 1, 0, or -1 if that cannot be
 * computed. It takes a fifth of what verifying a signature does, and says as much.
 */
static int gives_point(const EVP_PKEY *key, const EVP_PKEY *check)
{
    uint8_t octets[POINT_MAX];
    size_t len = 0;
    BN_CTX *ctx = BN_CTX_secure_new_ex(ccs_libctx_of(check));
    BIGNUM *scalar = BN_new();
    EC_GROUP *group = NULL;
    EC_POINT *mine = NULL, *theirs = NULL;
    int curve, rv = -1;

    if (!ctx || !scalar || !get_scalar(key, &curve, scalar) ||
        EVP_PKEY_get_octet_string_param(check, OSSL_PKEY_PARAM_PUB_KEY, octets, sizeof(octets),
                                        &len) != 1)
        goto out;
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    group = EC_GROUP_new_by_curve_name_ex(ccs_libctx_of(check), NULL, curve);
    if (!group)
        goto out;
    mine = EC_POINT_new(group);
    theirs = EC_POINT_new(group);
    if (mine && theirs && EC_POINT_oct2point(group, theirs, octets, len, ctx) == 1 &&
        EC_POINT_mul(group, mine, scalar, NULL, NULL, ctx) == 1)
        rv = EC_POINT_cmp(group, mine, theirs, ctx) == 0;
out:
    EC_POINT_clear_free(mine);
    EC_POINT_free(theirs);
    EC_GROUP_free(group);
    BN_clear_free(scalar);
    BN_CTX_free(ctx);
    return rv;
}

static int verifies(EVP_MD_CTX *ctx, EVP_PKEY *check, const uint8_t *sig, size_t sig_len,
                    const uint8_t *text, size_t len)
{
    return EVP_DigestVerifyInit_ex(ctx, NULL, NULL, ccs_libctx_of(check), NULL, check, NULL) == 1 &&
           EVP_DigestVerify(ctx, sig, sig_len, text, len) == 1;
}

int ccs_proof(EVP_PKEY *key, EVP_PKEY *check, struct ccs_error *err)
{
    static const uint8_t text[] = "libccs: do this key and this certificate belong together?";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int room = EVP_PKEY_get_size(key), fits, rv;
    size_t len = room > 0 ? (size_t)room : 0;
    uint8_t *sig = malloc(len + 1);

    if (!ctx || !sig) {
        rv = ccs_error_set(err, CCS_ENOMEM, "no memory to try a key");
        goto out;
    }
    /* No digest named: each type of key has its own, and those of a fixed one accept no other. */
    if (EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) != 1 ||
        EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) != 1) {
        rv = ccs_error_ssl(err, CCS_EKEYUSE, "the key cannot sign");
        goto out;
    }
    (void)EVP_MD_CTX_reset(ctx);
    fits = EVP_PKEY_is_a(check, "EC") ? gives_point(key, check) : -1;
    if (fits < 0)
        fits = verifies(ctx, check, sig, len, text, sizeof(text));
    rv = fits ? CCS_OK
              : ccs_error_set(err, CCS_EMISMATCH,
                              "the key is damaged, its signatures do not verify: export the "
                              "certificate again with its own key");
out:
    EVP_MD_CTX_free(ctx);
    free(sig);
    ERR_clear_error();
    return rv;
}
