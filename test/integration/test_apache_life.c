/* SPDX-License-Identifier: Apache-2.0 */
/* Start, restart and end of httpd and its children: what was loaded stays, whatever becomes of
 * them, and nothing in a restart ends the server. */
#include "apache_farm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

#define HOSTS    6
#define CHILDREN 2
#define MPMS     3

/* -- what was loaded stays ----------------------------------------------------------------- */

/* One server of each MPM: most of what these tests do is waiting, which goes on side by side. */
struct trio {
    struct ccs_farm *farms[MPMS];
    char fingerprints[MPMS][HOSTS][65];
};

static int trio_setup(void **state)
{
    struct trio *trio = calloc(1, sizeof(*trio));
    void *farm;

    assert_non_null(trio);
    *state = trio;
    for (int i = 0; i < MPMS; i++) {
        if (ccs_farm_setup(&farm) != 0) {
            return -1;
        }
        trio->farms[i] = farm;
    }
    return 0;
}

static int trio_teardown(void **state)
{
    struct trio *trio = *state;
    int bad = 0;

    for (int i = 0; i < MPMS; i++) {
        void *farm = trio->farms[i];

        bad |= farm != NULL ? ccs_farm_teardown(&farm) : 0;
    }
    free(trio);
    return bad;
}

static void put_hosts(struct ccs_farm *farm, char fingerprints[HOSTS][65])
{
    char name[32], file[40];

    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof(name), "h%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprints[i]);
    }
}

static void ask_all(struct ccs_farm *farm, char fingerprints[HOSTS][65], int times)
{
    char name[32];

    for (int i = 0; i < HOSTS * times; i++) {
        snprintf(name, sizeof(name), "h%d.test", i % HOSTS);
        ccs_farm_expect_name(farm, name, NULL, fingerprints[i % HOSTS]);
    }
}

static void expect_one_load_each(struct ccs_farm *farm, const char *after)
{
    unsigned long reads = ccs_apache_farm_status(farm, "h0.test", "store_reads"),
                  decodes = ccs_apache_farm_status(farm, "h0.test", "decodes");

    print_message("%s: %lu reads of the store, %lu decodings\n", after, reads, decodes);
    if (reads != HOSTS || decodes != HOSTS) {
        fail_msg("%s: %lu reads and %lu decodings for %d hosts", after, reads, decodes, HOSTS);
    }
}

struct replaced {
    struct ccs_farm *farm;
    pid_t dead;
};

static int child_was_replaced(void *arg)
{
    struct replaced *r = arg;
    pid_t pids[CCS_APACHE_CHILDREN];
    size_t n = ccs_apache_children(&r->farm->apache, pids), i;

    for (i = 0; i < n; i++) {
        if (pids[i] == r->dead) {
            return 0;
        }
    }
    return n >= CHILDREN;
}

static pid_t kill_child(struct ccs_farm *farm, size_t which)
{
    pid_t pids[CCS_APACHE_CHILDREN];
    size_t n = ccs_apache_children(&farm->apache, pids);

    assert_true(n > 0);
    assert_int_equal(kill(pids[which % n], SIGKILL), 0);
    return pids[which % n];
}

static void run_trio(struct trio *trio, const char *conf)
{
    for (int i = 0; i < MPMS; i++) {
        struct ccs_farm *farm = trio->farms[i];
        const struct ccs_apache_spec spec = {
            .conf = conf, .mpm = (enum ccs_apache_mpm)i, .children = CHILDREN, .threads = 3};

        put_hosts(farm, trio->fingerprints[i]);
        ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
    }
}

static void ask_trio(struct trio *trio, int times, const char *after)
{
    for (int i = 0; i < MPMS; i++) {
        print_message("%s: ", ccs_apache_farm_mpm((enum ccs_apache_mpm)i));
        ask_all(trio->farms[i], trio->fingerprints[i], times);
        expect_one_load_each(trio->farms[i], after);
    }
}

static void each_mpm_stays_warm(void **state)
{
    struct trio *trio = *state;
    struct replaced replaced[MPMS];
    int i, which;

    run_trio(trio, CCS_APACHE_WITH("CCSRefresh 1h\n"));
    ask_trio(trio, 3, "at first");
    for (i = 0; i < MPMS; i++) {
        ccs_apache_graceful(&trio->farms[i]->apache);
    }
    ask_trio(trio, 2, "after a graceful restart");
    for (which = 0; which < CHILDREN; which++) {
        for (i = 0; i < MPMS; i++) {
            replaced[i].farm = trio->farms[i];
            replaced[i].dead = kill_child(trio->farms[i], (size_t)which);
        }
        for (i = 0; i < MPMS; i++) {
            assert_true(ccs_wait_until(child_was_replaced, &replaced[i], 0));
        }
        ask_trio(trio, 2, "after a child was killed");
    }
    /* Whoever looked after the store is dead now: another one has to. */
    for (i = 0; i < MPMS; i++) {
        ccs_farm_put(trio->farms[i], "h1.test.pfx", "h1.test", trio->fingerprints[i][1]);
    }
    for (i = 0; i < MPMS; i++) {
        print_message("renewed: served after %.0f ms\n",
                      ccs_farm_wait_served(trio->farms[i], "h1.test", trio->fingerprints[i][1]));
        /* The teardown would take the deaths for crashes. */
        ccs_tmp_print(trio->farms[i]->tmp.path, "error.log", "");
    }
}

struct first {
    const struct ccs_farm *farm;
    pid_t pids[CCS_APACHE_CHILDREN];
    size_t count;
};

/* Of the children that were there at first one is gone; which one had most to do is chance. */
static int one_is_gone(void *arg)
{
    const struct first *first = arg;
    pid_t now[CCS_APACHE_CHILDREN];
    size_t n = ccs_apache_children(&first->farm->apache, now), i, j;

    for (i = 0; i < first->count; i++) {
        for (j = 0; j < n && now[j] != first->pids[i]; j++) {
        }
        if (j == n) {
            return 1;
        }
    }
    return 0;
}

/* Children that end after a few connections, as many servers are told to have them. */
static void each_mpm_recycles(void **state)
{
    struct trio *trio = *state;
    struct first first[MPMS];
    int i;

    run_trio(trio, CCS_APACHE_WITH("CCSRefresh 1h\nMaxConnectionsPerChild 8\n"));
    for (i = 0; i < MPMS; i++) {
        first[i].farm = trio->farms[i];
        first[i].count = ccs_apache_children(&trio->farms[i]->apache, first[i].pids);
    }
    ask_trio(trio, 3, "at first");
    for (i = 0; i < MPMS; i++) {
        assert_true(ccs_wait_until(one_is_gone, &first[i], 0));
    }
    ask_trio(trio, 1, "after children were recycled");
}

/* -- restarts that go wrong ---------------------------------------------------------------- */

/* The server goes on as it was, says what is wrong, and takes what is right as soon as it is. */
static void passwords_become_unreadable(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx how = {.password = "swordfish"}, other = {.password = "later"};
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_leaf a, b;
    char path[300];
    int round;

    ccs_pki_issue(farm->ca, &spec, &a);
    spec.names = "b.test";
    ccs_pki_issue(farm->ca, &spec, &b);
    ccs_farm_put_leaves(farm, "a.test.pfx", &a, 1, &how);
    ccs_farm_put_leaves(farm, "b.test.pfx", &b, 1, &how);
    ccs_farm_put_leaves(farm, "c.test.pfx", &b, 1, &other);
    ccs_tmp_print(farm->tmp.path, "passwords", "swordfish\n");
    ccs_apache_farm_run(farm, CCS_APACHE_WITH("CCSPasswordFile @DIR@/passwords\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a.fingerprint);
    for (round = 0; round < 2; round++) {
        if (round == 0) {
            ccs_tmp_unlink(farm->tmp.path, "passwords");
        } else {
            /* Root reads whatever the mode; a folder is no file for anyone. */
            ccs_tmp_mkdir(farm->tmp.path, "passwords");
        }
        ccs_apache_graceful(&farm->apache);
        ccs_place_wait_log(farm->tmp.path, "passwords", (size_t)round + 1);
        ccs_farm_expect_name(farm, "a.test", NULL, a.fingerprint);
    }
    /* The passwords themselves were kept, too. */
    ccs_farm_expect_name(farm, "b.test", "LOADED b.test.pfx", b.fingerprint);
    ccs_tmp_join(path, sizeof(path), farm->tmp.path, "passwords");
    assert_int_equal(rmdir(path), 0);
    ccs_tmp_print(farm->tmp.path, "passwords", "swordfish\nlater\n");
    ccs_apache_graceful(&farm->apache);
    ccs_farm_wait_log(farm, "resuming normal operations");
    {
        struct ccs_tls_spec ask = ccs_farm_ask(farm, "c.test");

        ask.verify_host = "b.test";
        ccs_farm_expect(&ask, "LOADED c.test.pfx", b.fingerprint);
    }
    assert_int_equal(ccs_place_logged(farm->tmp.path, "swordfish"), 0);
    ccs_pki_leaf_clear(&a);
    ccs_pki_leaf_clear(&b);
}

static void bad_values(void **state)
{
    static const char *const mistakes[] = {
        CCS_APACHE_WITH("CCSWait soon\nCCSUnknownName maybe\nCCSCacheSize 12\n"),
        /* On, without a store. */
        CCS_APACHE_CACHE CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON),
    };
    struct ccs_farm *farm = *state;
    size_t i, errors;
    char a[65], b[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        errors = ccs_place_logged(farm->tmp.path, "CCS");
        ccs_apache_rewrite(&farm->apache, mistakes[i], 0);
        ccs_apache_graceful(&farm->apache);
        print_message("mistake %zu\n", i);
        ccs_place_wait_log(farm->tmp.path, "CCS", errors + 1);
        ccs_farm_expect_name(farm, "a.test", NULL, a);
    }
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    ccs_apache_rewrite(&farm->apache, CCS_APACHE_CONF, 0);
    ccs_apache_graceful(&farm->apache);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
}

/* A change that is good counts from the restart on. */
static void store_and_settings_change(void **state)
{
    struct ccs_farm *farm = *state;
    char first[65], second[65], other[300];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_tmp_mkdir(farm->tmp.path, "other");
    ccs_tmp_join(other, sizeof(other), farm->tmp.path, "other");
    ccs_pki_put(farm->ca, "a.test", other, "a.test.pfx", second);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_apache_rewrite(
        &farm->apache,
        CCS_APACHE_CACHE "CCSStore @DIR@/other\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON), 0);
    ccs_apache_graceful(&farm->apache);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", second);
    ccs_apache_rewrite(&farm->apache, CCS_APACHE_CONF, 0);
    ccs_apache_graceful(&farm->apache);
    ccs_farm_expect_name(farm, "a.test", "SHARED a.test.pfx", first);
    /* Another size of the memory starts cold, but it starts. */
    ccs_apache_rewrite(&farm->apache, CCS_APACHE_WITH("CCSCacheSize 8m\n"), 0);
    ccs_apache_graceful(&farm->apache);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
}

/* OpenSSL keeps pointers into the module; httpd closes it at each restart. */
static void module_comes_and_goes(void **state)
{
    static const char stock[] = CCS_APACHE_CACHE CCS_APACHE_VHOST(
        "@PORT1@", "SSLEngine on\nSSLCertificateFile @DIR@/own.crt\n"
                   "SSLCertificateKeyFile @DIR@/own.key\n");
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_leaf leaf;
    char a[65];
    int i, round;

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_pem_file(&leaf, farm->tmp.path, "own.crt", "own.key");
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    for (round = 0; round < 2; round++) {
        ccs_farm_expect_name(farm, "a.test", NULL, a);
        ccs_apache_rewrite(&farm->apache, stock, 1);
        ccs_apache_graceful(&farm->apache);
        for (i = 0; i < 5; i++) {
            ccs_farm_expect_name(farm, "a.test", " ", leaf.fingerprint);
        }
        ccs_apache_rewrite(&farm->apache, CCS_APACHE_CONF, 0);
        ccs_apache_graceful(&farm->apache);
    }
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    ccs_pki_leaf_clear(&leaf);
}

/* -- threads, signals, the end ------------------------------------------------------------- */

/* A thread that is being started has all signals blocked for a moment. */
static int signals_are_right(void *arg)
{
    pid_t child = *(pid_t *)arg, tids[32];
    size_t count = ccs_process_tasks(child, tids, 32), i;
    unsigned long long blocked;
    char dir[80], *status, *at;

    for (i = 0; i < count; i++) {
        snprintf(dir, sizeof(dir), "/proc/%d/task/%d", (int)child, (int)tids[i]);
        status = ccs_tmp_read(dir, "status", NULL);
        at = status != NULL ? strstr(status, "SigBlk:") : NULL;
        blocked = at != NULL ? strtoull(at + 7, NULL, 16) : 0;
        free(status);
        if (tids[i] != child &&
            (!((blocked >> (SIGTERM - 1)) & 1) || !((blocked >> (SIGUSR1 - 1)) & 1) ||
             !((blocked >> (SIGHUP - 1)) & 1) || ((blocked >> (SIGSEGV - 1)) & 1))) {
            return 0;
        }
    }
    return count >= 2 && count <= 8;
}

/* Threads belong to children, and httpd's signals do not belong to threads. */
static void threads_and_signals(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_apache_spec spec = {.conf = CCS_APACHE_CONF, .mpm = CCS_APACHE_PREFORK};
    pid_t children[CCS_APACHE_CHILDREN];

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
    ccs_farm_expect_name(farm, "a.test", NULL, NULL);
    assert_int_equal(ccs_process_threads(farm->apache.pid), 1);
    assert_int_equal(ccs_apache_children(&farm->apache, children), 1);
    assert_true(ccs_wait_until(signals_are_right, &children[0], 0));
    ccs_apache_graceful(&farm->apache);
    ccs_farm_expect_name(farm, "a.test", "SHARED a.test.pfx", NULL);
    ccs_apache_signal(&farm->apache, SIGTERM);
    assert_int_equal(ccs_apache_wait(&farm->apache), 0);
}

/* -X is how one looks for mistakes. */
static void one_process(void **state)
{
    static const char *const tool[] = {"/usr/bin/env", NULL};
    struct ccs_farm *farm = *state;
    char a[65];
    int mpm;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    for (mpm = CCS_APACHE_EVENT; mpm <= CCS_APACHE_PREFORK; mpm++) {
        struct ccs_apache_spec spec = {
            .conf = CCS_APACHE_CONF, .mpm = (enum ccs_apache_mpm)mpm, .tool = tool};

        ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
        ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
        ccs_farm_expect_refused(farm, "gone.test");
        assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_mpm_stays_warm, trio_setup, trio_teardown),
        cmocka_unit_test_setup_teardown(each_mpm_recycles, trio_setup, trio_teardown),
        CCS_FARM_TEST(passwords_become_unreadable),
        CCS_FARM_TEST(bad_values),
        CCS_FARM_TEST(store_and_settings_change),
        CCS_FARM_TEST(module_comes_and_goes),
        CCS_FARM_TEST(threads_and_signals),
        CCS_FARM_TEST(one_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
