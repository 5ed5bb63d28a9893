/* SPDX-License-Identifier: Apache-2.0 */
#include "nginx.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nginx_exec.h"
#include "process.h"
#include "tmp.h"

#define START_TRIES 5
#define CONF_MAX    65536

/* Free ports right now; another program may still take one before nginx does. */
static void choose_ports(struct ccs_nginx *nginx)
{
    int fds[CCS_NGINX_PORTS], i;

    for (i = 0; i < CCS_NGINX_PORTS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(address);

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&address, len), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &len), 0);
        nginx->port[i] = ntohs(address.sin_port);
    }
    for (i = 0; i < CCS_NGINX_PORTS; i++) {
        close(fds[i]);
    }
}

/* Copies text, putting in what its @WORDS@ stand for. */
static void expand(const struct ccs_nginx *nginx, const char *text, FILE *out)
{
    const char *at, *end;

    while ((at = strchr(text, '@')) != NULL && (end = strchr(at + 1, '@')) != NULL) {
        fwrite(text, 1, (size_t)(at - text), out);
        if (strncmp(at, "@DIR@", 5) == 0) {
            fputs(nginx->dir, out);
        } else if (strncmp(at, "@STORE@", 7) == 0) {
            fputs(nginx->store, out);
        } else if (strncmp(at, "@PORT", 5) == 0 && at[5] >= '1' && at[5] < '1' + CCS_NGINX_PORTS) {
            fprintf(out, "127.0.0.1:%d", nginx->port[at[5] - '1']);
        } else {
            fail_msg("no such word: %.20s", at);
        }
        text = end + 1;
    }
    fputs(text, out);
}

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
        expand(nginx, spec->top, out);
    }
    fputs("events { worker_connections 4096; }\nhttp {\naccess_log off;\n", out);
    for (i = 0; i < sizeof(temp) / sizeof(temp[0]); i++) {
        fprintf(out, "%s_temp_path %s/%s_temp;\n", temp[i], nginx->dir, temp[i]);
    }
    expand(nginx, spec->http, out);
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
    choose_ports(nginx);
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

/* Connects to the first port; any answer to the attempt is what counts. */
static int accepts(const struct ccs_nginx *nginx)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)nginx->port[0]),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return rc == 0;
}

static int started(void *arg)
{
    struct ccs_nginx *nginx = arg;
    pid_t workers[CCS_NGINX_WORKERS];
    size_t want = nginx->spec.workers > 0 ? (size_t)nginx->spec.workers : 1;

    return ccs_process_ended(nginx->pid) ||
           (ccs_nginx_workers(nginx, 0, workers) >= want && accepts(nginx));
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
        choose_ports(nginx);
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

static size_t count_text(const char *in, const char *text)
{
    size_t count = 0;

    while (in != NULL && (in = strstr(in, text)) != NULL) {
        in += strlen(text);
        count++;
    }
    return count;
}

size_t ccs_nginx_logged(const struct ccs_nginx *nginx, const char *text)
{
    char *log = ccs_tmp_read(nginx->dir, "error.log", NULL);
    size_t count = count_text(log, text);

    free(log);
    return count;
}

struct sought {
    const struct ccs_nginx *nginx;
    const char *text;
    size_t times;
};

static int found(void *arg)
{
    struct sought *sought = arg;

    return ccs_nginx_logged(sought->nginx, sought->text) >= sought->times;
}

void ccs_nginx_wait_log(const struct ccs_nginx *nginx, const char *text, size_t times)
{
    struct sought sought = {nginx, text, times};

    if (!ccs_wait_until(found, &sought, 0)) {
        fail_msg("not in the log: %s", text);
    }
}

void ccs_nginx_slow(const struct ccs_nginx *nginx, const char *how)
{
    ccs_tmp_replace(nginx->dir, "slow", how, strlen(how));
}

size_t ccs_nginx_opened(const struct ccs_nginx *nginx, const char *prefix)
{
    char *log = ccs_tmp_read(nginx->dir, "slow.log", NULL), line[300];
    size_t count;

    snprintf(line, sizeof(line), "\n%s", prefix);
    count = count_text(log, line);
    count += log != NULL && strncmp(log, prefix, strlen(prefix)) == 0;
    free(log);
    return count;
}

/* Copies every line of the error log with text in it to standard error. */
static int complain(const struct ccs_nginx *nginx, const char *text)
{
    char *log = ccs_tmp_read(nginx->dir, "error.log", NULL), *rest = log, *line;
    int bad = 0;

    while (log != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (strstr(line, text) != NULL) {
            fprintf(stderr, "%s\n", line);
            bad = 1;
        }
    }
    free(log);
    return bad;
}

static int sanitizer_reports(const struct ccs_nginx *nginx)
{
    struct dirent *entry;
    DIR *dir = opendir(nginx->dir);
    int bad = 0;
    char *text;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "sanitizer.", 10) == 0) {
            text = ccs_tmp_read(nginx->dir, entry->d_name, NULL);
            fprintf(stderr, "%s\n", text != NULL ? text : entry->d_name);
            free(text);
            bad = 1;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return bad;
}

int ccs_nginx_stop(struct ccs_nginx *nginx)
{
    int bad;

    if (nginx->dir[0] == '\0') {
        return 0;
    }
    if (nginx->pid > 0) {
        ccs_process_end(nginx->pid);
        nginx->pid = 0;
    }
    bad = complain(nginx, "exited on signal");
    bad |= complain(nginx, "[alert]");
    bad |= sanitizer_reports(nginx);
    nginx->dir[0] = '\0';
    return bad ? -1 : 0;
}
