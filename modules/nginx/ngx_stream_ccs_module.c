/* SPDX-License-Identifier: Apache-2.0 */
#include "ngx_ccs.h"

#include <nginx.h>
#include <ngx_stream.h>

#if !(NGX_STREAM_SSL)
#error "The ccs stream module needs an nginx configured with --with-stream_ssl_module"
#endif

/* Since 1.25.5 stream has virtual servers, chosen by name where no module could follow at first. */
#define NGX_STREAM_CCS_VIRTUAL (nginx_version >= 1025005)
#if NGX_STREAM_CCS_VIRTUAL && nginx_version < 1029002
#error "The ccs stream module needs an nginx before 1.25.5, or 1.29.2 and later"
#endif

#if NGX_STREAM_CCS_VIRTUAL
typedef ngx_stream_ssl_srv_conf_t ngx_stream_ccs_ssl_conf_t;
#else
typedef ngx_stream_ssl_conf_t ngx_stream_ccs_ssl_conf_t;
#endif

typedef struct {
    ngx_stream_ccs_ssl_conf_t *outer; /* what stream{} itself says about TLS */
    ngx_array_t sites;                /* of ngx_ccs_conf_t * */
    ngx_shm_zone_t *zone;             /* NULL without sites */
} ngx_stream_ccs_main_conf_t;

extern ngx_module_t ngx_stream_ccs_module;

#define NGX_STREAM_CCS_LEVELS (NGX_STREAM_MAIN_CONF | NGX_STREAM_SRV_CONF)

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help)                               \
    {ngx_string("ccs_" #name),                                                                     \
     NGX_STREAM_CCS_LEVELS | NGX_CONF_TAKE1,                                                       \
     ngx_ccs_set,                                                                                  \
     NGX_STREAM_SRV_CONF_OFFSET,                                                                   \
     NGX_CCS_##kind,                                                                               \
     NULL},
static ngx_command_t ngx_stream_ccs_commands[] = {
    {ngx_string("ccs"), NGX_STREAM_CCS_LEVELS | NGX_CONF_FLAG, ngx_ccs_set_enable,
     NGX_STREAM_SRV_CONF_OFFSET, 0, NULL},
#include <ccs/settings.def>
    ngx_null_command};
#undef CCS_SETTING

/* -- variables ----------------------------------------------------------------------------- */

static ngx_int_t ngx_stream_ccs_variable(ngx_stream_session_t *s, ngx_stream_variable_value_t *v,
                                         uintptr_t data)
{
    return ngx_ccs_variable(s->connection, s->connection->pool, v, data);
}

static ngx_stream_variable_t ngx_stream_ccs_vars[] = {
    NGX_CCS_VARIABLES(ngx_stream_ccs_variable, 0)};

static ngx_int_t ngx_stream_ccs_add_variables(ngx_conf_t *cf)
{
    for (size_t i = 0; i < sizeof(ngx_stream_ccs_vars) / sizeof(ngx_stream_ccs_vars[0]); i++) {
        ngx_stream_variable_t *var = ngx_stream_add_variable(cf, &ngx_stream_ccs_vars[i].name,
                                                             ngx_stream_ccs_vars[i].flags);

        if (var == NULL)
            return NGX_ERROR;
        var->get_handler = ngx_stream_ccs_vars[i].get_handler;
        var->data = ngx_stream_ccs_vars[i].data;
    }
    return NGX_OK;
}

/* -- configuration ------------------------------------------------------------------------- */

static void *ngx_stream_ccs_create_main_conf(ngx_conf_t *cf)
{
    ngx_stream_ccs_main_conf_t *main = ngx_pcalloc(cf->pool, sizeof(*main));

    if (main == NULL || ngx_array_init(&main->sites, cf->pool, 4, sizeof(void *)) != NGX_OK)
        return NULL;
    return main;
}

static void *ngx_stream_ccs_create_srv_conf(ngx_conf_t *cf)
{
    return ngx_ccs_conf_create(cf);
}

static ngx_ccs_conf_t *ngx_stream_ccs_conf_of(const ngx_stream_core_srv_conf_t *server)
{
    return server->ctx->srv_conf[ngx_stream_ccs_module.ctx_index];
}

static ngx_stream_ccs_ssl_conf_t *
ngx_stream_ccs_ssl_conf_of(const ngx_stream_core_srv_conf_t *server)
{
    return server->ctx->srv_conf[ngx_stream_ssl_module.ctx_index];
}

#if NGX_STREAM_CCS_VIRTUAL
static void ngx_stream_ccs_mark_tls(ngx_stream_core_main_conf_t *core)
{
    ngx_stream_conf_port_t *port = core->ports ? core->ports->elts : NULL;

    for (ngx_uint_t p = 0; port != NULL && p < core->ports->nelts; p++) {
        ngx_stream_conf_addr_t *addr = port[p].addrs.elts;

        for (ngx_uint_t a = 0; a < port[p].addrs.nelts; a++) {
            ngx_stream_core_srv_conf_t **server = addr[a].servers.elts;

            for (ngx_uint_t s = 0; addr[a].opt.ssl && s < addr[a].servers.nelts; s++)
                ngx_stream_ccs_conf_of(server[s])->tls = 1;
        }
    }
}
#else
static void ngx_stream_ccs_mark_tls(ngx_stream_core_main_conf_t *core)
{
    ngx_stream_core_srv_conf_t **server = core->servers.elts;

    for (ngx_uint_t i = 0; i < core->servers.nelts; i++)
        ngx_stream_ccs_conf_of(server[i])->tls = ngx_stream_ccs_ssl_conf_of(server[i])->listen != 0;
}
#endif

static char *ngx_stream_ccs_init_main_conf(ngx_conf_t *cf, void *data)
{
    ngx_stream_ccs_main_conf_t *main = data;

    main->outer = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_ssl_module);
    ngx_stream_ccs_mark_tls(ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module));
    return NGX_CONF_OK;
}

static char *ngx_stream_ccs_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_ccs_main_conf_t *main = ngx_stream_conf_get_module_main_conf(cf,
                                                                            ngx_stream_ccs_module);
    ngx_stream_ccs_ssl_conf_t *ssl = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_ssl_module);

    if (ngx_ccs_conf_merge(cf, parent, child) != NGX_CONF_OK)
        return NGX_CONF_ERROR;
    return ngx_ccs_conf_certificates(cf, child, main->outer->certificates, &ssl->certificates,
                                     &ssl->certificate_keys);
}

/* -- the gate ------------------------------------------------------------------------------ */

#if NGX_STREAM_CCS_VIRTUAL

static struct ccs_site *ngx_stream_ccs_choose(SSL *ssl, const char *name, size_t len, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    ngx_stream_session_t *s = c->data;
    ngx_stream_core_srv_conf_t *server = NULL;
    ngx_stream_ccs_ssl_conf_t *conf;
    ngx_str_t host = {len, (u_char *)name};

    (void)arg;
    if (len == 0 || ngx_stream_validate_host(&host, c->pool, 1) != NGX_OK ||
        ngx_stream_find_virtual_server(s, &host, &server) != NGX_OK)
        server = ngx_stream_get_module_srv_conf(s, ngx_stream_core_module);

    conf = ngx_stream_ccs_ssl_conf_of(server);
    if (conf->reject_handshake)
        return NULL;
    /* A server without TLS of its own leaves the handshake to the default one. */
    if (conf->ssl.ctx == NULL)
        server = ngx_stream_get_module_srv_conf(s, ngx_stream_core_module);
    return ngx_stream_ccs_conf_of(server)->site;
}

/* nginx's own callback is not public, but what it calls for a ClientHello is. */
static int (*ngx_stream_ccs_next_servername(SSL_CTX *ctx))(SSL *, int *, void *)
{
    ngx_ssl_client_hello_arg *hello = SSL_CTX_get_ex_data(ctx, ngx_ssl_client_hello_arg_index);

    return hello ? hello->servername : NULL;
}

#else

static struct ccs_site *ngx_stream_ccs_choose(SSL *ssl, const char *name, size_t len, void *arg)
{
    ngx_connection_t *c = ngx_ssl_get_connection(ssl);
    ngx_stream_session_t *s = c->data;
    ngx_ccs_conf_t *conf = ngx_stream_get_module_srv_conf(s, ngx_stream_ccs_module);

    (void)name;
    (void)len;
    (void)arg;
    return conf->site;
}

/* nginx's own callback only says that it took note of the name. */
static int (*ngx_stream_ccs_next_servername(SSL_CTX *ctx))(SSL *, int *, void *)
{
    (void)ctx;
    return NULL;
}

#endif

static ngx_int_t ngx_stream_ccs_add_site(ngx_conf_t *cf, ngx_stream_ccs_main_conf_t *main,
                                         ngx_stream_core_srv_conf_t *server)
{
    ngx_stream_ccs_ssl_conf_t *ssl = ngx_stream_ccs_ssl_conf_of(server);
    ngx_ccs_identity_t identity = {
        .verify = ssl->verify,
        .depth = ssl->verify_depth,
        .client_certificate = ssl->client_certificate,
        .trusted_certificate = ssl->trusted_certificate,
        .crl = ssl->crl,
    };

#if NGX_STREAM_CCS_VIRTUAL
    identity.name = server->server_name;
    identity.ocsp = ssl->ocsp;
#endif
    return ngx_ccs_site_add(cf, ngx_stream_ccs_conf_of(server), &main->sites, "stream", &identity,
                            ssl->certificate_values != NULL);
}

static ngx_int_t ngx_stream_ccs_postconfiguration(ngx_conf_t *cf)
{
    ngx_stream_ccs_main_conf_t *main = ngx_stream_conf_get_module_main_conf(cf,
                                                                            ngx_stream_ccs_module);
    ngx_stream_core_main_conf_t *core = ngx_stream_conf_get_module_main_conf(
        cf, ngx_stream_core_module);
    ngx_stream_core_srv_conf_t **server = core->servers.elts;
    struct ccs_gate_host host = {.choose = ngx_stream_ccs_choose};

    for (ngx_uint_t i = 0; i < core->servers.nelts; i++) {
        if (ngx_ccs_conf_active(ngx_stream_ccs_conf_of(server[i])) &&
            ngx_stream_ccs_add_site(cf, main, server[i]) != NGX_OK)
            return NGX_ERROR;
    }
    /* All of them: a handshake begins at the default server of its listener, whichever that is. */
    for (ngx_uint_t i = 0; main->sites.nelts > 0 && i < core->servers.nelts; i++) {
        SSL_CTX *ctx = ngx_stream_ccs_ssl_conf_of(server[i])->ssl.ctx;

        if (ctx == NULL)
            continue;
        host.next_servername = ngx_stream_ccs_next_servername(ctx);
        if (ngx_ccs_attach(cf, ctx, ngx_stream_ccs_conf_of(server[i]), &host) != NGX_OK)
            return NGX_ERROR;
    }
    return ngx_ccs_zone_add(cf, &main->sites, "ccs_stream", &ngx_stream_ccs_module, &main->zone);
}

/* -- life of a cycle ----------------------------------------------------------------------- */

/* NULL in a cycle without stream{}. */
static ngx_stream_ccs_main_conf_t *ngx_stream_ccs_main(ngx_cycle_t *cycle)
{
    return ngx_stream_cycle_get_module_main_conf(cycle, ngx_stream_ccs_module);
}

static ngx_array_t *ngx_stream_ccs_sites(ngx_cycle_t *cycle)
{
    static ngx_array_t none;
    ngx_stream_ccs_main_conf_t *main = ngx_stream_ccs_main(cycle);

    return main ? &main->sites : &none;
}

static ngx_int_t ngx_stream_ccs_init_module(ngx_cycle_t *cycle)
{
    ngx_stream_ccs_main_conf_t *main = ngx_stream_ccs_main(cycle);

    return ngx_ccs_init_module(cycle, ngx_stream_ccs_sites(cycle), main ? main->zone : NULL);
}

static ngx_int_t ngx_stream_ccs_init_process(ngx_cycle_t *cycle)
{
    return ngx_ccs_init_process(cycle, ngx_stream_ccs_sites(cycle));
}

static void ngx_stream_ccs_exit_process(ngx_cycle_t *cycle)
{
    ngx_ccs_exit_process(ngx_stream_ccs_sites(cycle));
}

static ngx_stream_module_t ngx_stream_ccs_module_ctx = {
    ngx_stream_ccs_add_variables,     /* preconfiguration */
    ngx_stream_ccs_postconfiguration, /* postconfiguration */
    ngx_stream_ccs_create_main_conf,  /* create main configuration */
    ngx_stream_ccs_init_main_conf,    /* init main configuration */
    ngx_stream_ccs_create_srv_conf,   /* create server configuration */
    ngx_stream_ccs_merge_srv_conf     /* merge server configuration */
};

ngx_module_t ngx_stream_ccs_module = {
    NGX_MODULE_V1,
    &ngx_stream_ccs_module_ctx,  /* module context */
    ngx_stream_ccs_commands,     /* module directives */
    NGX_STREAM_MODULE,           /* module type */
    NULL,                        /* init master */
    ngx_stream_ccs_init_module,  /* init module */
    ngx_stream_ccs_init_process, /* init process */
    NULL,                        /* init thread */
    NULL,                        /* exit thread */
    ngx_stream_ccs_exit_process, /* exit process */
    NULL,                        /* exit master */
    NGX_MODULE_V1_PADDING,
};
