/* SPDX-License-Identifier: Apache-2.0 */
#include "apache.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apache_exec.h"
#include "process.h"
#include "tmp.h"

#define START_TRIES 5
#define CONF_MAX    65536
#define THREADS     8

/* Spare room for processes that finish what they have while others take their place. */
#define LEAVING_MAX 16

#define SHOW(name)                                                                                 \
    "<!--#if expr=\"-n reqenv('" name "')\" --><!--#echo encoding=\"none\" var=\"" name            \
    "\" --><!--#endif -->"

static const char page[] = SHOW("CCS_RESULT") " " SHOW("CCS_FILE");

static int children_of(const struct ccs_apache_spec *spec)
{
    return spec->children > 0 ? spec->children : 1;
}

static void write_mpm(const struct ccs_apache_spec *spec, FILE *out)
{
    static const char *const names[] = {"event", "worker", "prefork"};
    int threads = spec->threads > 0 ? spec->threads : THREADS, children = children_of(spec);

    fprintf(out, "LoadModule mpm_%s_module %s/mod_mpm_%s.so\n", names[spec->mpm],
            ccs_apache_modules(), names[spec->mpm]);
    if (spec->mpm == CCS_APACHE_PREFORK) {
        fprintf(out,
                "ServerLimit %d\nStartServers %d\nMinSpareServers %d\nMaxSpareServers %d\n"
                "MaxRequestWorkers %d\n",
                children, children, children, children + 1, children);
        return;
    }
    fprintf(out,
            "ServerLimit %d\nStartServers %d\nThreadsPerChild %d\nThreadLimit %d\n"
            "MaxRequestWorkers %d\nMinSpareThreads %d\nMaxSpareThreads %d\n",
            children + LEAVING_MAX, children, threads, threads, children * threads,
            children * threads, children * threads + threads);
    if (spec->mpm == CCS_APACHE_EVENT) {
        fputs("AsyncRequestWorkerFactor 50\n", out);
    }
}

static void load(FILE *out, const char *name)
{
    fprintf(out, "LoadModule %s_module %s/mod_%s.so\n", name, ccs_apache_modules(), name);
}

static void write_modules(const struct ccs_apache_spec *spec, FILE *out)
{
    static const char *const stock[] = {"authz_core",    "dir",     "env", "headers", "include",
                                        "socache_shmcb", "http2",   "ssl", "status",  "setenvif",
                                        "remoteip",      "rewrite", NULL};
    const char *const *name;

    if (!spec->no_module && !spec->after_ssl) {
        fprintf(out, "LoadModule ccs_module %s/mod_ccs.so\n", ccs_apache_own_modules());
    }
    for (name = stock; *name != NULL; name++) {
        load(out, *name);
    }
    if (!spec->no_module && spec->after_ssl) {
        fprintf(out, "LoadModule ccs_module %s/mod_ccs.so\n", ccs_apache_own_modules());
    }
}

static void write_conf(const struct ccs_apache *apache)
{
    const struct ccs_apache_spec *spec = &apache->spec;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    write_mpm(spec, out);
    write_modules(spec, out);
    if (geteuid() == 0) {
        fputs("User www-data\nGroup www-data\n", out);
    }
    ccs_place_expand(apache->dir, apache->port,
                     "PidFile @DIR@/pid\nDefaultRuntimeDir @DIR@/run\nMutex default:@DIR@/run\n"
                     "ErrorLog @DIR@/error.log\nLogLevel info\nServerName localhost\n"
                     "DocumentRoot @DIR@/www\nDirectoryIndex index.shtml\n"

                     "<Directory @DIR@/www>\nOptions +IncludesNoExec\nRequire all granted\n"
                     "ForceType text/html\nSetOutputFilter INCLUDES\n"
                     "</Directory>\n"
                     "Protocols h2 http/1.1\nSSLProtocol -all +TLSv1.2 +TLSv1.3\n"
                     "Listen @PORT1@\n",
                     out);
    ccs_place_expand(apache->dir, apache->port, spec->conf, out);
    fputs("\n", out);
    fclose(out);
    assert_true(len < CONF_MAX);
    ccs_tmp_replace(apache->dir, "httpd.conf", text, len);
    free(text);
}

/* A sub-folder that is there afterwards, with this mode. */
static void make_folder(const char *dir, const char *name, mode_t mode)
{
    char path[300];

    ccs_tmp_join(path, sizeof(path), dir, name);
    if (access(path, F_OK) != 0) {
        ccs_tmp_mkdir(dir, name);
    }
    assert_int_equal(chmod(path, mode), 0);
}

void ccs_apache_prepare(struct ccs_apache *apache, const char *dir,
                        const struct ccs_apache_spec *spec)
{
    char journal[300];

    memset(apache, 0, sizeof(*apache));
    apache->spec = *spec;
    assert_true(strlen(dir) < sizeof(apache->dir));
    snprintf(apache->dir, sizeof(apache->dir), "%s", dir);
    snprintf(apache->store, sizeof(apache->store), "%s/store", dir);
    if (access(apache->store, F_OK) != 0) {
        ccs_tmp_mkdir(dir, "store");
    }
    make_folder(dir, "run", 0755);
    make_folder(dir, "www", 0755);
    /* The children are another user than whoever makes these. */
    make_folder(dir, "reports", 01777);
    ccs_tmp_print(dir, "www/index.shtml", page);
    ccs_tmp_print(dir, "slow", "");
    ccs_tmp_print(dir, "slow.log", "");
    ccs_tmp_join(journal, sizeof(journal), dir, "slow.log");
    assert_int_equal(chmod(journal, 0666), 0);
    ccs_place_choose_ports(apache->port);
    write_conf(apache);
}

void ccs_apache_rewrite(struct ccs_apache *apache, const char *conf, int no_module)
{
    if (conf != NULL) {
        apache->spec.conf = conf;
    }
    apache->spec.no_module = no_module;
    write_conf(apache);
}

static int started(void *arg)
{
    struct ccs_apache *apache = arg;
    pid_t children[CCS_APACHE_CHILDREN];

    if (ccs_process_ended(apache->pid)) {
        return 1;
    }
    if (apache->spec.tool != NULL) {
        return ccs_place_accepts(apache->port[0]);
    }
    return ccs_place_logged(apache->dir, "resuming normal operations") > 0 &&
           ccs_place_accepts(apache->port[0]) &&
           ccs_apache_children(apache, children) >= (size_t)children_of(&apache->spec);
}

void ccs_apache_start(struct ccs_apache *apache)
{
    char *output, *log;
    int round;

    for (round = 0; round < START_TRIES; round++) {
        ccs_tmp_print(apache->dir, "error.log", "");
        apache->pid = ccs_apache_exec(apache, 0, "output");
        if (!ccs_wait_until(started, apache, 0)) {
            fail_msg("httpd does not accept connections, see %s/error.log", apache->dir);
        }
        if (!ccs_process_ended(apache->pid)) {
            return;
        }
        (void)ccs_apache_wait(apache);
        if (ccs_place_logged(apache->dir, "Address already in use") == 0) {
            break;
        }
        ccs_place_choose_ports(apache->port);
        write_conf(apache);
    }
    output = ccs_tmp_read(apache->dir, "output", NULL);
    log = ccs_tmp_read(apache->dir, "error.log", NULL);
    fprintf(stderr, "%s%s", output != NULL ? output : "", log != NULL ? log : "");
    free(output);
    free(log);
    fail_msg("httpd does not start");
}

void ccs_apache_run(struct ccs_apache *apache, const char *dir, const struct ccs_apache_spec *spec)
{
    ccs_apache_prepare(apache, dir, spec);
    ccs_apache_start(apache);
}

int ccs_apache_test(struct ccs_apache *apache, char **output)
{
    pid_t pid = ccs_apache_exec(apache, 1, "test-output");
    int status = ccs_process_wait(pid);

    *output = ccs_tmp_read(apache->dir, "test-output", NULL);
    assert_non_null(*output);
    return status;
}

size_t ccs_apache_children(const struct ccs_apache *apache, pid_t out[CCS_APACHE_CHILDREN])
{
    return ccs_process_children(apache->pid, NULL, out, CCS_APACHE_CHILDREN);
}

struct restart {
    struct ccs_apache *apache;
    size_t resumed;
    pid_t old[CCS_APACHE_CHILDREN];
    size_t old_count;
};

static int restarted(void *arg)
{
    struct restart *restart = arg;
    pid_t now[CCS_APACHE_CHILDREN];
    size_t count, fresh = 0, i, j;

    if (ccs_process_ended(restart->apache->pid)) {
        return 1;
    }
    if (ccs_place_logged(restart->apache->dir, "resuming normal operations") <= restart->resumed) {
        return 0;
    }
    count = ccs_apache_children(restart->apache, now);
    for (i = 0; i < count; i++) {
        for (j = 0; j < restart->old_count && now[i] != restart->old[j]; j++) {
        }
        fresh += j == restart->old_count;
    }
    return fresh >= (size_t)children_of(&restart->apache->spec);
}

void ccs_apache_graceful(struct ccs_apache *apache)
{
    struct restart restart = {.apache = apache};

    restart.resumed = ccs_place_logged(apache->dir, "resuming normal operations");
    restart.old_count = ccs_apache_children(apache, restart.old);
    ccs_apache_signal(apache, SIGUSR1);
    if (!ccs_wait_until(restarted, &restart, 0)) {
        fail_msg("httpd does not restart, see %s/error.log", apache->dir);
    }
    if (ccs_process_ended(apache->pid)) {
        (void)ccs_place_complain(apache->dir, "");
        fail_msg("httpd has ended instead of restarting");
    }
}

void ccs_apache_signal(struct ccs_apache *apache, int sig)
{
    assert_true(apache->pid > 0);
    assert_int_equal(kill(apache->pid, sig), 0);
}

int ccs_apache_wait(struct ccs_apache *apache)
{
    int status = ccs_process_wait(apache->pid);

    if (status < 0) {
        fail_msg("httpd does not end");
    }
    apache->pid = 0;
    return status;
}

int ccs_apache_stop(struct ccs_apache *apache)
{
    char reports[300];
    int bad;

    if (apache->dir[0] == '\0') {
        return 0;
    }
    bad = ccs_place_complain(apache->dir, "exit signal");
    if (apache->pid > 0) {
        ccs_process_end(apache->pid);
        apache->pid = 0;
        /* The event MPM itself closes sockets at its end that its threads have just freed. */
        if (apache->spec.mpm != CCS_APACHE_EVENT) {
            bad |= ccs_place_complain(apache->dir, "exit signal");
        }
    }
    ccs_tmp_join(reports, sizeof(reports), apache->dir, "reports");
    bad |= ccs_place_complain(apache->dir, ":alert]");
    bad |= ccs_place_complain(apache->dir, ":emerg]");
    bad |= ccs_place_complain(apache->dir, "sending a SIGKILL");
    bad |= ccs_place_reports(reports);
    apache->dir[0] = '\0';
    return bad ? -1 : 0;
}
