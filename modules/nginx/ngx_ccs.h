/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NGX_CCS_H
#define NGX_CCS_H

/*
 * What the http and the stream module share: directives, sites, the worker's instances, logging.
 * Compiled into each of them; what they have in common at run time is libccs.
 */

#include <ngx_config.h>

#include <ngx_core.h>

#include <ccs/openssl.h>

#pragma GCC visibility push(hidden)

/* The settings of an http{}, stream{} or server{} block. */
typedef struct {
    struct ccs_config *config;
    struct ccs_site *site; /* of a server that uses a store, else NULL */
    ngx_flag_t enable;
    ngx_flag_t here;  /* the ccs directive is in this very block */
    ngx_flag_t tls;   /* the server has a TLS listener */
    ngx_flag_t agent; /* ccs-agent reads the store */
    u_char *file;     /* where the ccs directive in force is */
    ngx_uint_t line;
    ngx_queue_t all; /* of the blocks of all configurations that there are */
} ngx_ccs_conf_t;

/* What decides which clients are let in to a server. */
typedef struct {
    ngx_str_t name;
    ngx_uint_t verify;
    ngx_uint_t depth;
    ngx_uint_t ocsp;
    ngx_str_t client_certificate;
    ngx_str_t trusted_certificate;
    ngx_str_t crl;
} ngx_ccs_identity_t;

/*
 * Directives. `offset` of a command, which is of no other use here, tells how its value is read:
 * the kinds of settings.def that are paths are taken as relative to the configuration's folder.
 */
#define NGX_CCS_LOCATION 1
#define NGX_CCS_FILE     1
#define NGX_CCS_TIME     0
#define NGX_CCS_COUNT    0
#define NGX_CCS_SIZE     0
#define NGX_CCS_RATE     0
#define NGX_CCS_CHOICE   0
#define NGX_CCS_HOST     0
#define NGX_CCS_SOCKET   0
#define NGX_CCS_USER     0

char *ngx_ccs_set_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *data);
char *ngx_ccs_set(ngx_conf_t *cf, ngx_command_t *cmd, void *data);

/* NULL: no memory. Freed with cf's pool, after everything that is added to the pool later. */
ngx_ccs_conf_t *ngx_ccs_conf_create(ngx_conf_t *cf);

/* What conf does not say itself it takes from prev; then it is checked. */
char *ngx_ccs_conf_merge(ngx_conf_t *cf, ngx_ccs_conf_t *prev, ngx_ccs_conf_t *conf);

/*
 * A server that takes its certificates from a store need have none of its own, but nginx insists on
 * a list of them: then it gets an empty one.
 */
char *ngx_ccs_conf_certificates(ngx_conf_t *cf, ngx_ccs_conf_t *conf, ngx_array_t *outer,
                                ngx_array_t **certificates, ngx_array_t **keys);

/* Whether conf is that of a server which will serve from a store. */
static ngx_inline ngx_uint_t ngx_ccs_conf_active(const ngx_ccs_conf_t *conf)
{
    return conf->enable && conf->tls;
}

/*
 * Makes the site of an active server and adds conf to sites, an array of ngx_ccs_conf_t *.
 * variables: the server's own certificates have variables in their names.
 */
ngx_int_t ngx_ccs_site_add(ngx_conf_t *cf, ngx_ccs_conf_t *conf, ngx_array_t *sites,
                           const char *protocol, const ngx_ccs_identity_t *identity,
                           ngx_uint_t variables);

/* Puts the gate on one server's SSL_CTX. The other members of host are filled in here. */
ngx_int_t ngx_ccs_attach(ngx_conf_t *cf, SSL_CTX *ctx, ngx_ccs_conf_t *conf,
                         struct ccs_gate_host *host);

/*
 * The zone of shared memory of a module's sites, in *out; NULL there if there are none. name and
 * tag: as for ngx_shared_memory_add(). At configuration time; the memory is there from init module
 * on, when ngx_ccs_zone_use() gives it to the sites.
 */
ngx_int_t ngx_ccs_zone_add(ngx_conf_t *cf, ngx_array_t *sites, const char *name, void *tag,
                           ngx_shm_zone_t **out);
void ngx_ccs_zone_use(ngx_shm_zone_t *shm_zone, ngx_array_t *sites);

/*
 * Starts the agents that the stores of the sites need, or finds those that run already, and leaves
 * them to the sites' configurations. The check, at configuration time, starts nothing.
 */
ngx_int_t ngx_ccs_agents_start(ngx_cycle_t *cycle, ngx_array_t *sites);
ngx_int_t ngx_ccs_agent_check(ngx_conf_t *cf, const ngx_ccs_conf_t *conf);

/* The credentials of file servers have been handed over: forgets them, wherever they were set. */
void ngx_ccs_conf_wipe_logins(void);

/* For the life of a cycle. sites may be empty. */
ngx_int_t ngx_ccs_init_module(ngx_cycle_t *cycle, ngx_array_t *sites, ngx_shm_zone_t *zone);
ngx_int_t ngx_ccs_init_process(ngx_cycle_t *cycle, ngx_array_t *sites);
void ngx_ccs_exit_process(ngx_array_t *sites);

/* The open instances of this worker, from 0 on; NULL after the last. */
struct ccs *ngx_ccs_instance(ngx_uint_t i);

/* Variables; NGX_CCS_VARIABLES is their table for the type and flags given. */
enum { NGX_CCS_VAR_RESULT, NGX_CCS_VAR_FILE, NGX_CCS_VAR_NOT_AFTER };

#define NGX_CCS_VARIABLES(handler, flags)                                                          \
    {ngx_string("ccs_result"), NULL, handler, NGX_CCS_VAR_RESULT, flags, 0},                       \
        {ngx_string("ccs_file"), NULL, handler, NGX_CCS_VAR_FILE, flags, 0},                       \
    {                                                                                              \
        ngx_string("ccs_not_after"), NULL, handler, NGX_CCS_VAR_NOT_AFTER, flags, 0                \
    }

ngx_int_t ngx_ccs_variable(ngx_connection_t *c, ngx_pool_t *pool, ngx_variable_value_t *v,
                           uintptr_t which);

#pragma GCC visibility pop

#endif
