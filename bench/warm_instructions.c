/* SPDX-License-Identifier: Apache-2.0 */
/* User instructions of a warm handshake against those of nginx with one certificate of its own. */
#include <stdio.h>

#include "callgrind.h"
#include "nginx_exec.h"

static const char about[] =
    "Runs nginx under callgrind, twice with one static certificate and twice with a store, and\n"
    "compares what a handshake costs: the difference of two runs with different numbers of\n"
    "handshakes, so that start and end cancel out. One name, P-256, one process without a master.";

static struct ccs_callgrind how = {.few = 50, .many = 250, .version = 13};

static const struct ccs_bench_option options[] = {
    CCS_CALLGRIND_OPTIONS(how),
    {NULL, NULL, NULL},
};

static pid_t start(void *arg, const char *const *tool)
{
    struct ccs_nginx *server = arg;

    server->spec.tool = tool;
    server->pid = ccs_nginx_exec(server, 0, "output");
    return server->pid;
}

static void ended(void *arg)
{
    struct ccs_nginx *server = arg;

    server->spec.tool = NULL;
    server->pid = 0;
}

static double slope(struct ccs_nginx *server, const char *title, const char *kept)
{
    const struct ccs_callgrind_server counted = {.title = title,
                                                 .kept = kept,
                                                 .dir = server->dir,
                                                 .files = server->dir,
                                                 .port = server->port[0],
                                                 .server = server,
                                                 .start = start,
                                                 .ended = ended};

    return ccs_callgrind_slope(&how, &counted);
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("warm-instructions", about, argc, argv, options);
    struct ccs_nginx *stock, *with;
    char store[220];
    double a, b;

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
