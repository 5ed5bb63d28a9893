/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come, change and go while nginx runs, without a reload. */
#include "farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A notification is all that can bring the news in these tests. */
#define HTTP CCS_FARM_HTTP "ccs_refresh 1h; ccs_negative 1h;\n"

/* Nobody has asked for the name before. */
static void new_file(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65];

    ccs_farm_run(farm, HTTP);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_wait_served(farm, "a.test", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
}

/* The name was asked for before, so that its absence is remembered. */
static void new_file_for_refused_name(void **state)
{
    struct ccs_farm *farm = *state;
    double took;
    char a[65];

    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_refused(farm, "a.test");
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    took = ccs_farm_wait_served(farm, "a.test", a);
    print_message("served after %.0f ms\n", took);
    assert_true(took < ccs_wait_scaled(20000));
}

static void renewed_by_rename(void **state)
{
    struct ccs_farm *farm = *state;
    char first[65], second[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_farm_put(farm, "a.test.pfx", "a.test", second);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", second));
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", second);
}

static void renewed_in_place(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char first[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_tmp_write(farm->store, "a.test.pfx", bytes.data, bytes.len);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", leaf.fingerprint));
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

/* The half that is there serves nobody, and does no harm to what is served. */
static void written_slowly(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char first[65];
    int i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", NULL, first);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_tmp_write(farm->store, "a.test.pfx", bytes.data, bytes.len / 2);
    for (i = 0; i < 20; i++) {
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", first);
        ccs_wait_pass(10);
    }
    ccs_tmp_write(farm->store, "a.test.pfx", bytes.data, bytes.len);
    ccs_farm_wait_served(farm, "a.test", leaf.fingerprint);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

/* The server waits for the end of a file for half a second: 0 if writing it took longer. */
static int write_slowly(struct ccs_farm *farm, const char *name)
{
    struct ccs_pki_spec spec = {.names = name};
    struct ccs_tls_client *client;
    struct ccs_pki_bytes bytes;
    struct ccs_tls_spec ask;
    struct ccs_pki_leaf leaf;
    char file[40], body[60];
    double start;
    int in_time;

    snprintf(file, sizeof(file), "%s.pfx", name);
    snprintf(body, sizeof(body), "LOADED %s", file);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_tmp_write(farm->store, file, bytes.data, bytes.len / 2);
    ask = ccs_farm_ask(farm, name);
    start = ccs_wait_clock();
    client = ccs_tls_client_start(&ask);
    (void)ccs_tls_client_settle(&client, 1, 0);
    ccs_wait_pass(100);
    ccs_tmp_write(farm->store, file, bytes.data, bytes.len);
    in_time = ccs_wait_clock() - start < 500;
    if (in_time) {
        assert_true(ccs_tls_client_waiting(client));
        assert_int_equal(ccs_tls_client_run(&client, 1, 0), 1);
        assert_string_equal(ccs_tls_client_result(client)->fingerprint, leaf.fingerprint);
        assert_string_equal(ccs_tls_client_result(client)->body, body);
    }
    ccs_tls_client_free(client);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
    return in_time;
}

/* Whoever asks while it is being written waits for its end. */
static void new_file_written_slowly(void **state)
{
    struct ccs_farm *farm = *state;
    char name[20];
    int i, shown = 0;

    ccs_farm_run(farm, HTTP "ccs_wait 30s;\n");
    for (i = 0; i < 20 && !shown; i++) {
        snprintf(name, sizeof(name), "a%d.test", i);
        shown = write_slowly(farm, name);
    }
    assert_true(shown);
}

static void expect_kept(struct ccs_farm *farm, const char *first, const char *reason)
{
    int i;

    ccs_farm_wait_log(farm, reason);
    ccs_farm_wait_log(farm, "what was served before stays in service");
    for (i = 0; i < 5; i++) {
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", first);
    }
}

static void bad_new_file(void **state)
{
    static const char garbage[] = "this is not what it says it is";
    struct ccs_farm *farm = *state;
    char first[65], good[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_put(farm, "_.test.pfx", "*.test", NULL);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_farm_put_bytes(farm, "a.test.pfx", garbage, sizeof(garbage));
    expect_kept(farm, first, "\"a.test.pfx\": ");
    ccs_farm_put(farm, "a.test.pfx", "a.test", good);
    ccs_farm_wait_served(farm, "a.test", good);
}

static void new_file_with_other_password(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx how = {.password = "nobody knows"};
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char first[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, &how);
    ccs_farm_put_bytes(farm, "a.test.pfx", bytes.data, bytes.len);
    expect_kept(farm, first, "password");
    assert_int_equal(ccs_nginx_logged(&farm->nginx, "nobody knows"), 0);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

static void removed(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65], again[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    print_message("refused after %.0f ms\n", ccs_farm_wait_refused(farm, "a.test"));
    ccs_farm_expect_name(farm, "b.test", "HIT b.test.pfx", b);
    ccs_farm_put(farm, "a.test.pfx", "a.test", again);
    ccs_farm_wait_served(farm, "a.test", again);
}

static void removed_and_wildcard_left(void **state)
{
    struct ccs_farm *farm = *state;
    char own[65], all[65];

    ccs_farm_put(farm, "a.shop.test.pfx", "a.shop.test", own);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "a.shop.test", NULL, own);
    ccs_tmp_unlink(farm->store, "a.shop.test.pfx");
    ccs_farm_wait_served(farm, "a.shop.test", all);
}

/* As when a share is unmounted. */
static void whole_store_vanishes(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], moved[300];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_HTTP "ccs_refresh 1s; ccs_wait 30s;\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_tmp_join(moved, sizeof(moved), farm->tmp.path, "moved");
    assert_int_equal(rename(farm->store, moved), 0);
    ccs_farm_wait_log(farm, "does not answer");
    /* Known: served, and said to be stale. Unknown: the store is to blame, not the name. */
    ccs_farm_expect_name(farm, "a.test", "STALE a.test.pfx", a);
    {
        struct ccs_tls_spec spec = ccs_farm_ask(farm, "b.test");

        ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
    }
    assert_int_equal(rename(moved, farm->store), 0);
    ccs_farm_wait_log(farm, "answers again");
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    ccs_farm_wait_refused(farm, "b.test");
}

struct everywhere {
    struct ccs_farm *farm;
    const char *fingerprint;
};

/* Many connections in a row reach all workers. */
static int served_everywhere(void *arg)
{
    struct everywhere *everywhere = arg;
    struct ccs_tls_spec spec = ccs_farm_ask(everywhere->farm, "a.test");
    struct ccs_tls_result result;
    int i;

    for (i = 0; i < 40; i++) {
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        if (strcmp(result.fingerprint, everywhere->fingerprint) != 0) {
            return 0;
        }
    }
    return 1;
}

/* Each worker learns of it. */
static void several_workers(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_nginx_spec spec = {.http = HTTP, .workers = 3};
    struct everywhere everywhere = {.farm = farm};
    char first[65], second[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    everywhere.fingerprint = first;
    assert_true(served_everywhere(&everywhere));
    ccs_farm_put(farm, "a.test.pfx", "a.test", second);
    everywhere.fingerprint = second;
    assert_true(ccs_wait_until(served_everywhere, &everywhere, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(new_file),
        CCS_FARM_TEST(new_file_for_refused_name),
        CCS_FARM_TEST(renewed_by_rename),
        CCS_FARM_TEST(renewed_in_place),
        CCS_FARM_TEST(written_slowly),
        CCS_FARM_TEST(new_file_written_slowly),
        CCS_FARM_TEST(bad_new_file),
        CCS_FARM_TEST(new_file_with_other_password),
        CCS_FARM_TEST(removed),
        CCS_FARM_TEST(removed_and_wildcard_left),
        CCS_FARM_TEST(whole_store_vanishes),
        CCS_FARM_TEST(several_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
