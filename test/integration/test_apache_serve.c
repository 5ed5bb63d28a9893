/* SPDX-License-Identifier: Apache-2.0 */
/* Which file answers for which name, in each of the MPMs, and however the ClientHello comes. */
#include "apache_farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- in all MPMs --------------------------------------------------------------------------- */

static const struct {
    enum ccs_apache_mpm mpm;
    int after_ssl;
} servers[] = {
    {CCS_APACHE_EVENT, 0}, {CCS_APACHE_EVENT, 1}, {CCS_APACHE_WORKER, 0}, {CCS_APACHE_PREFORK, 1}};

static void expect_octets_refused(struct ccs_farm *farm, const char *data, size_t len)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, NULL);
    struct ccs_tls_result result;

    spec.raw_sni = (const unsigned char *)data;
    spec.raw_sni_len = len;
    spec.max_version = TLS1_2_VERSION;
    (void)ccs_tls_client_once(&spec, &result, NULL);
    /* OpenSSL itself refuses some of these before anybody is asked, as a decoding error. */
    if (result.end != CCS_TLS_ALERT || result.fingerprint[0] != '\0' ||
        (result.alert != CCS_ALERT_UNRECOGNIZED_NAME && result.alert != SSL_AD_DECODE_ERROR)) {
        fail_msg("%zu octets, \"%.40s\": end %d, alert %d, a certificate %.8s", len, data,
                 result.end, result.alert, result.fingerprint);
    }
}

static void expect_strangers_refused(struct ccs_farm *farm)
{
    static const char *const names[] = {"../x", "_.shop.test",   "*.shop.test", "..a.test",
                                        "",     "127.0.0.1",     "a b.test",    "a.test:443",
                                        "::1",  "b\xc3\xbc.test"};
    struct ccs_tls_spec spec = ccs_farm_ask(farm, "gone.test");
    size_t i;

    for (spec.min_version = TLS1_2_VERSION; spec.min_version <= TLS1_3_VERSION;
         spec.min_version++) {
        spec.max_version = spec.min_version;
        spec.sni = "gone.test";
        spec.alpn = "h2,http/1.1";
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
        spec.sni = NULL;
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    }
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_octets_refused(farm, names[i], strlen(names[i]));
    }
    expect_octets_refused(farm, "a.test\0.shop.test", 17);
}

static void each_mpm_serves(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65], all[65], own[65];
    size_t i;
    int version;

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_put(farm, "own.shop.test.pfx", "own.shop.test", own);
    for (i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        struct ccs_apache_spec spec = {
            .conf = CCS_APACHE_CONF, .mpm = servers[i].mpm, .after_ssl = servers[i].after_ssl};
        struct ccs_tls_spec ask;

        print_message("%s, mod_ccs %s mod_ssl\n", ccs_apache_farm_mpm(spec.mpm),
                      spec.after_ssl ? "after" : "before");
        ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
        ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
        ccs_farm_expect_name(farm, "A.TEST", "HIT a.test.pfx", a);
        ask = ccs_farm_ask(farm, "a.test.");
        ask.verify_host = "a.test";
        ccs_farm_expect(&ask, "HIT a.test.pfx", a);
        ccs_farm_expect_name(farm, "one.shop.test", "LOADED _.shop.test.pfx", all);
        ccs_farm_expect_name(farm, "two.shop.test", "HIT _.shop.test.pfx", all);
        ccs_farm_expect_name(farm, "own.shop.test", "LOADED own.shop.test.pfx", own);
        ccs_farm_expect_refused(farm, "two.labels.shop.test");
        ccs_farm_expect_refused(farm, "shop.test");
        ask = ccs_farm_ask(farm, "b.test");
        for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            ask.min_version = ask.max_version = version;
            ccs_farm_expect(&ask, version == TLS1_2_VERSION ? "LOADED b.test.pfx" : NULL, b);
        }
        expect_strangers_refused(farm);
        ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
        assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    }
}

/* -- files --------------------------------------------------------------------------------- */

/* A client that takes only one kind of key gets a certificate of that kind. */
static void expect_both_kinds(struct ccs_farm *farm, const char *sni, const char *rsa,
                              const char *ecdsa)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    int version;

    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec.min_version = spec.max_version = version;
        spec.sigalgs = "RSA-PSS+SHA256";
        ccs_farm_expect(&spec, NULL, rsa);
        spec.sigalgs = "ECDSA+SHA256";
        ccs_farm_expect(&spec, NULL, ecdsa);
    }
}

static void kinds_of_keys(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec rsa = {.key = CCS_PKI_RSA}, ecdsa = {.key = CCS_PKI_P256};
    static const char *const names[] = {"two.test", "one.test", "beside.test", "rsa.test"};
    struct ccs_pki_leaf leaves[4][2];
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;
    size_t i;

    for (i = 0; i < 4; i++) {
        rsa.names = ecdsa.names = names[i];
        ccs_pki_issue(farm->ca, &rsa, &leaves[i][0]);
        ccs_pki_issue(farm->ca, &ecdsa, &leaves[i][1]);
    }
    ccs_farm_put_leaves(farm, "two.test.rsa.pfx", &leaves[0][0], 1, NULL);
    ccs_farm_put_leaves(farm, "two.test.ecdsa.pfx", &leaves[0][1], 1, NULL);
    ccs_farm_put_leaves(farm, "one.test.pfx", leaves[1], 2, NULL);
    ccs_farm_put_leaves(farm, "beside.test.pfx", &leaves[2][0], 1, NULL);
    ccs_farm_put_leaves(farm, "beside.test.ecdsa.pfx", &leaves[2][1], 1, NULL);
    ccs_farm_put_leaves(farm, "rsa.test.pfx", &leaves[3][0], 1, NULL);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    for (i = 0; i < 3; i++) {
        expect_both_kinds(farm, names[i], leaves[i][0].fingerprint, leaves[i][1].fingerprint);
    }
    /* Whatever mod_ssl was given to start with is never served in place of what is missing. */
    ccs_farm_expect_name(farm, "rsa.test", "LOADED rsa.test.pfx", leaves[3][0].fingerprint);
    spec = ccs_farm_ask(farm, "rsa.test");
    spec.sigalgs = "ECDSA+SHA256";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.end, CCS_TLS_ALERT);
    assert_string_equal(result.fingerprint, "");
    for (i = 0; i < 4; i++) {
        ccs_pki_leaf_clear(&leaves[i][0]);
        ccs_pki_leaf_clear(&leaves[i][1]);
    }
}

static void spellings(void **state)
{
    struct ccs_farm *farm = *state;
    char upper[65], all[65], book[65], cafe[65];

    ccs_farm_put(farm, "WWW.Example.TEST.PFX", "www.example.test", upper);
    ccs_farm_put(farm, "_.Shop.test.Pfx", "*.shop.test", all);
    ccs_farm_put(farm,
                 "b\xc3\xbc"
                 "cher.test.pfx",
                 "xn--bcher-kva.test", book);
    ccs_farm_put(farm, "xn--caf-dma.test.pfx", "xn--caf-dma.test", cafe);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    ccs_farm_expect_name(farm, "www.example.test", "LOADED WWW.Example.TEST.PFX", upper);
    ccs_farm_expect_name(farm, "a.shop.test", "LOADED _.Shop.test.Pfx", all);
    ccs_farm_expect_name(farm, "xn--bcher-kva.test",
                         "LOADED b\xc3\xbc"
                         "cher.test.pfx",
                         book);
    ccs_farm_expect_name(farm, "xn--caf-dma.test", "LOADED xn--caf-dma.test.pfx", cafe);
}

/* The password file is root's; nobody else may read it, and children do not. */
static void keys_and_protections(void **state)
{
    static const struct {
        const char *name, *password;
        enum ccs_pki_key key;
        enum ccs_pki_protection protection;
    } cases[] = {
        {"windows.test", "swordfish", CCS_PKI_RSA, CCS_PKI_WINDOWS},
        {"modern.test", "a second one", CCS_PKI_P384, CCS_PKI_MODERN},
        {"des.test", "swordfish", CCS_PKI_P256, CCS_PKI_3DES},
        {"edwards.test", "swordfish", CCS_PKI_ED25519, CCS_PKI_MODERN},
        {"empty.test", "", CCS_PKI_P256, CCS_PKI_WINDOWS},
        {"null.test", NULL, CCS_PKI_P256, CCS_PKI_WINDOWS},
    };
    struct ccs_farm *farm = *state;
    char file[48], body[100], prints[6][65], path[300];
    size_t i;

    for (i = 0; i < 6; i++) {
        struct ccs_pki_spec spec = {.names = cases[i].name, .key = cases[i].key};
        struct ccs_pki_pfx how = {.password = cases[i].password, .protection = cases[i].protection};
        struct ccs_pki_leaf leaf;

        ccs_pki_issue(farm->ca, &spec, &leaf);
        snprintf(file, sizeof(file), "%s.pfx", cases[i].name);
        ccs_farm_put_leaves(farm, file, &leaf, 1, &how);
        memcpy(prints[i], leaf.fingerprint, sizeof(prints[i]));
        ccs_pki_leaf_clear(&leaf);
    }
    ccs_tmp_print(farm->tmp.path, "passwords", "swordfish\na second one\n");
    assert_int_equal(chmod(ccs_tmp_join(path, sizeof(path), farm->tmp.path, "passwords"), 0600), 0);
    ccs_apache_farm_run(farm, CCS_APACHE_WITH("CCSPasswordFile @DIR@/passwords\n"));
    for (i = 0; i < 6; i++) {
        snprintf(body, sizeof(body), "LOADED %s.pfx", cases[i].name);
        ccs_farm_expect_name(farm, cases[i].name, body, prints[i]);
    }
    assert_int_equal(ccs_place_logged(farm->tmp.path, "swordfish"), 0);
}

static void expired_is_served(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {
        .names = "old.test", .not_before = -10L * 86400, .not_after = -86400};
    struct ccs_tls_result result;
    struct ccs_tls_spec ask;
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_farm_put_leaves(farm, "old.test.pfx", &leaf, 1, NULL);
    ccs_farm_put(farm, "_.test.pfx", "*.test", NULL);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    ask = ccs_farm_ask(farm, "old.test");
    (void)ccs_tls_client_once(&ask, &result, NULL);
    assert_true(result.handshake);
    assert_int_equal(result.verify, X509_V_ERR_CERT_HAS_EXPIRED);
    assert_string_equal(result.fingerprint, leaf.fingerprint);
    ccs_farm_wait_log(farm, "has expired");
    ccs_pki_leaf_clear(&leaf);
}

static void expect_file_refused(struct ccs_farm *farm, const char *sni, const char *reason)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_result result;
    char text[300];

    (void)ccs_tls_client_once(&spec, &result, NULL);
    if (result.end != CCS_TLS_ALERT || result.fingerprint[0] != '\0' ||
        (result.alert != CCS_ALERT_INTERNAL_ERROR && result.alert != CCS_ALERT_UNRECOGNIZED_NAME)) {
        fail_msg("%s: end %d, alert %d, \"%s\"", sni, result.end, result.alert, result.body);
    }
    snprintf(text, sizeof(text), "\"%s.pfx\": %s", sni, reason);
    ccs_farm_wait_log(farm, text);
}

static void bad_files(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx strange = {.password = "nobody knows"};
    struct ccs_pki_spec spec = {.names = "locked.test"};
    struct ccs_pki_leaf leaf;
    char path[512], good[65], all[65];

    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_put_bytes(farm, "a.shop.test.pfx", "garbage", 7);
    ccs_farm_put_bytes(farm, "text.test.pfx", "hello world\n", 12);
    ccs_tmp_join(path, sizeof(path), farm->store, "fifo.test.pfx");
    assert_int_equal(mkfifo(path, 0666), 0);
    ccs_tmp_join(path, sizeof(path), farm->store, "device.test.pfx");
    assert_int_equal(symlink("/dev/zero", path), 0);
    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_farm_put_leaves(farm, "locked.test.pfx", &leaf, 1, &strange);
    ccs_farm_put(farm, "secret.test.pfx", "secret.test", NULL);
    ccs_tmp_join(path, sizeof(path), farm->store, "secret.test.pfx");
    assert_int_equal(chmod(path, 0), 0);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);
    expect_file_refused(farm, "text.test", "");
    expect_file_refused(farm, "fifo.test", "it is not a regular file");
    expect_file_refused(farm, "device.test", "it is a link");
    expect_file_refused(farm, "locked.test", "");
    expect_file_refused(farm, "secret.test", "user id ");
    ccs_farm_expect_name(farm, "a.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_expect_name(farm, "good.test", "HIT good.test.pfx", good);
    ccs_pki_leaf_clear(&leaf);
}

static void default_name(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_apache_farm_run(
        farm, CCS_APACHE_CACHE CCS_APACHE_STORE
        "Listen @PORT2@\nListen @PORT3@\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON)
            CCS_APACHE_VHOST("@PORT2@", CCS_APACHE_ON "CCSDefaultName A.test\n")
                CCS_APACHE_VHOST("@PORT3@", CCS_APACHE_ON "CCSDefaultName gone.test\n"));
    spec = ccs_farm_ask(farm, NULL);
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    spec.port = farm->apache.port[1];
    ccs_farm_expect(&spec, "LOADED a.test.pfx", a);
    ccs_farm_expect(&spec, "HIT a.test.pfx", a);
    spec.port = farm->apache.port[2];
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    /* default_name is for clients without a name only. */
    spec.port = farm->apache.port[1];
    spec.sni = "gone.test";
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
}

/* -- ways in ------------------------------------------------------------------------------- */

/* The client's first share is for a group that the server does not take, or is. */
#define RETRY  "P-521:P-384"
#define DIRECT "P-256"

static const struct {
    const char *name;
    struct ccs_tls_spec spec;
} ways[] = {
    {"plain", {.groups = DIRECT}},
    {"tls12", {.groups = DIRECT, .max_version = TLS1_2_VERSION}},
    {"tls13", {.groups = DIRECT, .min_version = TLS1_3_VERSION}},
    {"h2", {.groups = DIRECT, .alpn = "h2,http/1.1"}},
    {"h2tls12", {.groups = DIRECT, .alpn = "h2", .max_version = TLS1_2_VERSION}},
    {"http1", {.groups = DIRECT, .alpn = "http/1.1"}},
    {"retry", {.groups = RETRY, .min_version = TLS1_3_VERSION}},
    {"retryh2", {.groups = RETRY, .min_version = TLS1_3_VERSION, .alpn = "h2"}},
    {"proxy1", {.groups = DIRECT, .proxy = 1}},
    {"proxy2", {.groups = DIRECT, .proxy = 2}},
    {"bytes", {.groups = DIRECT, .segment = 1}},
    {"records7", {.groups = DIRECT, .record = 7}},
    {"records50", {.groups = DIRECT, .record = 50, .segment = 3}},
    {"large", {.groups = DIRECT, .padding = 5000}},
    {"larger", {.groups = DIRECT, .padding = 14000, .segment = 1000}},
    {"largerecords", {.groups = DIRECT, .padding = 14000, .record = 100}},
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void ways_in(void **state)
{
    static const enum ccs_apache_mpm mpms[] = {CCS_APACHE_EVENT, CCS_APACHE_WORKER};
    struct ccs_farm *farm = *state;
    char names[WAYS][40], body[100];
    size_t i, m, round;

    for (i = 0; i < WAYS; i++) {
        snprintf(names[i], sizeof(names[i]), "%s.test", ways[i].name);
        snprintf(body, sizeof(body), "%s.pfx", names[i]);
        ccs_farm_put(farm, body, names[i], NULL);
    }
    for (m = 0; m < 2; m++) {
        struct ccs_apache_spec server = {
            .conf = CCS_APACHE_WITH(
                "SSLOpenSSLConfCmd Groups P-256:P-384\nListen @PORT2@\n" CCS_APACHE_VHOST(
                    "@PORT2@", CCS_APACHE_ON "RemoteIPProxyProtocol on\n")),
            .mpm = mpms[m]};

        ccs_apache_run(&farm->apache, farm->tmp.path, &server);
        for (i = 0; i < WAYS; i++) {
            struct ccs_tls_spec spec = ways[i].spec;

            spec.port = farm->apache.port[spec.proxy > 0];
            spec.sni = names[i];
            spec.root = farm->ca->root;
            spec.path = "/";
            for (round = 0; round < 2; round++) {
                snprintf(body, sizeof(body), "%s %s.pfx", round == 0 ? "LOADED" : "HIT", names[i]);
                ccs_farm_expect(&spec, body, NULL);
            }
        }
        assert_int_equal(ccs_apache_stop(&farm->apache), 0);
    }
}

static void not_tls(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_apache_farm_run(farm, CCS_APACHE_CONF);
    spec = ccs_farm_ask(farm, "a.test");
    spec.proxy = 1;
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_not_equal(result.end, CCS_TLS_TIMEOUT);
    assert_false(result.handshake);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", NULL);
}

static int access_logged(void *arg)
{
    struct ccs_farm *farm = arg;
    char *log = ccs_tmp_read(farm->tmp.path, "access.log", NULL);
    int found = log != NULL && strstr(log, "LOADED a.test.pfx\nHIT a.test.pfx\n") != NULL;

    free(log);
    return found;
}

/* What administrators see of it. */
static void log_items(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_apache_farm_run(
        farm, CCS_APACHE_WITH("CustomLog @DIR@/access.log \"%{result}^CC %{file}^CC\"\n"));
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", NULL);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", NULL);
    assert_true(ccs_wait_until(access_logged, farm, 0));
    assert_int_equal(ccs_apache_farm_status(farm, "a.test", "store_reads"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(each_mpm_serves),   CCS_FARM_TEST(kinds_of_keys),
        CCS_FARM_TEST(spellings),         CCS_FARM_TEST(keys_and_protections),
        CCS_FARM_TEST(expired_is_served), CCS_FARM_TEST(bad_files),
        CCS_FARM_TEST(default_name),      CCS_FARM_TEST(ways_in),
        CCS_FARM_TEST(not_tls),           CCS_FARM_TEST(log_items),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
