/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How soon nginx serves what has come, changed or gone, on file systems that tell of it, on those
 * that do not, and on those that are unmounted meanwhile.
 */
#include "farm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

/* Only what the server is told, or finds when somebody asks, can bring news. */
#define NEVER CCS_FARM_HTTP "ccs_refresh 1h; ccs_negative 1h;\n"
/* What is in use is looked at every second. */
#define OFTEN CCS_FARM_HTTP "ccs_refresh 1s; ccs_negative 1h;\n"

#define LOCAL NULL
#define SHARE "silent"

#define TIMES     5
#define PROMISED  3000 /* two seconds, and one for a machine that does other things as well */
#define DEADLINE  10000
#define RENEWED   20000
#define HOSTS     100
#define IN_USE    40
#define VANISHING 12

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
static void come_unnoticed(struct ccs_farm *farm, const char *share)
{
    char name[20], file[30], fingerprint[65];
    int in_time = 0;
    double took;

    run_listed(farm, share, NEVER);
    for (int i = 0; i < TIMES; i++) {
        snprintf(name, sizeof(name), "a%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprint);
        took = ccs_farm_wait_served(farm, name, fingerprint);
        print_message("served %.0f ms after the first request\n", took);
        assert_true(took < ccs_wait_scaled(DEADLINE));
        in_time += took <= PROMISED;
    }
    /* A machine that stands still now and then does not do so all the time. */
    assert_true(ccs_nginx_sanitized() || in_time > TIMES / 2);
}

static void new_file_on_a_share(void **state)
{
    come_unnoticed(*state, SHARE);
}

static void new_file_in_an_unwatched_folder(void **state)
{
    come_unnoticed(*state, "deaf");
}

static void new_file_where_times_are_seconds(void **state)
{
    come_unnoticed(*state, SHARE " coarse");
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

    ccs_farm_put(farm, "_.test.pfx", "*.test", all);
    run(farm, share, http);
    ccs_farm_expect_name(farm, "a.test", "LOADED _.test.pfx", all);
    ccs_farm_expect_name(farm, "b.test", "HIT _.test.pfx", all);
    ccs_farm_put(farm, "a.test.pfx", "a.test", own);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", own));
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", own);
    ccs_farm_expect_name(farm, "b.test", "HIT _.test.pfx", all);
}

static void exact_file_displaces_wildcard(void **state)
{
    displace_wildcard(*state, LOCAL, NEVER);
}

static void exact_file_displaces_wildcard_on_a_share(void **state)
{
    displace_wildcard(*state, SHARE, OFTEN);
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

/* -- spellings ----------------------------------------------------------------------------- */

#define UNICODE "b\xc3\xbc\x63her.test.pfx"
#define ALABEL  "xn--bcher-kva.test"

static void respell(struct ccs_farm *farm, const char *from, const char *to)
{
    char old_path[512], new_path[512];

    ccs_tmp_join(old_path, sizeof(old_path), farm->store, from);
    ccs_tmp_join(new_path, sizeof(new_path), farm->store, to);
    assert_int_equal(rename(old_path, new_path), 0);
}

static void spell(struct ccs_farm *farm, const char *share, const char *http)
{
    char a[65], b[65], again[65];

    ccs_farm_put(farm, "A.Test.PFX", "a.test", a);
    ccs_farm_put(farm, UNICODE, ALABEL, b);
    run(farm, share, http);
    ccs_farm_expect_name(farm, "a.test", "LOADED A.Test.PFX", a);
    ccs_farm_wait_served(farm, ALABEL, b);
    /* The same host all the time, however it is called, and what changes is found. */
    respell(farm, "A.Test.PFX", "a.TEST.pfx");
    ccs_farm_put(farm, "a.TEST.pfx", "a.test", again);
    ccs_farm_wait_served(farm, "a.test", again);
    respell(farm, "a.TEST.pfx", "a.test.pfx");
    ccs_farm_put(farm, "a.test.pfx", "a.test", again);
    ccs_farm_wait_served(farm, "a.test", again);
    respell(farm, UNICODE, ALABEL ".pfx");
    ccs_farm_put(farm, ALABEL ".pfx", ALABEL, b);
    ccs_farm_wait_served(farm, ALABEL, b);
    /* One that nobody has asked for, renamed before the first one does. */
    ccs_farm_put(farm, "New.Test.pfx", "new.test", a);
    ccs_farm_wait_served(farm, "new.test", a);
    ccs_farm_put(farm, "Other.test.pfx", "other.test", a);
    respell(farm, "Other.test.pfx", "OTHER.test.pfx");
    ccs_farm_wait_served(farm, "other.test", a);
}

static void spellings(void **state)
{
    spell(*state, LOCAL, NEVER);
}

static void spellings_on_a_share(void **state)
{
    spell(*state, SHARE, OFTEN);
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

#define STATUS                                                                                     \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_refresh 1s; ccs_negative 1h;\n"                               \
                                "server { listen @PORT1@ ssl;\n"                                   \
                                "location / { " CCS_FARM_ANSWER "}\n"                              \
                                "location = /status { ccs_status; } }\n"

struct status {
    struct ccs_farm *farm;
    const char *text;
};

static int status_says(void *arg)
{
    const struct status *status = arg;
    struct ccs_tls_spec spec = ccs_farm_ask(status->farm, "h99.test");
    struct ccs_tls_result result;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.status, 200);
    return strstr(result.body, status->text) != NULL;
}

static void expect_in_use(struct ccs_farm *farm, int first, int last)
{
    char name[20], body[40];

    for (int i = first; i < last; i++) {
        snprintf(name, sizeof(name), "h%d.test", i);
        snprintf(body, sizeof(body), "HIT %s.pfx", name);
        ccs_farm_expect_name(farm, name, body, NULL);
    }
}

static void move_hosts(struct ccs_farm *farm, int count, int away)
{
    char from[512], to[512], file[30], aside[300];

    ccs_tmp_join(aside, sizeof(aside), farm->tmp.path, "aside");
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof(file), "h%d.test.pfx", i);
        ccs_tmp_join(from, sizeof(from), away ? farm->store : aside, file);
        ccs_tmp_join(to, sizeof(to), away ? aside : farm->store, file);
        assert_int_equal(rename(from, to), 0);
    }
}

static void lose_a_tenth(struct ccs_farm *farm, const char *share)
{
    struct status status = {.farm = farm};
    struct ccs_pki_spec spec = {.names = "*.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char name[30];
    double until;

    ccs_tmp_mkdir(farm->tmp.path, "aside");
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof(name), "h%d.test.pfx", i);
        ccs_farm_put_bytes(farm, name, bytes.data, bytes.len);
    }
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
    run(farm, share, STATUS);
    for (int i = 0; i < IN_USE; i++) {
        snprintf(name, sizeof(name), "h%d.test", i);
        ccs_farm_wait_served(farm, name, NULL);
    }

    move_hosts(farm, VANISHING, 1);
    ccs_farm_wait_log(farm, "missing");
    ccs_farm_wait_log(farm, "at once: they stay");
    status.text = "\"suspect\":true";
    assert_true(ccs_wait_until(status_says, &status, 0));
    /* Longer than two looks take. */
    for (until = ccs_wait_clock() + 5000; ccs_wait_clock() < until; ccs_wait_pass(100))
        expect_in_use(farm, 0, IN_USE);

    move_hosts(farm, VANISHING, 0);
    status.text = "\"suspect\":false";
    assert_true(ccs_wait_until(status_says, &status, 0));
    expect_in_use(farm, 0, IN_USE);
    /* Now that it is over, what goes is gone again. */
    ccs_tmp_unlink(farm->store, "h0.test.pfx");
    ccs_farm_wait_refused(farm, "h0.test");
    expect_in_use(farm, 1, IN_USE);
}

static void tenth_of_the_files_gone(void **state)
{
    lose_a_tenth(*state, LOCAL);
}

static void tenth_of_the_files_gone_on_a_share(void **state)
{
    lose_a_tenth(*state, SHARE);
}

/* -- file systems that go ------------------------------------------------------------------ */

/* Mounts of this program and its servers, which nobody else sees. 0 if that is not to be had. */
static int mount_privately(void)
{
    static int done; /* 1: yes, -1: no */

    if (done == 0) {
        done = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
                   ? 1
                   : -1;
        if (done < 0)
            print_message("no mounts of one's own (%s): skipped\n", strerror(errno));
    }
    return done > 0;
}

static int mounted_teardown(void **state)
{
    struct ccs_farm *farm = *state;
    char store[220];
    int bad;

    memcpy(store, farm->store, sizeof(store));
    (void)umount2(store, MNT_DETACH | UMOUNT_NOFOLLOW);
    bad = ccs_farm_teardown(state);
    return bad;
}

struct away {
    struct ccs_farm *farm;
    char aside[300]; /* what is mounted: a folder; "": memory, which loses what is in it */
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
};

static void mount_store(const struct away *away)
{
    if (away->aside[0] != '\0')
        assert_int_equal(mount(away->aside, away->farm->store, NULL, MS_BIND, NULL), 0);
    else
        assert_int_equal(mount("none", away->farm->store, "tmpfs", 0, "size=1m,mode=755"), 0);
}

static void fill(const struct away *away, const char *dir)
{
    ccs_tmp_write(dir, "a.test.pfx", away->bytes.data, away->bytes.len);
    ccs_tmp_write(dir, "b.test.pfx", away->bytes.data, away->bytes.len);
}

/* What is known is served, and what is not is the store's fault. */
static void expect_away(struct away *away)
{
    struct ccs_tls_spec spec = ccs_farm_ask(away->farm, "c.test");

    for (int i = 0; i < 40; i++) {
        ccs_farm_expect_name(away->farm, "a.test", "STALE a.test.pfx", away->leaf.fingerprint);
        ccs_farm_expect_name(away->farm, "b.test", "STALE b.test.pfx", away->leaf.fingerprint);
        ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
        ccs_wait_pass(100);
    }
}

static void go_away(struct ccs_farm *farm, const char *share, int memory)
{
    struct ccs_pki_spec spec = {.names = "*.test"};
    struct away away = {.farm = farm};

    if (!mount_privately())
        skip();
    if (!memory) {
        ccs_tmp_mkdir(farm->tmp.path, "aside");
        ccs_tmp_join(away.aside, sizeof(away.aside), farm->tmp.path, "aside");
    }
    ccs_pki_issue(farm->ca, &spec, &away.leaf);
    away.bytes = ccs_pki_pfx_make(&away.leaf, 1, NULL);
    mount_store(&away);
    fill(&away, farm->store);
    run(farm, share, OFTEN);
    ccs_farm_wait_served(farm, "a.test", NULL);
    ccs_farm_wait_served(farm, "b.test", NULL);
    ccs_farm_wait_refused(farm, "c.test");

    assert_int_equal(umount2(farm->store, UMOUNT_NOFOLLOW), 0);
    ccs_farm_wait_log(farm, "does not answer");
    expect_away(&away);

    mount_store(&away);
    if (memory)
        fill(&away, farm->store);
    ccs_tmp_write(farm->store, "c.test.pfx", away.bytes.data, away.bytes.len);
    ccs_farm_wait_log(farm, "answers again");
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "c.test", NULL));
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", away.leaf.fingerprint);
    ccs_farm_expect_name(farm, "b.test", "HIT b.test.pfx", away.leaf.fingerprint);
    ccs_farm_wait_refused(farm, "d.test");
    assert_int_equal(ccs_nginx_logged(&farm->nginx, "was removed from the store"), 0);
    ccs_pki_bytes_clear(&away.bytes);
    ccs_pki_leaf_clear(&away.leaf);
}

static void unmounted(void **state)
{
    go_away(*state, LOCAL, 0);
}

static void unmounted_share(void **state)
{
    go_away(*state, SHARE, 0);
}

/* What is mounted again is another file system with the same files. */
static void unmounted_and_lost(void **state)
{
    go_away(*state, LOCAL, 1);
}

#define MOUNT_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, ccs_farm_setup, mounted_teardown)

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
        CCS_FARM_TEST(spellings),
        CCS_FARM_TEST(spellings_on_a_share),
        CCS_FARM_TEST(removed_on_a_share),
        CCS_FARM_TEST(removed_for_a_moment),
        CCS_FARM_TEST(tenth_of_the_files_gone),
        CCS_FARM_TEST(tenth_of_the_files_gone_on_a_share),
        MOUNT_TEST(unmounted),
        MOUNT_TEST(unmounted_share),
        MOUNT_TEST(unmounted_and_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
