/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "companion.h"
#include "loader.h"
#include "wait.h"

/* -- a loader whose jobs do what the first letter of their stem says ----------------------- */

struct rig {
    pthread_mutex_t lock;
    struct ccs_loader *loader;
    atomic_bool hold; /* jobs of letter b go on until it goes down */
    unsigned retries; /* jobs to be put off */
    unsigned at_once, most_at_once, started, finished, quick, burns;
    unsigned lowered; /* jobs whose own thread was at another priority than it should */
    int policy, nice; /* that the last quick job has seen where it worked */
};

static int64_t cpu_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct work {
    struct rig *rig;
    char letter;
};

/* What takes long. */
static int work(void *arg)
{
    const struct work *w = arg;
    struct rig *rig = w->rig;
    const int64_t began = cpu_ms();

    switch (w->letter) {
    case 'b': /* burns, until told */
        while (atomic_load(&rig->hold)) {
        }
        break;
    case 'c': /* computes a little */
        while (cpu_ms() - began < 2) {
        }
        break;
    case 's': /* sleeps */
        ccs_wait_pass(300);
        break;
    case 'q': /* quickly looks where it is */
        pthread_mutex_lock(&rig->lock);
        rig->policy = sched_getscheduler(0);
        rig->nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
        pthread_mutex_unlock(&rig->lock);
        break;
    default:
        break;
    }
    return w->letter;
}

static int64_t load(const struct ccs_task *task, struct ccs_loaded *out, void *arg)
{
    struct rig *rig = arg;
    struct work w = {rig, task->stem[0]};
    const int policy = sched_getscheduler(0);
    int64_t retry = 0;

    pthread_mutex_lock(&rig->lock);
    rig->started++;
    rig->burns += w.letter == 'b';
    if (++rig->at_once > rig->most_at_once)
        rig->most_at_once = rig->at_once;
    rig->lowered += policy != SCHED_OTHER;
    pthread_mutex_unlock(&rig->lock);
    assert_int_equal(ccs_companion_call(work, &w), w.letter);
    pthread_mutex_lock(&rig->lock);
    rig->at_once--;
    if (rig->retries > 0) {
        rig->retries--;
        retry = 3;
    }
    rig->quick += w.letter == 'q';
    pthread_mutex_unlock(&rig->lock);
    out->code = CCS_ENOTFOUND;
    return retry;
}

static void finish_locked(const struct ccs_task *task, const struct ccs_loaded *loaded,
                          struct ccs_waiters *waiters, void *arg)
{
    struct rig *rig = arg;

    (void)task;
    (void)loaded;
    assert_true(TAILQ_EMPTY(waiters));
    rig->finished++;
}

static void finished(void *arg)
{
    (void)arg;
}

static void rig_start(struct rig *rig, unsigned threads, int64_t starved_ms, int64_t pressed_ms)
{
    const struct ccs_priority_times times = {starved_ms, pressed_ms, pressed_ms * 2};
    const struct ccs_loader_ops ops = {
        .load = load, .finish_locked = finish_locked, .finished = finished, .arg = rig};

    memset(rig, 0, sizeof(*rig));
    pthread_mutex_init(&rig->lock, NULL);
    atomic_store(&rig->hold, true);
    rig->loader = ccs_loader_new(&rig->lock, threads, 2000, 3600 * 1000, &ops);
    assert_non_null(rig->loader);
    ccs_loader_set_times(rig->loader, &times);
}

static void rig_end(struct rig *rig)
{
    atomic_store(&rig->hold, false);
    assert_int_equal(ccs_loader_stop(rig->loader, ccs_wait_scaled(CCS_WAIT_DEFAULT)), 1);
    assert_int_equal(rig->lowered, 0);
    ccs_loader_free(rig->loader);
    pthread_mutex_destroy(&rig->lock);
}

static void submit(struct rig *rig, const char *stem)
{
    uint64_t hash = 5381;

    for (const char *p = stem; *p != '\0'; p++)
        hash = hash * 33 + (unsigned char)*p;
    pthread_mutex_lock(&rig->lock);
    assert_int_equal(ccs_loader_submit_locked(rig->loader, stem, hash, 0, NULL), CCS_OK);
    pthread_mutex_unlock(&rig->lock);
}

static unsigned counter(struct rig *rig, const unsigned *n)
{
    unsigned value;

    pthread_mutex_lock(&rig->lock);
    value = *n;
    pthread_mutex_unlock(&rig->lock);
    return value;
}

struct goal {
    struct rig *rig;
    const unsigned *n;
    unsigned least;
    bool tend;
};

static int is_reached(void *arg)
{
    const struct goal *goal = arg;

    if (goal->tend)
        (void)ccs_loader_tend(goal->rig->loader);
    return counter(goal->rig, goal->n) >= goal->least;
}

static void await(struct rig *rig, const unsigned *n, unsigned least, bool tend)
{
    struct goal goal = {rig, n, least, tend};

    assert_true(ccs_wait_until(is_reached, &goal, 0));
}

/* What a quick job sees that is submitted now; there are no others. */
static int policy_now(struct rig *rig)
{
    unsigned before = counter(rig, &rig->finished);
    int policy;

    submit(rig, "q");
    await(rig, &rig->finished, before + 1, true);
    pthread_mutex_lock(&rig->lock);
    policy = rig->policy;
    assert_int_equal(rig->nice, CCS_LOADER_NICE);
    pthread_mutex_unlock(&rig->lock);
    return policy;
}

static int sees_idle(void *arg)
{
    return policy_now(arg) == SCHED_IDLE;
}

/* -- a machine without time to spare ------------------------------------------------------- */

static atomic_bool spinning;
static pthread_t spinner;
static cpu_set_t usual_cpus;

static void *spin(void *arg)
{
    while (atomic_load(&spinning)) {
    }
    return arg;
}

/* The process has one processor, and another thread of it wants that, too. */
static void machine_fill(void)
{
    cpu_set_t one;
    size_t cpu = 0;

    assert_int_equal(sched_getaffinity(0, sizeof(usual_cpus), &usual_cpus), 0);
    while (!CPU_ISSET(cpu, &usual_cpus))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    atomic_store(&spinning, true);
    assert_int_equal(pthread_create(&spinner, NULL, spin, NULL), 0);
}

static void machine_relieve(void)
{
    if (!atomic_exchange(&spinning, false))
        return;
    pthread_join(spinner, NULL);
    assert_int_equal(sched_setaffinity(0, sizeof(usual_cpus), &usual_cpus), 0);
}

static int teardown(void **state)
{
    (void)state;
    machine_relieve();
    return 0;
}

/* Without these there is nothing to look at. */
static void need_schedstat(void)
{
    unsigned long long ran, waited, turns = 0;
    FILE *f = fopen("/proc/thread-self/schedstat", "r");

    if (f != NULL) {
        if (fscanf(f, "%llu %llu %llu", &ran, &waited, &turns) != 3)
            turns = 0;
        fclose(f);
    }
    if (turns == 0 || sched_getscheduler(0) != SCHED_OTHER) {
        print_message("no /proc/thread-self/schedstat, or not at SCHED_OTHER\n");
        skip();
    }
}

/* -- of a pool that no thread is needed for ------------------------------------------------ */

static void pressed_for_longer_each_time(void **state)
{
    struct ccs_priority p;

    (void)state;
    ccs_priority_init(&p);
    p.times = (struct ccs_priority_times){.pressed_ms = 10, .pressed_max_ms = 35};
    assert_false(ccs_priority_is_pressed(&p, 1000));
    ccs_priority_press(&p, 1000);
    assert_true(ccs_priority_is_pressed(&p, 1009));
    /* What starves while it is known already tells nothing. */
    ccs_priority_press(&p, 1009);
    assert_false(ccs_priority_is_pressed(&p, 1010));
    ccs_priority_press(&p, 1020);
    assert_true(ccs_priority_is_pressed(&p, 1039));
    assert_false(ccs_priority_is_pressed(&p, 1040));
    ccs_priority_press(&p, 1040);
    assert_true(ccs_priority_is_pressed(&p, 1074));
    assert_false(ccs_priority_is_pressed(&p, 1075));
    ccs_priority_press(&p, 1075);
    assert_true(ccs_priority_is_pressed(&p, 1109));
    assert_false(ccs_priority_is_pressed(&p, 1110));
    ccs_priority_press(&p, 1145);
    assert_false(ccs_priority_is_pressed(&p, 1155));
}

/* As with a kernel that does not tell how long a thread waits. */
static void what_cannot_be_watched_is_not_used(void **state)
{
    struct ccs_thread_priority t = {.tid = INT32_MAX};
    struct ccs_priority p;

    (void)state;
    ccs_priority_init(&p);
    p.fixed = false;
    assert_true(ccs_priority_may_lower(&p, 1000));
    assert_false(ccs_priority_watch(&p, &t, 1000));
    assert_false(t.low);
    assert_true(ccs_priority_is_pressed(&p, 1000));
    assert_false(ccs_priority_may_lower(&p, 1000));
}

static void too_long_a_wait_in_one_job_presses(void **state)
{
    static const struct {
        bool low;
        uint64_t waited;
        bool pressed;
    } jobs[] = {
        {true, 5090000000, false},
        {true, 5110000000, true},
        {true, UINT64_MAX, true}, /* it cannot be told any more how long */
        {false, 9000000000, false},
    };
    struct ccs_priority p;

    (void)state;
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        struct ccs_thread_priority t = {.low = jobs[i].low, .waited = 5000000000};

        ccs_priority_init(&p);
        ccs_priority_judge(&p, &t, jobs[i].waited, 1000);
        assert_int_equal(ccs_priority_is_pressed(&p, 1000), jobs[i].pressed);
        assert_false(t.low);
    }
}

static void *among_the_lowest(void *arg)
{
    struct ccs_priority p;

    ccs_priority_lower();
    if (sched_getscheduler(0) != SCHED_IDLE)
        return arg;
    ccs_priority_init(&p);
    return ccs_priority_may_lower(&p, 1000) || ccs_priority_is_pressed(&p, 1000) ? NULL : arg;
}

static void process_at_the_lowest_has_no_choice(void **state)
{
    pthread_t thread;
    void *ok = NULL;

    assert_int_equal(pthread_create(&thread, NULL, among_the_lowest, state), 0);
    pthread_join(thread, &ok);
    assert_non_null(ok);
}

/* -- threads ------------------------------------------------------------------------------- */

static void loaders_give_way(void **state)
{
    struct rig rig;

    (void)state;
    need_schedstat();
    /* No machine is so busy that this pool becomes pressed. */
    rig_start(&rig, 2, 3600 * 1000, 1000);
    assert_int_equal(policy_now(&rig), SCHED_IDLE);
    assert_int_equal(policy_now(&rig), SCHED_IDLE);
    rig_end(&rig);
}

static void who_starves_gets_more_for_a_while(void **state)
{
    double end = ccs_wait_clock() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    struct rig rig;
    int policy;

    (void)state;
    need_schedstat();
    rig_start(&rig, 1, 100, 1500);
    machine_fill();
    do {
        unsigned before = counter(&rig, &rig.finished);

        assert_true(ccs_wait_clock() < end);
        submit(&rig, "c");
        await(&rig, &rig.finished, before + 1, false);
        policy = policy_now(&rig);
    } while (policy == SCHED_IDLE);
    assert_int_equal(policy, SCHED_OTHER);
    machine_relieve();
    assert_true(ccs_wait_until(sees_idle, &rig, 0));
    rig_end(&rig);
}

static void replaced_in_mid_job(bool tend)
{
    double end = ccs_wait_clock() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    struct rig rig;
    char stem[16];

    need_schedstat();
    rig_start(&rig, 1, 100, 3600 * 1000);
    machine_fill();
    submit(&rig, "b");
    await(&rig, &rig.started, 1, false);
    submit(&rig, "q");
    for (unsigned i = 0; !tend && counter(&rig, &rig.quick) == 0; i++) {
        assert_true(ccs_wait_clock() < end);
        snprintf(stem, sizeof(stem), "q%u", i % 1000);
        submit(&rig, stem);
        ccs_wait_pass(20);
    }
    await(&rig, &rig.quick, 1, tend);
    pthread_mutex_lock(&rig.lock);
    assert_int_equal(rig.at_once >= 1, 1);
    assert_int_equal(rig.policy, SCHED_OTHER);
    assert_int_equal(rig.nice, CCS_LOADER_NICE);
    assert_in_range(rig.most_at_once, 2, 3);
    rig.retries = 1;
    pthread_mutex_unlock(&rig.lock);
    machine_relieve();
    /* What it puts off, before it ends, is for the one that took its place. */
    atomic_store(&rig.hold, false);
    await(&rig, &rig.burns, 2, false);
    rig_end(&rig);
}

static void submit_replaces_who_starves(void **state)
{
    (void)state;
    replaced_in_mid_job(false);
}

static void tending_replaces_who_starves(void **state)
{
    (void)state;
    replaced_in_mid_job(true);
}

/* Whether a job that only sleeps keeps its pool as it is; false may be the machine's fault. */
static bool sleeps_in_peace(void)
{
    struct rig rig;
    bool alone, idle;

    rig_start(&rig, 1, 100, 3600 * 1000);
    submit(&rig, "s");
    await(&rig, &rig.started, 1, false);
    submit(&rig, "n");
    await(&rig, &rig.finished, 2, true);
    alone = counter(&rig, &rig.most_at_once) == 1;
    idle = policy_now(&rig) == SCHED_IDLE;
    rig_end(&rig);
    return alone && idle;
}

static int was_peaceful(void *arg)
{
    (void)arg;
    return sleeps_in_peace();
}

static void who_waits_for_the_store_does_not_starve(void **state)
{
    (void)state;
    need_schedstat();
    assert_true(ccs_wait_until(was_peaceful, NULL, 0));
}

/* -- a companion --------------------------------------------------------------------------- */

static atomic_uint yields;

/* In the C library's place. */
int sched_yield(void)
{
    atomic_fetch_add(&yields, 1);
    return (int)syscall(SYS_sched_yield);
}

struct seen {
    pthread_t thread;
    int policy;
};

static int look_around(void *arg)
{
    struct seen *seen = arg;

    ccs_companion_yield();
    seen->thread = pthread_self();
    seen->policy = sched_getscheduler(0);
    return 42;
}

static int run_out_of_memory(void *arg)
{
    (void)arg;
    ERR_raise(ERR_LIB_EVP, ERR_R_MALLOC_FAILURE);
    ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
    return -1;
}

static int fail_otherwise(void *arg)
{
    (void)arg;
    ERR_raise(ERR_LIB_EVP, ERR_R_INTERNAL_ERROR);
    return -2;
}

static void companion_works_in_its_own_thread(void **state)
{
    struct ccs_thread_priority priority = {0};
    struct ccs_companion *c;
    struct seen seen;

    (void)state;
    atomic_store(&yields, 0);
    assert_int_equal(ccs_companion_call(look_around, &seen), 42);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    c = ccs_companion_start(&priority);
    assert_non_null(c);
    assert_int_not_equal(priority.tid, 0);
    assert_int_not_equal(priority.tid, (pid_t)syscall(SYS_gettid));
    ccs_companion_yield();
    assert_int_equal(atomic_load(&yields), 0);
    ccs_companion_use(c);
    ccs_companion_yield();
    assert_int_equal(atomic_load(&yields), 1);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ccs_companion_call(look_around, &seen), 42);
        assert_false(pthread_equal(seen.thread, pthread_self()));
        assert_int_equal(seen.policy, SCHED_IDLE);
    }
    ccs_companion_use(NULL);
    assert_int_equal(ccs_companion_call(look_around, &seen), 42);
    assert_true(pthread_equal(seen.thread, pthread_self()));
    ccs_companion_yield();
    /* It did itself, each time. */
    assert_int_equal(atomic_load(&yields), 1 + 1000);
    ccs_companion_end(c);
    ccs_companion_end(NULL);
}

static void companion_tells_of_a_lack_of_memory(void **state)
{
    struct ccs_thread_priority priority;
    struct ccs_companion *c = ccs_companion_start(&priority);

    (void)state;
    assert_non_null(c);
    ccs_companion_use(c);
    ERR_clear_error();
    assert_int_equal(ccs_companion_call(fail_otherwise, NULL), -2);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(ccs_companion_call(run_out_of_memory, NULL), -1);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), ERR_R_MALLOC_FAILURE);
    assert_int_equal(ERR_peek_error(), 0);
    /* It is not told twice. */
    assert_int_equal(ccs_companion_call(fail_otherwise, NULL), -2);
    assert_int_equal(ERR_peek_error(), 0);
    ccs_companion_use(NULL);
    ccs_companion_end(c);
}

/* However often the pool is pressed each job gets its thread, also those that are put off. */
static void no_job_is_forgotten(void **state)
{
    struct rig rig;

    (void)state;
    need_schedstat();
    for (unsigned round = 0; round < 12; round++) {
        char stem[16];

        rig_start(&rig, 1 + round % 3, 0, 1 + round % 5);
        rig.retries = 20;
        for (unsigned i = 0; i < 30; i++) {
            snprintf(stem, sizeof(stem), "%c%u", i % 10 == 0 ? 'c' : 'n', i);
            submit(&rig, stem);
            if (i % 5 == 0)
                ccs_wait_pass(1);
        }
        /* Jobs that are put off twice tell in between. */
        if (round % 4 != 3)
            await(&rig, &rig.started, 50, round % 2 == 0);
        rig_end(&rig);
    }
}

static void stop_while_pressed(void **state)
{
    struct rig rig;

    (void)state;
    need_schedstat();
    machine_fill();
    for (unsigned round = 0; round < 3; round++) {
        rig_start(&rig, 2, 20, 3600 * 1000);
        submit(&rig, "b");
        await(&rig, &rig.started, 1, false);
        submit(&rig, "q");
        await(&rig, &rig.quick, round > 0, true);
        rig_end(&rig);
    }
    machine_relieve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pressed_for_longer_each_time),
        cmocka_unit_test(too_long_a_wait_in_one_job_presses),
        cmocka_unit_test(what_cannot_be_watched_is_not_used),
        cmocka_unit_test(process_at_the_lowest_has_no_choice),
        cmocka_unit_test(companion_works_in_its_own_thread),
        cmocka_unit_test(companion_tells_of_a_lack_of_memory),
        cmocka_unit_test(loaders_give_way),
        cmocka_unit_test_teardown(who_starves_gets_more_for_a_while, teardown),
        cmocka_unit_test_teardown(submit_replaces_who_starves, teardown),
        cmocka_unit_test_teardown(tending_replaces_who_starves, teardown),
        cmocka_unit_test(who_waits_for_the_store_does_not_starve),
        cmocka_unit_test(no_job_is_forgotten),
        cmocka_unit_test_teardown(stop_while_pressed, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
