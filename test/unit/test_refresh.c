/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_store.h"
#include "refresh.h"
#include "tmp.h"
#include "wait.h"

#define CACHED_MAX 64
#define DEADLINE   30000
#define INDEX_SIZE ((size_t)1 << 20)

/* An instance that only writes down what it is told. */
struct fixture {
    struct fake_store *fake;
    struct ccs_store *store;
    void *memory; /* of the index */
    struct ccs_index index;
    struct ccs_log *log;
    struct ccs_refresh *refresh;
    struct ccs_refresh_times times;

    pthread_mutex_t lock;
    char calls[65536]; /* "changed:stem ", "removed:stem ", "forget ", "up ", "down ", "expired " */
    char lines[65536];
    struct ccs_cached_file cached[CACHED_MAX];
    size_t cached_count;
    size_t failures;
    int in_ops; /* more than one thread at a time would show */
    int overlaps;
    int64_t next_timer;
    unsigned timer_runs;
    unsigned failures_asked;
    uint64_t token; /* of the lease */
};

static void enter(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    if (f->in_ops++ != 0)
        f->overlaps++;
    pthread_mutex_unlock(&f->lock);
}

static void leave(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    f->in_ops--;
    pthread_mutex_unlock(&f->lock);
}

static void note(struct fixture *f, const char *what, const char *stem)
{
    size_t len;

    enter(f);
    pthread_mutex_lock(&f->lock);
    len = strlen(f->calls);
    snprintf(f->calls + len, sizeof(f->calls) - len, "%s%s%s ", what, stem != NULL ? ":" : "",
             stem != NULL ? stem : "");
    pthread_mutex_unlock(&f->lock);
    leave(f);
}

static void on_changed(const char *stem, void *arg)
{
    note(arg, "changed", stem);
}

static void on_removed(const char *stem, void *arg)
{
    struct fixture *f = arg;
    size_t kept = 0;

    note(f, "removed", stem);
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->cached_count; i++)
        if (strcmp(f->cached[i].stem, stem) != 0)
            f->cached[kept++] = f->cached[i];
    f->cached_count = kept;
    pthread_mutex_unlock(&f->lock);
}

static void on_forget(void *arg)
{
    struct fixture *f = arg;

    note(f, "forget", NULL);
    pthread_mutex_lock(&f->lock);
    f->failures = 0;
    pthread_mutex_unlock(&f->lock);
}

static size_t on_failures(void *arg)
{
    struct fixture *f = arg;
    size_t n;

    enter(f);
    pthread_mutex_lock(&f->lock);
    n = f->failures;
    f->failures_asked++;
    pthread_mutex_unlock(&f->lock);
    leave(f);
    return n;
}

static size_t on_cached(struct ccs_cached_file **out, void *arg)
{
    struct fixture *f = arg;
    size_t n;

    enter(f);
    pthread_mutex_lock(&f->lock);
    n = f->cached_count;
    *out = NULL;
    if (n > 0) {
        *out = calloc(n, sizeof(**out));
        if (*out != NULL)
            memcpy(*out, f->cached, n * sizeof(**out));
    }
    pthread_mutex_unlock(&f->lock);
    leave(f);
    return n;
}

static void on_state(int up, const struct ccs_error *why, void *arg)
{
    note(arg, up ? "up" : "down", up || why == NULL ? NULL : why->text);
}

static void on_expired(void *arg)
{
    note(arg, "expired", NULL);
}

static int64_t on_timers(int64_t now_ms, void *arg)
{
    struct fixture *f = arg;
    int64_t next;

    enter(f);
    pthread_mutex_lock(&f->lock);
    f->timer_runs++;
    if (f->next_timer <= now_ms)
        f->next_timer = INT64_MAX;
    next = f->next_timer;
    pthread_mutex_unlock(&f->lock);
    leave(f);
    return next;
}

static void on_line(enum ccs_level level, const char *line, void *arg)
{
    struct fixture *f = arg;
    size_t len;

    (void)level;
    pthread_mutex_lock(&f->lock);
    len = strlen(f->lines);
    snprintf(f->lines + len, sizeof(f->lines) - len, "%s\n", line);
    pthread_mutex_unlock(&f->lock);
}

static int setup(void **state)
{
    static const struct ccs_siphash_key key = {1, 2};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    pthread_mutex_init(&f->lock, NULL);
    f->fake = fake_store_new();
    fake_store_set_auto_events(f->fake, 1);
    f->store = fake_store_base(f->fake);
    f->memory = aligned_alloc(64, INDEX_SIZE);
    assert_int_equal(ccs_index_format(f->memory, INDEX_SIZE, NULL), CCS_OK);
    assert_int_equal(ccs_index_attach(&f->index, f->memory, INDEX_SIZE, 1, &key, NULL), CCS_OK);
    f->log = ccs_log_new(CCS_LOG_DEBUG, on_line, f, 0, NULL, NULL);
    assert_non_null(f->log);
    f->next_timer = INT64_MAX;
    f->token = 1;
    f->times = (struct ccs_refresh_times){.refresh = 3600000,
                                          .stale = 3600000,
                                          .tick = 20,
                                          .apart = 100,
                                          .down_max = 60,
                                          .hang = 60000,
                                          .hang_list = 60000,
                                          .list_rest = 0};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fake_store_unblock(f->fake);
    assert_int_equal(ccs_refresh_stop(f->refresh, 30000), 1);
    assert_int_equal(f->overlaps, 0);
    ccs_log_free(f->log);
    free(f->memory);
    fake_store_free(f->fake);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static uint64_t on_token(void *arg)
{
    struct fixture *f = arg;
    uint64_t token;

    enter(f);
    pthread_mutex_lock(&f->lock);
    token = f->token;
    pthread_mutex_unlock(&f->lock);
    leave(f);
    return token;
}

static void start(struct fixture *f)
{
    const struct ccs_refresh_ops ops = {.token = on_token,
                                        .changed = on_changed,
                                        .removed = on_removed,
                                        .forget_failures = on_forget,
                                        .failures = on_failures,
                                        .cached = on_cached,
                                        .store_state = on_state,
                                        .expired = on_expired,
                                        .timers = on_timers,
                                        .arg = f};

    assert_int_equal(
        ccs_refresh_start_timed(f->store, &f->index, f->log, &f->times, &ops, &f->refresh, NULL),
        CCS_OK);
}

static unsigned failures_asked(struct fixture *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->failures_asked;
    pthread_mutex_unlock(&f->lock);
    return n;
}

struct ticks {
    struct fixture *f;
    unsigned n;
};

static int has_ticked(void *arg)
{
    const struct ticks *t = arg;

    return failures_asked(t->f) >= t->n;
}

/* Waits until so many further rounds of the looker have come to their end. */
static void wait_ticks(struct fixture *f, unsigned n)
{
    struct ticks t = {f, failures_asked(f) + n};

    assert_int_equal(ccs_wait_until(has_ticked, &t, DEADLINE), 1);
}

static void wait_listed(struct fixture *f)
{
    assert_int_equal(ccs_index_wait(&f->index, ccs_wait_scaled(DEADLINE)), CCS_INDEX_READY);
}

static enum ccs_index_answer look_up(struct fixture *f, const char *stem)
{
    return ccs_index_lookup(&f->index, ccs_index_hash(&f->index, stem, strlen(stem)), NULL);
}

static int find_odd(struct fixture *f, const char *stem, char *out)
{
    return ccs_index_spelling(&f->index, ccs_index_hash(&f->index, stem, strlen(stem)),
                              CCS_FILE_RSA, out, NULL);
}

/* All that it does at the start is done when this returns. */
static void start_and_settle(struct fixture *f)
{
    start(f);
    wait_listed(f);
    wait_ticks(f, 1);
}

/* How often a text stands in what was called, or logged. */
static unsigned count_in(struct fixture *f, const char *all, const char *part)
{
    unsigned n = 0;

    pthread_mutex_lock(&f->lock);
    for (const char *p = all; (p = strstr(p, part)) != NULL; p += strlen(part))
        n++;
    pthread_mutex_unlock(&f->lock);
    return n;
}

static unsigned called(struct fixture *f, const char *what)
{
    return count_in(f, f->calls, what);
}

struct expectation {
    struct fixture *f;
    const char *what;
    unsigned n;
};

static int is_called(void *arg)
{
    const struct expectation *e = arg;

    return called(e->f, e->what) >= e->n;
}

static int is_logged(void *arg)
{
    const struct expectation *e = arg;

    return count_in(e->f, e->f->lines, e->what) >= e->n;
}

static void wait_called(struct fixture *f, const char *what, unsigned n)
{
    struct expectation e = {f, what, n};

    if (!ccs_wait_until(is_called, &e, DEADLINE))
        fail_msg("\"%s\" was not called %u times, but: %s", what, n, f->calls);
}

static void wait_logged(struct fixture *f, const char *what)
{
    struct expectation e = {f, what, 1};

    if (!ccs_wait_until(is_logged, &e, DEADLINE))
        fail_msg("\"%s\" was not logged, but: %s", what, f->lines);
}

/* Waits until so many further calls of this kind have begun in the store. */
static void wait_more(struct fixture *f, unsigned ops, unsigned n)
{
    assert_int_equal(fake_store_wait_calls(f->fake, ops, fake_store_calls(f->fake, ops) + n,
                                           ccs_wait_scaled(DEADLINE)),
                     1);
}

/* The same, counted from before something was done. */
static void wait_beyond(struct fixture *f, unsigned ops, unsigned before)
{
    assert_int_equal(fake_store_wait_calls(f->fake, ops, before + 1, ccs_wait_scaled(DEADLINE)), 1);
}

static void forget_calls(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    f->calls[0] = '\0';
    pthread_mutex_unlock(&f->lock);
}

static void set_failures(struct fixture *f, size_t n)
{
    pthread_mutex_lock(&f->lock);
    f->failures = n;
    pthread_mutex_unlock(&f->lock);
}

static int is_watched(void *arg)
{
    const struct fixture *f = arg;

    return ccs_store_watch_fd(f->store) >= 0;
}

/*
 * Whether the store was down at last. Ups and downs must have taken turns, and nothing may have
 * expired while the store was up, or twice while it was down.
 */
static int is_down(void *arg)
{
    struct fixture *f = arg;
    int down = 0, expired = 0, wrong = 0;

    pthread_mutex_lock(&f->lock);
    for (const char *p = f->calls; *p != '\0'; p += strcspn(p, " ") + 1) {
        if (strncmp(p, "down", 4) == 0) {
            wrong += down;
            down = 1;
            expired = 0;
        } else if (strncmp(p, "up ", 3) == 0) {
            wrong += !down;
            down = 0;
        } else if (strncmp(p, "expired ", 8) == 0) {
            wrong += !down + expired;
            expired = 1;
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (wrong != 0)
        fail_msg("not in this order: %s", f->calls);
    return down;
}

static int is_up(void *arg)
{
    return !is_down(arg);
}

/* Puts a file into the store and into what the instance has cached. */
static void put_cached(struct fixture *f, const char *stem)
{
    struct ccs_cached_file c;

    memset(&c, 0, sizeof(c));
    snprintf(c.stem, sizeof(c.stem), "%s", stem);
    snprintf(c.file, sizeof(c.file), "%.240s.pfx", stem);
    if (!fake_store_stamp(f->fake, c.file, &c.stamp)) {
        fake_store_put(f->fake, c.file, "x", 1);
        assert_int_equal(fake_store_stamp(f->fake, c.file, &c.stamp), 1);
    }
    pthread_mutex_lock(&f->lock);
    assert_true(f->cached_count < CACHED_MAX);
    f->cached[f->cached_count++] = c;
    pthread_mutex_unlock(&f->lock);
}

static void drop_cached(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    f->cached_count = 0;
    pthread_mutex_unlock(&f->lock);
}

static void put_cached_many(struct fixture *f, int from, int to)
{
    char stem[64];

    for (int i = from; i < to; i++) {
        snprintf(stem, sizeof(stem), "host%02d.example", i);
        put_cached(f, stem);
    }
}

static void remove_many(struct fixture *f, int from, int to)
{
    char file[64];

    for (int i = from; i < to; i++) {
        snprintf(file, sizeof(file), "host%02d.example.pfx", i);
        fake_store_remove(f->fake, file);
    }
}

/* -- start and stop ------------------------------------------------------------------------ */

static void test_start(void **state)
{
    struct fixture *f = *state;

    fake_store_put(f->fake, "WWW.example.com.pfx", "x", 1);
    start_and_settle(f);
    assert_int_equal(look_up(f, "www.example.com"), CCS_INDEX_PRESENT);
    wait_called(f, "forget ", 1); /* what was not found before may be there in that spelling */
    assert_int_equal(called(f, "changed"), 0);
    assert_int_equal(fake_store_calls(f->fake, FAKE_WATCH_START), 1);
    assert_int_equal(called(f, "up"), 0); /* taken for up from the start */
    assert_int_equal(called(f, "down"), 0);
    assert_int_equal(fake_store_reads(f->fake), 0);
}

/* An event between listing and watching would be lost, so the watch comes first. */
static void test_watch_before_listing(void **state)
{
    struct fixture *f = *state;

    fake_store_block_ops(f->fake, FAKE_WATCH_START);
    start(f);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    assert_int_equal(fake_store_calls(f->fake, FAKE_LIST), 0);
    fake_store_unblock(f->fake);
    wait_listed(f);
}

static void test_null(void **state)
{
    (void)state;
    ccs_refresh_wake(NULL);
    ccs_refresh_hint(NULL, CCS_EUNAVAIL);
    assert_int_equal(ccs_refresh_stop(NULL, 0), 1);
}

struct threads_seen {
    int looker, clock, wrong;
};

static void see_thread(const char *tid, struct threads_seen *seen)
{
    unsigned long long blocked = 0;
    char path[300];
    char line[200];
    char name[64] = "";
    FILE *status;

    snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
    status = fopen(path, "re");
    if (status == NULL)
        return;
    while (fgets(line, sizeof(line), status) != NULL) {
        (void)sscanf(line, "Name: %63s", name);
        (void)sscanf(line, "SigBlk: %llx", &blocked);
    }
    fclose(status);
    if (strncmp(name, "ccs-", 4) != 0)
        return;
    seen->looker += strcmp(name, "ccs-refresh") == 0;
    seen->clock += strcmp(name, "ccs-clock") == 0;
    if (!(blocked & (1ull << (SIGTERM - 1))) || !(blocked & (1ull << (SIGCHLD - 1))) ||
        (blocked & (1ull << (SIGSEGV - 1))))
        seen->wrong++;
}

static struct threads_seen see_threads(void)
{
    struct threads_seen seen = {0};
    struct dirent *e;
    DIR *d = opendir("/proc/self/task");

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        see_thread(e->d_name, &seen);
    closedir(d);
    return seen;
}

/* libc blocks everything for a moment while it starts a thread, so this is waited for. */
static int threads_are_right(void *arg)
{
    const struct threads_seen seen = see_threads();

    (void)arg;
    return seen.looker == 1 && seen.clock == 1 && seen.wrong == 0;
}

static int threads_are_gone(void *arg)
{
    const struct threads_seen seen = see_threads();

    (void)arg;
    return seen.looker == 0 && seen.clock == 0;
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    sigset_t mask;

    start_and_settle(f);
    assert_true(ccs_wait_until(threads_are_right, NULL, DEADLINE));
    /* The caller's own mask is as it was. */
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void test_stop_with_a_hung_store(void **state)
{
    static const unsigned ops[] = {FAKE_PROBE, FAKE_WATCH_START, FAKE_LIST, FAKE_STAT,
                                   FAKE_WATCH_READ};
    struct fixture *f = *state;
    unsigned calls;

    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        drop_cached(f);
        put_cached(f, "a.example");
        fake_store_block_ops(f->fake, ops[i]);
        start(f);
        if (ops[i] == FAKE_STAT)
            fake_store_event(f->fake, CCS_EVENT_OVERFLOW, NULL);
        if (ops[i] == FAKE_WATCH_READ)
            fake_store_event(f->fake, CCS_EVENT_ARRIVED, "b.example.pfx");
        assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
        assert_int_equal(ccs_refresh_stop(f->refresh, 20), 0);
        f->refresh = NULL;
        forget_calls(f);
        calls = fake_store_calls(f->fake, FAKE_ALL | FAKE_WATCH_READ);
        fake_store_unblock(f->fake);
        /* Whatever it hung in, nothing follows but its end. */
        assert_true(ccs_wait_until(threads_are_gone, NULL, DEADLINE));
        assert_string_equal(f->calls, "");
        assert_int_equal(fake_store_calls(f->fake, FAKE_ALL | FAKE_WATCH_READ), calls);
        fake_store_remove(f->fake, "a.example.pfx");
    }
}

static void test_stop_during_listing_ends(void **state)
{
    struct fixture *f = *state;

    fake_store_block_ops(f->fake, FAKE_LIST);
    start(f);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    fake_store_put(f->fake, "A.example.pfx", "x", 1);
    fake_store_unblock(f->fake);
    assert_int_equal(ccs_refresh_stop(f->refresh, 30000), 1);
    f->refresh = NULL;
}

/* -- the clock ----------------------------------------------------------------------------- */

static unsigned timer_runs(struct fixture *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->timer_runs;
    pthread_mutex_unlock(&f->lock);
    return n;
}

static int timer_is_done(void *arg)
{
    struct fixture *f = arg;
    int done;

    pthread_mutex_lock(&f->lock);
    done = f->next_timer == INT64_MAX;
    pthread_mutex_unlock(&f->lock);
    return done;
}

static void set_timer(struct fixture *f, int64_t at)
{
    pthread_mutex_lock(&f->lock);
    f->next_timer = at;
    pthread_mutex_unlock(&f->lock);
    ccs_refresh_wake(f->refresh);
}

static void test_timers(void **state)
{
    struct fixture *f = *state;
    unsigned runs;
    int64_t at;

    start_and_settle(f);
    at = ccs_now_ms() + 60;
    set_timer(f, at);
    assert_int_equal(ccs_wait_until(timer_is_done, f, DEADLINE), 1);
    assert_true(ccs_now_ms() >= at);
    /* An earlier one replaces a later one. */
    set_timer(f, ccs_now_ms() + 3600000);
    set_timer(f, ccs_now_ms() + 10);
    assert_int_equal(ccs_wait_until(timer_is_done, f, DEADLINE), 1);
    /* Without one, nothing runs by itself. */
    runs = timer_runs(f);
    ccs_wait_pass(100);
    assert_in_range(timer_runs(f), runs, runs + 1);
}

static void test_timers_run_while_the_store_hangs(void **state)
{
    struct fixture *f = *state;

    fake_store_block_ops(f->fake, FAKE_ALL);
    start(f);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    for (int i = 0; i < 3; i++) {
        set_timer(f, ccs_now_ms() + 10);
        assert_int_equal(ccs_wait_until(timer_is_done, f, DEADLINE), 1);
    }
    fake_store_unblock(f->fake);
    wait_listed(f);
}

static void test_hanging_store_is_down(void **state)
{
    struct fixture *f = *state;

    f->times.hang = 50;
    f->times.stale = 100;
    put_cached(f, "a.example");
    start_and_settle(f);
    fake_store_block_ops(f->fake, FAKE_PROBE);
    ccs_refresh_hint(f->refresh, CCS_EUNAVAIL);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    wait_called(f, "down:no answer", 1);
    wait_called(f, "expired ", 1);
    assert_true(ccs_wait_until(is_down, f, DEADLINE));
    fake_store_unblock(f->fake);
    assert_true(ccs_wait_until(is_up, f, DEADLINE));

    /* The same in another call than the probe itself. */
    fake_store_block_ops(f->fake, FAKE_STAT);
    fake_store_event(f->fake, CCS_EVENT_OVERFLOW, NULL);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    assert_true(ccs_wait_until(is_down, f, DEADLINE));
    fake_store_unblock(f->fake);
    assert_true(ccs_wait_until(is_up, f, DEADLINE));
}

/* -- up and down --------------------------------------------------------------------------- */

static void test_down_at_start(void **state)
{
    struct fixture *f = *state;

    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    start(f);
    wait_called(f, "down", 1);
    wait_more(f, FAKE_PROBE, 3);
    assert_int_equal(called(f, "down"), 1);
    assert_int_equal(fake_store_calls(f->fake, FAKE_LIST | FAKE_WATCH_START | FAKE_STAT), 0);
    fake_store_put(f->fake, "A.example.pfx", "x", 1);
    fake_store_set_error(f->fake, CCS_OK);
    wait_called(f, "up ", 1);
    wait_listed(f);
    assert_int_equal(look_up(f, "a.example"), CCS_INDEX_PRESENT);
    assert_true(called(f, "forget ") >= 1);
    assert_int_equal(called(f, "up "), 1);
}

static void test_down_and_up_again(void **state)
{
    struct fixture *f = *state;
    unsigned lists;

    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    fake_store_set_error(f->fake, CCS_EACCESS);
    ccs_refresh_hint(f->refresh, CCS_EUNAVAIL);
    wait_called(f, "down", 1);
    forget_calls(f);
    lists = fake_store_calls(f->fake, FAKE_LIST);
    fake_store_set_auto_events(f->fake, 0);
    fake_store_overwrite(f->fake, "a.example.pfx", "yy", 2);
    wait_more(f, FAKE_PROBE, 2);
    assert_string_equal(f->calls, "");
    fake_store_set_error(f->fake, CCS_OK);
    wait_called(f, "up ", 1);
    wait_called(f, "changed:a.example ", 1);
    assert_int_equal(
        fake_store_wait_calls(f->fake, FAKE_LIST, lists + 1, ccs_wait_scaled(DEADLINE)), 1);
    assert_true(called(f, "forget ") >= 1);
    assert_true(fake_store_calls(f->fake, FAKE_WATCH_START) >= 2);
    assert_int_equal(called(f, "changed:b.example "), 0);
    assert_int_equal(called(f, "removed"), 0);
    /* It is watched again. */
    fake_store_set_auto_events(f->fake, 1);
    fake_store_put(f->fake, "c.example.pfx", "x", 1);
    wait_called(f, "changed:c.example ", 1);
}

static void test_probes_back_off(void **state)
{
    struct fixture *f = *state;
    unsigned probes;
    int64_t began;

    f->times.tick = 50;
    f->times.down_max = 400;
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    began = ccs_now_ms();
    start(f);
    wait_called(f, "down", 1);
    ccs_wait_pass(1000);
    probes = fake_store_calls(f->fake, FAKE_PROBE);
    /* 0, 50, 150, 350, 750, 1150, and so on */
    assert_in_range(probes, 1, 6 + (ccs_now_ms() - began) / 400);
    /* A hint that it answers makes it look at once. */
    fake_store_set_error(f->fake, CCS_OK);
    ccs_refresh_hint(f->refresh, CCS_OK);
    wait_called(f, "up ", 1);
}

static void test_hints_are_checked(void **state)
{
    struct fixture *f = *state;
    unsigned probes;

    f->times.tick = 200;
    start_and_settle(f);
    probes = fake_store_calls(f->fake, FAKE_PROBE);
    for (int i = 0; i < 10000; i++)
        ccs_refresh_hint(f->refresh, CCS_EUNAVAIL);
    assert_int_equal(
        fake_store_wait_calls(f->fake, FAKE_PROBE, probes + 1, ccs_wait_scaled(DEADLINE)), 1);
    ccs_refresh_hint(f->refresh, CCS_OK); /* no news */
    assert_int_equal(called(f, "down"), 0);
    assert_true(fake_store_calls(f->fake, FAKE_PROBE) < probes + 1000);
}

static void test_expired_once(void **state)
{
    struct fixture *f = *state;
    int64_t began;

    f->times.stale = 150;
    start_and_settle(f);
    began = ccs_now_ms();
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    ccs_refresh_hint(f->refresh, CCS_EUNAVAIL);
    wait_called(f, "down", 1);
    wait_called(f, "expired ", 1);
    assert_true(ccs_now_ms() - began >= f->times.stale);
    wait_more(f, FAKE_PROBE, 5);
    assert_int_equal(called(f, "expired "), 1);
    fake_store_set_error(f->fake, CCS_OK);
    wait_called(f, "up ", 1);
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    ccs_refresh_hint(f->refresh, CCS_EUNAVAIL);
    wait_called(f, "expired ", 2);
}

/* -- notification -------------------------------------------------------------------------- */

static void test_events(void **state)
{
    struct fixture *f = *state;
    char out[CCS_FILE_NAME_SIZE];

    start_and_settle(f);
    fake_store_put(f->fake, "www.example.com.pfx", "x", 1);
    wait_called(f, "changed:www.example.com ", 1);
    fake_store_put(f->fake, "api.example.com.RSA.pfx", "x", 1);
    wait_called(f, "changed:api.example.com ", 1);
    assert_int_equal(find_odd(f, "api.example.com", out), CCS_OK);
    assert_string_equal(out, "api.example.com.RSA.pfx");
    fake_store_put(f->fake, "_.example.com.pfx", "x", 1);
    wait_called(f, "changed:_.example.com ", 1);
    fake_store_event(f->fake, CCS_EVENT_ARRIVED, "not a host.pfx");
    fake_store_event(f->fake, CCS_EVENT_ARRIVED, NULL);
    fake_store_event(f->fake, CCS_EVENT_REMOVED, "nobody.knows.pfx");
    fake_store_remove(f->fake, "api.example.com.RSA.pfx");
    fake_store_put(f->fake, "last.example.com.pfx", "x", 1);
    wait_called(f, "changed:last.example.com ", 1);
    assert_int_equal(find_odd(f, "api.example.com", out), CCS_ENOTFOUND);
    /* Of the odd spelling a listing that came first may have told as well. */
    assert_int_equal(called(f, "changed:") - called(f, "changed:api.example.com "), 3);
    assert_int_equal(called(f, "removed"), 0);
}

static void test_overflow(void **state)
{
    struct fixture *f = *state;
    unsigned watches;

    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    watches = fake_store_calls(f->fake, FAKE_WATCH_START);
    forget_calls(f);
    fake_store_set_auto_events(f->fake, 0);
    fake_store_put(f->fake, "a.example.pfx", "y", 1);
    fake_store_put(f->fake, "C.example.pfx", "y", 1);
    fake_store_event(f->fake, CCS_EVENT_OVERFLOW, NULL);
    wait_called(f, "forget ", 1);
    wait_called(f, "changed:a.example ", 1);
    wait_called(f, "changed:c.example ", 1);
    assert_int_equal(called(f, "changed:b.example "), 0);
    assert_true(fake_store_calls(f->fake, FAKE_WATCH_START) > watches);
}

static void test_root_gone(void **state)
{
    struct fixture *f = *state;

    start_and_settle(f);
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    fake_store_event(f->fake, CCS_EVENT_ROOT_GONE, NULL);
    wait_called(f, "down", 1);
    fake_store_set_error(f->fake, CCS_OK);
    wait_called(f, "up ", 1);
    /* Only what is watched can tell. */
    assert_true(ccs_wait_until(is_watched, f, DEADLINE));
    fake_store_put(f->fake, "www.example.com.pfx", "x", 1);
    wait_called(f, "changed:www.example.com ", 1);
}

static void test_store_that_cannot_be_watched(void **state)
{
    struct fixture *f = *state;

    f->times.refresh = 60;
    fake_store_set_watchable(f->fake, 0);
    put_cached(f, "a.example");
    start_and_settle(f);
    wait_logged(f, "no notification of changes");
    fake_store_overwrite(f->fake, "a.example.pfx", "yy", 2);
    wait_called(f, "changed:a.example ", 1);
    assert_int_equal(called(f, "down"), 0);
    wait_more(f, FAKE_WATCH_START, 3);
    assert_int_equal(count_in(f, f->lines, "no notification"), 1);
    /* It is tried again and again. */
    fake_store_set_watchable(f->fake, 1);
    assert_true(ccs_wait_until(is_watched, f, DEADLINE));
    fake_store_put(f->fake, "b.example.pfx", "yy", 2);
    wait_called(f, "changed:b.example ", 1);
}

static int is_ready(void *arg)
{
    struct fixture *f = arg;

    return ccs_index_wait(&f->index, 0) == CCS_INDEX_READY;
}

static void test_listing_that_fails(void **state)
{
    struct fixture *f = *state;

    fake_store_put(f->fake, "A.example.pfx", "x", 1);
    fake_store_set_op_error(f->fake, FAKE_LIST, CCS_EACCESS);
    start(f);
    wait_more(f, FAKE_LIST, 3);
    assert_int_equal(count_in(f, f->lines, "cannot be listed"), 1);
    assert_int_equal(called(f, "down"), 0);
    /* Whoever waits for the first listing is not kept waiting. */
    assert_int_equal(ccs_index_wait(&f->index, ccs_wait_scaled(DEADLINE)), CCS_INDEX_UNLISTED);
    assert_int_equal(look_up(f, "a.example"), CCS_INDEX_UNKNOWN);
    fake_store_set_op_error(f->fake, FAKE_LIST, CCS_OK);
    assert_int_equal(ccs_wait_until(is_ready, f, DEADLINE), 1);
    assert_int_equal(look_up(f, "a.example"), CCS_INDEX_PRESENT);
}

/* -- without notification ------------------------------------------------------------------ */

static void test_periodic_look(void **state)
{
    struct fixture *f = *state;

    f->times.refresh = 50;
    fake_store_set_auto_events(f->fake, 0);
    put_cached(f, "a.example");
    put_cached(f, "b.example");
    put_cached(f, "c.example");
    start_and_settle(f);
    wait_more(f, FAKE_STAT, 6);
    assert_int_equal(called(f, "changed"), 0);
    fake_store_touch(f->fake, "b.example.pfx");
    wait_called(f, "changed:b.example ", 2); /* until the instance has the new one */
    fake_store_fail_file(f->fake, "c.example.pfx", FAKE_STAT, CCS_EUNAVAIL, -1);
    fake_store_fail_file(f->fake, "a.example.pfx", FAKE_STAT, CCS_EFILETYPE, -1);
    wait_more(f, FAKE_STAT, 9);
    assert_int_equal(called(f, "changed:a.example "), 0);
    assert_int_equal(called(f, "changed:c.example "), 0);
    assert_int_equal(called(f, "removed"), 0);
    assert_int_equal(called(f, "down"), 0);
    /* A file that does not answer keeps no other from being looked at. */
    forget_calls(f);
    wait_called(f, "changed:b.example ", 2);
}

/* Another process has taken over: that one looks at what is in use, and this one need not go on. */
static void test_look_ends_with_the_lease(void **state)
{
    struct fixture *f = *state;
    unsigned looks;

    f->times.refresh = 50;
    put_cached(f, "a.example");
    put_cached(f, "b.example");
    put_cached(f, "c.example");
    start_and_settle(f);
    fake_store_block_ops(f->fake, FAKE_STAT);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    looks = fake_store_calls(f->fake, FAKE_STAT);
    pthread_mutex_lock(&f->lock);
    f->token = 0;
    pthread_mutex_unlock(&f->lock);
    fake_store_unblock(f->fake);
    wait_more(f, FAKE_PROBE, 3);
    assert_int_equal(fake_store_calls(f->fake, FAKE_STAT), looks);
    pthread_mutex_lock(&f->lock);
    f->token = 2;
    pthread_mutex_unlock(&f->lock);
    wait_more(f, FAKE_STAT, 3);
}

/* What is in use is looked at last by who takes over, the names in the store at once. */
static void test_take_over_lists_first(void **state)
{
    struct fixture *f = *state;
    unsigned lists;

    f->times.tick = 3600000;
    put_cached(f, "a.example");
    start(f);
    wait_listed(f);
    for (int i = 0; i < 2; i++) {
        lists = fake_store_calls(f->fake, FAKE_LIST);
        ccs_refresh_distrust(f->refresh);
        wait_beyond(f, FAKE_LIST, lists);
    }
    assert_int_equal(fake_store_calls(f->fake, FAKE_STAT), 0);
}

static void test_new_name_by_mtime(void **state)
{
    struct fixture *f = *state;
    struct expectation second = {f, "forget ", 0};
    unsigned probes;
    int tries = 0;

    f->times.apart = 300;
    fake_store_set_watchable(f->fake, 0);
    start_and_settle(f);
    /* Nobody asks for unknown names: the folder is left alone. */
    probes = fake_store_calls(f->fake, FAKE_PROBE);
    wait_ticks(f, 10);
    assert_int_equal(fake_store_calls(f->fake, FAKE_PROBE), probes);
    forget_calls(f);
    set_failures(f, 1);
    wait_more(f, FAKE_PROBE, 3);
    assert_int_equal(called(f, "forget "), 0);
    fake_store_put(f->fake, "new.example.pfx", "x", 1);
    fake_store_put(f->fake, "ODD.example.pfx", "x", 1);
    wait_called(f, "forget ", 1);
    wait_called(f, "changed:odd.example ", 1);
    /* A second file at the same tick of the clock moves nothing: the first looks after it count.
     * Who was held up for longer than that has missed them, and tries again. */
    do {
        assert_true(tries < 50);
        second.n = called(f, "forget ") + 2;
        set_failures(f, 1);
        fake_store_set_root(f->fake, &(struct ccs_root){1, 2, 3, 77 + tries, false});
        wait_called(f, "forget ", second.n - 1);
        set_failures(f, 1);
        tries++;
    } while (!ccs_wait_until(is_called, &second, (int)f->times.apart));
    ccs_wait_pass((int)f->times.apart);
    wait_ticks(f, 2);
    forget_calls(f);
    set_failures(f, 1);
    wait_more(f, FAKE_PROBE, 4);
    assert_int_equal(called(f, "forget "), 0);
}

static void test_listing_rests(void **state)
{
    struct fixture *f = *state;
    unsigned watches;
    unsigned lists;

    f->times.list_rest = 1000000;
    fake_store_block_ops(f->fake, FAKE_LIST);
    start(f);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    ccs_wait_pass(20); /* the listing takes that long at least */
    fake_store_unblock(f->fake);
    wait_listed(f);
    lists = fake_store_calls(f->fake, FAKE_LIST);
    for (int i = 0; i < 5; i++) {
        watches = fake_store_calls(f->fake, FAKE_WATCH_START);
        fake_store_event(f->fake, CCS_EVENT_OVERFLOW, NULL);
        wait_beyond(f, FAKE_WATCH_START, watches);
    }
    assert_int_equal(fake_store_calls(f->fake, FAKE_LIST), lists);
}

/* -- removal ------------------------------------------------------------------------------- */

static void test_removed(void **state)
{
    struct fixture *f = *state;
    int64_t began;

    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    began = ccs_now_ms();
    fake_store_remove(f->fake, "a.example.pfx");
    wait_called(f, "removed:a.example ", 1);
    assert_true(ccs_now_ms() - began >= f->times.apart);
    ccs_wait_pass(150);
    assert_int_equal(called(f, "removed:"), 1);
    assert_string_equal(f->lines, "");
}

static void test_removed_without_notification(void **state)
{
    struct fixture *f = *state;

    f->times.refresh = 50;
    fake_store_set_watchable(f->fake, 0);
    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    fake_store_remove(f->fake, "b.example.pfx");
    wait_called(f, "removed:b.example ", 1);
    assert_int_equal(called(f, "removed:"), 1);
}

/*
 * Removes a file, and puts it back when it was missed, with or without notification. 0 if that took
 * so long that it may well be believed gone.
 */
static int be_away(struct fixture *f, const char *stem, int notified)
{
    unsigned stats;
    int64_t began;
    char file[64];

    drop_cached(f);
    put_cached(f, stem);
    /* What was missed before is seen to be there. */
    ccs_wait_pass((int)f->times.apart);
    wait_ticks(f, 2);
    forget_calls(f);
    began = ccs_now_ms();
    snprintf(file, sizeof(file), "%s.pfx", stem);
    stats = fake_store_calls(f->fake, FAKE_STAT);
    fake_store_remove(f->fake, file);
    wait_beyond(f, FAKE_STAT, stats);
    fake_store_set_auto_events(f->fake, notified);
    fake_store_put(f->fake, file, "new", 3);
    fake_store_set_auto_events(f->fake, 1);
    if (notified)
        wait_called(f, "changed:", 1);
    return ccs_now_ms() - began < f->times.apart;
}

static void test_came_back(void **state)
{
    struct fixture *f = *state;
    int tries = 0;
    int64_t began;

    f->times.apart = 400;
    fake_store_put(f->fake, "other.example.pfx", "x", 1);
    start_and_settle(f);
    while (!be_away(f, "a.example", 1))
        assert_true(++tries < 20);
    assert_int_equal(called(f, "removed:"), 0);
    /* Gone again: the first look of the first time does not count any more. */
    ccs_wait_pass(200);
    began = ccs_now_ms();
    fake_store_remove(f->fake, "a.example.pfx");
    wait_called(f, "removed:a.example ", 1);
    assert_true(ccs_now_ms() - began >= f->times.apart);

    while (!be_away(f, "b.example", 0))
        assert_true(++tries < 20);
    ccs_wait_pass(500);
    wait_ticks(f, 2);
    assert_int_equal(called(f, "removed:"), 0);
}

static void test_not_removed_while_down(void **state)
{
    struct fixture *f = *state;

    put_cached(f, "a.example");
    fake_store_put(f->fake, "other.example.pfx", "x", 1);
    start_and_settle(f);
    /* It goes away before anybody has looked for the file. */
    fake_store_block_ops(f->fake, FAKE_PROBE);
    fake_store_remove(f->fake, "a.example.pfx");
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(DEADLINE)), 1);
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    fake_store_unblock(f->fake);
    wait_called(f, "down", 1);
    ccs_wait_pass(300);
    assert_int_equal(called(f, "removed:"), 0);
    fake_store_set_error(f->fake, CCS_OK);
    wait_called(f, "removed:a.example ", 1);
}

static void test_suspect_store(void **state)
{
    struct fixture *f = *state;

    f->times.refresh = 50;
    put_cached_many(f, 0, 40);
    start_and_settle(f);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_EUNAVAIL); /* all of them in one look */
    remove_many(f, 0, 11);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_OK);
    wait_logged(f, "11 of the 40 ");
    wait_more(f, FAKE_STAT, 100);
    ccs_wait_pass(200);
    assert_int_equal(called(f, "removed:"), 0);
    assert_int_equal(count_in(f, f->lines, " are missing "), 1);
    /* One came back: ten are below the limit. */
    fake_store_put(f->fake, "host05.example.pfx", "x", 1);
    wait_called(f, "removed:", 10);
    assert_int_equal(called(f, "removed:host05"), 0);
    ccs_wait_pass(100);
    assert_int_equal(called(f, "removed:"), 10);
}

static void test_emptied_store_is_suspect(void **state)
{
    struct fixture *f = *state;

    f->times.refresh = 50;
    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    fake_store_clear(f->fake);
    wait_logged(f, "2 of the 2 ");
    wait_more(f, FAKE_STAT, 20);
    assert_int_equal(called(f, "removed:"), 0);
    /* As soon as there is anything else, they are gone like all others. */
    fake_store_put(f->fake, "c.example.pfx", "x", 1);
    wait_called(f, "removed:a.example ", 1);
    wait_called(f, "removed:b.example ", 1);
}

static void test_suspect_until_stale(void **state)
{
    struct fixture *f = *state;
    int64_t began;

    f->times.refresh = 50;
    f->times.stale = 800;
    put_cached_many(f, 0, 20);
    start_and_settle(f);
    began = ccs_now_ms();
    fake_store_set_auto_events(f->fake, 0);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_EUNAVAIL);
    remove_many(f, 0, 15);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_OK);
    wait_logged(f, " of the 20 "); /* a listing may have come before the last of them went */
    wait_called(f, "removed:", 1);
    assert_true(ccs_now_ms() - began >= f->times.stale);
    wait_called(f, "removed:", 15);
    assert_int_equal(called(f, "expired"), 0);
}

static void test_another_root(void **state)
{
    struct fixture *f = *state;
    struct ccs_root root;

    f->times.refresh = 50;
    put_cached_many(f, 0, 5);
    start_and_settle(f);
    wait_more(f, FAKE_STAT, 10);
    /* Something else with files is where the store was: nothing of ours is in it. */
    fake_store_set_auto_events(f->fake, 0);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_EUNAVAIL);
    fake_store_get_root(f->fake, &root);
    root.device = 42;
    fake_store_clear(f->fake);
    fake_store_put(f->fake, "stray.example.pfx", "x", 1);
    fake_store_set_root(f->fake, &root);
    fake_store_set_op_error(f->fake, FAKE_STAT, CCS_OK);
    wait_logged(f, "another folder than before");
    ccs_wait_pass(300);
    assert_int_equal(called(f, "removed:"), 0);
    assert_true(called(f, "forget ") >= 1);
    /* The store is back, and with it ordinary times. */
    root.device = 1;
    for (int i = 0; i < 5; i++) {
        char file[64];

        snprintf(file, sizeof(file), "host%02d.example.pfx", i);
        fake_store_put(f->fake, file, "x", 1);
    }
    fake_store_set_root(f->fake, &root);
    wait_called(f, "changed:host04.example ", 1);
    fake_store_remove(f->fake, "host03.example.pfx");
    wait_called(f, "removed:host03.example ", 1);
    assert_int_equal(called(f, "removed:"), 1);
}

/* The folder was replaced as a whole, by one in which most files are the same. */
static void test_replaced_root(void **state)
{
    struct fixture *f = *state;
    struct ccs_root root;

    f->times.refresh = 50;
    put_cached_many(f, 0, 6);
    start_and_settle(f);
    fake_store_set_auto_events(f->fake, 0);
    fake_store_get_root(f->fake, &root);
    root.file_id = 777;
    remove_many(f, 2, 3);
    fake_store_set_root(f->fake, &root);
    wait_called(f, "removed:host02.example ", 1);
    assert_int_equal(called(f, "removed:"), 1);
    assert_int_equal(fake_store_wait_calls(f->fake, FAKE_WATCH_START, 2, ccs_wait_scaled(DEADLINE)),
                     1);
}

/*
 * Exchanges the folder again and again, for longer than a file may be missing in one and the same:
 * no two looks see that. 0 if one folder was there for so long that they may have.
 */
static int exchange_root(struct fixture *f)
{
    const int64_t began = ccs_now_ms();
    int64_t last = began;
    struct ccs_root root;
    int64_t since;

    do {
        since = last;
        last = ccs_now_ms();
        fake_store_get_root(f->fake, &root);
        root.file_id = root.file_id == 778 ? 779 : 778;
        fake_store_set_root(f->fake, &root);
        if (ccs_now_ms() - since >= f->times.apart)
            return 0;
        wait_more(f, FAKE_STAT, 6);
        ccs_wait_pass(50);
        if (ccs_now_ms() - last >= f->times.apart)
            return 0;
        assert_int_equal(called(f, "removed:"), 0);
    } while (last - began < 2 * f->times.apart);
    return 1;
}

static void test_root_changes_between_looks(void **state)
{
    struct fixture *f = *state;
    int tries = 0;
    int shown;

    f->times.apart = 500;
    f->times.refresh = 50;
    start_and_settle(f);
    fake_store_set_auto_events(f->fake, 0);
    do {
        assert_true(tries++ < 20);
        drop_cached(f);
        put_cached_many(f, 0, 6);
        wait_more(f, FAKE_STAT, 18); /* what was missed before is seen to be there */
        forget_calls(f);
        remove_many(f, 2, 3);
        shown = exchange_root(f);
    } while (!shown);
    wait_called(f, "removed:host02.example ", 1);
}

static void test_many_events_of_removal(void **state)
{
    struct fixture *f = *state;
    char file[64];

    put_cached(f, "a.example");
    put_cached(f, "b.example");
    start_and_settle(f);
    fake_store_block_ops(f->fake, FAKE_WATCH_READ);
    for (int i = 0; i < 1000; i++) {
        snprintf(file, sizeof(file), "other%d.example.pfx", i);
        fake_store_event(f->fake, CCS_EVENT_REMOVED, file);
    }
    fake_store_remove(f->fake, "b.example.pfx"); /* beyond those that are remembered */
    fake_store_unblock(f->fake);
    wait_called(f, "removed:b.example ", 1);
    assert_int_equal(called(f, "removed:"), 1);
}

/* -- a real folder ------------------------------------------------------------------------- */

static void cache_real(struct fixture *f, const char *stem)
{
    struct ccs_cached_file *c = &f->cached[f->cached_count];

    memset(c, 0, sizeof(*c));
    snprintf(c->stem, sizeof(c->stem), "%s", stem);
    snprintf(c->file, sizeof(c->file), "%.240s.pfx", stem);
    assert_int_equal(ccs_store_stat(f->store, c->file, &c->stamp, NULL), CCS_OK);
    f->cached_count++;
}

static void test_real_folder(void **state)
{
    struct fixture *f = *state;
    struct ccs_tmp tmp;
    char root[256];
    char aside[256];
    char path[512];

    ccs_tmp_make(&tmp);
    ccs_tmp_mkdir(tmp.path, "store");
    ccs_tmp_join(root, sizeof(root), tmp.path, "store");
    ccs_tmp_join(aside, sizeof(aside), tmp.path, "aside");
    assert_int_equal(ccs_store_open(root, &f->store, NULL), CCS_OK);
    ccs_tmp_print(root, "a.example.pfx", "a");
    ccs_tmp_print(root, "b.example.pfx", "b");
    ccs_tmp_print(root, "c.example.pfx", "c");
    ccs_tmp_print(root, "UPPER.example.pfx", "u");
    cache_real(f, "a.example");
    cache_real(f, "b.example");
    cache_real(f, "c.example");
    start_and_settle(f);
    assert_int_equal(look_up(f, "upper.example"), CCS_INDEX_PRESENT);

    ccs_tmp_replace(root, "a.example.pfx", "aa", 2);
    wait_called(f, "changed:a.example ", 1);
    ccs_tmp_print(root, "new.example.pfx", "n");
    wait_called(f, "changed:new.example ", 1);
    assert_int_equal(chmod(ccs_tmp_join(path, sizeof(path), root, "new.example.pfx"), 0600), 0);
    wait_called(f, "changed:new.example ", 2);
    ccs_tmp_unlink(root, "b.example.pfx");
    wait_called(f, "removed:b.example ", 1);

    /* The folder goes and comes back. */
    assert_int_equal(rename(root, aside), 0);
    wait_called(f, "down:", 1);
    ccs_tmp_mkdir(tmp.path, "store");
    ccs_wait_pass(200);
    assert_int_equal(called(f, "up "), 0);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(rename(aside, root), 0);
    wait_called(f, "up ", 1);
    assert_int_equal(called(f, "removed:"), 1);
    /* Watched again: what the watch itself does not see yet, the look after it does. */
    ccs_tmp_replace(root, "c.example.pfx", "cc", 2);
    wait_called(f, "changed:c.example ", 1);

    assert_int_equal(ccs_refresh_stop(f->refresh, 30000), 1);
    f->refresh = NULL;
    ccs_store_close(f->store);
    ccs_tmp_remove(&tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_before_listing, setup, teardown),
        cmocka_unit_test(test_null),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_with_a_hung_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_during_listing_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers_run_while_the_store_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hanging_store_is_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down_and_up_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probes_back_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expired_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_that_cannot_be_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listing_that_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_periodic_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_look_ends_with_the_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_over_lists_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_name_by_mtime, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listing_rests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed_without_notification, setup, teardown),
        cmocka_unit_test_setup_teardown(test_came_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_removed_while_down, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspect_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_emptied_store_is_suspect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suspect_until_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_root_changes_between_looks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_events_of_removal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_real_folder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
