/* SPDX-License-Identifier: Apache-2.0 */
/* How long a reload takes with many hosts in use, what it loses, and what it reads again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "tls_client.h"
#include "usage.h"
#include "wait.h"

static const char about[] =
    "Reloads an nginx with one certificate and one with a store, all of whose hosts have been\n"
    "asked for, in turn: the time from the signal until a new worker has answered a request over\n"
    "TLS. Then the one with the store again and again, while clients ask for all of the hosts:\n"
    "every handshake must be served. At last all hosts are asked for once more: what was loaded\n"
    "before the first reload may neither be read from the store nor decoded again.";

static double hosts = 10000, quads = 8, rate = 100, under_load = 5;

static const struct ccs_bench_option options[] = {
    {"hosts", &hosts, "in the store, and asked for"},
    {"quads", &quads, "reloads in turn, A B B A"},
    {"rate", &rate, "handshakes per second meanwhile, in the second part"},
    {"loaded", &under_load, "reloads in the second part"},
    {NULL, NULL, NULL},
};

#define LIMIT      2
#define DISTINCT   64
#define AT_ONCE    1024 /* connections of the load */
#define PAUSE_MS   500  /* between reloads while others ask */
#define ANSWER_MS  60000
#define HEAD       "error_log @DIR@/http.log error;\nssl_protocols TLSv1.2 TLSv1.3;\n"
#define WHO        "location / { return 200 $pid; }\n"
#define NAME_OCTET 100

static const char stock_http[] = HEAD "server { listen @PORT1@ ssl;\n" WHO
                                      "ssl_certificate @DIR@/static.crt;\n"
                                      "ssl_certificate_key @DIR@/static.key; }\n";

static struct ccs_nginx *store_server(struct ccs_bench *bench, const char *store)
{
    char http[1024];

    snprintf(http, sizeof(http),
             HEAD "ccs on; ccs_store %s;\n"
                  "server { listen @PORT1@ ssl;\n" WHO "location = /status { ccs_status; } }\n",
             store);
    return ccs_bench_server(bench, http, 0);
}

/* -- asking -------------------------------------------------------------------------------- */

/* The body of what a server answers; returns whether it did. */
static int ask(const struct ccs_nginx *server, const char *path, struct ccs_tls_result *result)
{
    static uint64_t number;
    char name[NAME_OCTET];
    const struct ccs_tls_spec spec = {.port = server->port[0], .sni = name, .path = path};

    snprintf(name, sizeof(name), CCS_BENCH_HOSTS, (int)(number++ % (uint64_t)hosts));
    return ccs_tls_client_once(&spec, result, NULL) && result->status == 200;
}

/* What the store's counters say: files read and files decoded. */
struct loads {
    unsigned long reads, decodes, shared, evictions;
};

static unsigned long number_of(const char *json, const char *name)
{
    char key[40];
    const char *at;

    snprintf(key, sizeof(key), "\"%s\":", name);
    at = strstr(json, key);
    if (at == NULL)
        ccs_bench_fail("no %s in %s", name, json);
    return strtoul(at + strlen(key), NULL, 10);
}

static struct loads loads_of(const struct ccs_nginx *server)
{
    struct ccs_tls_result result;

    if (!ask(server, "/status", &result))
        ccs_bench_fail("nginx does not tell its status");
    return (struct loads){.reads = number_of(result.body, "store_reads"),
                          .decodes = number_of(result.body, "decodes"),
                          .shared = number_of(result.body, "shared"),
                          .evictions = number_of(result.body, "evictions")};
}

/* -- how long ------------------------------------------------------------------------------ */

/* Nobody drains any more. */
static int settled(void *arg)
{
    pid_t workers[CCS_NGINX_WORKERS];

    return ccs_nginx_workers(arg, 1, workers) == 0 && ccs_nginx_workers(arg, 0, workers) == 1;
}

static void settle(struct ccs_nginx *server)
{
    if (!ccs_wait_until(settled, server, 0))
        ccs_bench_fail("an old worker does not end, see %s/error.log", server->dir);
}

/* Milliseconds until a new worker answers. */
static double reload(struct ccs_nginx *server, struct ccs_samples *all)
{
    struct ccs_tls_result result;
    int64_t begin, limit;
    double ms;
    pid_t old;

    settle(server);
    old = ccs_bench_worker(server);
    begin = ccs_usage_clock_ns();
    limit = begin + (int64_t)ANSWER_MS * 1000000;
    ccs_nginx_signal(server, SIGHUP);
    do {
        if (!ask(server, "/", &result))
            ccs_bench_fail("a request was not answered during a reload: %s", result.error);
        if (ccs_usage_clock_ns() > limit)
            ccs_bench_fail("no new worker answers, see %s/error.log", server->dir);
    } while (strtol(result.body, NULL, 10) == old);
    ms = (double)(ccs_usage_clock_ns() - begin) / 1e6;
    ccs_samples_add(all, ms);
    return ms;
}

static double compare(struct ccs_nginx *stock, struct ccs_nginx *with)
{
    struct ccs_samples a = {0}, b = {0}, ratios = {0};
    struct ccs_estimate ratio;

    for (int i = 0; i < (int)quads; i++) {
        double a1 = reload(stock, &a), b1 = reload(with, &b);
        double b2 = reload(with, &b), a2 = reload(stock, &a);

        ccs_samples_add(&ratios, b1 / a1);
        ccs_samples_add(&ratios, b2 / a2);
    }
    ratio = ccs_samples_estimate(&ratios, 2);
    printf("%-26s %7.1f ms at the median, %.1f to %.1f\n", "nginx, one ssl_certificate",
           ccs_samples_median(&a), ccs_samples_percentile(&a, 0), ccs_samples_percentile(&a, 1));
    printf("%-26s %7.1f ms at the median, %.1f to %.1f\n", "nginx with the store",
           ccs_samples_median(&b), ccs_samples_percentile(&b, 0), ccs_samples_percentile(&b, 1));
    printf("ratio %.3f, 95 %% of the bootstrap from %.3f to %.3f, %zu pairs\n", ratio.value,
           ratio.low, ratio.high, ratios.count);
    ccs_samples_clear(&a);
    ccs_samples_clear(&b);
    ccs_samples_clear(&ratios);
    return ratio.value;
}

/* -- what is lost -------------------------------------------------------------------------- */

static double reload_under_load(struct ccs_bench *bench, struct ccs_nginx *server,
                                const struct ccs_names *names)
{
    const struct ccs_load_spec spec = {.port = server->port[0],
                                       .names = names,
                                       .shuffled = 1,
                                       .seconds = under_load * 2 * PAUSE_MS / 1e3 + 1,
                                       .concurrency = AT_ONCE,
                                       .rate = rate,
                                       .timeout_ms = ANSWER_MS};
    struct ccs_bench_background load;
    struct ccs_load_counts counts;
    uint64_t lost;

    settle(server);
    ccs_bench_background_start(bench, &spec, &load);
    for (int i = 0; i < (int)under_load; i++) {
        ccs_wait_pass(PAUSE_MS);
        if (!ccs_nginx_reload(server))
            ccs_bench_fail("nginx has refused to reload, see %s/error.log", server->dir);
    }
    ccs_bench_background_wait(&load, &counts);
    lost = counts.begun - counts.ends[CCS_CONN_SERVED];
    printf("%llu handshakes during %.0f reloads, %llu not served, %llu too late to be begun\n",
           (unsigned long long)counts.begun, under_load, (unsigned long long)lost,
           (unsigned long long)counts.skipped);
    if (counts.begun == 0)
        ccs_bench_fail("there was no load");
    return (double)lost;
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("reload", about, argc, argv, options);
    struct ccs_nginx *stock, *with;
    struct loads before, after;
    struct ccs_names names;
    double ratio, lost;
    char store[220];
    int bad;

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, (uint64_t)hosts) != 0)
        ccs_bench_fail("--hosts must be at least 1");
    ccs_bench_hosts(bench, "store", names.count, DISTINCT, 1, store);
    stock = ccs_bench_server(bench, stock_http, 1);
    with = store_server(bench, store);
    ccs_nginx_start(stock);
    ccs_nginx_start(with);
    ccs_bench_visit(with, &names, 0, names.count);
    before = loads_of(with);
    ratio = compare(stock, with);
    lost = reload_under_load(bench, with, &names);
    settle(with);
    ccs_bench_visit(with, &names, 0, names.count);
    after = loads_of(with);
    printf("before the first reload %lu files read and %lu decoded; after the last one %lu and "
           "%lu,\nand %lu hosts had come from shared memory, out of which %lu were pushed\n",
           before.reads, before.decodes, after.reads, after.decodes, after.shared - before.shared,
           after.evictions);
    if (before.decodes < names.count)
        ccs_bench_fail("the counters do not count");
    bad = ccs_bench_budget("reload-lost", lost, 0);
    bad |= ccs_bench_budget(
        "reload-reads",
        (double)(after.reads - before.reads) + (double)(after.decodes - before.decodes), 0);
    return ccs_bench_budget("reload", ratio, LIMIT) | bad;
}
