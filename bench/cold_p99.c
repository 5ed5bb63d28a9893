/* SPDX-License-Identifier: Apache-2.0 */
/* A warm name while certificates of others are loaded. */
#include "victim.h"

#include <math.h>

static const char about[] =
    "Asks for one warm name, again and again, while nobody else is there, while others ask for "
    "warm\n"
    "names, and while others ask for names that have to be read and decoded first.";

static double rounds = 3, seconds = 8, rate = 300, victim_rate = 200, kdf = 2048;

static const struct ccs_bench_option options[] = {
    {"rounds", &rounds, "of all conditions, forth and back"},
    {"seconds", &seconds, "of each phase"},
    {"rate", &rate, "handshakes of others per second"},
    {"victim", &victim_rate, "handshakes of the victim per second"},
    {"kdf", &kdf, "rounds of the files' key derivation"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("cold-p99", about, argc, argv, options);
    double cold_count = ceil((seconds + 2) * rate * rounds * 2);
    struct ccs_names hot, cold;
    struct ccs_nginx *server;
    char store[220];

    if (ccs_names_pattern(&hot, CCS_BENCH_HOSTS, 100) != 0 ||
        ccs_names_pattern(&cold, CCS_BENCH_HOSTS, 100 + (uint64_t)cold_count) != 0)
        ccs_bench_fail("no names");
    ccs_victim_store(bench, cold.count, (int)kdf, store);
    server = ccs_bench_store_server(bench, store, "");
    ccs_nginx_start(server);

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
