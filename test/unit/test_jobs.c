/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs.h"

#define MAX 8

static int set_up(void **state)
{
    struct ccs_jobs *jobs = malloc(sizeof(*jobs));

    if (jobs == NULL)
        return -1;
    ccs_jobs_init(jobs, MAX);
    *state = jobs;
    return 0;
}

static int tear_down(void **state)
{
    ccs_jobs_clear(*state);
    free(*state);
    return 0;
}

static struct ccs_job *add(struct ccs_jobs *jobs, const char *stem, bool background)
{
    struct ccs_job *job = ccs_jobs_add(jobs, stem, (uint64_t)stem[0], background);

    assert_non_null(job);
    assert_int_equal(job->state, CCS_JOB_QUEUED);
    return job;
}

/* The next job is that one, and runs now. */
static void takes(struct ccs_jobs *jobs, struct ccs_job *job)
{
    size_t queued = jobs->queued;

    assert_ptr_equal(ccs_jobs_take(jobs), job);
    assert_int_equal(job->state, CCS_JOB_RUNNING);
    assert_int_equal(jobs->queued, queued - 1);
}

static void one_job_per_stem(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", false);
    struct ccs_job *same_hash = ccs_jobs_add(jobs, "b", 'a', false);
    struct ccs_job *same_bucket = ccs_jobs_add(jobs, "a", 'a' + CCS_JOBS_BUCKETS, false);

    assert_ptr_equal(ccs_jobs_find(jobs, "a", 'a'), a);
    assert_ptr_equal(ccs_jobs_find(jobs, "b", 'a'), same_hash);
    assert_ptr_equal(ccs_jobs_find(jobs, "a", 'a' + CCS_JOBS_BUCKETS), same_bucket);
    assert_null(ccs_jobs_find(jobs, "c", 'a'));
    assert_null(ccs_jobs_find(jobs, "b", 'b'));
    /* In every state it is the stem's job, until it is dropped. */
    takes(jobs, a);
    assert_ptr_equal(ccs_jobs_find(jobs, "a", 'a'), a);
    ccs_jobs_delay(a, 5);
    assert_ptr_equal(ccs_jobs_find(jobs, "a", 'a'), a);
    takes(jobs, same_hash);
    ccs_jobs_drop(same_hash);
    assert_null(ccs_jobs_find(jobs, "b", 'a'));
    assert_ptr_equal(ccs_jobs_find(jobs, "a", 'a'), a);
    assert_int_equal(jobs->count, 2);
}

static void long_stems_fit(void **state)
{
    struct ccs_jobs *jobs = *state;
    char stem[CCS_STEM_SIZE + 100];
    struct ccs_job *job;

    memset(stem, 'x', sizeof(stem) - 1);
    stem[sizeof(stem) - 1] = '\0';
    job = add(jobs, stem, false);
    assert_int_equal(strlen(job->task.stem), CCS_STEM_SIZE - 1);
    stem[CCS_STEM_SIZE - 1] = '\0';
    assert_ptr_equal(ccs_jobs_find(jobs, stem, 'x'), job);
}

static void those_waited_for_come_first(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", true);
    struct ccs_job *b = add(jobs, "b", false);
    struct ccs_job *c = add(jobs, "c", true);
    struct ccs_job *d = add(jobs, "d", false);

    assert_int_equal(jobs->queued, 4);
    takes(jobs, b);
    takes(jobs, d);
    takes(jobs, a);
    ccs_jobs_requeue(a);
    takes(jobs, c);
    takes(jobs, a);
    assert_null(ccs_jobs_take(jobs));
    assert_int_equal(jobs->queued, 0);
    ccs_jobs_requeue(b);
}

static void ranks_go_up_and_down(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", true);
    struct ccs_job *b = add(jobs, "b", false);
    struct ccs_job *c = add(jobs, "c", false);

    /* Up, behind those that were there. */
    ccs_jobs_rank(a, false);
    /* The same once more changes nothing. */
    ccs_jobs_rank(b, false);
    assert_int_equal(jobs->queued, 3);
    /* Down, behind all that somebody waits for. */
    ccs_jobs_rank(b, true);
    assert_int_equal(jobs->queued, 3);
    takes(jobs, c);
    takes(jobs, a);
    takes(jobs, b);
    /* One that runs or is delayed is in the queue of its rank once it is queued. */
    ccs_jobs_rank(b, false);
    ccs_jobs_delay(a, 6);
    ccs_jobs_rank(a, true);
    assert_int_equal(jobs->queued, 0);
    assert_int_equal(ccs_jobs_wake(jobs, 6), INT64_MAX);
    ccs_jobs_requeue(b);
    takes(jobs, b);
    takes(jobs, a);
}

static void delayed_ones_wake_in_time(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", false);
    struct ccs_job *b = add(jobs, "b", false);
    struct ccs_job *c = add(jobs, "c", false);

    assert_int_equal(ccs_jobs_wake(jobs, 1000), INT64_MAX);
    takes(jobs, a);
    takes(jobs, b);
    takes(jobs, c);
    ccs_jobs_delay(a, 300);
    ccs_jobs_delay(b, 100);
    ccs_jobs_delay(c, 200);
    assert_int_equal(ccs_jobs_wake(jobs, 99), 100);
    assert_null(ccs_jobs_take(jobs));
    assert_int_equal(ccs_jobs_wake(jobs, 100), 200);
    assert_int_equal(jobs->queued, 1);
    takes(jobs, b);
    assert_null(ccs_jobs_take(jobs));
    assert_int_equal(ccs_jobs_wake(jobs, 1000), INT64_MAX);
    /* Those that wake together keep the order in which they were put off. */
    takes(jobs, a);
    takes(jobs, c);
}

static void hurries_where_it_has_to(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", true);

    /* What reads the file later anyway need not read it twice. */
    ccs_jobs_hurry(a, CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, 2);
    assert_false(a->again);
    assert_true(a->background);
    takes(jobs, a);
    ccs_jobs_hurry(a, 0, 4);
    assert_false(a->again);
    assert_false(a->background);
    ccs_jobs_hurry(a, CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, 5);
    assert_true(a->again);
    assert_false(a->background);
    ccs_jobs_requeue(a);
    takes(jobs, a);
    assert_false(a->again);
    /* A delayed one need not wait any longer for what has changed, but must for all else. */
    ccs_jobs_delay(a, 500);
    ccs_jobs_hurry(a, 0, 8);
    assert_int_equal(ccs_jobs_wake(jobs, 8), 500);
    ccs_jobs_hurry(a, CCS_JOB_CHANGED, 9);
    assert_int_equal(ccs_jobs_wake(jobs, 8), 9);
    assert_int_equal(ccs_jobs_wake(jobs, 9), INT64_MAX);
    takes(jobs, a);
}

static void last_waiter_to_leave_ranks_it_down(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", false);
    struct ccs_job *b = add(jobs, "b", false);
    struct ccs_waiter first, second, third;

    ccs_jobs_join(a, &first);
    ccs_jobs_join(a, &second);
    ccs_jobs_join(b, &third);
    assert_ptr_equal(first.job, a);
    ccs_jobs_leave(&first);
    assert_null(first.job);
    assert_ptr_equal(second.job, a);
    assert_false(a->background);
    ccs_jobs_leave(&second);
    assert_true(a->background);
    ccs_jobs_leave(&second);
    takes(jobs, b);
    takes(jobs, a);
    ccs_jobs_leave(&third);
    assert_true(TAILQ_EMPTY(&a->waiters));
    assert_true(TAILQ_EMPTY(&b->waiters));
}

static void no_more_than_the_limit(void **state)
{
    struct ccs_jobs *jobs = *state;
    char stem[2] = "a";

    for (unsigned i = 0; i < MAX; i++, stem[0]++) {
        assert_false(ccs_jobs_is_full(jobs));
        add(jobs, stem, i % 2 == 0);
    }
    assert_true(ccs_jobs_is_full(jobs));
    assert_null(ccs_jobs_add(jobs, stem, (uint64_t)stem[0], false));
    assert_null(ccs_jobs_find(jobs, stem, (uint64_t)stem[0]));
    assert_int_equal(jobs->queued, MAX);
    /* Those that run or are delayed count as well. */
    ccs_jobs_delay(ccs_jobs_take(jobs), 100);
    assert_true(ccs_jobs_is_full(jobs));
    ccs_jobs_drop(ccs_jobs_take(jobs));
    assert_false(ccs_jobs_is_full(jobs));
    add(jobs, stem, false);
    assert_true(ccs_jobs_is_full(jobs));
}

static void clearing_frees_all_of_them(void **state)
{
    struct ccs_jobs *jobs = *state;
    struct ccs_job *a = add(jobs, "a", false);
    struct ccs_job *b = add(jobs, "b", false);

    takes(jobs, a);
    takes(jobs, b);
    ccs_jobs_delay(b, 100);
    add(jobs, "c", false);
    add(jobs, "d", true);
    assert_int_equal(jobs->count, 4);
    ccs_jobs_clear(jobs);
    assert_int_equal(jobs->count, 0);
    assert_int_equal(jobs->queued, 0);
    assert_null(ccs_jobs_find(jobs, "a", 'a'));
    assert_null(ccs_jobs_take(jobs));
    assert_int_equal(ccs_jobs_wake(jobs, 1000), INT64_MAX);
    /* They can be used again, with the same limit. */
    for (char stem[2] = "a"; stem[0] < 'a' + MAX; stem[0]++)
        add(jobs, stem, false);
    assert_true(ccs_jobs_is_full(jobs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_job_per_stem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_stems_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_waited_for_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ranks_go_up_and_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(delayed_ones_wake_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hurries_where_it_has_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(last_waiter_to_leave_ranks_it_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_than_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clearing_frees_all_of_them, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
