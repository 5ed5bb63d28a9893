/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of random fragmentation, names and versions, with restarts between, to children that
 * end after some of them: not one may get another host's certificate. The environment variable
 * CCS_TEST_CONNECTIONS says how many, CCS_TEST_SEED repeats a run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "apache_farm.h"
#include "stress.h"

#define CONNECTIONS 500

/* To event; the MPMs whose threads wait for the store take their time. */
#define SHARE_OF_OTHERS 5

/* How often each child of event and worker is replaced, roughly. */
#define GENERATIONS 3

static unsigned from_environment(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void restart(struct ccs_farm *farm)
{
    ccs_apache_signal(&farm->apache, SIGUSR1);
}

static void run(struct ccs_farm *farm, enum ccs_apache_mpm mpm)
{
    const unsigned all = from_environment("CCS_TEST_CONNECTIONS", CONNECTIONS),
                   connections = mpm == CCS_APACHE_EVENT ? all : all / SHARE_OF_OTHERS;
    const int children = mpm == CCS_APACHE_PREFORK ? 30 : 2;
    char conf[2000];
    struct ccs_apache_spec spec = {
        .conf = conf,
        .mpm = mpm,
        .children = children,
        /* Where a handshake holds its thread while it waits, only some of them may. */
        .threads = mpm == CCS_APACHE_WORKER ? 40 : 16,
        .slow = 1};
    struct ccs_stress stress = {.farm = farm,
                                .connections = connections,
                                .parallel = 24,
                                .reloads = 2,
                                .reload = restart,
                                .seed = from_environment("CCS_TEST_SEED", (unsigned)time(NULL))};
    char warm[65];

    snprintf(conf, sizeof(conf),
             "MaxConnectionsPerChild %u\n" CCS_APACHE_WITH(
                 "CCSWait 30s\nCCSParsed 30\nSSLOpenSSLConfCmd Groups X25519:P-256\n"),
             connections / (unsigned)children / GENERATIONS + 1);
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
    assert_true(stress.resumed > 0 || connections < CONNECTIONS);
    ccs_farm_expect_name(farm, "warm.test", NULL, warm);
    /* Each name was read once, whatever became of the children that asked for it. */
    print_message("%lu reads of the store for %d names\n",
                  ccs_apache_farm_status(farm, "warm.test", "store_reads"), CCS_STRESS_NAMES + 1);
    assert_in_range(ccs_apache_farm_status(farm, "warm.test", "decodes"), 1, CCS_STRESS_NAMES + 1);
}

static void event(void **state)
{
    run(*state, CCS_APACHE_EVENT);
}

static void worker(void **state)
{
    run(*state, CCS_APACHE_WORKER);
}

static void prefork(void **state)
{
    run(*state, CCS_APACHE_PREFORK);
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
