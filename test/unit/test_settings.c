/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "settings.h"

static char dir[64];
static char path[2][128];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/ccs-settings-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    for (int i = 0; i < 2; i++)
        (void)snprintf(path[i], sizeof(path[i]), "%s/passwords%d", dir, i);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        (void)unlink(path[i]);
    return rmdir(dir);
}

static void write_file(int i, const char *text)
{
    int fd = open(path[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void ok(struct ccs_config *cfg, const char *name, const char *value)
{
    struct ccs_error e = {.text = ""};

    if (ccs_config_set(cfg, name, value, &e) != CCS_OK)
        fail_msg("%s %s: %s", name, value, e.text);
}

static void bad(struct ccs_config *cfg, const char *name, const char *value, const char *text)
{
    struct ccs_error e = {.text = ""};

    assert_int_equal(ccs_config_set(cfg, name, value, &e), CCS_EINVAL);
    assert_int_equal(e.code, CCS_EINVAL);
    assert_string_equal(e.text, text);
    assert_int_equal(ccs_config_set(cfg, name, value, NULL), CCS_EINVAL);
}

static void defaults(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;

    (void)state;
    memset(&v, 0x5a, sizeof(v));
    ccs_config_values(cfg, &v);
    assert_null(v.store);
    assert_null(v.password_file);
    assert_null(v.passwords);
    assert_int_equal(v.parsed, 2000);
    assert_int_equal(v.refresh_ms, 60000);
    assert_int_equal(v.wait_ms, 5000);
    assert_true(v.stale_ms == INT64_C(2592000000));
    assert_int_equal(v.negative_ms, 10000);
    assert_null(v.default_name);
    assert_int_equal(v.unknown_name, CCS_UNKNOWN_REJECT);
    assert_int_equal(v.check_name, CCS_CHECK_NAME_WARN);
    assert_int_equal(v.threads, 2);
    assert_int_equal(v.max_waiting, 1024);
    assert_int_equal(v.kdf_limit, 2000000);
    ccs_config_free(cfg);
    ccs_config_free(NULL);
}

/* Each default must stand its own checks, and be shown as it is written. */
static void defaults_are_valid(void **state)
{
    static const struct {
        const char *name, *def;
    } all[] = {
#define CCS_SETTING(name, kind, scope, def, min, max, choices, help) {#name, def},
#include <ccs/settings.def>
#undef CCS_SETTING
    };
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings before, after;

    (void)state;
    ccs_config_values(cfg, &before);
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
        assert_int_equal(ccs_config_is_set(cfg, all[i].name), 0);
        if (!all[i].def) {
            assert_null(ccs_config_get(cfg, all[i].name));
            continue;
        }
        assert_string_equal(ccs_config_get(cfg, all[i].name), all[i].def);
        ok(cfg, all[i].name, all[i].def);
        assert_int_equal(ccs_config_is_set(cfg, all[i].name), 1);
        assert_string_equal(ccs_config_get(cfg, all[i].name), all[i].def);
    }
    ccs_config_values(cfg, &after);
    assert_int_equal(before.parsed, after.parsed);
    assert_true(before.refresh_ms == after.refresh_ms && before.wait_ms == after.wait_ms);
    assert_true(before.stale_ms == after.stale_ms && before.negative_ms == after.negative_ms);
    assert_int_equal(before.unknown_name, after.unknown_name);
    assert_int_equal(before.check_name, after.check_name);
    assert_int_equal(before.threads, after.threads);
    assert_int_equal(before.max_waiting, after.max_waiting);
    assert_true(before.kdf_limit == after.kdf_limit);
    ccs_config_free(cfg);
}

static void times(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t ms;
    } cases[] = {
        {"wait", "1ms", 1},
        {"wait", "500ms", 500},
        {"wait", "5", 5000},
        {"wait", "007s", 7000},
        {"wait", "1m", 60000},
        {"wait", "60000ms", 60000},
        {"refresh", "2h", 7200000},
        {"refresh", "1d", 86400000},
        {"stale", "0", 0},
        {"stale", "0ms", 0},
        {"stale", "366d", INT64_C(31622400000)},
    };
    struct ccs_config *cfg = ccs_config_new();

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_settings v;

        ok(cfg, cases[i].name, cases[i].text);
        assert_string_equal(ccs_config_get(cfg, cases[i].name), cases[i].text);
        ccs_config_values(cfg, &v);
        assert_true(cases[i].ms == (cases[i].name[0] == 'w'   ? v.wait_ms
                                    : cases[i].name[0] == 'r' ? v.refresh_ms
                                                              : v.stale_ms));
    }
    bad(cfg, "wait", "5x", "\"5x\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "", "\"\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "s", "\"s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "-1s", "\"-1s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "+1s", "\"+1s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", " 1s", "\" 1s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1s ", "\"1s \" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1 s", "\"1 s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1.5s", "\"1.5s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1S", "\"1S\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1m30s", "\"1m30s\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "1\n", "\"1\\x0a\" is not a time: write 500ms, 10s, 5m, 2h or 30d");
    bad(cfg, "wait", "0", "\"0\" is out of range: wait may be from 1ms to 1m");
    bad(cfg, "wait", "60001ms", "\"60001ms\" is out of range: wait may be from 1ms to 1m");
    bad(cfg, "refresh", "999ms", "\"999ms\" is out of range: refresh may be from 1s to 1d");
    bad(cfg, "stale", "367d", "\"367d\" is out of range: stale may be from 0s to 366d");
    bad(cfg, "negative", "3601", "\"3601\" is out of range: negative may be from 0s to 1h");
    /* What no integer holds. */
    bad(cfg, "wait", "106751991168d",
        "\"106751991168d\" is out of range: wait may be from 1ms to 1m");
    bad(cfg, "wait", "18446744073709551617ms",
        "\"18446744073709551617ms\" is out of range: wait may be from 1ms to 1m");
    bad(cfg, "wait", "9223372036854775808",
        "\"9223372036854775808\" is out of range: wait may be from 1ms to 1m");
    bad(cfg, "wait", "99999999999999999999999999999999999999999999",
        "\"99999999999999999999999999999999999999999999\" is out of range: wait may be from 1ms "
        "to 1m");
    /* A refused value changes nothing. */
    assert_string_equal(ccs_config_get(cfg, "wait"), "60000ms");
    ccs_config_free(cfg);
}

static void counts(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;

    (void)state;
    ok(cfg, "parsed", "16");
    ok(cfg, "max_waiting", "10k");
    ok(cfg, "kdf_limit", "100m");
    ok(cfg, "threads", "64");
    ccs_config_values(cfg, &v);
    assert_int_equal(v.parsed, 16);
    assert_int_equal(v.max_waiting, 10000);
    assert_int_equal(v.kdf_limit, 100000000);
    assert_int_equal(v.threads, 64);
    bad(cfg, "parsed", "15", "\"15\" is out of range: parsed may be from 16 to 1000000");
    bad(cfg, "parsed", "1000001", "\"1000001\" is out of range: parsed may be from 16 to 1000000");
    bad(cfg, "parsed", "2m", "\"2m\" is out of range: parsed may be from 16 to 1000000");
    bad(cfg, "threads", "0", "\"0\" is out of range: threads may be from 1 to 64");
    bad(cfg, "threads", "two", "\"two\" is not a number: write 500, 10k or 2m");
    bad(cfg, "threads", "2g", "\"2g\" is not a number: write 500, 10k or 2m");
    bad(cfg, "threads", "", "\"\" is not a number: write 500, 10k or 2m");
    bad(cfg, "threads", "0x2", "\"0x2\" is not a number: write 500, 10k or 2m");
    bad(cfg, "threads", "4294967298",
        "\"4294967298\" is out of range: threads may be from 1 to 64");
    ccs_config_free(cfg);
}

static void choices(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;

    (void)state;
    ok(cfg, "check_name", "off");
    ok(cfg, "unknown_name", "fallback");
    ccs_config_values(cfg, &v);
    assert_int_equal(v.check_name, CCS_CHECK_NAME_OFF);
    assert_int_equal(v.unknown_name, CCS_UNKNOWN_FALLBACK);
    ok(cfg, "check_name", "refuse");
    ok(cfg, "unknown_name", "reject");
    ccs_config_values(cfg, &v);
    assert_int_equal(v.check_name, CCS_CHECK_NAME_REFUSE);
    assert_int_equal(v.unknown_name, CCS_UNKNOWN_REJECT);
    bad(cfg, "check_name", "on",
        "\"on\" is not a choice for check_name: write off, warn or refuse");
    bad(cfg, "check_name", "", "\"\" is not a choice for check_name: write off, warn or refuse");
    bad(cfg, "check_name", "off|warn",
        "\"off|warn\" is not a choice for check_name: write off, warn or refuse");
    bad(cfg, "check_name", "refus",
        "\"refus\" is not a choice for check_name: write off, warn or refuse");
    bad(cfg, "unknown_name", "Reject",
        "\"Reject\" is not a choice for unknown_name: write reject or fallback");
    ccs_config_free(cfg);
}

static void hosts(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;
    struct ccs_error e;

    (void)state;
    ok(cfg, "default_name", "WWW.Example.COM.");
    ccs_config_values(cfg, &v);
    assert_string_equal(v.default_name, "www.example.com");
    assert_string_equal(ccs_config_get(cfg, "default_name"), "www.example.com");
    assert_int_equal(ccs_config_set(cfg, "default_name", "", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_set(cfg, "default_name", "../etc/passwd", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_set(cfg, "default_name", "192.0.2.1", &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "\"192.0.2.1\" is not a host name"));
    assert_string_equal(ccs_config_get(cfg, "default_name"), "www.example.com");
    ccs_config_free(cfg);
}

static void locations(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"/srv/certs", "/srv/certs"},
        {"/srv/certs/", "/srv/certs"},
        {"/srv/certs///", "/srv/certs"},
        {"/", "/"},
        {"////", "/"},
        {"certs", "certs"},
        {"//srv/share/", "//srv/share"},
        {"\\\\srv\\share", "\\\\srv\\share"},
    };
    struct ccs_config *cfg = ccs_config_new();
    char longer[5000];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_settings v;

        ok(cfg, "store", cases[i].text);
        ccs_config_values(cfg, &v);
        assert_string_equal(v.store, cases[i].want);
        assert_string_equal(ccs_config_get(cfg, "store"), cases[i].want);
    }
    bad(cfg, "store", "", "store must not be empty");
    bad(cfg, "password_file", "", "password_file must not be empty");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    bad(cfg, "store", longer, "store is longer than the 4095 octets of a path");
    ccs_config_free(cfg);
}

static void unknown_settings(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    char longer[3000];
    struct ccs_error e;

    (void)state;
    bad(cfg, "foo", "1", "unknown setting \"foo\"");
    bad(cfg, "", "1", "unknown setting \"\"");
    bad(cfg, "refesh", "1", "unknown setting \"refesh\", did you mean \"refresh\"?");
    bad(cfg, "Store", "1", "unknown setting \"Store\", did you mean \"store\"?");
    bad(cfg, "password-file", "1",
        "unknown setting \"password-file\", did you mean \"password_file\"?");
    bad(cfg, "chek_nam", "1", "unknown setting \"chek_nam\", did you mean \"check_name\"?");
    bad(cfg, "a\x1b", "1", "unknown setting \"a\\x1b\"");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(ccs_config_set(cfg, longer, "1", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_set(cfg, NULL, "1", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_set(cfg, "store", NULL, &e), CCS_EINVAL);
    assert_int_equal(ccs_config_set(NULL, "store", "/x", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_is_set(cfg, "foo"), 0);
    assert_null(ccs_config_get(cfg, "foo"));
    assert_null(ccs_config_get(cfg, NULL));
    ccs_config_free(cfg);
}

static void passwords_are_read_when_set(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;
    struct ccs_error e;

    (void)state;
    write_file(0, "one\ntwo\n");
    ok(cfg, "password_file", path[0]);
    unlink(path[0]);
    ccs_config_values(cfg, &v);
    assert_string_equal(v.password_file, path[0]);
    assert_int_equal(ccs_passwords_count(v.passwords), 2);

    /* A file that cannot be read leaves the old ones in place. */
    assert_int_equal(ccs_config_set(cfg, "password_file", path[1], &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, path[1]));
    ccs_config_values(cfg, &v);
    assert_string_equal(v.password_file, path[0]);
    assert_int_equal(ccs_passwords_count(v.passwords), 2);

    write_file(1, "three");
    ok(cfg, "password_file", path[1]);
    ccs_config_values(cfg, &v);
    assert_string_equal(ccs_passwords_get(v.passwords, 0, NULL), "three");
    ccs_config_free(cfg);
}

static void inheritance(void **state)
{
    struct ccs_config *top = ccs_config_new(), *mid = ccs_config_new(), *low = ccs_config_new();
    struct ccs_settings v;

    (void)state;
    write_file(0, "one\n");
    write_file(1, "two\n");
    ok(top, "store", "/top");
    ok(top, "refresh", "7s");
    ok(top, "password_file", path[0]);
    ok(mid, "refresh", "8s");
    assert_int_equal(ccs_config_inherit(mid, top, NULL), CCS_OK);
    assert_int_equal(ccs_config_is_set(mid, "store"), 0);
    assert_int_equal(ccs_config_is_set(mid, "refresh"), 1);
    assert_string_equal(ccs_config_get(mid, "store"), "/top");
    assert_string_equal(ccs_config_get(mid, "refresh"), "8s");

    /* What was inherited is inherited further, and outlives where it came from. */
    ok(low, "password_file", path[1]);
    assert_int_equal(ccs_config_inherit(low, mid, NULL), CCS_OK);
    ccs_config_free(mid);
    ccs_config_values(top, &v);
    assert_string_equal(v.store, "/top");
    ccs_config_free(top);
    ccs_config_values(low, &v);
    assert_string_equal(v.store, "/top");
    assert_int_equal(v.refresh_ms, 8000);
    assert_int_equal(v.wait_ms, 5000);
    assert_string_equal(ccs_passwords_get(v.passwords, 0, NULL), "two");

    /* A later setting takes the place of an inherited one; inheriting again follows the parent. */
    ok(low, "store", "/low");
    assert_int_equal(ccs_config_is_set(low, "store"), 1);
    top = ccs_config_new();
    ok(top, "store", "/other");
    assert_int_equal(ccs_config_inherit(low, top, NULL), CCS_OK);
    ccs_config_values(low, &v);
    assert_string_equal(v.store, "/low");
    assert_int_equal(v.refresh_ms, 60000);
    assert_int_equal(ccs_config_inherit(low, low, NULL), CCS_OK);
    assert_int_equal(ccs_config_inherit(low, NULL, NULL), CCS_EINVAL);
    assert_int_equal(ccs_config_inherit(NULL, low, NULL), CCS_EINVAL);
    ccs_config_free(top);
    ccs_config_free(low);
}

static void passwords_are_inherited(void **state)
{
    struct ccs_config *top = ccs_config_new(), *low = ccs_config_new();
    struct ccs_settings v;

    (void)state;
    write_file(0, "one\n");
    ok(top, "password_file", path[0]);
    assert_int_equal(ccs_config_inherit(low, top, NULL), CCS_OK);
    ccs_config_free(top);
    ccs_config_values(low, &v);
    assert_int_equal(ccs_passwords_count(v.passwords), 1);
    assert_string_equal(ccs_passwords_get(v.passwords, 0, NULL), "one");
    ccs_config_free(low);
}

static void check(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_error e;

    (void)state;
    assert_int_equal(ccs_config_check(cfg, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "no store is set: "));
    assert_int_equal(ccs_config_check(cfg, NULL), CCS_EINVAL);
    assert_int_equal(ccs_config_check(NULL, &e), CCS_EINVAL);
    ok(cfg, "store", "/no/such/folder");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    ok(cfg, "stale", "59s");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "stale (59s) is shorter than refresh (60s)"));
    ok(cfg, "stale", "1m");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    ok(cfg, "stale", "0");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    ccs_config_free(cfg);
}

static void frozen_configurations_stay(void **state)
{
    struct ccs_config *cfg = ccs_config_new(), *parent = ccs_config_new(), *kept;
    struct ccs_error e;
    struct ccs_log *log;

    (void)state;
    ok(cfg, "store", "/a");
    ok(parent, "refresh", "5s");
    kept = ccs_config_freeze(cfg);
    assert_ptr_equal(kept, cfg);
    assert_int_equal(ccs_config_set(cfg, "store", "/b", &e), CCS_EINVAL);
    assert_int_equal(ccs_config_inherit(cfg, parent, &e), CCS_EINVAL);
    ccs_config_set_log(cfg, CCS_LOG_DEBUG, NULL, &e, 0);
    assert_int_equal(ccs_config_inherit(parent, cfg, &e), CCS_OK);
    assert_string_equal(ccs_config_get(parent, "store"), "/a");
    ccs_config_free(cfg);
    assert_string_equal(ccs_config_get(kept, "store"), "/a");
    assert_string_equal(ccs_config_get(kept, "refresh"), "60s");
    log = ccs_config_make_log(kept, NULL, NULL);
    assert_int_equal(ccs_log_wants(log, CCS_LOG_ERROR), 0);
    ccs_log_free(log);
    ccs_config_free(kept);
    ccs_config_free(parent);
}

static void count_lines(enum ccs_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    ++*(int *)arg;
}

static void logs(void **state)
{
    struct ccs_config *cfg = ccs_config_new(), *low = ccs_config_new();
    int lines = 0;
    struct ccs_log *log;

    (void)state;
    ccs_config_set_log(cfg, CCS_LOG_WARN, count_lines, &lines, CCS_LOG_DISPATCHED);
    assert_int_equal(ccs_config_inherit(low, cfg, NULL), CCS_OK);
    log = ccs_config_make_log(low, NULL, NULL);
    ccs_log(log, CCS_LOG_INFO, "x");
    ccs_log(log, CCS_LOG_WARN, "x");
    assert_int_equal(lines, 0);
    assert_int_equal(ccs_log_deliver(log, 0), 1);
    assert_int_equal(lines, 1);
    ccs_log_free(log);
    ccs_config_free(cfg);
    ccs_config_free(low);
}

static void same_store(void **state)
{
    static const struct {
        const char *name, *a, *b;
        int same;
    } cases[] = {
        {"store", "/x/", "/x", 1},
        {"store", "/x", "/y", 0},
        {"refresh", "60s", "1m", 1},
        {"refresh", "60s", "61s", 0},
        {"refresh", "1m", NULL, 1}, /* the default */
        {"refresh", "2m", NULL, 0},
        {"parsed", "2k", "2000", 1},
        {"parsed", "2k", "2001", 0},
        {"kdf_limit", "2m", NULL, 1},
        {"check_name", "warn", NULL, 1},
        {"check_name", "off", NULL, 0},
        {"default_name", "a.example", "b.example", 1}, /* of one server */
        {"unknown_name", "reject", "fallback", 1},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_config *a = ccs_config_new(), *b = ccs_config_new();

        assert_int_equal(ccs_config_same_store(a, b), 1);
        ok(a, "store", "/s");
        assert_int_equal(ccs_config_same_store(a, b), 0);
        assert_int_equal(ccs_config_same_store(b, a), 0);
        ok(b, "store", "/s");
        ok(a, cases[i].name, cases[i].a);
        if (cases[i].b)
            ok(b, cases[i].name, cases[i].b);
        assert_int_equal(ccs_config_same_store(a, b), cases[i].same);
        assert_int_equal(ccs_config_same_store(b, a), cases[i].same);
        ccs_config_free(a);
        ccs_config_free(b);
    }
}

static void same_store_looks_at_secrets_and_log(void **state)
{
    struct ccs_config *a = ccs_config_new(), *b = ccs_config_new();
    int x = 0;

    (void)state;
    write_file(0, "one\n");
    ok(a, "password_file", path[0]);
    ok(b, "password_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 1);
    write_file(0, "one\r\n\r\n");
    ok(b, "password_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 1);
    write_file(0, "two\n");
    ok(b, "password_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 0);
    ok(a, "password_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 1);

    ccs_config_set_log(a, CCS_LOG_INFO, count_lines, &x, 0);
    assert_int_equal(ccs_config_same_store(a, b), 0);
    ccs_config_set_log(b, CCS_LOG_INFO, count_lines, &x, CCS_LOG_DISPATCHED);
    assert_int_equal(ccs_config_same_store(a, b), 0);
    ccs_config_set_log(b, CCS_LOG_INFO, count_lines, &x, 0);
    assert_int_equal(ccs_config_same_store(a, b), 1);
    ccs_config_free(a);
    ccs_config_free(b);
}

static void agents(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_settings v;
    char long_path[200];

    (void)state;
    ccs_config_values(cfg, &v);
    assert_string_equal(v.agent_mode, "auto");
    assert_string_equal(v.agent_user, "ccs");
    assert_null(v.agent);
    assert_null(v.login);
    ok(cfg, "agent", "on");
    ok(cfg, "agent", "off");
    ok(cfg, "agent", "auto");
    ok(cfg, "agent", "/run/ccs-agent.sock");
    assert_string_equal(ccs_config_get(cfg, "agent"), "/run/ccs-agent.sock");
    assert_int_equal(ccs_config_number(cfg, "agent"), -1);
    bad(cfg, "agent", "yes",
        "\"yes\" is neither auto, on or off nor the absolute path of a socket: write one of them "
        "for agent");
    memset(long_path, '/', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(ccs_config_set(cfg, "agent", long_path, NULL), CCS_EINVAL);
    ok(cfg, "agent_user", "www-data");
    ok(cfg, "agent_user", "65534");
    ok(cfg, "agent_user", "DOM\\svc.certs");
    bad(cfg, "agent_user", "", "\"\" cannot be the agent_user: write the name of a user");
    bad(cfg, "agent_user", "-x", "\"-x\" cannot be the agent_user: write the name of a user");
    bad(cfg, "agent_user", "a b", "\"a b\" cannot be the agent_user: write the name of a user");
    ccs_config_free(cfg);
}

static void shares_are_checked(void **state)
{
    static const char *const good[] = {"\\\\server\\share", "//server/share/dir",
                                       "smb://server/share"};
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_error e;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ok(cfg, "store", good[i]);
        assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    }
    ok(cfg, "store", "//server");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_EINVAL);
    ok(cfg, "store", "http://server/share");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_EINVAL);
    ok(cfg, "store", "certs");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    ok(cfg, "agent", "on"); /* which has another current folder */
    assert_int_equal(ccs_config_check(cfg, &e), CCS_EINVAL);
    assert_non_null(strstr(e.text, "the whole path"));
    ok(cfg, "store", "/srv/certs");
    assert_int_equal(ccs_config_check(cfg, &e), CCS_OK);
    ccs_config_free(cfg);
}

static void logins(void **state)
{
    struct ccs_config *a = ccs_config_new(), *b = ccs_config_new();
    struct ccs_login_texts t;
    struct ccs_settings v;
    struct ccs_error e;

    (void)state;
    write_file(0, "username=svc\npassword=one\n");
    write_file(1, "password=one\n");
    ok(a, "credentials_file", path[0]);
    assert_int_equal(ccs_config_set(a, "credentials_file", path[1], &e), CCS_EINVAL);
    assert_null(strstr(e.text, "one"));
    assert_int_equal(ccs_config_inherit(b, a, NULL), CCS_OK);
    assert_int_equal(ccs_config_same_store(a, b), 1);
    ccs_config_values(b, &v);
    assert_true(ccs_login_get(v.login, &t));
    assert_string_equal(t.password, "one");
    ccs_config_wipe_login(a);
    assert_false(ccs_login_get(v.login, &t));
    assert_int_equal(ccs_config_same_store(a, b), 1);
    write_file(0, "username=svc\npassword=two\n");
    ok(b, "credentials_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 0);
    write_file(0, "username=svc\npassword=one\n");
    ok(b, "credentials_file", path[0]);
    assert_int_equal(ccs_config_same_store(a, b), 1);
    ccs_config_wipe_login(NULL);
    ccs_config_set_agent(NULL, NULL);
    ccs_config_free(a);
    ccs_config_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents),
        cmocka_unit_test(shares_are_checked),
        cmocka_unit_test_setup_teardown(logins, setup, teardown),
        cmocka_unit_test(defaults),
        cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(times),
        cmocka_unit_test(counts),
        cmocka_unit_test(choices),
        cmocka_unit_test(hosts),
        cmocka_unit_test(locations),
        cmocka_unit_test(unknown_settings),
        cmocka_unit_test_setup_teardown(passwords_are_read_when_set, setup, teardown),
        cmocka_unit_test_setup_teardown(inheritance, setup, teardown),
        cmocka_unit_test_setup_teardown(passwords_are_inherited, setup, teardown),
        cmocka_unit_test(check),
        cmocka_unit_test(frozen_configurations_stay),
        cmocka_unit_test(logs),
        cmocka_unit_test(same_store),
        cmocka_unit_test_setup_teardown(same_store_looks_at_secrets_and_log, setup, teardown),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
