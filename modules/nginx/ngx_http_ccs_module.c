/* SPDX-License-Identifier: Apache-2.0 */
#include "ngx_ccs.h"

#include <nginx.h>
#include <ngx_http.h>

#include "ngx_http_ccs_status.h"

#if !(NGX_HTTP_SSL)
#error "The ccs module needs an nginx configured with --with-http_ssl_module"
#endif

typedef struct {
    /*
     * What http{} itself says about TLS. While servers are merged nginx hides it, so it is kept
     * from the moment before.
     */
    ngx_http_ssl_srv_conf_t *outer;
    ngx_array_t sites;    /* of ngx_ccs_conf_t * */
    ngx_shm_zone_t *zone; /* NULL without sites */
} ngx_http_ccs_main_conf_t;

extern ngx_module_t ngx_http_ccs_module;

#define NGX_HTTP_CCS_LEVELS (NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF)

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help)                               \
    {ngx_string("ccs_" #name),                                                                     \
     NGX_HTTP_CCS_LEVELS | NGX_CONF_TAKE1,                                                         \
     ngx_ccs_set,                                                                                  \
     NGX_HTTP_SRV_CONF_OFFSET,                                                                     \
     NGX_CCS_##kind,                                                                               \
     NULL},
static ngx_command_t ngx_http_ccs_commands[] = {
    {ngx_string("ccs"), NGX_HTTP_CCS_LEVELS | NGX_CONF_FLAG, ngx_ccs_set_enable,
     NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},
#include <ccs/settings.def>
    {ngx_string("ccs_status"), NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     ngx_http_ccs_set_status, 0, 0, NULL},
    ngx_null_command};
#undef CCS_SETTING

/* -- variables ----------------------------------------------------------------------------- */

static ngx_int_t ngx_http_ccs_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                                       uintptr_t data)
{
    return ngx_ccs_variable(r->connection, r->pool, v, data);
}

static ngx_http_variable_t ngx_http_ccs_vars[] = {NGX_CCS_VARIABLES(ngx_http_ccs_variable, 0)};

static ngx_int_t ngx_http_ccs_add_variables(ngx_conf_t *cf)
{
    for (size_t i = 0; i < sizeof(ngx_http_ccs_vars) / sizeof(ngx_http_ccs_vars[0]); i++) {
        ngx_http_variable_t *var = ngx_http_add_variable(cf, &ngx_http_ccs_vars[i].name,
                                                         ngx_http_ccs_vars[i].flags);

        if (var == NULL)
            return NGX_ERROR;
        var->get_handler = ngx_http_ccs_vars[i].get_handler;
        var->data = ngx_http_ccs_vars[i].data;
    }
    return NGX_OK;
}

/* -- configuration ------------------------------------------------------------------------- */

static void *ngx_http_ccs_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_ccs_main_conf_t *main = ngx_pcalloc(cf->pool, sizeof(*main));

    if (main == NULL || ngx_array_init(&main->sites, cf->pool, 4, sizeof(void *)) != NGX_OK)
        return NULL;
    return main;
}

static void *ngx_http_ccs_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_ccs_conf_create(cf);
}

static ngx_ccs_conf_t *ngx_http_ccs_conf_of(const ngx_http_core_srv_conf_t *server)
{
    return server->ctx->srv_conf[ngx_http_ccs_module.ctx_index];
}

static ngx_http_ssl_srv_conf_t *ngx_http_ccs_ssl_conf_of(const ngx_http_core_srv_conf_t *server)
{
    return server->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
}

static ngx_uint_t ngx_http_ccs_is_tls(const ngx_http_conf_addr_t *addr)
{
#if nginx_version >= 1025000
    if (addr->opt.quic)
        return 1;
#endif
    return addr->opt.ssl;
}

/* Whether TLS is spoken at an address is known only now that all servers are read. */
static void ngx_http_ccs_mark_tls(ngx_http_core_main_conf_t *core)
{
    ngx_http_conf_port_t *port = core->ports ? core->ports->elts : NULL;

    for (ngx_uint_t p = 0; port != NULL && p < core->ports->nelts; p++) {
        ngx_http_conf_addr_t *addr = port[p].addrs.elts;

        for (ngx_uint_t a = 0; a < port[p].addrs.nelts; a++) {
            ngx_http_core_srv_conf_t **server = addr[a].servers.elts;

            for (ngx_uint_t s = 0; ngx_http_ccs_is_tls(&addr[a]) && s < addr[a].servers.nelts; s++)
                ngx_http_ccs_conf_of(server[s])->tls = 1;
        }
    }
}

static char *ngx_http_ccs_init_main_conf(ngx_conf_t *cf, void *data)
{
    ngx_http_ccs_main_conf_t *main = data;
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    main->outer = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);
    ngx_http_ccs_mark_tls(core);

#if nginx_version < 1025001
    /* The old "ssl on;", at either level. */
    for (ngx_uint_t s = 0; s < core->servers.nelts; s++) {
        ngx_http_core_srv_conf_t *server = ((ngx_http_core_srv_conf_t **)core->servers.elts)[s];
        ngx_flag_t enable = ngx_http_ccs_ssl_conf_of(server)->enable;

        if (enable == NGX_CONF_UNSET)
            enable = main->outer->enable;
        if (enable == 1)
            ngx_http_ccs_conf_of(server)->tls = 1;
    }
#endif
    return NGX_CONF_OK;
}

static char *ngx_http_ccs_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_ccs_main_conf_t *main = ngx_http_conf_get_module_main_conf(cf, ngx_http_ccs_module);
    ngx_http_ssl_srv_conf_t *ssl = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

    if (ngx_ccs_conf_merge(cf, parent, child) != NGX_CONF_OK)
        return NGX_CONF_ERROR;
    return ngx_ccs_conf_certificates(cf, child, main->outer->certificates, &ssl->certificates,
                                     &ssl->certificate_keys);
}

/* -- the gate ------------------------------------------------------------------------------ */

/* The server that nginx will find for a name, NULL for the listener's default one. */
static ngx_http_core_srv_conf_t *ngx_http_ccs_find_server(ngx_http_virtual_names_t *names,
                                                          ngx_str_t *host)
{
    ngx_http_core_srv_conf_t *server;

    /* Names with slashes or empty labels are none for nginx. */
    if (names == NULL || ngx_strlchr(host->data, host->data + host->len, '/') != NULL ||
        ngx_strnstr(host->data, (char *)"..", host->len) != NULL)
        return NULL;

    server = ngx_hash_find_combined(&names->names, ngx_hash_key(host->data, host->len), host->data,
                                    host->len);
    if (server != NULL)
        return server;
#if (NGX_PCRE)
    for (ngx_uint_t i = 0; i < names->nregex; i++) {
        if (ngx_regex_exec(names->regex[i].regex->regex, host, NULL, 0) >= 0)
            return names->regex[i].server;
    }
#endif
    return NULL;
}

static struct ccs_site *ngx_http_ccs_choose(SSL *ssl, const char *name, size_t len, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    ngx_http_connection_t *hc = c->data;
    ngx_http_core_srv_conf_t *server = NULL;
    ngx_http_ssl_srv_conf_t *conf;
    ngx_str_t host = {len, (u_char *)name};

    (void)arg;
#if nginx_version >= 1025000
    /* Nothing would run a suspended QUIC handshake again. */
    if (hc->addr_conf->quic)
        return NULL;
#endif
    if (len > 0)
        server = ngx_http_ccs_find_server(hc->addr_conf->virtual_names, &host);
    if (server == NULL)
        server = ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_core_module);

    conf = ngx_http_ccs_ssl_conf_of(server);
    if (conf->reject_handshake)
        return NULL;
    /* A server without TLS of its own leaves the handshake to the default one. */
    if (conf->ssl.ctx == NULL)
        server = ngx_http_get_module_srv_conf(hc->conf_ctx, ngx_http_core_module);
    return ngx_http_ccs_conf_of(server)->site;
}

static ngx_int_t ngx_http_ccs_add_site(ngx_conf_t *cf, ngx_http_ccs_main_conf_t *main,
                                       ngx_http_core_srv_conf_t *server)
{
    ngx_http_ssl_srv_conf_t *ssl = ngx_http_ccs_ssl_conf_of(server);
    ngx_ccs_identity_t identity = {
        .name = server->server_name,
        .verify = ssl->verify,
        .depth = ssl->verify_depth,
        .ocsp = ssl->ocsp,
        .client_certificate = ssl->client_certificate,
        .trusted_certificate = ssl->trusted_certificate,
        .crl = ssl->crl,
    };

    return ngx_ccs_site_add(cf, ngx_http_ccs_conf_of(server), &main->sites, "http", &identity,
                            ssl->certificate_values != NULL);
}

static ngx_int_t ngx_http_ccs_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_ccs_main_conf_t *main = ngx_http_conf_get_module_main_conf(cf, ngx_http_ccs_module);
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_core_srv_conf_t **server = core->servers.elts;
    struct ccs_gate_host host = {
        .choose = ngx_http_ccs_choose,
        .next_servername = ngx_http_ssl_servername,
    };

    for (ngx_uint_t i = 0; i < core->servers.nelts; i++) {
        if (ngx_ccs_conf_active(ngx_http_ccs_conf_of(server[i])) &&
            ngx_http_ccs_add_site(cf, main, server[i]) != NGX_OK)
            return NGX_ERROR;
    }
    /* All of them: a handshake begins at the default server of its listener, whichever that is. */
    for (ngx_uint_t i = 0; main->sites.nelts > 0 && i < core->servers.nelts; i++) {
        SSL_CTX *ctx = ngx_http_ccs_ssl_conf_of(server[i])->ssl.ctx;

        if (ctx != NULL &&
            ngx_ccs_attach(cf, ctx, ngx_http_ccs_conf_of(server[i]), &host) != NGX_OK)
            return NGX_ERROR;
    }
    return ngx_ccs_zone_add(cf, &main->sites, "ccs_http", &ngx_http_ccs_module, &main->zone);
}

/* -- life of a cycle ----------------------------------------------------------------------- */

/* NULL in a cycle without http{}. */
static ngx_http_ccs_main_conf_t *ngx_http_ccs_main(ngx_cycle_t *cycle)
{
    return ngx_http_cycle_get_module_main_conf(cycle, ngx_http_ccs_module);
}

static ngx_array_t *ngx_http_ccs_sites(ngx_cycle_t *cycle)
{
    static ngx_array_t none;
    ngx_http_ccs_main_conf_t *main = ngx_http_ccs_main(cycle);

    return main ? &main->sites : &none;
}

static ngx_int_t ngx_http_ccs_init_module(ngx_cycle_t *cycle)
{
    ngx_http_ccs_main_conf_t *main = ngx_http_ccs_main(cycle);

    return ngx_ccs_init_module(cycle, ngx_http_ccs_sites(cycle), main ? main->zone : NULL);
}

static ngx_int_t ngx_http_ccs_init_process(ngx_cycle_t *cycle)
{
    return ngx_ccs_init_process(cycle, ngx_http_ccs_sites(cycle));
}

static void ngx_http_ccs_exit_process(ngx_cycle_t *cycle)
{
    ngx_ccs_exit_process(ngx_http_ccs_sites(cycle));
}

static ngx_http_module_t ngx_http_ccs_module_ctx = {
    ngx_http_ccs_add_variables,     /* preconfiguration */
    ngx_http_ccs_postconfiguration, /* postconfiguration */
    ngx_http_ccs_create_main_conf,  /* create main configuration */
    ngx_http_ccs_init_main_conf,    /* init main configuration */
    ngx_http_ccs_create_srv_conf,   /* create server configuration */
    ngx_http_ccs_merge_srv_conf,    /* merge server configuration */
    NULL,                           /* create location configuration */
    NULL                            /* merge location configuration */
};

ngx_module_t ngx_http_ccs_module = {
    NGX_MODULE_V1,
    &ngx_http_ccs_module_ctx,  /* module context */
    ngx_http_ccs_commands,     /* module directives */
    NGX_HTTP_MODULE,           /* module type */
    NULL,                      /* init master */
    ngx_http_ccs_init_module,  /* init module */
    ngx_http_ccs_init_process, /* init process */
    NULL,                      /* init thread */
    NULL,                      /* exit thread */
    ngx_http_ccs_exit_process, /* exit process */
    NULL,                      /* exit master */
    NGX_MODULE_V1_PADDING,
};
