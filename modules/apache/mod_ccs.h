/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MOD_CCS_H
#define MOD_CCS_H

/*
 * The Apache module: directives, hooks, logging and status. What a store is, and what is served
 * from it, is libccs.
 */

#include <httpd.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include <ccs/openssl.h>

/* The one name that Apache looks for. */
extern __attribute__((visibility("default"))) module ccs_module;

#pragma GCC visibility push(hidden)

/* In front of all messages, as Apache's own have their AH numbers. */
#define MOD_CCS_LOG "ccs: "

enum {
#define CCS_SETTING(name, ...) MOD_CCS_SET_##name,
#include <ccs/settings.def>
#undef CCS_SETTING
    MOD_CCS_SETTINGS
};

/* A directive as it was written; text is NULL where there is none. */
struct mod_ccs_value {
    const char *text;
    const char *file;
    int line;
    int refused; /* in a restart: the value is bad, and the one of before is wanted */
};

/* Of each server, main or virtual. */
struct mod_ccs_conf {
    server_rec *server;
    struct mod_ccs_value engine;
    int enabled;
    int here; /* CCSEngine is in this very server */
    struct mod_ccs_value values[MOD_CCS_SETTINGS];

    /* Of a server that is enabled, from post_config on. */
    struct ccs_config *config;
    struct ccs_config *secrets; /* in it, files of secrets alone */
    struct ccs_agent *agent;    /* until it is in mod_ccs_keep()'s hands; NULL: none is needed */
    struct ccs_site *site;      /* of one that speaks TLS */
    int placeholder;            /* it has no certificate of its own */
    struct ccs *ccs;            /* in a process that serves; NULL: it has none */
};

static inline struct mod_ccs_conf *mod_ccs_conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &ccs_module);
}

/* -- ccs_conf.c: directives ------------------------------------------------------------------ */

extern command_rec mod_ccs_commands[];

void *mod_ccs_conf_create(apr_pool_t *pool, server_rec *s);
void *mod_ccs_conf_merge(apr_pool_t *pool, void *base, void *add);

/* The name of a setting as libccs knows it, and that of its directive. */
const char *mod_ccs_setting_name(int setting);
const char *mod_ccs_directive_name(int setting);

/* Whether a setting is a file of secrets, which is read by whoever may. */
int mod_ccs_is_secret(int setting);

/* check_config: refuses, in a start, what cannot work, with file and line. */
int mod_ccs_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s);

/* Makes conf->config, for pool's life, with the secrets if they are to be read. */
int mod_ccs_conf_build(apr_pool_t *pool, struct mod_ccs_conf *conf, int secrets);

/* -- ccs_kept.c: what outlives a restart ----------------------------------------------------- */

/* Whether this configuration is to take the place of one that serves: nothing may end it then. */
int mod_ccs_restarting(void);

/* What a server of the same name and addresses had before. NULL, or 0: nothing. */
int mod_ccs_kept_enabled(const server_rec *s);
const char *mod_ccs_kept_text(const server_rec *s, int setting);
const struct ccs_config *mod_ccs_kept_secrets(const server_rec *s);

/* The configuration is in force: it is what the next one may fall back to. */
void mod_ccs_keep(server_rec *main_server);

/* Shared memory for all servers in the list, kept as long as its size is. NULL: none. */
struct ccs_shared *mod_ccs_kept_memory(server_rec *main_server);

/* -- ccs_agent.c: processes that read the store for others ------------------------------------ */

/* What has been started before is kept by mod_ccs_keep(), and by its configuration. */
int mod_ccs_agents_start(server_rec *main_server);
void mod_ccs_agents_release(server_rec *main_server);

/* -- ccs_placeholder.c: certificates that are never served ------------------------------------ */

/* A file with key and certificate for s, until mod_ccs_placeholders_end(). NULL: it cannot be made.
 */
const char *mod_ccs_placeholder(apr_pool_t *pconf, const server_rec *s);
void mod_ccs_placeholders_end(void);

/* -- ccs_handshake.c: between mod_ssl and libccs ---------------------------------------------- */

void mod_ccs_handshake_hooks(apr_pool_t *pool);

/* What a connection was served with. */
struct mod_ccs_served {
    enum ccs_result result;
    struct ccs_cred *cred; /* NULL with CCS_RESULT_FALLBACK */
};

/* NULL: nothing from a store. Of the client's own connection. */
const struct mod_ccs_served *mod_ccs_served(const conn_rec *c);

struct mod_ccs_parked;

/* What the module keeps of a connection that a client has made. */
struct mod_ccs_connection {
    struct mod_ccs_served served; /* nothing while the result is CCS_RESULT_NONE */
    struct mod_ccs_parked *parked;
};

/* Borrowed from c; the first one is NULL as long as nothing is kept. */
static inline struct mod_ccs_connection *mod_ccs_connection_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &ccs_module);
}
struct mod_ccs_connection *mod_ccs_connection(conn_rec *c);

/* -- ccs_process.c: the processes that serve -------------------------------------------------- */

void mod_ccs_process_hooks(apr_pool_t *pool);

/* Whether any server of the configuration in hand takes certificates from a store. */
int mod_ccs_is_used(void);

/* The open instances of this process, from 0 on; NULL after the last. */
struct ccs *mod_ccs_instance(int i);

/*
 * Whether this thread may wait for a store: some of a process's threads must stay free. Where it
 * may, mod_ccs_wait_end() belongs behind the wait.
 */
int mod_ccs_wait_begin(void);
void mod_ccs_wait_end(void);

/* -- ccs_park.c: connections that wait without a thread --------------------------------------- */

void mod_ccs_park_hooks(apr_pool_t *pool);

/* Of a process that serves: its thread, if the MPM can wait, and its end. */
void mod_ccs_park_start(apr_pool_t *pchild, server_rec *s);
void mod_ccs_park_stop(void);

/*
 * The answer that a connection has waited for, if it was for this name of this instance: 1, and
 * *out has a reference of its own.
 */
int mod_ccs_park_answer(const conn_rec *c, const struct ccs *ccs, const char *name, size_t len,
                        struct ccs_answer *out);

/* -- ccs_status.c, ccs_vars.c ----------------------------------------------------------------- */

void mod_ccs_status_hooks(apr_pool_t *pool);
void mod_ccs_vars_hooks(apr_pool_t *pool);

#pragma GCC visibility pop

#endif
