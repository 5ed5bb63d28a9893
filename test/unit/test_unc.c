/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unc.h"

#define UMLAUT "\303\274"

struct good {
    const char *location;
    const char *server;
    const char *share;
    const char *path;
    unsigned port;
    const char *format; /* NULL: //server/share/path */
};

static void check_good(const struct good *good)
{
    char text[CCS_UNC_TEXT_SIZE], want[CCS_UNC_TEXT_SIZE];
    struct ccs_error err = {.code = 0};
    struct ccs_unc unc, again;

    if (!ccs_unc_is(good->location) || ccs_unc_parse(good->location, &unc, &err) != CCS_OK)
        fail_msg("%s: %s", good->location, err.text);
    assert_string_equal(unc.server, good->server);
    assert_string_equal(unc.share, good->share);
    assert_string_equal(unc.path, good->path);
    assert_int_equal(unc.port, good->port);

    assert_ptr_equal(ccs_unc_format(&unc, text), text);
    if (good->format != NULL) {
        assert_string_equal(text, good->format);
    } else {
        snprintf(want, sizeof(want), "//%s/%s%s%s", unc.server, unc.share,
                 unc.path[0] != '\0' ? "/" : "", unc.path);
        assert_string_equal(text, want);
    }
    assert_int_equal(ccs_unc_parse(text, &again, NULL), CCS_OK);
    assert_memory_equal(&unc, &again, sizeof(unc));
}

static void good(void **state)
{
    static const struct good all[] = {
        {"\\\\files01\\certs", "files01", "certs", "", 0, NULL},
        {"\\\\files01\\certs\\", "files01", "certs", "", 0, NULL},
        {"//files01/certs", "files01", "certs", "", 0, NULL},
        {"//files01/certs/", "files01", "certs", "", 0, NULL},
        {"smb://files01/certs", "files01", "certs", "", 0, NULL},
        {"SMB://files01/certs/", "files01", "certs", "", 0, NULL},
        {"cifs://files01/certs", "files01", "certs", "", 0, NULL},
        {"\\\\Files01.Corp.Example\\CCS$\\Web\\Live", "files01.corp.example", "CCS$", "Web/Live", 0,
         NULL},
        {"//files01\\certs/a\\b", "files01", "certs", "a/b", 0, NULL},
        {"\\\\files01/certs", "files01", "certs", "", 0, NULL},
        {"\\\\10.0.0.7\\certs", "10.0.0.7", "certs", "", 0, NULL},
        {"\\\\127.0.0.1:1445\\certs\\x", "127.0.0.1", "certs", "x", 1445,
         "//127.0.0.1:1445/certs/x"},
        {"//files_1:445/certs", "files_1", "certs", "", 445, "//files_1:445/certs"},
        {"smb://files01:65535/certs", "files01", "certs", "", 65535, "//files01:65535/certs"},
        {"\\\\[::1]\\certs", "::1", "certs", "", 0, "//[::1]/certs"},
        {"smb://[2001:DB8:0:0::7]:1445/certs", "2001:db8::7", "certs", "", 1445,
         "//[2001:db8::7]:1445/certs"},
        {"//s/my certs/old ones (2)", "s", "my certs", "old ones (2)", 0, NULL},
        {"smb://s/my%20certs/b%C3%BCcher", "s", "my certs", "b" UMLAUT "cher", 0, NULL},
        {"//s/b" UMLAUT "cher/..x", "s", "b" UMLAUT "cher", "..x", 0, NULL},
        {"//s/50%25/a@b", "s", "50%25", "a@b", 0, NULL},
        {"smb://s/50%25", "s", "50%", "", 0, NULL},
        {"//s/c/a#b&c'd~e", "s", "c", "a#b&c'd~e", 0, NULL},
        /* What a configuration file's parser leaves of a text that has escapes for it. */
        {"\\files01\\certs", "files01", "certs", "", 0, NULL},
        {"\\files01\team\new\root", "files01", "team", "new/root", 0, NULL},
        {"\\\\files01\team", "files01", "team", "", 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++)
        check_good(&all[i]);
}

/* With the word that the message must have. */
static void check_bad(const char *location, const char *word)
{
    struct ccs_error err = {.code = 0};
    struct ccs_unc unc, untouched;

    memset(&unc, 0x55, sizeof(unc));
    untouched = unc;
    if (ccs_unc_parse(location, &unc, &err) != CCS_EINVAL)
        fail_msg("%s is taken", location);
    assert_memory_equal(&unc, &untouched, sizeof(unc));
    assert_int_equal(err.code, CCS_EINVAL);
    if (strstr(err.text, word) == NULL)
        fail_msg("%s: %s", location, err.text);
    assert_int_equal(ccs_unc_parse(location, &unc, NULL), CCS_EINVAL);
}

static void bad(void **state)
{
    static const char *const all[][2] = {
        {"", "not like"},
        {"/", "not like"},
        {"//", "not like"},
        {"///files01/certs", "not like"},
        {"/var/lib/certs", "not like"},
        {"certs", "not like"},
        {"nfs://files01/certs", "not like"},
        {"smb:/files01/certs", "not like"},
        {"\\", "server"},
        {"\\\\", "server"},
        {"\\\\\\files01\\certs", "server"},
        {"smb://", "server"},
        {"smb:///certs", "server"},
        {"//.files01/certs", "server"},
        {"//files01./certs", "server"},
        {"//files01..corp/certs", "server"},
        {"//-files01/certs", "server"},
        {"//files 01/certs", "server"},
        {"//files%30/certs", "server"},
        {"//b" UMLAUT "cher/certs", "server"},
        {"\\\\?\\UNC\\files01\\certs", "server"},
        {"\\\\.\\pipe\\x", "server"},
        {"//files01:/certs", "server"},
        {"//files01:0/certs", "server"},
        {"//files01:65536/certs", "server"},
        {"//files01:123456/certs", "server"},
        {"//files01:44x/certs", "server"},
        {"//::1/certs", "server"},
        {"//[::1/certs", "server"},
        {"//[::1]445/certs", "server"},
        {"//[1.2.3.4]/certs", "server"},
        {"//[fe80::1%25eth0]/certs", "server"},
        {"//[]/certs", "server"},
        {"//files01", "share"},
        {"//files01/", "share"},
        {"//files01//certs", "share"},
        {"//files01/.", "share"},
        {"//files01/..", "share"},
        {"//files01/ce*ts", "share"},
        {"//files01/ce:ts", "share"},
        {"//files01/ce,ts", "share"},
        {"//files01/certs ", "share"},
        {"//files01/certs.", "share"},
        {"//files01/ce\001ts", "share"},
        {"//files01/ce\177ts", "share"},
        {"//files01/ce\xff", "share"},
        {"//files01/ce\xc0\xaf", "share"},
        {"//files01/ce\xed\xa0\x80", "share"},
        {"//files01/ce\xf5\x80\x80\x80", "share"},
        {"smb://files01/ce%", "share"},
        {"smb://files01/ce%4", "share"},
        {"smb://files01/ce%4g", "share"},
        {"smb://files01/ce%00ts", "share"},
        {"smb://files01/ce%2fts", "share"},
        {"smb://files01/ce%5cts", "share"},
        {"smb://files01/ce\\ts", "share"},
        {"smb://files01/certs?x", "share"},
        {"smb://files01/certs#x", "share"},
        {"//files01/certs//x", "folder"},
        {"//files01/certs/x//", "folder"},
        {"//files01/certs/.", "folder"},
        {"//files01/certs/../x", "folder"},
        {"smb://files01/certs/%2e%2e/x", "folder"},
        {"//files01/certs/x./y", "folder"},
        {"//files01/certs/a|b", "folder"},
        {"//files01/certs/a\"b", "folder"},
        {"//files01/certs/a\nb", "folder"},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++)
        check_bad(all[i][0], all[i][1]);
}

static char *filled(const char *before, char c, size_t n, const char *after)
{
    const size_t size = strlen(before) + n + strlen(after) + 1;
    char *text = malloc(size);

    assert_non_null(text);
    snprintf(text, size, "%s", before);
    memset(text + strlen(before), c, n);
    snprintf(text + strlen(before) + n, size - strlen(before) - n, "%s", after);
    return text;
}

static void check_length(const char *before, const char *repeated, size_t n, const char *after,
                         int fits)
{
    char *text = filled(before, repeated[0], n, after);
    struct ccs_unc unc;

    assert_int_equal(ccs_unc_parse(text, &unc, NULL), fits ? CCS_OK : CCS_EINVAL);
    free(text);
}

static void lengths(void **state)
{
    char path[CCS_UNC_PATH_MAX + 32] = "//s/c";
    struct ccs_unc unc;
    size_t len = 5;

    (void)state;
    check_length("//", "a", 63, "/c", 1);
    check_length("//", "a", 64, "/c", 0);
    check_length("//s/", "a", CCS_UNC_SHARE_MAX, "", 1);
    check_length("//s/", "a", CCS_UNC_SHARE_MAX + 1, "", 0);
    check_length("//s/c/", "a", 255, "", 1);
    check_length("//s/c/", "a", 256, "", 0);
    check_length("\\s\\c\\", "\t", 100000, "", 0);
    check_length("//s/c/", "/", 100000, "", 0);

    while (len - 5 < CCS_UNC_PATH_MAX - 1) {
        memcpy(path + len, "/a", 3);
        len += 2;
    }
    assert_int_equal(ccs_unc_parse(path, &unc, NULL), CCS_OK);
    assert_int_equal(strlen(unc.path), CCS_UNC_PATH_MAX - 1);
    path[len++] = 'b';
    assert_int_equal(ccs_unc_parse(path, &unc, NULL), CCS_OK);
    assert_int_equal(strlen(unc.path), CCS_UNC_PATH_MAX);
    path[len] = 'c';
    assert_int_equal(ccs_unc_parse(path, &unc, NULL), CCS_EINVAL);
}

/* What people paste may hold a password. */
static void no_password_in_messages(void **state)
{
    static const char *const all[] = {
        "smb://svc:s3cret@files01/certs",  "smb://CORP;svc:s3cret@files01/certs",
        "smb://svc:s3/cret@files01/certs", "//svc:s3cret@files01/certs",
        "\\\\svc:s3cret@files01\\certs",   "\\\\files01\\cer*ts\\s3cret@x",
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
        struct ccs_error err = {.code = 0};
        struct ccs_unc unc;

        assert_int_equal(ccs_unc_parse(all[i], &unc, &err), CCS_EINVAL);
        assert_null(strstr(err.text, "s3"));
        assert_non_null(strstr(err.text, "credentials_file"));
    }
}

static void meant_for_servers(void **state)
{
    static const char *const yes[] = {"\\\\s\\c", "\\s\\c", "//s/c", "//s", "smb://", "CIFS://s/c"};
    static const char *const no[] = {"", "/", "//", "///s", "/s/c", "s/c", "smb:/s", "smb", "./x"};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(yes); i++)
        assert_int_equal(ccs_unc_is(yes[i]), 1);
    for (size_t i = 0; i < CCS_ARRAY_LEN(no); i++)
        assert_int_equal(ccs_unc_is(no[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(lengths),
        cmocka_unit_test(no_password_in_messages),
        cmocka_unit_test(meant_for_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
