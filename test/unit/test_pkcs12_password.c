/* SPDX-License-Identifier: Apache-2.0 */
/* Which password opens a file, in which encoding, and what finding it may cost. */
#include "pkcs12_kit.h"

#include <openssl/pkcs12.h>

#include "libctx.h"
#include "unlock.h"

#define LIMIT 2000000

static const struct ccs_pfxkit_password pw = {"pw", 2};

/* Loads with a hint and says which password it was; CCS_PASSWORD_UNKNOWN - 1 on failure. */
static int which(const struct ccs_der *file, const char *passwords, int hint)
{
    struct outcome o = load_with(file->data, file->len, passwords, hint, LIMIT);
    int password = o.rv == CCS_OK ? o.pfx->password : CCS_PASSWORD_UNKNOWN - 1;

    ccs_pfx_free(o.pfx);
    return password;
}

static void test_order(void **state)
{
    static const int hints[] = {CCS_PASSWORD_UNKNOWN, CCS_PASSWORD_EMPTY, 0, 1, 2, 3, 4, 99, -99};
    struct ccs_der file = {0}, empty = {0};
    size_t i;

    (void)state;
    make_file(&file, &(struct making){0}, pw);
    make_file(&empty, &(struct making){0}, (struct ccs_pfxkit_password){"", 0});
    for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        assert_int_equal(which(&file, "a\nb\npw\nc", hints[i]), 2);
        assert_int_equal(which(&file, "pw", hints[i]), 0);
        assert_int_equal(which(&file, "a\nb\nc\npw", hints[i]), 3);
        assert_int_equal(which(&file, "a\nb", hints[i]), CCS_PASSWORD_UNKNOWN - 1);
        assert_int_equal(which(&empty, "a\nb", hints[i]), CCS_PASSWORD_EMPTY);
        assert_int_equal(which(&empty, NULL, hints[i]), CCS_PASSWORD_EMPTY);
    }
    /* The same twice: the first counts, unless the second is the hint. */
    assert_int_equal(which(&file, "pw\nb\npw", CCS_PASSWORD_UNKNOWN), 0);
    assert_int_equal(which(&file, "pw\nb\npw", 2), 2);
    ccs_der_clear(&file);
    ccs_der_clear(&empty);
}

/* Both forms of the empty password, with everything that tells them apart or does not. */
static void test_empty_forms(void **state)
{
    static const struct making makings[] = {
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC},
         .key = {.nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
         .mac = {.digest = NID_sha1}},
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC}, .no_mac = 1},
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC}, .mac = {.pbmac1 = 1}},
        {.mac = {.digest = NID_sha1}},
        {.no_mac = 1},
    };
    size_t i, form;

    (void)state;
    for (i = 0; i < sizeof(makings) / sizeof(makings[0]); i++) {
        for (form = 0; form < 2; form++) {
            struct ccs_pfxkit_password empty = {form ? "" : NULL, 0};
            struct ccs_der file = {0};
            struct ccs_pfx *pfx;

            make_file(&file, &makings[i], empty);
            pfx = expect_host(&file, NULL, 1);
            assert_int_equal(pfx->password, CCS_PASSWORD_EMPTY);
            ccs_pfx_free(pfx);
            ccs_pfx_free(expect_host(&file, "not this\nnor this", 1));
            ccs_der_clear(&file);
        }
    }
}

static const char utf8[] = "gr\xc3\xbc\xc3\x9f";                    /* in the password file */
static const char latin1[] = "gr\xfc\xdf";                          /* the same in Latin-1 */
static const char doubled[] = "gr\xc3\x83\xc2\xbc\xc3\x83\xc2\x9f"; /* each octet a character */

/* Writes certs and key with PBES2 and a MAC of RFC 7292, each with a password of its own. */
static void make_mixed(struct ccs_der *file, const char *raw, const char *mac, int pbes1)
{
    struct ccs_pfxkit_password p = {raw, (int)strlen(raw)}, m = {mac, (int)strlen(mac)};
    const struct ccs_pfxkit_pbe pbe = {.password = pbes1 ? m : p,
                                       .nid = pbes1 ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : 0};

    make_file(file, &(struct making){.certs = pbe, .key = pbe, .mac = {.password = m}}, p);
}

static void test_not_ascii(void **state)
{
    static const struct {
        const char *file, *raw, *mac;
        int pbes1;
    } rows[] = {
        {utf8, utf8, utf8, 0},     /* as RFC 9579 has it */
        {utf8, utf8, utf8, 1},     /* RFC 7292 */
        {utf8, latin1, utf8, 0},   /* BouncyCastle */
        {utf8, utf8, doubled, 0},  /* OpenSSL before 1.1.0, with PBES2 */
        {utf8, utf8, doubled, 1},  /* the same with 3DES */
        {latin1, utf8, utf8, 0},   /* the password file is in Latin-1 */
        {latin1, latin1, utf8, 0}, /* the same, and BouncyCastle */
        {latin1, utf8, utf8, 1},
        {"\xe2\x82\xac"
         "5",
         "\xe2\x82\xac"
         "5",
         "\xe2\x82\xac"
         "5",
         0}, /* beyond Latin-1 */
        {"\xe2\x82\xac"
         "5",
         "\xe2\x82\xac"
         "5",
         "\xe2\x82\xac"
         "5",
         1},
        {"\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91", 1}, /* a surrogate pair */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_der file = {0};
        struct outcome o;

        make_mixed(&file, rows[i].raw, rows[i].mac, rows[i].pbes1);
        o = load(&file, rows[i].file);
        if (o.rv != CCS_OK)
            fail_msg("row %zu: %s", i, o.err.text);
        ccs_pfx_free(o.pfx);
        expect_refusal(&file, "gru", CCS_EPASSWORD, "password");
        ccs_der_clear(&file);
    }
}

/* Without a MAC, and with PBMAC1, the odd encodings are found as well. */
static void test_not_ascii_elsewhere(void **state)
{
    const struct ccs_pfxkit_password l = {latin1, (int)sizeof(latin1) - 1};
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.no_mac = 1}, l);
    ccs_pfx_free(expect_host(&file, utf8, 1));
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.mac = {.pbmac1 = 1}}, l);
    ccs_pfx_free(expect_host(&file, utf8, 1));
    ccs_der_clear(&file);
}

/* The longest password there may be. */
static void test_long(void **state)
{
    static char text[CCS_PASSWORD_LEN_MAX + 1];
    struct ccs_der file = {0};

    (void)state;
    memset(text, 'x', CCS_PASSWORD_LEN_MAX);
    make_file(&file, &(struct making){0}, (struct ccs_pfxkit_password){text, CCS_PASSWORD_LEN_MAX});
    ccs_pfx_free(expect_host(&file, text, 1));
    text[CCS_PASSWORD_LEN_MAX - 1] = '\0';
    expect_refusal(&file, text, CCS_EPASSWORD, "password");
    ccs_der_clear(&file);
}

/* Sixty-four passwords, the right one last. */
static void test_many(void **state)
{
    char text[CCS_PASSWORDS_MAX * 8] = "";
    struct ccs_der file = {0};
    size_t i;

    (void)state;
    for (i = 0; i < CCS_PASSWORDS_MAX - 1; i++)
        snprintf(text + strlen(text), 8, "w%zu\n", i);
    strcat(text, "pw");
    make_file(&file, &(struct making){0}, pw);
    assert_int_equal(which(&file, text, CCS_PASSWORD_UNKNOWN), CCS_PASSWORDS_MAX - 1);
    ccs_der_clear(&file);
}

/* Wrong passwords cost the MAC again: the search ends, unless the hint makes it short. */
static void test_search_budget(void **state)
{
    struct ccs_der file = {0};
    char text[400] = "";
    struct outcome o;
    int i;

    (void)state;
    make_file(&file, &(struct making){.mac = {.claim = 1000}}, pw);
    for (i = 0; i < 30; i++)
        strcat(text, "wrong\n");
    strcat(text, "pw");
    o = load_with(file.data, file.len, text, CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_EROUNDS);
    assert_non_null(strstr(o.err.text, "password file"));
    o = load_with(file.data, file.len, text, 30, 1000);
    assert_int_equal(o.rv, CCS_OK);
    assert_int_equal(o.pfx->password, 30);
    ccs_pfx_free(o.pfx);
    o = load_with(file.data, file.len, text, CCS_PASSWORD_UNKNOWN, 2000);
    assert_int_equal(o.rv, CCS_OK);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&file);
}

/* The right password as the last that the budget allows still decrypts what it opens. */
static void test_search_budget_edge(void **state)
{
    const struct ccs_pfxkit_pbe costly = {.iterations = 700};
    struct ccs_der file = {0};
    char text[400] = "";
    struct outcome o;
    int i;

    (void)state;
    make_file(&file, &(struct making){.mac = {.claim = 1000}, .certs = costly, .key = costly}, pw);
    for (i = 0; i < CCS_UNLOCK_SEARCH_FACTOR - 1; i++)
        strcat(text, "wrong\n");
    strcat(text, "pw");
    o = load_with(file.data, file.len, text, CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_OK);
    assert_int_equal(o.pfx->password, CCS_UNLOCK_SEARCH_FACTOR - 1);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&file);
}

/* What a wrong password makes of a file may have the right padding, and look like a SEQUENCE. */
static void test_likeness(void **state)
{
    static const struct {
        const char *plain;
        int len, code;
    } rows[] = {
        {"\x30\x00", 2, CCS_OK},
        {"\x30\x02\x30\x00", 4, CCS_OK},
        {"\x30\x03\x02\x01\x00", 5, CCS_OK},
        {"\x30\x03\x02\x01\x00 and more", 14, CCS_OK},
        {"\x30\x80\x00\x00", 4, CCS_OK},
        {"\x30\x80\x30\x80\x00\x00\x00\x00", 8, CCS_OK},
        {"\x30\x04\x9a\x02\x01\x00", 6, CCS_EPASSWORD},
        {"\x30\x04\x30\x03\x05\x00 and more", 15, CCS_EPASSWORD},
        {"\x30\x05\x02\x01\x00", 5, CCS_EPASSWORD},
        {"\x31\x03\x02\x01\x00", 5, CCS_EPASSWORD},
        {"\x30", 1, CCS_EPASSWORD},
        {"", 0, CCS_EPASSWORD},
    };
    const struct ccs_pbe pbe = {.rounds = 1};
    struct ccs_passwords *passwords = NULL;
    struct ccs_pfx_params params = {.kdf_limit = 1000};
    X509_ALGOR *algorithm;

    (void)state;
    assert_non_null(ccs_libctx(NULL));
    assert_int_equal(ccs_passwords_parse("pw", 2, &passwords, NULL), CCS_OK);
    params.passwords = passwords;
    algorithm = PKCS5_pbe2_set_iv(EVP_aes_128_cbc(), 1, NULL, 0, NULL, NID_hmacWithSHA256);
    assert_non_null(algorithm);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ASN1_OCTET_STRING *in = ASN1_OCTET_STRING_new();
        struct ccs_plain plain = {NULL, 0};
        unsigned char *cipher = NULL;
        struct ccs_unlock unlock;
        int len = 0, rv;

        assert_non_null(PKCS12_pbe_crypt(algorithm, "pw", 2, (const unsigned char *)rows[i].plain,
                                         rows[i].len, &cipher, &len, 1));
        assert_int_equal(ASN1_OCTET_STRING_set(in, cipher, len), 1);
        ccs_unlock_init(&unlock, &params);
        rv = ccs_unlock_decrypt(&unlock, algorithm, &pbe, in, &plain, NULL);
        if (rv != rows[i].code)
            fail_msg("row %zu: %s", i, ccs_code_name(rv));
        if (rv == CCS_OK)
            assert_memory_equal(plain.data, rows[i].plain, (size_t)rows[i].len);
        ccs_pbe_clear(&plain);
        OPENSSL_free(cipher);
        ASN1_OCTET_STRING_free(in);
    }
    X509_ALGOR_free(algorithm);
    ccs_passwords_unref(passwords);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_empty_forms),
        cmocka_unit_test(test_likeness),
        cmocka_unit_test(test_not_ascii),
        cmocka_unit_test(test_not_ascii_elsewhere),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_search_budget),
        cmocka_unit_test(test_search_budget_edge),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
