/* SPDX-License-Identifier: Apache-2.0 */
/* When agents begin and end: with the server that started them. */
#include "share.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nginx_exec.h"
#include "process.h"

#define QUIET "ccs_refresh 1h; ccs_negative 1h;\n"

/* However many workers, the file server sees one logon per process of the agent that talks to it.
 */
static void one_logon(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65], name[40], file[80];
    size_t logons, sessions;

    ccs_share_start(share, NULL);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, a);
    }
    ccs_share_run(share, QUIET, 8);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        for (int j = 0; j < 4; j++)
            ccs_farm_expect_name(farm, name, NULL, NULL);
    }
    logons = ccs_smbd_logons(&share->smbd);
    sessions = ccs_smbd_sessions(&share->smbd);
    print_message("%zu logons, %zu sessions\n", logons, sessions);
    /* One that reads, one that watches, and one that lists and leaves. */
    assert_in_range(logons, 1, 3);
    assert_in_range(sessions, 1, 3);
    assert_true(ccs_nginx_reload(&farm->nginx));
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        ccs_farm_expect_name(farm, name, NULL, NULL);
    }
    assert_in_range(ccs_smbd_logons(&share->smbd), logons, logons + 1);
}

static void reload_keeps(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65], b[65];
    pid_t agent, broker;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    agent = ccs_share_agent();
    broker = ccs_share_process(agent, "broker", 0);
    for (int i = 0; i < 3; i++) {
        assert_true(ccs_nginx_reload(&farm->nginx));
        assert_int_equal(ccs_share_agent(), agent);
        assert_int_equal(ccs_share_process(agent, "broker", 0), broker);
        ccs_farm_expect_name(farm, "a.test", NULL, a);
    }
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
}

/* A worker that still serves somebody keeps what it has been given. */
static void reload_replaces(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_tls_client *client;
    struct ccs_tls_spec spec;
    pid_t agents[CCS_SHARE_PIDS], old;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    old = ccs_share_agent();
    spec = ccs_farm_ask(farm, "a.test");
    spec.segment = 40; /* goes on sending its hello only when it is driven */
    client = ccs_tls_client_start(&spec);
    for (int i = 0; i < 3; i++)
        (void)ccs_tls_client_step(client);
    ccs_nginx_rewrite(&farm->nginx, ccs_share_conf(share, NULL, "ccs_refresh 2h;\n"), 0);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_share_wait_agents(2);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    assert_int_equal(ccs_share_agents(agents), 2);
    assert_int_equal(ccs_tls_client_run(&client, 1, 0), 1);
    ccs_tls_client_free(client);
    ccs_share_wait_gone(old);
    ccs_share_wait_agents(1);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
}

static void off_and_on(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65];
    pid_t old;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start_run(share, QUIET);
    old = ccs_share_agent();
    ccs_nginx_rewrite(&farm->nginx, CCS_FARM_HTTP, 0);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    ccs_share_wait_gone(old);
    ccs_share_wait_agents(0);
    ccs_nginx_rewrite(&farm->nginx, ccs_share_conf(share, NULL, QUIET), 0);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    (void)ccs_share_agent();
}

static void configuration_test(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_nginx_spec spec;
    pid_t pids[CCS_SHARE_PIDS];
    char *output, a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, NULL);
    spec = (struct ccs_nginx_spec){.http = ccs_share_conf(share, NULL, QUIET)};
    ccs_nginx_prepare(&farm->nginx, farm->tmp.path, &spec);
    if (ccs_nginx_test(&farm->nginx, &output) != 0)
        fail_msg("%s", output);
    free(output);
    assert_int_equal(ccs_share_agents(pids), 0);
    assert_int_equal(ccs_smbd_logons(&share->smbd), 0);

    ccs_nginx_start(&farm->nginx);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    (void)ccs_share_agent();
    assert_int_equal(ccs_nginx_test(&farm->nginx, &output), 0);
    free(output);
    (void)ccs_share_agent();
}

/* What is wrong with the configuration refuses a start, and leaves a server that runs as it was. */
static void refused_settings(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char *output, path[300], a[65];
    pid_t agent;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    agent = ccs_share_agent();
    ccs_tmp_join(path, sizeof(path), farm->tmp.path, "credentials");
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(ccs_nginx_test(&farm->nginx, &output), 0);
    assert_non_null(strstr(output, "credentials"));
    free(output);
    assert_false(ccs_nginx_reload(&farm->nginx));
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    assert_int_equal(ccs_share_agent(), agent);
    ccs_smbd_credentials(&share->smbd, farm->tmp.path, "credentials", NULL);
    assert_true(ccs_nginx_reload(&farm->nginx));
    assert_int_equal(ccs_share_agent(), agent);
}

static int of_nginx(pid_t pid, const char *title)
{
    pid_t found[4];

    return ccs_process_children(pid, title, found, 4) > 0;
}

struct upgrade {
    struct ccs_farm *farm;
    pid_t master;
};

static pid_t read_pid(const struct ccs_farm *farm, const char *name)
{
    char *text = ccs_tmp_read(farm->tmp.path, name, NULL);
    const pid_t pid = text != NULL ? (pid_t)strtol(text, NULL, 10) : 0;

    free(text);
    return pid;
}

static int upgraded(void *arg)
{
    struct upgrade *upgrade = arg;

    upgrade->master = read_pid(upgrade->farm, "pid");
    return upgrade->master > 0 && upgrade->master != upgrade->farm->nginx.pid &&
           of_nginx(upgrade->master, "nginx: worker process");
}

/*
 * nginx takes SIGUSR2 only when whoever started it is gone, so a shell starts it and ends. It is an
 * orphan then, and a child of this process.
 */
static void start_as_orphan(struct ccs_share *share)
{
    struct ccs_farm *farm = share->farm;
    const char *const tool[] = {"/bin/sh", "-c",
                                "\"$@\" & until [ -s \"$0/pid\" ]; do sleep 0.05; done",
                                farm->tmp.path, NULL};
    /* What a sanitizer needs has to come through to the next generation. */
    struct ccs_nginx_spec spec = {.tool = tool,
                                  .top = "env LD_PRELOAD; env ASAN_OPTIONS; env UBSAN_OPTIONS;\n"};

    spec.http = ccs_share_conf(share, NULL, QUIET);
    ccs_nginx_prepare(&farm->nginx, farm->tmp.path, &spec);
    farm->nginx.pid = ccs_nginx_exec(&farm->nginx, 0, "output");
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
    farm->nginx.pid = read_pid(farm, "pid");
    farm->nginx.spec.tool = NULL;
}

/* Each generation has an agent of its own, which ends with it. */
static void binary_upgrade(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct upgrade upgrade = {.farm = farm};
    pid_t old_agent;
    char a[65], b[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, NULL);
    start_as_orphan(share);
    ccs_farm_wait_served(farm, "a.test", a);
    old_agent = ccs_share_agent();
    ccs_nginx_signal(&farm->nginx, SIGUSR2);
    assert_true(ccs_wait_until(upgraded, &upgrade, 0));
    ccs_share_wait_agents(2);
    ccs_nginx_signal(&farm->nginx, SIGQUIT);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
    farm->nginx.pid = upgrade.master;
    ccs_share_wait_gone(old_agent);
    ccs_share_wait_agents(1);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
}

struct first {
    struct ccs_tls_spec ask;
    struct ccs_tls_result result;
};

static int is_served(void *arg)
{
    struct first *first = arg;

    return ccs_tls_client_once(&first->ask, &first->result, NULL);
}

static void without_master(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_nginx_spec spec = {.top = "master_process off;\n"};
    struct first first;
    char a[65], b[65];
    pid_t agent;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, NULL);
    spec.http = ccs_share_conf(share, NULL, QUIET);
    ccs_nginx_prepare(&farm->nginx, farm->tmp.path, &spec);
    /* There will be no process with a worker's title to wait for. */
    farm->nginx.pid = ccs_nginx_exec(&farm->nginx, 0, "output");
    first.ask = ccs_farm_ask(farm, "a.test");
    assert_true(ccs_wait_until(is_served, &first, 0));
    agent = ccs_share_agent();
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
    ccs_nginx_signal(&farm->nginx, SIGTERM);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
    ccs_share_wait_gone(agent);
}

/* The master dies and its workers do not: they keep the agent, and it ends with the last of them.
 */
static void master_killed(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    pid_t workers[CCS_NGINX_WORKERS], agent;
    size_t count;
    char a[65], b[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, NULL);
    ccs_share_run(share, QUIET, 2);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    agent = ccs_share_agent();
    count = ccs_nginx_workers(&farm->nginx, 0, workers);
    assert_int_equal(count, 2);
    ccs_nginx_signal(&farm->nginx, SIGKILL);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 128 + SIGKILL);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
    assert_int_equal(ccs_share_agent(), agent);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(kill(workers[i], SIGKILL), 0);
    ccs_share_wait_gone(agent);
}

/* As few rights and descriptors as it can do with. */
static void confined(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    pid_t family[CCS_SHARE_PIDS];
    char dir[40], *status, *environ_text, *cmdline, a[65];
    size_t count, looked = 0;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    count = ccs_share_family(ccs_share_agent(), family);
    assert_true(count > 2);
    for (size_t i = 0; i < count; i++) {
        snprintf(dir, sizeof(dir), "/proc/%d", (int)family[i]);
        status = ccs_tmp_read(dir, "status", NULL);
        environ_text = ccs_tmp_read(dir, "environ", NULL);
        cmdline = ccs_tmp_read(dir, "cmdline", NULL);
        looked += status != NULL;
        if (status != NULL) /* whoever lists ends when it is done */
            assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
        if (status != NULL && geteuid() == 0) {
            assert_non_null(strstr(status, "\nUid:\t65534\t65534\t65534\t65534\n"));
            assert_non_null(strstr(status, "\nCapEff:\t0000000000000000\n"));
        }
        assert_true(cmdline == NULL || cmdline[0] == '\0' || strncmp(cmdline, "ccs-", 4) == 0);
        assert_true(environ_text == NULL || strstr(environ_text, "CCS") == NULL);
        free(status);
        free(environ_text);
        free(cmdline);
    }
    assert_true(looked > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_SHARE_TEST(one_logon),          CCS_SHARE_TEST(reload_keeps),
        CCS_SHARE_TEST(reload_replaces),    CCS_SHARE_TEST(off_and_on),
        CCS_SHARE_TEST(configuration_test), CCS_SHARE_TEST(refused_settings),
        CCS_SHARE_TEST(binary_upgrade),     CCS_SHARE_TEST(without_master),
        CCS_SHARE_TEST(master_killed),      CCS_SHARE_TEST(confined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
