/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates on a share that is mounted nowhere: served, renewed, added and removed. */
#include "share.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A notification is all that can bring the news in these tests. */
#define QUIET "ccs_refresh 1h; ccs_negative 1h;\n"

static void served(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65], all[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    ccs_farm_expect_name(farm, "x.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_expect_refused(farm, "stranger.test");
    ccs_farm_expect_refused(farm, "x.y.shop.test");
    assert_int_equal(ccs_nginx_logged(&farm->nginx, share->smbd.password), 0);
}

/* As people write the share, and as nginx's parser, which sees escapes, hands it on. */
static void spellings(void **state)
{
    static const char *const forms[][2] = {
        {"\\\\127.0.0.1:", "\\certs"},
        {"\"\\\\\\\\127.0.0.1:", "\\\\certs\""},
        {"smb://127.0.0.1:", "/certs/"},
        {"//127.0.0.1:", "/CERTS"},
        {"'\\\\127.0.0.1:", "\\certs\\team\\new ones'"},
        {"smb://127.0.0.1:", "/certs/team/new%20ones"},
    };
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char location[100], top[65], inner[65], path[300];

    ccs_tmp_mkdir(farm->store, "team");
    ccs_tmp_mkdir(farm->store, "team/new ones");
    ccs_farm_put(farm, "a.test.pfx", "a.test", top);
    ccs_tmp_join(path, sizeof(path), farm->store, "team/new ones");
    ccs_pki_put(farm->ca, "a.test", path, "a.test.pfx", inner);
    ccs_share_start(share, NULL);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const int below = strstr(forms[i][1], "team") != NULL;

        snprintf(location, sizeof(location), "%s%d%s", forms[i][0], share->smbd.port, forms[i][1]);
        ccs_share_conf(share, location, QUIET);
        if (i == 0) {
            struct ccs_nginx_spec spec = {.http = share->http};

            ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
        } else {
            ccs_nginx_rewrite(&farm->nginx, share->http, 0);
            assert_true(ccs_nginx_reload(&farm->nginx));
        }
        ccs_farm_expect_name(farm, "a.test", NULL, below ? inner : top);
    }
}

static void renewed_by_rename(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char first[65], second[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    for (int i = 0; i < 3; i++) {
        ccs_farm_put(farm, "a.test.pfx", "a.test", second);
        print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", second));
    }
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", second);
}

static void new_file(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65];

    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_refused(farm, "a.test");
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", a));
}

static void removed(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65], b[65], again[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    print_message("refused after %.0f ms\n", ccs_farm_wait_refused(farm, "a.test"));
    ccs_farm_expect_name(farm, "b.test", "HIT b.test.pfx", b);
    ccs_farm_put(farm, "a.test.pfx", "a.test", again);
    ccs_farm_wait_served(farm, "a.test", again);
}

/* Somebody writes into the file that is served; whatever was read of it, it is one or the other. */
static void written_in_place(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_pki_spec how = {.names = "a.test"};
    struct ccs_pki_leaf leaf[2];
    struct ccs_pki_bytes bytes[2];
    struct ccs_tls_result result;
    struct ccs_tls_spec ask;
    int i;

    for (i = 0; i < 2; i++) {
        ccs_pki_issue(farm->ca, &how, &leaf[i]);
        bytes[i] = ccs_pki_pfx_make(&leaf[i], 1, NULL);
    }
    ccs_tmp_write(farm->store, "a.test.pfx", bytes[1].data, bytes[1].len);
    ccs_share_start_run(share, QUIET);
    ccs_farm_wait_served(farm, "a.test", leaf[1].fingerprint);
    ask = ccs_farm_ask(farm, "a.test");
    for (i = 0; i < 60; i++) {
        const struct ccs_pki_bytes *b = &bytes[i % 2];

        ccs_tmp_write(farm->store, "a.test.pfx", b->data, b->len / 2);
        (void)ccs_tls_client_once(&ask, &result, NULL);
        assert_true(result.ok);
        ccs_tmp_write(farm->store, "a.test.pfx", b->data, b->len);
        (void)ccs_tls_client_once(&ask, &result, NULL);
        assert_true(result.ok);
        assert_true(strcmp(result.fingerprint, leaf[0].fingerprint) == 0 ||
                    strcmp(result.fingerprint, leaf[1].fingerprint) == 0);
    }
    ccs_farm_wait_served(farm, "a.test", leaf[1].fingerprint);
    for (i = 0; i < 2; i++) {
        ccs_pki_bytes_clear(&bytes[i]);
        ccs_pki_leaf_clear(&leaf[i]);
    }
}

/* As most programs do it, and by one that runs on the file server itself, behind Samba's back. */
static void rewritten_by_server(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_pki_spec how = {.names = "a.test"};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;
    char first[65], path[300];
    int fd;

    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    /* The watch stands when this has come through. */
    ccs_farm_put(farm, "b.test.pfx", "b.test", first);
    ccs_farm_wait_served(farm, "b.test", first);
    ccs_pki_issue(farm->ca, &how, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_tmp_join(path, sizeof(path), farm->store, "a.test.pfx");
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    close(fd);
    print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", leaf.fingerprint));
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

static void link_many(const struct ccs_farm *farm, const char *file, int count)
{
    char from[512], to[512], name[40];

    ccs_tmp_join(from, sizeof(from), farm->store, file);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "h%d.many.test.pfx", i);
        ccs_tmp_join(to, sizeof(to), farm->store, name);
        assert_int_equal(link(from, to), 0);
    }
}

/* One listing for all workers, and more events at once than the server can tell. */
static void many_files(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_smbd_spec smbd = {.trace = 1};
    char a[65], b[65], many[65];
    size_t listings;

    ccs_farm_put(farm, "all.pfx", "*.many.test", many);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    link_many(farm, "all.pfx", 10000);
    ccs_share_start(share, &smbd);
    ccs_share_run(share, QUIET, 4);
    for (int i = 0; i < 20; i++)
        ccs_farm_expect_refused(farm, "stranger.test");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "h9999.many.test", "LOADED h9999.many.test.pfx", many);
    listings = ccs_smbd_listings(&share->smbd);
    print_message("%zu listings\n", listings);
    assert_in_range(listings, 1, 2);

    for (int i = 0; i < 5000; i++) {
        char name[40];

        snprintf(name, sizeof(name), "h%d.many.test.pfx", i);
        ccs_tmp_unlink(farm->store, name);
    }
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
    ccs_farm_wait_refused(farm, "h0.many.test");
    ccs_farm_expect_name(farm, "h9999.many.test", NULL, many);
}

/* The web server's own processes may not read it. */
static void closed_folder(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    const struct passwd *user = getpwnam("nobody");
    struct ccs_nginx_spec spec = {.http = CCS_FARM_TLS
                                  "ccs on; ccs_store @STORE@; ccs_agent on;"
                                  "ccs_agent_user nobody;\n" QUIET CCS_FARM_SERVER,
                                  .user = "daemon"};
    char first[65], second[65], path[300];

    if (geteuid() != 0) {
        print_message("only root can let others read what nginx may not\n");
        return;
    }
    assert_non_null(user);
    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_tmp_join(path, sizeof(path), farm->store, "a.test.pfx");
    assert_int_equal(chown(path, user->pw_uid, user->pw_gid), 0);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chown(farm->store, user->pw_uid, user->pw_gid), 0);
    assert_int_equal(chmod(farm->store, 0700), 0);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", first);
    ccs_farm_expect_refused(farm, "stranger.test");
    ccs_farm_put(farm, "a.test.pfx", "a.test", second);
    ccs_farm_wait_served(farm, "a.test", second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_SHARE_TEST(served),
        CCS_SHARE_TEST(spellings),
        CCS_SHARE_TEST(renewed_by_rename),
        CCS_SHARE_TEST(new_file),
        CCS_SHARE_TEST(removed),
        CCS_SHARE_TEST(written_in_place),
        CCS_SHARE_TEST(rewritten_by_server),
        CCS_SHARE_TEST(many_files),
        CCS_SHARE_TEST(closed_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
