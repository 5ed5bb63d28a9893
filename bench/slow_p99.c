/* SPDX-License-Identifier: Apache-2.0 */
/* A warm name while the store hardly answers, or does not answer at all. */
#include "victim.h"

#include <math.h>

static const char about[] =
    "Asks for one warm name, again and again, while nobody else is there, while others ask for "
    "cold\n"
    "names of which each takes half a second to open, and while opening them takes for ever.";

static double rounds = 3, seconds = 8, rate = 300, victim_rate = 200;

static const struct ccs_bench_option options[] = {
    {"rounds", &rounds, "of all conditions, forth and back"},
    {"seconds", &seconds, "of each phase"},
    {"rate", &rate, "handshakes of others per second"},
    {"victim", &victim_rate, "handshakes of the victim per second"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("slow-p99", about, argc, argv, options);
    double each = ceil((seconds + 20) * rate * rounds * 2);
    struct ccs_nginx *server;
    struct ccs_names names;
    double slow, hung;
    char store[220];

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 2 * (uint64_t)each) != 0)
        ccs_bench_fail("no names");
    ccs_victim_store(bench, names.count, 1, store);
    server = ccs_bench_store_server(bench, store, "");
    server->spec.slow = 1;
    ccs_nginx_start(server);

    struct ccs_condition conditions[] = {
        {.title = "idle", .server = server},
        {.title = "a read takes 500 ms",
         .server = server,
         .names = &names,
         .rate = rate,
         .fresh = 1,
         .settle = 1,
         .slow = "500 h"},
        {.title = "reads hang",
         .server = server,
         .names = &names,
         .rate = rate,
         .fresh = 1,
         .settle = 1,
         .slow = "hold h",
         .next = (uint64_t)each},
    };
    const struct ccs_victim_plan plan = {.bench = bench,
                                         .conditions = conditions,
                                         .count = 3,
                                         .rounds = (int)rounds,
                                         .seconds = seconds,
                                         .rate = victim_rate};

    ccs_victim_run(&plan);
    slow = ccs_victim_ratio(&conditions[1], &conditions[0]);
    hung = ccs_victim_ratio(&conditions[2], &conditions[0]);
    return ccs_bench_budget("slow-p99", slow > hung ? slow : hung, 1.2);
}
