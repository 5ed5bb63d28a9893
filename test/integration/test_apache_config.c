/* SPDX-License-Identifier: Apache-2.0 */
/* What "apachectl configtest" says. */
#include "apache_farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs apache2 -t over this; the caller frees the output. */
static int test(struct ccs_farm *farm, const char *conf, char **output)
{
    struct ccs_apache_spec spec = {.conf = conf};

    ccs_apache_prepare(&farm->apache, farm->tmp.path, &spec);
    return ccs_apache_test(&farm->apache, output);
}

static void expect_good(struct ccs_farm *farm, const char *conf)
{
    char *output;

    if (test(farm, conf, &output) != 0 || strcmp(output, "Syntax OK\n") != 0) {
        print_error("%s", output);
        fail_msg("this should be accepted in silence: %s", conf);
    }
    free(output);
}

/* The number of the line behind the one that says MISTAKE. */
static int line_of_mistake(const struct ccs_farm *farm)
{
    char *conf = ccs_tmp_read(farm->tmp.path, "httpd.conf", NULL), *at, *p;
    int number = 2;

    at = conf != NULL ? strstr(conf, "# MISTAKE") : NULL;
    assert_non_null(at);
    for (p = conf; p < at; p++) {
        number += *p == '\n';
    }
    free(conf);
    return number;
}

/* Each mistake is refused with this text and with the place, as httpd says it or as we do. */
static void expect_complaint(struct ccs_farm *farm, const char *conf, const char *text)
{
    char *output, theirs[300], ours[300];
    int rc = test(farm, conf, &output), number = line_of_mistake(farm);

    snprintf(theirs, sizeof(theirs), "line %d of %s/httpd.conf:", number, farm->tmp.path);
    snprintf(ours, sizeof(ours), "%s/httpd.conf:%d: ", farm->tmp.path, number);
    print_message("%s", output);
    if (rc != 1 || strstr(output, text) == NULL ||
        (strstr(output, theirs) == NULL && strstr(output, ours) == NULL)) {
        fail_msg("status %d instead of 1, or no \"%s\" and %s", rc, text, theirs);
    }
    free(output);
}

static void good_configurations(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_tmp_print(farm->tmp.path, "passwords", "one\ntwo\n");
    expect_good(farm, CCS_APACHE_CONF);
    expect_good(farm, CCS_APACHE_WITH(
                          "CCSPasswordFile @DIR@/passwords\nCCSParsed 500\nCCSRefresh 30s\n"
                          "CCSWait 3s\nCCSStale 7d\nCCSNegative 5s\nCCSCacheSize 16m\n"
                          "CCSDefaultName www.example.test\nCCSUnknownName reject\n"
                          "CCSCheckName off\nCCSThreads 4\nCCSMaxWaiting 2k\nCCSKdfLimit 1m\n"));
    /* Paths are taken as httpd takes its own. */
    expect_good(farm, "CCSStore store\nCCSPasswordFile passwords\n" CCS_APACHE_VHOST(
                          "@PORT1@", CCS_APACHE_ON));
    /* Settings without a store to set, as in a snippet that is included everywhere; and off. */
    expect_good(farm, "CCSWait 3s\n" CCS_APACHE_VHOST("@PORT1@", "CCSEngine off\n"));
    /* A store whose share is down is no mistake. */
    expect_good(farm, "CCSStore @DIR@/unmounted\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON));
}

static void mistakes_in_values(void **state)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"CCSEngine maybe", "CCSEngine"},
        {"CCSEngine on off", "CCSEngine"},
        {"CCSStore", "CCSStore"},
        {"CCSStore \"\"", "CCSStore"},
        {"CCSWait soon", "CCSWait"},
        {"CCSWait 1h", "CCSWait"},
        {"CCSWait 0", "CCSWait"},
        {"CCSWait 99999999999999999999", "CCSWait"},
        {"CCSRefresh 10ms", "CCSRefresh"},
        {"CCSParsed 3", "CCSParsed"},
        {"CCSParsed -5", "CCSParsed"},
        {"CCSThreads 1000", "CCSThreads"},
        {"CCSCacheSize 12", "CCSCacheSize"},
        {"CCSUnknownName maybe", "CCSUnknownName"},
        {"CCSCheckName sometimes", "CCSCheckName"},
        {"CCSDefaultName ../x", "CCSDefaultName"},
        {"CCSDefaultName 127.0.0.1", "CCSDefaultName"},
        {"CCSWaits 1s", "CCSWaits"},
        {"<Directory />\nCCSWait 1s\n</Directory>", "CCSWait"},
    };
    struct ccs_farm *farm = *state;
    char conf[1000];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *inner = strchr(cases[i].line, '\n');

        snprintf(conf, sizeof(conf),
                 CCS_APACHE_STORE
                 "%.*s\n# MISTAKE\n%s\n" CCS_APACHE_VHOST("@PORT1@", CCS_APACHE_ON),
                 inner != NULL ? (int)(inner - cases[i].line) : 0, cases[i].line,
                 inner != NULL ? inner + 1 : cases[i].line);
        expect_complaint(farm, conf, cases[i].text);
    }
}

static void mistakes_between_lines(void **state)
{
    struct ccs_farm *farm = *state;

    expect_complaint(farm, CCS_APACHE_VHOST("@PORT1@", "SSLEngine on\n# MISTAKE\nCCSEngine on\n"),
                     "CCSStore");
    expect_complaint(
        farm,
        "# MISTAKE\nCCSPasswordFile @DIR@/no-such-file\n" CCS_APACHE_STORE CCS_APACHE_VHOST(
            "@PORT1@", CCS_APACHE_ON),
        "CCSPasswordFile");
    expect_complaint(farm,
                     "# MISTAKE\nCCSPasswordFile @DIR@\n" CCS_APACHE_STORE CCS_APACHE_VHOST(
                         "@PORT1@", CCS_APACHE_ON),
                     "CCSPasswordFile");
}

/* Nothing that a password file holds may show, whatever is wrong with it. */
static void passwords_do_not_show(void **state)
{
    struct ccs_farm *farm = *state;
    char text[5000], *output;

    memset(text, 'x', sizeof(text));
    memcpy(text, "swordfish\nswordfish-", 20);
    ccs_tmp_write(farm->tmp.path, "passwords", text, sizeof(text));
    assert_int_equal(test(farm, CCS_APACHE_WITH("CCSPasswordFile @DIR@/passwords\n"), &output), 1);
    assert_null(strstr(output, "swordfish"));
    assert_null(strstr(output, "xxxxx"));
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(good_configurations),
        CCS_FARM_TEST(mistakes_in_values),
        CCS_FARM_TEST(mistakes_between_lines),
        CCS_FARM_TEST(passwords_do_not_show),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
