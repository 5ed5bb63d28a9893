/* SPDX-License-Identifier: Apache-2.0 */
#include "ngx_ccs.h"

#include <ngx_event.h>

/* -- settings ------------------------------------------------------------------------------ */

/* While an old configuration is in use there may be those of two. */
static ngx_queue_t ngx_ccs_confs = {&ngx_ccs_confs, &ngx_ccs_confs};

static void ngx_ccs_conf_free(void *data)
{
    ngx_ccs_conf_t *conf = data;

    ngx_queue_remove(&conf->all);
    ccs_site_free(conf->site);
    ccs_config_free(conf->config);
}

ngx_ccs_conf_t *ngx_ccs_conf_create(ngx_conf_t *cf)
{
    ngx_ccs_conf_t *conf = ngx_pcalloc(cf->pool, sizeof(*conf));
    ngx_pool_cleanup_t *cln;

    if (conf == NULL)
        return NULL;
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL)
        return NULL;
    conf->enable = NGX_CONF_UNSET;
    conf->config = ccs_config_new();
    if (conf->config == NULL)
        return NULL;
    cln->handler = ngx_ccs_conf_free;
    cln->data = conf;
    ngx_queue_insert_tail(&ngx_ccs_confs, &conf->all);
    return conf;
}

void ngx_ccs_conf_wipe_logins(void)
{
    for (ngx_queue_t *q = ngx_queue_head(&ngx_ccs_confs); q != ngx_queue_sentinel(&ngx_ccs_confs);
         q = ngx_queue_next(q)) {
        const ngx_ccs_conf_t *conf = ngx_queue_data(q, ngx_ccs_conf_t, all);

        ccs_config_wipe_login(conf->config);
    }
}

char *ngx_ccs_set_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    ngx_ccs_conf_t *conf = data;
    ngx_command_t flag = *cmd;
    char *rv;

    flag.offset = offsetof(ngx_ccs_conf_t, enable);
    rv = ngx_conf_set_flag_slot(cf, &flag, conf);
    if (rv != NGX_CONF_OK)
        return rv;
    conf->here = 1;
    conf->file = cf->conf_file->file.name.data;
    conf->line = cf->conf_file->line;
    return NGX_CONF_OK;
}

char *ngx_ccs_set(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    ngx_ccs_conf_t *conf = data;
    const char *name = (const char *)cmd->name.data + sizeof("ccs_") - 1;
    ngx_str_t value = ((ngx_str_t *)cf->args->elts)[1];
    struct ccs_error err;

    if (ccs_config_is_set(conf->config, name))
        return (char *)"is duplicate";

    /* A share's name, in any of its forms, is not one to be looked for beside nginx.conf. */
    if (cmd->offset == NGX_CCS_FILE && value.len > 0 && value.data[0] != '\\' &&
        ngx_strstr(value.data, "://") == NULL && ngx_conf_full_name(cf->cycle, &value, 1) != NGX_OK)
        return NGX_CONF_ERROR;

    if (ccs_config_set(conf->config, name, (const char *)value.data, &err) != CCS_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": %s", &cmd->name, err.text);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}

static ngx_uint_t ngx_ccs_falls_back(const ngx_ccs_conf_t *conf)
{
    const char *value = ccs_config_get(conf->config, "unknown_name");

    return value != NULL && ngx_strcmp(value, "fallback") == 0;
}

char *ngx_ccs_conf_merge(ngx_conf_t *cf, ngx_ccs_conf_t *prev, ngx_ccs_conf_t *conf)
{
    struct ccs_error err;

    if (conf->enable == NGX_CONF_UNSET) {
        conf->enable = prev->enable == NGX_CONF_UNSET ? 0 : prev->enable;
        conf->file = prev->file;
        conf->line = prev->line;
    }
    if (ccs_config_inherit(conf->config, prev->config, &err) != CCS_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "ccs: %s", err.text);
        return NGX_CONF_ERROR;
    }
    if (conf->enable && conf->here && !conf->tls) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "the \"ccs\" directive in %s:%ui has no effect, because the server has no "
                      "\"listen ... ssl\"",
                      conf->file, conf->line);
    }
    if (!ngx_ccs_conf_active(conf))
        return NGX_CONF_OK;

    if (ccs_config_get(conf->config, "store") == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"ccs_store\" is defined for the \"ccs\" directive in %s:%ui", conf->file,
                      conf->line);
        return NGX_CONF_ERROR;
    }
    if (ccs_config_check(conf->config, &err) != CCS_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the settings for the \"ccs\" directive in %s:%ui are refused: %s",
                      conf->file, conf->line, err.text);
        return NGX_CONF_ERROR;
    }
    return ngx_ccs_agent_check(cf, conf) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}

char *ngx_ccs_conf_certificates(ngx_conf_t *cf, ngx_ccs_conf_t *conf, ngx_array_t *outer,
                                ngx_array_t **certificates, ngx_array_t **keys)
{
    if (!ngx_ccs_conf_active(conf) || *certificates != NGX_CONF_UNSET_PTR ||
        outer != NGX_CONF_UNSET_PTR)
        return NGX_CONF_OK;

    if (ngx_ccs_falls_back(conf)) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"ccs_unknown_name fallback\" has no \"ssl_certificate\" to fall back to "
                      "for the \"ccs\" directive in %s:%ui",
                      conf->file, conf->line);
    }
    *certificates = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    *keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    return *certificates == NULL || *keys == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}

/* -- sites --------------------------------------------------------------------------------- */

/* Each part with its length in front, so that no two different servers make the same text. */
static const char *ngx_ccs_identity_text(ngx_pool_t *pool, const char *protocol,
                                         const ngx_ccs_identity_t *id)
{
    static const char format[] = "%s %ui %ui %ui %uz:%V %uz:%V %uz:%V %uz:%V%Z";
    size_t size = sizeof(format) + ngx_strlen(protocol) + 3 * NGX_INT_T_LEN + 4 * NGX_SIZE_T_LEN +
                  id->name.len + id->client_certificate.len + id->trusted_certificate.len +
                  id->crl.len;
    u_char *text = ngx_pnalloc(pool, size);

    if (text == NULL)
        return NULL;
    ngx_snprintf(text, size, format, protocol, id->verify, id->depth, id->ocsp, id->name.len,
                 &id->name, id->client_certificate.len, &id->client_certificate,
                 id->trusted_certificate.len, &id->trusted_certificate, id->crl.len, &id->crl);
    return (const char *)text;
}

ngx_int_t ngx_ccs_site_add(ngx_conf_t *cf, ngx_ccs_conf_t *conf, ngx_array_t *sites,
                           const char *protocol, const ngx_ccs_identity_t *identity,
                           ngx_uint_t variables)
{
    struct ccs_error err;
    ngx_ccs_conf_t **place;
    const char *text;

    if (variables) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ssl_certificate\" with variables cannot be used together with the \"ccs\" "
                      "directive in %s:%ui: name files without variables, or use \"ccs off\"",
                      conf->file, conf->line);
        return NGX_ERROR;
    }
    text = ngx_ccs_identity_text(cf->temp_pool, protocol, identity);
    if (text == NULL)
        return NGX_ERROR;
    conf->site = ccs_site_new(conf->config, text, &err);
    if (conf->site == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the settings for the \"ccs\" directive in %s:%ui are refused: %s",
                      conf->file, conf->line, err.text);
        return NGX_ERROR;
    }
    place = ngx_array_push(sites);
    if (place == NULL)
        return NGX_ERROR;
    *place = conf;
    return NGX_OK;
}

static void ngx_ccs_resume(SSL *ssl, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);

    (void)arg;
    ngx_post_event(c->read, &ngx_posted_events);
}

static void ngx_ccs_rejected(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    u_char buf[TLSEXT_MAXLEN_host_name * (sizeof("\\xff") - 1)];
    u_char *p = buf;

    (void)arg;
    c->ssl->handshake_rejected = 1;
    for (const char *s = name; s != NULL && *s && p + 4 <= buf + sizeof(buf); s++) {
        u_char ch = (u_char)*s;

        if (ch <= 0x20 || ch >= 0x7f || ch == '"' || ch == '\\')
            p = ngx_sprintf(p, "\\x%02xd", ch);
        else
            *p++ = ch;
    }
    ngx_log_error(NGX_LOG_INFO, c->log, 0, "ccs: handshake for \"%*s\" refused: %s",
                  (size_t)(p - buf), buf,
                  answer->error.text[0] ? answer->error.text : ccs_strerror(answer->code));
}

ngx_int_t ngx_ccs_attach(ngx_conf_t *cf, SSL_CTX *ctx, ngx_ccs_conf_t *conf,
                         struct ccs_gate_host *host)
{
    struct ccs_error err;

    host->resume = ngx_ccs_resume;
    host->rejected = ngx_ccs_rejected;
    host->single_use = 1;
    if (ccs_gate_attach(ctx, conf->site, host, &err) == CCS_OK)
        return NGX_OK;
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "ccs: %s", err.text);
    return NGX_ERROR;
}

/* -- variables ----------------------------------------------------------------------------- */

static ngx_int_t ngx_ccs_set_text(ngx_pool_t *pool, ngx_variable_value_t *v, const char *text)
{
    size_t len = ngx_strlen(text);
    u_char *data = ngx_pnalloc(pool, len);

    if (data == NULL)
        return NGX_ERROR;
    ngx_memcpy(data, text, len);
    v->data = data;
    v->len = (unsigned)len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    return NGX_OK;
}

ngx_int_t ngx_ccs_variable(ngx_connection_t *c, ngx_pool_t *pool, ngx_variable_value_t *v,
                           uintptr_t which)
{
    const struct ccs_answer *answer = c->ssl ? ccs_ssl_answer(c->ssl->connection) : NULL;
    u_char date[sizeof("-9223372036854775808-12-31T23:59:59Z")];
    ngx_tm_t tm;

    v->not_found = 1;
    if (answer == NULL)
        return NGX_OK;
    if (which == NGX_CCS_VAR_RESULT)
        return answer->result == CCS_RESULT_NONE
                   ? NGX_OK
                   : ngx_ccs_set_text(pool, v, ccs_result_name(answer->result));
    if (answer->cred == NULL)
        return NGX_OK;
    if (which == NGX_CCS_VAR_FILE)
        return ngx_ccs_set_text(pool, v, ccs_cred_file(answer->cred));

    ngx_gmtime((time_t)ccs_cred_not_after(answer->cred), &tm);
    ngx_sprintf(date, "%4d-%02d-%02dT%02d:%02d:%02dZ%Z", tm.ngx_tm_year, tm.ngx_tm_mon,
                tm.ngx_tm_mday, tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec);
    return ngx_ccs_set_text(pool, v, (const char *)date);
}
