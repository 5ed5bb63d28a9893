/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How soon nginx serves what has come, changed or gone, on file systems that tell of it and on
 * those that do not.
 */
#include "farm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Only what the server is told, or finds when somebody asks, can bring news. */
#define NEVER CCS_FARM_HTTP "ccs_refresh 1h; ccs_negative 1h;\n"
/* What is in use is looked at every second. */
#define OFTEN CCS_FARM_HTTP "ccs_refresh 1s; ccs_negative 1h;\n"

#define LOCAL NULL
#define SHARE "silent"

#define TIMES    3
#define SETTLED  2500 /* what is found by time is found by now */
#define PROMISED 3000 /* two seconds, and one for a machine that does other things as well */
#define DEADLINE 10000
#define RENEWED  20000

static void run(struct ccs_farm *farm, const char *share, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .share = share};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

/* The first listing is done when a name is refused. */
static void run_listed(struct ccs_farm *farm, const char *share, const char *http)
{
    run(farm, share, http);
    ccs_farm_wait_refused(farm, "nobody.test");
}

/* -- files that come ----------------------------------------------------------------------- */

/* Nobody has asked for any of the names before, and nobody asks while they come. */
static void come_unnoticed(struct ccs_farm *farm, const char *share, int times)
{
    char name[20], file[30], fingerprint[65];
    int in_time = 0;
    double took;

    run_listed(farm, share, NEVER);
    for (int i = 0; i < times; i++) {
        if (i > 0)
            ccs_wait_pass(SETTLED);
        snprintf(name, sizeof(name), "a%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprint);
        took = ccs_farm_wait_served(farm, name, fingerprint);
        print_message("served %.0f ms after the first request\n", took);
        assert_true(took < ccs_wait_scaled(DEADLINE));
        in_time += took <= PROMISED;
    }
    /* A machine that stands still now and then does not do so all the time. */
    assert_true(ccs_nginx_sanitized() || in_time > times / 2 || times == 1);
}

static void new_file_on_a_share(void **state)
{
    come_unnoticed(*state, SHARE, TIMES);
}

static void new_file_in_an_unwatched_folder(void **state)
{
    come_unnoticed(*state, "deaf", 1);
}

static void new_file_where_times_are_seconds(void **state)
{
    come_unnoticed(*state, SHARE " coarse", 1);
}

/* Clients were refused before, as long as there was nothing. */
static void new_file_for_refused_name_on_a_share(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65];
    double took;

    run_listed(farm, SHARE, NEVER);
    for (int i = 0; i < 30; i++) {
        ccs_farm_wait_refused(farm, "a.test");
        ccs_wait_pass(50);
    }
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    took = ccs_farm_wait_served(farm, "a.test", a);
    print_message("served after %.0f ms\n", took);
    assert_true(took < ccs_wait_scaled(DEADLINE));
}

/* What is served to the name, the new file's from some time on, and nothing between. */
static void displace_wildcard(struct ccs_farm *farm, const char *share, const char *http)
{
    char all[65], own[65];

    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    run(farm, share, http);
    ccs_farm_expect_name(farm, "a.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_expect_name(farm, "b.shop.test", "HIT _.shop.test.pfx", all);
    ccs_farm_put(farm, "a.shop.test.pfx", "a.shop.test", own);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.shop.test", own));
    ccs_farm_expect_name(farm, "a.shop.test", "HIT a.shop.test.pfx", own);
    ccs_farm_expect_name(farm, "b.shop.test", "HIT _.shop.test.pfx", all);
}

static void exact_file_displaces_wildcard(void **state)
{
    displace_wildcard(*state, LOCAL, NEVER);
}

static void exact_file_displaces_wildcard_on_a_share(void **state)
{
    displace_wildcard(*state, SHARE, NEVER);
}

/* -- files that change --------------------------------------------------------------------- */

static void renewed_on_a_share(void **state)
{
    struct ccs_farm *farm = *state;
    char first[65], second[65];
    double took;

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    run(farm, SHARE, OFTEN);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_farm_put(farm, "a.test.pfx", "a.test", second);
    took = ccs_farm_wait_served(farm, "a.test", second);
    print_message("served after %.0f ms\n", took);
    assert_true(took < ccs_wait_scaled(RENEWED));
}

/* Two certificates of one name in files of one size. */
struct twins {
    struct ccs_pki_leaf leaf[2];
    struct ccs_pki_bytes bytes[2];
};

static void make_twin(struct ccs_farm *farm, struct twins *t, int i)
{
    const struct ccs_pki_spec spec = {.names = "a.test"};

    ccs_pki_issue(farm->ca, &spec, &t->leaf[i]);
    t->bytes[i] = ccs_pki_pfx_make(&t->leaf[i], 1, NULL);
}

static void clear_twin(struct twins *t, int i)
{
    ccs_pki_bytes_clear(&t->bytes[i]);
    ccs_pki_leaf_clear(&t->leaf[i]);
}

static void make_twins(struct ccs_farm *farm, struct twins *t)
{
    memset(t, 0, sizeof(*t));
    make_twin(farm, t, 0);
    make_twin(farm, t, 1);
    for (int i = 0; t->bytes[0].len != t->bytes[1].len; i++) {
        assert_true(i < 1000);
        clear_twin(t, 1);
        make_twin(farm, t, 1);
    }
}

static struct timespec now_of(int whole_seconds)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (whole_seconds)
        now.tv_nsec = 0;
    return now;
}

/* As programs do that keep the time of what they copy. */
static void write_with_time(struct ccs_farm *farm, const struct twins *t, int i, int in_place,
                            struct timespec when)
{
    const struct timespec times[2] = {when, when};
    const char *dir = in_place ? farm->store : farm->tmp.path;
    char from[512], to[512];

    ccs_tmp_join(from, sizeof(from), dir, "a.test.pfx");
    ccs_tmp_join(to, sizeof(to), farm->store, "a.test.pfx");
    ccs_tmp_write(dir, "a.test.pfx", t->bytes[i].data, t->bytes[i].len);
    assert_int_equal(utimensat(AT_FDCWD, from, times, 0), 0);
    if (!in_place)
        assert_int_equal(rename(from, to), 0);
}

/* Of the same size and time as the one before. */
static void rewrite(struct ccs_farm *farm, const char *share, const char *http, int in_place)
{
    const int coarse = share != NULL && strstr(share, "coarse") != NULL;
    struct timespec when;
    struct twins t;

    make_twins(farm, &t);
    run_listed(farm, share, http);
    /* The second that the first one was written in has to go on for the other one. */
    do
        when = now_of(0);
    while (when.tv_nsec > 100000000);
    when = now_of(coarse);
    write_with_time(farm, &t, 0, 0, when);
    ccs_farm_wait_served(farm, "a.test", t.leaf[0].fingerprint);
    write_with_time(farm, &t, 1, in_place, when);
    print_message("served after %.0f ms\n",
                  ccs_farm_wait_served(farm, "a.test", t.leaf[1].fingerprint));
    clear_twin(&t, 0);
    clear_twin(&t, 1);
}

static void rewritten_in_place(void **state)
{
    rewrite(*state, LOCAL, NEVER, 1);
}

static void rewritten_in_place_where_times_are_seconds(void **state)
{
    rewrite(*state, "coarse", NEVER, 1);
}

static void rewritten_in_place_on_a_coarse_share(void **state)
{
    rewrite(*state, SHARE " coarse", OFTEN, 1);
}

static void replaced_by_rename(void **state)
{
    rewrite(*state, "coarse", NEVER, 0);
}

static void replaced_by_rename_on_a_coarse_share(void **state)
{
    rewrite(*state, SHARE " coarse", OFTEN, 0);
}

/* -- files that go ------------------------------------------------------------------------- */

static void removed_on_a_share(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65], again[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    run(farm, SHARE, OFTEN);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    print_message("refused after %.0f ms\n", ccs_farm_wait_refused(farm, "a.test"));
    ccs_farm_expect_name(farm, "b.test", "HIT b.test.pfx", b);
    ccs_farm_put(farm, "a.test.pfx", "a.test", again);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", again));
}

/* Whoever replaces a file so is not punished for it. */
static void removed_for_a_moment(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], again[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    run(farm, LOCAL, NEVER);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    for (int i = 0; i < 5; i++) {
        ccs_tmp_unlink(farm->store, "a.test.pfx");
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
        ccs_farm_put(farm, "a.test.pfx", "a.test", again);
        ccs_farm_wait_served(farm, "a.test", again);
        memcpy(a, again, sizeof(a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(new_file_on_a_share),
        CCS_FARM_TEST(new_file_in_an_unwatched_folder),
        CCS_FARM_TEST(new_file_where_times_are_seconds),
        CCS_FARM_TEST(new_file_for_refused_name_on_a_share),
        CCS_FARM_TEST(exact_file_displaces_wildcard),
        CCS_FARM_TEST(exact_file_displaces_wildcard_on_a_share),
        CCS_FARM_TEST(renewed_on_a_share),
        CCS_FARM_TEST(rewritten_in_place),
        CCS_FARM_TEST(rewritten_in_place_where_times_are_seconds),
        CCS_FARM_TEST(rewritten_in_place_on_a_coarse_share),
        CCS_FARM_TEST(replaced_by_rename),
        CCS_FARM_TEST(replaced_by_rename_on_a_coarse_share),
        CCS_FARM_TEST(removed_on_a_share),
        CCS_FARM_TEST(removed_for_a_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
