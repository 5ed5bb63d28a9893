/* SPDX-License-Identifier: Apache-2.0 */
/* What one process has loaded all have: other workers, those after a reload, those after a crash.
 */
#include "farm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTS 12

#define HTTP                                                                                       \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_cache_size 4m; ccs_refresh 1h; ccs_negative 1h;\n"            \
                                "server { listen @PORT1@ ssl;\n"                                   \
                                "location / { " CCS_FARM_ANSWER "}\n"                              \
                                "location = /status { ccs_status; } }\n"

static void run(struct ccs_farm *farm, int workers)
{
    struct ccs_nginx_spec spec = {.http = HTTP, .workers = workers};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

/* A number of the status, as an administrator would read it. */
static unsigned long status_of(struct ccs_farm *farm, const char *name)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, "h0.test");
    struct ccs_tls_result result;
    char key[64];
    const char *at;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.status, 200);
    snprintf(key, sizeof(key), "\"%s\":", name);
    at = strstr(result.body, key);
    if (at == NULL)
        fail_msg("no %s in %s", key, result.body);
    return strtoul(at + strlen(key), NULL, 10);
}

static void put_hosts(struct ccs_farm *farm, char fingerprints[HOSTS][65])
{
    char name[32], file[40];

    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof(name), "h%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprints[i]);
    }
}

static void ask_all(struct ccs_farm *farm, char fingerprints[HOSTS][65], int times)
{
    char name[32];

    for (int i = 0; i < HOSTS * times; i++) {
        snprintf(name, sizeof(name), "h%d.test", i % HOSTS);
        ccs_farm_wait_served(farm, name, fingerprints[i % HOSTS]);
    }
}

static void workers_share_what_they_load(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65];

    put_hosts(farm, fingerprints);
    run(farm, 3);
    ask_all(farm, fingerprints, 6);
    assert_int_equal(status_of(farm, "decodes"), HOSTS);
    assert_int_equal(status_of(farm, "store_reads"), HOSTS);
    assert_int_equal(status_of(farm, "entries"), HOSTS);
    assert_int_equal(status_of(farm, "processes"), 3);
}

static void reload_starts_warm(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65];

    put_hosts(farm, fingerprints);
    run(farm, 2);
    ask_all(farm, fingerprints, 2);
    for (int i = 0; i < 3; i++) {
        assert_true(ccs_nginx_reload(&farm->nginx));
        ask_all(farm, fingerprints, 2);
    }
    assert_int_equal(status_of(farm, "decodes"), HOSTS);
    assert_int_equal(status_of(farm, "store_reads"), HOSTS);
    assert_true(status_of(farm, "shared") >= 3 * HOSTS);
}

struct others {
    struct ccs_farm *farm;
    pid_t dead;
};

static int worker_was_replaced(void *arg)
{
    struct others *o = arg;
    pid_t pids[CCS_NGINX_WORKERS];
    size_t n = ccs_nginx_workers(&o->farm->nginx, 0, pids);

    for (size_t i = 0; i < n; i++) {
        if (pids[i] == o->dead)
            return 0;
    }
    return n == 2;
}

static void kill_worker(struct ccs_farm *farm, int which)
{
    struct others o = {.farm = farm};
    pid_t pids[CCS_NGINX_WORKERS];

    assert_int_equal(ccs_nginx_workers(&farm->nginx, 0, pids), 2);
    o.dead = pids[which];
    assert_int_equal(kill(o.dead, SIGKILL), 0);
    assert_true(ccs_wait_until(worker_was_replaced, &o, 0));
}

static void killed_worker_loses_nothing(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65];

    put_hosts(farm, fingerprints);
    run(farm, 2);
    ask_all(farm, fingerprints, 3);
    for (int i = 0; i < 4; i++) {
        kill_worker(farm, i % 2);
        ask_all(farm, fingerprints, 2);
    }
    assert_int_equal(status_of(farm, "decodes"), HOSTS);
    assert_int_equal(status_of(farm, "store_reads"), HOSTS);
    /* The teardown would take the deaths for crashes. */
    ccs_tmp_print(farm->nginx.dir, "error.log", "");
}

/* One worker looks after the store for both; whichever it is, the other one takes over. */
static void renewal_is_seen_whoever_dies(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char fingerprint[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", fingerprint);
    run(farm, 2);
    ccs_farm_wait_served(farm, "a.test", fingerprint);
    spec = ccs_farm_ask(farm, "a.test");
    for (int i = 0; i < 3; i++) {
        kill_worker(farm, i % 2);
        ccs_farm_put(farm, "a.test.pfx", "a.test", fingerprint);
        print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", fingerprint));
        for (int k = 0; k < 10; k++) {
            struct ccs_tls_result result;

            (void)ccs_tls_client_once(&spec, &result, NULL);
            assert_string_equal(result.fingerprint, fingerprint);
        }
    }
    ccs_tmp_print(farm->nginx.dir, "error.log", "");
}

/* What one process sees all serve, those that had the old one included. */
static void renewed_for_all_workers(void **state)
{
    struct ccs_farm *farm = *state;
    char old[65], fresh[65];
    struct ccs_tls_spec spec = ccs_farm_ask(farm, "a.test");

    ccs_farm_put(farm, "a.test.pfx", "a.test", old);
    run(farm, 3);
    spec = ccs_farm_ask(farm, "a.test");
    for (int i = 0; i < 12; i++)
        ccs_farm_wait_served(farm, "a.test", old);
    ccs_farm_put(farm, "a.test.pfx", "a.test", fresh);
    ccs_farm_wait_served(farm, "a.test", fresh);
    for (int i = 0; i < 30; i++) {
        struct ccs_tls_result result;

        (void)ccs_tls_client_once(&spec, &result, NULL);
        assert_int_equal(result.status, 200);
        assert_string_equal(result.fingerprint, fresh);
    }
}

static void removed_for_all_workers(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    run(farm, 3);
    for (int i = 0; i < 12; i++)
        ccs_farm_wait_served(farm, "a.test", a);
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    ccs_farm_wait_refused(farm, "a.test");
    for (int i = 0; i < 12; i++)
        ccs_farm_expect_refused(farm, "a.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(workers_share_what_they_load), CCS_FARM_TEST(reload_starts_warm),
        CCS_FARM_TEST(killed_worker_loses_nothing),  CCS_FARM_TEST(renewed_for_all_workers),
        CCS_FARM_TEST(removed_for_all_workers),      CCS_FARM_TEST(renewal_is_seen_whoever_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
