/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mounts.h"

#define ROOT "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"

/* A mount on the root at a point. */
#define CIFS(id, root, point, source)                                                              \
    id " 22 0:41 " root " " point " rw,relatime shared:7 master:1 - cifs " source                  \
       " rw,vers=3.1.1,cache=strict,username=svc,uid=0,addr=10.0.0.7\n"

/* expected NULL: not mounted. */
static void check(const char *table, const char *location, const char *expected)
{
    char out[CCS_MOUNTS_PATH_SIZE] = "untouched";
    struct ccs_error err = {.code = 0};
    struct ccs_unc unc;
    char *exact = malloc(strlen(table) + 1); /* so that a sanitizer sees a read beyond the end */
    int rv;

    assert_non_null(exact);
    memcpy(exact, table, strlen(table));
    assert_int_equal(ccs_unc_parse(location, &unc, &err), CCS_OK);
    rv = ccs_mounts_find_in(exact, strlen(table), &unc, out, &err);
    free(exact);
    if (expected == NULL) {
        assert_int_equal(rv, CCS_ENOTFOUND);
        assert_string_equal(out, "untouched");
        assert_non_null(strstr(err.text, "is not mounted"));
    } else if (rv != CCS_OK || strcmp(out, expected) != 0) {
        fail_msg("%s: \"%s\" instead of %s (%s)", location, out, expected, err.text);
    }
}

static void plain(void **state)
{
    static const char table[] = ROOT CIFS("40", "/", "/mnt/certs", "//files01/certs");

    (void)state;
    check(table, "\\\\files01\\certs", "/mnt/certs");
    check(table, "//FILES01/Certs", "/mnt/certs");
    check(table, "smb://files01/certs/Live/de", "/mnt/certs/Live/de");
    check(table, "//files01/certs2", NULL);
    check(table, "//files01/cert", NULL);
    check(table, "//files/certs", NULL);
    check(table, "//files01.corp.example/certs", NULL);
    check("", "//files01/certs", NULL);
    check(ROOT, "//files01/certs", NULL);
    /* Without a line end, and at the root of a container. */
    check("40 1 0:41 / /mnt/x rw - smb3 \\\\files01\\certs rw", "//files01/certs/a", "/mnt/x/a");
    check("40 1 0:41 / / rw - cifs //files01/certs rw", "//files01/certs/a", "/a");
    check("40 1 0:41 / / rw - cifs //files01/certs rw", "//files01/certs", "/");
}

static void other_file_systems(void **state)
{
    (void)state;
    check(ROOT "40 22 0:41 / /mnt rw - nfs //files01/certs rw\n", "//files01/certs", NULL);
    check(ROOT "40 22 0:41 / /mnt rw - fuse.smb //files01/certs rw\n", "//files01/certs", NULL);
    check(ROOT "40 22 0:41 / /mnt rw - cifs files01:/certs rw\n", "//files01/certs", NULL);
    check(ROOT "40 22 0:41 / /mnt rw - cifs none rw\n", "//files01/certs", NULL);
}

static void ports(void **state)
{
    static const char table[] =
        ROOT CIFS("40", "/", "/mnt/a", "//files01/certs") "41 22 0:42 / /mnt/b rw - cifs "
                                                          "//files01/certs rw,port=1445,soft\n"
                                                          "42 22 0:43 / /mnt/c rw - cifs "
                                                          "//files02/certs rw,xport=9,port=445\n";

    (void)state;
    check(table, "//files01/certs", "/mnt/a");
    check(table, "//files01:445/certs", "/mnt/a");
    check(table, "//files01:1445/certs", "/mnt/b");
    check(table, "//files01:1446/certs", NULL);
    check(table, "//files02/certs", "/mnt/c");
    check(table, "//files02:9/certs", NULL);
}

static void addresses(void **state)
{
    static const char table[] = ROOT CIFS("40", "/", "/mnt/a", "//10.0.0.7/certs")
        CIFS("41", "/", "/mnt/b", "//[fe80::7]/certs") CIFS("42", "/", "/mnt/c", "//2001:db8::1/x");

    (void)state;
    check(table, "//10.0.0.7/certs", "/mnt/a");
    check(table, "//[fe80::7]/certs", "/mnt/b");
    check(table, "//[2001:DB8::1]/x", "/mnt/c");
}

/* A folder behind the share may be in the source, in the root, or in both. */
static void prefixes(void **state)
{
    static const char in_source[] = ROOT CIFS("40", "/", "/mnt/a", "//s/share/web/live");
    static const char in_root[] = ROOT CIFS("40", "/web/live", "/mnt/a", "//s/share");
    static const char in_both[] = ROOT CIFS("40", "/Web/Live", "/mnt/a", "//s/share/web");
    static const char added[] = ROOT CIFS("40", "/live", "/mnt/a", "//s/share/web/");
    const char *const all[] = {in_source, in_root, in_both, added};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
        check(all[i], "//s/share/web/live", "/mnt/a");
        check(all[i], "//s/share/WEB/live/x/y", "/mnt/a/x/y");
        check(all[i], "//s/share/web/live2", NULL);
        check(all[i], "//s/share/web", NULL);
        check(all[i], "//s/share/live", NULL);
        check(all[i], "//s/share", NULL);
    }
}

static void escapes(void **state)
{
    static const char table[] = ROOT CIFS("40", "/old\\040ones", "/mnt/my\\040certs\\011\\134x",
                                          "//s/my\\040share");

    (void)state;
    check(table, "//s/my share/old ones/a", "/mnt/my certs\t\\x/a");
    check(table, "//s/my share", NULL);
    check(ROOT CIFS("40", "/", "/mnt/\\000\\777\\04", "//s/c"), "//s/c", "/mnt/\\000\\777\\04");
}

static void best(void **state)
{
    static const char table[] = ROOT CIFS("40", "/", "/mnt/all", "//s/share")
        CIFS("41", "/", "/mnt/web", "//s/share/web") CIFS("42", "/", "/mnt/web2", "//s/share/web")
            CIFS("43", "/", "/mnt/other", "//s/share/other");

    (void)state;
    check(table, "//s/share/web/live", "/mnt/web2/live");
    check(table, "//s/share/web", "/mnt/web2");
    check(table, "//s/share/web2", "/mnt/all/web2");
    check(table, "//s/share", "/mnt/all");
}

/* What lies under another mount cannot be reached by its path. */
static void hidden(void **state)
{
    static const char covered[] = ROOT CIFS("40", "/", "/mnt/a",
                                            "//s/share") "50 40 0:9 / /mnt/a rw - tmpfs none rw\n";
    static const char parent_covered[] = ROOT CIFS(
        "40", "/", "/mnt/a", "//s/share") "50 22 0:9 / /mnt rw - tmpfs none rw\n";
    static const char folder_covered[] = ROOT CIFS(
        "40", "/", "/mnt/a", "//s/share") "50 40 0:9 / /mnt/a/web rw - tmpfs none rw\n";
    static const char inside[] = ROOT "50 22 0:9 / /mnt rw - tmpfs none rw\n"
                                      "40 50 0:41 / /mnt/a rw - cifs //s/share rw\n"
                                      "41 40 0:41 / /mnt/a rw - cifs //s/share rw\n";
    static const char root_covered[] = "1 0 0:1 / / rw - rootfs rootfs rw\n"
                                       "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
                                       "40 22 0:41 / /mnt rw - cifs //s/share rw\n"
                                       "41 1 0:41 / /srv rw - cifs //s/share/web rw\n";

    (void)state;
    check(covered, "//s/share", NULL);
    check(parent_covered, "//s/share", NULL);
    check(folder_covered, "//s/share", "/mnt/a");
    check(folder_covered, "//s/share/x", "/mnt/a/x");
    check(folder_covered, "//s/share/web", NULL);
    check(folder_covered, "//s/share/web/live", NULL);
    check(folder_covered, "//s/share/web2", "/mnt/a/web2");
    check(inside, "//s/share/x", "/mnt/a/x");
    check(root_covered, "//s/share/web", "/mnt/web");
}

/* Each may be passed over, none may do harm. */
static void damaged_lines(void **state)
{
    static const char *const lines[] = {
        "",
        "\n\n",
        "40",
        "40 22 0:41 / /mnt/x rw",
        "40 22 0:41 / /mnt/x rw shared:1",
        "40 22 0:41 / /mnt/x rw -",
        "40 22 0:41 / /mnt/x rw - cifs",
        "40 22 0:41 / /mnt/x rw - cifs //s/share",
        "40 22 0:41 share /mnt/x rw - cifs //s/share rw",
        "40 22 0:41 / mnt rw - cifs //s/share rw",
        "40 22 0:41 / /mnt/x rw - cifs // rw",
        "40 22 0:41 / /mnt/x rw - cifs //s rw",
        "40 40 0:41 / /mnt/x rw - cifs //t/share rw",
        "99999999999999999999999 0 0:0 / /x rw - a b c",
    };
    char table[1000];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(lines); i++) {
        check(lines[i], "//s/share", NULL);
        snprintf(table, sizeof(table), "%s%s\n%s", ROOT, lines[i],
                 CIFS("77", "/", "/mnt/good", "//s/share"));
        check(table, "//s/share", "/mnt/good");
    }
    /* Two mounts that sit on each other. */
    check("40 41 0:41 / /a rw - cifs //s/share rw\n41 40 0:41 / /a rw - cifs //s/share rw\n",
          "//s/share", NULL);
}

static void too_long(void **state)
{
    char table[2 * CCS_MOUNTS_PATH_SIZE], point[CCS_MOUNTS_PATH_SIZE + 1];

    (void)state;
    memset(point, 'm', sizeof(point));
    point[0] = '/';
    point[CCS_MOUNTS_PATH_SIZE - 3] = '\0';
    snprintf(table, sizeof(table), "%s40 22 0:41 / %s rw - cifs //s/c rw\n", ROOT, point);
    check(table, "//s/c", point);
    check(table, "//s/c/a/b", NULL);
}

static void own_table(void **state)
{
    char out[CCS_MOUNTS_PATH_SIZE];
    struct ccs_error err;
    struct ccs_unc unc;

    (void)state;
    assert_int_equal(ccs_unc_parse("//no-such-server.invalid/c", &unc, &err), CCS_OK);
    assert_int_equal(ccs_mounts_find(&unc, out, &err), CCS_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),         cmocka_unit_test(other_file_systems),
        cmocka_unit_test(ports),         cmocka_unit_test(addresses),
        cmocka_unit_test(prefixes),      cmocka_unit_test(escapes),
        cmocka_unit_test(best),          cmocka_unit_test(hidden),
        cmocka_unit_test(damaged_lines), cmocka_unit_test(too_long),
        cmocka_unit_test(own_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
