/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's memory grows by while many hosts are asked for. */
#include <stdio.h>

#include "bench.h"

static const char about[] = "Proportional set size of one nginx worker after all hosts of a store "
                            "have been asked for, above\n"
                            "that of the same worker before: with the default of ccs_parsed, and "
                            "with all hosts kept parsed.";

static double hosts = 10000;

static const struct ccs_bench_option options[] = {
    {"hosts", &hosts, "how many hosts are asked for"},
    {NULL, NULL, NULL},
};

#define WARM_UP    400 /* handshakes with one host before the first look */
#define LIMIT_MB   90
#define DISTINCT   64
#define KIB_PER_MB (1e6 / 1024)

/* KiB above the beginning, after a tenth and after all. */
static long grown(struct ccs_nginx *server, const struct ccs_names *names, const char *title)
{
    const struct ccs_names one = {.pattern = names->pattern, .count = 1};
    uint64_t tenth = names->count / 10;
    long before, some, all;
    pid_t worker;

    ccs_nginx_start(server);
    worker = ccs_bench_worker(server);
    ccs_bench_visit(server, &one, 0, WARM_UP);
    before = ccs_usage_pss_kib(worker);
    if (tenth > 0)
        ccs_bench_visit(server, names, 0, tenth);
    some = ccs_usage_pss_kib(worker) - before;
    ccs_bench_visit(server, names, tenth, names->count - tenth);
    all = ccs_usage_pss_kib(worker) - before;
    printf("%-34s %8ld KiB at first, +%ld KiB after %llu hosts, +%ld KiB after %llu\n", title,
           before, some, (unsigned long long)tenth, all, (unsigned long long)names->count);
    return all;
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("memory", about, argc, argv, options);
    struct ccs_nginx *usual, *whole;
    struct ccs_names names;
    char store[220], more[60];
    long usual_kib, whole_kib;

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, (uint64_t)hosts) != 0)
        ccs_bench_fail("--hosts must be at least 1");
    ccs_bench_hosts(bench, "store", names.count, DISTINCT, 1, store);
    snprintf(more, sizeof(more), "ccs_parsed %llu;", (unsigned long long)names.count + 16);
    usual = ccs_bench_store_server(bench, store, "");
    whole = ccs_bench_store_server(bench, store, more);
    usual_kib = grown(usual, &names, "ccs_parsed 2000, the default");
    whole_kib = grown(whole, &names, more);
    printf("a host that is kept parsed takes %.1f KiB\n", (double)whole_kib / hosts);
    return ccs_bench_budget("memory", (double)usual_kib / KIB_PER_MB, LIMIT_MB);
}
