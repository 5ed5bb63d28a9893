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

static int setup(void **state)
{
    (void)state;
    return ccs_arena_map(SIZE, &memory, NULL) != CCS_OK ||
           ccs_layout_format(memory, SIZE, 0, &l, NULL) != CCS_OK;
}

static int teardown(void **state)
{
    (void)state;
    ccs_counters_set_alive(NULL);
    ccs_arena_unmap(memory, SIZE);
    return 0;
}

static void sums(void **state)
{
    struct ccs_counters_sum sum;
    struct ccs_counters_slot *a, *b;
    uint64_t ia, ib;

    (void)state;
    assert_int_equal(sizeof(*a), 2 * CCS_ARENA_ALIGN);
    a = ccs_counters_join(l.counters, &ia);
    b = ccs_counters_join(l.counters, &ib);
    assert_ptr_not_equal(a, b);
    assert_int_equal((uintptr_t)a % CCS_ARENA_ALIGN, 0);
    assert_true(ia != 0 && ib != 0 && ia != ib);
    ccs_counters_add(a, 0, 2);
    ccs_counters_add(b, 0, 3);
    ccs_counters_add(b, CCS_COUNTERS_OWN - 1, 7);
    ccs_counters_gauge(a, 1, 4);
    ccs_counters_gauge(b, 1, -1);
    ccs_counters_add_common(l.counters, 63, 9);
    ccs_counters_read(l.counters, &sum);
    assert_int_equal(sum.own[0], 5);
    assert_int_equal(sum.own[CCS_COUNTERS_OWN - 1], 7);
    assert_int_equal(sum.gauges[1], 3);
    assert_int_equal(sum.common[63], 9);
    assert_int_equal(sum.processes, 2);
    ccs_counters_leave(l.counters, a, ia);
    ccs_counters_leave(l.counters, a, ia); /* twice does no harm */
    ccs_counters_leave(l.counters, b, ia); /* nor does another one's slot */
    ccs_counters_read(l.counters, &sum);
    assert_int_equal(sum.own[0], 5);
    assert_int_equal(sum.gauges[1], -1);
    assert_int_equal(sum.processes, 1);
}

/* Many more processes than slots, one after the other, none of which says good-bye. */
static void counts_of_the_dead_stay(void **state)
{
    const uint64_t processes = CCS_COUNTERS_SLOTS + 40;
    struct ccs_counters_sum sum;

    (void)state;
    for (uint64_t i = 0; i < processes; i++) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
            uint64_t incarnation;
            struct ccs_counters_slot *s = ccs_counters_join(l.counters, &incarnation);

            ccs_counters_add(s, 2, 10);
            ccs_counters_gauge(s, 0, 1);
            _exit(incarnation != 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    ccs_counters_read(l.counters, &sum);
    assert_int_equal(sum.own[2], 10 * processes);
    assert_int_equal(sum.gauges[0], 0);
    assert_int_equal(sum.processes, 0);
}

static bool everybody_lives(pid_t pid)
{
    (void)pid;
    return true;
}

/* More living processes than slots share them. */
static void too_many(void **state)
{
    struct ccs_counters_sum sum;
    uint64_t incarnation, shared = 0;

    (void)state;
    ccs_counters_set_alive(everybody_lives);
    for (size_t i = 0; i < CCS_COUNTERS_SLOTS + 5; i++) {
        struct ccs_counters_slot *s = ccs_counters_join(l.counters, &incarnation);

        assert_non_null(s);
        shared += incarnation == 0;
        ccs_counters_add(s, 0, 1);
        ccs_counters_leave(l.counters, s, 0);
    }
    assert_int_equal(shared, 5);
    ccs_counters_read(l.counters, &sum);
    assert_int_equal(sum.own[0], CCS_COUNTERS_SLOTS + 5);
    assert_int_equal(sum.processes, CCS_COUNTERS_SLOTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_of_the_dead_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
