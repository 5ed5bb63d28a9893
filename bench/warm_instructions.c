/* SPDX-License-Identifier: Apache-2.0 */
/* User instructions of a warm handshake against those of nginx with one certificate of its own. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "nginx_exec.h"
#include "process.h"
#include "tmp.h"

#define VALGRIND "/usr/bin/valgrind"
#define WARM_UP  20 /* handshakes before the counted ones, in both runs of a pair */

static const char about[] =
    "Runs nginx under callgrind, twice with one static certificate and twice with a store, and\n"
    "compares what a handshake costs: the difference of two runs with different numbers of\n"
    "handshakes, so that start and end cancel out. One name, P-256, one process without a master.";

static double few = 50, many = 250, version = 13, keep;

static const struct ccs_bench_option options[] = {
    {"few", &few, "handshakes of the shorter run"},
    {"many", &many, "handshakes of the longer run"},
    {"tls", &version, "12 or 13"},
    {"keep", &keep, "1: leave callgrind's files in /tmp/ccs-callgrind.*"},
    {NULL, NULL, NULL},
};

static int ready(void *arg)
{
    struct ccs_nginx *server = arg;
    struct ccs_load_result result;
    struct ccs_names names;
    const struct ccs_load_spec spec = {
        .port = server->port[0], .names = &names, .handshakes = 1, .timeout_ms = 60000};
    int served;

    if (ccs_process_ended(server->pid))
        ccs_bench_fail("nginx has ended, see %s/output", server->dir);
    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 1) != 0 || ccs_load_run(&spec, &result) != 0)
        ccs_bench_fail("the load did not run");
    served = result.counts.ends[CCS_CONN_SERVED] == 1;
    ccs_load_result_clear(&result);
    return served;
}

static void keep_file(const char *dir, const char *file, const char *kept, int thread)
{
    char to[100];
    size_t len;
    char *data = ccs_tmp_read(dir, file, &len);

    if (data == NULL)
        return;
    snprintf(to, sizeof(to), "ccs-callgrind.%s.%d", kept, thread);
    ccs_tmp_write("/tmp", to, data, len);
    free(data);
}

/* Instructions of the thread that serves, and of all others. */
struct counted {
    double serving, others;
};

/* What callgrind says this server has done until its end: a file per thread. */
static struct counted total(const struct ccs_nginx *server, const char *kept)
{
    struct counted sum = {0, 0};
    char pattern[300], line[256];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/callgrind.*", server->dir);
    if (glob(pattern, 0, NULL, &found) != 0)
        ccs_bench_fail("callgrind has left no file in %s", server->dir);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *in = fopen(found.gl_pathv[i], "re");
        int thread = 0;
        double one = 0;

        while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
            if (sscanf(line, "thread: %d", &thread) == 1 || sscanf(line, "totals: %lf", &one) != 1)
                continue;
            if (thread == 1)
                sum.serving += one;
            else
                sum.others += one;
        }
        if (in != NULL)
            fclose(in);
        if (keep > 0)
            keep_file(server->dir, strrchr(found.gl_pathv[i], '/') + 1, kept, thread);
        unlink(found.gl_pathv[i]);
    }
    globfree(&found);
    if (sum.serving <= 0)
        ccs_bench_fail("callgrind has counted nothing");
    return sum;
}

/* A signal that comes just before nginx waits for events is not seen until one comes: send more. */
static int asked_to_end(void *arg)
{
    struct ccs_nginx *server = arg;

    if (ccs_process_ended(server->pid))
        return 1;
    ccs_nginx_signal(server, SIGTERM);
    ccs_wait_pass(100);
    return 0;
}

static struct counted run(struct ccs_nginx *server, double handshakes, const char *kept)
{
    struct ccs_load_result result;
    struct ccs_load_spec spec = {.port = server->port[0],
                                 .handshakes = (uint64_t)handshakes + WARM_UP,
                                 .timeout_ms = 60000,
                                 .version = version < 13 ? TLS1_2_VERSION : TLS1_3_VERSION};
    struct ccs_names names;
    char out[300];
    const char *tool[] = {VALGRIND, "-q", "--tool=callgrind", "--separate-threads=yes", out, NULL};

    snprintf(out, sizeof(out), "--callgrind-out-file=%s/callgrind.%%p", server->dir);
    server->spec.tool = tool;
    server->pid = ccs_nginx_exec(server, 0, "output");
    if (!ccs_wait_until(ready, server, 120000))
        ccs_bench_fail("nginx does not serve under callgrind, see %s/error.log", server->dir);
    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 1) != 0)
        ccs_bench_fail("no names");
    spec.names = &names;
    ccs_bench_load(&spec, &result);
    ccs_load_result_clear(&result);
    if (!ccs_wait_until(asked_to_end, server, 0) || ccs_nginx_wait(server) != 0)
        ccs_bench_fail("nginx did not end well, see %s/error.log", server->dir);
    server->spec.tool = NULL;
    return total(server, kept);
}

/* Per handshake. The other threads go by the clock, which valgrind stretches: they are only shown.
 */
static double slope(struct ccs_nginx *server, const char *title, const char *kept)
{
    char few_kept[40], many_kept[40];
    struct counted a, b;
    double each;

    snprintf(few_kept, sizeof(few_kept), "%s.few", kept);
    snprintf(many_kept, sizeof(many_kept), "%s.many", kept);
    a = run(server, few, few_kept);
    b = run(server, many, many_kept);
    each = (b.serving - a.serving) / (many - few);
    printf("%-32s %10.0f instructions per handshake, %.0f in other threads\n", title, each,
           (b.others - a.others) / (many - few));
    return each;
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("warm-instructions", about, argc, argv, options);
    struct ccs_nginx *stock, *with;
    char store[220];
    double a, b;

    if (access(VALGRIND, X_OK) != 0)
        ccs_bench_fail("this needs valgrind: apt-get install valgrind");
    if (many <= few)
        ccs_bench_fail("--many must be more than --few");
    ccs_bench_hosts(bench, "store", 1, 0, 1, store);
    stock = ccs_bench_stock_server(bench);
    with = ccs_bench_store_server(bench, store, "");
    stock->spec.top = with->spec.top = "master_process off;\n";
    ccs_nginx_rewrite(stock, NULL, 1);
    ccs_nginx_rewrite(with, NULL, 0);

    a = slope(stock, "nginx, one ssl_certificate", "stock");
    b = slope(with, "nginx with the store, one name", "store");
    printf("%-32s %10.0f instructions\n", "difference", b - a);
    return ccs_bench_budget("warm-instructions", b / a, 1.010);
}
