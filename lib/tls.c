/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>

#include "error.h"
#include "handshake.h"
#include "tls.h"

static pthread_once_t tls_once = PTHREAD_ONCE_INIT;
static SSL_CTX *tls_scratch;         /* never serves anyone */
static STACK_OF(X509) *tls_no_chain; /* empty */

static void tls_init(void)
{
    ERR_set_mark();
    tls_no_chain = sk_X509_new_null();
    tls_scratch = SSL_CTX_new(TLS_server_method());
    ERR_pop_to_mark();
}

/* Names what OpenSSL has against a certificate or key, and what to do about it. */
static int tls_refused(struct ccs_error *err)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(e);
    const char *advice;

    if (reason == NULL)
        reason = "no reason given";
    switch (ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0) {
    case SSL_R_EE_KEY_TOO_SMALL:
        advice =
            "issue the certificate again with an RSA key of 2048 bits or more, or an ECDSA key";
        break;
    case SSL_R_CA_KEY_TOO_SMALL:
        advice =
            "have it issued by a CA certificate with a larger key, or lower the security level";
        break;
    case SSL_R_CA_MD_TOO_WEAK:
        advice = "have its chain signed with SHA-256 or better, or lower the security level";
        break;
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
        advice = "use a certificate with an RSA, ECDSA or EdDSA key";
        break;
    default:
        return ccs_error_set(err, CCS_ESSL, "OpenSSL does not take the certificate: %s", reason);
    }
    return ccs_error_set(err, CCS_EKEYUSE,
                         "OpenSSL's security settings refuse the certificate (%s): %s", reason,
                         advice);
}

static int tls_use_pair(SSL *ssl, const struct ccs_key_pair *pair, struct ccs_error *err)
{
    /*
     * Without a chain of its own the pair would be sent with the extra certificates of the SSL_CTX,
     * or with a chain that OpenSSL searches in the trust store. An empty one stops both.
     */
    STACK_OF(X509) *chain = pair->chain != NULL ? pair->chain : tls_no_chain;

    if (SSL_use_cert_and_key(ssl, pair->leaf, pair->key, chain, 1) == 1)
        return 1;
    tls_refused(err);
    return 0;
}

int ccs_tls_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err)
{
    struct ccs_error why;

    if (pthread_once(&tls_once, tls_init) != 0 || tls_no_chain == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a certificate chain");
    if (SSL_get_certificate(ssl) != NULL || SSL_get_privatekey(ssl) != NULL)
        SSL_certs_clear(ssl);
    /* The main pair comes last, which makes it the current one. */
    for (size_t i = cred->pair_count; i-- > 0;) {
        if (tls_use_pair(ssl, cred->pairs[i], &why))
            continue;
        SSL_certs_clear(ssl);
        return ccs_error_set(err, why.code, "%s: %s", ccs_cred_file(cred), why.text);
    }
    return CCS_OK;
}

int ccs_cred_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err)
{
    int rv;

    ERR_set_mark();
    rv = ccs_tls_use(cred, ssl, err);
    ERR_pop_to_mark();
    return rv;
}

/* The first signature makes what later ones need; for RSA it costs as much as a whole signature. */
static int tls_sign(EVP_PKEY *key)
{
    static const uint8_t text[32] = {0};
    uint8_t signature[1024];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok;

    ok = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
         EVP_DigestSign(ctx, signature, &len, text, sizeof(text)) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

int ccs_tls_warm(const struct ccs_key_pair *pair, struct ccs_error *err)
{
    SSL *ssl;
    struct ccs_error why;
    int rv;

    if (pthread_once(&tls_once, tls_init) != 0 || tls_scratch == NULL || tls_no_chain == NULL)
        return ccs_error_set(err, CCS_ESSL, "OpenSSL cannot make a TLS server context here");
    ERR_set_mark();
    ssl = SSL_new(tls_scratch);
    if (ssl == NULL)
        rv = ccs_error_set(err, CCS_ENOMEM, "OpenSSL has no memory for a TLS connection");
    else if (!tls_use_pair(ssl, pair, &why))
        rv = ccs_error_set(err, why.code, "%s", why.text);
    else if ((pair->key_type == EVP_PKEY_RSA || pair->key_type == EVP_PKEY_RSA_PSS) &&
             !tls_sign(pair->key))
        rv = ccs_error_set(
            err, CCS_EKEYUSE,
            "the private key cannot sign: export the certificate again, with its key");
    else
        rv = CCS_OK;
    SSL_free(ssl);
    ERR_pop_to_mark();
    return rv;
}

/* -- servers that may block ---------------------------------------------------------------- */

/* The host_name of a hello, as OpenSSL reads it: a list of exactly one (RFC 6066 3). */
static void tls_hello_name(SSL *ssl, const char **name, size_t *len)
{
    const unsigned char *ext;
    size_t size, name_len;

    *name = NULL;
    *len = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &size) != 1 || size < 5)
        return;
    name_len = (size_t)ext[3] << 8 | ext[4];
    if (((size_t)ext[0] << 8 | ext[1]) != size - 2 || ext[2] != TLSEXT_NAMETYPE_host_name ||
        name_len != size - 5)
        return;
    *name = (const char *)ext + 5;
    *len = name_len;
}

/*
 * Runs before OpenSSL looks at the session that the client offers, so that the session id context
 * is the name's own by then.
 */
static int tls_hello(SSL *ssl, int *alert, void *arg)
{
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));
    struct ccs_handshake *handshake = ccs_handshake_get(ssl);
    const char *name;
    size_t len;

    (void)arg;
    if (attachment == NULL || attachment->site == NULL)
        return SSL_CLIENT_HELLO_SUCCESS;
    ERR_set_mark();
    tls_hello_name(ssl, &name, &len);
    if (handshake == NULL)
        handshake = ccs_handshake_new(ssl);
    if (handshake != NULL)
        ccs_handshake_wait(handshake, attachment->site, name, len);
    ERR_pop_to_mark();
    if (handshake != NULL)
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

int ccs_ssl_ctx_attach(SSL_CTX *ctx, struct ccs_site *site, struct ccs_error *err)
{
    const struct ccs_attachment *before;
    const struct ccs_attachment attachment = {.site = site, .blocking = 1};
    int rv;

    if (ctx == NULL || site == NULL)
        return ccs_error_set(err, CCS_EINVAL, "attaching needs an SSL_CTX and a site");
    before = ccs_attachment_get(ctx);
    if (before != NULL && !before->blocking)
        return ccs_error_set(err, CCS_EINVAL, "this SSL_CTX has a gate already");
    rv = ccs_attachment_set(ctx, &attachment, err);
    if (rv == CCS_OK)
        SSL_CTX_set_client_hello_cb(ctx, tls_hello, NULL);
    return rv;
}
