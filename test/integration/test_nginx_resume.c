/* SPDX-License-Identifier: Apache-2.0 */
/* Resumption of TLS sessions: of the same host, of no other, and of none that was removed. */
#include "farm.h"

#include <string.h>

/* Tickets and a cache are two ways to resume; each may be switched off. */
#define HTTP(tls)                                                                                  \
    "ssl_protocols TLSv1.2 TLSv1.3;\n" tls CCS_FARM_STORE                                          \
    "server { listen @PORT1@ ssl; return 200 \"$ccs_result $ssl_session_reused\"; }\n"

static const struct {
    const char *http;
    int version;
} ways[] = {
    {HTTP("ssl_session_cache shared:TLS:1m;\n"), TLS1_2_VERSION},
    {HTTP("ssl_session_cache shared:TLS:1m;\n"), TLS1_3_VERSION},
    {HTTP("ssl_session_cache shared:TLS:1m; ssl_session_tickets off;\n"), TLS1_2_VERSION},
    {HTTP("ssl_session_cache shared:TLS:1m; ssl_session_tickets off;\n"), TLS1_3_VERSION},
    {HTTP("ssl_session_cache off;\n"), TLS1_2_VERSION},
    {HTTP("ssl_session_cache off;\n"), TLS1_3_VERSION},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* A full handshake and its session. */
static SSL_SESSION *session_of(struct ccs_tls_spec *spec)
{
    struct ccs_tls_result result;
    SSL_SESSION *session;

    spec->session = NULL;
    assert_true(ccs_tls_client_once(spec, &result, &session));
    assert_false(result.resumed);
    assert_non_null(session);
    return session;
}

static void for_each_way(struct ccs_farm *farm,
                         void (*check)(struct ccs_farm *, struct ccs_tls_spec))
{
    size_t i;

    for (i = 0; i < WAYS; i++) {
        struct ccs_tls_spec spec;

        if (i == 0) {
            ccs_farm_run(farm, ways[0].http);
        } else {
            ccs_nginx_rewrite(&farm->nginx, ways[i].http, 0);
            assert_true(ccs_nginx_reload(&farm->nginx));
        }
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = spec.max_version = ways[i].version;
        print_message("way %zu\n", i);
        check(farm, spec);
    }
}

static void check_same_host(struct ccs_farm *farm, struct ccs_tls_spec spec)
{
    SSL_SESSION *session = session_of(&spec), *next = NULL;
    struct ccs_tls_result result;

    (void)farm;
    spec.session = session;
    assert_true(ccs_tls_client_once(&spec, &result, &next));
    assert_true(result.resumed);
    assert_string_equal(result.body, "HIT r");
    /* And once more with what the resumed one gave, if it gave one. */
    if (next != NULL) {
        spec.session = next;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        assert_true(result.resumed);
    }
    SSL_SESSION_free(next);
    SSL_SESSION_free(session);
}

static void same_host(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    for_each_way(farm, check_same_host);
}

static void check_other_host(struct ccs_farm *farm, struct ccs_tls_spec spec)
{
    static const char *const others[] = {"b.test", "x.shop.test", NULL};
    struct ccs_tls_result result;
    SSL_SESSION *session = session_of(&spec);
    const char *const *other;

    (void)farm;
    spec.session = session;
    for (other = others; *other != NULL; other++) {
        spec.sni = *other;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        assert_false(result.resumed);
    }
    SSL_SESSION_free(session);
    /* Nor among names under one wildcard. */
    spec.sni = "x.shop.test";
    session = session_of(&spec);
    spec.session = session;
    spec.sni = "y.shop.test";
    assert_true(ccs_tls_client_once(&spec, &result, NULL));
    assert_false(result.resumed);
    SSL_SESSION_free(session);
}

static void other_host(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", NULL);
    for_each_way(farm, check_other_host);
}

/* No session leaves the server that let its client in. */
static void other_server(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    SSL_SESSION *session;
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_pki_pem_cert(farm->ca->intermediate, farm->tmp.path, "clients.crt");
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE
                 "server { listen @PORT1@ ssl; " CCS_FARM_ANSWER "}\n"
                 "server { listen @PORT2@ ssl; ssl_client_certificate @DIR@/clients.crt;\n"
                 "ssl_verify_client on; " CCS_FARM_ANSWER "}\n");
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = spec.max_version = version;
        session = session_of(&spec);
        spec.session = session;
        spec.port = farm->nginx.port[1];
        ccs_tls_client_once(&spec, &result, NULL);
        assert_true(result.handshake);
        assert_false(result.resumed);
        assert_int_equal(result.status, 400);
        SSL_SESSION_free(session);
    }
}

/* A reload makes the worker forget: the name is loaded, then the session resumed. */
static void after_reload(void **state)
{
    struct ccs_farm *farm = *state;
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, ways[0].http);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ccs_tls_spec spec = ccs_farm_ask(farm, "a.test");
        struct ccs_tls_result result;
        SSL_SESSION *session;

        spec.min_version = spec.max_version = version;
        /* Only a session in the shared cache outlives the ticket keys of a worker's cycle. */
        ccs_nginx_rewrite(&farm->nginx, ways[2].http, 0);
        assert_true(ccs_nginx_reload(&farm->nginx));
        session = session_of(&spec);
        assert_true(ccs_nginx_reload(&farm->nginx));
        spec.session = session;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        assert_true(result.resumed);
        assert_string_equal(result.body, "SHARED r");
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
    ccs_farm_run(farm, ways[0].http);
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

/* A session is the host's, not the certificate's: it goes on after a renewal. */
static void renewed_host(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    SSL_SESSION *session;
    char fresh[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, ways[0].http);
    spec = ccs_farm_ask(farm, "a.test");
    session = session_of(&spec);
    ccs_farm_put(farm, "a.test.pfx", "a.test", fresh);
    ccs_farm_wait_served(farm, "a.test", fresh);
    spec.session = session;
    assert_true(ccs_tls_client_once(&spec, &result, NULL));
    SSL_SESSION_free(session);
}

static void early_data(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    SSL_SESSION *session;
    int cold;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE
                 "ssl_early_data on; ssl_session_tickets off;\n" CCS_FARM_SERVER);
    for (cold = 0; cold < 2; cold++) {
        spec = ccs_farm_ask(farm, "a.test");
        spec.min_version = TLS1_3_VERSION;
        session = session_of(&spec);
        assert_true(SSL_SESSION_get_max_early_data(session) > 0);
        if (cold) {
            assert_true(ccs_nginx_reload(&farm->nginx));
        }
        spec.session = session;
        spec.early = 1;
        assert_true(ccs_tls_client_once(&spec, &result, NULL));
        assert_true(result.resumed);
        assert_true(result.early_accepted);
        assert_int_equal(result.status, 200);
        assert_string_equal(result.body, cold ? "SHARED a.test.pfx" : "HIT a.test.pfx");
        SSL_SESSION_free(session);
    }
    /* Early data for another host is not taken, and comes again after the handshake. */
    spec.early = 0;
    session = session_of(&spec);
    spec.session = session;
    spec.early = 1;
    spec.sni = "b.test";
    ccs_tls_client_once(&spec, &result, NULL);
    assert_false(result.resumed);
    assert_false(result.early_accepted);
    SSL_SESSION_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(same_host),    CCS_FARM_TEST(other_host),   CCS_FARM_TEST(other_server),
        CCS_FARM_TEST(after_reload), CCS_FARM_TEST(removed_host), CCS_FARM_TEST(renewed_host),
        CCS_FARM_TEST(early_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
