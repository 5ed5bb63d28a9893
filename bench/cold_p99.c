/* SPDX-License-Identifier: Apache-2.0 */
/* A warm name while certificates of others are loaded. */
#include "victim.h"

#include <math.h>
#include <sched.h>

static const char about[] =
    "Asks for one warm name, again and again, while nobody else is there, while others ask for "
    "warm\n"
    "names, and while others ask for names that have to be read and decoded first.";

static double rounds = 3, seconds = 8, rate = 300, victim_rate = 200, kdf = 2048, apart;

static const struct ccs_bench_option options[] = {
    {"rounds", &rounds, "of all conditions, forth and back"},
    {"seconds", &seconds, "of each phase"},
    {"rate", &rate, "handshakes of others per second"},
    {"victim", &victim_rate, "handshakes of the victim per second"},
    {"kdf", &kdf, "rounds of the files' key derivation"},
    {"apart", &apart, "1: nginx has one processor to itself, and the clients have the others"},
    {NULL, NULL, NULL},
};

/* This program, and what it starts from now on, runs on the first processor or on all others. */
static void keep_to(const cpu_set_t *all, int first)
{
    cpu_set_t set = *all;
    size_t cpu = 0;

    if (CPU_COUNT(all) < 2)
        ccs_bench_fail("--apart needs two processors");
    while (!CPU_ISSET(cpu, all))
        cpu++;
    CPU_CLR(cpu, &set);
    if (first) {
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
    }
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        ccs_bench_fail("the processors cannot be divided");
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("cold-p99", about, argc, argv, options);
    double cold_count = ceil((seconds + 2) * rate * rounds * 2);
    struct ccs_names hot, cold;
    struct ccs_nginx *server;
    char store[220];
    cpu_set_t all;

    if (ccs_names_pattern(&hot, CCS_BENCH_HOSTS, 100) != 0 ||
        ccs_names_pattern(&cold, CCS_BENCH_HOSTS, 100 + (uint64_t)cold_count) != 0)
        ccs_bench_fail("no names");
    ccs_victim_store(bench, cold.count, (int)kdf, store);
    server = ccs_bench_store_server(bench, store, "");
    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        ccs_bench_fail("the processors cannot be counted");
    if (apart != 0)
        keep_to(&all, 1);
    ccs_nginx_start(server);
    if (apart != 0)
        keep_to(&all, 0);

    struct ccs_condition conditions[] = {
        {.title = "idle", .server = server},
        {.title = "others ask for warm names", .server = server, .names = &hot, .rate = rate},
        {.title = "others ask for cold names",
         .server = server,
         .names = &cold,
         .rate = rate,
         .fresh = 1,
         .settle = 1,
         .next = hot.count},
    };
    const struct ccs_victim_plan plan = {.bench = bench,
                                         .conditions = conditions,
                                         .count = 3,
                                         .rounds = (int)rounds,
                                         .seconds = seconds,
                                         .rate = victim_rate};

    ccs_victim_run(&plan);
    (void)ccs_victim_ratio(&conditions[1], &conditions[0]);
    (void)ccs_victim_ratio(&conditions[2], &conditions[1]);
    return ccs_bench_budget("cold-p99", ccs_victim_ratio(&conditions[2], &conditions[0]), 1.2);
}
