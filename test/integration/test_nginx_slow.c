/* SPDX-License-Identifier: Apache-2.0 */
/* A slow store: who waits for it, who does not, and what becomes of those who leave. */
#include "farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "process.h"

#define WARM  50
#define MOST  (WARM * 9 / 10)
#define TRIES 20

/* Longest time that a load may add to nine in ten warm handshakes, in milliseconds. */
#define ALLOWED 20.0

static void run_slow(struct ccs_farm *farm, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .slow = 1};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

static struct ccs_tls_client *start(struct ccs_farm *farm, const char *sni)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_client *client = ccs_tls_client_start(&spec);

    assert_true(ccs_tls_client_settle(&client, 1, 0));
    return client;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Warm handshakes one after the other; their times, sorted. */
static void measure(struct ccs_farm *farm, double ms[WARM])
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, "warm.test");
    struct ccs_tls_result result;
    int i;

    spec.path = NULL;
    for (i = 0; i < WARM; i++) {
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        ms[i] = result.ms;
    }
    qsort(ms, WARM, sizeof(ms[0]), compare);
}

static void warm_names_do_not_wait(void **state)
{
    struct ccs_farm *farm = *state;
    double idle[WARM], busy[WARM];
    struct ccs_tls_client *cold;
    char name[40], file[48];
    int i, good = 0;

    for (i = 0; i < TRIES; i++) {
        snprintf(name, sizeof(name), "cold%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, NULL);
    }
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_wait 30s;\n");
    ccs_farm_expect_name(farm, "warm.test", "LOADED warm.test.pfx", NULL);

    /* Another program may take the machine at any moment, so that a bad try says little about
     * times. A server that waits for the store would not come to the end of any. */
    for (i = 0; i < TRIES && !good; i++) {
        const struct ccs_tls_result *result;

        snprintf(name, sizeof(name), "cold%d.test", i);
        ccs_nginx_slow(&farm->nginx, "hold cold");
        measure(farm, idle);
        cold = start(farm, name);
        ccs_farm_wait_opened(farm, name);
        measure(farm, busy);
        assert_true(ccs_tls_client_waiting(cold));
        ccs_nginx_slow(&farm->nginx, "");
        assert_int_equal(ccs_tls_client_run(&cold, 1, 0), 1);
        result = ccs_tls_client_result(cold);
        assert_true(result->ok);
        assert_memory_equal(result->body, "LOADED cold", 11);
        print_message("warm handshakes in ms, median/90 %%/max: %.2f/%.2f/%.2f idle, "
                      "%.2f/%.2f/%.2f during a load of %.0f\n",
                      idle[WARM / 2], idle[MOST], idle[WARM - 1], busy[WARM / 2], busy[MOST],
                      busy[WARM - 1], result->ms);
        good = busy[MOST] <= idle[MOST] + ALLOWED;
        ccs_tls_client_free(cold);
    }
    assert_true(good);
}

#define WITH_STATUS                                                                                \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_wait 30s; ccs_cache_size 4m;\n"                               \
                                "server { listen @PORT1@ ssl;\n"                                   \
                                "location / { " CCS_FARM_ANSWER "}\n"                              \
                                "location = /status { ccs_status; } }\n"

struct crowd {
    struct ccs_farm *farm;
    unsigned long waiting;
};

static int all_wait(void *arg)
{
    struct crowd *crowd = arg;
    struct ccs_tls_spec spec = ccs_farm_ask(crowd->farm, "warm.test");
    struct ccs_tls_result result;
    const char *at;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    at = strstr(result.body, "\"waiting\":");
    return at != NULL && strtoul(at + 10, NULL, 10) == crowd->waiting;
}

/* One load serves all that wait for it, and two names are loaded at the same time. */
static void one_load_for_all_who_wait(void **state)
{
    enum { EACH = 12 };
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[2 * EACH];
    struct crowd crowd = {farm, 2 * EACH};
    int i;

    ccs_farm_put(farm, "one.test.pfx", "one.test", NULL);
    ccs_farm_put(farm, "two.test.pfx", "two.test", NULL);
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    run_slow(farm, WITH_STATUS);
    ccs_farm_expect_name(farm, "warm.test", "LOADED warm.test.pfx", NULL);
    ccs_nginx_slow(&farm->nginx, "hold");
    for (i = 0; i < 2 * EACH; i++) {
        clients[i] = start(farm, i % 2 == 0 ? "one.test" : "two.test");
    }
    assert_true(ccs_wait_until(all_wait, &crowd, 0));
    ccs_nginx_slow(&farm->nginx, "");
    assert_int_equal(ccs_tls_client_run(clients, 2 * EACH, 0), 2 * EACH);
    for (i = 0; i < 2 * EACH; i++) {
        const struct ccs_tls_result *result = ccs_tls_client_result(clients[i]);

        assert_true(result->ok);
        assert_string_equal(result->body,
                            i % 2 == 0 ? "LOADED one.test.pfx" : "LOADED two.test.pfx");
        ccs_tls_client_free(clients[i]);
    }
    assert_int_equal(ccs_nginx_opened(&farm->nginx, "one.test.pfx"), 1);
    assert_int_equal(ccs_nginx_opened(&farm->nginx, "two.test.pfx"), 1);
}

static void waiting_is_bounded(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_wait 300ms;\n");
    ccs_nginx_slow(&farm->nginx, "hold a.test");
    spec = ccs_farm_ask(farm, "a.test");
    ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.end, CCS_TLS_ALERT);
    assert_int_equal(result.alert, CCS_ALERT_INTERNAL_ERROR);
    print_message("given up after %.0f ms\n", result.ms);
    assert_true(result.ms >= 290 && result.ms < ccs_wait_scaled(20000));
    /* The load goes on, and whoever comes afterwards has it. */
    ccs_nginx_slow(&farm->nginx, "");
    ccs_farm_wait_served(farm, "a.test", NULL);
}

static void queue_is_bounded(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[4];
    struct ccs_tls_spec spec;
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_max_waiting 4; ccs_wait 30s;\n");
    ccs_farm_expect_name(farm, "warm.test", NULL, NULL);
    ccs_nginx_slow(&farm->nginx, "hold a.test");
    for (i = 0; i < 4; i++) {
        clients[i] = start(farm, "a.test");
    }
    spec = ccs_farm_ask(farm, "a.test");
    ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    ccs_nginx_slow(&farm->nginx, "");
    assert_int_equal(ccs_tls_client_run(clients, 4, 0), 4);
    for (i = 0; i < 4; i++) {
        ccs_tls_client_free(clients[i]);
    }
}

/* They are gone at once, not when the load is done, and the load is not lost. */
static void clients_that_leave(void **state)
{
    static const enum ccs_tls_leave hows[] = {CCS_TLS_CLOSE, CCS_TLS_RESET, CCS_TLS_HALF_CLOSE};
    struct ccs_farm *farm = *state;
    char name[40], file[48], body[60];
    size_t i;

    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "leave%zu.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, NULL);
    }
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_threads 4;\n");
    ccs_farm_expect_name(farm, "warm.test", "LOADED warm.test.pfx", NULL);
    ccs_nginx_slow(&farm->nginx, "hold leave");
    for (i = 0; i < 3; i++) {
        struct ccs_tls_client *client;

        snprintf(name, sizeof(name), "leave%zu.test", i);
        client = start(farm, name);
        ccs_farm_wait_opened(farm, name);
        ccs_tls_client_leave(client, hows[i]);
        ccs_nginx_wait_log(&farm->nginx, "peer closed connection in SSL handshake", i + 1);
        ccs_tls_client_free(client);
        ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    }
    ccs_nginx_slow(&farm->nginx, "");
    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "leave%zu.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_wait_served(farm, name, NULL);
        snprintf(body, sizeof(body), "HIT %s", file);
        ccs_farm_expect_name(farm, name, body, NULL);
        assert_int_equal(ccs_nginx_opened(&farm->nginx, file), 1);
    }
}

/* A suspended client that goes on sending is read, and does not keep the worker busy. */
static void talkative_client(void **state)
{
    static const unsigned char change_cipher_spec[] = {20, 3, 3, 0, 1, 1};
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *client;
    pid_t workers[CCS_NGINX_WORKERS];
    long before, spent;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_wait 30s;\n");
    ccs_nginx_slow(&farm->nginx, "hold a.test");
    client = start(farm, "a.test");
    ccs_farm_wait_opened(farm, "a.test");
    /* TLS 1.3 clients may say this at any moment of the handshake, and it means nothing. */
    assert_int_equal(send(ccs_tls_client_fd(client), change_cipher_spec, 6, MSG_NOSIGNAL), 6);
    assert_int_equal(ccs_nginx_workers(&farm->nginx, 0, workers), 1);
    before = ccs_process_cpu_ms(workers[0]);
    ccs_wait_pass(1000);
    spent = ccs_process_cpu_ms(workers[0]) - before;
    print_message("%ld ms of processor time in a second of waiting\n", spent);
    assert_true(spent < 300);
    ccs_nginx_slow(&farm->nginx, "");
    assert_int_equal(ccs_tls_client_run(&client, 1, 0), 1);
    assert_true(ccs_tls_client_result(client)->ok);
    ccs_tls_client_free(client);
}

/* nginx's own patience is what bounds a handshake, suspended or not. */
static void nginx_timeout_goes_on_counting(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "client_header_timeout 1s; ccs_wait 30s;\n");
    ccs_nginx_slow(&farm->nginx, "hold a.test");
    spec = ccs_farm_ask(farm, "a.test");
    ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.end, CCS_TLS_CLOSED);
    assert_true(result.ms >= 900 && result.ms < ccs_wait_scaled(25000));
    ccs_nginx_slow(&farm->nginx, "");
    ccs_farm_wait_served(farm, "a.test", NULL);
}

/* A store that hangs takes threads with it, not the names that are known. */
static void hanging_store(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[10];
    char name[40], file[48];
    int i;

    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "hang%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, NULL);
    }
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    run_slow(farm, CCS_FARM_HTTP "ccs_wait 1s;\n");
    ccs_farm_wait_served(farm, "warm.test", NULL);
    ccs_nginx_slow(&farm->nginx, "hold hang");
    for (i = 0; i < 10; i++) {
        struct ccs_tls_spec spec;

        snprintf(name, sizeof(name), "hang%d.test", i);
        spec = ccs_farm_ask(farm, name);
        clients[i] = ccs_tls_client_start(&spec);
        /* Its time may be up before it is looked at. */
        (void)ccs_tls_client_settle(&clients[i], 1, 0);
    }
    ccs_farm_expect_name(farm, "warm.test", NULL, NULL);
    (void)ccs_tls_client_run(clients, 10, 0);
    for (i = 0; i < 10; i++) {
        assert_int_equal(ccs_tls_client_result(clients[i])->alert, CCS_ALERT_INTERNAL_ERROR);
        ccs_tls_client_free(clients[i]);
    }
    ccs_farm_expect_name(farm, "warm.test", NULL, NULL);
    ccs_nginx_slow(&farm->nginx, "");
    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "hang%d.test", i);
        ccs_farm_wait_served(farm, name, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(warm_names_do_not_wait),
        CCS_FARM_TEST(one_load_for_all_who_wait),
        CCS_FARM_TEST(waiting_is_bounded),
        CCS_FARM_TEST(queue_is_bounded),
        CCS_FARM_TEST(clients_that_leave),
        CCS_FARM_TEST(talkative_client),
        CCS_FARM_TEST(nginx_timeout_goes_on_counting),
        CCS_FARM_TEST(hanging_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
