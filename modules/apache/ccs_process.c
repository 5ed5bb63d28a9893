/* SPDX-License-Identifier: Apache-2.0 */
/* Before the processes that serve are started, and in them. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <ap_mpm.h>

#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

/* Of the configuration that was read last. */
static int used;

int mod_ccs_is_used(void)
{
    return used;
}

/* One open instance of this process. */
struct instance {
    struct ccs *ccs;
    struct mod_ccs_conf *conf; /* the first of those that share it */
};

/* A process serves one configuration, from its start to its end. */
static struct instance *instances;
static int instance_count;
static atomic_int threads_waiting;
static int threads_may_wait;

struct ccs *mod_ccs_instance(int i)
{
    for (int k = 0; k < instance_count; k++) {
        if (instances[k].ccs != NULL && i-- == 0)
            return instances[k].ccs;
    }
    return NULL;
}

/* Its place; -1: there is none for such a configuration yet. */
static int find_instance(const struct mod_ccs_conf *conf)
{
    for (int i = 0; i < instance_count; i++) {
        if (ccs_config_same_store(instances[i].conf->config, conf->config))
            return i;
    }
    return -1;
}

int mod_ccs_wait_begin(void)
{
    if (atomic_fetch_add(&threads_waiting, 1) < threads_may_wait)
        return 1;
    atomic_fetch_sub(&threads_waiting, 1);
    return 0;
}

void mod_ccs_wait_end(void)
{
    atomic_fetch_sub(&threads_waiting, 1);
}

/* -- the parent ---------------------------------------------------------------------------- */

/* Before mod_ssl's, which asks for the certificates of all servers. */
static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    /* The first of the two passes of a start only tries the configuration out. */
    int serious = ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG;
    struct ccs_shared *memory;
    struct ccs_error err;

    (void)plog, (void)ptemp;
    used = 0;
    for (server_rec *server = s; server != NULL; server = server->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(server);

        if (conf->engine.refused)
            conf->enabled = mod_ccs_kept_enabled(server);
        used |= conf->enabled;
        if (conf->enabled && mod_ccs_conf_build(pconf, conf, serious) != OK)
            return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!serious)
        return OK;
    if (used && ccs_prepare(&err) != CCS_OK)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, MOD_CCS_LOG "%s", err.text);
    if (mod_ccs_agents_start(s) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    memory = mod_ccs_kept_memory(s);
    for (server_rec *server = s; memory != NULL && server != NULL; server = server->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(server);

        if (conf->config != NULL)
            ccs_config_set_shared(conf->config, memory);
    }
    return OK;
}

static int post_config_after_ssl(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                                 server_rec *s)
{
    (void)pconf, (void)plog, (void)ptemp;
    mod_ccs_placeholders_end();
    for (server_rec *server = s; server != NULL; server = server->next) {
        const struct mod_ccs_conf *conf = mod_ccs_conf_of(server);

        if (conf->enabled && conf->here && conf->site == NULL && server->is_virtual)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                         MOD_CCS_LOG "%s:%d: CCSEngine has no effect, because the server has no "
                                     "\"SSLEngine on\"",
                         conf->engine.file, conf->engine.line);
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG)
        mod_ccs_keep(s);
    mod_ccs_agents_release(s);
    return OK;
}

/* -- a process that serves ------------------------------------------------------------------ */

/* Lines of a store, which may be that of many servers, belong to the main one. */
static void on_log(enum ccs_level level, const char *line, void *arg)
{
    server_rec *s = arg;
    int severity = APLOG_DEBUG;

    switch (level) {
    case CCS_LOG_ERROR:
        severity = APLOG_ERR;
        break;
    case CCS_LOG_WARN:
        severity = APLOG_WARNING;
        break;
    case CCS_LOG_INFO:
        severity = APLOG_INFO;
        break;
    case CCS_LOG_DEBUG:
        break;
    }
    ap_log_error(APLOG_MARK, severity, 0, s, MOD_CCS_LOG "%s", line);
}

static enum ccs_level log_level(const server_rec *s)
{
    if (APLOG_IS_LEVEL(s, APLOG_DEBUG))
        return CCS_LOG_DEBUG;
    if (APLOG_IS_LEVEL(s, APLOG_INFO))
        return CCS_LOG_INFO;
    return APLOG_IS_LEVEL(s, APLOG_WARNING) ? CCS_LOG_WARN : CCS_LOG_ERROR;
}

/*
 * Threads must not take Apache's signals: prefork's are meant for its one thread. A thread's own
 * faults stay deliverable.
 */
static void block_signals(sigset_t *before)
{
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

static apr_status_t close_all(void *data)
{
    server_rec *main_server = data;

    mod_ccs_park_stop();
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

        conf->ccs = NULL;
        if (conf->site != NULL)
            ccs_site_bind(conf->site, NULL);
    }
    for (int i = 0; i < instance_count; i++)
        ccs_close(instances[i].ccs);
    instance_count = 0;
    return APR_SUCCESS;
}

/* A process that cannot open a store lives on without it: ending would only start it again. */
static struct ccs *open_instance(struct mod_ccs_conf *conf)
{
    const int found = find_instance(conf);
    struct instance *instance;
    struct ccs_error err;

    if (found >= 0)
        return instances[found].ccs;
    instance = &instances[instance_count++];
    instance->conf = conf;
    if (ccs_open(conf->config, &instance->ccs, &err) == CCS_OK)
        return instance->ccs;
    instance->ccs = NULL;
    ap_log_error(APLOG_MARK, APLOG_ALERT, err.sys_errno, conf->server,
                 MOD_CCS_LOG "%s:%d: CCSEngine: %s; its names are unavailable in this process",
                 conf->engine.file, conf->engine.line, err.text);
    return NULL;
}

/* Some threads must stay free, a quarter of them; but where there is only one it may wait. */
static int waiting_threads(void)
{
    int threads = 1;

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 2)
        return 1;
    return threads - (threads + 3) / 4;
}

static void child_init(apr_pool_t *pchild, server_rec *main_server)
{
    sigset_t before;
    int sites = 0;

    for (server_rec *s = main_server; s != NULL; s = s->next)
        sites += mod_ccs_conf_of(s)->site != NULL;
    if (sites == 0)
        return;
    instances = apr_pcalloc(pchild, (apr_size_t)sites * sizeof(*instances));
    instance_count = 0;
    threads_may_wait = waiting_threads();
    block_signals(&before);
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

        if (conf->site == NULL)
            continue;
        ccs_config_set_log(conf->config, log_level(main_server), on_log, main_server, 0);
        conf->ccs = open_instance(conf);
        ccs_site_bind(conf->site, conf->ccs);
    }
    mod_ccs_park_start(pchild, main_server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    apr_pool_cleanup_register(pchild, main_server, close_all, apr_pool_cleanup_null);
}

void mod_ccs_process_hooks(apr_pool_t *pool)
{
    static const char *const ssl[] = {"mod_ssl.c", NULL};

    (void)pool;
    ap_hook_post_config(post_config, NULL, ssl, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config_after_ssl, ssl, NULL, APR_HOOK_LAST);
    ap_hook_child_init(child_init, NULL, ssl, APR_HOOK_MIDDLE);
}
