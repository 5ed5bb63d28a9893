/* SPDX-License-Identifier: Apache-2.0 */
/* What nginx serves while the file system that the store is on is not mounted. */
#include "farm.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

/* What is in use is looked at every second. */
#define OFTEN CCS_FARM_HTTP "ccs_refresh 1s; ccs_negative 1h;\n"

#define LOCAL NULL
#define SHARE "silent"

static void run(struct ccs_farm *farm, const char *share, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .share = share};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

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
    ccs_tmp_write(dir, "a.shop.test.pfx", away->bytes.data, away->bytes.len);
    ccs_tmp_write(dir, "b.shop.test.pfx", away->bytes.data, away->bytes.len);
}

/* What is known is served, and what is not is the store's fault. */
static void expect_away(struct away *away)
{
    struct ccs_tls_spec spec = ccs_farm_ask(away->farm, "c.shop.test");

    for (int i = 0; i < 25; i++) {
        ccs_farm_expect_name(away->farm, "a.shop.test", "STALE a.shop.test.pfx",
                             away->leaf.fingerprint);
        ccs_farm_expect_name(away->farm, "b.shop.test", "STALE b.shop.test.pfx",
                             away->leaf.fingerprint);
        ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
        ccs_wait_pass(100);
    }
}

static void go_away(struct ccs_farm *farm, const char *share, int memory)
{
    struct ccs_pki_spec spec = {.names = "*.shop.test"};
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
    ccs_farm_wait_served(farm, "a.shop.test", NULL);
    ccs_farm_wait_served(farm, "b.shop.test", NULL);
    ccs_farm_wait_refused(farm, "c.shop.test");

    assert_int_equal(umount2(farm->store, UMOUNT_NOFOLLOW), 0);
    ccs_farm_wait_log(farm, "does not answer");
    expect_away(&away);

    mount_store(&away);
    if (memory)
        fill(&away, farm->store);
    ccs_tmp_write(farm->store, "c.shop.test.pfx", away.bytes.data, away.bytes.len);
    ccs_farm_wait_log(farm, "answers again");
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "c.shop.test", NULL));
    ccs_farm_expect_name(farm, "a.shop.test", "HIT a.shop.test.pfx", away.leaf.fingerprint);
    ccs_farm_expect_name(farm, "b.shop.test", "HIT b.shop.test.pfx", away.leaf.fingerprint);
    ccs_farm_wait_refused(farm, "d.shop.test");
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
        MOUNT_TEST(unmounted),
        MOUNT_TEST(unmounted_share),
        MOUNT_TEST(unmounted_and_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
