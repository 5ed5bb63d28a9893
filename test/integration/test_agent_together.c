/* SPDX-License-Identifier: Apache-2.0 */
/* nginx with many workers and httpd at once, on one share. */
#include "share.h"

#include <stdio.h>
#include <string.h>

#include "apache_farm.h"

#define HOSTS 8

static void ask_all(const struct ccs_farm *farm, int port, char (*fingerprints)[65])
{
    char name[40];

    for (int i = 0; i < HOSTS; i++) {
        struct ccs_tls_spec spec;

        snprintf(name, sizeof(name), "n%d.test", i);
        spec = ccs_farm_ask(farm, name);
        spec.port = port;
        for (int j = 0; j < 4; j++)
            ccs_farm_expect(&spec, NULL, fingerprints[i]);
    }
}

static void start_apache(struct ccs_share *share)
{
    struct ccs_farm *farm = share->farm;
    struct ccs_apache_spec spec = {.mpm = CCS_APACHE_EVENT, .children = 2, .threads = 4};
    char conf[1500], dir[200];
    int n;

    ccs_tmp_mkdir(farm->tmp.path, "httpd");
    ccs_tmp_join(dir, sizeof(dir), farm->tmp.path, "httpd");
    n = snprintf(conf, sizeof(conf),
                 CCS_APACHE_CACHE
                 "CCSStore %s\nCCSCredentialsFile %s/credentials\n"
                 "CCSRefresh 1h\n%s%s\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON),
                 share->location, farm->tmp.path, share->user[0] != '\0' ? "CCSAgentUser " : "",
                 share->user);
    assert_true(n > 0 && (size_t)n < sizeof(conf));
    spec.conf = conf;
    ccs_apache_run(&farm->apache, dir, &spec);
}

struct renewed {
    struct ccs_tls_spec spec;
    const char *fingerprint;
};

static int is_renewed(void *arg)
{
    struct renewed *r = arg;
    struct ccs_tls_result result;

    return ccs_tls_client_once(&r->spec, &result, NULL) &&
           strcmp(result.fingerprint, r->fingerprint) == 0;
}

/* Each server has an agent, which logs on for all of its workers, however many there are. */
static void both_at_once(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char fingerprints[HOSTS][65], name[40], file[80];
    struct renewed renewed;
    size_t logons;

    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof(name), "n%d.test", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprints[i]);
    }
    ccs_share_start(share, NULL);
    ccs_share_run(share, "ccs_refresh 1h;\n", 8);
    start_apache(share);
    ccs_share_wait_agents(2);
    ask_all(farm, farm->nginx.port[0], fingerprints);
    ask_all(farm, farm->apache.port[0], fingerprints);

    /* Of each agent one process reads, one watches, and one may list and leave. */
    logons = ccs_smbd_logons(&share->smbd);
    print_message("%zu logons\n", logons);
    assert_in_range(logons, 2, 6);
    ccs_farm_put(farm, "n0.test.pfx", "n0.test", fingerprints[0]);
    renewed = (struct renewed){ccs_farm_ask(farm, "n0.test"), fingerprints[0]};
    for (int i = 0; i < 2; i++) {
        renewed.spec.port = i == 0 ? farm->nginx.port[0] : farm->apache.port[0];
        assert_true(ccs_wait_until(is_renewed, &renewed, 0));
    }
    ask_all(farm, farm->nginx.port[0], fingerprints);
    ask_all(farm, farm->apache.port[0], fingerprints);
    assert_in_range(ccs_smbd_logons(&share->smbd), logons, 6);
    assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    ccs_share_wait_agents(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CCS_SHARE_TEST(both_at_once)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
