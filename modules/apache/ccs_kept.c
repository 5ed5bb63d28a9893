/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process that starts all others keeps over a restart: the settings in force, which stay
 * if new ones cannot be used, and the memory that all processes share.
 */
#include <inttypes.h>
#include <string.h>

#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

/* Changes with the layout of what is kept: another version of this module then finds nothing. */
#define KEPT_KEY "mod_ccs 1"

struct kept_server {
    const char *name;
    int enabled;
    const char *texts[MOD_CCS_SETTINGS];
    struct ccs_config *secrets;
};

struct kept {
    int running;
    apr_pool_t *pool;            /* of servers; a child of the process's, which no restart clears */
    apr_array_header_t *servers; /* of struct kept_server */
    struct ccs_shared *memory;
    int64_t memory_size;
};

static struct kept *kept_get(void)
{
    struct kept *kept = ap_retained_data_get(KEPT_KEY);

    return kept != NULL ? kept : ap_retained_data_create(KEPT_KEY, sizeof(*kept));
}

int mod_ccs_restarting(void)
{
    return kept_get()->running;
}

static const char *server_name(apr_pool_t *pool, const server_rec *s)
{
    const char *name = s->is_virtual ? "" : "main";

    for (const server_addr_rec *a = s->addrs; s->is_virtual && a != NULL; a = a->next)
        name = apr_psprintf(pool, "%s%s:%u ", name, a->virthost, (unsigned)a->host_port);
    return apr_psprintf(pool, "%s %s", name, s->server_hostname ? s->server_hostname : "");
}

static const struct kept_server *find_server(const server_rec *s)
{
    const struct kept *kept = kept_get();
    const struct kept_server *found = NULL;
    apr_pool_t *pool;
    const char *name;

    if (kept->servers == NULL || apr_pool_create(&pool, s->process->pool) != APR_SUCCESS)
        return NULL;
    name = server_name(pool, s);
    for (int i = 0; i < kept->servers->nelts && found == NULL; i++) {
        const struct kept_server *server = &APR_ARRAY_IDX(kept->servers, i, struct kept_server);

        if (strcmp(server->name, name) == 0)
            found = server;
    }
    apr_pool_destroy(pool);
    return found;
}

int mod_ccs_kept_enabled(const server_rec *s)
{
    const struct kept_server *server = find_server(s);

    return server != NULL && server->enabled;
}

const char *mod_ccs_kept_text(const server_rec *s, int setting)
{
    const struct kept_server *server = find_server(s);

    return server != NULL ? server->texts[setting] : NULL;
}

const struct ccs_config *mod_ccs_kept_secrets(const server_rec *s)
{
    const struct kept_server *server = find_server(s);

    return server != NULL ? server->secrets : NULL;
}

static apr_status_t secrets_free(void *secrets)
{
    ccs_config_free(secrets);
    return APR_SUCCESS;
}

static void keep_server(apr_pool_t *pool, apr_array_header_t *servers,
                        const struct mod_ccs_conf *conf)
{
    struct kept_server *server = apr_array_push(servers);
    struct ccs_error err;

    server->name = server_name(pool, conf->server);
    server->enabled = conf->enabled;
    for (int i = 0; i < MOD_CCS_SETTINGS; i++) {
        const char *text = conf->config != NULL
                               ? ccs_config_get(conf->config, mod_ccs_setting_name(i))
                               : NULL;

        server->texts[i] = apr_pstrdup(pool, text);
    }
    server->secrets = ccs_config_new();
    if (server->secrets == NULL)
        return;
    if (conf->secrets != NULL)
        (void)ccs_config_inherit(server->secrets, conf->secrets, &err);
    /* Held here it outlives the configuration, so that the next one finds it running. */
    ccs_config_set_agent(server->secrets, conf->agent);
    apr_pool_cleanup_register(pool, server->secrets, secrets_free, apr_pool_cleanup_null);
}

void mod_ccs_keep(server_rec *main_server)
{
    struct kept *kept = kept_get();
    apr_array_header_t *servers;
    apr_pool_t *pool;

    kept->running = 1;
    if (apr_pool_create(&pool, main_server->process->pool) != APR_SUCCESS)
        return;
    apr_pool_tag(pool, "mod_ccs");
    servers = apr_array_make(pool, 8, sizeof(struct kept_server));
    for (server_rec *s = main_server; s != NULL; s = s->next)
        keep_server(pool, servers, mod_ccs_conf_of(s));
    if (kept->pool != NULL)
        apr_pool_destroy(kept->pool);
    kept->pool = pool;
    kept->servers = servers;
}

/* The largest that any of the servers asks for serves all of them. */
static int64_t memory_wanted(server_rec *s)
{
    int64_t size = 0;

    for (; s != NULL; s = s->next) {
        const struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

        if (conf->config != NULL && ccs_config_number(conf->config, "cache_size") > size)
            size = ccs_config_number(conf->config, "cache_size");
    }
    return size;
}

/* The end of the process; children end here as well, with references of their own. */
static apr_status_t memory_free(void *data)
{
    struct kept *kept = data;

    ccs_shared_free(kept->memory);
    kept->memory = NULL;
    return APR_SUCCESS;
}

struct ccs_shared *mod_ccs_kept_memory(server_rec *main_server)
{
    struct kept *kept = kept_get();
    int64_t size = memory_wanted(main_server);
    struct ccs_shared *memory;
    struct ccs_error err;

    if (size == 0 || (kept->memory != NULL && kept->memory_size == size))
        return size == 0 ? NULL : kept->memory;
    if (ccs_shared_new((size_t)size, &memory, &err) != CCS_OK) {
        ap_log_error(APLOG_MARK, APLOG_ERR, err.sys_errno, main_server,
                     MOD_CCS_LOG "no shared memory of %" PRId64 " octets: %s%s", size, err.text,
                     kept->memory != NULL ? "; what there was before stays" : "");
        return kept->memory;
    }
    if (kept->memory != NULL)
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, main_server,
                     MOD_CCS_LOG "CCSCacheSize has changed: all certificates are loaded anew");
    else
        apr_pool_cleanup_register(main_server->process->pool, kept, memory_free,
                                  apr_pool_cleanup_null);
    ccs_shared_free(kept->memory);
    kept->memory = memory;
    kept->memory_size = size;
    return memory;
}
