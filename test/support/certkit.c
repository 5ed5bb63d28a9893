/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "certkit.h"

static void need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("certificate kit, %s: %s", what, reason);
    }
}

static EVP_PKEY *make_dsa(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL);
    EVP_PKEY *params = NULL, *key = NULL;

    need(ctx && EVP_PKEY_paramgen_init(ctx) == 1 &&
             EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024) == 1 &&
             EVP_PKEY_paramgen(ctx, &params) == 1,
         "DSA parameters");
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
    need(ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_generate(ctx, &key) == 1, "DSA key");
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(params);
    return key;
}

EVP_PKEY *ccs_certkit_key(const char *kind)
{
    const char *bits = strchr(kind, ':');
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;
    char name[20];

    if (strcmp(kind, "DSA") == 0)
        return make_dsa();
    if (kind[0] == 'P' || strncmp(kind, "secp", 4) == 0 || strncmp(kind, "brainpool", 9) == 0) {
        key = EVP_EC_gen(kind);
    } else {
        snprintf(name, sizeof(name), "%.*s", bits ? (int)(bits - kind) : (int)strlen(kind), kind);
        ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
        need(ctx && EVP_PKEY_keygen_init(ctx) == 1 &&
                 (!bits || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, atoi(bits + 1)) == 1) &&
                 EVP_PKEY_generate(ctx, &key) == 1,
             kind);
        EVP_PKEY_CTX_free(ctx);
    }
    need(key != NULL, kind);
    return key;
}

static void set_name(X509_NAME *name, const char *cn)
{
    need(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                    0) == 1,
         "name");
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    need(extension && X509_add_ext(cert, extension, -1) == 1, value);
    X509_EXTENSION_free(extension);
}

X509 *ccs_certkit_make(const struct ccs_certkit *spec)
{
    static long serial = 1000;
    const char *issuer = spec->issuer ? spec->issuer : spec->subject;
    EVP_PKEY *signer = spec->issuer ? spec->issuer_key : spec->key;
    long from = spec->not_before, until = spec->not_after;
    X509 *cert = X509_new();

    if (from == 0 && until == 0) {
        from = -3600;
        until = 30 * 86400L;
    }
    need(cert && X509_set_version(cert, X509_VERSION_3) == 1 &&
             ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++) == 1 &&
             X509_gmtime_adj(X509_getm_notBefore(cert), from) &&
             X509_gmtime_adj(X509_getm_notAfter(cert), until) &&
             X509_set_pubkey(cert, spec->key) == 1,
         spec->subject);
    set_name(X509_get_subject_name(cert), spec->subject);
    set_name(X509_get_issuer_name(cert), issuer);
    extend(cert, NID_basic_constraints, spec->ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (spec->no_sign)
        extend(cert, NID_key_usage, "critical,digitalSignature");
    /* Edwards curves have their digest built in. */
    need(X509_sign(cert, signer,
                   EVP_PKEY_is_a(signer, "ED25519") || EVP_PKEY_is_a(signer, "ED448")
                       ? NULL
                       : EVP_sha256()) > 0,
         "signature");
    return cert;
}
