/* SPDX-License-Identifier: Apache-2.0 */
#include "apache_farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ccs_apache_farm_run(struct ccs_farm *farm, const char *conf)
{
    struct ccs_apache_spec spec = {.conf = conf};

    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
}

void ccs_apache_farm_run_slow(struct ccs_farm *farm, int threads, const char *conf)
{
    struct ccs_apache_spec spec = {.conf = conf, .threads = threads, .slow = 1};

    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
}

unsigned long ccs_apache_farm_status(struct ccs_farm *farm, const char *sni, const char *name)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_result result;
    char key[64];
    const char *at;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    if (result.status != 200) {
        fail_msg("/status: end %d, alert %d, HTTP %d, %s", result.end, result.alert, result.status,
                 result.error);
    }
    snprintf(key, sizeof(key), "\"%s\":", name);
    at = strstr(result.body, key);
    if (at == NULL) {
        fail_msg("no %s in %s", key, result.body);
    }
    return strtoul(at + strlen(key), NULL, 10);
}

struct awaited {
    struct ccs_farm *farm;
    const char *sni, *name;
    unsigned long value;
};

static int reached(void *arg)
{
    struct awaited *a = arg;

    return ccs_apache_farm_status(a->farm, a->sni, a->name) == a->value;
}

void ccs_apache_farm_await_status(struct ccs_farm *farm, const char *sni, const char *name,
                                  unsigned long value)
{
    struct awaited awaited = {farm, sni, name, value};

    if (!ccs_wait_until(reached, &awaited, 0)) {
        fail_msg("%s does not become %lu, it is %lu", name, value,
                 ccs_apache_farm_status(farm, sni, name));
    }
}

const char *ccs_apache_farm_mpm(enum ccs_apache_mpm mpm)
{
    static const char *const names[] = {"event", "worker", "prefork"};

    return names[mpm];
}
