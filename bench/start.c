/* SPDX-License-Identifier: Apache-2.0 */
/* How long a start takes with few and with many files. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "bench.h"
#include "nginx_exec.h"
#include "process.h"
#include "wait.h"

static const char about[] =
    "Time from the start of nginx to its first answer to a client: with a store of one file and "
    "with\n"
    "large ones, in turn. The answer is the certificate of a host that all of them hold. A name "
    "that\n"
    "none of them holds is asked for next: its refusal takes the first listing of the folder.";

static double rounds = 9, small = 10000, large = 100000;

static const struct ccs_bench_option options[] = {
    {"rounds", &rounds, "starts of each"},
    {"small", &small, "files in the smaller store"},
    {"large", &large, "files in the larger store"},
    {NULL, NULL, NULL},
};

#define UNRECOGNIZED_NAME 112
#define LIMIT_MS          60000
#define LONGEST_START_MS  50

struct start {
    const struct ccs_nginx *server;
    const struct ccs_names *names;
    int alert; /* 0: to be served */
};

static int answered(void *arg)
{
    const struct start *start = arg;
    const struct ccs_load_spec spec = {
        .port = start->server->port[0], .names = start->names, .handshakes = 1};
    struct ccs_load_result result;
    int yes;

    if (ccs_process_ended(start->server->pid))
        ccs_bench_fail("nginx has ended, see %s/output", start->server->dir);
    if (ccs_load_run(&spec, &result) != 0)
        ccs_bench_fail("the load did not run");
    yes = start->alert != 0 ? result.counts.alerts[start->alert] == 1
                            : result.counts.ends[CCS_CONN_SERVED] == 1;
    ccs_load_result_clear(&result);
    return yes;
}

static double wait_for(const struct start *start, int64_t since)
{
    int64_t limit = since + (int64_t)LIMIT_MS * 1000000;

    while (!answered((void *)(uintptr_t)start)) {
        if (ccs_usage_clock_ns() > limit)
            ccs_bench_fail("nginx does not answer, see %s/error.log", start->server->dir);
    }
    return (double)(ccs_usage_clock_ns() - since) / 1e6;
}

struct size {
    const char *title;
    double count;
    struct ccs_nginx *server;
    struct ccs_samples served_ms, refused_ms, cpu_ms;
};

static void once(struct size *size)
{
    static char stranger[] = "stranger.bench.example", host[] = "h0.bench.example";
    static char *stranger_list[] = {stranger}, *host_list[] = {host};
    static const struct ccs_names strangers = {.list = stranger_list, .count = 1};
    static const struct ccs_names hosts = {.list = host_list, .count = 1};
    const struct start served = {size->server, &hosts, 0};
    const struct start refused = {size->server, &strangers, UNRECOGNIZED_NAME};
    int64_t begin = ccs_usage_clock_ns();
    struct ccs_usage usage;

    size->server->pid = ccs_nginx_exec(size->server, 0, "output");
    ccs_samples_add(&size->served_ms, wait_for(&served, begin));
    ccs_samples_add(&size->refused_ms, wait_for(&refused, begin));
    ccs_wait_pass(1000);
    ccs_usage_read(&size->server->pid, 1, &usage);
    ccs_samples_add(&size->cpu_ms, (double)usage.cpu_ns / 1e6);
    ccs_nginx_signal(size->server, SIGTERM);
    if (ccs_nginx_wait(size->server) != 0)
        ccs_bench_fail("nginx did not end well, see %s/error.log", size->server->dir);
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("start", about, argc, argv, options);
    struct size sizes[] = {{.title = "one file", .count = 1},
                           {.title = "smaller store", .count = small},
                           {.title = "larger store", .count = large}};
    char store[220], name[20];
    double above[3] = {0};

    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "store%zu", i);
        ccs_bench_hosts(bench, name, (uint64_t)sizes[i].count, 4, 1, store);
        sizes[i].server = ccs_bench_store_server(bench, store, "");
    }
    for (int round = 0; round < (int)rounds; round++) {
        for (size_t i = 0; i < 3; i++)
            once(&sizes[i]);
    }
    printf("%-16s %9s %16s %16s %16s\n", "medians", "files", "serves after", "refuses after",
           "CPU, first s");
    for (size_t i = 0; i < 3; i++) {
        double median = ccs_samples_median(&sizes[i].served_ms);

        above[i] = median - ccs_samples_median(&sizes[0].served_ms);
        printf("%-16s %9.0f %13.1f ms %13.1f ms %13.1f ms\n", sizes[i].title, sizes[i].count,
               median, ccs_samples_median(&sizes[i].refused_ms),
               ccs_samples_median(&sizes[i].cpu_ms));
    }
    printf("above the store with one file: %.1f ms and %.1f ms\n", above[1], above[2]);
    return ccs_bench_budget("start", above[1] > above[2] ? above[1] : above[2], LONGEST_START_MS);
}
