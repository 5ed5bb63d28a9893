/* SPDX-License-Identifier: Apache-2.0 */
/* What can be wrong with a share, each told apart from the others. */
#include "share.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUICK "ccs_wait 4s; ccs_refresh 1s;\n"

/* The store is to blame, so that no name can be said not to exist; and the log says what it is. */
static void expect_blamed(struct ccs_share *share, const char *words)
{
    ccs_share_wait_error(share, "a.test");
    ccs_farm_wait_log(share->farm, words);
    assert_int_equal(ccs_nginx_logged(&share->farm->nginx, share->smbd.password), 0);
}

static void run_at(struct ccs_share *share, const char *location)
{
    struct ccs_nginx_spec spec = {.http = ccs_share_conf(share, location, QUICK)};

    ccs_nginx_run(&share->farm->nginx, share->farm->tmp.path, &spec);
}

static void share_missing(void **state)
{
    struct ccs_share *share = *state;
    char location[100];

    ccs_share_start(share, NULL);
    run_at(share, ccs_smbd_unc(&share->smbd, "nosuch", location, sizeof(location)));
    expect_blamed(share, "does not exist");
}

static void folder_missing(void **state)
{
    struct ccs_share *share = *state;
    char location[100];

    ccs_share_start(share, NULL);
    run_at(share, ccs_smbd_unc(&share->smbd, "certs/nosuch", location, sizeof(location)));
    expect_blamed(share, "does not exist");
}

/* Servers lock accounts: however many ask, one logon is tried, and not again for a minute. */
static void wrong_password(void **state)
{
    struct ccs_share *share = *state;

    ccs_share_start(share, NULL);
    ccs_smbd_credentials(&share->smbd, share->farm->tmp.path, "credentials", "guessed");
    ccs_share_run(share, QUICK, 2);
    expect_blamed(share, "password");
    for (int i = 0; i < 20; i++)
        ccs_share_expect_error(share, i % 2 ? "a.test" : "b.test");
    assert_int_equal(ccs_smbd_refusals(&share->smbd), 1);
    assert_int_equal(ccs_smbd_logons(&share->smbd), 0);
    assert_int_equal(ccs_nginx_logged(&share->farm->nginx, "guessed"), 0);
}

static void unknown_user(void **state)
{
    static const char text[] = "username=nobody-knows\npassword=guessed\n";
    struct ccs_share *share = *state;
    char path[300];

    ccs_share_start(share, NULL);
    ccs_tmp_join(path, sizeof(path), share->farm->tmp.path, "credentials");
    ccs_tmp_print(share->farm->tmp.path, "credentials", text);
    assert_int_equal(chmod(path, 0600), 0);
    ccs_share_run(share, QUICK, 1);
    expect_blamed(share, "nobody-knows");
    assert_int_equal(ccs_smbd_refusals(&share->smbd), 1);
}

static void access_denied(void **state)
{
    struct ccs_share *share = *state;
    char location[100];

    ccs_share_start(share, NULL);
    run_at(share, ccs_smbd_unc(&share->smbd, "denied", location, sizeof(location)));
    expect_blamed(share, "may not use");
    /* The password is right, so that nobody's account is in danger. */
    assert_int_equal(ccs_smbd_refusals(&share->smbd), 0);
}

static void host_unknown(void **state)
{
    struct ccs_share *share = *state;

    ccs_share_start(share, NULL);
    run_at(share, "//no-such-server.invalid/certs");
    expect_blamed(share, "not known");
}

static void refused(void **state)
{
    struct ccs_share *share = *state;

    ccs_share_start(share, NULL);
    ccs_smbd_kill(&share->smbd);
    run_at(share, NULL);
    expect_blamed(share, "refuses connections");
}

/* Takes connections and says nothing. */
static void timed_out(void **state)
{
    struct ccs_share *share = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(address);
    char location[100];

    ccs_share_start(share, NULL);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(fd, 64), 0);
    snprintf(location, sizeof(location), "//127.0.0.1:%d/certs", ntohs(address.sin_port));
    run_at(share, location);
    expect_blamed(share, "answer");
    close(fd);
}

static void old_dialect(void **state)
{
    static const struct ccs_smbd_spec smbd = {
        .encryption = CCS_SMBD_OFF, .min_protocol = "SMB2_02", .max_protocol = "SMB2_10"};
    struct ccs_share *share = *state;

    ccs_share_start(share, &smbd);
    run_at(share, NULL);
    expect_blamed(share, "SMB 3");
    assert_int_equal(ccs_smbd_logons(&share->smbd), 0);
}

static void not_encrypted(void **state)
{
    static const struct ccs_smbd_spec smbd = {.encryption = CCS_SMBD_OFF};
    struct ccs_share *share = *state;

    ccs_farm_put(share->farm, "a.test.pfx", "a.test", NULL);
    ccs_share_start(share, &smbd);
    run_at(share, NULL);
    expect_blamed(share, "encrypt");
}

/* A server that can encrypt and does not insist is made to. */
static void encryption_offered(void **state)
{
    static const struct ccs_smbd_spec smbd = {.encryption = CCS_SMBD_OFFERED};
    struct ccs_share *share = *state;
    char a[65];

    ccs_farm_put(share->farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, &smbd);
    run_at(share, NULL);
    ccs_farm_expect_name(share->farm, "a.test", "LOADED a.test.pfx", a);
}

/* All of the above are the store's; this is the file's, and others are served. */
static void file_errors(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char b[65], path[300];

    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_tmp_mkdir(farm->store, "folder.test.pfx");
    ccs_tmp_print(farm->store, "empty.test.pfx", "");
    ccs_tmp_print(farm->store, "closed.test.pfx", "not for everyone");
    ccs_tmp_join(path, sizeof(path), farm->store, "closed.test.pfx");
    assert_int_equal(chmod(path, 0), 0);
    ccs_share_start(share, NULL);
    run_at(share, NULL);
    ccs_farm_expect_name(farm, "b.test", "LOADED b.test.pfx", b);
    ccs_farm_expect_refused(farm, "a.test");
    ccs_farm_expect_refused(farm, "folder.test");
    ccs_share_expect_error(share, "empty.test");
    ccs_farm_wait_log(farm, "\"empty.test.pfx\": it is empty");
    if (geteuid() != 0) {
        ccs_share_expect_error(share, "closed.test");
        ccs_farm_wait_log(farm, "may not read");
    }
    ccs_farm_expect_name(farm, "b.test", "HIT b.test.pfx", b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_SHARE_TEST(share_missing),
        CCS_SHARE_TEST(folder_missing),
        CCS_SHARE_TEST(wrong_password),
        CCS_SHARE_TEST(unknown_user),
        CCS_SHARE_TEST(access_denied),
        CCS_SHARE_TEST(host_unknown),
        CCS_SHARE_TEST(refused),
        CCS_SHARE_TEST(timed_out),
        CCS_SHARE_TEST(old_dialect),
        CCS_SHARE_TEST(not_encrypted),
        CCS_SHARE_TEST(encryption_offered),
        CCS_SHARE_TEST(file_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
