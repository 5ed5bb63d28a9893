/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenSSL is told for one connection, and what it tells about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "pki.h"
#include "tls_client_inside.h"

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct ccs_tls_client *c = SSL_get_app_data(ssl);

    SSL_SESSION_free(c->session);
    c->session = session;
    return 1;
}

static void on_info(const SSL *ssl, int where, int ret)
{
    struct ccs_tls_client *c = SSL_get_app_data(ssl);

    if (where == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL) {
        c->result.alert = ret & 0xff;
    }
}

/* Notes the leaf, and what is wrong with it, and goes on, so that a test can see what was served
 * even when a sensible client would hang up. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct ccs_tls_client *c = SSL_get_app_data(ssl);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);

    if (leaf != NULL) {
        ccs_pki_fingerprint(leaf, c->result.fingerprint);
    }
    if (!ok && c->result.verify == X509_V_OK) {
        c->result.verify = X509_STORE_CTX_get_error(store);
    }
    return 1;
}

void ccs_tls_client_need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("TLS client, %s: %s", what, reason);
    }
}

static void set_alpn(SSL *ssl, const char *list)
{
    unsigned char wire[64];
    size_t used = 0, len;

    while (*list != '\0') {
        len = strcspn(list, ",");
        assert_true(len > 0 && len < 32 && used + len + 1 <= sizeof(wire));
        wire[used++] = (unsigned char)len;
        memcpy(wire + used, list, len);
        used += len;
        list += len + (list[len] == ',');
    }
    ccs_tls_client_need(SSL_set_alpn_protos(ssl, wire, (unsigned)used) == 0, "ALPN");
}

static int add_padding(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                       size_t *len, X509 *x, size_t index, int *alert, void *arg)
{
    struct ccs_tls_client *c = SSL_get_app_data(ssl);

    (void)type, (void)context, (void)x, (void)index, (void)arg;
    *out = calloc(1, c->spec.padding);
    *len = c->spec.padding;
    *alert = SSL_AD_INTERNAL_ERROR;
    return *out != NULL ? 1 : -1;
}

static void free_padding(SSL *ssl, unsigned type, unsigned context, const unsigned char *out,
                         void *arg)
{
    (void)ssl, (void)type, (void)context, (void)arg;
    free((void *)(uintptr_t)out);
}

static void ctx_new(struct ccs_tls_client *c)
{
    const struct ccs_tls_spec *spec = &c->spec;
    X509_STORE *store;

    c->ctx = SSL_CTX_new(TLS_client_method());
    ccs_tls_client_need(c->ctx != NULL, "context");
    SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
    SSL_CTX_set_info_callback(c->ctx, on_info);
    ccs_tls_client_need(SSL_CTX_set_min_proto_version(c->ctx, spec->min_version) &&
                            SSL_CTX_set_max_proto_version(c->ctx, spec->max_version),
                        "versions");
    if (spec->groups != NULL) {
        ccs_tls_client_need(SSL_CTX_set1_groups_list(c->ctx, spec->groups) == 1, "groups");
    }
    if (spec->sigalgs != NULL) {
        ccs_tls_client_need(SSL_CTX_set1_sigalgs_list(c->ctx, spec->sigalgs) == 1,
                            "signature algorithms");
    }
    if (spec->cert != NULL) {
        ccs_tls_client_need(SSL_CTX_use_certificate(c->ctx, spec->cert) == 1 &&
                                SSL_CTX_use_PrivateKey(c->ctx, spec->key) == 1,
                            "client certificate");
    }
    if (spec->padding > 0) {
        ccs_tls_client_need(SSL_CTX_add_custom_ext(c->ctx, 65280, SSL_EXT_CLIENT_HELLO, add_padding,
                                                   free_padding, NULL, NULL, NULL),
                            "padding");
    }
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, on_verify);
    store = X509_STORE_new();
    ccs_tls_client_need(
        store != NULL && (spec->root == NULL || X509_STORE_add_cert(store, spec->root)), "root");
    SSL_CTX_set_cert_store(c->ctx, store);
}

static void ssl_new(struct ccs_tls_client *c)
{
    const struct ccs_tls_spec *spec = &c->spec;
    const char *host = spec->verify_host != NULL ? spec->verify_host : spec->sni;

    c->ssl = SSL_new(c->ctx);
    ccs_tls_client_need(c->ssl != NULL, "connection");
    SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);
    c->from_net = BIO_new(BIO_s_mem());
    c->to_net = BIO_new(BIO_s_mem());
    ccs_tls_client_need(c->from_net != NULL && c->to_net != NULL, "memory");
    BIO_set_mem_eof_return(c->from_net, -1);
    SSL_set_bio(c->ssl, c->from_net, c->to_net);
    if (spec->raw_sni != NULL) {
        ccs_tls_client_need((int)SSL_set_tlsext_host_name(c->ssl, "placeholder.invalid"),
                            "server name");
    } else if (spec->sni != NULL) {
        ccs_tls_client_need((int)SSL_set_tlsext_host_name(c->ssl, spec->sni), "server name");
    }
    if (spec->root != NULL && host != NULL) {
        ccs_tls_client_need(X509_VERIFY_PARAM_set1_host(SSL_get0_param(c->ssl), host, 0),
                            "host to verify");
    }
    if (spec->alpn != NULL) {
        set_alpn(c->ssl, spec->alpn);
    }
    if (spec->session != NULL) {
        ccs_tls_client_need(SSL_set_session(c->ssl, spec->session), "session");
    }
}

void ccs_tls_client_setup(struct ccs_tls_client *c)
{
    ctx_new(c);
    ssl_new(c);
}
