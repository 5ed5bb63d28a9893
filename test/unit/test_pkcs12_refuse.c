/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must be refused, each with its own code and a sentence that helps. */
#include "pkcs12_kit.h"

static const struct ccs_pfxkit_password pw = {"pw", 2};

/* A file of one plain part with these bags. */
static void make_plain(struct ccs_der *file, const struct ccs_der *bags)
{
    struct ccs_der parts = {0};

    ccs_pfxkit_data(&parts, bags);
    ccs_pfxkit_file(file, &parts, NULL);
    ccs_der_clear(&parts);
}

static void refuse_plain(struct ccs_der *bags, int code, const char *needle)
{
    struct ccs_der file = {0};

    make_plain(&file, bags);
    expect_refusal(&file, NULL, code, needle);
    ccs_der_clear(&file);
    ccs_der_clear(bags);
}

static void test_missing_parts(void **state)
{
    struct ccs_der bags = {0};

    (void)state;
    refuse_plain(&bags, CCS_ENOKEY, "neither");
    ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    refuse_plain(&bags, CCS_ENOKEY, "certificates only");
    ccs_pfxkit_key(&bags, host()->key, NULL);
    refuse_plain(&bags, CCS_ENOCERT, "key only");
    ccs_pfxkit_key(&bags, host()->other_key, "1");
    ccs_pfxkit_cert(&bags, host()->leaf, "1");
    refuse_plain(&bags, CCS_EMISMATCH, "do not belong together");
    ccs_pfxkit_key(&bags, host()->key, NULL);
    ccs_pfxkit_cert_octets(&bags, "\x30\x03\x02\x01\x05", 5, NULL);
    refuse_plain(&bags, CCS_EDAMAGED, "certificate does not decode");
    ccs_pfxkit_key(&bags, host()->key, NULL);
    ccs_pfxkit_cert_octets(&bags, "rubbish", 7, NULL);
    refuse_plain(&bags, CCS_EDAMAGED, "certificate does not decode");
}

static void test_unusable_keys(void **state)
{
    static const struct {
        const char *kind;
        int code;
        const char *needle;
    } rows[] = {
        {"DSA", CCS_EKEYUSE, "DSA"},   {"X25519", CCS_EKEYUSE, "X25519"},
        {"X448", CCS_EKEYUSE, "X448"}, {"RSA:512", CCS_EKEYUSE, "512 bits"},
        {"SM2", CCS_EKEYUSE, "SM2"},
    };
    struct ccs_der bags = {0}, file = {0};
    struct outcome o;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *key = ccs_certkit_key(rows[i].kind);

        ccs_pfxkit_key(&bags, key, NULL);
        ccs_pfxkit_cert(&bags, host()->leaf, NULL);
        refuse_plain(&bags, rows[i].code, rows[i].needle);
        /* Beside a good pair such a key does not matter. */
        ccs_pfxkit_key(&bags, key, NULL);
        ccs_pfxkit_key(&bags, host()->key, NULL);
        ccs_pfxkit_cert(&bags, host()->leaf, NULL);
        make_plain(&file, &bags);
        o = load(&file, NULL);
        assert_int_equal(o.rv, CCS_OK);
        assert_int_equal(o.pfx->pair_count, 1);
        assert_true(o.pfx->warnings & CCS_PFX_UNUSED_KEY);
        ccs_pfx_free(o.pfx);
        ccs_der_clear(&file);
        ccs_der_clear(&bags);
        EVP_PKEY_free(key);
    }
}

/* A key of a kind by OID alone, with these octets. */
static void put_key_info(struct ccs_der *info, int version, const char *oid, const void *octets,
                         size_t len)
{
    ccs_der_begin(info, CCS_DER_SEQUENCE);
    ccs_der_int(info, version);
    ccs_der_begin(info, CCS_DER_SEQUENCE);
    ccs_der_oid(info, oid);
    ccs_der_end(info);
    ccs_der_put(info, CCS_DER_OCTETS, octets, len);
    ccs_der_end(info);
}

static void test_strange_keys(void **state)
{
    static const uint8_t octets[34] = {0x04, 0x20};
    static const struct {
        int version;
        const char *oid;
        size_t len;
        int code;
        const char *needle;
    } rows[] = {
        {0, "1.2.643.7.1.1.1.1", 34, CCS_EUNSUPPORTED, "GOST"},
        {0, "2.16.840.1.101.3.4.4.2", 34, CCS_EUNSUPPORTED, "2.16.840.1.101.3.4.4.2"},
        {0, "1.2.840.113549.1.1.1", 34, CCS_EDAMAGED, "key does not decode"},
        {0, "1.3.101.112", 33, CCS_EDAMAGED, "key does not decode"},
        {0, "1.3.101.112", 0, CCS_EDAMAGED, "key does not decode"},
        {2, "1.3.101.112", 34, CCS_EDAMAGED, "key does not decode"},
        {-1, "1.3.101.112", 34, CCS_EDAMAGED, "key does not decode"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_der bags = {0}, info = {0};

        put_key_info(&info, rows[i].version, rows[i].oid, octets, rows[i].len);
        ccs_pfxkit_key_info(&bags, &info, NULL);
        ccs_pfxkit_cert(&bags, host()->leaf, NULL);
        refuse_plain(&bags, rows[i].code, rows[i].needle);
        ccs_der_clear(&info);
    }
}

static void test_key_password(void **state)
{
    const struct ccs_pfxkit_pbe other = {.password = CCS_PFXKIT_PASSWORD("other")};
    struct ccs_der file = {0}, bags = {0}, parts = {0};
    struct ccs_pfx *pfx;

    (void)state;
    make_file(&file, &(struct making){.key = other}, pw);
    expect_refusal(&file, "wrong\npw", CCS_EKEYPASSWORD, "another password");
    /* Known as well, it is tried. */
    pfx = expect_host(&file, "wrong\npw\nother", 1);
    assert_int_equal(pfx->password, 1);
    ccs_pfx_free(pfx);
    ccs_der_clear(&file);

    make_file(&file, &(struct making){.certs = other}, pw);
    expect_refusal(&file, "pw", CCS_EPASSWORD, "another password than its MAC");
    ccs_pfx_free(expect_host(&file, "pw\nother", 1));
    ccs_der_clear(&file);

    /* One of two keys that cannot be opened is left out. */
    ccs_pfxkit_shrouded(&bags, host()->other_key, &other, NULL);
    ccs_pfxkit_cert(&bags, host()->leaf, NULL);
    ccs_pfxkit_key(&bags, host()->key, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, &(struct ccs_pfxkit_mac){.password = pw});
    pfx = expect_host(&file, "pw", 0);
    assert_true(pfx->warnings & CCS_PFX_UNUSED_KEY);
    ccs_pfx_free(pfx);
    ccs_der_clear(&file);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
}

/* A PFX around any AuthenticatedSafe content type and content. */
static void make_outer(struct ccs_der *file, int64_t version, const char *type,
                       const struct ccs_der *content)
{
    ccs_der_begin(file, CCS_DER_SEQUENCE);
    ccs_der_int(file, version);
    ccs_pfxkit_part(file, type, content);
    ccs_der_end(file);
}

static void refuse_outer(int64_t version, const char *type, const struct ccs_der *content, int code,
                         const char *needle)
{
    struct ccs_der file = {0};

    make_outer(&file, version, type, content);
    expect_refusal(&file, NULL, code, needle);
    ccs_der_clear(&file);
}

static void test_outer(void **state)
{
    static const int64_t versions[] = {-1, 0, 1, 2, 4, INT64_MAX};
    struct ccs_der content = {0};
    size_t i;

    (void)state;
    ccs_der_put(&content, CCS_DER_OCTETS, "\x30\x00", 2);
    for (i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        refuse_outer(versions[i], "1.2.840.113549.1.7.1", &content, CCS_EUNSUPPORTED, "version");
    refuse_outer(3, "1.2.840.113549.1.7.1", NULL, CCS_EDAMAGED, "no contents");
    refuse_outer(3, "1.2.840.113549.1.7.6", NULL, CCS_EUNSUPPORTED, "kind");
    refuse_outer(3, "1.2.3.4", &content, CCS_EUNSUPPORTED, "kind");
    refuse_outer(3, "1.2.840.113549.1.7.1", &content, CCS_ENOKEY, "neither");
    ccs_der_clear(&content);
    ccs_der_put(&content, CCS_DER_OCTETS, "\x31\x00", 2);
    refuse_outer(3, "1.2.840.113549.1.7.1", &content, CCS_EDAMAGED, "do not decode");
    ccs_der_clear(&content);
    ccs_der_put(&content, CCS_DER_OCTETS, "", 0);
    refuse_outer(3, "1.2.840.113549.1.7.1", &content, CCS_EDAMAGED, "no contents");
    ccs_der_clear(&content);
    ccs_der_put(&content, CCS_DER_INTEGER, "\x01", 1);
    refuse_outer(3, "1.2.840.113549.1.7.1", &content, CCS_EDAMAGED, "does not decode");
    ccs_der_clear(&content);
    refuse_outer(3, "1.2.840.113549.1.7.2", NULL, CCS_EUNSUPPORTED, "signed with a key");
}

static void refuse_part(const char *type, const struct ccs_der *content, int code,
                        const char *needle)
{
    struct ccs_der parts = {0}, file = {0};

    ccs_pfxkit_part(&parts, type, content);
    ccs_pfxkit_file(&file, &parts, NULL);
    expect_refusal(&file, NULL, code, needle);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

/* EncryptedData without the encrypted octets, or without all of it. */
static void test_parts(void **state)
{
    struct ccs_der content = {0};

    (void)state;
    refuse_part("1.2.840.113549.1.7.1", NULL, CCS_ENOKEY, "neither");
    refuse_part("1.2.840.113549.1.7.6", NULL, CCS_EDAMAGED, "lacks contents");
    refuse_part("1.2.840.113549.1.7.3", NULL, CCS_ERECIPIENT, "encrypted to a certificate");
    refuse_part("1.2.840.113549.1.7.5", NULL, CCS_EUNSUPPORTED, "kind");
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_int(&content, 0);
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_oid(&content, "1.2.840.113549.1.7.1");
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_oid(&content, "1.2.840.113549.1.12.1.3");
    ccs_der_end(&content);
    ccs_der_end(&content);
    ccs_der_end(&content);
    refuse_part("1.2.840.113549.1.7.6", &content, CCS_EDAMAGED, "lacks contents");
    ccs_der_clear(&content);
    ccs_der_put(&content, CCS_DER_OCTETS, "no bags", 7);
    refuse_part("1.2.840.113549.1.7.1", &content, CCS_EDAMAGED, "does not decode");
    ccs_der_clear(&content);
}

/* Windows with -ProtectTo: the password itself lies in the file, for a directory account. */
static void test_directory_account(void **state)
{
    struct ccs_der secret = {0}, bags = {0}, certs = {0}, parts = {0}, file = {0};
    const struct ccs_pfxkit_pbe random = {.password = CCS_PFXKIT_PASSWORD("random")};

    (void)state;
    ccs_der_begin(&secret, CCS_DER_SEQUENCE);
    ccs_der_oid(&secret, "1.3.6.1.4.1.311.17.4");
    ccs_der_begin(&secret, CCS_DER_EXPLICIT);
    ccs_der_put(&secret, CCS_DER_OCTETS, "wrapped password", 16);
    ccs_der_end(&secret);
    ccs_der_end(&secret);
    ccs_pfxkit_bag(&bags, "1.2.840.113549.1.12.10.1.5", &secret, NULL);
    ccs_pfxkit_shrouded(&bags, host()->key, &random, NULL);
    ccs_pfxkit_cert(&certs, host()->leaf, NULL);
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_encrypted(&parts, &certs, &random);
    ccs_pfxkit_file(&file, &parts, &(struct ccs_pfxkit_mac){.password = random.password});
    expect_refusal(&file, "pw", CCS_ERECIPIENT, "Active Directory");
    ccs_pfx_free(expect_host(&file, "random", 0));
    ccs_der_clear(&secret);
    ccs_der_clear(&bags);
    ccs_der_clear(&certs);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

/* An encrypted part with these parameters, as whole AlgorithmIdentifier. */
static void refuse_algorithm(const struct ccs_der *algorithm, int code, const char *needle)
{
    struct ccs_der content = {0};

    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_int(&content, 0);
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_oid(&content, "1.2.840.113549.1.7.1");
    ccs_der_add(&content, algorithm);
    ccs_der_put(&content, CCS_DER_CONTEXT, "sixteen octets!!", 16);
    ccs_der_end(&content);
    ccs_der_end(&content);
    refuse_part("1.2.840.113549.1.7.6", &content, code, needle);
    ccs_der_clear(&content);
}

static void refuse_scheme(const char *oid, const void *parameters, size_t len, int code,
                          const char *needle)
{
    struct ccs_der algorithm = {0};

    ccs_der_begin(&algorithm, CCS_DER_SEQUENCE);
    ccs_der_oid(&algorithm, oid);
    ccs_der_raw(&algorithm, parameters, len);
    ccs_der_end(&algorithm);
    refuse_algorithm(&algorithm, code, needle);
    ccs_der_clear(&algorithm);
}

static void test_schemes(void **state)
{
    static const char rc2[] = "1.2.840.113549.1.12.1.6", pbes2[] = "1.2.840.113549.1.5.13";

    (void)state;
    refuse_scheme("1.2.3.4", "", 0, CCS_EUNSUPPORTED, "1.2.3.4");
    refuse_scheme("1.2.643.7.1.1.5.1", "", 0, CCS_EUNSUPPORTED, "encryption");
    refuse_scheme(rc2, "", 0, CCS_EDAMAGED, "make no sense");
    refuse_scheme(rc2, "\x05\x00", 2, CCS_EDAMAGED, "make no sense");
    refuse_scheme(rc2, "\x30\x06\x04\x01s\x02\x01\x00", 8, CCS_EDAMAGED, "make no sense");
    refuse_scheme(rc2, "\x30\x06\x04\x01s\x02\x01\xff", 8, CCS_EDAMAGED, "make no sense");
    refuse_scheme(rc2, "\x30\x0e\x04\x01s\x02\x09\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 16,
                  CCS_EDAMAGED, "make no sense");
    refuse_scheme(pbes2, "", 0, CCS_EDAMAGED, "make no sense");
    refuse_scheme(pbes2, "\x30\x00", 2, CCS_EDAMAGED, "make no sense");
}

/* PBES2 with an unknown part, of the derivation or of the cipher. */
static void test_pbes2(void **state)
{
    static const struct {
        const char *kdf, *prf, *cipher;
        int64_t iterations, key_length;
        int code;
        const char *needle;
    } rows[] = {
        {"1.2.3.4", NULL, "2.16.840.1.101.3.4.1.42", 10, 0, CCS_EUNSUPPORTED, "key derivation"},
        {"1.2.840.113549.1.5.12", "1.2.3.4", "2.16.840.1.101.3.4.1.42", 10, 0, CCS_EUNSUPPORTED,
         "pseudo-random"},
        {"1.2.840.113549.1.5.12", NULL, "1.2.3.4", 10, 0, CCS_EUNSUPPORTED, "cipher"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.46", 10, 0, CCS_EUNSUPPORTED,
         "cipher"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", 0, 0, CCS_EDAMAGED, "no sense"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", -5, 0, CCS_EDAMAGED, "no sense"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", 10, 65, CCS_EDAMAGED,
         "no sense"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", 10, -1, CCS_EDAMAGED,
         "no sense"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", 10, INT64_MAX, CCS_EDAMAGED,
         "no sense"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", 10, 16, CCS_EPASSWORD,
         "password"},
        {"1.2.840.113549.1.5.12", NULL, "2.16.840.1.101.3.4.1.42", INT64_MAX, 0, CCS_EROUNDS,
         "kdf_limit"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ccs_der a = {0};

        ccs_der_begin(&a, CCS_DER_SEQUENCE);
        ccs_der_oid(&a, "1.2.840.113549.1.5.13");
        ccs_der_begin(&a, CCS_DER_SEQUENCE);
        ccs_der_begin(&a, CCS_DER_SEQUENCE);
        ccs_der_oid(&a, rows[i].kdf);
        ccs_der_begin(&a, CCS_DER_SEQUENCE);
        ccs_der_put(&a, CCS_DER_OCTETS, "salty salt", 10);
        ccs_der_int(&a, rows[i].iterations);
        if (rows[i].key_length)
            ccs_der_int(&a, rows[i].key_length);
        if (rows[i].prf) {
            ccs_der_begin(&a, CCS_DER_SEQUENCE);
            ccs_der_oid(&a, rows[i].prf);
            ccs_der_end(&a);
        }
        ccs_der_end(&a);
        ccs_der_end(&a);
        ccs_der_begin(&a, CCS_DER_SEQUENCE);
        ccs_der_oid(&a, rows[i].cipher);
        ccs_der_put(&a, CCS_DER_OCTETS, "initial vector!!", 16);
        ccs_der_end(&a);
        ccs_der_end(&a);
        ccs_der_end(&a);
        refuse_algorithm(&a, rows[i].code, rows[i].needle);
        ccs_der_clear(&a);
    }
}

/* PBMAC1 as RFC 9579 appendix A shows it gone wrong, and with lengths that are out of bounds. */
static void test_bad_pbmac1(void **state)
{
    static const int64_t lengths[] = {-1, 1, 8, 19, 65, 1000, INT32_MAX, -20};
    struct ccs_der file = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        make_file(&file, &(struct making){.mac = {.pbmac1 = 1, .fake = 1, .key_len = lengths[i]}},
                  pw);
        expect_refusal(&file, "pw", CCS_EDAMAGED, i < 4 ? "key length" : "");
        ccs_der_clear(&file);
    }
    /* Parameters that were not those of the MAC: the value does not fit. */
    make_file(&file, &(struct making){.mac = {.pbmac1 = 1, .fake = 1}}, pw);
    expect_refusal(&file, "pw", CCS_EDAMAGED, "does not fit its MAC");
    expect_refusal(&file, "wrong", CCS_EPASSWORD, "none of the 1 passwords");
    ccs_der_clear(&file);
}

static void test_bad_mac(void **state)
{
    struct ccs_der file = {0};

    (void)state;
    make_file(&file, &(struct making){.mac = {.fake = 1}}, pw);
    expect_refusal(&file, "pw", CCS_EDAMAGED, "the password is right");
    expect_refusal(&file, "a\nb", CCS_EPASSWORD, "none of the 2 passwords");
    expect_refusal(&file, NULL, CCS_EPASSWORD, "none is configured");
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.mac = {.fake = 1}, .plain_certs = 1}, pw);
    expect_refusal(&file, "pw", CCS_EDAMAGED, "the password is right");
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.mac = {.fake = 1}, .plain_certs = 1, .plain_key = 1}, pw);
    expect_refusal(&file, "pw", CCS_EPASSWORD, "or the file is damaged");
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.mac = {.claim = -7, .fake = 1}}, pw);
    expect_refusal(&file, "pw", CCS_EDAMAGED, "iteration");
    ccs_der_clear(&file);
    make_file(&file, &(struct making){.mac = {.digest = NID_shake256, .fake = 1}}, pw);
    expect_refusal(&file, "pw", CCS_EUNSUPPORTED, "");
    ccs_der_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_parts),
        cmocka_unit_test(test_unusable_keys),
        cmocka_unit_test(test_strange_keys),
        cmocka_unit_test(test_key_password),
        cmocka_unit_test(test_outer),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_directory_account),
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_pbes2),
        cmocka_unit_test(test_bad_pbmac1),
        cmocka_unit_test(test_bad_mac),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
