/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ccs/ccs.h>

#include "notify.h"
#include "wait.h"

static int is_readable(const struct ccs_notify *n, int timeout_ms)
{
    struct pollfd p = {.fd = n->fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void raised_until_cleared(void **state)
{
    struct ccs_notify n;

    (void)state;
    assert_int_equal(ccs_notify_init(&n), CCS_OK);
    assert_false(is_readable(&n, 0));
    ccs_notify_raise(&n);
    ccs_notify_raise(&n);
    assert_true(is_readable(&n, 0));
    ccs_notify_clear(&n);
    assert_false(is_readable(&n, 0));
    ccs_notify_clear(&n);
    ccs_notify_raise(&n);
    assert_true(is_readable(&n, 0));
    ccs_notify_close(&n);
    ccs_notify_close(&n);
}

#define ROUNDS 200000

struct race {
    struct ccs_notify n;
    atomic_uint queued;
};

static void *producer(void *arg)
{
    struct race *r = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&r->queued, 1);
        ccs_notify_raise(&r->n);
    }
    return NULL;
}

/* However raising and clearing meet, work that is queued is found. */
static void no_raise_is_lost(void **state)
{
    static struct race r;
    pthread_t threads[2];
    unsigned taken = 0;

    (void)state;
    assert_int_equal(ccs_notify_init(&r.n), CCS_OK);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, producer, &r), 0);
    while (taken < 2 * ROUNDS) {
        assert_true(is_readable(&r.n, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
        ccs_notify_clear(&r.n);
        taken += atomic_exchange(&r.queued, 0);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ccs_notify_close(&r.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raised_until_cleared),
        cmocka_unit_test(no_raise_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
