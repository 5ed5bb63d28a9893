/* SPDX-License-Identifier: Apache-2.0 */
/* Start, reload and end of nginx and its workers, also while handshakes wait for the store. */
#include "farm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

#define SUSPENDED 3

/* As many clients, each with a host of its own, all of them suspended when this returns. */
static void suspend(struct ccs_farm *farm, struct ccs_tls_client *clients[SUSPENDED])
{
    static const char *const names[SUSPENDED] = {"a0.test", "a1.test", "a2.test"};
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP "ccs_wait 30s; ccs_threads 4;\n",
                                  .slow = 1};
    char file[40];
    size_t i;

    for (i = 0; i < SUSPENDED; i++) {
        snprintf(file, sizeof(file), "%s.pfx", names[i]);
        ccs_farm_put(farm, file, names[i], NULL);
    }
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_nginx_slow(&farm->nginx, "hold a");
    for (i = 0; i < SUSPENDED; i++) {
        struct ccs_tls_spec ask = ccs_farm_ask(farm, names[i]);

        clients[i] = ccs_tls_client_start(&ask);
        assert_true(ccs_tls_client_settle(&clients[i], 1, 0));
        ccs_farm_wait_opened(farm, names[i]);
    }
}

static void finish(struct ccs_tls_client *clients[SUSPENDED])
{
    char body[40];
    size_t i;

    (void)ccs_tls_client_run(clients, SUSPENDED, 0);
    for (i = 0; i < SUSPENDED; i++) {
        const struct ccs_tls_result *result = ccs_tls_client_result(clients[i]);

        snprintf(body, sizeof(body), "LOADED a%zu.test.pfx", i);
        if (!result->ok || result->end != CCS_TLS_DONE || strcmp(result->body, body) != 0) {
            fail_msg("end %d, alert %d, handshake %d, \"%s\" %s", result->end, result->alert,
                     result->handshake, result->body, result->error);
        }
        ccs_tls_client_free(clients[i]);
    }
}

static void reload_while_suspended(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];
    pid_t old[CCS_NGINX_WORKERS];
    size_t i;

    suspend(farm, clients);
    assert_true(ccs_nginx_reload(&farm->nginx));
    /* The new worker serves while the old one has its handshakes to finish. */
    ccs_farm_expect_name(farm, "b.test", "LOADED b.test.pfx", NULL);
    assert_int_equal(ccs_nginx_workers(&farm->nginx, 1, old), 1);
    for (i = 0; i < SUSPENDED; i++) {
        assert_true(ccs_tls_client_waiting(clients[i]));
    }
    ccs_nginx_slow(&farm->nginx, "");
    finish(clients);
    ccs_farm_wait_log(farm, "exited with code 0");
}

static void quit_while_suspended(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];

    suspend(farm, clients);
    ccs_nginx_signal(&farm->nginx, SIGQUIT);
    ccs_farm_wait_log(farm, "gracefully shutting down");
    ccs_nginx_slow(&farm->nginx, "");
    finish(clients);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
}

static void quit_when_idle(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "a.test", NULL, NULL);
    ccs_nginx_signal(&farm->nginx, SIGQUIT);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
    assert_int_equal(ccs_nginx_logged(&farm->nginx, "open socket"), 0);
}

/* A thread that hangs in the file system must not hold up the end of its worker: nginx kills one
 * that takes longer than a second or two, and that counts as an accident here. */
static void terminate_while_store_hangs(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];
    double start_ms;
    int round, good = 0;
    size_t i;

    /* Another program may take the machine for as long as that, so that one bad try says little. */
    for (round = 0; round < 5 && !good; round++) {
        ccs_tmp_print(farm->tmp.path, "error.log", "");
        suspend(farm, clients);
        start_ms = ccs_wait_clock();
        ccs_nginx_signal(&farm->nginx, SIGTERM);
        assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
        print_message("ended after %.0f ms\n", ccs_wait_clock() - start_ms);
        good = ccs_nginx_logged(&farm->nginx, "exited on signal") == 0;
        (void)ccs_tls_client_run(clients, SUSPENDED, 0);
        for (i = 0; i < SUSPENDED; i++) {
            assert_false(ccs_tls_client_result(clients[i])->handshake);
            ccs_tls_client_free(clients[i]);
        }
    }
    assert_true(good);
}

/* OpenSSL keeps pointers into the module; nginx closes it. */
static void module_removed_by_reload(void **state)
{
    static const char stock[] = CCS_FARM_TLS
        "ssl_certificate @DIR@/own.crt; ssl_certificate_key @DIR@/own.key;\n"
        "server { listen @PORT1@ ssl; return 200 stock; }\n";
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_leaf leaf;
    char a[65];
    int i, round;

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_pem_file(&leaf, farm->tmp.path, "own.crt", "own.key");
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    for (round = 0; round < 2; round++) {
        ccs_nginx_rewrite(&farm->nginx, CCS_FARM_HTTP, 0);
        assert_true(ccs_nginx_reload(&farm->nginx));
        ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
        ccs_nginx_rewrite(&farm->nginx, stock, 1);
        assert_true(ccs_nginx_reload(&farm->nginx));
        for (i = 0; i < 5; i++) {
            ccs_farm_expect_name(farm, "a.test", "stock", leaf.fingerprint);
        }
    }
    ccs_pki_leaf_clear(&leaf);
}

static void store_and_settings_change_by_reload(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx how = {.password = "new password"};
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_leaf leaf;
    char first[65], other[300];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_tmp_mkdir(farm->tmp.path, "other");
    ccs_tmp_join(other, sizeof(other), farm->tmp.path, "other");
    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, &how, other, "a.test.pfx");
    ccs_tmp_print(farm->tmp.path, "passwords", "old password\n");
    ccs_farm_run(farm, CCS_FARM_HTTP "ccs_password_file @DIR@/passwords;\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);

    ccs_tmp_print(farm->tmp.path, "passwords", "old password\nnew password\n");
    ccs_nginx_rewrite(&farm->nginx,
                      CCS_FARM_TLS "ccs on; ccs_store @DIR@/other;\n"
                                   "ccs_password_file @DIR@/passwords;\n" CCS_FARM_SERVER,
                      0);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", leaf.fingerprint);

    /* A configuration with a mistake changes nothing. */
    ccs_nginx_rewrite(&farm->nginx, CCS_FARM_HTTP "ccs_wait soon;\n", 0);
    assert_false(ccs_nginx_reload(&farm->nginx));
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", leaf.fingerprint);
    ccs_pki_leaf_clear(&leaf);
}

static void many_reloads(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP, .workers = 2};
    char a[65];
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    for (i = 0; i < 10; i++) {
        ccs_farm_expect_name(farm, "a.test", NULL, a);
        assert_true(ccs_nginx_reload(&farm->nginx));
    }
    ccs_farm_expect_name(farm, "a.test", NULL, a);
}

static void worker_is_killed(void **state)
{
    struct ccs_farm *farm = *state;
    pid_t workers[CCS_NGINX_WORKERS];
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    assert_int_equal(ccs_nginx_workers(&farm->nginx, 0, workers), 1);
    /* INT, unlike KILL, is not reported as an accident. */
    assert_int_equal(kill(workers[0], SIGINT), 0);
    ccs_farm_wait_log(farm, "exited with code 0");
    ccs_farm_wait_served(farm, "a.test", a);
}

/* Whether each thread of a worker takes the signals that it should. A thread that has just been
 * started takes none, and who starts one takes none for a moment. */
static int masks_are_right(void *arg)
{
    const pid_t *worker = arg;
    char dir[80], *status, *at;
    size_t count, i, wrong = 0;
    pid_t tids[32];

    count = ccs_process_tasks(*worker, tids, 32);
    assert_in_range(count, 2, 8);
    for (i = 0; i < count; i++) {
        unsigned long long blocked;

        snprintf(dir, sizeof(dir), "/proc/%d/task/%d", (int)*worker, (int)tids[i]);
        status = ccs_tmp_read(dir, "status", NULL);
        at = status != NULL ? strstr(status, "SigBlk:") : NULL;
        blocked = at != NULL ? strtoull(at + 7, NULL, 16) : 0;
        wrong += at == NULL;
        free(status);
        for (int sig = 1; sig < 32; sig++) {
            int fault = sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;
            int expected = tids[i] != *worker && !fault && sig != SIGKILL && sig != SIGSTOP;

            wrong += (int)((blocked >> (sig - 1)) & 1) != expected;
        }
    }
    return wrong == 0;
}

/* Threads belong to workers, and nginx's signals do not belong to threads. */
static void threads_and_signals(void **state)
{
    struct ccs_farm *farm = *state;
    pid_t workers[CCS_NGINX_WORKERS];

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "a.test", NULL, NULL);
    assert_int_equal(ccs_process_threads(farm->nginx.pid), 1);
    assert_int_equal(ccs_nginx_workers(&farm->nginx, 0, workers), 1);
    assert_true(ccs_wait_until(masks_are_right, &workers[0], 0));
    /* And the signals do their work. */
    ccs_nginx_signal(&farm->nginx, SIGUSR1);
    ccs_farm_wait_log(farm, "reopening logs");
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", NULL);
    ccs_nginx_signal(&farm->nginx, SIGQUIT);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(reload_while_suspended),
        CCS_FARM_TEST(quit_while_suspended),
        CCS_FARM_TEST(quit_when_idle),
        CCS_FARM_TEST(terminate_while_store_hangs),
        CCS_FARM_TEST(module_removed_by_reload),
        CCS_FARM_TEST(store_and_settings_change_by_reload),
        CCS_FARM_TEST(many_reloads),
        CCS_FARM_TEST(worker_is_killed),
        CCS_FARM_TEST(threads_and_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
