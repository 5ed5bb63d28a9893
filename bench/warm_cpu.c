/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time of a warm handshake against that of nginx with one certificate of its own. */
#include <stdio.h>

#include "bench.h"

static const char about[] =
    "Compares nginx with a store, all of whose hosts have been asked for before, with nginx and "
    "one\n"
    "static certificate: user and system time of their processes. Batches go A B B A; the figure "
    "is\n"
    "the median of the ratios of neighbours. Both servers are restarted for each block.";

static double hosts = 1000, batch = 100, quads = 8, blocks = 16, version = 13, same;

static const struct ccs_bench_option options[] = {
    {"hosts", &hosts, "how many hosts, asked for in turn"},
    {"batch", &batch, "handshakes in a row with one server"},
    {"quads", &quads, "A B B A per block"},
    {"blocks", &blocks, "how often the servers are restarted"},
    {"tls", &version, "12 or 13"},
    {"same", &same, "1: compare nginx with itself; 2: with itself and an idle thread pool"},
    {NULL, NULL, NULL},
};

/* Threads make a process's system calls and allocations dearer, whatever they do. */
static const char threaded[] = "error_log @DIR@/http.log error;\n"
                               "ssl_protocols TLSv1.2 TLSv1.3;\n"
                               "aio threads;\n"
                               "server { listen @PORT1@ ssl; return 204;\n"
                               "ssl_certificate @DIR@/static.crt;\n"
                               "ssl_certificate_key @DIR@/static.key; }\n";

static struct ccs_nginx *other_server(struct ccs_bench *bench, const char *store)
{
    if (same > 1)
        return ccs_bench_server(bench, threaded, 1);
    if (same > 0)
        return ccs_bench_stock_server(bench);
    return ccs_bench_store_server(bench, store, "ccs_parsed 20000;");
}

struct side {
    struct ccs_nginx *server;
    uint64_t next;           /* number of the next name */
    struct ccs_samples each; /* microseconds per handshake of each batch */
};

static double measure(struct side *side, const struct ccs_names *names)
{
    struct ccs_load_spec spec = {.port = side->server->port[0],
                                 .names = names,
                                 .first = side->next,
                                 .handshakes = (uint64_t)batch,
                                 .concurrency = 8,
                                 .version = version < 13 ? TLS1_2_VERSION : TLS1_3_VERSION,
                                 .pids = {side->server->pid},
                                 .pid_count = 1};
    struct ccs_load_result result;
    double us;

    ccs_bench_load(&spec, &result);
    us = (double)result.counts.usage.cpu_ns / 1e3 / batch;
    ccs_load_result_clear(&result);
    side->next += (uint64_t)batch;
    ccs_samples_add(&side->each, us);
    return us;
}

static void block(struct side *a, struct side *b, const struct ccs_names *names,
                  struct ccs_samples *ratios)
{
    ccs_bench_visit(a->server, names, 0, names->count);
    ccs_bench_visit(b->server, names, 0, names->count);
    for (int i = 0; i < (int)quads; i++) {
        double a1 = measure(a, names), b1 = measure(b, names);
        double b2 = measure(b, names), a2 = measure(a, names);

        ccs_samples_add(ratios, b1 / a1);
        ccs_samples_add(ratios, b2 / a2);
    }
}

static void show(const char *title, struct side *side)
{
    printf("%-28s %7.1f us per handshake at the median of batches, %.1f at the 10th percentile\n",
           title, ccs_samples_median(&side->each), ccs_samples_percentile(&side->each, 0.1));
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("warm-cpu", about, argc, argv, options);
    struct side a = {.server = NULL}, b = {.server = NULL};
    struct ccs_samples ratios = {0};
    struct ccs_estimate ratio;
    struct ccs_names names;
    char store[220];

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, (uint64_t)hosts) != 0 || batch < 1)
        ccs_bench_fail("--hosts and --batch must be at least 1");
    ccs_bench_hosts(bench, "store", names.count, 0, 1, store);
    a.server = ccs_bench_stock_server(bench);
    b.server = other_server(bench, store);
    ccs_nginx_start(a.server);
    ccs_nginx_start(b.server);
    for (int i = 0; i < (int)blocks; i++) {
        if (i > 0) {
            ccs_bench_restart(a.server);
            ccs_bench_restart(b.server);
        }
        block(&a, &b, &names, &ratios);
        printf("block %d of %d done\n", i + 1, (int)blocks);
    }
    show("nginx, one ssl_certificate", &a);
    show(same > 1   ? "the same with idle threads"
         : same > 0 ? "the same again"
                    : "nginx with the store",
         &b);
    ratio = ccs_samples_estimate(&ratios, 2);
    printf("ratio %.4f, 95 %% of the bootstrap from %.4f to %.4f, %zu pairs\n", ratio.value,
           ratio.low, ratio.high, ratios.count);
    return ccs_bench_budget("warm-cpu", ratio.value, 1.02);
}
