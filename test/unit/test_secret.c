/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret.h"

static char dir[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/ccs-secret-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/passwords", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void write_file(const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static void buffer_grows_and_keeps_its_contents(void **state)
{
    struct ccs_secret s = {0};
    char want[5000];

    (void)state;
    assert_int_equal(ccs_secret_append(&s, NULL, 0), CCS_OK);
    assert_non_null(s.data);
    assert_int_equal(s.data[0], 0);
    for (size_t i = 0; i < sizeof(want); i++) {
        want[i] = (char)('a' + i % 26);
        assert_int_equal(ccs_secret_append(&s, &want[i], 1), CCS_OK);
        assert_int_equal(s.data[s.len], 0);
        assert_true(s.len <= s.size);
    }
    assert_int_equal(s.len, sizeof(want));
    assert_memory_equal(s.data, want, sizeof(want));
    assert_int_equal(ccs_secret_reserve(&s, 100000), CCS_OK);
    assert_true(s.size >= 100000);
    assert_memory_equal(s.data, want, sizeof(want));
    assert_int_equal(ccs_secret_reserve(&s, 1), CCS_OK);
    assert_int_equal(s.len, sizeof(want));
    ccs_secret_free(&s);
    assert_null(s.data);
    assert_int_equal(s.len + s.size, 0);
    ccs_secret_free(&s);
}

static void buffer_with_room_for_nothing(void **state)
{
    struct ccs_secret s = {0};

    (void)state;
    assert_int_equal(ccs_secret_reserve(&s, 0), CCS_OK);
    assert_non_null(s.data);
    assert_int_equal(s.data[0], 0);
    assert_int_equal(ccs_secret_append(&s, "ab", 2), CCS_OK);
    assert_string_equal((char *)s.data, "ab");
    assert_int_equal(ccs_secret_reserve(&s, SIZE_MAX), CCS_ENOMEM);
    assert_int_equal(ccs_secret_append(&s, "", SIZE_MAX), CCS_ENOMEM);
    assert_string_equal((char *)s.data, "ab");
    ccs_secret_free(&s);
}

static void wipe_overwrites(void **state)
{
    char buf[32];

    (void)state;
    memset(buf, 'x', sizeof(buf));
    ccs_wipe(buf, sizeof(buf) - 1);
    for (size_t i = 0; i < sizeof(buf) - 1; i++)
        assert_int_equal(buf[i], 0);
    assert_int_equal(buf[sizeof(buf) - 1], 'x');
    ccs_wipe(NULL, 0);
}

#define TEXT(s) s, sizeof(s) - 1

static void lines_become_passwords(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *want[4];
    } cases[] = {
        {TEXT(""), {NULL}},
        {TEXT("\n\r\n\n"), {NULL}},
        {TEXT("\xef\xbb\xbf"), {NULL}},
        {TEXT("one"), {"one"}},
        {TEXT("one\n"), {"one"}},
        {TEXT("one\r\ntwo\r\n"), {"one", "two"}},
        {TEXT("one\n\n\ntwo"), {"one", "two"}},
        {TEXT("\xef\xbb\xbfone\ntwo"), {"one", "two"}},
        {TEXT("one\n\xef\xbb\xbftwo"), {"one", "\xef\xbb\xbftwo"}},
        {TEXT(" one \n\ttwo"), {" one ", "\ttwo"}},
        {TEXT("# no comment\n"), {"# no comment"}},
        {TEXT("a\rb\n"), {"a\rb"}},
        {TEXT("a\r\r\n"), {"a\r"}},
        {TEXT("a\r"), {"a\r"}},
        {TEXT("same\nsame\n"), {"same", "same"}},
        {TEXT("p\xc3\xa4ss\n\xff\xfe"
              "x"),
         {"p\xc3\xa4ss", "\xff\xfe"
                         "x"}},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_passwords *p = NULL;
        size_t n = 0;

        while (cases[i].want[n])
            n++;
        assert_int_equal(ccs_passwords_parse(cases[i].text, cases[i].len, &p, NULL), CCS_OK);
        assert_int_equal(ccs_passwords_count(p), n);
        for (size_t k = 0; k < n; k++) {
            size_t len = 0;

            assert_string_equal(ccs_passwords_get(p, k, &len), cases[i].want[k]);
            assert_int_equal(len, strlen(cases[i].want[k]));
            assert_string_equal(ccs_passwords_get(p, k, NULL), cases[i].want[k]);
        }
        ccs_passwords_unref(p);

        write_file(cases[i].text, cases[i].len);
        p = NULL;
        assert_int_equal(ccs_passwords_read(path, &p, NULL), CCS_OK);
        assert_int_equal(ccs_passwords_count(p), n);
        ccs_passwords_unref(p);
    }
    assert_int_equal(ccs_passwords_count(NULL), 0);
}

static void limits_hold(void **state)
{
    char text[CCS_PASSWORDS_MAX * (CCS_PASSWORD_LEN_MAX + 2) + 100];
    struct ccs_passwords *p = NULL, *const untouched = (struct ccs_passwords *)(void *)text;
    struct ccs_error e;
    char *at = text;
    size_t len;

    (void)state;
    /* As many as allowed, each as long as allowed, with the longest line ends and a mark. */
    memcpy(at, "\xef\xbb\xbf", 3);
    at += 3;
    for (size_t i = 0; i < CCS_PASSWORDS_MAX; i++) {
        memset(at, (int)('0' + i), CCS_PASSWORD_LEN_MAX);
        at += CCS_PASSWORD_LEN_MAX;
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    len = (size_t)(at - text);
    write_file(text, len);
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_OK);
    assert_int_equal(ccs_passwords_count(p), CCS_PASSWORDS_MAX);
    for (size_t i = 0; i < CCS_PASSWORDS_MAX; i++) {
        size_t n = 0;
        const char *s = ccs_passwords_get(p, i, &n);

        assert_int_equal(n, CCS_PASSWORD_LEN_MAX);
        assert_int_equal(s[0], '0' + i);
        assert_int_equal(s[n - 1], '0' + i);
        assert_int_equal(s[n], 0);
    }
    ccs_passwords_unref(p);

    /* One octet more. */
    text[len] = '\n';
    write_file(text, len + 1);
    p = untouched;
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EINVAL);
    assert_ptr_equal(p, untouched);
    assert_non_null(strstr(e.text, path));

    /* One password more. */
    at = text;
    for (size_t i = 0; i <= CCS_PASSWORDS_MAX; i++) {
        memcpy(at, "pw\n", 3);
        at += 3;
    }
    assert_int_equal(ccs_passwords_parse(text, (size_t)(at - text), &p, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "line 65"));
    assert_int_equal(ccs_passwords_parse(text, (size_t)(at - text) - 3, &p, &e), CCS_OK);
    ccs_passwords_unref(p);

    /* One octet too long, in the third line. */
    memcpy(text, "a\n\n", 3);
    memset(text + 3, 'S', CCS_PASSWORD_LEN_MAX + 1);
    p = untouched;
    assert_int_equal(ccs_passwords_parse(text, CCS_PASSWORD_LEN_MAX + 4, &p, &e), CCS_EINVAL);
    assert_ptr_equal(p, untouched);
    assert_non_null(strstr(e.text, "line 3"));
    assert_null(strstr(e.text, "SS"));
}

static void errors_name_the_place_and_no_contents(void **state)
{
    struct ccs_passwords *p = NULL;
    struct ccs_error e;

    (void)state;
    write_file("first\nto\0ken\n", 13);
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "line 2"));
    assert_null(strstr(e.text, "ken"));
    assert_null(strstr(e.text, "first"));

    write_file("\xff\xfes\0e\0c\0", 8);
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "UTF-16"));
    assert_null(p);
}

static void not_a_readable_file(void **state)
{
    struct ccs_passwords *p = NULL;
    struct ccs_error e;

    (void)state;
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EINVAL);
    assert_int_equal(e.sys_errno, ENOENT);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(ccs_passwords_read(dir, &p, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "regular file"));
    assert_int_equal(ccs_passwords_read("/dev/null", &p, &e), CCS_EINVAL);
    assert_int_equal(ccs_passwords_read("", &p, &e), CCS_EINVAL);
    assert_int_equal(ccs_passwords_read(NULL, &p, &e), CCS_EINVAL);

    /* A FIFO without a writer must not make it wait. */
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EINVAL);
    unlink(path);

    write_file("secret\n", 7);
    assert_int_equal(chmod(path, 0), 0);
    if (geteuid() != 0) {
        assert_int_equal(ccs_passwords_read(path, &p, &e), CCS_EACCESS);
        assert_int_equal(e.sys_errno, EACCES);
    }
    assert_null(p);
}

static void links_are_followed(void **state)
{
    struct ccs_passwords *p = NULL;
    char link[160];

    (void)state;
    write_file("one\n", 4);
    (void)snprintf(link, sizeof(link), "%s/link", dir);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(ccs_passwords_read(link, &p, NULL), CCS_OK);
    unlink(link);
    assert_int_equal(ccs_passwords_count(p), 1);
    ccs_passwords_unref(p);
}

static struct ccs_passwords *make(const char *text)
{
    struct ccs_passwords *p = NULL;

    assert_int_equal(ccs_passwords_parse(text, strlen(text), &p, NULL), CCS_OK);
    return p;
}

static void equality(void **state)
{
    static const struct {
        const char *a, *b;
        int equal;
    } cases[] = {
        {"", "", 1},      {"", "\n\n", 1}, {"a\nb", "a\r\nb\r\n", 1}, {"a\nb", "b\na", 0},
        {"a", "a\na", 0}, {"ab", "ac", 0}, {"ab", "abc", 0},          {"a\nbc", "ab\nc", 0},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_passwords *a = make(cases[i].a), *b = make(cases[i].b);

        assert_int_equal(ccs_passwords_equal(a, b), cases[i].equal);
        assert_int_equal(ccs_passwords_equal(b, a), cases[i].equal);
        assert_int_equal(ccs_passwords_equal(a, a), 1);
        assert_int_equal(ccs_passwords_equal(a, NULL), ccs_passwords_count(a) == 0);
        ccs_passwords_unref(a);
        ccs_passwords_unref(b);
    }
    assert_int_equal(ccs_passwords_equal(NULL, NULL), 1);
}

/* The kernel tells of each mapping whether a core dump would hold it. */
static void kept_out_of_core_dumps(void **state)
{
    struct ccs_passwords *p = make("hidden\n");
    uintptr_t at = (uintptr_t)ccs_passwords_get(p, 0, NULL);
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    int inside = 0, seen = 0;

    (void)state;
    if (!f)
        skip();
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= at && at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd"))
            seen = 1;
    }
    fclose(f);
    ccs_passwords_unref(p);
    assert_true(seen);
}

static void *ref_and_unref(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        struct ccs_passwords *p = ccs_passwords_ref(arg);

        if (strcmp(ccs_passwords_get(p, 0, NULL), "one") != 0)
            return arg;
        ccs_passwords_unref(p);
    }
    ccs_passwords_unref(arg);
    return NULL;
}

static void counted_across_threads(void **state)
{
    struct ccs_passwords *p = make("one\n");
    pthread_t t[4];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, ref_and_unref, ccs_passwords_ref(p)), 0);
    ccs_passwords_unref(p);
    for (size_t i = 0; i < CCS_ARRAY_LEN(t); i++) {
        void *rv = NULL;

        assert_int_equal(pthread_join(t[i], &rv), 0);
        assert_null(rv);
    }
    assert_null(ccs_passwords_ref(NULL));
    ccs_passwords_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_grows_and_keeps_its_contents),
        cmocka_unit_test(buffer_with_room_for_nothing),
        cmocka_unit_test(wipe_overwrites),
        cmocka_unit_test_setup_teardown(lines_become_passwords, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_name_the_place_and_no_contents, setup, teardown),
        cmocka_unit_test_setup_teardown(not_a_readable_file, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_followed, setup, teardown),
        cmocka_unit_test(equality),
        cmocka_unit_test(kept_out_of_core_dumps),
        cmocka_unit_test(counted_across_threads),
    };

    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
