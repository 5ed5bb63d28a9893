/* SPDX-License-Identifier: Apache-2.0 */
#include "ngx_ccs.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <ngx_channel.h>
#include <ngx_event.h>

/*
 * Callbacks and log lines that are handled before other events get their turn. When a store answers
 * again after a while, handshakes go on by the hundred, and each takes about a millisecond.
 */
#define NGX_CCS_DISPATCH_MAX 32

/* Longest time that "nginx -t" waits for a folder to answer. */
#define NGX_CCS_PROBE_MSEC 2000
#define NGX_CCS_PROBE_STEP 10

/* One open instance of this worker. */
typedef struct {
    struct ccs *ccs;
    ngx_fd_t fd;          /* that of ccs_event_fd() */
    ngx_ccs_conf_t *conf; /* the first of those that share it */
} ngx_ccs_instance_t;

/* A worker serves one cycle, from its start to its end. */
static ngx_ccs_instance_t *ngx_ccs_instances;
static ngx_uint_t ngx_ccs_ninstances;

/* -- the folder, as seen by "nginx -t" ------------------------------------------------------- */

static ngx_err_t ngx_ccs_open_folder(ngx_core_conf_t *ccf, const char *path)
{
    int fd;

    if (ccf->master && geteuid() == 0 &&
        (setgid(ccf->group) == -1 || initgroups(ccf->username, ccf->group) == -1 ||
         setuid(ccf->user) == -1))
        return ngx_errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return ngx_errno;
    return access(path, X_OK) == -1 ? ngx_errno : 0;
}

/*
 * Errno for the folder as the workers will find it, 0 if they can read it. A child process asks,
 * because only it can take the workers' user, and can be left behind in a share that hangs.
 */
static ngx_err_t ngx_ccs_probe(ngx_cycle_t *cycle, const char *path)
{
    ngx_core_conf_t *ccf = (ngx_core_conf_t *)ngx_get_conf(cycle->conf_ctx, ngx_core_module);
    int status;
    pid_t pid = fork();

    if (pid == -1)
        return 0;
    if (pid == 0)
        _exit(ngx_ccs_open_folder(ccf, path));
    for (int waited = 0; waited < NGX_CCS_PROBE_MSEC; waited += NGX_CCS_PROBE_STEP) {
        pid_t rc = waitpid(pid, &status, WNOHANG);

        if (rc == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        if (rc == -1 && ngx_errno != NGX_EINTR)
            return 0;
        ngx_msleep(NGX_CCS_PROBE_STEP);
    }
    kill(pid, SIGKILL);
    return NGX_ETIMEDOUT;
}

/* A share is no path, and an agent may read a folder that the workers may not. */
static ngx_uint_t ngx_ccs_is_own_folder(const ngx_ccs_conf_t *conf)
{
    const char *store = ccs_config_get(conf->config, "store");
    const char *agent = ccs_config_get(conf->config, "agent");

    return store[0] == '/' && store[1] != '/' &&
           (ngx_strcmp(agent, "auto") == 0 || ngx_strcmp(agent, "off") == 0);
}

ngx_int_t ngx_ccs_init_module(ngx_cycle_t *cycle, ngx_array_t *sites, ngx_shm_zone_t *zone)
{
    ngx_ccs_conf_t **conf = sites->elts;
    struct ccs_error err;
    ngx_int_t rc;

    if (!ngx_test_config) {
        if (sites->nelts > 0 && ccs_prepare(&err) != CCS_OK)
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0, "ccs: %s", err.text);
        ngx_ccs_zone_use(zone, sites);
        rc = ngx_ccs_agents_start(cycle, sites);
        ngx_ccs_conf_wipe_logins();
        return rc;
    }
    for (ngx_uint_t i = 0; i < sites->nelts; i++) {
        const char *store = ccs_config_get(conf[i]->config, "store");
        ngx_uint_t known = 0;
        ngx_err_t code;

        for (ngx_uint_t k = 0; k < i && !known; k++)
            known = ngx_strcmp(store, ccs_config_get(conf[k]->config, "store")) == 0;
        /* A share is no path, and an agent may read a folder that workers may not. */
        if (known || !ngx_ccs_is_own_folder(conf[i]))
            continue;
        code = ngx_ccs_probe(cycle, store);
        if (code == 0)
            continue;
        ngx_log_error(
            NGX_LOG_WARN, cycle->log, code,
            "ccs: worker processes cannot read the folder \"%s\" of the \"ccs\" directive "
            "in %s:%ui; until they can, its names are unavailable",
            store, conf[i]->file, conf[i]->line);
    }
    return NGX_OK;
}

/* -- the worker process -------------------------------------------------------------------- */

static void ngx_ccs_log(enum ccs_level level, const char *line, void *arg)
{
    ngx_log_t *log = arg;
    ngx_uint_t severity = NGX_LOG_DEBUG;

    switch (level) {
    case CCS_LOG_ERROR:
        severity = NGX_LOG_ERR;
        break;
    case CCS_LOG_WARN:
        severity = NGX_LOG_WARN;
        break;
    case CCS_LOG_INFO:
        severity = NGX_LOG_INFO;
        break;
    case CCS_LOG_DEBUG:
        break;
    }
    ngx_log_error(severity, log, 0, "ccs: %s", line);
}

static enum ccs_level ngx_ccs_log_level(const ngx_log_t *log)
{
    if (log->log_level >= NGX_LOG_DEBUG)
        return CCS_LOG_DEBUG;
    if (log->log_level >= NGX_LOG_INFO)
        return CCS_LOG_INFO;
    return log->log_level >= NGX_LOG_WARN ? CCS_LOG_WARN : CCS_LOG_ERROR;
}

static void ngx_ccs_event_handler(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    for (ngx_uint_t i = 0; i < ngx_ccs_ninstances; i++) {
        if (ngx_ccs_instances[i].ccs != NULL && ngx_ccs_instances[i].fd == c->fd) {
            (void)ccs_dispatch(ngx_ccs_instances[i].ccs, NGX_CCS_DISPATCH_MAX);
            return;
        }
    }
}

/*
 * Threads must not take nginx's signals: they would set its flags without waking its event loop. A
 * thread's own faults stay deliverable.
 */
static int ngx_ccs_open(struct ccs_config *config, struct ccs **out, struct ccs_error *err)
{
    sigset_t blocked, before;
    int rv;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rv = ccs_open(config, out, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

/* A worker that cannot open a store lives on without it: ending would only start it again. */
static void ngx_ccs_start(ngx_cycle_t *cycle, ngx_ccs_instance_t *instance)
{
    ngx_ccs_conf_t *conf = instance->conf;
    struct ccs_error err;

    if (ngx_ccs_open(conf->config, &instance->ccs, &err) != CCS_OK) {
        instance->ccs = NULL;
        ngx_log_error(NGX_LOG_ALERT, cycle->log, err.sys_errno,
                      "ccs: %s; the names of the \"ccs\" directive in %s:%ui are unavailable in "
                      "this process",
                      err.text, conf->file, conf->line);
        return;
    }
    instance->fd = ccs_event_fd(instance->ccs);
    if (ngx_add_channel_event(cycle, instance->fd, NGX_READ_EVENT, ngx_ccs_event_handler) !=
        NGX_OK) {
        ccs_close(instance->ccs);
        instance->ccs = NULL;
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "ccs: no event for the store, the names of the \"ccs\" directive in %s:%ui "
                      "are unavailable in this process: raise \"worker_connections\"",
                      conf->file, conf->line);
    }
}

static ngx_ccs_instance_t *ngx_ccs_find_instance(const ngx_ccs_conf_t *conf)
{
    for (ngx_uint_t i = 0; i < ngx_ccs_ninstances; i++) {
        if (ccs_config_same_store(ngx_ccs_instances[i].conf->config, conf->config))
            return &ngx_ccs_instances[i];
    }
    return NULL;
}

ngx_int_t ngx_ccs_init_process(ngx_cycle_t *cycle, ngx_array_t *sites)
{
    enum ccs_level level = ngx_ccs_log_level(cycle->log);
    ngx_ccs_conf_t **conf = sites->elts;
    ngx_ccs_instance_t *instances;

    if ((ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) ||
        sites->nelts == 0)
        return NGX_OK;

    instances = ngx_pcalloc(cycle->pool, sites->nelts * sizeof(*instances));
    if (instances == NULL)
        return NGX_ERROR;
    ngx_ccs_instances = instances;
    ngx_ccs_ninstances = 0;
    for (ngx_uint_t i = 0; i < sites->nelts; i++) {
        /* Else another process of the same user could take the way to the agent out of this one. */
        if (conf[i]->agent)
            (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    for (ngx_uint_t i = 0; i < sites->nelts; i++) {
        ngx_ccs_instance_t *instance;

        ccs_config_set_log(conf[i]->config, level, ngx_ccs_log, cycle->log, CCS_LOG_DISPATCHED);
        instance = ngx_ccs_find_instance(conf[i]);
        if (instance == NULL) {
            instance = &instances[ngx_ccs_ninstances++];
            instance->conf = conf[i];
            ngx_ccs_start(cycle, instance);
        }
        ccs_site_bind(conf[i]->site, instance->ccs);
    }
    return NGX_OK;
}

void ngx_ccs_exit_process(ngx_array_t *sites)
{
    ngx_ccs_conf_t **conf = sites->elts;

    for (ngx_uint_t i = 0; i < ngx_ccs_ninstances; i++)
        ccs_close(ngx_ccs_instances[i].ccs);
    for (ngx_uint_t i = 0; ngx_ccs_ninstances > 0 && i < sites->nelts; i++)
        ccs_site_bind(conf[i]->site, NULL);
    ngx_ccs_ninstances = 0;
}

struct ccs *ngx_ccs_instance(ngx_uint_t i)
{
    for (ngx_uint_t k = 0; k < ngx_ccs_ninstances; k++) {
        if (ngx_ccs_instances[k].ccs != NULL && i-- == 0)
            return ngx_ccs_instances[k].ccs;
    }
    return NULL;
}
