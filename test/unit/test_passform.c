/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "passform.h"

static int is(const struct ccs_octets *octets, const char *text)
{
    return octets->data && octets->len == (int)strlen(text) &&
           memcmp(octets->data, text, strlen(text)) == 0;
}

static void test_empty(void **state)
{
    struct ccs_passforms f;

    (void)state;
    assert_int_equal(ccs_passforms_init(&f, "", 0), CCS_OK);
    assert_int_equal(f.count, 2);
    assert_null(f.form[0].pkcs12.data);
    assert_int_equal(f.form[0].pkcs12.len, 0);
    assert_true(is(&f.form[1].pkcs12, ""));
    assert_int_equal(f.form[0].raw_count, 1);
    assert_true(is(&f.form[0].raw[0], ""));
    assert_true(is(&f.form[1].raw[0], ""));
    ccs_passforms_clear(&f);
    ccs_passforms_clear(&f);
}

static void test_ascii(void **state)
{
    struct ccs_passforms f;

    (void)state;
    assert_int_equal(ccs_passforms_init(&f, "plain text", 5), CCS_OK);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.form[0].raw_count, 1);
    assert_true(is(&f.form[0].pkcs12, "plain"));
    assert_true(is(&f.form[0].raw[0], "plain"));
    ccs_passforms_clear(&f);
}

static void test_latin(void **state)
{
    struct ccs_passforms f;

    (void)state;
    assert_int_equal(ccs_passforms_init(&f, "gr\xc3\xbcn", 5), CCS_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.form[0].raw_count, 2);
    assert_true(is(&f.form[0].pkcs12, "gr\xc3\xbcn"));
    assert_true(is(&f.form[0].raw[0], "gr\xc3\xbcn"));
    assert_true(is(&f.form[0].raw[1], "gr\xfcn"));
    assert_true(is(&f.form[1].pkcs12, "gr\xc3\x83\xc2\xbcn"));
    assert_true(is(&f.form[1].raw[0], "gr\xc3\xbcn"));
    ccs_passforms_clear(&f);
}

static void test_wide(void **state)
{
    struct ccs_passforms f;

    (void)state;
    assert_int_equal(ccs_passforms_init(&f, "5\xe2\x82\xac\xc3\xbc", 6), CCS_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.form[0].raw_count, 1);
    assert_true(is(&f.form[1].pkcs12, "5\xc3\xa2\xc2\x82\xc2\xac\xc3\x83\xc2\xbc"));
    ccs_passforms_clear(&f);
}

/* Not UTF-8, in all the ways that there are. */
static void test_not_utf8(void **state)
{
    static const char *const texts[] = {
        "gr\xfcn",      "\xc3",         "\xc3\x28",         "\xe2\x82",         "\xc0\xaf",
        "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf0\x80\x80\xaf", "\xf8\x88\x80\x80",
        "\xff",         "ok\x80",
    };
    struct ccs_passforms f;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(ccs_passforms_init(&f, texts[i], strlen(texts[i])), CCS_OK);
        assert_int_equal(f.count, 1);
        assert_int_equal(f.form[0].raw_count, 2);
        assert_true(is(&f.form[0].pkcs12, texts[i]));
        assert_true(is(&f.form[0].raw[0], texts[i]));
        ccs_passforms_clear(&f);
    }
    assert_int_equal(ccs_passforms_init(&f, "gr\xfcn", 4), CCS_OK);
    assert_true(is(&f.form[0].raw[1], "gr\xc3\xbcn"));
    ccs_passforms_clear(&f);
}

static void test_too_long(void **state)
{
    static char text[CCS_PASSWORD_LEN_MAX + 1];
    struct ccs_passforms f;

    (void)state;
    memset(text, 0xfc, sizeof(text));
    assert_int_equal(ccs_passforms_init(&f, text, sizeof(text)), CCS_EINVAL);
    assert_int_equal(ccs_passforms_init(&f, text, CCS_PASSWORD_LEN_MAX), CCS_OK);
    assert_int_equal(f.form[0].raw[1].len, 2 * CCS_PASSWORD_LEN_MAX);
    ccs_passforms_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),    cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_latin),    cmocka_unit_test(test_wide),
        cmocka_unit_test(test_not_utf8), cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
