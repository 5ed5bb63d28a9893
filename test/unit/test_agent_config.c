/* SPDX-License-Identifier: Apache-2.0 */
/* The settings file of an agent that systemd starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

static struct ccs_agent_setup setup;

static int parse(const char *text, struct ccs_error *err)
{
    char *copy = strdup(text);
    int rv;

    assert_non_null(copy);
    memset(err, 0, sizeof(*err));
    rv = agent_config_parse(copy, "agent.conf", &setup, err);
    free(copy);
    return rv;
}

static void test_good(void **state)
{
    char path[] = "/tmp/ccs-login-XXXXXX";
    const char *login = "username=svc\npassword=p w=\ndomain=D\n";
    const int fd = mkstemp(path);
    struct ccs_error err;
    char text[400];

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, login, strlen(login)), strlen(login));
    close(fd);
    snprintf(text, sizeof(text),
             "# agent\r\n\n agent_user = ccs\nlog_level=debug\nstore = \\\\files01\\certs\n"
             "credentials_file =%s\nwait = 7s\nstore=/srv/certs",
             path);
    assert_int_equal(parse(text, &err), CCS_OK);
    unlink(path);
    assert_int_equal(setup.stores, 2);
    assert_string_equal(setup.user, "ccs");
    assert_int_equal(setup.level, CCS_LOG_DEBUG);
    assert_string_equal(setup.store[0].location, "\\\\files01\\certs");
    assert_string_equal(setup.store[0].user, "svc");
    assert_string_equal(setup.store[0].password, "p w=");
    assert_string_equal(setup.store[0].domain, "D");
    assert_int_equal(setup.store[0].wait_ms, 7000);
    assert_string_equal(setup.store[1].location, "/srv/certs");
    assert_int_equal(setup.store[1].wait_ms, 5000);
}

static void test_bad(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "no store is set"},
        {"wait = 3\n", "line 1: this setting belongs to a store"},
        {"store = /x\n\nbad = 1\n", "line 3: there is no such setting"},
        {"store = /x\nwait = 0\n", "wait is a number"},
        {"store = /x\nwait = 61\n", "wait is a number"},
        {"store = /x\nwait = 5m\n", "wait is a number"},
        {"store\n", "name = value"},
        {"store =\n", "has no value"},
        {"log_level = loud\n", "log_level is"},
        {"store=/1\nstore=/2\nstore=/3\nstore=/4\nstore=/5\n", "line 5: there are more stores"},
        {"store=/1\ncredentials_file = /nonexistent/file\n", "/nonexistent/file"},
    };
    struct ccs_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_not_equal(parse(cases[i].text, &err), CCS_OK);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
