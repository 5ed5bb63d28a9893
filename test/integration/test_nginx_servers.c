/* SPDX-License-Identifier: Apache-2.0 */
/* Which server blocks take their certificates from the store, and which do not. */
#include "farm.h"

#include <string.h>

/* PEM files "own.crt" and "own.key" in the server's folder. */
static void put_own(struct ccs_farm *farm, const char *names, char fingerprint[65])
{
    struct ccs_pki_spec spec = {.names = names};
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_pem_file(&leaf, farm->tmp.path, "own.crt", "own.key");
    memcpy(fingerprint, leaf.fingerprint, sizeof(leaf.fingerprint));
    ccs_pki_leaf_clear(&leaf);
}

#define OWN "ssl_certificate @DIR@/own.crt; ssl_certificate_key @DIR@/own.key;\n"

static void off_beside_on(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], own[65];

    put_own(farm, "own.test,off.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "off.test.pfx", "off.test", NULL);
    ccs_farm_run(farm, CCS_FARM_TLS
                 "ccs_store @STORE@;\n"
                 "server { listen @PORT1@ ssl; server_name off.test; " OWN CCS_FARM_ANSWER "}\n"
                 "server { listen @PORT1@ ssl; server_name a.test; ccs on; " CCS_FARM_ANSWER "}\n");
    ccs_farm_expect_name(farm, "off.test", " ", own);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    /* A name of no server goes to the default one, which knows no store. */
    ccs_farm_expect_name(farm, "own.test", " ", own);
}

static void on_for_all_and_off_for_one(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], own[65];

    put_own(farm, "off.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE CCS_FARM_SERVER
                 "server { listen @PORT1@ ssl; server_name off.test; ccs off; " OWN CCS_FARM_ANSWER
                 "}\n"
                 "server { listen @PORT2@; return 200 plain; }\n");
    ccs_farm_expect_name(farm, "off.test", " ", own);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_refused(farm, "gone.test");
}

static void names_by_pattern(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65], own[65];

    put_own(farm, "other.test", own);
    ccs_farm_put(farm, "a1.shop.test.pfx", "a1.shop.test", a);
    ccs_farm_put(farm, "b.wild.test.pfx", "b.wild.test", b);
    ccs_farm_run(
        farm, CCS_FARM_TLS
        "ccs_store @STORE@;\n"
        "server { listen @PORT1@ ssl default_server; " OWN CCS_FARM_ANSWER "}\n"
        "server { listen @PORT1@ ssl; server_name ~^a\\d\\.shop\\.test$; ccs on; " CCS_FARM_ANSWER
        "}\n"
        "server { listen @PORT1@ ssl; server_name *.wild.test; ccs on; " CCS_FARM_ANSWER "}\n");
    ccs_farm_expect_name(farm, "a1.shop.test", "LOADED a1.shop.test.pfx", a);
    ccs_farm_expect_name(farm, "A1.Shop.test", "HIT a1.shop.test.pfx", a);
    ccs_farm_expect_refused(farm, "a2.shop.test");
    ccs_farm_expect_name(farm, "b.wild.test", "LOADED b.wild.test.pfx", b);
    ccs_farm_expect_name(farm, "other.test", " ", own);
}

static void fallback(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65], own[65];

    put_own(farm, "own.test,*.own.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE OWN
                 "ccs_unknown_name fallback;\n" CCS_FARM_SERVER
                 "server { listen @PORT2@ ssl; ccs_unknown_name reject; " CCS_FARM_ANSWER "}\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "own.test", "FALLBACK ", own);
    ccs_farm_expect_name(farm, "own.test", "FALLBACK ", own);
    ccs_farm_expect_name(farm, "deep.own.test", "FALLBACK ", own);
    ccs_farm_expect_name(farm, NULL, "FALLBACK ", own);
    /* A certificate of the server's own is no reason to serve it without being told to. */
    spec = ccs_farm_ask(farm, "own.test");
    spec.port = farm->nginx.port[1];
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    spec.sni = NULL;
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
}

static void own_certificate_is_never_mixed_in(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec rsa = {.names = "a.test", .key = CCS_PKI_RSA};
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    struct ccs_pki_leaf leaf;
    char own[65];

    /* The server's own is ECDSA; a.test has RSA only, so a client without RSA cannot be served. */
    put_own(farm, "own.test", own);
    ccs_pki_issue(farm->ca, &rsa, &leaf);
    ccs_farm_put_leaves(farm, "a.test.pfx", &leaf, 1, NULL);
    ccs_farm_run(farm,
                 CCS_FARM_TLS CCS_FARM_STORE OWN "ccs_unknown_name fallback;\n" CCS_FARM_SERVER);
    spec = ccs_farm_ask(farm, "a.test");
    spec.sigalgs = "ECDSA+SHA256";
    ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.end, CCS_TLS_ALERT);
    assert_string_equal(result.fingerprint, "");
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", leaf.fingerprint);
    ccs_pki_leaf_clear(&leaf);
}

static void rejecting_default_server(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE
                 "server { listen @PORT1@ ssl default_server; ssl_reject_handshake on; }\n"
                 "server { listen @PORT1@ ssl; server_name a.test; " CCS_FARM_ANSWER "}\n");
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_refused(farm, "b.test");
    ccs_farm_expect_refused(farm, "gone.test");
}

static void two_stores(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char first[65], second[65];

    ccs_tmp_mkdir(farm->tmp.path, "other");
    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    {
        char other[300];

        ccs_tmp_join(other, sizeof(other), farm->tmp.path, "other");
        ccs_pki_put(farm->ca, "a.test", other, "a.test.pfx", second);
    }
    ccs_farm_run(farm, CCS_FARM_TLS
                 "ccs on;\n"
                 "server { listen @PORT1@ ssl; ccs_store @STORE@; " CCS_FARM_ANSWER "}\n"
                 "server { listen @PORT2@ ssl; ccs_store @DIR@/other; " CCS_FARM_ANSWER "}\n");
    spec = ccs_farm_ask(farm, "a.test");
    ccs_farm_expect(&spec, "LOADED a.test.pfx", first);
    spec.port = farm->nginx.port[1];
    ccs_farm_expect(&spec, "LOADED a.test.pfx", second);
    ccs_farm_expect(&spec, "HIT a.test.pfx", second);
    spec.port = farm->nginx.port[0];
    ccs_farm_expect(&spec, "HIT a.test.pfx", first);
}

static void client_certificates(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec client = {.names = "somebody"};
    struct ccs_tls_spec spec;
    struct ccs_pki_leaf leaf;
    int version;
    char a[65];

    ccs_pki_pem_cert(farm->ca->intermediate, farm->tmp.path, "clients.crt");
    ccs_pki_pem_cert(farm->ca->root, farm->tmp.path, "root.crt");
    ccs_pki_issue(farm->ca, &client, &leaf);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE
                 "ssl_client_certificate @DIR@/clients.crt; ssl_verify_client on;\n"
                 "ssl_trusted_certificate @DIR@/root.crt; ssl_verify_depth 3;\n"
                 "server { listen @PORT1@ ssl; return 200 \"$ssl_client_verify $ssl_client_s_dn\"; "
                 "}\n");
    spec = ccs_farm_ask(farm, "a.test");
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ccs_tls_result result;

        spec.min_version = spec.max_version = version;
        spec.cert = NULL;
        ccs_tls_client_once(&spec, &result, NULL);
        assert_int_equal(result.status, 400);
        assert_string_equal(result.fingerprint, a);
        spec.cert = leaf.cert;
        spec.key = leaf.key;
        ccs_tls_client_once(&spec, &result, NULL);
        assert_string_equal(result.body, "SUCCESS CN=somebody");
        assert_string_equal(result.fingerprint, a);
    }
    ccs_pki_leaf_clear(&leaf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(off_beside_on),
        CCS_FARM_TEST(on_for_all_and_off_for_one),
        CCS_FARM_TEST(names_by_pattern),
        CCS_FARM_TEST(fallback),
        CCS_FARM_TEST(own_certificate_is_never_mixed_in),
        CCS_FARM_TEST(rejecting_default_server),
        CCS_FARM_TEST(two_stores),
        CCS_FARM_TEST(client_certificates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
