/* SPDX-License-Identifier: Apache-2.0 */
/* What nginx serves when much of what is in the store is gone at once, though the store is there.
 */
#include "farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL NULL
#define SHARE "silent"

#define HOSTS     100
#define IN_USE    40
#define VANISHING 12

static void run(struct ccs_farm *farm, const char *share, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .share = share};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

#define STATUS                                                                                     \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_refresh 1s; ccs_negative 1h;\n"                               \
                                "server { listen @PORT1@ ssl;\n"                                   \
                                "location / { " CCS_FARM_ANSWER "}\n"                              \
                                "location = /status { ccs_status; } }\n"

struct status {
    struct ccs_farm *farm;
    const char *text;
    const char *name; /* of a host that is served */
};

static int status_says(void *arg)
{
    const struct status *status = arg;
    struct ccs_tls_spec spec = ccs_farm_ask(status->farm, status->name);
    struct ccs_tls_result result;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.status, 200);
    return strstr(result.body, status->text) != NULL;
}

static void expect_in_use(struct ccs_farm *farm, int first, int last)
{
    char name[30];

    for (int i = first; i < last; i++) {
        snprintf(name, sizeof(name), "h%d.shop.test", i);
        ccs_farm_expect_name(farm, name, NULL, NULL);
    }
}

static void move_hosts(struct ccs_farm *farm, int count, int away)
{
    char from[512], to[512], file[40], aside[300];

    ccs_tmp_join(aside, sizeof(aside), farm->tmp.path, "aside");
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof(file), "h%d.shop.test.pfx", i);
        ccs_tmp_join(from, sizeof(from), away ? farm->store : aside, file);
        ccs_tmp_join(to, sizeof(to), away ? aside : farm->store, file);
        assert_int_equal(rename(from, to), 0);
    }
}

static void lose_a_tenth(struct ccs_farm *farm, const char *share)
{
    struct status status = {.farm = farm, .name = "h99.shop.test"};
    struct ccs_pki_spec spec = {.names = "*.shop.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char name[30];
    double until;

    ccs_tmp_mkdir(farm->tmp.path, "aside");
    ccs_pki_issue(farm->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof(name), "h%d.shop.test.pfx", i);
        ccs_farm_put_bytes(farm, name, bytes.data, bytes.len);
    }
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
    run(farm, share, STATUS);
    for (int i = 0; i < IN_USE; i++) {
        snprintf(name, sizeof(name), "h%d.shop.test", i);
        ccs_farm_wait_served(farm, name, NULL);
    }

    move_hosts(farm, VANISHING, 1);
    ccs_farm_wait_log(farm, "missing");
    ccs_farm_wait_log(farm, "at once: they stay");
    status.text = "\"suspect\":true";
    assert_true(ccs_wait_until(status_says, &status, 0));
    /* Longer than two looks take. */
    for (until = ccs_wait_clock() + 4000; ccs_wait_clock() < until; ccs_wait_pass(100))
        expect_in_use(farm, 0, IN_USE);

    move_hosts(farm, VANISHING, 0);
    status.text = "\"suspect\":false";
    assert_true(ccs_wait_until(status_says, &status, 0));
    expect_in_use(farm, 0, IN_USE);
    /* Now that it is over, what goes is gone again. */
    ccs_tmp_unlink(farm->store, "h0.shop.test.pfx");
    ccs_farm_wait_refused(farm, "h0.shop.test");
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

/* Few files, but all of them. */
static void emptied_folder(void **state)
{
    struct ccs_farm *farm = *state;
    struct status status = {.farm = farm, .text = "\"suspect\":true"};
    char own[65], fresh[65];
    double until;

    ccs_farm_put(farm, "a.test.pfx", "a.test", own);
    run(farm, LOCAL, STATUS);
    status.name = "a.test";
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", own);
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    assert_true(ccs_wait_until(status_says, &status, 0));
    for (until = ccs_wait_clock() + 4000; ccs_wait_clock() < until; ccs_wait_pass(100))
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", own);
    /* What comes counts, and with it the folder is not empty any more. */
    ccs_farm_put(farm, "b.test.pfx", "b.test", fresh);
    ccs_farm_wait_served(farm, "b.test", fresh);
    ccs_farm_wait_refused(farm, "a.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(tenth_of_the_files_gone),
        CCS_FARM_TEST(tenth_of_the_files_gone_on_a_share),
        CCS_FARM_TEST(emptied_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
