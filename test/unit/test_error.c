/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "error.h"

static const int all_codes[] = {
    CCS_OK,           CCS_PENDING,  CCS_ENOMEM,       CCS_EINVAL,     CCS_ENAME,
    CCS_ENOTFOUND,    CCS_EUNAVAIL, CCS_EACCESS,      CCS_ETIMEDOUT,  CCS_EBUSY,
    CCS_ECANCELED,    CCS_ECLOSED,  CCS_ESSL,         CCS_EFILETYPE,  CCS_ETOOBIG,
    CCS_EINCOMPLETE,  CCS_ECHANGED, CCS_EDAMAGED,     CCS_EFORMAT,    CCS_EPASSWORD,
    CCS_EKEYPASSWORD, CCS_ELEGACY,  CCS_EUNSUPPORTED, CCS_ERECIPIENT, CCS_EROUNDS,
    CCS_ENOKEY,       CCS_ENOCERT,  CCS_EMISMATCH,    CCS_EKEYUSE,    CCS_ENAMEMISMATCH,
};

static void every_code_has_a_name_and_a_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all_codes); i++) {
        const char *name = ccs_code_name(all_codes[i]);

        assert_string_not_equal(name, "unknown");
        assert_string_not_equal(ccs_strerror(all_codes[i]), "unknown error");
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(name, ccs_code_name(all_codes[k]));
            assert_string_not_equal(ccs_strerror(all_codes[i]), ccs_strerror(all_codes[k]));
        }
    }
    assert_string_equal(ccs_code_name(CCS_OK), "ok");
    assert_string_equal(ccs_code_name(CCS_EPASSWORD), "wrong-password");
    for (int code = -300; code < 300; code++) {
        assert_non_null(ccs_strerror(code));
        assert_non_null(ccs_code_name(code));
    }
    assert_string_equal(ccs_code_name(-999), "unknown");
    assert_string_equal(ccs_strerror(INT32_MIN), "unknown error");
}

static void results_and_version(void **state)
{
    (void)state;
    assert_string_equal(ccs_result_name(CCS_RESULT_NONE), "-");
    assert_string_equal(ccs_result_name(CCS_RESULT_HIT), "HIT");
    assert_string_equal(ccs_result_name(CCS_RESULT_LOADED), "LOADED");
    assert_string_equal(ccs_result_name(CCS_RESULT_STALE), "STALE");
    assert_string_equal(ccs_result_name(CCS_RESULT_FALLBACK), "FALLBACK");
    assert_string_equal(ccs_result_name((enum ccs_result)77), "-");
    assert_string_equal(ccs_version(), CCS_VERSION);
}

static void set_fills_and_returns(void **state)
{
    struct ccs_error e;

    (void)state;
    memset(&e, 0x5a, sizeof(e));
    assert_int_equal(ccs_error_set(&e, CCS_ENAME, "%s has %d", "x", 3), CCS_ENAME);
    assert_int_equal(e.code, CCS_ENAME);
    assert_int_equal(e.sys_errno, 0);
    assert_string_equal(e.text, "x has 3");
    assert_int_equal(ccs_error_set(NULL, CCS_EBUSY, "x"), CCS_EBUSY);

    /* Wrapping the own text. */
    ccs_error_set(&e, CCS_EDAMAGED, "a.pfx: %s", e.text);
    assert_string_equal(e.text, "a.pfx: x has 3");
}

static void long_texts_are_cut_between_characters(void **state)
{
    struct ccs_error e;
    char longer[2000];

    (void)state;
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    ccs_error_set(&e, CCS_EINVAL, "%s", longer);
    assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
    assert_string_equal(e.text + strlen(e.text) - 4, "a...");

    /* Exactly full is not cut. */
    ccs_error_set(&e, CCS_EINVAL, "%.*s", (int)sizeof(e.text) - 1, longer);
    assert_string_equal(e.text + strlen(e.text) - 4, "aaaa");
    ccs_error_sys(&e, CCS_EINVAL, ENOENT, "%.*s", (int)sizeof(e.text) - 1, longer);
    assert_string_equal(e.text + strlen(e.text) - 4, "a...");

    for (size_t shift = 0; shift < 4; shift++) {
        size_t n;

        for (size_t i = 0; i < sizeof(longer) - 4; i += 4)
            memcpy(longer + shift + i, "\xf0\x9f\x94\x91", shift + i + 4 < sizeof(longer) ? 4 : 0);
        memset(longer, 'a', shift);
        longer[sizeof(longer) - 1] = '\0';
        ccs_error_set(&e, CCS_EINVAL, "%s", longer);
        n = strlen(e.text);
        assert_true(n <= sizeof(e.text) - 1 && n >= sizeof(e.text) - 4);
        assert_string_equal(e.text + n - 3, "...");
        assert_int_equal((n - 3 - shift) % 4, 0);
    }
}

static void sys_appends_the_reason(void **state)
{
    struct ccs_error e;
    char want[200];

    (void)state;
    errno = EPERM;
    assert_int_equal(ccs_error_sys(&e, CCS_EACCESS, EACCES, "open %s", "/x"), CCS_EACCESS);
    assert_int_equal(e.sys_errno, EACCES);
    (void)snprintf(want, sizeof(want), "open /x: %s", strerror(EACCES));
    assert_string_equal(e.text, want);
    assert_int_equal(ccs_error_sys(NULL, CCS_EACCESS, EACCES, "x"), CCS_EACCESS);
    assert_int_equal(ccs_error_sys(&e, CCS_EACCESS, 99999, "x"), CCS_EACCESS);
    assert_int_equal(e.sys_errno, 99999);
}

static void raise_entry(int lib, int reason, const char *data)
{
    ERR_new();
    ERR_set_debug("file.c", 1, "function");
    if (data)
        ERR_set_error(lib, reason, "%s", data);
    else
        ERR_set_error(lib, reason, NULL);
}

static void ssl_takes_the_most_telling_entry(void **state)
{
    struct ccs_error e;

    (void)state;
    /* Deepest first among equals. */
    raise_entry(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH, NULL);
    raise_entry(ERR_LIB_X509, X509_R_WRONG_TYPE, NULL);
    assert_int_equal(ccs_error_ssl(&e, CCS_ESSL, "part %d", 1), CCS_ESSL);
    assert_string_equal(e.text, "part 1: key values mismatch");
    assert_int_equal(ERR_peek_error(), 0);

    /* What only repeats a failure below gives way, whatever the order. */
    raise_entry(ERR_LIB_PKCS12, ERR_R_NESTED_ASN1_ERROR, "Type=PKCS12");
    raise_entry(ERR_LIB_EVP, ERR_R_UNSUPPORTED, "Algorithm (RC2-40-CBC : 0), Properties ()");
    raise_entry(ERR_LIB_X509, X509_R_WRONG_TYPE, NULL);
    raise_entry(ERR_LIB_PKCS12, ERR_R_EVP_LIB, NULL);
    ccs_error_ssl(&e, CCS_EUNSUPPORTED, "x");
    assert_string_equal(e.text, "x: unsupported (Algorithm (RC2-40-CBC : 0), Properties ())");
    assert_int_equal(ERR_peek_error(), 0);

    /* Only one without a text of its own. */
    raise_entry(ERR_LIB_USER, 1234, NULL);
    ccs_error_ssl(&e, CCS_ESSL, "x");
    assert_non_null(strstr(e.text, "x: OpenSSL error "));

    raise_entry(ERR_LIB_SYS, ENOENT, NULL);
    ccs_error_ssl(&e, CCS_ESSL, "x");
    assert_non_null(strstr(e.text, strerror(ENOENT)));

    /* Data from a file is made printable. */
    raise_entry(ERR_LIB_X509, X509_R_WRONG_TYPE, "a\x1b[2Jb");
    ccs_error_ssl(&e, CCS_ESSL, "x");
    assert_non_null(strstr(e.text, "a\\x1b[2Jb"));

    ccs_error_ssl(&e, CCS_ESSL, "x");
    assert_string_equal(e.text, "x: OpenSSL gives no reason");

    raise_entry(ERR_LIB_X509, X509_R_WRONG_TYPE, NULL);
    assert_int_equal(ccs_error_ssl(NULL, CCS_ESSL, "x"), CCS_ESSL);
    assert_int_equal(ERR_peek_error(), 0);
}

static void ssl_names_a_missing_algorithm(void **state)
{
    struct ccs_error e;
    EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, "RC2-40-CBC", NULL);

    (void)state;
    if (c) {
        EVP_CIPHER_free(c);
        skip();
    }
    raise_entry(ERR_LIB_PKCS12, ERR_R_EVP_LIB, NULL);
    ccs_error_ssl(&e, CCS_ELEGACY, "cannot decrypt");
    assert_non_null(strstr(e.text, "unsupported"));
    assert_non_null(strstr(e.text, "RC2-40-CBC"));
}

static const char *printable(char *buf, size_t size, const char *s)
{
    memset(buf, '#', size);
    return ccs_printable(buf, size, s, strlen(s));
}

static void printable_text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"www.example.com.pfx", "www.example.com.pfx"},
        {"b\xc3\xbc"
         "cher",
         "b\xc3\xbc"
         "cher"},
        {"\xe4\xb8\xad\xf0\x9f\x94\x91", "\xe4\xb8\xad\xf0\x9f\x94\x91"},
        {"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc3", "\\xc3"},
        {"\xc3(", "\\xc3("},
        {"\xc0\xaf", "\\xc0\\xaf"},                            /* too long a form */
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},                   /* the same */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                   /* surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},          /* beyond U+10FFFF */
        {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"}, /* five octets */
        {"\x80", "\\x80"},                                     /* continuation alone */
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"}, /* C1 control */
        {"\xe2\x80\xae"
         "fdp",
         "\\xe2\\x80\\xae"
         "fdp"},                             /* right-to-left override */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, /* line separator */
        {"\xf0\x9f\x94", "\\xf0\\x9f\\x94"}, /* cut short */
    };
    char buf[64];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        assert_string_equal(printable(buf, sizeof(buf), cases[i].in), cases[i].out);
        assert_ptr_equal(ccs_printable(buf, sizeof(buf), cases[i].in, 0), buf);
    }
    assert_string_equal(ccs_printable(buf, sizeof(buf), "a\0b", 3), "a\\x00b");
}

static void printable_text_is_cut_whole(void **state)
{
    static const char *const inputs[] = {"abcdefghij", "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc",
                                         "\x01\x02\x03\x04", "a\xf0\x9f\x94\x91z\xff"};
    char full[64], buf[64];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(inputs); i++) {
        size_t n = strlen(printable(full, sizeof(full), inputs[i]));

        for (size_t size = 1; size < sizeof(buf); size++) {
            size_t len;

            memset(buf, '#', sizeof(buf));
            ccs_printable(buf, size, inputs[i], strlen(inputs[i]));
            assert_true(buf[size] == '#');
            len = strlen(buf);
            assert_true(len < size);
            if (size > n) {
                assert_string_equal(buf, full);
                continue;
            }
            /* A proper beginning, then dots; valid UTF-8 throughout. */
            if (size > 3) {
                assert_string_equal(buf + len - 3, "...");
                assert_memory_equal(buf, full, len - 3);
                assert_true(((uint8_t)full[len - 3] & 0xc0) != 0x80);
            } else {
                assert_int_equal(strspn(buf, "."), len);
            }
        }
    }
    memset(buf, '#', sizeof(buf));
    assert_string_equal(ccs_printable(buf, 0, "abc", 3), "");
    assert_true(buf[0] == '#');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_text),
        cmocka_unit_test(results_and_version),
        cmocka_unit_test(set_fills_and_returns),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(sys_appends_the_reason),
        cmocka_unit_test(ssl_takes_the_most_telling_entry),
        cmocka_unit_test(ssl_names_a_missing_algorithm),
        cmocka_unit_test(printable_text),
        cmocka_unit_test(printable_text_is_cut_whole),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
