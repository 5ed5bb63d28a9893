/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "base.h"
#include "error.h"
#include "handshake.h"
#include "hello.h"
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

static CCS_WARM int tls_use_served(SSL *ssl, const struct ccs_served *served, struct ccs_error *err)
{
    /*
     * Without a chain of its own the pair would be sent with the extra certificates of the SSL_CTX,
     * or with a chain that OpenSSL searches in the trust store. An empty one stops both.
     */
    STACK_OF(X509) *chain = served->chain != NULL ? served->chain : tls_no_chain;

    /*
     * Without a key of its own a certificate is used with the key inside of it, which need not be
     * compared then. That is a habit of OpenSSL and no promise, so it is looked at.
     */
    if (X509_get0_pubkey(served->leaf) == served->key &&
        SSL_use_cert_and_key(ssl, served->leaf, NULL, chain, 1) == 1 &&
        SSL_get_privatekey(ssl) == served->key)
        return 1;
    if (SSL_use_cert_and_key(ssl, served->leaf, served->key, chain, 1) == 1)
        return 1;
    tls_refused(err);
    return 0;
}

static int tls_use_pair(SSL *ssl, const struct ccs_key_pair *pair, struct ccs_error *err)
{
    const struct ccs_served served = ccs_served_of(pair);

    return tls_use_served(ssl, &served, err);
}

CCS_WARM int ccs_tls_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err)
{
    struct ccs_error why;

    if (pthread_once(&tls_once, tls_init) != 0 || tls_no_chain == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a certificate chain");
    if (SSL_get_certificate(ssl) != NULL || SSL_get_privatekey(ssl) != NULL)
        SSL_certs_clear(ssl);
    /* The main pair comes last, which makes it the current one. */
    for (size_t i = cred->pair_count; i-- > 1;)
        if (!tls_use_pair(ssl, cred->pairs[i], &why))
            goto refused;
    if (tls_use_served(ssl, &cred->main, &why))
        return CCS_OK;
refused:
    SSL_certs_clear(ssl);
    return ccs_error_set(err, why.code, "%s: %s", ccs_cred_file(cred), why.text);
}

int ccs_cred_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err)
{
    int rv;

    ERR_set_mark();
    rv = ccs_tls_use(cred, ssl, err);
    ERR_pop_to_mark();
    return rv;
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
 * Must run before OpenSSL looks at the session that the client offers, so that the session id
 * context is the name's own by then. NULL: no memory.
 */
static struct ccs_handshake *tls_decide(SSL *ssl, const struct ccs_attachment *attachment)
{
    struct ccs_handshake *handshake = ccs_handshake_get(ssl);
    const char *name;
    size_t len;

    ERR_set_mark();
    tls_hello_name(ssl, &name, &len);
    if (handshake == NULL)
        handshake = ccs_handshake_new(ssl);
    if (handshake != NULL)
        ccs_handshake_wait(handshake, attachment, name, len);
    ERR_pop_to_mark();
    return handshake;
}

static int tls_hello(SSL *ssl, int *alert, void *arg)
{
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));

    (void)arg;
    if (attachment == NULL || attachment->site == NULL || tls_decide(ssl, attachment) != NULL)
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

/* -- servers that choose in a client hello callback ------------------------------------------ */

/*
 * Between that callback and the comparison of a session's id context with that of the connection
 * OpenSSL calls nobody, except to open a ticket and to fetch a session from a cache. A handshake
 * that offers no session is decided in the server name callback, which is soon enough for it.
 *
 * Returns 0 if the session must not be resumed, whatever it says.
 */
static int tls_offered(SSL *ssl)
{
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));

    if (attachment == NULL || attachment->site == NULL)
        return 1;
    return SSL_total_renegotiations(ssl) == 0 && tls_decide(ssl, attachment) != NULL;
}

static SSL_TICKET_RETURN tls_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *key_name,
                                    size_t key_name_len, SSL_TICKET_STATUS status, void *arg)
{
    (void)session, (void)key_name, (void)key_name_len, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!tls_offered(ssl))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static SSL_SESSION *tls_session(SSL *ssl, const unsigned char *id, int len, int *copy)
{
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(ssl));

    if (attachment == NULL || attachment->next_session == NULL || !tls_offered(ssl))
        return NULL;
    return attachment->next_session(ssl, id, len, copy);
}

int ccs_thread_attach(SSL_CTX *ctx, struct ccs_site *site, const struct ccs_thread_host *host,
                      struct ccs_error *err)
{
    struct ccs_attachment attachment = {.site = site, .blocking = 1};
    const struct ccs_attachment *before;
    int rv;

    if (ctx == NULL || host == NULL)
        return ccs_error_set(err, CCS_EINVAL, "attaching needs an SSL_CTX and a host");
    before = ccs_attachment_get(ctx);
    if (before != NULL && !before->blocking)
        return ccs_error_set(err, CCS_EINVAL, "this SSL_CTX has a gate already");
    attachment.thread = *host;
    attachment.host.rejected = host->rejected;
    attachment.host.arg = host->arg;
    attachment.next_session = SSL_CTX_sess_get_get_cb(ctx);
    if (attachment.next_session == tls_session)
        attachment.next_session = before != NULL ? before->next_session : NULL;
    rv = ccs_attachment_set(ctx, &attachment, err);
    if (rv != CCS_OK)
        return rv;
    if (attachment.next_session != NULL)
        SSL_CTX_sess_set_get_cb(ctx, tls_session);
    if (SSL_CTX_set_session_ticket_cb(ctx, NULL, tls_ticket, NULL) != 1)
        return ccs_error_set(err, CCS_ESSL, "OpenSSL takes no session ticket callback");
    return CCS_OK;
}

int ccs_hello_server_name(const uint8_t *buf, size_t size, char name[CCS_SERVER_NAME_SIZE],
                          size_t *len)
{
    struct ccs_hello hello;
    int rv;

    ccs_hello_init(&hello);
    rv = ccs_hello_feed(&hello, buf, size);
    if (rv != CCS_OK)
        return rv;
    memcpy(name, hello.name, hello.name_len);
    name[hello.name_len] = '\0';
    *len = hello.name_len;
    return CCS_OK;
}
