/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log.h"

#define KEPT 600

/* What a callback was given. */
struct sink {
    unsigned count;
    enum ccs_level level[KEPT];
    char text[KEPT][CCS_LOG_LINE_MAX];
    struct ccs_log *echo; /* log one line into it from the callback */
    unsigned echoes;
};

static struct sink sink;
static atomic_uint wakes;

static void keep(enum ccs_level level, const char *line, void *arg)
{
    struct sink *s = arg;

    assert_true(s->count < KEPT);
    assert_true(strlen(line) < CCS_LOG_LINE_MAX);
    s->level[s->count] = level;
    strcpy(s->text[s->count], line);
    s->count++;
    if (s->echo && s->echoes > 0) {
        s->echoes--;
        ccs_log(s->echo, CCS_LOG_ERROR, "echo");
    }
}

static void wake(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static int setup(void **state)
{
    (void)state;
    memset(&sink, 0, sizeof(sink));
    atomic_store(&wakes, 0);
    return 0;
}

static void levels(void **state)
{
    static const enum ccs_level all[] = {CCS_LOG_ERROR, CCS_LOG_WARN, CCS_LOG_INFO, CCS_LOG_DEBUG};

    (void)state;
    for (size_t max = 0; max < CCS_ARRAY_LEN(all); max++) {
        struct ccs_log *log = ccs_log_new(all[max], keep, &sink, 0, NULL, NULL);

        sink.count = 0;
        for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
            assert_int_equal(ccs_log_wants(log, all[i]), i <= max);
            ccs_log(log, all[i], "line %zu", i);
        }
        assert_int_equal(sink.count, max + 1);
        assert_int_equal(sink.level[max], all[max]);
        ccs_log_free(log);
    }
}

static void nowhere(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_DEBUG, NULL, NULL, CCS_LOG_DISPATCHED, wake, &wakes);

    (void)state;
    assert_int_equal(ccs_log_wants(log, CCS_LOG_ERROR), 0);
    ccs_log(log, CCS_LOG_ERROR, "x");
    assert_int_equal(ccs_log_deliver(log, 0), 0);
    ccs_log_free(log);

    assert_int_equal(ccs_log_wants(NULL, CCS_LOG_ERROR), 0);
    ccs_log(NULL, CCS_LOG_ERROR, "x");
    assert_int_equal(ccs_log_deliver(NULL, 0), 0);
    ccs_log_free(NULL);
    assert_int_equal(atomic_load(&wakes), 0);
}

static void one_call_is_one_line(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, keep, &sink, 0, NULL, NULL);
    char longer[3000];

    (void)state;
    ccs_log(log, CCS_LOG_INFO, "%s", "a\nb\r\tc\x1b[1m\n\r\n");
    assert_string_equal(sink.text[0], "a b  c [1m");
    ccs_log(log, CCS_LOG_INFO, "%s", "\n");
    assert_string_equal(sink.text[1], "");
    ccs_log(log, CCS_LOG_INFO, "%s",
            "b\xc3\xbc"
            "cher");
    assert_string_equal(sink.text[2], "b\xc3\xbc"
                                      "cher");

    for (size_t n = CCS_LOG_LINE_MAX - 3; n < CCS_LOG_LINE_MAX + 3; n++) {
        unsigned at = sink.count;

        memset(longer, 'x', n);
        longer[n] = '\0';
        ccs_log(log, CCS_LOG_INFO, "%s", longer);
        if (n < CCS_LOG_LINE_MAX) {
            assert_string_equal(sink.text[at], longer);
        } else {
            assert_int_equal(strlen(sink.text[at]), CCS_LOG_LINE_MAX - 1);
            assert_string_equal(sink.text[at] + CCS_LOG_LINE_MAX - 5, "x...");
        }
    }
    /* No half character before the dots. */
    for (size_t i = 0; i + 2 < sizeof(longer); i += 2)
        memcpy(longer + i, "\xc3\xbc", 3);
    for (size_t shift = 0; shift < 2; shift++) {
        size_t n;

        ccs_log(log, CCS_LOG_INFO, "%.*s%s", (int)shift, "y", longer);
        n = strlen(sink.text[sink.count - 1]);
        assert_int_equal((n - 3 - shift) % 2, 0);
    }
    ccs_log_free(log);
}

static void queued_until_delivered(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, keep, &sink, CCS_LOG_DISPATCHED, wake, &wakes);

    (void)state;
    ccs_log(log, CCS_LOG_WARN, "one");
    assert_int_equal(atomic_load(&wakes), 1);
    ccs_log(log, CCS_LOG_DEBUG, "not wanted");
    ccs_log(log, CCS_LOG_INFO, "two");
    ccs_log(log, CCS_LOG_ERROR, "three");
    assert_int_equal(atomic_load(&wakes), 1);
    assert_int_equal(sink.count, 0);

    /* What is left behind asks for another turn. */
    assert_int_equal(ccs_log_deliver(log, 2), 2);
    assert_int_equal(atomic_load(&wakes), 2);
    assert_int_equal(sink.count, 2);
    assert_int_equal(ccs_log_deliver(log, 0), 1);
    assert_int_equal(ccs_log_deliver(log, 0), 0);
    assert_int_equal(atomic_load(&wakes), 2);
    assert_string_equal(sink.text[0], "one");
    assert_int_equal(sink.level[0], CCS_LOG_WARN);
    assert_string_equal(sink.text[1], "two");
    assert_string_equal(sink.text[2], "three");

    ccs_log(log, CCS_LOG_INFO, "four");
    assert_int_equal(atomic_load(&wakes), 3);
    ccs_log_free(log); /* with a line in it */
    assert_int_equal(sink.count, 3);
}

static void overflow_drops_the_newest_and_tells(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, keep, &sink, CCS_LOG_DISPATCHED, wake, &wakes);

    (void)state;
    for (int i = 0; i < CCS_LOG_QUEUE_MAX + 5; i++)
        ccs_log(log, CCS_LOG_INFO, "line %d", i);
    assert_int_equal(ccs_log_deliver(log, 0), CCS_LOG_QUEUE_MAX + 1);
    assert_string_equal(sink.text[0], "line 0");
    assert_string_equal(sink.text[CCS_LOG_QUEUE_MAX - 1], "line 255");
    assert_non_null(strstr(sink.text[CCS_LOG_QUEUE_MAX], "5 log lines were lost"));
    assert_int_equal(sink.level[CCS_LOG_QUEUE_MAX], CCS_LOG_WARN);
    assert_int_equal(ccs_log_deliver(log, 0), 0);

    /* Told of where they are missing, once two places are free. */
    sink.count = 0;
    for (int i = 0; i < CCS_LOG_QUEUE_MAX + 1; i++)
        ccs_log(log, CCS_LOG_INFO, "line %d", i);
    assert_int_equal(ccs_log_deliver(log, 1), 1);
    ccs_log(log, CCS_LOG_INFO, "lost as well");
    assert_int_equal(ccs_log_deliver(log, 1), 1);
    ccs_log(log, CCS_LOG_INFO, "later");
    assert_int_equal(ccs_log_deliver(log, 0), CCS_LOG_QUEUE_MAX);
    assert_int_equal(sink.count, CCS_LOG_QUEUE_MAX + 2);
    assert_non_null(strstr(sink.text[CCS_LOG_QUEUE_MAX], "2 log lines were lost"));
    assert_string_equal(sink.text[CCS_LOG_QUEUE_MAX + 1], "later");
    ccs_log_free(log);
}

static void notice_fits_the_level(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_ERROR, keep, &sink, CCS_LOG_DISPATCHED, NULL, NULL);

    (void)state;
    for (int i = 0; i < CCS_LOG_QUEUE_MAX + 1; i++)
        ccs_log(log, CCS_LOG_ERROR, "line %d", i);
    ccs_log_deliver(log, 0);
    assert_non_null(strstr(sink.text[CCS_LOG_QUEUE_MAX], "1 log line was lost"));
    assert_int_equal(sink.level[CCS_LOG_QUEUE_MAX], CCS_LOG_ERROR);
    ccs_log_free(log);
}

static void callback_may_log(void **state)
{
    struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, keep, &sink, CCS_LOG_DISPATCHED, wake, &wakes);

    (void)state;
    sink.echo = log;
    sink.echoes = 3;
    ccs_log(log, CCS_LOG_INFO, "start");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(ccs_log_deliver(log, 0), 1);
    assert_int_equal(ccs_log_deliver(log, 0), 0);
    assert_int_equal(sink.count, 4);
    ccs_log_free(log);
}

/* -- threads -- */

#define WRITERS 4
#define LINES   3000

struct counter {
    atomic_uint lines, lost;
};

static void count(enum ccs_level level, const char *line, void *arg)
{
    struct counter *c = arg;
    unsigned n;

    (void)level;
    if (sscanf(line, "%u log line", &n) == 1)
        atomic_fetch_add(&c->lost, n);
    else
        atomic_fetch_add(&c->lines, 1);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        ccs_log(arg, CCS_LOG_INFO, "w%d", i);
    return NULL;
}

static void no_line_is_lost_untold(void **state)
{
    static const unsigned flags[] = {CCS_LOG_DISPATCHED, 0};

    (void)state;
    for (size_t k = 0; k < CCS_ARRAY_LEN(flags); k++) {
        struct counter c = {0};
        struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, count, &c, flags[k], wake, &wakes);
        const int64_t deadline = ccs_now_ms() + 60000;
        pthread_t t[WRITERS];
        unsigned told = 0;

        for (size_t i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, write_lines, log), 0);
        while (told < WRITERS * LINES && ccs_now_ms() < deadline) {
            (void)ccs_log_deliver(log, 7);
            told = atomic_load(&c.lines) + atomic_load(&c.lost);
        }
        for (size_t i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(told, WRITERS * LINES);
        assert_int_equal(ccs_log_deliver(log, 0), 0);
        ccs_log_free(log);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(levels, setup),
        cmocka_unit_test_setup(nowhere, setup),
        cmocka_unit_test_setup(one_call_is_one_line, setup),
        cmocka_unit_test_setup(queued_until_delivered, setup),
        cmocka_unit_test_setup(overflow_drops_the_newest_and_tells, setup),
        cmocka_unit_test_setup(notice_fits_the_level, setup),
        cmocka_unit_test_setup(callback_may_log, setup),
        cmocka_unit_test_setup(no_line_is_lost_untold, setup),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
