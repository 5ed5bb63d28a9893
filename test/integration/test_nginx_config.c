/* SPDX-License-Identifier: Apache-2.0 */
/* What "nginx -t" says. */
#include "farm.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs nginx -t over this; the caller frees the output. */
static int test(struct ccs_farm *farm, const char *http, char **output)
{
    struct ccs_nginx_spec spec = {.http = http};

    ccs_nginx_prepare(&farm->nginx, farm->tmp.path, &spec);
    return ccs_nginx_test(&farm->nginx, output);
}

static void expect_good(struct ccs_farm *farm, const char *http)
{
    char *output;

    if (test(farm, http, &output) != 0 || strstr(output, "warn") != NULL) {
        print_error("%s", output);
        fail_msg("this should be accepted in silence: %s", http);
    }
    free(output);
}

/* Each mistake is refused (or warned of) by one line that holds this text, the file and the line of
 * the configuration that the word MISTAKE's line has. */
static void expect_complaint(struct ccs_farm *farm, const char *http, int status, const char *text)
{
    char *output, *line, *rest, where[300], *conf, *at;
    int number = 1, found = 0, rc = test(farm, http, &output);

    conf = ccs_tmp_read(farm->tmp.path, "nginx.conf", NULL);
    at = conf != NULL ? strstr(conf, "# MISTAKE") : NULL;
    assert_non_null(at);
    for (rest = conf; rest < at; rest++) {
        number += *rest == '\n';
    }
    free(conf);
    snprintf(where, sizeof(where), "%s/nginx.conf:%d", farm->tmp.path, number);
    print_message("%s", output);
    rest = output;
    while ((line = strsep(&rest, "\n")) != NULL) {
        found |= strstr(line, text) != NULL && strstr(line, where) != NULL;
    }
    free(output);
    if (rc != status || !found) {
        fail_msg("status %d instead of %d, or no line with \"%s\" and %s", rc, status, text, where);
    }
}

static void good_configurations(void **state)
{
    struct ccs_farm *farm = *state;

    ccs_tmp_print(farm->tmp.path, "passwords", "one\ntwo\n");
    expect_good(farm, CCS_FARM_HTTP);
    expect_good(farm, CCS_FARM_TLS "ccs off;\nserver { listen @PORT1@; return 200 plain; }\n");
    expect_good(farm, CCS_FARM_HTTP
                "ccs_password_file @DIR@/passwords; ccs_parsed 500; ccs_refresh 30s; ccs_wait 3s;\n"
                "ccs_stale 7d; ccs_negative 5s; ccs_default_name www.example.test;\n"
                "ccs_unknown_name reject; ccs_check_name off; ccs_threads 4; ccs_max_waiting 2k;\n"
                "ccs_kdf_limit 1m;\n");
    /* Paths are taken as nginx takes its own. */
    expect_good(farm, CCS_FARM_TLS
                "ccs on; ccs_store store; ccs_password_file passwords;\n" CCS_FARM_SERVER);
    /* Settings without a store to set, as in a snippet that is included everywhere. */
    expect_good(farm, "ccs_wait 3s;\nserver { listen @PORT1@; return 200 plain; }\n");
}

static void mistakes_in_values(void **state)
{
    static const struct {
        const char *line, *text;
    } cases[] = {
        {"ccs maybe;", "invalid value \"maybe\""},
        {"ccs on off;", "invalid number of arguments"},
        {"ccs on; ccs on;", "duplicate"},
        {"ccs_store;", "invalid number of arguments"},
        {"ccs_store \"\";", "ccs_store"},
        {"ccs_wait soon;", "ccs_wait"},
        {"ccs_wait 1h;", "ccs_wait"},
        {"ccs_wait 0;", "ccs_wait"},
        {"ccs_wait 99999999999999999999;", "ccs_wait"},
        {"ccs_refresh 10ms;", "ccs_refresh"},
        {"ccs_parsed 3;", "ccs_parsed"},
        {"ccs_parsed -5;", "ccs_parsed"},
        {"ccs_threads 1000;", "ccs_threads"},
        {"ccs_unknown_name maybe;", "ccs_unknown_name"},
        {"ccs_check_name sometimes;", "ccs_check_name"},
        {"ccs_default_name ../x;", "ccs_default_name"},
        {"ccs_default_name 127.0.0.1;", "ccs_default_name"},
        {"ccs_password_file @DIR@/no-such-file;", "ccs_password_file"},
        {"ccs_password_file @DIR@;", "ccs_password_file"},
        {"ccs_wait 1s; ccs_wait 2s;", "duplicate"},
        {"ccs_waits 1s;", "unknown directive \"ccs_waits\""},
    };
    struct ccs_farm *farm = *state;
    char http[1000];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(http, sizeof(http), CCS_FARM_TLS "\n\n%s # MISTAKE\n" CCS_FARM_SERVER,
                 cases[i].line);
        expect_complaint(farm, http, 1, cases[i].text);
    }
}

static void mistakes_between_lines(void **state)
{
    struct ccs_farm *farm = *state;

    expect_complaint(farm, CCS_FARM_TLS "ccs on; # MISTAKE\n" CCS_FARM_SERVER, 1,
                     "no \"ccs_store\" is defined");
    expect_complaint(farm,
                     CCS_FARM_TLS
                     "server { listen @PORT1@ ssl;\nccs on; # MISTAKE\n" CCS_FARM_ANSWER "}\n",
                     1, "no \"ccs_store\" is defined");
    expect_complaint(farm,
                     CCS_FARM_TLS "ccs_store @STORE@;\n"
                                  "server { listen @PORT1@ ssl;\nccs on; # MISTAKE\n"
                                  "ssl_certificate $ssl_server_name.crt; ssl_certificate_key "
                                  "$ssl_server_name.key;\n}\n",
                     1, "\"ssl_certificate\" with variables");
    /* nginx's own complaint is still there for servers without the store. */
    {
        char *output;

        assert_int_equal(test(farm, CCS_FARM_TLS "ccs_store @STORE@;\n" CCS_FARM_SERVER, &output),
                         1);
        assert_non_null(strstr(output, "no \"ssl_certificate\" is defined"));
        free(output);
    }
}

static void warnings(void **state)
{
    struct ccs_farm *farm = *state;

    expect_complaint(farm,
                     CCS_FARM_TLS "ccs on; ccs_store @DIR@/nowhere; # MISTAKE\n" CCS_FARM_SERVER, 0,
                     "cannot read the folder");
    expect_complaint(farm,
                     CCS_FARM_TLS "ccs on; ccs_store @STORE@; # MISTAKE\n"
                                  "ccs_unknown_name fallback;\n" CCS_FARM_SERVER,
                     0, "no \"ssl_certificate\" to fall back to");
    expect_complaint(farm,
                     "ccs_store @STORE@;\nserver { listen @PORT1@;\nccs on; # MISTAKE\n"
                     "return 200 plain; }\n",
                     0, "has no effect");
}

/* The folder is looked at with the eyes of the workers. */
static void folder_of_another_user(void **state)
{
    struct ccs_farm *farm = *state;
    char *output;
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP, .user = "nobody nogroup"};

    if (geteuid() != 0 || getpwnam("nobody") == NULL || getgrnam("nogroup") == NULL) {
        print_message("this needs root, and a user nobody of group nogroup\n");
        skip();
    }
    assert_int_equal(chmod(farm->store, 0700), 0);
    ccs_nginx_prepare(&farm->nginx, farm->tmp.path, &spec);
    assert_int_equal(ccs_nginx_test(&farm->nginx, &output), 0);
    assert_non_null(strstr(output, "cannot read the folder"));
    free(output);
}

/* Nothing that a password file holds may show, whatever is wrong with it. */
static void passwords_do_not_show(void **state)
{
    struct ccs_farm *farm = *state;
    char text[5000], *output;

    memset(text, 'x', sizeof(text));
    memcpy(text, "swordfish\nswordfish-", 20);
    ccs_tmp_write(farm->tmp.path, "passwords", text, sizeof(text));
    assert_int_equal(test(farm, CCS_FARM_HTTP "ccs_password_file @DIR@/passwords;\n", &output), 1);
    assert_null(strstr(output, "swordfish"));
    assert_null(strstr(output, "xxxxx"));
    free(output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(good_configurations),    CCS_FARM_TEST(mistakes_in_values),
        CCS_FARM_TEST(mistakes_between_lines), CCS_FARM_TEST(warnings),
        CCS_FARM_TEST(folder_of_another_user), CCS_FARM_TEST(passwords_do_not_show),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
