/* SPDX-License-Identifier: Apache-2.0 */
/* SIGKILL for each process of the agent, at rest and at work. */
#include "share.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET "ccs_refresh 1h; ccs_negative 1h;\n"

static void kill_process(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
}

/* New names, renewals and absent names: all that an agent is for. */
static void expect_all_works(struct ccs_share *share, const char *name)
{
    char file[80], first[65], second[65];

    snprintf(file, sizeof(file), "%s.pfx", name);
    ccs_farm_put(share->farm, file, name, first);
    ccs_farm_wait_served(share->farm, name, first);
    ccs_farm_put(share->farm, file, name, second);
    ccs_farm_wait_served(share->farm, name, second);
    ccs_farm_wait_refused(share->farm, "stranger.test");
}

static void kill_role(struct ccs_share *share, const char *role)
{
    struct ccs_farm *farm = share->farm;
    char known[65], name[40];
    pid_t agent, old;

    ccs_farm_put(farm, "a.test.pfx", "a.test", known);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", known);
    agent = ccs_share_agent();
    for (int i = 0; i < 3; i++) {
        old = ccs_share_process(agent, role, 0);
        kill_process(old);
        ccs_farm_expect_name(farm, "a.test", NULL, known);
        snprintf(name, sizeof(name), "n%d.test", i);
        expect_all_works(share, name);
        (void)ccs_share_process(agent, role, old);
        assert_int_equal(ccs_share_agent(), agent);
    }
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", known);
}

static void broker(void **state)
{
    kill_role(*state, "broker");
}

static void worker(void **state)
{
    kill_role(*state, "worker");
}

static void watcher(void **state)
{
    kill_role(*state, "watcher");
}

/* Renewed between the death of whoever watches and the birth of the next. */
static void renewed_unseen(void **state)
{
    static const char *const roles[] = {"watcher", "broker"};
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char known[65];
    pid_t agent;

    ccs_farm_put(farm, "a.test.pfx", "a.test", known);
    ccs_share_start_run(share, QUIET);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", known);
    agent = ccs_share_agent();
    for (int i = 0; i < 6; i++) {
        kill_process(ccs_share_process(agent, roles[i % 2], 0));
        ccs_farm_put(farm, "a.test.pfx", "a.test", known);
        print_message("served after %.0f ms\n", ccs_farm_wait_served(farm, "a.test", known));
    }
}

/* Whoever waits for an answer gets it from the successor. */
static void at_work(void **state)
{
    enum { NAMES = 24 };
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    struct ccs_tls_client *clients[NAMES];
    struct ccs_tls_spec spec[NAMES];
    char names[NAMES][16], file[24], fingerprint[NAMES][65];
    pid_t agent;

    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d.test", i);
        snprintf(file, sizeof(file), "n%d.test.pfx", i);
        ccs_farm_put(farm, file, names[i], fingerprint[i]);
    }
    ccs_share_start_run(share, QUIET "ccs_wait 30s;\n");
    agent = ccs_share_agent();
    (void)ccs_share_process(agent, "worker", 0);
    for (int i = 0; i < NAMES; i++) {
        spec[i] = ccs_farm_ask(farm, names[i]);
        clients[i] = ccs_tls_client_start(&spec[i]);
        (void)ccs_tls_client_step(clients[i]);
        if (i % 8 == 3) {
            const pid_t pid = ccs_share_find(agent, i == 11 ? "broker" : "worker");

            if (pid != 0)
                (void)kill(pid, SIGKILL);
        }
    }
    assert_int_equal(ccs_tls_client_run(clients, NAMES, 0), NAMES);
    for (int i = 0; i < NAMES; i++) {
        assert_string_equal(ccs_tls_client_result(clients[i])->fingerprint, fingerprint[i]);
        ccs_tls_client_free(clients[i]);
    }
}

/* A worker that does not die but stands still is killed and replaced as well. */
static void hanging(void **state)
{
    static const char *const roles[] = {"worker", "broker"};
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char known[65], name[40];
    pid_t agent, old;

    ccs_farm_put(farm, "a.test.pfx", "a.test", known);
    ccs_share_start_run(share, "ccs_wait 2s; ccs_refresh 1s; ccs_negative 1s;\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", known);
    agent = ccs_share_agent();
    for (int i = 0; i < 2; i++) {
        old = ccs_share_process(agent, roles[i], 0);
        assert_int_equal(kill(old, SIGSTOP), 0);
        ccs_farm_expect_name(farm, "a.test", NULL, known);
        snprintf(name, sizeof(name), "n%d.test", i);
        expect_all_works(share, name);
        ccs_share_wait_gone(old);
    }
}

static int has_agent(pid_t not )
{
    pid_t pids[CCS_SHARE_PIDS];
    const size_t count = ccs_share_agents(pids);

    return count == 1 && pids[0] != not ;
}

/* Nobody is left to start it again but a reload; until then what is known is served. */
static void supervisor(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    pid_t family[CCS_SHARE_PIDS], agent;
    char known[65], later[65];
    size_t count;

    ccs_farm_put(farm, "a.test.pfx", "a.test", known);
    ccs_farm_put(farm, "later.test.pfx", "later.test", later);
    ccs_share_start_run(share, "ccs_wait 2s; ccs_refresh 1s;\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", known);
    agent = ccs_share_agent();
    count = ccs_share_family(agent, family);
    assert_true(count > 2);
    kill_process(agent);
    for (size_t i = 0; i < count; i++)
        ccs_share_wait_gone(family[i]);
    ccs_farm_expect_name(farm, "a.test", NULL, known);
    ccs_share_wait_error(share, "later.test");
    ccs_farm_wait_log(farm, "ccs-agent has ended");
    ccs_farm_expect_name(farm, "a.test", NULL, known);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_share_wait_agents(1);
    assert_true(has_agent(agent));
    ccs_farm_wait_served(farm, "later.test", later);
    expect_all_works(share, "n.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_SHARE_TEST(broker),         CCS_SHARE_TEST(worker),  CCS_SHARE_TEST(watcher),
        CCS_SHARE_TEST(renewed_unseen), CCS_SHARE_TEST(at_work), CCS_SHARE_TEST(hanging),
        CCS_SHARE_TEST(supervisor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
