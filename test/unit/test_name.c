/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "name.h"

#define UNTOUCHED "untouched"

/* An octet string that may hold NUL. */
#define OCTETS(text) text, sizeof(text) - 1

/* A copy without a NUL behind it, so that the sanitizer sees a read beyond the end. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

/* -- canonical names ------------------------------------------------------------------------- */

static void check_canonical(const char *name, size_t len, const char *expected)
{
    char *copy = exact(name, len);
    char out[CCS_STEM_SIZE] = UNTOUCHED;
    char again[CCS_STEM_SIZE];
    size_t out_len = 4711;
    int rv = ccs_name_canonical(copy, len, out, &out_len);

    free(copy);
    if (!expected) {
        assert_int_equal(rv, CCS_ENAME);
        assert_string_equal(out, UNTOUCHED);
        assert_int_equal(out_len, 4711);
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, expected);
    assert_int_equal(out_len, strlen(expected));
    assert_int_equal(ccs_name_canonical(out, out_len, again, NULL), CCS_OK);
    assert_string_equal(again, out);
}

static void canonical_good(void **state)
{
    static const char *const pairs[][2] = {
        {"www.example.com", "www.example.com"},
        {"WWW.Example.COM", "www.example.com"},
        {"www.example.com.", "www.example.com"},
        {"localhost", "localhost"},
        {"a", "a"},
        {"A.", "a"},
        {"_dmarc.example.com", "_dmarc.example.com"},
        {"a_b.example.com", "a_b.example.com"},
        {"__.example.com", "__.example.com"},
        {"a._.example.com", "a._.example.com"},
        {"-a-.example.com", "-a-.example.com"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
        {"1.2.3.4.example", "1.2.3.4.example"},
        {"1.2.3.4a", "1.2.3.4a"},
        {"example.0xyz", "example.0xyz"},
        {"example.x0", "example.x0"},
        {"0x7f.example", "0x7f.example"},
        {"rsa.example.com", "rsa.example.com"},
        {"example.rsa4", "example.rsa4"},
        {"example.xecdsa", "example.xecdsa"},
        {"z.Z.0.9-example", "z.z.0.9-example"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(pairs); i++)
        check_canonical(pairs[i][0], strlen(pairs[i][0]), pairs[i][1]);
}

static void canonical_bad(void **state)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        ".example.com",
        "example..com",
        "example.com..",
        "_.example.com",
        "_",
        "_.",
        "*.example.com",
        "exa mple.com",
        "example.com ",
        "../../etc/passwd",
        "a/b.example.com",
        "a\\b.example.com",
        "a:b",
        "::1",
        "[::1]",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "1",
        "2130706433",
        "0x7f000001",
        "0X7F.0x1",
        "127.0x",
        "example.0",
        "example.007",
        "example.rsa",
        "example.ecdsa",
        "example.RSA",
        "example.ECDSA.",
        "rsa",
        "b\303\274cher.example",
        "example.com\n",
        "example\177.com",
        "example@.com",
        "ex`ample.com",
        "ex{ample.com",
        "ex[ample.com",
        "ex^ample.com",
        "\377",
    };
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(names); i++)
        check_canonical(names[i], strlen(names[i]), NULL);
    check_canonical(OCTETS("example.com\0"), NULL);
    check_canonical(OCTETS("exam\0ple.com"), NULL);
    check_canonical(OCTETS("\0"), NULL);
    check_canonical(OCTETS("www.example.com\0.evil.example"), NULL);
}

static void canonical_octets(void **state)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    char name[] = "x?x.example";
    int octet;

    (void)state;
    for (octet = 0; octet < 256; octet++) {
        char out[CCS_STEM_SIZE];
        int good = octet == '.' || (octet != 0 && strchr(allowed, octet));

        name[1] = (char)octet;
        assert_int_equal(ccs_name_canonical(name, sizeof(name) - 1, out, NULL),
                         good ? CCS_OK : CCS_ENAME);
    }
}

/* Fills name with labels of a length, as many as fit len octets, the last one longer or shorter. */
static void fill(char *name, size_t len, size_t label)
{
    size_t i;

    for (i = 0; i < len; i++)
        name[i] = (char)(i % (label + 1) == label ? '.' : 'a');
    name[len] = '\0';
}

static void lengths(void **state)
{
    char name[600];
    size_t len;

    (void)state;
    fill(name, 63, 63);
    check_canonical(name, 63, name);
    fill(name, 64, 64);
    check_canonical(name, 64, NULL);
    memcpy(name + 64, ".a", 3);
    check_canonical(name, 66, NULL);
    memcpy(name, "a.", 2);
    memset(name + 2, 'b', 64);
    name[66] = '\0';
    check_canonical(name, 66, NULL);
    check_canonical(name, 65, "a.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");

    fill(name, 253, 63);
    check_canonical(name, 253, name);
    name[253] = '.';
    check_canonical(name, 255, NULL);
    name[254] = '\0';
    name[253] = '\0';
    {
        char dotted[300];

        memcpy(dotted, name, 253);
        dotted[253] = '.';
        check_canonical(dotted, 254, name);
    }
    for (len = 254; len < sizeof(name) - 1; len++) {
        fill(name, len, 60);
        check_canonical(name, len, NULL);
    }
}

/* -- wildcards ------------------------------------------------------------------------------- */

static void check_wildcard(const char *name, const char *expected)
{
    char *copy = exact(name, strlen(name));
    char out[CCS_STEM_SIZE] = UNTOUCHED;
    size_t len = 4711;
    int rv = ccs_name_wildcard(copy, strlen(name), out, &len);

    free(copy);
    if (!expected) {
        assert_int_equal(rv, CCS_ENAME);
        assert_string_equal(out, UNTOUCHED);
        assert_int_equal(len, 4711);
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, expected);
    assert_int_equal(len, strlen(expected));
}

static void wildcards(void **state)
{
    char name[CCS_STEM_SIZE];
    char expected[CCS_STEM_SIZE];

    (void)state;
    check_wildcard("www.example.com", "_.example.com");
    check_wildcard("a.b.example.com", "_.b.example.com");
    check_wildcard("example.com", "_.com");
    check_wildcard("_x.example.com", "_.example.com");
    check_wildcard("a._b.example", "_._b.example");
    check_wildcard("localhost", NULL);
    check_wildcard("", NULL);
    check_wildcard("a.", NULL);
    /* What is left is no canonical name. */
    check_wildcard("a._.example.com", NULL);
    check_wildcard("a._", NULL);

    fill(name, CCS_NAME_MAX, 1);
    memcpy(expected, name, sizeof(expected));
    expected[0] = '_';
    check_wildcard(name, expected);
    fill(name, CCS_NAME_MAX, 63);
    memcpy(expected + 1, name + 63, sizeof(name) - 63);
    check_wildcard(name, expected);
    assert_int_equal(ccs_name_wildcard(name, strlen(name), expected, NULL), CCS_OK);
}

/* -- file names ------------------------------------------------------------------------------ */

static void files(void **state)
{
    char stem[CCS_STEM_SIZE];
    char out[CCS_FILE_NAME_SIZE] = UNTOUCHED;

    (void)state;
    assert_int_equal(ccs_name_file("www.example.com", CCS_FILE_ANY, out), CCS_OK);
    assert_string_equal(out, "www.example.com.pfx");
    assert_int_equal(ccs_name_file("_.example.com", CCS_FILE_RSA, out), CCS_OK);
    assert_string_equal(out, "_.example.com.rsa.pfx");
    assert_int_equal(ccs_name_file("xn--bcher-kva.example", CCS_FILE_ECDSA, out), CCS_OK);
    assert_string_equal(out, "xn--bcher-kva.example.ecdsa.pfx");

    strcpy(out, UNTOUCHED);
    assert_int_equal(ccs_name_file("a", CCS_FILE_KINDS, out), CCS_ENAME);
    assert_int_equal(ccs_name_file("", CCS_FILE_ANY, out), CCS_ENAME);
    fill(stem, CCS_FILE_NAME_MAX - 3, 63);
    assert_int_equal(ccs_name_file(stem, CCS_FILE_ANY, out), CCS_ENAME);
    fill(stem, CCS_FILE_NAME_MAX - 7, 63);
    assert_int_equal(ccs_name_file(stem, CCS_FILE_RSA, out), CCS_ENAME);
    fill(stem, CCS_FILE_NAME_MAX - 9, 63);
    assert_int_equal(ccs_name_file(stem, CCS_FILE_ECDSA, out), CCS_ENAME);
    assert_string_equal(out, UNTOUCHED);
    fill(stem, CCS_FILE_NAME_MAX - 10, 63);
    assert_int_equal(ccs_name_file(stem, CCS_FILE_ECDSA, out), CCS_OK);
    assert_int_equal(strlen(out), CCS_FILE_NAME_MAX);
    fill(stem, CCS_FILE_NAME_MAX - 4, 63);
    assert_int_equal(ccs_name_file(stem, CCS_FILE_ANY, out), CCS_OK);
    assert_int_equal(strlen(out), CCS_FILE_NAME_MAX);
}

static void check_unicode(const char *stem, enum ccs_file_kind kind, const char *expected)
{
    char out[CCS_FILE_NAME_SIZE] = UNTOUCHED;
    char back[CCS_STEM_SIZE];
    enum ccs_file_kind back_kind;
    int unicode = 0;
    int rv = ccs_name_file_unicode(stem, kind, out);

    if (!expected) {
        assert_int_equal(rv, CCS_ENOTFOUND);
        assert_string_equal(out, UNTOUCHED);
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, expected);
    assert_int_equal(ccs_name_from_file(out, strlen(out), back, &back_kind, &unicode), CCS_OK);
    assert_string_equal(back, stem);
    assert_int_equal(back_kind, kind);
    assert_int_equal(unicode, 1);
}

static void unicode_files(void **state)
{
    (void)state;
    check_unicode("xn--bcher-kva.example", CCS_FILE_ANY, "bücher.example.pfx");
    check_unicode("www.xn--bcher-kva.example", CCS_FILE_RSA, "www.bücher.example.rsa.pfx");
    check_unicode("_.xn--bcher-kva.example", CCS_FILE_ECDSA, "_.bücher.example.ecdsa.pfx");
    check_unicode("xn--bcher-kva.xn--p1ai", CCS_FILE_ANY, "bücher.рф.pfx");
    check_unicode("xn--strae-oqa.example", CCS_FILE_ANY, "straße.example.pfx");
    check_unicode("xn--fiqs8s", CCS_FILE_ANY, "中国.pfx");
    check_unicode("xn--4gbrim.xn----rmckbbajlc6dj7bxne2c.xn--wgbh1c", CCS_FILE_ANY,
                  "موقع.وزارة-الأتصالات.مصر.pfx");
    check_unicode("xn--_bcher-4ya.example", CCS_FILE_ANY, "_bücher.example.pfx");
    check_unicode("a_b.xn--bcher-kva.example", CCS_FILE_ANY, "a_b.bücher.example.pfx");

    check_unicode("www.example.com", CCS_FILE_ANY, NULL);
    check_unicode("_.example.com", CCS_FILE_ANY, NULL);
    check_unicode("axn--bcher-kva.example", CCS_FILE_ANY, NULL);
}

/* A-labels that are none. */
static void fake_labels(void **state)
{
    static const char *const labels[] = {
        "xn--",             /* nothing */
        "xn---",            /* nothing */
        "xn--a",            /* a control character */
        "xn--abc-",         /* plain ASCII */
        "xn--99999999",     /* too large a number */
        "xn--zzzzzzzzzzz9", /* half a number */
        "xn--bcher-Kva",    /* not folded */
        "xn--7ba",          /* upper case */
        "xn--bcher-2la10b", /* upper case again */
        "xn--bucher-xyd",   /* not NFC */
        "xn--ph7ccd",       /* wide letters */
        "xn--tda3219j",     /* a ligature */
        "xn--a-dha8227a",   /* a wide dot */
        "xn--a-dha240v",    /* a dot leader */
        "xn--a-dha3426q",   /* a wide slash */
        "xn--kba1n",        /* a soft hyphen */
        "xn--n3h",          /* a snowman: no letter */
        "xn----dha",        /* hyphen at the end */
        "xn----eha",        /* at the start */
        "xn--ab---3ra",     /* two where a prefix has them */
        "xn--nsh",          /* a number in brackets */
        "xn--a-bcb",        /* starts with a combining mark */
        "xn--ab-m1t",       /* a joiner without a reason */
        "xn--a-zhc",        /* both directions */
        "xn--xn---3ra",     /* an A-label in an A-label */
        "xn--x-qc4g",       /* surrogate */
    };
    char stem[CCS_STEM_SIZE];
    char out[CCS_FILE_NAME_SIZE];
    char label[64];
    size_t i;
    int rv;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(labels); i++) {
        strcpy(stem, labels[i]);
        strcat(stem, ".xn--bcher-kva.example");
        rv = ccs_name_file_unicode(stem, CCS_FILE_ANY, out);
        assert_int_equal(rv, CCS_ENOTFOUND);
    }
    memset(label, 'a', sizeof(label));
    memcpy(label, "xn--", 4);
    label[63] = '\0';
    check_unicode(label, CCS_FILE_ANY, NULL);
}

/* U-labels of many octets: four labels of 63 octets would be more than 255. */
static void long_unicode(void **state)
{
    static const char label[] = "xn--fiqaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    char stem[CCS_STEM_SIZE];
    char out[CCS_FILE_NAME_SIZE] = UNTOUCHED;
    int rv;

    (void)state;
    assert_int_equal(sizeof(label) - 1, 63);
    strcpy(stem, label);
    rv = ccs_name_file_unicode(stem, CCS_FILE_ANY, out);
    assert_int_equal(rv, CCS_OK);
    assert_true(strlen(out) > 150);
    strcpy(out, UNTOUCHED);
    strcat(stem, ".");
    strcat(stem, label);
    assert_int_equal(ccs_name_file_unicode(stem, CCS_FILE_ANY, out), CCS_ENAME);
    assert_string_equal(out, UNTOUCHED);
}

/* -- directory entries ----------------------------------------------------------------------- */

static void check_entry(const char *file, size_t len, const char *stem, enum ccs_file_kind kind,
                        int unicode)
{
    char *copy = exact(file, len);
    char out[CCS_STEM_SIZE] = UNTOUCHED;
    enum ccs_file_kind out_kind = CCS_FILE_KINDS;
    int out_unicode = 4711;
    int rv = ccs_name_from_file(copy, len, out, &out_kind, &out_unicode);

    free(copy);
    if (!stem) {
        assert_int_equal(rv, CCS_ENAME);
        assert_string_equal(out, UNTOUCHED);
        assert_int_equal(out_kind, CCS_FILE_KINDS);
        assert_int_equal(out_unicode, 4711);
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, stem);
    assert_int_equal(out_kind, kind);
    assert_int_equal(out_unicode, unicode);
}

static void entries_good(void **state)
{
    static const struct {
        const char *file;
        const char *stem;
        enum ccs_file_kind kind;
        int unicode;
    } cases[] = {
        {"www.example.com.pfx", "www.example.com", CCS_FILE_ANY, 0},
        {"WWW.Example.com.PFX", "www.example.com", CCS_FILE_ANY, 0},
        {"www.example.com.rsa.pfx", "www.example.com", CCS_FILE_RSA, 0},
        {"www.example.com.RSA.Pfx", "www.example.com", CCS_FILE_RSA, 0},
        {"www.example.com.ecdsa.pfx", "www.example.com", CCS_FILE_ECDSA, 0},
        {"www.example.com.ECDSA.pfx", "www.example.com", CCS_FILE_ECDSA, 0},
        {"www.example.com.ecc.pfx", "www.example.com.ecc", CCS_FILE_ANY, 0},
        {"rsa.example.pfx", "rsa.example", CCS_FILE_ANY, 0},
        {"xrsa.pfx", "xrsa", CCS_FILE_ANY, 0},
        {"localhost.pfx", "localhost", CCS_FILE_ANY, 0},
        {"pfx.pfx", "pfx", CCS_FILE_ANY, 0},
        {"a.pfx.pfx", "a.pfx", CCS_FILE_ANY, 0},
        {"_.example.com.pfx", "_.example.com", CCS_FILE_ANY, 0},
        {"_.Example.com.rsa.pfx", "_.example.com", CCS_FILE_RSA, 0},
        {"_.com.pfx", "_.com", CCS_FILE_ANY, 0},
        {"_dmarc.example.com.pfx", "_dmarc.example.com", CCS_FILE_ANY, 0},
        {"xn--bcher-kva.example.pfx", "xn--bcher-kva.example", CCS_FILE_ANY, 0},
        {"xn--.example.pfx", "xn--.example", CCS_FILE_ANY, 0},
        {"bücher.example.pfx", "xn--bcher-kva.example", CCS_FILE_ANY, 1},
        {"BÜCHER.Example.pfx", "xn--bcher-kva.example", CCS_FILE_ANY, 1},
        {"bu\314\210cher.example.pfx", /* NFD */
         "xn--bcher-kva.example", CCS_FILE_ANY, 1},
        {"BU\314\210CHER.example.ecdsa.pfx", "xn--bcher-kva.example", CCS_FILE_ECDSA, 1},
        {"_.bücher.example.rsa.pfx", "_.xn--bcher-kva.example", CCS_FILE_RSA, 1},
        {"a_b.bücher.рф.pfx", "a_b.xn--bcher-kva.xn--p1ai", CCS_FILE_ANY, 1},
        {"_bücher.example.pfx", "xn--_bcher-4ya.example", CCS_FILE_ANY, 1},
        {"straße.example.pfx", "xn--strae-oqa.example", CCS_FILE_ANY, 1},
        {"faß.de.pfx", "xn--fa-hia.de", CCS_FILE_ANY, 1},
        {"日本語.jp.pfx", "xn--wgv71a119e.jp", CCS_FILE_ANY, 1},
        {"xn--bcher-kva.bücher.example.pfx", "xn--bcher-kva.xn--bcher-kva.example", CCS_FILE_ANY,
         1},
    };
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        check_entry(cases[i].file, strlen(cases[i].file), cases[i].stem, cases[i].kind,
                    cases[i].unicode);
    }
}

static void entries_bad(void **state)
{
    static const char *const names[] = {
        "",
        ".",
        "..",
        "pfx",
        ".pfx",
        "..pfx",
        "a",
        "apfx",
        "www.example.com",
        "www.example.com.p12",
        "www.example.com.pfx.lock",
        "www.example.com.pfx~",
        "www.example.com.pfx ",
        "www.example.com.pfx.",
        "www.example.com..pfx",
        "www..example.com.pfx",
        ".www.example.com.pfx",
        ".rsa.pfx",
        "rsa.pfx",
        "RSA.pfx",
        "ecdsa.pfx",
        "rsa.rsa.pfx",
        "www.example.com.rsa.rsa.pfx",
        "www.example.com.rsa.ecdsa.pfx",
        "_.pfx",
        "_..pfx",
        "_.rsa.pfx",
        "_.ecdsa.pfx",
        "_._.example.com.pfx",
        "_._.pfx",
        "_.127.0.0.1.pfx",
        "127.0.0.1.pfx",
        "0x7f.pfx",
        "*.example.com.pfx",
        "sub/www.example.com.pfx",
        "../www.example.com.pfx",
        "/.pfx",
        "a b.example.pfx",
        "a\\b.example.pfx",
        "a\nb.example.pfx",
        /* Not UTF-8: Latin-1, cut short, overlong, a surrogate, beyond Unicode. */
        "b\374cher.example.pfx",
        "b\303.example.pfx",
        "b\300\257.example.pfx",
        "b\300\256.example.pfx",
        "b\355\240\200.example.pfx",
        "b\364\220\200\200.example.pfx",
        "b\377.example.pfx",
        /* Octets that libidn2 lets pass or drops in an international label. */
        "a/bücher.example.pfx",
        "a bücher.example.pfx",
        "*bücher.example.pfx",
        "\001bücher.example.pfx",
        /* Look-alikes that turn into ASCII letters, dots and slashes. */
        "ＡＢＣ.example.pfx",
        "\342\204\252elvin.example.pfx",
        "bücher。example.pfx",
        "bücher．example.pfx",
        "\343\200\202.example.pfx",
        "．．.pfx",
        "ü／etc.example.pfx",
        "℀ü.example.pfx",
        "＿.example.pfx",
        "\302\255.example.pfx",
        "a\302\255b.example.pfx",
        "a\342\200\213b.example.pfx",
        "STRAẞE.example.pfx",
        "xn\302\255--nsh.example.pfx", /* a fake A-label, with a soft hyphen */
        /* What IDNA does not allow. */
        "☃.example.pfx",
        "💩.la.pfx",
        "-ü.example.pfx",
        "ü-.example.pfx",
        "ab--ü.example.pfx",
        "xn--ü.example.pfx",
        "\314\210.example.pfx",
        "a\342\200\215b.example.pfx",
        "אa.example.pfx",
        "example.rsä.rsa.rsa.pfx",
        /* The ending in look-alikes. */
        "example.com.ｐｆｘ",
        "example.com．pfx",
    };
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(names); i++)
        check_entry(names[i], strlen(names[i]), NULL, CCS_FILE_ANY, 0);
    check_entry(OCTETS("www.example.com\0.pfx"), NULL, CCS_FILE_ANY, 0);
    check_entry(OCTETS("www\0.example.com.pfx"), NULL, CCS_FILE_ANY, 0);
    check_entry(OCTETS("b\303\274\0cher.example.pfx"), NULL, CCS_FILE_ANY, 0);
    check_entry(OCTETS("www.example.com.pfx\0"), NULL, CCS_FILE_ANY, 0);
}

static void entry_lengths(void **state)
{
    char name[CCS_FILE_NAME_MAX + 10];
    char stem[CCS_STEM_SIZE];
    size_t len;

    (void)state;
    /* The longest that is considered. */
    fill(stem, CCS_FILE_NAME_MAX - 4, 63);
    strcpy(name, stem);
    strcat(name, ".pfx");
    check_entry(name, CCS_FILE_NAME_MAX, stem, CCS_FILE_ANY, 0);
    fill(stem, CCS_FILE_NAME_MAX - 3, 63);
    strcpy(name, stem);
    strcat(name, ".pfx");
    check_entry(name, CCS_FILE_NAME_MAX + 1, NULL, CCS_FILE_ANY, 0);

    /* Short labels that become long ones: "ü" is seven octets as an A-label. */
    name[0] = '\0';
    stem[0] = '\0';
    strcpy(name, "_.");
    strcpy(stem, "_.");
    for (len = 0; len < 31; len++) {
        strcat(name, "ü.");
        strcat(stem, "xn--tda.");
    }
    strcat(name, "abcde.pfx");
    strcat(stem, "abcde");
    assert_int_equal(strlen(stem), 2 + CCS_NAME_MAX);
    check_entry(name, strlen(name), stem, CCS_FILE_ANY, 1);
    strcpy(strstr(name, "abcde"), "abcdef.pfx");
    check_entry(name, strlen(name), NULL, CCS_FILE_ANY, 0);
    strcpy(strstr(name, "abcdef"), "ü.ü.ü.ü.ü.ü.ü.pfx");
    check_entry(name, strlen(name), NULL, CCS_FILE_ANY, 0);

    /* A U-label whose A-label is too long. */
    name[0] = '\0';
    for (len = 0; len < 60; len++)
        strcat(name, "ü");
    strcat(name, ".example.pfx");
    check_entry(name, strlen(name), NULL, CCS_FILE_ANY, 0);
}

/* Every name that can be asked for finds its file again. */
static void there_and_back(void **state)
{
    static const char *const names[] = {
        "www.example.com",
        "a",
        "_x.b",
        "a._.b",
        "1.2.3.example",
        "xn--bcher-kva.example",
        "xn--.a",
        "xn--n3h.a",
        "a.pfx",
        "rsa.a",
        "a.rsa.a",
        "ecdsa.pfx",
        "pfx",
        "-",
        "a--b.c",
        "xn--bcher-kva.xn--p1ai",
        "xn--p1ai.a",
        "a.xn--p1ai",
    };
    char stem[CCS_STEM_SIZE];
    char file[CCS_FILE_NAME_SIZE];
    char back[CCS_STEM_SIZE];
    enum ccs_file_kind back_kind;
    int unicode;
    size_t i;
    int kind;
    int wildcard;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(names); i++) {
        for (wildcard = 0; wildcard < 2; wildcard++) {
            assert_int_equal(ccs_name_canonical(names[i], strlen(names[i]), stem, NULL), CCS_OK);
            if (wildcard && ccs_name_wildcard(names[i], strlen(names[i]), stem, NULL) != CCS_OK)
                continue;
            for (kind = 0; kind < CCS_FILE_KINDS; kind++) {
                assert_int_equal(ccs_name_file(stem, (enum ccs_file_kind)kind, file), CCS_OK);
                assert_int_equal(ccs_name_from_file(file, strlen(file), back, &back_kind, &unicode),
                                 CCS_OK);
                assert_string_equal(back, stem);
                assert_int_equal(back_kind, kind);
                assert_int_equal(unicode, 0);
                if (ccs_name_file_unicode(stem, (enum ccs_file_kind)kind, file) == CCS_OK) {
                    assert_int_equal(
                        ccs_name_from_file(file, strlen(file), back, &back_kind, &unicode), CCS_OK);
                    assert_string_equal(back, stem);
                    assert_int_equal(unicode, 1);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_good),   cmocka_unit_test(canonical_bad),
        cmocka_unit_test(canonical_octets), cmocka_unit_test(lengths),
        cmocka_unit_test(wildcards),        cmocka_unit_test(files),
        cmocka_unit_test(unicode_files),    cmocka_unit_test(fake_labels),
        cmocka_unit_test(long_unicode),     cmocka_unit_test(entries_good),
        cmocka_unit_test(entries_bad),      cmocka_unit_test(entry_lengths),
        cmocka_unit_test(there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
