/* SPDX-License-Identifier: Apache-2.0 */
#include "farm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int ccs_farm_setup(void **state)
{
    struct ccs_farm *farm = calloc(1, sizeof(*farm));

    assert_non_null(farm);
    *state = farm;
    farm->ca = ccs_pki_ca_new();
    ccs_tmp_make(&farm->tmp);
    ccs_tmp_mkdir(farm->tmp.path, "store");
    ccs_tmp_join(farm->store, sizeof(farm->store), farm->tmp.path, "store");
    return 0;
}

int ccs_farm_teardown(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tmp tmp = farm->tmp;
    struct ccs_nginx nginx = farm->nginx;
    struct ccs_apache apache = farm->apache;
    int bad;

    *state = NULL;
    ccs_pki_ca_free(farm->ca);
    free(farm);
    bad = ccs_nginx_stop(&nginx) | ccs_apache_stop(&apache);
    ccs_tmp_remove(&tmp);
    return bad;
}

void ccs_farm_run(struct ccs_farm *farm, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

void ccs_farm_put(struct ccs_farm *farm, const char *file, const char *names, char fingerprint[65])
{
    ccs_pki_put(farm->ca, names, farm->store, file, fingerprint);
}

void ccs_farm_put_leaves(struct ccs_farm *farm, const char *file, const struct ccs_pki_leaf *leaves,
                         size_t count, const struct ccs_pki_pfx *how)
{
    struct ccs_pki_bytes bytes = ccs_pki_pfx_make(leaves, count, how);

    ccs_tmp_replace(farm->store, file, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
}

void ccs_farm_put_bytes(struct ccs_farm *farm, const char *file, const void *data, size_t len)
{
    struct timespec past[2] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
    char from[512], to[512];

    ccs_tmp_write(farm->tmp.path, "fresh", data, len);
    ccs_tmp_join(from, sizeof(from), farm->tmp.path, "fresh");
    ccs_tmp_join(to, sizeof(to), farm->store, file);
    assert_int_equal(utimensat(AT_FDCWD, from, past, 0), 0);
    assert_int_equal(rename(from, to), 0);
}

struct ccs_tls_spec ccs_farm_ask(const struct ccs_farm *farm, const char *sni)
{
    struct ccs_tls_spec spec = {.port = farm->apache.pid > 0 ? farm->apache.port[0]
                                                             : farm->nginx.port[0],
                                .sni = sni,
                                .root = farm->ca->root,
                                .path = "/"};

    return spec;
}

static const char *shown(const struct ccs_tls_spec *spec)
{
    return spec->sni != NULL ? spec->sni : spec->raw_sni != NULL ? "(octets)" : "(no name)";
}

void ccs_farm_expect(const struct ccs_tls_spec *spec, const char *body, const char *fingerprint)
{
    struct ccs_tls_result result;

    if (!ccs_tls_client_once(spec, &result, NULL)) {
        fail_msg("%s: end %d, alert %d, verify %ld, %s", shown(spec), result.end, result.alert,
                 result.verify, result.error);
    }
    if (body != NULL && strcmp(result.body, body) != 0) {
        fail_msg("%s: \"%s\" instead of \"%s\" (HTTP %d)", shown(spec), result.body, body,
                 result.status);
    }
    if (fingerprint != NULL && strcmp(result.fingerprint, fingerprint) != 0) {
        fail_msg("%s: another certificate, \"%s\"", shown(spec), result.body);
    }
}

void ccs_farm_expect_name(const struct ccs_farm *farm, const char *sni, const char *body,
                          const char *fingerprint)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);

    ccs_farm_expect(&spec, body, fingerprint);
}

void ccs_farm_expect_alert(const struct ccs_tls_spec *spec, int alert)
{
    struct ccs_tls_result result;

    (void)ccs_tls_client_once(spec, &result, NULL);
    if (result.end != CCS_TLS_ALERT || result.alert != alert || result.fingerprint[0] != '\0') {
        fail_msg("%s: end %d, alert %d instead of %d, \"%s\" %s", shown(spec), result.end,
                 result.alert, alert, result.body, result.error);
    }
}

void ccs_farm_expect_refused(const struct ccs_farm *farm, const char *sni)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);

    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
}

struct hope {
    struct ccs_tls_spec spec;
    const char *fingerprint; /* NULL: any */
    int refusal;
};

static int fulfilled(void *arg)
{
    struct hope *hope = arg;
    struct ccs_tls_result result;

    (void)ccs_tls_client_once(&hope->spec, &result, NULL);
    if (hope->refusal) {
        return result.alert == CCS_ALERT_UNRECOGNIZED_NAME;
    }
    return result.ok &&
           (hope->fingerprint == NULL || strcmp(result.fingerprint, hope->fingerprint) == 0);
}

static double wait_for(const struct ccs_farm *farm, const char *sni, const char *fingerprint,
                       int refusal)
{
    struct hope hope = {
        .spec = ccs_farm_ask(farm, sni), .fingerprint = fingerprint, .refusal = refusal};
    double start = ccs_wait_clock();

    if (!ccs_wait_until(fulfilled, &hope, 0)) {
        fail_msg("%s is not %s", sni, refusal ? "refused" : "served so");
    }
    return ccs_wait_clock() - start;
}

double ccs_farm_wait_served(const struct ccs_farm *farm, const char *sni, const char *fingerprint)
{
    return wait_for(farm, sni, fingerprint, 0);
}

double ccs_farm_wait_refused(const struct ccs_farm *farm, const char *sni)
{
    return wait_for(farm, sni, NULL, 1);
}

struct sought {
    const struct ccs_farm *farm;
    const char *prefix;
};

static int opened(void *arg)
{
    struct sought *sought = arg;

    return ccs_place_opened(sought->farm->tmp.path, sought->prefix) > 0;
}

void ccs_farm_wait_opened(const struct ccs_farm *farm, const char *prefix)
{
    struct sought sought = {farm, prefix};

    if (!ccs_wait_until(opened, &sought, 0)) {
        fail_msg("%s was not opened", prefix);
    }
}

void ccs_farm_wait_log(const struct ccs_farm *farm, const char *text)
{
    ccs_place_wait_log(farm->tmp.path, text, 1);
}
