/* SPDX-License-Identifier: Apache-2.0 */
/* 2000 connections of random fragmentation, names and versions, with restarts between, to children
 * that end after some of them: not one may get another host's certificate. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "apache_farm.h"
#include "stress.h"

/* The environment variable CCS_TEST_SEED repeats a run. */
static unsigned seed(void)
{
    const char *text = getenv("CCS_TEST_SEED");

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);
}

static void restart(struct ccs_farm *farm)
{
    ccs_apache_signal(&farm->apache, SIGUSR1);
}

static void run(struct ccs_farm *farm, enum ccs_apache_mpm mpm, size_t connections)
{
    struct ccs_apache_spec spec = {
        .conf = CCS_APACHE_WITH("CCSWait 30s\nCCSParsed 30\nMaxConnectionsPerChild 400\n"
                                "SSLOpenSSLConfCmd Groups X25519:P-256\n"),
        .mpm = mpm,
        .children = mpm == CCS_APACHE_PREFORK ? 30 : 2,
        /* Where a handshake holds its thread while it waits, only some of them may. */
        .threads = mpm == CCS_APACHE_WORKER ? 40 : 16,
        .slow = 1};
    struct ccs_stress stress = {.farm = farm,
                                .connections = connections,
                                .parallel = 24,
                                .reloads = 2,
                                .reload = restart,
                                .seed = seed()};
    char warm[65];

    print_message("CCS_TEST_SEED=%u\n", stress.seed);
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", warm);
    ccs_stress_prepare(&stress);
    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
    ccs_place_slow(farm->tmp.path, "3");
    ccs_stress_run(&stress);
    print_message("%zu served (%zu resumed), %zu refused, %zu left, %zu wrong\n", stress.served,
                  stress.resumed, stress.refused, stress.left, stress.wrong);
    assert_int_equal(stress.wrong, 0);
    assert_true(stress.refused > 0 && stress.left > 0);
    assert_true(stress.resumed > 0 || connections < 500);
    ccs_farm_expect_name(farm, "warm.test", NULL, warm);
    /* Each name was read once, whatever became of the children that asked for it. */
    print_message("%lu reads of the store for %d names\n",
                  ccs_apache_farm_status(farm, "warm.test", "store_reads"), CCS_STRESS_NAMES + 1);
    assert_in_range(ccs_apache_farm_status(farm, "warm.test", "decodes"), 1, CCS_STRESS_NAMES + 1);
}

static void event(void **state)
{
    run(*state, CCS_APACHE_EVENT, ccs_nginx_sanitized() ? 800 : 2000);
}

static void worker(void **state)
{
    run(*state, CCS_APACHE_WORKER, 250);
}

static void prefork(void **state)
{
    run(*state, CCS_APACHE_PREFORK, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(event),
        CCS_FARM_TEST(worker),
        CCS_FARM_TEST(prefork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
