/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come, change and go while httpd runs, without a restart. */
#include "apache_farm.h"

#include <stdio.h>
#include <string.h>

/* A notification is all that can bring the news in these tests. */
#define CONF CCS_APACHE_WITH("CCSRefresh 1h\nCCSNegative 1h\n")

/* Several children, so that what one of them sees the others have to learn. */
static void run(struct ccs_farm *farm, enum ccs_apache_mpm mpm)
{
    struct ccs_apache_spec spec = {.conf = CONF, .mpm = mpm, .children = 3, .threads = 2};

    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
}

static void come_change_and_go(void **state)
{
    struct ccs_farm *farm = *state;
    char fresh[65], file[40], name[32];
    int mpm, i;

    /* A store that is suddenly empty would not be believed. */
    ccs_farm_put(farm, "stays.test.pfx", "stays.test", NULL);
    for (mpm = CCS_APACHE_EVENT; mpm <= CCS_APACHE_PREFORK; mpm++) {
        print_message("%s\n", ccs_apache_farm_mpm((enum ccs_apache_mpm)mpm));
        snprintf(name, sizeof(name), "a%d.test", mpm);
        snprintf(file, sizeof(file), "%s.pfx", name);
        run(farm, (enum ccs_apache_mpm)mpm);
        ccs_farm_expect_refused(farm, name);
        ccs_farm_put(farm, file, name, fresh);
        print_message("new: served after %.0f ms\n", ccs_farm_wait_served(farm, name, fresh));
        for (i = 0; i < 8; i++) {
            ccs_farm_wait_served(farm, name, fresh);
        }
        ccs_farm_put(farm, file, name, fresh);
        print_message("renewed: served after %.0f ms\n", ccs_farm_wait_served(farm, name, fresh));
        for (i = 0; i < 12; i++) {
            ccs_farm_expect_name(farm, name, NULL, fresh);
        }
        ccs_tmp_unlink(farm->store, file);
        print_message("removed: refused after %.0f ms\n", ccs_farm_wait_refused(farm, name));
        for (i = 0; i < 12; i++) {
            ccs_farm_expect_refused(farm, name);
        }
        assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    }
}

static void bad_new_file(void **state)
{
    static const char garbage[] = "this is not what it says it is";
    struct ccs_farm *farm = *state;
    char first[65], good[65];
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_put(farm, "_.test.pfx", "*.test", NULL);
    ccs_apache_farm_run(farm, CONF);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_farm_put_bytes(farm, "a.test.pfx", garbage, sizeof(garbage));
    ccs_farm_wait_log(farm, "what was served before stays in service");
    for (i = 0; i < 5; i++) {
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", first);
    }
    ccs_farm_put(farm, "a.test.pfx", "a.test", good);
    ccs_farm_wait_served(farm, "a.test", good);
}

/* Whoever asks while it is being written waits for its end. */
static void new_file_written_slowly(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_tls_client *client;
    struct ccs_pki_bytes bytes;
    struct ccs_tls_spec ask;
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_apache_farm_run(farm, CCS_APACHE_WITH("CCSRefresh 1h\nCCSWait 30s\n"));
    ccs_tmp_write(farm->store, "a.test.pfx", bytes.data, bytes.len / 2);
    ask = ccs_farm_ask(farm, "a.test");
    client = ccs_tls_client_start(&ask);
    assert_true(ccs_tls_client_settle(&client, 1, 0));
    ccs_wait_pass(100);
    assert_true(ccs_tls_client_waiting(client));
    ccs_tmp_write(farm->store, "a.test.pfx", bytes.data, bytes.len);
    assert_int_equal(ccs_tls_client_run(&client, 1, 0), 1);
    assert_string_equal(ccs_tls_client_result(client)->fingerprint, leaf.fingerprint);
    assert_string_equal(ccs_tls_client_result(client)->body, "LOADED a.test.pfx");
    ccs_tls_client_free(client);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

/* As when a share is unmounted. */
static void whole_store_vanishes(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65], moved[300];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_apache_farm_run(farm, CCS_APACHE_WITH("CCSRefresh 1s\nCCSWait 2s\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_tmp_join(moved, sizeof(moved), farm->tmp.path, "moved");
    assert_int_equal(rename(farm->store, moved), 0);
    ccs_farm_wait_log(farm, "does not answer");
    /* Known: served, and said to be stale. Unknown: the store is to blame, not the name. */
    ccs_farm_expect_name(farm, "a.test", "STALE a.test.pfx", a);
    spec = ccs_farm_ask(farm, "b.test");
    ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
    /* A restart meanwhile ends nothing and forgets nothing. */
    ccs_apache_graceful(&farm->apache);
    ccs_farm_wait_served(farm, "a.test", a);
    ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
    assert_int_equal(rename(moved, farm->store), 0);
    ccs_farm_wait_refused(farm, "b.test");
    ccs_farm_expect_name(farm, "a.test", NULL, a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(come_change_and_go),
        CCS_FARM_TEST(bad_new_file),
        CCS_FARM_TEST(new_file_written_slowly),
        CCS_FARM_TEST(whole_store_vanishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
