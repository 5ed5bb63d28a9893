/* SPDX-License-Identifier: Apache-2.0 */
/* Which file answers for which name. */
#include "farm.h"

#include <stdio.h>
#include <string.h>

static void exact_name(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], b[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    ccs_farm_expect_name(farm, "b.test", "LOADED b.test.pfx", b);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
    ccs_farm_expect_name(farm, "A.TEST", "HIT a.test.pfx", a);
}

static void trailing_dot(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    spec = ccs_farm_ask(farm, "a.test.");
    spec.verify_host = "a.test";
    ccs_farm_expect(&spec, "LOADED a.test.pfx", a);
    ccs_farm_expect_name(farm, "a.test", "HIT a.test.pfx", a);
}

static void wildcard(void **state)
{
    struct ccs_farm *farm = *state;
    char all[65], own[65];

    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_put(farm, "own.shop.test.pfx", "own.shop.test", own);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "one.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_expect_name(farm, "one.shop.test", "HIT _.shop.test.pfx", all);
    ccs_farm_expect_name(farm, "own.shop.test", "LOADED own.shop.test.pfx", own);
    ccs_farm_expect_name(farm, "own.shop.test", "HIT own.shop.test.pfx", own);
    ccs_farm_expect_refused(farm, "two.labels.shop.test");
    ccs_farm_expect_refused(farm, "shop.test");
}

/* Once the wildcard is known, a name that asks for the first time still looks for its own file. */
static void exact_file_arrives_under_wildcard(void **state)
{
    struct ccs_farm *farm = *state;
    char all[65], own[65];

    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "one.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_put(farm, "one.shop.test.pfx", "one.shop.test", own);
    ccs_farm_wait_served(farm, "one.shop.test", own);
    ccs_farm_expect_name(farm, "other.shop.test", NULL, all);
}

static void unicode_file(void **state)
{
    struct ccs_farm *farm = *state;
    char plain[65], both[65];

    ccs_farm_put(farm,
                 "b\xc3\xbc"
                 "cher.test.pfx",
                 "xn--bcher-kva.test", plain);
    ccs_farm_put(farm, "xn--caf-dma.test.pfx", "xn--caf-dma.test", both);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "xn--bcher-kva.test",
                         "LOADED b\xc3\xbc"
                         "cher.test.pfx",
                         plain);
    ccs_farm_expect_name(farm, "XN--BCHER-KVA.test", NULL, plain);
    ccs_farm_expect_name(farm, "xn--caf-dma.test", "LOADED xn--caf-dma.test.pfx", both);
}

static void unicode_file_wins(void **state)
{
    struct ccs_farm *farm = *state;
    char first[65], second[65];

    ccs_farm_put(farm,
                 "b\xc3\xbc"
                 "cher.test.pfx",
                 "xn--bcher-kva.test", first);
    ccs_farm_put(farm, "xn--bcher-kva.test.pfx", "xn--bcher-kva.test", second);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "xn--bcher-kva.test", NULL, first);
    ccs_farm_wait_log(farm, "xn--bcher-kva.test.pfx");
}

static void upper_case_file(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65], all[65];

    ccs_farm_put(farm, "WWW.Example.TEST.PFX", "www.example.test", a);
    ccs_farm_put(farm, "_.Shop.test.Pfx", "*.shop.test", all);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "www.example.test", "LOADED WWW.Example.TEST.PFX", a);
    ccs_farm_expect_name(farm, "www.example.test", "HIT WWW.Example.TEST.PFX", a);
    ccs_farm_expect_name(farm, "a.shop.test", "LOADED _.Shop.test.Pfx", all);
}

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

static void issue_both(struct ccs_farm *farm, const char *name, struct ccs_pki_leaf leaves[2])
{
    struct ccs_pki_spec rsa = {.names = name, .key = CCS_PKI_RSA};
    struct ccs_pki_spec ecdsa = {.names = name, .key = CCS_PKI_P256};

    ccs_pki_issue(farm->ca, &rsa, &leaves[0]);
    ccs_pki_issue(farm->ca, &ecdsa, &leaves[1]);
}

static void clear_both(struct ccs_pki_leaf leaves[2])
{
    ccs_pki_leaf_clear(&leaves[0]);
    ccs_pki_leaf_clear(&leaves[1]);
}

static void two_kinds_of_keys_in_two_files(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_leaf leaves[2];

    issue_both(farm, "dual.test", leaves);
    ccs_farm_put_leaves(farm, "dual.test.rsa.pfx", &leaves[0], 1, NULL);
    ccs_farm_put_leaves(farm, "dual.test.ecdsa.pfx", &leaves[1], 1, NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    expect_both_kinds(farm, "dual.test", leaves[0].fingerprint, leaves[1].fingerprint);
    clear_both(leaves);
}

static void two_kinds_of_keys_in_one_file(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_leaf leaves[2];

    issue_both(farm, "both.test", leaves);
    ccs_farm_put_leaves(farm, "both.test.pfx", leaves, 2, NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    expect_both_kinds(farm, "both.test", leaves[0].fingerprint, leaves[1].fingerprint);
    clear_both(leaves);
}

static void second_kind_beside_plain_file(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_leaf leaves[2];

    issue_both(farm, "beside.test", leaves);
    ccs_farm_put_leaves(farm, "beside.test.pfx", &leaves[0], 1, NULL);
    ccs_farm_put_leaves(farm, "beside.test.ecdsa.pfx", &leaves[1], 1, NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    expect_both_kinds(farm, "beside.test", leaves[0].fingerprint, leaves[1].fingerprint);
    clear_both(leaves);
}

static void all_key_types_and_protections(void **state)
{
    static const struct {
        const char *name, *file, *password;
        enum ccs_pki_key key;
        enum ccs_pki_protection protection;
    } cases[] = {
        {"windows.test", "windows.test.pfx", "swordfish", CCS_PKI_RSA, CCS_PKI_WINDOWS},
        {"modern.test", "modern.test.pfx", "a second one", CCS_PKI_P384, CCS_PKI_MODERN},
        {"des.test", "des.test.pfx", "swordfish", CCS_PKI_P256, CCS_PKI_3DES},
        {"edwards.test", "edwards.test.pfx", "swordfish", CCS_PKI_ED25519, CCS_PKI_MODERN},
        {"empty.test", "empty.test.pfx", "", CCS_PKI_P256, CCS_PKI_WINDOWS},
        {"null.test", "null.test.pfx", NULL, CCS_PKI_P256, CCS_PKI_WINDOWS},
    };
    struct ccs_farm *farm = *state;
    char body[100], prints[6][65];
    size_t i;

    for (i = 0; i < 6; i++) {
        struct ccs_pki_spec spec = {.names = cases[i].name, .key = cases[i].key};
        struct ccs_pki_pfx how = {.password = cases[i].password, .protection = cases[i].protection};
        struct ccs_pki_leaf leaf;

        ccs_pki_issue(farm->ca, &spec, &leaf);
        ccs_farm_put_leaves(farm, cases[i].file, &leaf, 1, &how);
        memcpy(prints[i], leaf.fingerprint, sizeof(prints[i]));
        ccs_pki_leaf_clear(&leaf);
    }
    ccs_tmp_print(farm->tmp.path, "passwords", "swordfish\na second one\n");
    ccs_farm_run(farm, CCS_FARM_HTTP "ccs_password_file @DIR@/passwords;\n");
    for (i = 0; i < 6; i++) {
        snprintf(body, sizeof(body), "LOADED %s", cases[i].file);
        ccs_farm_expect_name(farm, cases[i].name, body, prints[i]);
    }
    assert_int_equal(ccs_nginx_logged(&farm->nginx, "swordfish"), 0);
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
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ask = ccs_farm_ask(farm, "old.test");
    ccs_tls_client_once(&ask, &result, NULL);
    assert_true(result.handshake);
    assert_int_equal(result.verify, X509_V_ERR_CERT_HAS_EXPIRED);
    assert_string_equal(result.fingerprint, leaf.fingerprint);
    assert_string_equal(result.body, "LOADED old.test.pfx");
    ccs_farm_wait_log(farm, "has expired");
    ccs_pki_leaf_clear(&leaf);
}

static void no_server_name(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_farm_run(farm, CCS_FARM_TLS CCS_FARM_STORE
                 "server { listen @PORT1@ ssl; " CCS_FARM_ANSWER "}\n"
                 "server { listen @PORT2@ ssl; ccs_default_name A.test; " CCS_FARM_ANSWER "}\n"
                 "server { listen @PORT3@ ssl; ccs_default_name gone.test; " CCS_FARM_ANSWER "}\n");
    spec = ccs_farm_ask(farm, NULL);
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    spec.port = farm->nginx.port[1];
    ccs_farm_expect(&spec, "LOADED a.test.pfx", a);
    ccs_farm_expect(&spec, "HIT a.test.pfx", a);
    spec.port = farm->nginx.port[2];
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    /* default_name is for clients without a name only. */
    spec.port = farm->nginx.port[1];
    spec.sni = "gone.test";
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
}

static void unknown_name(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;
    int version;

    ccs_farm_run(farm, CCS_FARM_HTTP);
    spec = ccs_farm_ask(farm, "gone.test");
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        spec.min_version = spec.max_version = version;
        spec.alpn = "h2,http/1.1";
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
        ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(exact_name),
        CCS_FARM_TEST(trailing_dot),
        CCS_FARM_TEST(wildcard),
        CCS_FARM_TEST(exact_file_arrives_under_wildcard),
        CCS_FARM_TEST(unicode_file),
        CCS_FARM_TEST(unicode_file_wins),
        CCS_FARM_TEST(upper_case_file),
        CCS_FARM_TEST(two_kinds_of_keys_in_two_files),
        CCS_FARM_TEST(two_kinds_of_keys_in_one_file),
        CCS_FARM_TEST(second_kind_beside_plain_file),
        CCS_FARM_TEST(all_key_types_and_protections),
        CCS_FARM_TEST(expired_is_served),
        CCS_FARM_TEST(no_server_name),
        CCS_FARM_TEST(unknown_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
