/* SPDX-License-Identifier: Apache-2.0 */
/* Which virtual hosts take their certificates from the store, and which do not. */
#include "apache_farm.h"

#include <stdio.h>
#include <string.h>

/* PEM files <name>.crt and <name>.key in the server's folder. */
static void put_own(struct ccs_farm *farm, const char *name, const char *names,
                    char fingerprint[65])
{
    struct ccs_pki_spec spec = {.names = names};
    struct ccs_pki_leaf leaf;
    char cert[40], key[40];

    snprintf(cert, sizeof(cert), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_pem_file(&leaf, farm->tmp.path, cert, key);
    memcpy(fingerprint, leaf.fingerprint, sizeof(leaf.fingerprint));
    ccs_pki_leaf_clear(&leaf);
}

#define CERT(name)                                                                                 \
    "SSLCertificateFile @DIR@/" name ".crt\nSSLCertificateKeyFile @DIR@/" name ".key\n"
#define OWN "SSLEngine on\n" CERT("own")

static void off_beside_on(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], own[65];

    put_own(farm, "own", "own.test,off.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "off.test.pfx", "off.test", NULL);
    ccs_apache_farm_run(farm, CCS_APACHE_CACHE CCS_APACHE_STORE CCS_APACHE_VHOST(
                                  "@PORT1@", "ServerName off.test\n" OWN)
                                  CCS_APACHE_VHOST("@PORT1@", "ServerName a.test\n" CCS_APACHE_ON));
    ccs_farm_expect_name(farm, "off.test", " ", own);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    /* A name of no virtual host goes to the first one, which knows no store. */
    ccs_farm_expect_name(farm, "own.test", " ", own);
}

static void on_for_all_and_off_for_one(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], own[65];

    put_own(farm, "own", "off.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE CCS_APACHE_STORE
        "CCSEngine on\nListen @PORT2@\n" CCS_APACHE_VHOST("@PORT1@", "SSLEngine on\n")
            CCS_APACHE_VHOST("@PORT1@", "ServerName off.test\nCCSEngine off\n" OWN)
                CCS_APACHE_VHOST("@PORT2@", ""));
    ccs_farm_expect_name(farm, "off.test", " ", own);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_refused(farm, "gone.test");
}

/* Virtual hosts with names and aliases, the first of which takes the rest. */
static void names_and_aliases(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], alias[65], rest[65], wild[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "alias.test.pfx", "alias.test", alias);
    ccs_farm_put(farm, "rest.test.pfx", "rest.test", rest);
    ccs_farm_put(farm, "b.wild.test.pfx", "b.wild.test", wild);
    ccs_apache_farm_run(
        farm,
        CCS_APACHE_CACHE CCS_APACHE_STORE CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON
                                                           "ServerName catch-all.test\n")
            CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON "ServerName a.test\nServerAlias alias.test\n")
                CCS_APACHE_VHOST("@PORT1@",
                                 CCS_APACHE_ON "ServerName w.test\nServerAlias *.wild.test\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "alias.test", "LOADED alias.test.pfx", alias);
    ccs_farm_expect_name(farm, "rest.test", "LOADED rest.test.pfx", rest);
    ccs_farm_expect_name(farm, "b.wild.test", "LOADED b.wild.test.pfx", wild);
    ccs_farm_expect_refused(farm, "c.wild.test");
    ccs_farm_expect_refused(farm, "w.test");
    ccs_farm_expect_refused(farm, "catch-all.test");
}

static void fallback(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65], own[65];
    int version;

    put_own(farm, "own", "own.test,*.own.test", own);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE CCS_APACHE_STORE
        "CCSUnknownName fallback\nListen @PORT2@\n" CCS_APACHE_VHOST("@PORT1@",
                                                                     CCS_APACHE_ON CERT("own"))
            CCS_APACHE_VHOST("@PORT2@", CCS_APACHE_ON CERT("own") "CCSUnknownName reject\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec = ccs_farm_ask(farm, "own.test");
        spec.min_version = spec.max_version = version;
        ccs_farm_expect(&spec, "FALLBACK ", own);
        spec.sni = "deep.own.test";
        ccs_farm_expect(&spec, "FALLBACK ", own);
        spec.sni = NULL;
        ccs_farm_expect(&spec, "FALLBACK ", own);
        /* A certificate of the server's own is no reason to serve it without being told to. */
        spec.port = farm->apache.port[1];
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
        spec.sni = "own.test";
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    }
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
    put_own(farm, "own", "own.test", own);
    ccs_pki_issue(farm->ca, &rsa, &leaf);
    ccs_farm_put_leaves(farm, "a.test.pfx", &leaf, 1, NULL);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE CCS_APACHE_STORE
        "CCSUnknownName fallback\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON CERT("own")));
    spec = ccs_farm_ask(farm, "a.test");
    spec.sigalgs = "ECDSA+SHA256";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.end, CCS_TLS_ALERT);
    assert_string_equal(result.fingerprint, "");
    ccs_farm_expect_name(farm, "a.test", NULL, leaf.fingerprint);
    ccs_pki_leaf_clear(&leaf);
}

static void two_stores(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char first[65], second[65], other[300];

    ccs_tmp_mkdir(farm->tmp.path, "other");
    ccs_farm_put(farm, "a.test.pfx", "a.test", first);
    ccs_tmp_join(other, sizeof(other), farm->tmp.path, "other");
    ccs_pki_put(farm->ca, "a.test", other, "a.test.pfx", second);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE
        "Listen @PORT2@\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON "CCSStore @STORE@\n")
            CCS_APACHE_VHOST("@PORT2@", CCS_APACHE_ON "CCSStore @DIR@/other\n"));
    spec = ccs_farm_ask(farm, "a.test");
    ccs_farm_expect(&spec, "LOADED a.test.pfx", first);
    spec.port = farm->apache.port[1];
    ccs_farm_expect(&spec, "LOADED a.test.pfx", second);
    ccs_farm_expect(&spec, "HIT a.test.pfx", second);
    spec.port = farm->apache.port[0];
    ccs_farm_expect(&spec, "HIT a.test.pfx", first);
}

static void client_certificates(void **state)
{
    static const char who[] = "<!--#echo var=\"SSL_CLIENT_VERIFY\" --> "
                              "<!--#echo var=\"SSL_CLIENT_S_DN_CN\" -->";
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec client = {.names = "somebody"};
    struct ccs_apache_spec server = {
        .conf = CCS_APACHE_WITH("")
            CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON
                             "ServerName a.test\nSSLVerifyClient require\nSSLVerifyDepth 3\n"
                             "SSLCACertificateFile @DIR@/root.crt\n"
                             "SSLOptions +StdEnvVars\n")};
    struct ccs_tls_spec spec;
    struct ccs_pki_leaf leaf;
    int version;
    char a[65];

    ccs_pki_pem_cert(farm->ca->root, farm->tmp.path, "root.crt");
    client.no_chain = 0;
    ccs_pki_issue(farm->ca, &client, &leaf);
    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_apache_prepare(&farm->apache, farm->tmp.path, &server);
    ccs_tmp_print(farm->tmp.path, "www/index.shtml", who);
    /* The client sends its leaf alone, so the server has to know the rest. */
    ccs_pki_pem_cert(farm->ca->intermediate, farm->tmp.path, "chain.crt");
    {
        char *root = ccs_tmp_read(farm->tmp.path, "root.crt", NULL);
        char *chain = ccs_tmp_read(farm->tmp.path, "chain.crt", NULL), both[8000];

        snprintf(both, sizeof(both), "%s%s", root, chain);
        ccs_tmp_print(farm->tmp.path, "root.crt", both);
        free(root);
        free(chain);
    }
    ccs_apache_start(&farm->apache);
    spec = ccs_farm_ask(farm, "a.test");
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ccs_tls_result result;

        spec.min_version = spec.max_version = version;
        spec.cert = NULL;
        (void)ccs_tls_client_once(&spec, &result, NULL);
        assert_int_not_equal(result.status, 200);
        spec.cert = leaf.cert;
        spec.key = leaf.key;
        (void)ccs_tls_client_once(&spec, &result, NULL);
        assert_string_equal(result.body, "SUCCESS somebody");
        assert_string_equal(result.fingerprint, a);
    }
    ccs_pki_leaf_clear(&leaf);
}

/* -- HTTP/2 and names that differ from the handshake's ------------------------------------- */

/* Status for a request to host over a connection for sni. */
static int status_for(struct ccs_farm *farm, const char *sni, const char *host, const char *alpn)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_result result;

    spec.host = host;
    spec.alpn = alpn;
    if (!ccs_tls_client_once(&spec, &result, NULL)) {
        fail_msg("%s: end %d, alert %d, %s", sni, result.end, result.alert, result.error);
    }
    assert_string_equal(result.alpn, alpn);
    if (result.status != 200 && strstr(result.body, "Misdirected") != NULL) {
        return 421;
    }
    return result.status;
}

static void expect_statuses(struct ccs_farm *farm, const char *title)
{
    static const char *const names[] = {"a.test", "b.test"};
    static const char *const alpns[] = {"http/1.1", "h2"};
    size_t i, j, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < 2; i++) {
            for (j = 0; j < 2; j++) {
                int status = status_for(farm, names[i], names[j], alpns[k]);

                if (status != (i == j ? 200 : 421)) {
                    fail_msg("%s, %s: %s over a connection for %s: %d", title, alpns[k], names[j],
                             names[i], status);
                }
            }
        }
    }
}

#define TWO(first, second)                                                                         \
    CCS_APACHE_CACHE CCS_APACHE_VHOST("@PORT1@", "ServerName a.test\nSSLEngine on\n" first)        \
        CCS_APACHE_VHOST("@PORT1@", "ServerName b.test\nSSLEngine on\n" second)

/* Virtual hosts of a certificate each answer for each other neither with certificates of their own
 * nor with those of a store. */
static void misdirected_requests(void **state)
{
    struct ccs_farm *farm = *state;
    char print[65];

    put_own(farm, "first", "a.test", print);
    put_own(farm, "second", "b.test", print);
    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    ccs_apache_farm_run(farm, TWO(CERT("first"), CERT("second")));
    expect_statuses(farm, "stock");
    assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    ccs_apache_farm_run(farm, CCS_APACHE_STORE TWO("CCSEngine on\n", "CCSEngine on\n"));
    expect_statuses(farm, "store");
    assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    /* Under one virtual host there is nothing to misdirect, as in stock. */
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    assert_int_equal(status_for(farm, "a.test", "b.test", "http/1.1"), 200);
    assert_int_equal(status_for(farm, "a.test", "b.test", "h2"), 200);
}

/* mod_ssl looks at what it was given to start with; an administrator should not read of it. */
static void log_is_clean(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE CCS_APACHE_STORE
        "SSLUseStapling on\nSSLStaplingCache shmcb:@DIR@/run/ocsp(32768)\n" CCS_APACHE_VHOST(
            "@PORT1@", CCS_APACHE_ON "ServerName a.test\n")
            CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON "ServerName b.test\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", NULL);
    assert_int_equal(ccs_place_complain(farm->tmp.path, ":warn]"), 0);
    assert_int_equal(ccs_place_complain(farm->tmp.path, ":error]"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(off_beside_on),
        CCS_FARM_TEST(on_for_all_and_off_for_one),
        CCS_FARM_TEST(names_and_aliases),
        CCS_FARM_TEST(fallback),
        CCS_FARM_TEST(own_certificate_is_never_mixed_in),
        CCS_FARM_TEST(two_stores),
        CCS_FARM_TEST(client_certificates),
        CCS_FARM_TEST(misdirected_requests),
        CCS_FARM_TEST(log_is_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
