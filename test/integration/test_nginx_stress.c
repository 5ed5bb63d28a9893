/* SPDX-License-Identifier: Apache-2.0 */
/* 1500 connections of random fragmentation, names and versions, with reloads between: not one may
 * get another host's certificate. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "stress.h"

/* The environment variable CCS_TEST_SEED repeats a run. */
static unsigned seed(void)
{
    const char *text = getenv("CCS_TEST_SEED");

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);
}

static void reload(struct ccs_farm *farm)
{
    ccs_nginx_signal(&farm->nginx, SIGHUP);
}

static void run(struct ccs_farm *farm, int workers, const char *http, const char *slow)
{
    struct ccs_nginx_spec spec = {.http = http, .workers = workers, .slow = 1};
    struct ccs_stress stress = {.farm = farm,
                                .connections = ccs_nginx_sanitized() ? 600 : 1500,
                                .parallel = 24,
                                .reloads = 2,
                                .reload = reload,
                                .seed = seed()};

    print_message("CCS_TEST_SEED=%u\n", stress.seed);
    ccs_stress_prepare(&stress);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_nginx_slow(&farm->nginx, slow);
    ccs_stress_run(&stress);
    print_message("%zu served (%zu resumed), %zu refused, %zu left, %zu wrong\n", stress.served,
                  stress.resumed, stress.refused, stress.left, stress.wrong);
    assert_int_equal(stress.wrong, 0);
    assert_true(stress.resumed > 0 && stress.refused > 0 && stress.left > 0);
}

#define HTTP                                                                                       \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_wait 30s; ssl_ecdh_curve X25519:P-256;\n"                     \
                                "server { listen @PORT1@ ssl http2; " CCS_FARM_ANSWER "}\n"

static void one_worker(void **state)
{
    run(*state, 1, HTTP, "20");
}

/* So few are kept that they are dropped and loaded again all the time. */
static void two_workers_and_a_small_memory(void **state)
{
    run(*state, 2, HTTP "ccs_parsed 16;\n", "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(one_worker),
        CCS_FARM_TEST(two_workers_and_a_small_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
