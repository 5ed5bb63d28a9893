/* SPDX-License-Identifier: Apache-2.0 */
/* Resumption of TLS sessions: of the same host, of no other, and of none that was removed. */
#include "apache_farm.h"

#include <string.h>

/* Tickets and a cache are two ways to resume; each may be switched off. */
#define STORE(tls)                                                                                 \
    tls CCS_APACHE_STORE CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON "ServerName catch-all.test\n")  \
        CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON "ServerName own.test\n")

static const struct {
    const char *conf;
    int version;
} ways[] = {
    {STORE(CCS_APACHE_CACHE), TLS1_2_VERSION},
    {STORE(CCS_APACHE_CACHE), TLS1_3_VERSION},
    {STORE(CCS_APACHE_CACHE "SSLSessionTickets off\n"), TLS1_2_VERSION},
    {STORE(CCS_APACHE_CACHE "SSLSessionTickets off\n"), TLS1_3_VERSION},
    {STORE("SSLSessionCache none\n"), TLS1_2_VERSION},
    {STORE("SSLSessionCache none\n"), TLS1_3_VERSION},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* A full handshake and its session. */
static SSL_SESSION *session_of(struct ccs_tls_spec *spec)
{
    struct ccs_tls_result result;
    SSL_SESSION *session;

    spec->session = NULL;
    if (!ccs_tls_client_once(spec, &result, &session)) {
        fail_msg("%s: end %d, alert %d, %s", spec->sni, result.end, result.alert, result.error);
    }
    assert_false(result.resumed);
    assert_non_null(session);
    return session;
}

static void same_host(struct ccs_tls_spec spec)
{
    SSL_SESSION *session = session_of(&spec), *next = NULL;
    struct ccs_tls_result result;

    spec.session = session;
    assert_true(ccs_tls_client_once(&spec, &result, &next));
    assert_true(result.resumed);
    assert_string_equal(result.body, "HIT a.test.pfx");
    /* And once more with what the resumed one gave, if it gave one. */
    if (next != NULL) {
        spec.session = next;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        assert_true(result.resumed);
    }
    SSL_SESSION_free(next);
    SSL_SESSION_free(session);
}

/* A session of one name, then a full handshake with another: served by its own certificate. */
static void other_host(struct ccs_tls_spec spec, const char *first, const char *second,
                       const char *fingerprint)
{
    struct ccs_tls_result result;
    SSL_SESSION *session;

    spec.sni = first;
    session = session_of(&spec);
    spec.session = session;
    spec.sni = second;
    if (!ccs_tls_client_once(&spec, &result, NULL)) {
        fail_msg("%s after %s: end %d, alert %d, %s", second, first, result.end, result.alert,
                 result.error);
    }
    if (result.resumed) {
        fail_msg("a session of %s was resumed for %s", first, second);
    }
    assert_string_equal(result.fingerprint, fingerprint);
    SSL_SESSION_free(session);
}

static void to_nobody_else(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65], shop[65], own[65];
    size_t i;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_put(farm, "own.test.pfx", "own.test", own);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", shop);
    for (i = 0; i < WAYS; i++) {
        struct ccs_tls_spec spec;

        if (i % 2 == 0) {
            /* Not by a restart: a stock httpd that is to do without its cache does not survive. */
            assert_int_equal(ccs_apache_stop(&farm->apache), 0);
            ccs_apache_farm_run(farm, ways[i].conf);
        }
        print_message("way %zu\n", i);
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = spec.max_version = ways[i].version;
        same_host(spec);
        other_host(spec, "a.test", "b.test", b);
        other_host(spec, "a.test", "x.shop.test", shop);
        /* Nor among names under one wildcard. */
        other_host(spec, "x.shop.test", "y.shop.test", shop);
        /* Nor in another virtual host. */
        other_host(spec, "a.test", "own.test", own);
        other_host(spec, "own.test", "a.test", a);
    }
}

/* No session leaves the virtual host that let its client in. */
static void other_virtual_host(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    SSL_SESSION *session;
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_pki_pem_cert(farm->ca->root, farm->tmp.path, "clients.crt");
    ccs_apache_farm_run(farm, CCS_APACHE_WITH("Listen @PORT2@\n")
                                  CCS_APACHE_VHOST("@PORT2@", CCS_APACHE_ON
                                                   "SSLCACertificateFile @DIR@/clients.crt\n"
                                                   "SSLVerifyClient require\n"));
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = spec.max_version = version;
        session = session_of(&spec);
        spec.session = session;
        spec.port = farm->apache.port[1];
        (void)ccs_tls_client_once(&spec, &result, NULL);
        assert_false(result.resumed);
        assert_int_not_equal(result.status, 200);
        SSL_SESSION_free(session);
    }
}

static void removed_host(void **state)
{
    struct ccs_farm *farm = *state;
    SSL_SESSION *sessions[2];
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_apache_farm_run(farm, ways[0].conf);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ccs_tls_spec spec = ccs_farm_ask(farm, "a.test");

        spec.min_version = spec.max_version = version;
        sessions[version - TLS1_2_VERSION] = session_of(&spec);
    }
    ccs_tmp_unlink(farm->store, "a.test.pfx");
    ccs_farm_wait_refused(farm, "a.test");
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ccs_tls_spec spec = ccs_farm_ask(farm, "a.test");

        spec.min_version = spec.max_version = version;
        spec.session = sessions[version - TLS1_2_VERSION];
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
        SSL_SESSION_free(spec.session);
    }
}

/* What a session is worth after a renewal or a restart is the server's to say, but a client that
 * shows one is served. */
static void renewed_host_and_restart(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    SSL_SESSION *session;
    char fresh[65];
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_apache_farm_run(farm, ways[0].conf);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = spec.max_version = version;
        session = session_of(&spec);
        ccs_farm_put(farm, "a.test.pfx", "a.test", fresh);
        ccs_farm_wait_served(farm, "a.test", fresh);
        spec.session = session;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        ccs_apache_graceful(&farm->apache);
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        SSL_SESSION_free(session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(to_nobody_else),
        CCS_FARM_TEST(other_virtual_host),
        CCS_FARM_TEST(removed_host),
        CCS_FARM_TEST(renewed_host_and_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
