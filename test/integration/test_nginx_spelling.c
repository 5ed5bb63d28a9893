/* SPDX-License-Identifier: Apache-2.0 */
/* Files in upper case, in Unicode and in A-labels, and those that change from one to another. */
#include "farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Only what the server is told, or finds when somebody asks, can bring news. */
#define NEVER CCS_FARM_HTTP "ccs_refresh 1h; ccs_negative 1h;\n"
/* What is in use is looked at every second. */
#define OFTEN CCS_FARM_HTTP "ccs_refresh 1s; ccs_negative 1h;\n"

#define LOCAL NULL
#define SHARE "silent"

static void run(struct ccs_farm *farm, const char *share, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .share = share};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

#define UNICODE "b\xc3\xbc\x63her.test.pfx"
#define ALABEL  "xn--bcher-kva.test"

static void respell(struct ccs_farm *farm, const char *from, const char *to)
{
    char old_path[512], new_path[512];

    ccs_tmp_join(old_path, sizeof(old_path), farm->store, from);
    ccs_tmp_join(new_path, sizeof(new_path), farm->store, to);
    assert_int_equal(rename(old_path, new_path), 0);
}

static void await_spelled(struct ccs_farm *farm, const char *name, const char *fingerprint)
{
    print_message("%s served after %.0f ms\n", name, ccs_farm_wait_served(farm, name, fingerprint));
}

static void spell(struct ccs_farm *farm, const char *share, const char *http)
{
    char a[65], b[65], again[65];

    ccs_farm_put(farm, "A.Test.PFX", "a.test", a);
    ccs_farm_put(farm, UNICODE, ALABEL, b);
    run(farm, share, http);
    ccs_farm_expect_name(farm, "a.test", "LOADED A.Test.PFX", a);
    await_spelled(farm, ALABEL, b);
    /* The same host all the time, however it is called, and what changes is found. */
    respell(farm, "A.Test.PFX", "a.TEST.pfx");
    ccs_farm_put(farm, "a.TEST.pfx", "a.test", again);
    await_spelled(farm, "a.test", again);
    respell(farm, "a.TEST.pfx", "a.test.pfx");
    ccs_farm_put(farm, "a.test.pfx", "a.test", again);
    await_spelled(farm, "a.test", again);
    /* One that nobody has asked for, renamed before the first one does. */
    ccs_farm_put(farm, "New.Test.pfx", "new.test", a);
    await_spelled(farm, "new.test", a);
    ccs_farm_put(farm, "Other.test.pfx", "other.test", a);
    respell(farm, "Other.test.pfx", "OTHER.test.pfx");
    await_spelled(farm, "other.test", a);
}

static void spellings(void **state)
{
    spell(*state, LOCAL, NEVER);
}

struct names {
    struct ccs_farm *farm;
    const char *text;
};

static int status_has(void *arg)
{
    const struct names *names = arg;
    struct ccs_tls_spec spec = ccs_farm_ask(names->farm, "b.test");
    struct ccs_tls_result result;

    spec.path = "/status";
    (void)ccs_tls_client_once(&spec, &result, NULL);
    assert_int_equal(result.status, 200);
    return strstr(result.body, names->text) != NULL;
}

/* A file in service may be about to come again, so the one beside it waits for two looks. */
static void spell_otherwise(struct ccs_farm *farm, const char *share, const char *http)
{
    struct names names = {.farm = farm, .text = "\"names\":2,"};
    char old[65], fresh[65];

    ccs_farm_put(farm, UNICODE, ALABEL, old);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    run(farm, share, http);
    ccs_farm_expect_name(farm, ALABEL, NULL, old);
    assert_true(ccs_wait_until(status_has, &names, 0));
    respell(farm, UNICODE, ALABEL ".pfx");
    ccs_farm_expect_name(farm, ALABEL, NULL, old);
    ccs_farm_put(farm, ALABEL ".pfx", ALABEL, fresh);
    await_spelled(farm, ALABEL, fresh);
    /* The host was there all the time. */
    assert_true(status_has(&names));
    respell(farm, ALABEL ".pfx", UNICODE);
    ccs_farm_put(farm, UNICODE, ALABEL, fresh);
    await_spelled(farm, ALABEL, fresh);
    assert_true(status_has(&names));
}

#define STATUS(refresh)                                                                            \
    CCS_FARM_TLS CCS_FARM_STORE "ccs_refresh " refresh "; ccs_negative 1h;\n"                      \
                                "server { listen @PORT1@ ssl;\n"                                   \
                                "location / { " CCS_FARM_ANSWER "}\n"                              \
                                "location = /status { ccs_status; } }\n"

static void spelled_otherwise(void **state)
{
    spell_otherwise(*state, LOCAL, STATUS("1h"));
}

static void spelled_otherwise_on_a_share(void **state)
{
    spell_otherwise(*state, SHARE, STATUS("1s"));
}

/* The only file there is. */
static void only_one_spelled_otherwise(void **state)
{
    struct ccs_farm *farm = *state;
    char old[65], fresh[65];

    ccs_farm_put(farm, UNICODE, ALABEL, old);
    run(farm, LOCAL, NEVER);
    ccs_farm_expect_name(farm, ALABEL, NULL, old);
    respell(farm, UNICODE, ALABEL ".pfx");
    ccs_farm_put(farm, ALABEL ".pfx", ALABEL, fresh);
    await_spelled(farm, ALABEL, fresh);
}

static void spellings_on_a_share(void **state)
{
    spell(*state, SHARE, OFTEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(spellings),
        CCS_FARM_TEST(spellings_on_a_share),
        CCS_FARM_TEST(spelled_otherwise),
        CCS_FARM_TEST(spelled_otherwise_on_a_share),
        CCS_FARM_TEST(only_one_spelled_otherwise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
