/* SPDX-License-Identifier: Apache-2.0 */
/* Between mod_ssl, which owns the connections, and libccs, which decides what they are served. */
#include <string.h>

#include <http_ssl.h>
#include <mod_ssl_openssl.h>

#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

/* -- one connection ------------------------------------------------------------------------ */

static apr_status_t connection_cleanup(void *data)
{
    struct mod_ccs_connection *connection = data;

    ccs_cred_unref(connection->served.cred);
    connection->served.cred = NULL;
    return APR_SUCCESS;
}

struct mod_ccs_connection *mod_ccs_connection(conn_rec *c)
{
    struct mod_ccs_connection *connection = mod_ccs_connection_of(c);

    if (connection != NULL)
        return connection;
    connection = apr_pcalloc(c->pool, sizeof(*connection));
    ap_set_module_config(c->conn_config, &ccs_module, connection);
    apr_pool_cleanup_register(c->pool, connection, connection_cleanup, apr_pool_cleanup_null);
    return connection;
}

const struct mod_ccs_served *mod_ccs_served(const conn_rec *c)
{
    const struct mod_ccs_connection *connection;

    connection = mod_ccs_connection_of(c->master != NULL ? c->master : c);
    return connection != NULL && connection->served.result != CCS_RESULT_NONE ? &connection->served
                                                                              : NULL;
}

static void on_served(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    struct mod_ccs_served *served = &mod_ccs_connection(SSL_get_app_data(ssl))->served;

    (void)arg;
    served->result = answer->result;
    if (served->cred == answer->cred)
        return;
    ccs_cred_unref(served->cred);
    served->cred = answer->cred != NULL ? ccs_cred_ref(answer->cred) : NULL;
}

static void on_rejected(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    const struct mod_ccs_conf *conf = arg;
    conn_rec *c = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    ap_log_cserror(APLOG_MARK, APLOG_INFO, 0, c, conf->server,
                   MOD_CCS_LOG "handshake for \"%s\" refused: %s",
                   name != NULL ? ap_escape_logitem(c->pool, name) : "",
                   answer->error.text[0] ? answer->error.text : ccs_strerror(answer->code));
}

/* A connection that is being closed runs its handshake once more. */
static int nobody_waits(struct ccs_answer *out)
{
    out->code = out->error.code = CCS_ECANCELED;
    out->error.sys_errno = 0;
    out->result = CCS_RESULT_NONE;
    out->cred = NULL;
    apr_cpystrn(out->error.text, "the client has gone", sizeof(out->error.text));
    return CCS_ECANCELED;
}

static int on_acquire(SSL *ssl, struct ccs *ccs, const char *name, size_t len,
                      struct ccs_answer *out, void *arg)
{
    const conn_rec *c = SSL_get_app_data(ssl);
    int rv;

    (void)arg;
    if (mod_ccs_park_answer(c, ccs, name, len, out))
        return out->code;
    rv = ccs_lookup(ccs, name, len, out);
    if (rv != CCS_PENDING)
        return rv;
    if (c->aborted)
        return nobody_waits(out);
    if (!mod_ccs_wait_begin())
        return ccs_acquire(ccs, name, len, 0, out);
    rv = ccs_acquire(ccs, name, len, -1, out);
    mod_ccs_wait_end();
    return rv;
}

/* -- servers ------------------------------------------------------------------------------- */

static int add_cert_files(server_rec *s, apr_pool_t *p, apr_array_header_t *certs,
                          apr_array_header_t *keys)
{
    struct mod_ccs_conf *conf = mod_ccs_conf_of(s);
    const char *path;

    if (!conf->enabled || certs->nelts > 0)
        return DECLINED;
    path = mod_ccs_placeholder(p, s);
    if (path == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     MOD_CCS_LOG "no placeholder can be made for a server without "
                                 "SSLCertificateFile: check OpenSSL's configuration and "
                                 "DefaultRuntimeDir");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    conf->placeholder = 1;
    APR_ARRAY_PUSH(certs, const char *) = path;
    APR_ARRAY_PUSH(keys, const char *) = path;
    return OK;
}

static apr_status_t site_free(void *site)
{
    ccs_site_free(site);
    return APR_SUCCESS;
}

/* As for mod_ssl, a session belongs to a server of one name, port and set of addresses. */
static const char *session_text(apr_pool_t *p, const server_rec *s)
{
    const char *text = apr_psprintf(p, "apache %s:%u", s->server_hostname, (unsigned)s->port);

    for (const server_addr_rec *a = s->addrs; a != NULL; a = a->next)
        text = apr_psprintf(p, "%s %s:%u", text, a->virthost, (unsigned)a->host_port);
    return text;
}

static int make_site(apr_pool_t *p, struct mod_ccs_conf *conf, struct ccs_error *err)
{
    struct ccs_config *config = conf->config;
    int rv;

    /* Nobody falls back to a placeholder. */
    if (conf->placeholder && strcmp(ccs_config_get(config, "unknown_name"), "fallback") == 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, conf->server,
                     MOD_CCS_LOG "%s:%d: CCSUnknownName fallback has no SSLCertificateFile to fall "
                                 "back to",
                     conf->engine.file, conf->engine.line);
        rv = ccs_config_set(config, "unknown_name", "reject", err);
        if (rv != CCS_OK)
            return rv;
    }
    conf->site = ccs_site_new(config, session_text(p, conf->server), err);
    if (conf->site == NULL)
        return err->code;
    apr_pool_cleanup_register(p, conf->site, site_free, apr_pool_cleanup_null);
    return CCS_OK;
}

/* All of them: a handshake begins at the first server of its address, whichever that is. */
static int init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    struct mod_ccs_conf *conf = mod_ccs_conf_of(s);
    const struct ccs_thread_host host = {
        .acquire = on_acquire, .served = on_served, .rejected = on_rejected, .arg = conf};
    struct ccs_error err;
    int rv = CCS_OK;

    if (is_proxy || !mod_ccs_is_used())
        return OK;
    if (conf->enabled)
        rv = make_site(p, conf, &err);
    if (rv == CCS_OK)
        rv = ccs_thread_attach(ctx, conf->site, &host, &err);
    if (rv == CCS_OK)
        return OK;
    /* In a restart as well: a server that serves a placeholder would be worse than none. */
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, MOD_CCS_LOG "%s", err.text);
    return HTTP_INTERNAL_SERVER_ERROR;
}

/*
 * mod_ssl would look for the responder of a placeholder, and find none. Certificates from a store
 * are not stapled.
 */
static int ocsp_prime(server_rec *s, apr_pool_t *p, const char *id, apr_size_t id_len,
                      const char *pem)
{
    (void)p, (void)id, (void)id_len, (void)pem;
    return mod_ccs_conf_of(s)->placeholder ? OK : DECLINED;
}

static int ocsp_respond(server_rec *s, conn_rec *c, const char *id, apr_size_t id_len,
                        ap_ssl_ocsp_copy_resp *copy, void *data)
{
    (void)c, (void)id, (void)id_len;
    if (!mod_ccs_conf_of(s)->placeholder)
        return DECLINED;
    copy(NULL, 0, data);
    return OK;
}

void mod_ccs_handshake_hooks(apr_pool_t *pool)
{
    static const char *const after_md[] = {"mod_md.c", NULL};

    (void)pool;
    ap_hook_ssl_add_cert_files(add_cert_files, after_md, NULL, APR_HOOK_LAST);
    APR_OPTIONAL_HOOK(ssl, init_server, init_server, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_ssl_ocsp_prime_hook(ocsp_prime, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_ssl_ocsp_get_resp_hook(ocsp_respond, NULL, NULL, APR_HOOK_FIRST);
}
