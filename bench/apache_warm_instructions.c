/* SPDX-License-Identifier: Apache-2.0 */
/* User instructions of a warm handshake against those of httpd with one certificate of its own. */
#include <stdio.h>

#include "apache_exec.h"
#include "callgrind.h"
#include "tmp.h"

static const char about[] =
    "Runs Apache httpd under callgrind, twice with one static certificate and twice with a store,\n"
    "and compares what a handshake costs: the difference of two runs with different numbers of\n"
    "handshakes, so that start and end cancel out. One name, P-256, one process (-X), and of its\n"
    "threads the one that serves.";

static struct ccs_callgrind how = {.few = 50, .many = 250, .version = 13};
static double mpm;

static const struct ccs_bench_option options[] = {
    CCS_CALLGRIND_OPTIONS(how),
    {"mpm", &mpm, "0: event, 1: worker, 2: prefork"},
    {NULL, NULL, NULL},
};

static pid_t start(void *arg, const char *const *tool)
{
    struct ccs_apache *server = arg;

    server->spec.tool = tool;
    server->pid = ccs_apache_exec(server, 0, "output");
    return server->pid;
}

static void ended(void *arg)
{
    struct ccs_apache *server = arg;

    server->spec.tool = NULL;
    server->pid = 0;
}

static double slope(struct ccs_apache *server, const char *title, const char *kept)
{
    char files[220];
    const struct ccs_callgrind_server counted = {.title = title,
                                                 .kept = kept,
                                                 .dir = server->dir,
                                                 .files = files,
                                                 .port = server->port[0],
                                                 .server = server,
                                                 .start = start,
                                                 .ended = ended};

    /* It is another user's when it ends. */
    ccs_tmp_join(files, sizeof(files), server->dir, "reports");
    return ccs_callgrind_slope(&how, &counted);
}

/* With the name that is asked for, or mod_ssl alone would neither confirm it nor keep it. */
#define HEAD "LogLevel error\n<VirtualHost @PORT1@>\nServerName h0.bench.example\nSSLEngine on\n"

static void prepare(struct ccs_bench *bench, struct ccs_apache *server, const char *name,
                    const char *conf, int stock)
{
    const struct ccs_pki_spec cover = {.names = CCS_BENCH_COVER};
    const struct ccs_apache_spec spec = {
        .conf = conf, .mpm = (enum ccs_apache_mpm)mpm, .threads = 1, .no_module = stock};
    struct ccs_pki_leaf leaf;
    char dir[220];

    ccs_bench_mkdir(bench, name, dir);
    ccs_apache_prepare(server, dir, &spec);
    ccs_pki_issue(bench->ca, &cover, &leaf);
    ccs_pki_pem_file(&leaf, dir, "static.crt", "static.key");
    ccs_pki_leaf_clear(&leaf);
}

int main(int argc, char **argv)
{
    static struct ccs_apache stock, with;
    struct ccs_bench *bench = ccs_bench_open("apache-warm-instructions", about, argc, argv,
                                             options);
    char store[220], conf[500];
    double a, b;

    if (mpm > CCS_APACHE_PREFORK)
        ccs_bench_fail("there is no such MPM");
    ccs_bench_hosts(bench, "store", 1, 0, 1, store);
    snprintf(conf, sizeof(conf), HEAD "CCSEngine on\nCCSStore %s\n</VirtualHost>\n", store);
    prepare(bench, &stock, "stock",
            HEAD "SSLCertificateFile @DIR@/static.crt\nSSLCertificateKeyFile @DIR@/static.key\n"
                 "</VirtualHost>\n",
            1);
    prepare(bench, &with, "with", conf, 0);
    a = slope(&stock, "httpd, one SSLCertificateFile", "apache-stock");
    b = slope(&with, "httpd with the store, one name", "apache-store");
    printf("%-32s %10.0f instructions\n", "difference", b - a);
    return ccs_bench_budget("apache-warm-instructions", b / a, 1.010);
}
