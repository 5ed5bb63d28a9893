/* SPDX-License-Identifier: Apache-2.0 */
#include "nginx.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nginx_exec.h"
#include "place.h"
#include "process.h"
#include "tmp.h"

#define START_TRIES 5
#define CONF_MAX    65536

static void write_conf(const struct ccs_nginx *nginx)
{
    static const char *const temp[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};
    const struct ccs_nginx_spec *spec = &nginx->spec;
    char *text = NULL;
    size_t len = 0, i;
    FILE *out;

    out = open_memstream(&text, &len);
    assert_non_null(out);
    if (geteuid() == 0) {
        fprintf(out, "user %s;\n", spec->user != NULL ? spec->user : "root");
    }
    fprintf(out, "daemon off;\nworker_processes %d;\npid %s/pid;\nerror_log %s/error.log %s;\n",
            spec->workers > 0 ? spec->workers : 1, nginx->dir, nginx->dir,
            spec->debug ? "debug" : "info");
    if (spec->tool == NULL) {
        fputs("worker_rlimit_nofile 8192;\n", out);
    }
    if (!spec->no_module) {
        fprintf(out, "load_module %s/ngx_http_ccs_module.so;\n", CCS_TEST_MODULE_DIR);
    }
    if (spec->top != NULL) {
        ccs_place_expand(nginx->dir, nginx->port, spec->top, out);
    }
    fputs("events { worker_connections 4096; }\nhttp {\naccess_log off;\n", out);
    for (i = 0; i < sizeof(temp) / sizeof(temp[0]); i++) {
        fprintf(out, "%s_temp_path %s/%s_temp;\n", temp[i], nginx->dir, temp[i]);
    }
    ccs_place_expand(nginx->dir, nginx->port, spec->http, out);
    fputs("\n}\n", out);
    fclose(out);
    assert_true(len < CONF_MAX);
    ccs_tmp_replace(nginx->dir, "nginx.conf", text, len);
    free(text);
}

void ccs_nginx_prepare(struct ccs_nginx *nginx, const char *dir, const struct ccs_nginx_spec *spec)
{
    memset(nginx, 0, sizeof(*nginx));
    nginx->spec = *spec;
    assert_true(strlen(dir) < sizeof(nginx->dir));
    snprintf(nginx->dir, sizeof(nginx->dir), "%s", dir);
    snprintf(nginx->store, sizeof(nginx->store), "%s/store", dir);
    if (access(nginx->store, F_OK) != 0) {
        ccs_tmp_mkdir(dir, "store");
    }
    ccs_tmp_print(dir, "slow", "");
    ccs_tmp_print(dir, "slow.log", "");
    ccs_place_choose_ports(nginx->port);
    write_conf(nginx);
}

void ccs_nginx_rewrite(struct ccs_nginx *nginx, const char *http, int no_module)
{
    if (http != NULL) {
        nginx->spec.http = http;
    }
    nginx->spec.no_module = no_module;
    write_conf(nginx);
}

static int started(void *arg)
{
    struct ccs_nginx *nginx = arg;
    pid_t workers[CCS_NGINX_WORKERS];
    size_t want = nginx->spec.workers > 0 ? (size_t)nginx->spec.workers : 1;

    return ccs_process_ended(nginx->pid) ||
           (ccs_nginx_workers(nginx, 0, workers) >= want && ccs_place_accepts(nginx->port[0]));
}

void ccs_nginx_start(struct ccs_nginx *nginx)
{
    char *output = NULL;
    int round;

    for (round = 0; round < START_TRIES; round++) {
        nginx->pid = ccs_nginx_exec(nginx, 0, "output");
        if (!ccs_wait_until(started, nginx, 0)) {
            fail_msg("nginx does not accept connections, see %s/error.log", nginx->dir);
        }
        if (!ccs_process_ended(nginx->pid)) {
            return;
        }
        (void)ccs_nginx_wait(nginx);
        if (ccs_nginx_logged(nginx, "Address already in use") == 0) {
            break;
        }
        ccs_tmp_unlink(nginx->dir, "error.log");
        ccs_place_choose_ports(nginx->port);
        write_conf(nginx);
    }
    output = ccs_tmp_read(nginx->dir, "output", NULL);
    fputs(output != NULL ? output : "", stderr);
    free(output);
    fail_msg("nginx does not start");
}

void ccs_nginx_run(struct ccs_nginx *nginx, const char *dir, const struct ccs_nginx_spec *spec)
{
    ccs_nginx_prepare(nginx, dir, spec);
    ccs_nginx_start(nginx);
}

int ccs_nginx_test(struct ccs_nginx *nginx, char **output)
{
    pid_t pid = ccs_nginx_exec(nginx, 1, "test-output");
    int status = ccs_process_wait(pid);

    *output = ccs_tmp_read(nginx->dir, "test-output", NULL);
    assert_non_null(*output);
    return status;
}

size_t ccs_nginx_workers(const struct ccs_nginx *nginx, int shutting_down,
                         pid_t out[CCS_NGINX_WORKERS])
{
    const char *title = shutting_down ? "nginx: worker process is shutting down"
                                      : "nginx: worker process";

    /* A tool that runs programs itself shows its own command line. */
    return ccs_process_children(nginx->pid, nginx->spec.tool != NULL ? NULL : title, out,
                                CCS_NGINX_WORKERS);
}

struct reload {
    struct ccs_nginx *nginx;
    size_t refusals;
    pid_t old[CCS_NGINX_WORKERS];
    size_t old_count;
};

static int refused(const struct reload *reload)
{
    return ccs_nginx_logged(reload->nginx, "[emerg]") > reload->refusals;
}

static int reloaded(void *arg)
{
    struct reload *reload = arg;
    pid_t now[CCS_NGINX_WORKERS];
    size_t count = ccs_nginx_workers(reload->nginx, 0, now), i, j;

    if (refused(reload)) {
        return 1;
    }
    for (i = 0; i < count; i++) {
        for (j = 0; j < reload->old_count; j++) {
            if (now[i] == reload->old[j]) {
                return 0;
            }
        }
    }
    return count >= (reload->nginx->spec.workers > 0 ? (size_t)reload->nginx->spec.workers : 1);
}

int ccs_nginx_reload(struct ccs_nginx *nginx)
{
    struct reload reload = {.nginx = nginx};

    reload.refusals = ccs_nginx_logged(nginx, "[emerg]");
    reload.old_count = ccs_nginx_workers(nginx, 0, reload.old);
    ccs_nginx_signal(nginx, SIGHUP);
    if (!ccs_wait_until(reloaded, &reload, 0)) {
        fail_msg("nginx does not reload, see %s/error.log", nginx->dir);
    }
    return !refused(&reload);
}

void ccs_nginx_signal(struct ccs_nginx *nginx, int sig)
{
    assert_true(nginx->pid > 0);
    assert_int_equal(kill(nginx->pid, sig), 0);
}

int ccs_nginx_wait(struct ccs_nginx *nginx)
{
    int status = ccs_process_wait(nginx->pid);

    if (status < 0) {
        fail_msg("nginx does not end");
    }
    nginx->pid = 0;
    return status;
}

size_t ccs_nginx_logged(const struct ccs_nginx *nginx, const char *text)
{
    return ccs_place_logged(nginx->dir, text);
}

void ccs_nginx_wait_log(const struct ccs_nginx *nginx, const char *text, size_t times)
{
    ccs_place_wait_log(nginx->dir, text, times);
}

void ccs_nginx_slow(const struct ccs_nginx *nginx, const char *how)
{
    ccs_place_slow(nginx->dir, how);
}

size_t ccs_nginx_opened(const struct ccs_nginx *nginx, const char *prefix)
{
    return ccs_place_opened(nginx->dir, prefix);
}

static int has_ended(void *arg)
{
    struct ccs_nginx *nginx = arg;

    return ccs_process_ended(nginx->pid);
}

int ccs_nginx_stop(struct ccs_nginx *nginx)
{
    int bad;

    if (nginx->dir[0] == '\0') {
        return 0;
    }
    if (nginx->pid > 0) {
        /* Asked by TERM, the master would kill workers that take longer than a second or two, as
         * they may on a busy machine. */
        (void)kill(nginx->pid, SIGQUIT);
        (void)ccs_wait_until(has_ended, nginx, 10000);
        ccs_process_end(nginx->pid);
        nginx->pid = 0;
    }
    bad = ccs_place_complain(nginx->dir, "exited on signal");
    bad |= ccs_place_complain(nginx->dir, "[alert]");
    bad |= ccs_place_reports(nginx->dir);
    nginx->dir[0] = '\0';
    return bad ? -1 : 0;
}
