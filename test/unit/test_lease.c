/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"
#include "layout.h"

#define SIZE ((size_t)2 * 1024 * 1024)

static void *memory;
static struct ccs_layout l;
static struct ccs_leases *leases;

static int setup(void **state)
{
    (void)state;
    if (ccs_arena_map(SIZE, &memory, NULL) != CCS_OK ||
        ccs_layout_format(memory, SIZE, 0, &l, NULL) != CCS_OK)
        return 1;
    leases = l.leases;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ccs_arena_unmap(memory, SIZE);
    return 0;
}

static void one_holder(void **state)
{
    struct ccs_lease a = {0}, b = {0};

    (void)state;
    assert_false(ccs_lease_check(leases, &a));
    assert_int_equal(ccs_lease_take(leases, 5, 1, 1000, &a), CCS_OK);
    assert_true(ccs_lease_check(leases, &a));
    assert_int_equal(ccs_lease_take(leases, 5, 1, 1001, &b), CCS_PENDING);
    assert_int_equal(b.token, 0);
    /* Another store is another lease. */
    assert_int_equal(ccs_lease_take(leases, 6, 1, 1001, &b), CCS_OK);
    assert_true(ccs_lease_check(leases, &a));
    assert_true(a.token != b.token);
}

static void heartbeat_keeps_it(void **state)
{
    struct ccs_lease a, b;

    (void)state;
    assert_int_equal(ccs_lease_take(leases, 5, 1, 1000, &a), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 5, 1, 1000 + CCS_LEASE_STALE_MS, &b), CCS_PENDING);
    assert_int_equal(ccs_lease_beat(leases, &a, 4000), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 5, 1, 4000 + CCS_LEASE_STALE_MS, &b), CCS_PENDING);
    assert_int_equal(ccs_lease_take(leases, 5, 1, 4001 + CCS_LEASE_STALE_MS, &b), CCS_OK);
    assert_false(ccs_lease_check(leases, &a));
    assert_int_equal(ccs_lease_beat(leases, &a, 9999), CCS_ECANCELED);
    assert_true(ccs_lease_check(leases, &b));
    /* The former holder cannot give away what it no longer has. */
    ccs_lease_give(leases, &a);
    assert_true(ccs_lease_check(leases, &b));
}

static void newer_configuration_takes_it(void **state)
{
    uint64_t first = ccs_leases_configuration(leases), second = ccs_leases_configuration(leases);
    struct ccs_lease a, b;

    (void)state;
    assert_true(second > first);
    assert_int_equal(ccs_lease_take(leases, 5, first, 1000, &a), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 5, second, 1001, &b), CCS_OK);
    assert_false(ccs_lease_check(leases, &a));
    /* An old worker that drains for hours does not get it back, */
    assert_int_equal(ccs_lease_take(leases, 5, first, 1002, &a), CCS_PENDING);
    /* not even when its successor gives it up for another of its kind, */
    ccs_lease_give(leases, &b);
    assert_int_equal(b.token, 0);
    assert_int_equal(ccs_lease_take(leases, 5, first, 1003, &a), CCS_PENDING);
    assert_int_equal(ccs_lease_take(leases, 5, second, 1003, &b), CCS_OK);
    ccs_lease_give(leases, &b);
    /* but if nobody else is there the store is not left alone. */
    assert_int_equal(ccs_lease_take(leases, 5, first, 1004 + CCS_LEASE_STALE_MS, &a), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 5, second, 1005 + CCS_LEASE_STALE_MS, &b), CCS_OK);
}

static void table_is_bounded(void **state)
{
    struct ccs_lease a[CCS_LEASES_MAX], b;

    (void)state;
    for (uint64_t i = 0; i < CCS_LEASES_MAX; i++)
        assert_int_equal(ccs_lease_take(leases, 100 + i, 1, 1000, &a[i]), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 99, 1, 1000, &b), CCS_EBUSY);
    assert_int_equal(ccs_lease_beat(leases, &a[0], 50000), CCS_OK);
    /* A store that nobody has refreshed for long makes room; one in use does not. */
    assert_int_equal(ccs_lease_take(leases, 99, 1, 1001 + CCS_LEASE_FORGET_MS, &b), CCS_OK);
    assert_true(ccs_lease_check(leases, &a[0]));
    assert_false(ccs_lease_check(leases, &a[b.slot]));
}

/* A heartbeat from a time to come is no heartbeat. */
static void odd_clock(void **state)
{
    struct ccs_lease a, b;

    (void)state;
    assert_int_equal(ccs_lease_take(leases, 5, 1, INT64_C(1) << 50, &a), CCS_OK);
    assert_int_equal(ccs_lease_take(leases, 5, 1, 1000, &b), CCS_OK);
    assert_false(ccs_lease_check(leases, &a));
}

/* -- claims and the bell, which have no test of their own ---------------------------------- */

static void claims(void **state)
{
    struct ccs_claims *c = calloc(1, sizeof(*c));
    struct ccs_claim a = {.ticket = 1, .hash = 10}, b = {.ticket = 2, .hash = 10}, none = {0};
    int64_t until = 0;

    (void)state;
    assert_non_null(c);
    assert_int_equal(ccs_claims_take(c, 10, 1, 100, 200, NULL), CCS_OK);
    assert_int_equal(ccs_claims_take(c, 10, 2, 150, 300, &until), CCS_PENDING);
    assert_int_equal(until, 200);
    assert_true(ccs_claims_hold(c, &a));
    assert_false(ccs_claims_hold(c, &b));
    assert_false(ccs_claims_hold(c, &none));
    assert_true(ccs_claims_extend(c, &a, 250));
    assert_int_equal(ccs_claims_take(c, 10, 2, 249, 300, NULL), CCS_PENDING);
    /* Past its deadline it still holds until somebody wants it. */
    assert_true(ccs_claims_hold(c, &a));
    assert_int_equal(ccs_claims_take(c, 10, 2, 250, 300, NULL), CCS_OK);
    assert_false(ccs_claims_hold(c, &a));
    assert_false(ccs_claims_release(c, &a));
    assert_false(ccs_claims_extend(c, &a, 999));
    assert_true(ccs_claims_hold(c, &b));
    assert_int_equal(ccs_claims_count(c, 251), 1);
    /* As many as there is room for; those past their deadline make room. */
    for (uint64_t i = 1; i < CCS_CLAIMS_PER_SHARD; i++)
        assert_int_equal(ccs_claims_take(c, 100 + i, 100 + i, 260, 400, NULL), CCS_OK);
    assert_int_equal(ccs_claims_take(c, 99, 99, 260, 400, NULL), CCS_EBUSY);
    assert_int_equal(ccs_claims_take(c, 99, 99, 300, 400, NULL), CCS_OK);
    assert_false(ccs_claims_hold(c, &b));
    assert_int_equal(ccs_claims_count(c, 300), CCS_CLAIMS_PER_SHARD);
    free(c);
}

static void bell_rings_elsewhere(void **state)
{
    struct ccs_bell *bell = mmap(NULL, sizeof(*bell), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t seen = ccs_bell_count(bell);
    int64_t before = ccs_now_ms();
    int status;
    pid_t pid;

    (void)state;
    assert_false(ccs_bell_wait(bell, seen, 0));
    assert_false(ccs_bell_wait(bell, seen, 20));
    assert_true(ccs_now_ms() - before >= 15);
    assert_true(ccs_bell_wait(bell, seen - 1, 10000)); /* rung before: no waiting */
    pid = fork();
    if (pid == 0)
        _exit(ccs_bell_wait(bell, seen, 60000) ? 0 : 1);
    assert_true(pid > 0);
    ccs_bell_ring(bell);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(ccs_now_ms() - before < 59000);
    munmap(bell, sizeof(*bell));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(heartbeat_keeps_it, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_configuration_takes_it, setup, teardown),
        cmocka_unit_test_setup_teardown(table_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_clock, setup, teardown),
        cmocka_unit_test(claims),
        cmocka_unit_test(bell_rings_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
