/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What OpenSSL puts off until a process's first certificate, done before the process is forked: a
 * file with a key and a certificate of its own goes the way of all files, from its octets to
 * an SSL.
 */
#include <pthread.h>
#include <stddef.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "credential.h"
#include "error.h"
#include "libctx.h"
#include "pkcs12.h"
#include "tls.h"

#define ROUNDS    1   /* of key derivation, for certificate, key and MAC each */
#define KDF_LIMIT 100 /* above all of them */

static pthread_once_t prepare_once = PTHREAD_ONCE_INIT;
static int prepare_code = CCS_ENOMEM; /* until it is done, and if that cannot be said */
static struct ccs_error prepare_error = {.code = CCS_ENOMEM, .text = "no memory"};

/* A certificate of key's for itself; NULL: OpenSSL cannot. */
static X509 *self_signed(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name;

    if (cert == NULL)
        return NULL;
    name = X509_get_subject_name(cert);
    if (X509_set_version(cert, X509_VERSION_3) == 1 &&
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), 60) != NULL &&
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)"libccs", -1, -1, 0) == 1 &&
        X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
        X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

/* A file of the empty password. Its octets are new, and to be wiped; NULL: OpenSSL cannot. */
static unsigned char *file_new(OSSL_LIB_CTX *ctx, int *len)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? self_signed(key) : NULL;
    unsigned char *octets = NULL;
    PKCS12 *p12 = NULL;

    if (cert != NULL)
        p12 = PKCS12_create_ex("", NULL, key, cert, NULL, NID_aes_256_cbc, NID_aes_256_cbc, ROUNDS,
                               ROUNDS, 0, ctx, NULL);
    *len = p12 != NULL ? i2d_PKCS12(p12, &octets) : 0;
    PKCS12_free(p12);
    X509_free(cert);
    EVP_PKEY_free(key);
    return *len > 0 ? octets : NULL;
}

static int use(const unsigned char *octets, int len, struct ccs_error *err)
{
    const struct ccs_pfx_params params = {.password = CCS_PASSWORD_UNKNOWN, .kdf_limit = KDF_LIMIT};
    struct ccs_part *part = NULL;
    struct ccs_pfx *pfx = NULL;
    int rv = ccs_pkcs12_decode(octets, (size_t)len, &params, &pfx, err);

    if (rv == CCS_OK)
        rv = ccs_part_take(pfx, &part, err);
    if (rv == CCS_OK)
        rv = ccs_tls_warm(&part->pairs[0], err);
    ccs_part_unref(part);
    ccs_pfx_free(pfx);
    return rv;
}

static void prepare(void)
{
    OSSL_LIB_CTX *ctx = ccs_libctx(&prepare_error);
    unsigned char *octets = NULL;
    int len = 0;

    if (ctx == NULL)
        prepare_code = CCS_ESSL;
    else if ((octets = file_new(ctx, &len)) != NULL)
        prepare_code = use(octets, len, &prepare_error);
    else
        prepare_code = ccs_error_ssl(&prepare_error, CCS_ESSL,
                                     "OpenSSL cannot make a certificate with a P-256 key");
    OPENSSL_clear_free(octets, (size_t)len);
    ERR_clear_error();
}

int ccs_prepare(struct ccs_error *err)
{
    if (pthread_once(&prepare_once, prepare) == 0 && prepare_code == CCS_OK)
        return CCS_OK;
    return ccs_error_set(err, prepare_code == CCS_ENOMEM ? CCS_ENOMEM : CCS_ESSL,
                         "OpenSSL cannot serve certificates as it is installed here: %s",
                         prepare_error.text);
}
