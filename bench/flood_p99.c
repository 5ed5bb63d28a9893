/* SPDX-License-Identifier: Apache-2.0 */
/* A warm name while others ask for names that nobody has. */
#include "victim.h"

static const char about[] = "Asks for one name, again and again, while others ask for ever new "
                            "names that do not exist: of\n"
                            "nginx with ssl_reject_handshake, and of nginx with a store.";

static double rounds = 4, seconds = 8, rate = 500, victim_rate = 200, hosts = 10000;

static const struct ccs_bench_option options[] = {
    {"rounds", &rounds, "of both servers, forth and back"},
    {"seconds", &seconds, "of each phase"},
    {"rate", &rate, "handshakes of others per second"},
    {"victim", &victim_rate, "handshakes of the victim per second"},
    {"hosts", &hosts, "in the store"},
    {NULL, NULL, NULL},
};

static const char rejecting[] = "error_log @DIR@/http.log error;\n"
                                "ssl_protocols TLSv1.2 TLSv1.3;\n"
                                "server { listen @PORT1@ ssl default_server;\n"
                                "ssl_reject_handshake on; }\n"
                                "server { listen @PORT1@ ssl; return 204;\n"
                                "server_name " CCS_VICTIM_NAME ";\n"
                                "ssl_certificate @DIR@/static.crt;\n"
                                "ssl_certificate_key @DIR@/static.key; }\n";

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("flood-p99", about, argc, argv, options);
    struct ccs_nginx *stock, *with;
    struct ccs_names strangers;
    char store[220];

    if (ccs_names_pattern(&strangers, "u%d.flood.example", UINT64_MAX) != 0)
        ccs_bench_fail("no names");
    ccs_victim_store(bench, (uint64_t)hosts, 1, store);
    stock = ccs_bench_server(bench, rejecting, 1);
    with = ccs_bench_store_server(bench, store, "");
    ccs_nginx_start(stock);
    ccs_nginx_start(with);

    struct ccs_condition conditions[] = {
        {.title = "flood, ssl_reject_handshake",
         .server = stock,
         .names = &strangers,
         .rate = rate,
         .fresh = 1},
        {.title = "flood, nginx with the store",
         .server = with,
         .names = &strangers,
         .rate = rate,
         .fresh = 1},
    };
    const struct ccs_victim_plan plan = {.bench = bench,
                                         .conditions = conditions,
                                         .count = 2,
                                         .rounds = (int)rounds,
                                         .seconds = seconds,
                                         .rate = victim_rate};

    ccs_victim_run(&plan);
    for (size_t i = 0; i < 2; i++) {
        if (conditions[i].others.ends[CCS_CONN_ALERT] != conditions[i].others.begun)
            ccs_bench_fail("%s: not all strangers were refused by an alert", conditions[i].title);
    }
    return ccs_bench_budget("flood-p99", ccs_victim_ratio(&conditions[1], &conditions[0]), 1.1);
}
