/* SPDX-License-Identifier: Apache-2.0 */
/* Files made to cost too much: refused at once, and for that reason. */
#include "pkcs12_kit.h"

#include <time.h>

#include "bags.h"

#define AT_ONCE_MS 50.0

static const struct ccs_pfxkit_password pw = {"pw", 2};

/* Milliseconds of this thread's processor time: other programs' work does not count. */
static double spent(void)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void refuse_at_once(struct ccs_der *file, int code, const char *needle)
{
    double start = spent();

    expect_refusal(file, "pw", code, needle);
    assert_true(spent() - start < AT_ONCE_MS);
    ccs_der_clear(file);
}

/* The first decode of a process loads OpenSSL's providers; that is not what is measured. */
static int warm_up(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){0}, pw);
    ccs_pfx_free(expect_host(&file, "pw", 1));
    ccs_der_clear(&file);
    return 0;
}

static void test_rounds(void **state)
{
    static const struct ccs_pfxkit_pbe bombs[] = {
        {.iterations = INT32_MAX, .fake = 1},
        {.iterations = 2000001, .fake = 1},
        {.iterations = INT32_MAX, .fake = 1, .nid = NID_pbe_WithSHA1And40BitRC2_CBC},
        {.iterations = INT32_MAX, .fake = 1, .nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
        {.iterations = INT32_MAX, .fake = 1, .nid = NID_pbeWithMD5AndDES_CBC},
        {.iterations = INT32_MAX, .fake = 1, .prf = NID_hmacWithSHA512},
    };
    struct ccs_der file = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        make_file(&file, &(struct making){.certs = bombs[i]}, pw);
        refuse_at_once(&file, CCS_EROUNDS, "kdf_limit");
        make_file(&file, &(struct making){.key = bombs[i]}, pw);
        refuse_at_once(&file, CCS_EROUNDS, "kdf_limit");
    }
    make_file(&file, &(struct making){.mac = {.claim = INT32_MAX, .fake = 1}}, pw);
    refuse_at_once(&file, CCS_EROUNDS, "kdf_limit");
    make_file(&file, &(struct making){.mac = {.claim = INT64_MAX, .fake = 1}}, pw);
    refuse_at_once(&file, CCS_EROUNDS, "kdf_limit");
    make_file(&file, &(struct making){.mac = {.claim = INT32_MAX, .fake = 1, .pbmac1 = 1}}, pw);
    refuse_at_once(&file, CCS_EROUNDS, "kdf_limit");
}

static void test_scrypt_bombs(void **state)
{
    static const struct ccs_pfxkit_pbe bombs[] = {
        {.n = 65536, .r = 8, .p = 1},
        {.n = 2, .r = 1, .p = 1 << 20},
        {.n = 2, .r = 1 << 20, .p = 1},
        {.n = UINT64_C(1) << 60, .r = 1, .p = 1},
        {.n = UINT64_C(1) << 24, .r = 1 << 24, .p = 1 << 24},
        {.n = 16384, .r = 8, .p = 16}, /* fits the memory, but not the rounds */
    };
    struct ccs_der file = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        struct ccs_pfxkit_pbe bomb = bombs[i];
        /* OpenSSL refuses to make parameters that it would refuse to use. */
        struct ccs_der algorithm = {0}, content = {0}, parts = {0};

        ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
        ccs_der_oid(&algorithm, "1.2.840.113549.1.5.13");
        ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
        ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
        ccs_der_oid(&algorithm, "1.3.6.1.4.1.11591.4.11");
        ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
        ccs_der_put(&algorithm, CCS_DER_OCTETS, "salt", 4);
        ccs_der_int(&algorithm, (int64_t)bomb.n);
        ccs_der_int(&algorithm, (int64_t)bomb.r);
        ccs_der_int(&algorithm, (int64_t)bomb.p);
        ccs_der_end(&algorithm);
        ccs_der_end(&algorithm);
        ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
        ccs_der_oid(&algorithm, "2.16.840.1.101.3.4.1.42");
        ccs_der_put(&algorithm, CCS_DER_OCTETS, "initial vector!!", 16);
        ccs_der_end(&algorithm);
        ccs_der_end(&algorithm);
        ccs_der_end(&algorithm);
        ccs_der_begin(&content, CCS_DER_SEQUENCE);
        ccs_der_int(&content, 0);
        ccs_der_begin(&content, CCS_DER_SEQUENCE);
        ccs_der_oid(&content, "1.2.840.113549.1.7.1");
        ccs_der_add(&content, &algorithm);
        ccs_der_put(&content, CCS_DER_CONTEXT, "sixteen octets!!", 16);
        ccs_der_end(&content);
        ccs_der_end(&content);
        ccs_pfxkit_part(&parts, "1.2.840.113549.1.7.6", &content);
        ccs_pfxkit_file(&file, &parts, NULL);
        refuse_at_once(&file, CCS_EROUNDS, i < 5 ? "memory" : "kdf_limit");
        ccs_der_clear(&algorithm);
        ccs_der_clear(&content);
        ccs_der_clear(&parts);
    }
}

/* Each set of parameters below the limit, their sum above 2.5 times it. */
static void test_sum(void **state)
{
    const struct ccs_pfxkit_pbe costly = {.iterations = 1000,
                                          .password = CCS_PFXKIT_PASSWORD("pw")};
    struct ccs_der bags = {0}, parts = {0}, file = {0};
    struct outcome o;

    (void)state;
    make_file(&file, &(struct making){.certs = costly, .key = costly, .mac = {.claim = 500}}, pw);
    o = load_with(file.data, file.len, "pw", CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_OK);
    ccs_pfx_free(o.pfx);
    o = load_with(file.data, file.len, "pw", CCS_PASSWORD_UNKNOWN, 999);
    assert_int_equal(o.rv, CCS_EROUNDS);
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.certs = costly, .key = costly, .mac = {.claim = 501}}, pw);
    o = load_with(file.data, file.len, "pw", CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_EROUNDS);
    assert_non_null(strstr(o.err.text, "in sum"));
    ccs_der_clear(&file);

    /* Keys that come to light only when their part is decrypted count as well. */
    ccs_pfxkit_shrouded(&bags, host()->key, &costly, NULL);
    ccs_pfxkit_shrouded(&bags, host()->other_key, &costly, NULL);
    ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    ccs_pfxkit_encrypted(&parts, &bags, &costly);
    ccs_pfxkit_file(&file, &parts, NULL);
    o = load_with(file.data, file.len, "pw", CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_EROUNDS);
    o = load_with(file.data, file.len, "pw", CCS_PASSWORD_UNKNOWN, 1200);
    assert_int_equal(o.rv, CCS_OK);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

static void test_long_salt(void **state)
{
    static const uint8_t salt[2000] = {1};
    struct ccs_der inner = {0}, file = {0}, content = {0};

    (void)state;
    ccs_der_put(&content, CCS_DER_OCTETS, "\x30\x00", 2);
    ccs_der_begin(&file, CCS_DER_SEQUENCE);
    ccs_der_int(&file, 3);
    ccs_pfxkit_part(&file, "1.2.840.113549.1.7.1", &content);
    ccs_der_begin(&file, CCS_DER_SEQUENCE);
    ccs_der_begin(&file, CCS_DER_SEQUENCE);
    ccs_der_begin(&file, CCS_DER_SEQUENCE);
    ccs_der_oid(&file, "2.16.840.1.101.3.4.2.1");
    ccs_der_end(&file);
    ccs_der_put(&file, CCS_DER_OCTETS, salt, 32);
    ccs_der_end(&file);
    ccs_der_put(&file, CCS_DER_OCTETS, salt, sizeof(salt));
    ccs_der_int(&file, 1);
    ccs_der_end(&file);
    ccs_der_end(&file);
    refuse_at_once(&file, CCS_EDAMAGED, "salt");
    ccs_der_clear(&inner);
    ccs_der_clear(&content);
}

/* Bags in bags, so many deep; the innermost holds the pair. */
static void make_nested(struct ccs_der *file, unsigned depth)
{
    struct ccs_der bags = {0}, parts = {0};
    unsigned i;

    ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    ccs_pfxkit_key(&bags, host()->key, NULL);
    for (i = 0; i < depth; i++) {
        struct ccs_der value = {0}, outer = {0};

        ccs_der_put(&value, CCS_DER_SEQUENCE, bags.data, bags.len);
        ccs_pfxkit_bag(&outer, "1.2.840.113549.1.12.10.1.6", &value, NULL);
        ccs_der_clear(&value);
        ccs_der_clear(&bags);
        bags = outer;
    }
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(file, &parts, NULL);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
}

static void test_nesting(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_nested(&file, 1);
    ccs_pfx_free(expect_host(&file, NULL, 0));
    ccs_der_clear(&file);
    make_nested(&file, CCS_BAGS_DEPTH_MAX);
    ccs_pfx_free(expect_host(&file, NULL, 0));
    ccs_der_clear(&file);
    make_nested(&file, CCS_BAGS_DEPTH_MAX + 1);
    refuse_at_once(&file, CCS_EUNSUPPORTED, "deep");
    make_nested(&file, 2000);
    refuse_at_once(&file, CCS_EUNSUPPORTED, "deep");
}

static void test_counts(void **state)
{
    struct ccs_der bags = {0}, parts = {0}, file = {0};
    struct ccs_pfx *pfx;
    X509 *cert;
    int i;

    (void)state;
    /* Copies of one certificate count as entries, and once as a certificate. */
    ccs_pfxkit_key(&bags, host()->key, NULL);
    for (i = 0; i < CCS_BAGS_MAX - 1; i++)
        ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    pfx = expect_host(&file, NULL, 0);
    assert_int_equal(pfx->warnings & CCS_PFX_UNUSED_CERT, 0);
    ccs_pfx_free(pfx);
    ccs_der_clear(&file);
    ccs_der_clear(&parts);
    ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    refuse_at_once(&file, CCS_ETOOBIG, "256 entries");
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);

    for (i = 0; i <= CCS_BAGS_CERTS_MAX; i++) {
        cert = ccs_certkit_make(&(struct ccs_certkit){.subject = "x", .key = host()->other_key});
        ccs_pfxkit_cert(&bags, cert, NULL);
        X509_free(cert);
    }
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    refuse_at_once(&file, CCS_ETOOBIG, "64 different certificates");
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);

    for (i = 0; i <= CCS_BAGS_KEYS_MAX; i++)
        ccs_pfxkit_key(&bags, host()->key, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    refuse_at_once(&file, CCS_ETOOBIG, "16 keys");
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
}

static void test_pairs(void **state)
{
    struct ccs_der bags = {0}, parts = {0}, file = {0};
    struct outcome o;
    int i;

    (void)state;
    for (i = 0; i <= CCS_PAIRS_MAX; i++) {
        EVP_PKEY *key = ccs_certkit_key("P-256");
        X509 *cert = ccs_certkit_make(&(struct ccs_certkit){.subject = "x", .key = key});

        if (i == CCS_PAIRS_MAX) {
            ccs_pfxkit_data(&parts, &bags);
            ccs_pfxkit_file(&file, &parts, NULL);
            o = load(&file, NULL);
            assert_int_equal(o.rv, CCS_OK);
            assert_int_equal(o.pfx->pair_count, CCS_PAIRS_MAX);
            ccs_pfx_free(o.pfx);
            ccs_der_clear(&file);
            ccs_der_clear(&parts);
        }
        ccs_pfxkit_cert(&bags, cert, NULL);
        ccs_pfxkit_key(&bags, key, NULL);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    expect_refusal(&file, NULL, CCS_ETOOBIG, "8 keys with certificates");
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

static void test_size(void **state)
{
    uint8_t *big = calloc(1, CCS_PKCS12_SIZE_MAX + 1);
    struct outcome o;

    (void)state;
    assert_non_null(big);
    o = load_with(big, CCS_PKCS12_SIZE_MAX + 1, NULL, CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_ETOOBIG);
    /* Says that it is larger than a file may be, whatever there is of it. */
    o = load_with("\x30\x84\x7f\xff\xff\xff\x02\x01\x03", 9, NULL, CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_ETOOBIG);
    free(big);
}

/* A megabyte of the smallest bags and of nested headers: linear, not worse. */
static void test_stuffed(void **state)
{
    struct ccs_der bags = {0}, parts = {0}, file = {0};
    uint8_t *open = malloc(CCS_PKCS12_SIZE_MAX);
    struct outcome o;
    size_t i;

    (void)state;
    assert_non_null(open);
    for (i = 0; i < 60000; i++)
        ccs_der_raw(&bags, "\x30\x07\x06\x01\x2a\xa0\x02\x05\x00", 9);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    expect_refusal(&file, NULL, CCS_ETOOBIG, "entries");
    for (i = 0; i < CCS_PKCS12_SIZE_MAX; i++)
        open[i] = i % 2 ? 0x80 : 0x30;
    o = load_with(open, CCS_PKCS12_SIZE_MAX, NULL, CCS_PASSWORD_UNKNOWN, 1000);
    assert_int_equal(o.rv, CCS_EDAMAGED);
    free(open);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),  cmocka_unit_test(test_scrypt_bombs),
        cmocka_unit_test(test_sum),     cmocka_unit_test(test_long_salt),
        cmocka_unit_test(test_nesting), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_pairs),   cmocka_unit_test(test_size),
        cmocka_unit_test(test_stuffed),
    };

    return cmocka_run_group_tests(tests, warm_up, host_free);
}
