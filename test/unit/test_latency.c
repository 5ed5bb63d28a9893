/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arena.h"
#include "latency.h"

#define SIZE  ((size_t)1 << 20)
#define FIRST 48

struct fixture {
    void *mem;
    struct ccs_counters_table *table;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ccs_arena *arena;

    assert_non_null(f);
    assert_int_equal(ccs_arena_map(SIZE, &f->mem, NULL), CCS_OK);
    assert_int_equal(ccs_arena_format(f->mem, SIZE, &arena, NULL), CCS_OK);
    assert_int_equal(ccs_counters_format(&f->table, arena, NULL), CCS_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ccs_arena_unmap(f->mem, SIZE);
    free(f);
    return 0;
}

static void bounds_are_inclusive(void **state)
{
    static const struct {
        int64_t ms;
        unsigned bucket;
    } times[] = {{0, 0}, {1, 0}, {2, 1}, {3, 2}, {5, 2}, {6, 3}, {5000, 11}, {5001, 12}};
    struct fixture *f = *state;
    struct ccs_counters_sum sum;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct ccs_counters_sum before;

        ccs_counters_read(f->table, &before);
        ccs_latency_add(f->table, FIRST, times[i].ms);
        ccs_counters_read(f->table, &sum);
        for (unsigned k = 0; k < CCS_LATENCY_BUCKETS; k++)
            assert_int_equal(sum.common[FIRST + k],
                             before.common[FIRST + k] + (k == times[i].bucket));
    }
    assert_int_equal(ccs_latency_count(&sum, FIRST), sizeof(times) / sizeof(times[0]));
}

static void percentiles(void **state)
{
    struct fixture *f = *state;
    struct ccs_counters_sum sum;

    ccs_counters_read(f->table, &sum);
    assert_int_equal(ccs_latency_percentile(&sum, FIRST, 99), 0);
    for (int i = 0; i < 98; i++)
        ccs_latency_add(f->table, FIRST, 7);
    ccs_latency_add(f->table, FIRST, 150);
    ccs_latency_add(f->table, FIRST, 60000);
    ccs_counters_read(f->table, &sum);
    assert_int_equal(ccs_latency_percentile(&sum, FIRST, 50), 10);
    assert_int_equal(ccs_latency_percentile(&sum, FIRST, 98), 10);
    assert_int_equal(ccs_latency_percentile(&sum, FIRST, 99), 200);
    assert_int_equal(ccs_latency_percentile(&sum, FIRST, 100), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds_are_inclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(percentiles, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
