/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which a ClientHello may come, each cold and warm. */
#include "farm.h"

#include <stdio.h>
#include <string.h>

#define HTTP                                                                                       \
    CCS_FARM_TLS CCS_FARM_STORE                                                                    \
        "ssl_ecdh_curve P-256:P-384;\n"                                                            \
        "server { listen @PORT1@ ssl http2; " CCS_FARM_ANSWER "}\n"                                \
        "server { listen @PORT2@ ssl proxy_protocol; return 200 \"$ccs_result $ccs_file "          \
        "$proxy_protocol_addr\"; }\n"

/* The client's first share is for a group that nginx does not take, or is. */
#define RETRY  "P-521:P-384"
#define DIRECT "P-256"

static void ways_in(void **state)
{
    static const struct {
        const char *name;
        struct ccs_tls_spec spec;
        const char *more; /* behind the usual answer */
    } cases[] = {
        {"plain", {.groups = DIRECT}, ""},
        {"tls12", {.groups = DIRECT, .max_version = TLS1_2_VERSION}, ""},
        {"tls13", {.groups = DIRECT, .min_version = TLS1_3_VERSION}, ""},
        {"h2", {.groups = DIRECT, .alpn = "h2,http/1.1"}, ""},
        {"h2tls12", {.groups = DIRECT, .alpn = "h2", .max_version = TLS1_2_VERSION}, ""},
        {"http1", {.groups = DIRECT, .alpn = "http/1.1"}, ""},
        {"retry", {.groups = RETRY, .min_version = TLS1_3_VERSION}, ""},
        {"retryh2", {.groups = RETRY, .min_version = TLS1_3_VERSION, .alpn = "h2"}, ""},
        {"proxy1", {.groups = DIRECT, .proxy = 1}, " 192.0.2.7"},
        {"proxy2", {.groups = DIRECT, .proxy = 2}, " 192.0.2.7"},
        {"proxybytes", {.groups = DIRECT, .proxy = 1, .segment = 1}, " 192.0.2.7"},
        {"bytes", {.groups = DIRECT, .segment = 1}, ""},
        {"records1", {.groups = DIRECT, .record = 1}, ""},
        {"records7", {.groups = DIRECT, .record = 7}, ""},
        {"records50", {.groups = DIRECT, .record = 50, .segment = 3}, ""},
        {"records100", {.groups = DIRECT, .record = 100, .segment = 99}, ""},
        {"large", {.groups = DIRECT, .padding = 5000}, ""},
        {"larger", {.groups = DIRECT, .padding = 14000, .segment = 1000}, ""},
        {"largerecords", {.groups = DIRECT, .padding = 14000, .record = 100}, ""},
    };
    struct ccs_farm *farm = *state;
    char names[sizeof(cases) / sizeof(cases[0])][40], body[100];
    size_t i, round;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(names[i], sizeof(names[i]), "%s.test", cases[i].name);
        snprintf(body, sizeof(body), "%s.pfx", names[i]);
        ccs_farm_put(farm, body, names[i], NULL);
    }
    ccs_farm_run(farm, HTTP);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ccs_tls_spec spec = cases[i].spec;

        spec.port = farm->nginx.port[spec.proxy > 0];
        spec.sni = names[i];
        spec.root = farm->ca->root;
        spec.path = "/";
        for (round = 0; round < 2; round++) {
            snprintf(body, sizeof(body), "%s %s.pfx%s", round == 0 ? "LOADED" : "HIT", names[i],
                     cases[i].more);
            ccs_farm_expect(&spec, body, NULL);
        }
    }
}

static void alpn_is_negotiated(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_result result;
    struct ccs_tls_spec spec;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, HTTP);
    spec = ccs_farm_ask(farm, "a.test");
    spec.alpn = "h2,http/1.1";
    assert_true(ccs_tls_client_once(&spec, &result, NULL));
    assert_string_equal(result.alpn, "h2");
    assert_int_equal(result.status, 200);
    spec.alpn = "http/1.1";
    assert_true(ccs_tls_client_once(&spec, &result, NULL));
    assert_string_equal(result.alpn, "http/1.1");
}

static void unknown_name_after_retry(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;

    ccs_farm_run(farm, HTTP);
    spec = ccs_farm_ask(farm, "gone.test");
    spec.groups = RETRY;
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
    ccs_farm_expect_alert(&spec, CCS_ALERT_UNRECOGNIZED_NAME);
}

/* Chains of more than one record's worth of writing. */
static void long_chain(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec spec = {.names = "long.test", .key = CCS_PKI_RSA};
    struct ccs_pki_leaf leaf;
    char names[3000] = "long.test", more[60];
    int i;

    for (i = 0; i < 60; i++) {
        snprintf(more, sizeof(more), ",another-name-to-fill-the-file-%02d.test", i);
        strcat(names, more);
    }
    spec.names = names;
    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_farm_put_leaves(farm, "long.test.pfx", &leaf, 1, NULL);
    ccs_farm_run(farm, HTTP);
    ccs_farm_expect_name(farm, "long.test", "LOADED long.test.pfx", leaf.fingerprint);
    ccs_farm_expect_name(farm, "long.test", "HIT long.test.pfx", leaf.fingerprint);
    ccs_pki_leaf_clear(&leaf);
}

/* The gate must leave what is no TLS to nginx. */
static void not_tls(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_tls_spec spec;

    ccs_farm_put(farm, "a.test.pfx", "a.test", NULL);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    /* A PROXY header where none is expected. */
    spec = ccs_farm_ask(farm, "a.test");
    spec.proxy = 1;
    {
        struct ccs_tls_result result;

        ccs_tls_client_once(&spec, &result, NULL);
        assert_int_not_equal(result.end, CCS_TLS_TIMEOUT);
        assert_false(result.handshake);
    }
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(ways_in),
        CCS_FARM_TEST(alpn_is_negotiated),
        CCS_FARM_TEST(unknown_name_after_retry),
        CCS_FARM_TEST(long_chain),
        CCS_FARM_TEST(not_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
