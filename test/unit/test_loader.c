/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader.h"
#include "wait.h"

/* A loader whose loads do what the test says, and count. */
struct bench {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct ccs_loader *loader;
    bool hold;     /* loads wait until it goes down */
    int64_t retry; /* what loads return, while retries > 0 */
    int retries;
    int code; /* of outcomes */
    unsigned started, finished, told, at_once, most_at_once;
    unsigned last_attempt, last_flags;
    char order[512]; /* stems as they were started */
};

static int64_t load(const struct ccs_task *task, struct ccs_loaded *out, void *arg)
{
    struct bench *b = arg;
    int64_t retry = 0;

    pthread_mutex_lock(&b->lock);
    b->started++;
    if (++b->at_once > b->most_at_once)
        b->most_at_once = b->at_once;
    b->last_attempt = task->attempt;
    b->last_flags = task->flags;
    if (strlen(b->order) + strlen(task->stem) + 2 < sizeof(b->order)) {
        strcat(b->order, task->stem);
        strcat(b->order, " ");
    }
    pthread_cond_broadcast(&b->cond);
    while (b->hold)
        pthread_cond_wait(&b->cond, &b->lock);
    if (b->retries > 0) {
        b->retries--;
        retry = b->retry;
    }
    out->code = b->code;
    b->at_once--;
    pthread_mutex_unlock(&b->lock);
    return retry;
}

static void finish_locked(const struct ccs_task *task, const struct ccs_loaded *loaded,
                          struct ccs_waiters *waiters, void *arg)
{
    struct bench *b = arg;
    struct ccs_waiter *w;

    (void)task;
    assert_int_equal(loaded->code, b->code);
    b->finished++;
    while ((w = TAILQ_FIRST(waiters)) != NULL) {
        TAILQ_REMOVE(waiters, w, link);
        assert_null(w->job);
        b->told++;
    }
    pthread_cond_broadcast(&b->cond);
}

static void finished(void *arg)
{
    struct bench *b = arg;

    /* Would hang or abort if it were called with the lock held. */
    pthread_mutex_lock(&b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void bench_start(struct bench *b, unsigned threads, size_t max_jobs, int64_t stuck_ms)
{
    pthread_condattr_t attr;
    struct ccs_loader_ops ops = {
        .load = load, .finish_locked = finish_locked, .finished = finished, .arg = b};

    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->cond, &attr);
    pthread_condattr_destroy(&attr);
    b->loader = ccs_loader_new(&b->lock, threads, max_jobs, stuck_ms, &ops);
    assert_non_null(b->loader);
}

static void bench_end(struct bench *b)
{
    assert_int_equal(ccs_loader_stop(b->loader, ccs_wait_scaled(CCS_WAIT_DEFAULT)), 1);
    ccs_loader_free(b->loader);
    pthread_cond_destroy(&b->cond);
    pthread_mutex_destroy(&b->lock);
}

static int submit(struct bench *b, const char *stem, unsigned flags, struct ccs_waiter *w)
{
    int rv;

    pthread_mutex_lock(&b->lock);
    rv = ccs_loader_submit_locked(b->loader, stem, 1 + (uint64_t)stem[0], flags, w);
    pthread_mutex_unlock(&b->lock);
    return rv;
}

/* Waits until *counter is at least n. */
static void await(struct bench *b, const unsigned *counter, unsigned n)
{
    int64_t deadline = ccs_now_ms() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    struct timespec ts = {deadline / 1000, deadline % 1000 * 1000000};
    bool reached;

    pthread_mutex_lock(&b->lock);
    while (*counter < n && ccs_now_ms() < deadline)
        pthread_cond_timedwait(&b->cond, &b->lock, &ts);
    reached = *counter >= n;
    pthread_mutex_unlock(&b->lock);
    assert_true(reached);
}

static void set_hold(struct bench *b, bool hold)
{
    pthread_mutex_lock(&b->lock);
    b->hold = hold;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

static void one_load_for_all_waiters(void **state)
{
    struct ccs_waiter waiters[50] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 2, 100, 60000);
    set_hold(&b, true);
    for (size_t i = 0; i < CCS_ARRAY_LEN(waiters); i++)
        assert_int_equal(submit(&b, "a", 0, &waiters[i]), CCS_OK);
    await(&b, &b.started, 1);
    set_hold(&b, false);
    await(&b, &b.told, CCS_ARRAY_LEN(waiters));
    assert_int_equal(b.started, 1);
    assert_int_equal(b.finished, 1);
    bench_end(&b);
}

static void as_many_threads_as_allowed(void **state)
{
    static const char *const stems[] = {"a", "b", "c", "d", "e", "f"};
    struct bench b;

    (void)state;
    bench_start(&b, 3, 100, 60000);
    set_hold(&b, true);
    for (size_t i = 0; i < CCS_ARRAY_LEN(stems); i++)
        assert_int_equal(submit(&b, stems[i], 0, NULL), CCS_OK);
    await(&b, &b.started, 3);
    set_hold(&b, false);
    await(&b, &b.finished, 6);
    assert_int_equal(b.most_at_once, 3);
    bench_end(&b);
}

static void same_hash_other_stem_is_another_job(void **state)
{
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "ab", 0, NULL), CCS_OK);
    assert_int_equal(submit(&b, "ac", 0, NULL), CCS_OK);
    set_hold(&b, false);
    await(&b, &b.finished, 2);
    bench_end(&b);
}

static void those_who_wait_come_first(void **state)
{
    struct ccs_waiter w[2] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, NULL), CCS_OK);
    await(&b, &b.started, 1);
    assert_int_equal(submit(&b, "b", CCS_JOB_BACKGROUND, NULL), CCS_OK);
    assert_int_equal(submit(&b, "c", CCS_JOB_BACKGROUND, NULL), CCS_OK);
    assert_int_equal(submit(&b, "d", 0, &w[0]), CCS_OK);
    assert_int_equal(submit(&b, "c", 0, &w[1]), CCS_OK);
    set_hold(&b, false);
    await(&b, &b.finished, 4);
    assert_string_equal(b.order, "a d c b ");
    bench_end(&b);
}

static void table_of_jobs_is_bounded(void **state)
{
    struct bench b;

    (void)state;
    bench_start(&b, 1, 2, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, NULL), CCS_OK);
    assert_int_equal(submit(&b, "b", 0, NULL), CCS_OK);
    assert_int_equal(submit(&b, "c", 0, NULL), CCS_EBUSY);
    assert_int_equal(submit(&b, "b", 0, NULL), CCS_OK);
    set_hold(&b, false);
    await(&b, &b.finished, 2);
    assert_int_equal(submit(&b, "c", 0, NULL), CCS_OK);
    await(&b, &b.finished, 3);
    bench_end(&b);
}

static void half_written_comes_again(void **state)
{
    struct ccs_waiter w = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    b.retries = 3;
    b.retry = 5;
    assert_int_equal(submit(&b, "a", CCS_JOB_REMOVED, &w), CCS_OK);
    await(&b, &b.started, 4);
    await(&b, &b.finished, 2);
    assert_int_equal(b.last_attempt, 3);
    assert_true(b.last_flags & CCS_JOB_REMOVED);
    bench_end(&b);
}

static void who_waits_is_patient_once(void **state)
{
    struct ccs_waiter w = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    b.retries = 2;
    b.retry = 5;
    b.code = CCS_EINCOMPLETE;
    assert_int_equal(submit(&b, "a", 0, &w), CCS_OK);
    await(&b, &b.told, 1);
    assert_int_equal(b.last_attempt >= 1, 1);
    await(&b, &b.finished, 2);
    assert_int_equal(b.started, 3);
    bench_end(&b);
}

static void others_pass_while_one_is_delayed(void **state)
{
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    b.retries = 1;
    b.retry = 24 * 3600 * 1000;
    assert_int_equal(submit(&b, "a", 0, NULL), CCS_OK);
    await(&b, &b.started, 1);
    assert_int_equal(submit(&b, "b", 0, NULL), CCS_OK);
    await(&b, &b.finished, 1);
    /* A change makes the delayed one due at once. */
    assert_int_equal(submit(&b, "a", CCS_JOB_CHANGED, NULL), CCS_OK);
    await(&b, &b.finished, 2);
    assert_string_equal(b.order, "a b a ");
    bench_end(&b);
}

static void changed_while_running_runs_again(void **state)
{
    struct ccs_waiter w = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, &w), CCS_OK);
    await(&b, &b.started, 1);
    assert_int_equal(submit(&b, "a", CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, NULL), CCS_OK);
    assert_int_equal(submit(&b, "a", CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, NULL), CCS_OK);
    set_hold(&b, false);
    await(&b, &b.finished, 2);
    assert_int_equal(b.started, 2);
    assert_int_equal(b.told, 1);
    bench_end(&b);
}

static void who_left_is_not_told(void **state)
{
    struct ccs_waiter w[2] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, &w[0]), CCS_OK);
    assert_int_equal(submit(&b, "a", 0, &w[1]), CCS_OK);
    pthread_mutex_lock(&b.lock);
    ccs_loader_leave_locked(&w[0]);
    ccs_loader_leave_locked(&w[0]);
    assert_int_equal(ccs_loader_has_locked(b.loader, "a", 1 + 'a'), 1);
    assert_int_equal(ccs_loader_has_locked(b.loader, "b", 1 + 'b'), 0);
    pthread_mutex_unlock(&b.lock);
    set_hold(&b, false);
    await(&b, &b.finished, 1);
    assert_int_equal(b.told, 1);
    bench_end(&b);
}

static void what_nobody_waits_for_comes_last(void **state)
{
    struct ccs_waiter w[4] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, NULL), CCS_OK);
    await(&b, &b.started, 1);
    assert_int_equal(submit(&b, "b", 0, &w[0]), CCS_OK);
    assert_int_equal(submit(&b, "c", 0, &w[1]), CCS_OK);
    assert_int_equal(submit(&b, "c", 0, &w[2]), CCS_OK);
    assert_int_equal(submit(&b, "d", 0, &w[3]), CCS_OK);
    pthread_mutex_lock(&b.lock);
    ccs_loader_leave_locked(&w[0]);
    ccs_loader_leave_locked(&w[1]);
    pthread_mutex_unlock(&b.lock);
    set_hold(&b, false);
    await(&b, &b.finished, 4);
    assert_string_equal(b.order, "a c d b ");
    bench_end(&b);
}

static int has_room(void *arg)
{
    struct bench *b = arg;
    int known;

    pthread_mutex_lock(&b->lock);
    known = ccs_loader_has_locked(b->loader, "a", 1 + 'a');
    pthread_mutex_unlock(&b->lock);
    return !known;
}

/* What cannot be begun yet is tried again for those who wait, and for nobody else. */
static void what_nobody_waits_for_is_not_tried_again(void **state)
{
    struct ccs_waiter w[2] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 1, 2, 60000);
    b.code = CCS_PENDING;
    b.retry = 1;
    b.retries = INT_MAX;
    assert_int_equal(submit(&b, "a", 0, &w[0]), CCS_OK);
    assert_int_equal(submit(&b, "b", CCS_JOB_BACKGROUND | CCS_JOB_CHANGED, NULL), CCS_OK);
    await(&b, &b.started, 10);
    assert_int_equal(submit(&b, "c", 0, &w[1]), CCS_EBUSY);
    pthread_mutex_lock(&b.lock);
    ccs_loader_leave_locked(&w[0]);
    pthread_mutex_unlock(&b.lock);
    assert_true(ccs_wait_until(has_room, &b, 0));
    /* What is in service is looked after all the same. */
    pthread_mutex_lock(&b.lock);
    assert_int_equal(ccs_loader_has_locked(b.loader, "a", 1 + 'a'), 0);
    assert_int_equal(ccs_loader_has_locked(b.loader, "b", 1 + 'b'), 1);
    b.retries = 0;
    b.code = CCS_OK;
    pthread_mutex_unlock(&b.lock);
    await(&b, &b.finished, 1);
    assert_int_equal(b.told, 0);
    bench_end(&b);
}

static void stuck_threads_are_replaced(void **state)
{
    struct bench b;
    char stem[2] = "a";

    (void)state;
    bench_start(&b, 2, 100, 0);
    set_hold(&b, true);
    for (unsigned i = 0; i < 2 + CCS_LOADER_STUCK_MAX; i++, stem[0]++) {
        int64_t now = ccs_now_ms();

        assert_int_equal(submit(&b, stem, 0, NULL), CCS_OK);
        await(&b, &b.started, i + 1);
        /* The clock must tick, or the thread has not been busy for longer than 0 ms. */
        while (ccs_now_ms() <= now + 1)
            ccs_wait_pass(1);
    }
    assert_int_equal(submit(&b, stem, 0, NULL), CCS_OK);
    ccs_wait_pass(20);
    assert_int_equal(b.at_once, 2 + CCS_LOADER_STUCK_MAX);
    set_hold(&b, false);
    await(&b, &b.finished, 3 + CCS_LOADER_STUCK_MAX);
    bench_end(&b);
}

static void stop_waits_no_longer_than_told(void **state)
{
    struct bench b;

    (void)state;
    bench_start(&b, 1, 100, 60000);
    set_hold(&b, true);
    assert_int_equal(submit(&b, "a", 0, NULL), CCS_OK);
    assert_int_equal(submit(&b, "b", 0, NULL), CCS_OK);
    await(&b, &b.started, 1);
    assert_int_equal(ccs_loader_stop(b.loader, 20), 0);
    assert_int_equal(submit(&b, "c", 0, NULL), CCS_ECLOSED);
    set_hold(&b, false);
    bench_end(&b);
    assert_int_equal(b.finished, 0);
    assert_int_equal(b.started, 1);
}

/* A thread that is on its way to one job is no thread for the next one. */
static void two_jobs_at_once_get_two_threads(void **state)
{
    struct ccs_waiter waiters[3] = {0};
    struct bench b;

    (void)state;
    bench_start(&b, 2, 8, 60000);
    assert_int_equal(submit(&b, "first", 0, &waiters[0]), CCS_OK);
    await(&b, &b.told, 1);
    for (unsigned i = 0; i < 50; i++) {
        pthread_mutex_lock(&b.lock);
        b.hold = true;
        assert_int_equal(ccs_loader_submit_locked(b.loader, "x", 1, 0, &waiters[1]), CCS_OK);
        assert_int_equal(ccs_loader_submit_locked(b.loader, "y", 2, 0, &waiters[2]), CCS_OK);
        pthread_mutex_unlock(&b.lock);
        await(&b, &b.at_once, 2);
        set_hold(&b, false);
        await(&b, &b.told, 3 + 2 * i);
    }
    bench_end(&b);
}

static void unused_loader_has_no_threads(void **state)
{
    struct bench b;

    (void)state;
    bench_start(&b, 2, 100, 60000);
    assert_int_equal(ccs_loader_stop(b.loader, 0), 1);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_load_for_all_waiters),
        cmocka_unit_test(as_many_threads_as_allowed),
        cmocka_unit_test(same_hash_other_stem_is_another_job),
        cmocka_unit_test(those_who_wait_come_first),
        cmocka_unit_test(table_of_jobs_is_bounded),
        cmocka_unit_test(half_written_comes_again),
        cmocka_unit_test(who_waits_is_patient_once),
        cmocka_unit_test(others_pass_while_one_is_delayed),
        cmocka_unit_test(changed_while_running_runs_again),
        cmocka_unit_test(who_left_is_not_told),
        cmocka_unit_test(what_nobody_waits_for_comes_last),
        cmocka_unit_test(what_nobody_waits_for_is_not_tried_again),
        cmocka_unit_test(stuck_threads_are_replaced),
        cmocka_unit_test(stop_waits_no_longer_than_told),
        cmocka_unit_test(two_jobs_at_once_get_two_threads),
        cmocka_unit_test(unused_loader_has_no_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
