/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acquire.h"
#include "credential.h"
#include "instance.h"
#include "wait.h"
#include "world.h"

static int setup(void **state)
{
    *state = ccs_world_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    ccs_world_free(*state);
    return 0;
}

static struct ccs_stats stats_of(struct ccs_world *w)
{
    struct ccs_stats s;

    ccs_stats_get(w->ccs, &s, sizeof(s));
    return s;
}

static void loaded_once_then_hit(void **state)
{
    struct ccs_world *w = *state;
    char want[65], got[65];
    enum ccs_result result;

    ccs_world_put(w, "www.example.com", "www.example.com.pfx", want);
    assert_int_equal(ccs_world_ask(w, "www.example.com", &result, got), CCS_OK);
    assert_string_equal(got, want);
    assert_int_equal(result, CCS_RESULT_LOADED);
    assert_int_equal(ccs_world_ask(w, "WWW.Example.COM.", &result, got), CCS_OK);
    assert_string_equal(got, want);
    assert_int_equal(result, CCS_RESULT_HIT);
    assert_int_equal(fake_store_file_reads(w->fake, "www.example.com.pfx"), 1);
    assert_int_equal(stats_of(w).hits, 1);
    assert_int_equal(stats_of(w).loads, 1);
    assert_int_equal(stats_of(w).cached, 1);
}

static void exact_before_wildcard(void **state)
{
    struct ccs_world *w = *state;
    char exact[65], wild[65], got[65];

    ccs_world_put(w, "a.example.com", "a.example.com.pfx", exact);
    ccs_world_put(w, "*.example.com", "_.example.com.pfx", wild);
    assert_int_equal(ccs_world_ask(w, "a.example.com", NULL, got), CCS_OK);
    assert_string_equal(got, exact);
    assert_int_equal(ccs_world_ask(w, "b.example.com", NULL, got), CCS_OK);
    assert_string_equal(got, wild);
    assert_int_equal(ccs_world_ask(w, "a.b.example.com", NULL, got), CCS_ENOTFOUND);
    assert_int_equal(ccs_world_ask(w, "example.com", NULL, got), CCS_ENOTFOUND);
    assert_int_equal(fake_store_file_reads(w->fake, "_.example.com.pfx"), 1);
}

static void names_no_store_can_hold(void **state)
{
    static const struct {
        const char *name;
        size_t len;
    } names[] = {
        {"../x", 4}, {"_.example.com", 13}, {"a\0b.example", 11}, {"127.0.0.1", 9},    {"[::1]", 5},
        {"", 0},     {"a..b", 4},           {"a/b", 3},           {"example.rsa", 11}, {".", 1}};
    struct ccs_world *w = *state;
    struct ccs_answer answer;
    char longest[300];

    ccs_world_put(w, "*.example.com", "_.example.com.pfx", NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(ccs_acquire(w->ccs, names[i].name, names[i].len, -1, &answer), CCS_ENAME);
        assert_null(answer.cred);
        assert_true(answer.error.text[0] != '\0');
    }
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(ccs_lookup(w->ccs, longest, sizeof(longest), &answer), CCS_ENAME);
    assert_int_equal(fake_store_reads(w->fake), 0);
    assert_int_equal(stats_of(w).refused, sizeof(names) / sizeof(names[0]) + 1);
}

static void not_found_is_remembered(void **state)
{
    struct ccs_world *w = *state;
    unsigned reads;

    /* Until the folder is listed names are looked for, afterwards they are known not to be there.
     */
    assert_int_equal(ccs_world_ask(w, "no.example.com", NULL, NULL), CCS_ENOTFOUND);
    reads = fake_store_reads(w->fake);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ccs_world_ask(w, "no.example.com", NULL, NULL), CCS_ENOTFOUND);
    assert_int_equal(fake_store_reads(w->fake), reads);
    assert_int_equal(stats_of(w).load_errors, 0);
}

static void bad_exact_file_falls_to_wildcard(void **state)
{
    struct ccs_world *w = *state;
    char wild[65], got[65];

    ccs_world_put_bytes(w, "a.example.com.pfx", "-----BEGIN CERTIFICATE-----\n", 28);
    assert_int_equal(ccs_world_ask(w, "a.example.com", NULL, got), CCS_EFORMAT);
    ccs_world_put(w, "*.example.com", "_.example.com.pfx", wild);
    ccs_invalidate(w->ccs, NULL, 0);
    assert_int_equal(ccs_world_ask(w, "a.example.com", NULL, got), CCS_OK);
    assert_string_equal(got, wild);
    assert_int_equal(ccs_world_logged(w, "a.example.com.pfx"), 1);
}

/* The mark that keeps an entry in shared memory. */
static _Atomic uint8_t *mark_of(struct ccs_world *w, const struct ccs_cred *cred)
{
    const struct ccs_vault *v = &w->ccs->layout->vault;

    assert_int_not_equal(cred->slot, CCS_VAULT_SLOT_NONE);
    return &v->shards[cred->slot >> CCS_VAULT_SLOT_BITS]
                .entries.referenced[cred->slot & ((1u << CCS_VAULT_SLOT_BITS) - 1)];
}

/* What this process has at hand is not forgotten by shared memory for as long as it is used. */
static void use_is_told_to_shared_memory(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_answer answer;
    _Atomic uint8_t *mark;

    ccs_world_put(w, "www.example.com", "www.example.com.pfx", NULL);
    assert_int_equal(ccs_world_ask(w, "www.example.com", NULL, NULL), CCS_OK);
    assert_int_equal(ccs_lookup(w->ccs, "www.example.com", 15, &answer), CCS_OK);
    mark = mark_of(w, answer.cred);
    ccs_cred_unref(answer.cred);
    for (int turn = 0; turn < 3; turn++) {
        atomic_store(mark, 0);
        for (int i = 0; i < 8; i++)
            assert_int_equal(ccs_world_ask(w, "www.example.com", NULL, NULL), CCS_OK);
        assert_int_equal(atomic_load(mark), 1);
    }
}

/* -- waiting without blocking -------------------------------------------------------------- */

struct waiter {
    unsigned told;
    int code;
    enum ccs_result result;
    char fingerprint[65];
};

static void done(const struct ccs_answer *answer, void *arg)
{
    struct waiter *self = arg;

    self->told++;
    self->code = answer->code;
    self->result = answer->result;
    if (answer->code == CCS_OK)
        snprintf(self->fingerprint, sizeof(self->fingerprint), "%s",
                 ccs_cred_fingerprint(answer->cred));
}

static int start(struct ccs_world *w, const char *name, struct waiter *waiter,
                 struct ccs_request **req)
{
    struct ccs_answer answer;
    int rv = ccs_acquire_start(w->ccs, name, strlen(name), done, waiter, &answer, req);

    if (rv == CCS_OK)
        ccs_cred_unref(answer.cred);
    return rv;
}

/* Dispatches, as an event loop would, until so many callbacks have run. */
static void dispatch_until(struct ccs_world *w, struct waiter *waiters, size_t n, unsigned told)
{
    int64_t deadline = (int64_t)ccs_wait_clock() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    unsigned sum = 0;

    while (sum < told && ccs_wait_clock() < (double)deadline) {
        struct pollfd p = {.fd = ccs_event_fd(w->ccs), .events = POLLIN};

        (void)poll(&p, 1, 100);
        ccs_dispatch(w->ccs, 0);
        sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += waiters[i].told;
    }
    assert_int_equal(sum, told);
}

static void waiters_share_one_load(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiters[25] = {0};
    struct ccs_request *req;
    char want[65];

    ccs_world_put(w, "a.example", "a.example.pfx", want);
    fake_store_block(w->fake);
    for (size_t i = 0; i < 25; i++)
        assert_int_equal(start(w, "a.example", &waiters[i], &req), CCS_PENDING);
    assert_true(fake_store_wait_blocked(w->fake, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    ccs_dispatch(w->ccs, 0);
    assert_int_equal(waiters[0].told, 0);
    assert_int_equal(stats_of(w).waiting, 25);
    fake_store_unblock(w->fake);
    dispatch_until(w, waiters, 25, 25);
    for (size_t i = 0; i < 25; i++) {
        assert_int_equal(waiters[i].code, CCS_OK);
        assert_int_equal(waiters[i].result, CCS_RESULT_LOADED);
        assert_string_equal(waiters[i].fingerprint, want);
    }
    assert_int_equal(fake_store_file_reads(w->fake, "a.example.pfx"), 1);
    assert_int_equal(stats_of(w).waiting, 0);
    assert_int_equal(start(w, "a.example", &waiters[0], &req), CCS_OK);
}

/* The entry for names that are canonical already is the same in all else. */
static void canonical_names(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiter = {0};
    struct ccs_request *req;
    struct ccs_answer answer;
    char want[65];

    ccs_world_put(w, "*.example.com", "_.example.com.pfx", want);
    /* What follows the name is not part of it. */
    assert_int_equal(
        ccs_acquire_start_canonical(w->ccs, "a.example.com.org", 13, done, &waiter, &answer, &req),
        CCS_PENDING);
    dispatch_until(w, &waiter, 1, 1);
    assert_int_equal(waiter.code, CCS_OK);
    assert_string_equal(waiter.fingerprint, want);
    assert_int_equal(
        ccs_acquire_start_canonical(w->ccs, "a.example.com", 13, done, &waiter, &answer, &req),
        CCS_OK);
    assert_int_equal(answer.result, CCS_RESULT_HIT);
    assert_string_equal(ccs_cred_fingerprint(answer.cred), want);
    ccs_cred_unref(answer.cred);
    assert_int_equal(stats_of(w).hits, 1);
    assert_int_equal(stats_of(w).misses, 1);
}

static void slow_name_does_not_hold_up_others(void **state)
{
    struct ccs_world *w = *state;
    struct waiter slow = {0};
    struct ccs_request *req;

    ccs_world_put(w, "warm.example", "warm.example.pfx", NULL);
    ccs_world_put(w, "slow.example", "slow.example.pfx", NULL);
    assert_int_equal(ccs_world_ask(w, "warm.example", NULL, NULL), CCS_OK);
    fake_store_block(w->fake);
    assert_int_equal(start(w, "slow.example", &slow, &req), CCS_PENDING);
    assert_true(fake_store_wait_blocked(w->fake, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    for (int i = 0; i < 100; i++)
        assert_int_equal(ccs_world_ask(w, "warm.example", NULL, NULL), CCS_OK);
    assert_int_equal(slow.told, 0);
    fake_store_unblock(w->fake);
    dispatch_until(w, &slow, 1, 1);
}

static void canceled_is_not_told(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiters[3] = {0};
    struct ccs_request *req[3];

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    fake_store_block(w->fake);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(start(w, "a.example", &waiters[i], &req[i]), CCS_PENDING);
    ccs_cancel(req[1]);
    ccs_cancel(NULL);
    fake_store_unblock(w->fake);
    dispatch_until(w, waiters, 3, 2);
    assert_int_equal(waiters[1].told, 0);
    ccs_invalidate(w->ccs, NULL, 0);

    /* One that is done but not dispatched yet can still be canceled. */
    memset(waiters, 0, sizeof(waiters));
    assert_int_equal(start(w, "a.example", &waiters[0], &req[0]), CCS_PENDING);
    assert_int_equal(ccs_world_ask(w, "a.example", NULL, NULL), CCS_OK);
    ccs_cancel(req[0]);
    ccs_dispatch(w->ccs, 0);
    assert_int_equal(waiters[0].told, 0);
}

static void canceled_load_goes_on(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiter = {0};
    struct ccs_request *req;
    char want[65];

    ccs_world_put(w, "a.example", "a.example.pfx", want);
    assert_int_equal(start(w, "a.example", &waiter, &req), CCS_PENDING);
    ccs_cancel(req);
    assert_true(ccs_world_await(w, "a.example", want));
}

static void close_tells_all(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiters[4] = {0};
    struct ccs_request *req;

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    fake_store_block(w->fake);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(start(w, "a.example", &waiters[i], &req), CCS_PENDING);
    assert_true(fake_store_wait_blocked(w->fake, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    fake_store_unblock(w->fake);
    ccs_close(w->ccs);
    w->ccs = NULL;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(waiters[i].told, 1);
        assert_true(waiters[i].code == CCS_ECLOSED || waiters[i].code == CCS_OK);
    }
}

static void credential_outlives_instance(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_answer answer;
    char want[65];

    ccs_world_put(w, "a.example", "a.example.pfx", want);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, -1, &answer), CCS_OK);
    ccs_close(w->ccs);
    w->ccs = NULL;
    assert_string_equal(ccs_cred_fingerprint(answer.cred), want);
    assert_string_equal(ccs_cred_file(answer.cred), "a.example.pfx");
    assert_true(ccs_cred_not_before(answer.cred) < ccs_cred_not_after(answer.cred));
    ccs_cred_unref(answer.cred);
}

/* -- limits -------------------------------------------------------------------------------- */

static int setup_limits(void **state)
{
    static const char *const settings[] = {"wait", "50ms", "max_waiting", "2", NULL};

    *state = ccs_world_new(settings);
    return 0;
}

static int setup_places(void **state)
{
    static const char *const settings[] = {"max_waiting", "2", NULL};

    *state = ccs_world_new(settings);
    return 0;
}

static void waiting_is_bounded_in_time(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiter = {0};
    struct ccs_request *req;
    struct ccs_answer answer;

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    fake_store_block(w->fake);
    assert_int_equal(start(w, "a.example", &waiter, &req), CCS_PENDING);
    dispatch_until(w, &waiter, 1, 1);
    assert_int_equal(waiter.code, CCS_ETIMEDOUT);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, -1, &answer), CCS_ETIMEDOUT);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, 1, &answer), CCS_ETIMEDOUT);
    assert_int_equal(stats_of(w).timeouts, 3);
    assert_int_equal(stats_of(w).busy, 0);
    assert_int_equal(stats_of(w).waiting, 0);
}

/* Who may not wait at all is turned away at once, and the next one finds what was missing. */
static void no_time_at_all(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_answer answer;

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    fake_store_block(w->fake);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, 0, &answer), CCS_EBUSY);
    assert_int_equal(answer.error.code, CCS_EBUSY);
    assert_null(answer.cred);
    assert_int_equal(stats_of(w).busy, 1);
    assert_int_equal(stats_of(w).timeouts, 0);
    assert_int_equal(stats_of(w).waiting, 0);
    fake_store_unblock(w->fake);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, 30000, &answer), CCS_OK);
    ccs_cred_unref(answer.cred);
    assert_int_equal(ccs_acquire(w->ccs, "a.example", 9, 0, &answer), CCS_OK);
    ccs_cred_unref(answer.cred);
}

static void waiting_is_bounded_in_number(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiters[3] = {0};
    struct ccs_request *req;

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    ccs_world_put(w, "b.example", "b.example.pfx", NULL);
    ccs_world_put(w, "c.example", "c.example.pfx", NULL);
    fake_store_block(w->fake);
    assert_int_equal(start(w, "a.example", &waiters[0], &req), CCS_PENDING);
    assert_int_equal(start(w, "b.example", &waiters[1], &req), CCS_PENDING);
    assert_int_equal(start(w, "c.example", &waiters[2], &req), CCS_EBUSY);
    assert_int_equal(stats_of(w).busy, 1);
    fake_store_unblock(w->fake);
    dispatch_until(w, waiters, 2, 2);
    fake_store_block(w->fake);
    assert_int_equal(start(w, "c.example", &waiters[2], &req), CCS_PENDING);
    ccs_cancel(req);
}

/* Who completes a request raises the descriptor afterwards, maybe after it was dispatched. */
static int is_quiet(void *arg)
{
    struct ccs_world *w = arg;
    struct pollfd p = {.fd = ccs_event_fd(w->ccs), .events = POLLIN};

    ccs_dispatch(w->ccs, 0);
    return poll(&p, 1, 0) == 0;
}

static void dispatch_in_portions(void **state)
{
    struct ccs_world *w = *state;
    struct waiter waiters[2] = {0};
    struct ccs_request *req;
    struct pollfd p = {.fd = ccs_event_fd(w->ccs), .events = POLLIN};

    ccs_world_put(w, "a.example", "a.example.pfx", NULL);
    ccs_world_put(w, "b.example", "b.example.pfx", NULL);
    fake_store_block(w->fake);
    assert_int_equal(start(w, "a.example", &waiters[0], &req), CCS_PENDING);
    assert_int_equal(start(w, "b.example", &waiters[1], &req), CCS_PENDING);
    /* Both time out; each turn takes one, and the descriptor stays readable until the last. */
    while (stats_of(w).timeouts < 2)
        (void)poll(&p, 1, 10);
    assert_int_equal(poll(&p, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)), 1);
    assert_int_equal(ccs_dispatch(w->ccs, 1), 1);
    assert_int_equal(waiters[0].told + waiters[1].told, 1);
    assert_int_equal(poll(&p, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)), 1);
    assert_int_equal(ccs_dispatch(w->ccs, 1), 1);
    assert_int_equal(waiters[0].told + waiters[1].told, 2);
    assert_true(ccs_wait_until(is_quiet, w, 0));
}

/* -- many threads -------------------------------------------------------------------------- */

static void *asker(void *arg)
{
    struct ccs_world *w = arg;
    uintptr_t wrong = 0;
    char name[32];

    for (unsigned i = 0; i < 400; i++) {
        enum ccs_result result;
        struct ccs_answer answer;
        int rv;

        snprintf(name, sizeof(name), "h%u.example", i % 12);
        rv = ccs_acquire(w->ccs, name, strlen(name), -1, &answer);
        result = answer.result;
        if (rv != (i % 12 < 8 ? CCS_OK : CCS_ENOTFOUND))
            wrong++;
        else if (rv == CCS_OK && strncmp(ccs_cred_file(answer.cred), name, strlen(name)) != 0)
            wrong++;
        else if (rv == CCS_OK && result == CCS_RESULT_NONE)
            wrong++;
        if (rv == CCS_OK)
            ccs_cred_unref(answer.cred);
        if (i % 40 == 0)
            ccs_invalidate(w->ccs, name, strlen(name));
        if (i % 150 == 0)
            ccs_invalidate(w->ccs, NULL, 0);
    }
    return (void *)wrong;
}

static void threads_get_what_they_ask_for(void **state)
{
    struct ccs_world *w = *state;
    pthread_t threads[6];
    char name[32], file[40];

    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "h%u.example", i);
        snprintf(file, sizeof(file), "h%u.example.pfx", i);
        ccs_world_put(w, name, file, NULL);
    }
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, asker, w), 0);
    for (size_t i = 0; i < 6; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(loaded_once_then_hit, setup, teardown),
        cmocka_unit_test_setup_teardown(exact_before_wildcard, setup, teardown),
        cmocka_unit_test_setup_teardown(names_no_store_can_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(not_found_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_exact_file_falls_to_wildcard, setup, teardown),
        cmocka_unit_test_setup_teardown(use_is_told_to_shared_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(waiters_share_one_load, setup, teardown),
        cmocka_unit_test_setup_teardown(canonical_names, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_name_does_not_hold_up_others, setup, teardown),
        cmocka_unit_test_setup_teardown(canceled_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(canceled_load_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(close_tells_all, setup, teardown),
        cmocka_unit_test_setup_teardown(credential_outlives_instance, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_is_bounded_in_time, setup_limits, teardown),
        cmocka_unit_test_setup_teardown(no_time_at_all, setup_places, teardown),
        cmocka_unit_test_setup_teardown(waiting_is_bounded_in_number, setup_places, teardown),
        cmocka_unit_test_setup_teardown(dispatch_in_portions, setup_limits, teardown),
        cmocka_unit_test_setup_teardown(threads_get_what_they_ask_for, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
