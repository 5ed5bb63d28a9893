/* SPDX-License-Identifier: Apache-2.0 */
#include "login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tmp.h"

static struct ccs_login *parse(const char *text)
{
    struct ccs_login *login = NULL;
    struct ccs_error err;

    if (ccs_login_parse(text, strlen(text), "here", &login, &err) != CCS_OK)
        fail_msg("%s", err.text);
    return login;
}

static void assert_login(const char *text, const char *user, const char *password,
                         const char *domain)
{
    struct ccs_login *login = parse(text);
    struct ccs_login_texts t;

    assert_true(ccs_login_get(login, &t));
    assert_string_equal(t.user, user);
    assert_string_equal(t.password, password);
    assert_string_equal(t.domain, domain);
    ccs_login_unref(login);
}

static void test_forms(void **state)
{
    (void)state;
    assert_login("username=svc\npassword=x\ndomain=D\n", "svc", "x", "D");
    assert_login("username=svc", "svc", "", "");
    assert_login("\xef\xbb\xbfUSER=svc\r\nPass= a=b #c \r\n\r\n", "svc", " a=b #c ", "");
    assert_login("# ours\n  user=svc\n\tdom=D\n", "svc", "", "D");
    assert_login("username=D\\svc\npassword=\n", "svc", "", "D");
    assert_login("username=D/svc\n", "svc", "", "D");
    assert_login("username=svc@example.com\n", "svc@example.com", "", "");
}

static void assert_bad(const char *text, size_t len, const char *part)
{
    struct ccs_login *const untouched = (struct ccs_login *)(uintptr_t)1;
    struct ccs_login *login = untouched;
    struct ccs_error err;

    assert_int_equal(ccs_login_parse(text, len, "here", &login, &err), CCS_EINVAL);
    assert_ptr_equal(login, untouched);
    if (strstr(err.text, part) == NULL || strstr(err.text, "secret") != NULL)
        fail_msg("%s", err.text);
}

#define BAD(text, part) assert_bad(text, sizeof(text) - 1, part)

static void test_what_is_refused(void **state)
{
    char text[5000];

    (void)state;
    BAD("", "no username");
    BAD("password=secret\n", "no username");
    BAD("username=\npassword=secret\n", "no username");
    BAD("username=D\\\n", "no username");
    BAD("username=a\nuser=b\n", "line 2: a second user name");
    BAD("username=a\nsecret\n", "line 2: neither");
    BAD("username=a\npasswort=secret\n", "line 2: neither");
    BAD("username=D\\a\ndomain=E\n", "domain= too");
    BAD("username=a\npassword=secret\0more\n", "line 2: a NUL");
    memset(text, 'x', sizeof(text));
    memcpy(text, "username=", 9);
    assert_bad(text, 9 + CCS_LOGIN_NAME_MAX + 1, "more than 256");
    memcpy(text, "password=", 9);
    assert_bad(text, 9 + CCS_LOGIN_PASSWORD_MAX + 1, "more than 512");
    assert_bad(text, sizeof(text), "too large");
}

static void test_equal(void **state)
{
    struct ccs_login *a = parse("username=a\npassword=x\n");
    struct ccs_login *b = parse("# the same\nuser=a\npass=x\n");
    struct ccs_login *c = parse("username=a\npassword=y\n");
    struct ccs_login_texts t;

    (void)state;
    assert_true(ccs_login_equal(NULL, NULL));
    assert_false(ccs_login_equal(a, NULL));
    assert_false(ccs_login_equal(NULL, a));
    assert_true(ccs_login_equal(a, b));
    assert_false(ccs_login_equal(a, c));
    ccs_login_wipe(a);
    assert_false(ccs_login_get(a, &t));
    assert_true(ccs_login_equal(a, b));
    assert_false(ccs_login_equal(a, c));
    assert_ptr_equal(ccs_login_ref(a), a);
    ccs_login_unref(a);
    ccs_login_unref(a);
    ccs_login_unref(b);
    ccs_login_unref(c);
    ccs_login_wipe(NULL);
    ccs_login_unref(NULL);
    assert_null(ccs_login_ref(NULL));
}

static void test_children_do_not_get_it(void **state)
{
    struct ccs_login *login = parse("username=a\npassword=x\n");
    struct ccs_login *same = parse("username=a\npassword=x\n");
    struct ccs_login_texts t;
    int status;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(!ccs_login_get(login, &t) && ccs_login_equal(login, same) ? 0 : 1);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(ccs_login_get(login, &t));
    assert_string_equal(t.password, "x");
    ccs_login_unref(login);
    ccs_login_unref(same);
}

static void test_files(void **state)
{
    struct ccs_tmp tmp = {0};
    struct ccs_login *login = NULL;
    struct ccs_login_texts t;
    struct ccs_error err;
    char path[400];

    (void)state;
    ccs_tmp_make(&tmp);
    ccs_tmp_print(tmp.path, "login", "username=a\npassword=secret\n");
    ccs_tmp_mkdir(tmp.path, "dir");
    (void)ccs_tmp_join(path, sizeof(path), tmp.path, "login");
    assert_int_equal(ccs_login_read(path, &login, &err), CCS_OK);
    assert_true(ccs_login_get(login, &t));
    assert_string_equal(t.password, "secret");
    ccs_login_unref(login);
    ccs_tmp_print(tmp.path, "login", "password=secret\n");
    assert_int_equal(ccs_login_read(path, &login, &err), CCS_EINVAL);
    assert_non_null(strstr(err.text, "/login\": there is no username"));
    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        assert_int_equal(ccs_login_read(path, &login, &err), CCS_EACCESS);
    }
    (void)ccs_tmp_join(path, sizeof(path), tmp.path, "none");
    assert_int_equal(ccs_login_read(path, &login, &err), CCS_EINVAL);
    (void)ccs_tmp_join(path, sizeof(path), tmp.path, "dir");
    assert_int_equal(ccs_login_read(path, &login, &err), CCS_EINVAL);
    (void)ccs_tmp_join(path, sizeof(path), tmp.path, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ccs_login_read(path, &login, &err), CCS_EINVAL);
    assert_int_equal(ccs_login_read("", &login, &err), CCS_EINVAL);
    ccs_tmp_remove(&tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_equal), cmocka_unit_test(test_children_do_not_get_it),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
