/* SPDX-License-Identifier: Apache-2.0 */
/* A file server that goes away and comes back, in all the ways it can. */
#include "share.h"

#include <stdio.h>
#include <string.h>

#define SHORT "ccs_wait 3s; ccs_refresh 1s; ccs_negative 1s;\n"

/* One name that is known from the beginning, and one that nobody has asked for yet. */
static void begin(struct ccs_share *share, char known[65], char later[65])
{
    ccs_farm_put(share->farm, "a.test.pfx", "a.test", known);
    ccs_farm_put(share->farm, "later.test.pfx", "later.test", later);
    ccs_share_start_run(share, SHORT);
    ccs_farm_expect_name(share->farm, "a.test", "LOADED a.test.pfx", known);
}

/* What is known is served all the time, what is not is the store's fault. */
static void expect_outage(struct ccs_share *share, const char *known)
{
    ccs_farm_wait_log(share->farm, "does not answer");
    ccs_farm_expect_name(share->farm, "a.test", NULL, known);
    ccs_share_wait_error(share, "later.test");
    ccs_farm_expect_name(share->farm, "a.test", NULL, known);
}

static void expect_recovery(struct ccs_share *share, const char *known, const char *later)
{
    char fresh[65], renewed[65];

    ccs_farm_wait_served(share->farm, "later.test", later);
    ccs_farm_expect_name(share->farm, "a.test", NULL, known);
    ccs_farm_wait_refused(share->farm, "stranger.test");
    /* Notifications work again, or something that does as well. */
    ccs_farm_put(share->farm, "fresh.test.pfx", "fresh.test", fresh);
    ccs_farm_wait_served(share->farm, "fresh.test", fresh);
    ccs_farm_put(share->farm, "a.test.pfx", "a.test", renewed);
    ccs_farm_wait_served(share->farm, "a.test", renewed);
}

static void killed_and_restarted(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    begin(share, known, later);
    ccs_smbd_kill(&share->smbd);
    expect_outage(share, known);
    ccs_smbd_revive(&share->smbd);
    expect_recovery(share, known, later);
}

/* Connections stand, nobody says anything. */
static void frozen(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    begin(share, known, later);
    ccs_smbd_freeze(&share->smbd);
    expect_outage(share, known);
    ccs_smbd_thaw(&share->smbd);
    expect_recovery(share, known, later);
}

/* Renewed while the server was away: nobody could be told. */
static void renewed_meanwhile(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65], renewed[65];

    ccs_farm_put(share->farm, "a.test.pfx", "a.test", known);
    ccs_farm_put(share->farm, "later.test.pfx", "later.test", later);
    ccs_share_start_run(share, "ccs_wait 3s; ccs_refresh 5s;\n");
    ccs_farm_expect_name(share->farm, "a.test", "LOADED a.test.pfx", known);
    ccs_smbd_kill(&share->smbd);
    expect_outage(share, known);
    ccs_farm_put(share->farm, "a.test.pfx", "a.test", renewed);
    ccs_smbd_revive(&share->smbd);
    ccs_farm_wait_served(share->farm, "a.test", renewed);
}

/* Only the sessions end, and new ones are taken at once. */
static void sessions_ended(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    begin(share, known, later);
    for (int i = 0; i < 3; i++) {
        ccs_smbd_drop(&share->smbd);
        ccs_farm_expect_name(share->farm, "a.test", NULL, known);
        ccs_farm_wait_refused(share->farm, "stranger.test");
    }
    expect_recovery(share, known, later);
}

static void password_changed(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    begin(share, known, later);
    ccs_smbd_set_password(&share->smbd, "another-one-7");
    ccs_farm_wait_log(share->farm, "password");
    ccs_farm_expect_name(share->farm, "a.test", NULL, known);
    ccs_share_wait_error(share, "later.test");
    for (int i = 0; i < 10; i++)
        ccs_share_expect_error(share, "later.test");
    assert_int_equal(ccs_smbd_refusals(&share->smbd), 1);
    /* The new one takes a reload, because only the master may read the file. */
    ccs_smbd_credentials(&share->smbd, share->farm->tmp.path, "credentials", NULL);
    assert_true(ccs_nginx_reload(&share->farm->nginx));
    expect_recovery(share, known, later);
    assert_int_equal(ccs_smbd_refusals(&share->smbd), 1);
    assert_int_equal(ccs_nginx_logged(&share->farm->nginx, "another-one"), 0);
}

static void share_removed_and_back(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    begin(share, known, later);
    ccs_smbd_remove_share(&share->smbd);
    ccs_farm_wait_log(share->farm, "does not exist");
    ccs_farm_expect_name(share->farm, "a.test", NULL, known);
    ccs_share_wait_error(share, "later.test");
    ccs_smbd_restore_share(&share->smbd);
    expect_recovery(share, known, later);
}

/* The server is away when nginx starts: no reason not to start. */
static void away_at_start(void **state)
{
    struct ccs_share *share = *state;
    char known[65], later[65];

    ccs_farm_put(share->farm, "a.test.pfx", "a.test", known);
    ccs_farm_put(share->farm, "later.test.pfx", "later.test", later);
    ccs_share_start(share, NULL);
    ccs_smbd_kill(&share->smbd);
    ccs_share_run(share, SHORT, 1);
    ccs_share_wait_error(share, "a.test");
    ccs_smbd_revive(&share->smbd);
    ccs_farm_wait_served(share->farm, "a.test", known);
    expect_recovery(share, known, later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_SHARE_TEST(killed_and_restarted), CCS_SHARE_TEST(frozen),
        CCS_SHARE_TEST(renewed_meanwhile),    CCS_SHARE_TEST(sessions_ended),
        CCS_SHARE_TEST(password_changed),     CCS_SHARE_TEST(share_removed_and_back),
        CCS_SHARE_TEST(away_at_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
