/* SPDX-License-Identifier: Apache-2.0 */
/* A slow store: who waits for it, who does not, and what becomes of those who leave. */
#include "apache_farm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "process.h"

#define THREADS 4  /* of the child; parked connections hold none of them */
#define WARM    30 /* handshakes that are measured */
#define TRIES   4
#define PARKED  24

/* Longest time that a warm handshake may take more than on an idle server, in milliseconds. */
#define ALLOWED 20.0

static struct ccs_tls_client *start(struct ccs_farm *farm, const char *sni)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_client *client = ccs_tls_client_start(&spec);

    assert_true(ccs_tls_client_settle(&client, 1, 0));
    return client;
}

/* One file for each name "<prefix><number>.test". */
static void put_many(struct ccs_farm *farm, const char *prefix, int count)
{
    char name[40], file[48];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%s%d.test", prefix, i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, NULL);
    }
}

/* Clients borrow their names. */
static void start_many(struct ccs_farm *farm, const char *prefix, int first,
                       struct ccs_tls_client **clients, int count)
{
    static char names[PARKED][40];

    assert_true(count <= PARKED);
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "%s%d.test", prefix, first + i);
        clients[i] = start(farm, names[i]);
    }
}

/* All of them are served, each from its own file. */
static void finish_many(const char *prefix, int first, struct ccs_tls_client **clients, int count)
{
    char body[48];

    (void)ccs_tls_client_run(clients, (size_t)count, 0);
    for (int i = 0; i < count; i++) {
        const struct ccs_tls_result *r = ccs_tls_client_result(clients[i]);

        snprintf(body, sizeof(body), "LOADED %s%d.test.pfx", prefix, first + i);
        if (!r->ok || r->end != CCS_TLS_DONE || strcmp(r->body, body) != 0) {
            fail_msg("%s: end %d, alert %d, handshake %d, \"%s\" %s", body, r->end, r->alert,
                     r->handshake, r->body, r->error);
        }
        ccs_tls_client_free(clients[i]);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/*
 * Drives the first until it has ended, and the others as well: mod_ssl holds a thread for whoever
 * has been answered and says no more.
 */
static void drive(struct ccs_tls_client *first, struct ccs_tls_client *const *others, int count)
{
    const double end = ccs_wait_clock() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    struct pollfd fds[PARKED + 1];

    while (ccs_tls_client_step(first) == CCS_TLS_RUNNING) {
        nfds_t n = 0;

        if (ccs_wait_clock() > end) {
            ccs_tls_client_give_up(first);
        }
        fds[n++] = (struct pollfd){.fd = ccs_tls_client_fd(first), .events = POLLIN};
        for (int i = 0; i < count; i++) {
            if (ccs_tls_client_step(others[i]) == CCS_TLS_RUNNING) {
                fds[n++] = (struct pollfd){.fd = ccs_tls_client_fd(others[i]), .events = POLLIN};
            }
        }
        (void)poll(fds, n, 1);
    }
}

/* Warm handshakes one after the other, beside what others do; their times, sorted. */
static void measure(struct ccs_farm *farm, double ms[WARM], struct ccs_tls_client *const *others,
                    int count)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, "warm.test");
    int i;

    spec.path = NULL;
    for (i = 0; i < WARM; i++) {
        struct ccs_tls_client *client = ccs_tls_client_start(&spec);
        const struct ccs_tls_result *result;

        drive(client, others, count);
        result = ccs_tls_client_result(client);
        if (!result->ok || result->end != CCS_TLS_DONE) {
            fail_msg("warm.test: end %d, alert %d, %s", result->end, result->alert, result->error);
        }
        ms[i] = result->ms;
        ccs_tls_client_free(client);
    }
    qsort(ms, WARM, sizeof(ms[0]), compare);
}

static void run_with_warm_name(struct ccs_farm *farm, const char *conf)
{
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    ccs_apache_farm_run_slow(farm, THREADS, conf);
    ccs_farm_expect_name(farm, "warm.test", "LOADED warm.test.pfx", NULL);
}

/*
 * So many cold names of 500 ms each are asked for at once, and warm ones measured meanwhile.
 * Another program may take the machine at any moment, so that a bad try says little; a server whose
 * threads wait for the store fails all of them.
 */
static void warm_beside(struct ccs_farm *farm, int count)
{
    struct ccs_tls_client *clients[PARKED];
    double idle[WARM], busy[WARM], begun;
    int i, good = 0;

    put_many(farm, "cold", count * TRIES);
    for (i = 0; i < TRIES && !good; i++) {
        measure(farm, idle, NULL, 0);
        ccs_place_slow(farm->tmp.path, "500 cold");
        begun = ccs_wait_clock();
        start_many(farm, "cold", i * count, clients, count);
        measure(farm, busy, clients, count);
        /* They were waiting all the while. */
        good = busy[WARM - 1] <= idle[WARM - 1] + ALLOWED &&
               ccs_tls_client_waiting(clients[count - 1]);
        finish_many("cold", i * count, clients, count);
        print_message("warm handshakes in ms, median/max: %.2f/%.2f idle, %.2f/%.2f beside %d "
                      "loads, which took %.0f\n",
                      idle[WARM / 2], idle[WARM - 1], busy[WARM / 2], busy[WARM - 1], count,
                      ccs_wait_clock() - begun);
        assert_true(ccs_wait_clock() - begun >= 500);
    }
    assert_true(good);
}

/* As many as there are threads. */
static void all_threads_would_wait(void **state)
{
    struct ccs_farm *farm = *state;

    run_with_warm_name(farm, CCS_APACHE_WITH("CCSWait 30s\nCCSThreads 1\n"));
    warm_beside(farm, THREADS);
}

static void many_are_parked(void **state)
{
    struct ccs_farm *farm = *state;

    run_with_warm_name(farm, CCS_APACHE_WITH("CCSWait 30s\nCCSThreads 4\n"));
    warm_beside(farm, PARKED);
}

/* Where connections cannot be parked, some threads are kept for those that need not wait. */
static void blocking_leaves_threads_free(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_apache_spec spec = {.conf = CCS_APACHE_WITH("CCSWait 30s\nCCSThreads 4\n"),
                                   .mpm = CCS_APACHE_WORKER,
                                   .threads = THREADS,
                                   .slow = 1};
    struct ccs_tls_client *clients[THREADS];
    int i, served = 0, refused = 0;
    char names[THREADS][40];

    put_many(farm, "cold", THREADS);
    ccs_farm_put(farm, "warm.test.pfx", "warm.test", NULL);
    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
    ccs_farm_expect_name(farm, "warm.test", "LOADED warm.test.pfx", NULL);
    ccs_place_slow(farm->tmp.path, "hold cold");
    for (i = 0; i < THREADS; i++) {
        struct ccs_tls_spec ask;

        snprintf(names[i], sizeof(names[i]), "cold%d.test", i);
        ask = ccs_farm_ask(farm, names[i]);
        clients[i] = ccs_tls_client_start(&ask);
        (void)ccs_tls_client_settle(&clients[i], 1, 0);
    }
    /* Nothing that waits can have ended. */
    for (i = 0; i < 5; i++) {
        ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    }
    ccs_place_slow(farm->tmp.path, "");
    (void)ccs_tls_client_run(clients, THREADS, 0);
    for (i = 0; i < THREADS; i++) {
        const struct ccs_tls_result *r = ccs_tls_client_result(clients[i]);

        served += r->ok;
        refused += r->alert == CCS_ALERT_INTERNAL_ERROR;
        ccs_tls_client_free(clients[i]);
    }
    print_message("%d of %d were served, %d refused\n", served, THREADS, refused);
    assert_int_equal(served + refused, THREADS);
    assert_true(served > 0 && refused > 0);
    /* It was not the store's slowness that they met. */
    ccs_apache_farm_await_status(farm, "warm.test", "busy", (unsigned long)refused);
    ccs_apache_farm_await_status(farm, "warm.test", "timeouts", 0);
    for (i = 0; i < THREADS; i++) {
        ccs_farm_wait_served(farm, names[i], NULL);
    }
}

static void waiting_is_bounded(void **state)
{
    static const enum ccs_apache_mpm mpms[] = {CCS_APACHE_EVENT, CCS_APACHE_WORKER,
                                               CCS_APACHE_PREFORK};
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec ask;
    size_t i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    for (i = 0; i < 3; i++) {
        struct ccs_apache_spec spec = {.conf = CCS_APACHE_WITH("CCSWait 300ms\n"),
                                       .mpm = mpms[i],
                                       .children = mpms[i] == CCS_APACHE_PREFORK ? 4 : 1,
                                       .slow = 1};

        ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
        ccs_place_slow(farm->tmp.path, "hold a.test");
        ask = ccs_farm_ask(farm, "a.test");
        (void)ccs_tls_client_once(&ask, &result, NULL);
        print_message("%s: given up after %.0f ms\n", ccs_apache_farm_mpm(mpms[i]), result.ms);
        assert_int_equal(result.end, CCS_TLS_ALERT);
        assert_int_equal(result.alert, CCS_ALERT_INTERNAL_ERROR);
        assert_true(result.ms >= 290 && result.ms < ccs_wait_scaled(3000));
        /* The load goes on, and whoever comes afterwards has it. */
        ccs_place_slow(farm->tmp.path, "");
        ccs_farm_wait_served(farm, "a.test", NULL);
        /*
         * At SIGTERM a prefork child releases all of its memory in the signal's handler, also when
         * that finds it inside malloc(), as it may shortly after an answer.
         */
        if (mpms[i] == CCS_APACHE_PREFORK) {
            ccs_apache_signal(&farm->apache, SIGWINCH);
            assert_int_equal(ccs_apache_wait(&farm->apache), 0);
        }
        assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    }
}

/* One load serves all that wait for it. */
static void one_load_for_all_who_wait(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[PARKED];
    int i;

    ccs_farm_put(farm, "one.test.pfx", "one.test", NULL);
    ccs_farm_put(farm, "two.test.pfx", "two.test", NULL);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSWait 30s\n"));
    ccs_place_slow(farm->tmp.path, "hold");
    for (i = 0; i < PARKED; i++) {
        clients[i] = start(farm, i % 2 == 0 ? "one.test" : "two.test");
    }
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    ccs_place_slow(farm->tmp.path, "");
    assert_int_equal(ccs_tls_client_run(clients, PARKED, 0), PARKED);
    for (i = 0; i < PARKED; i++) {
        const struct ccs_tls_result *result = ccs_tls_client_result(clients[i]);

        assert_true(result->ok);
        assert_string_equal(result->body,
                            i % 2 == 0 ? "LOADED one.test.pfx" : "LOADED two.test.pfx");
        ccs_tls_client_free(clients[i]);
    }
    assert_int_equal(ccs_place_opened(farm->tmp.path, "one.test.pfx"), 1);
    assert_int_equal(ccs_place_opened(farm->tmp.path, "two.test.pfx"), 1);
}

static void queue_is_bounded(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[4];
    struct ccs_tls_spec spec;
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSMaxWaiting 4\nCCSWait 30s\n"));
    ccs_place_slow(farm->tmp.path, "hold a.test");
    for (i = 0; i < 4; i++) {
        clients[i] = start(farm, "a.test");
    }
    ccs_apache_farm_await_status(farm, "warm.test", "waiting", 4);
    spec = ccs_farm_ask(farm, "a.test");
    ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    ccs_place_slow(farm->tmp.path, "");
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
    pid_t children[CCS_APACHE_CHILDREN];
    struct ccs_tls_client *clients[3];
    char names[3][40], file[48], body[60];
    long before, spent;
    size_t i;

    put_many(farm, "leave", 3);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSThreads 4\nCCSWait 60s\n"));
    ccs_place_slow(farm->tmp.path, "hold leave");
    for (i = 0; i < 3; i++) {
        snprintf(names[i], sizeof(names[i]), "leave%zu.test", i);
        clients[i] = start(farm, names[i]);
        ccs_farm_wait_opened(farm, names[i]);
        ccs_apache_farm_await_status(farm, "warm.test", "waiting", 1);
        ccs_tls_client_leave(clients[i], hows[i]);
        ccs_apache_farm_await_status(farm, "warm.test", "waiting", 0);
    }
    /* What is left of them keeps no thread busy. */
    assert_int_equal(ccs_apache_children(&farm->apache, children), 1);
    before = ccs_process_cpu_ms(children[0]);
    ccs_wait_pass(500);
    spent = ccs_process_cpu_ms(children[0]) - before;
    print_message("%ld ms of processor time in half a second\n", spent);
    assert_true(spent < 150);
    ccs_place_slow(farm->tmp.path, "");
    for (i = 0; i < 3; i++) {
        ccs_tls_client_free(clients[i]);
        snprintf(file, sizeof(file), "%s.pfx", names[i]);
        ccs_farm_wait_served(farm, names[i], NULL);
        snprintf(body, sizeof(body), "HIT %s", file);
        ccs_farm_expect_name(farm, names[i], body, NULL);
        assert_int_equal(ccs_place_opened(farm->tmp.path, file), 1);
    }
}

/* A parked client that goes on sending does not keep the child busy. */
static void talkative_client(void **state)
{
    static const unsigned char change_cipher_spec[] = {20, 3, 3, 0, 1, 1};
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *client;
    pid_t children[CCS_APACHE_CHILDREN];
    long before, spent;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSWait 30s\n"));
    ccs_place_slow(farm->tmp.path, "hold a.test");
    client = start(farm, "a.test");
    ccs_farm_wait_opened(farm, "a.test");
    /* TLS 1.3 clients may say this at any moment of the handshake, and it means nothing. */
    assert_int_equal(send(ccs_tls_client_fd(client), change_cipher_spec, 6, MSG_NOSIGNAL), 6);
    assert_int_equal(ccs_apache_children(&farm->apache, children), 1);
    before = ccs_process_cpu_ms(children[0]);
    ccs_wait_pass(1000);
    spent = ccs_process_cpu_ms(children[0]) - before;
    print_message("%ld ms of processor time in a second of waiting\n", spent);
    assert_true(spent < 300);
    ccs_place_slow(farm->tmp.path, "");
    assert_int_equal(ccs_tls_client_run(&client, 1, 0), 1);
    assert_true(ccs_tls_client_result(client)->ok);
    ccs_tls_client_free(client);
}

/* httpd's own patience goes on counting, and its end holds no thread either. */
static void httpd_timeout(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[THREADS + 2];
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    run_with_warm_name(farm, CCS_APACHE_WITH("Timeout 1\nCCSWait 30s\n"));
    ccs_place_slow(farm->tmp.path, "hold a.test");
    for (i = 0; i < THREADS + 2; i++) {
        clients[i] = start(farm, "a.test");
    }
    (void)ccs_tls_client_run(clients, THREADS + 2, 0);
    for (i = 0; i < THREADS + 2; i++) {
        const struct ccs_tls_result *r = ccs_tls_client_result(clients[i]);

        if (r->handshake || r->end == CCS_TLS_TIMEOUT || r->ms < 900 ||
            r->ms > ccs_wait_scaled(15000)) {
            fail_msg("end %d, alert %d after %.0f ms", r->end, r->alert, r->ms);
        }
        ccs_tls_client_free(clients[i]);
    }
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    ccs_place_slow(farm->tmp.path, "");
    ccs_farm_wait_served(farm, "a.test", NULL);
}

/* The beginning of a ClientHello, and nothing more. */
static int half_open(int port)
{
    static const unsigned char beginning[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, beginning, sizeof(beginning), MSG_NOSIGNAL),
                     (ssize_t)sizeof(beginning));
    return fd;
}

static void half_open_hellos(void **state)
{
    enum { HALVES = 30 };
    struct ccs_farm *farm = *state;
    double idle[WARM], busy[WARM];
    int fds[HALVES], i, try, good = 0;

    run_with_warm_name(farm, CCS_APACHE_CONF);
    for (try = 0; try < TRIES && !good; try++) {
        measure(farm, idle, NULL, 0);
        for (i = 0; i < HALVES; i++) {
            fds[i] = half_open(farm->apache.port[0]);
        }
        measure(farm, busy, NULL, 0);
        print_message("warm handshakes in ms, median/max: %.2f/%.2f idle, %.2f/%.2f beside %d "
                      "halves of hellos\n",
                      idle[WARM / 2], idle[WARM - 1], busy[WARM / 2], busy[WARM - 1], HALVES);
        good = busy[WARM - 1] <= idle[WARM - 1] + ALLOWED;
        for (i = 0; i < HALVES; i++) {
            close(fds[i]);
        }
    }
    assert_true(good);
}

/* A store that hangs takes threads of the library with it, not the names that are known. */
static void hanging_store(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[10];
    char name[40];
    int i;

    put_many(farm, "hang", 10);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSWait 1s\n"));
    ccs_place_slow(farm->tmp.path, "hold hang");
    start_many(farm, "hang", 0, clients, 10);
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    (void)ccs_tls_client_run(clients, 10, 0);
    for (i = 0; i < 10; i++) {
        assert_int_equal(ccs_tls_client_result(clients[i])->alert, CCS_ALERT_INTERNAL_ERROR);
        ccs_tls_client_free(clients[i]);
    }
    ccs_farm_expect_name(farm, "warm.test", "HIT warm.test.pfx", NULL);
    ccs_place_slow(farm->tmp.path, "");
    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "hang%d.test", i);
        ccs_farm_wait_served(farm, name, NULL);
    }
}

/* -- restart and end while connections are parked ------------------------------------------ */

#define SUSPENDED 3

static void suspend(struct ccs_farm *farm, struct ccs_tls_client *clients[SUSPENDED])
{
    static const char *const names[SUSPENDED] = {"cold0.test", "cold1.test", "cold2.test"};
    int i;

    put_many(farm, "cold", SUSPENDED);
    run_with_warm_name(farm, CCS_APACHE_WITH("CCSThreads 4\nCCSWait 30s\n"));
    ccs_place_slow(farm->tmp.path, "hold cold");
    for (i = 0; i < SUSPENDED; i++) {
        clients[i] = start(farm, names[i]);
        ccs_farm_wait_opened(farm, names[i]);
    }
}

static void graceful_while_parked(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];
    pid_t children[CCS_APACHE_CHILDREN];
    int i;

    suspend(farm, clients);
    ccs_apache_graceful(&farm->apache);
    /* The new child serves while the old one has its handshakes to finish. */
    ccs_farm_expect_name(farm, "warm.test", NULL, NULL);
    assert_int_equal(ccs_apache_children(&farm->apache, children), 2);
    for (i = 0; i < SUSPENDED; i++) {
        assert_true(ccs_tls_client_waiting(clients[i]));
    }
    ccs_place_slow(farm->tmp.path, "");
    finish_many("cold", 0, clients, SUSPENDED);
}

static int only_one_child(void *arg)
{
    struct ccs_farm *farm = arg;
    pid_t children[CCS_APACHE_CHILDREN];

    return ccs_apache_children(&farm->apache, children) == 1;
}

/* An old child whose store hangs ends all the same once its clients have given up. */
static void old_child_ends(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];
    int i;

    suspend(farm, clients);
    ccs_apache_graceful(&farm->apache);
    for (i = 0; i < SUSPENDED; i++) {
        ccs_tls_client_leave(clients[i], CCS_TLS_CLOSE);
        ccs_tls_client_free(clients[i]);
    }
    assert_true(ccs_wait_until(only_one_child, farm, 0));
    ccs_farm_expect_name(farm, "warm.test", NULL, NULL);
}

/* A thread that hangs in the file system must not hold up the end of its child: httpd says so if
 * one takes longer than a few seconds, and that counts as an accident here. */
static void stop_while_store_hangs(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_client *clients[SUSPENDED];
    double start_ms;
    int i;

    suspend(farm, clients);
    start_ms = ccs_wait_clock();
    ccs_apache_signal(&farm->apache, SIGTERM);
    assert_int_equal(ccs_apache_wait(&farm->apache), 0);
    print_message("ended after %.0f ms\n", ccs_wait_clock() - start_ms);
    (void)ccs_tls_client_run(clients, SUSPENDED, 0);
    for (i = 0; i < SUSPENDED; i++) {
        assert_false(ccs_tls_client_result(clients[i])->handshake);
        ccs_tls_client_free(clients[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(all_threads_would_wait),
        CCS_FARM_TEST(many_are_parked),
        CCS_FARM_TEST(blocking_leaves_threads_free),
        CCS_FARM_TEST(waiting_is_bounded),
        CCS_FARM_TEST(one_load_for_all_who_wait),
        CCS_FARM_TEST(queue_is_bounded),
        CCS_FARM_TEST(clients_that_leave),
        CCS_FARM_TEST(talkative_client),
        CCS_FARM_TEST(httpd_timeout),
        CCS_FARM_TEST(half_open_hellos),
        CCS_FARM_TEST(hanging_store),
        CCS_FARM_TEST(graceful_while_parked),
        CCS_FARM_TEST(old_child_ends),
        CCS_FARM_TEST(stop_while_store_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
