/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing of a key or a password stays behind in memory that decoding gives back, whether it
 * succeeds or fails. What OpenSSL 3.0 does inside is another matter: its key decoder leaves the
 * bare key, and its PKCS#12 key derivation the password in UTF-16, in buffers that nobody else can
 * reach. So the key here carries a mark, in an attribute, that is dropped before that decoder sees
 * it, and what is looked for is both in one block, and the password in UTF-8.
 */
#include "pkcs12_kit.h"

#include <malloc.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>

static const char mark[] = "mark of a key that has attributes";
static const char secret[] = "A long password, easy to find";
static uint8_t scalar[32];
static int watching, keys_left, passwords_left, frees;

static int holds(const void *p, size_t len, const void *what, size_t what_len)
{
    return memmem(p, len, what, what_len) != NULL;
}

static void look(const void *p, size_t len)
{
    if (!watching || !p)
        return;
    frees++;
    keys_left += holds(p, len, mark, sizeof(mark) - 1) && holds(p, len, scalar, sizeof(scalar));
    passwords_left += holds(p, len, secret, sizeof(secret) - 1);
}

static void *hook_malloc(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(len);
}

static void hook_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    look(p, malloc_usable_size(p));
    free(p);
}

static void *hook_realloc(void *p, size_t len, const char *file, int line)
{
    size_t old = malloc_usable_size(p);
    void *moved = malloc(len);

    if (moved && p) {
        memcpy(moved, p, old < len ? old : len);
        hook_free(p, file, line);
    }
    return moved;
}

/* PrivateKeyInfo of the host's key with the mark in an attribute. */
static void put_marked(struct ccs_der *out)
{
    struct ccs_der plain = {0};
    size_t header = 3; /* 30 81 xx */

    ccs_pfxkit_info(&plain, host()->key);
    assert_int_equal(plain.data[1], 0x81);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_raw(out, plain.data + header, plain.len - header);
    ccs_der_begin(out, CCS_DER_EXPLICIT);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, "1.2.3.4");
    ccs_der_begin(out, CCS_DER_SET);
    ccs_der_put(out, CCS_DER_UTF8, mark, sizeof(mark) - 1);
    ccs_der_end(out);
    ccs_der_end(out);
    ccs_der_end(out);
    ccs_der_end(out);
    ccs_der_clear(&plain);
}

enum where { PLAIN, SHROUDED, INSIDE };

static void run(enum where where, X509 *cert, struct ccs_pfxkit_mac *mac, const char *password,
                int code)
{
    const struct ccs_pfxkit_pbe pbe = {.password = {secret, (int)sizeof(secret) - 1},
                                       .nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC};
    struct ccs_der info = {0}, bags = {0}, parts = {0}, file = {0};
    struct outcome o;

    put_marked(&info);
    if (where == SHROUDED)
        ccs_pfxkit_shrouded_info(&bags, &info, &pbe, "1");
    else
        ccs_pfxkit_key_info(&bags, &info, "1");
    if (cert)
        ccs_pfxkit_cert(&bags, cert, "1");
    if (where == INSIDE)
        ccs_pfxkit_encrypted(&parts, &bags, &pbe);
    else
        ccs_pfxkit_data(&parts, &bags);
    if (mac) {
        mac->password.text = secret;
        mac->password.len = (int)sizeof(secret) - 1;
    }
    ccs_pfxkit_file(&file, &parts, mac);
    frees = keys_left = passwords_left = 0;
    watching = 1;
    o = load(&file, password);
    watching = 0;
    assert_int_equal(o.rv, code);
    assert_true(frees > 20);
    assert_int_equal(keys_left, 0);
    assert_int_equal(passwords_left, 0);
    ccs_pfx_free(o.pfx);
    ccs_der_clear(&info);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

static void test_success(void **state)
{
    (void)state;
    run(PLAIN, host()->leaf, NULL, NULL, CCS_OK);
    run(SHROUDED, host()->leaf, NULL, secret, CCS_OK);
    run(INSIDE, host()->leaf, NULL, secret, CCS_OK);
    run(INSIDE, host()->leaf, &(struct ccs_pfxkit_mac){0}, secret, CCS_OK);
    run(SHROUDED, host()->leaf, &(struct ccs_pfxkit_mac){.pbmac1 = 1}, secret, CCS_OK);
}

static void test_failure(void **state)
{
    (void)state;
    run(PLAIN, NULL, NULL, NULL, CCS_ENOCERT);
    run(PLAIN, host()->stranger, NULL, NULL, CCS_EMISMATCH);
    run(INSIDE, host()->stranger, NULL, secret, CCS_EMISMATCH);
    run(SHROUDED, NULL, &(struct ccs_pfxkit_mac){0}, secret, CCS_ENOCERT);
    run(INSIDE, host()->leaf, &(struct ccs_pfxkit_mac){.fake = 1}, secret, CCS_EDAMAGED);
    run(SHROUDED, host()->leaf, &(struct ccs_pfxkit_mac){.fake = 1}, secret, CCS_EDAMAGED);
    run(PLAIN, host()->leaf, &(struct ccs_pfxkit_mac){.fake = 1}, secret, CCS_EPASSWORD);
    run(PLAIN, host()->leaf, &(struct ccs_pfxkit_mac){.claim = INT32_MAX, .fake = 1}, secret,
        CCS_EROUNDS);
}

/* The test itself: blocks that are given back as they are do get noticed. */
static void test_watch(void **state)
{
    char *block = OPENSSL_malloc(200);

    (void)state;
    assert_non_null(block);
    memset(block, 0, 200);
    memcpy(block + 10, mark, sizeof(mark));
    memcpy(block + 60, scalar, sizeof(scalar));
    memcpy(block + 100, secret, sizeof(secret));
    keys_left = passwords_left = 0;
    watching = 1;
    OPENSSL_free(block);
    watching = 0;
    assert_int_equal(keys_left, 1);
    assert_int_equal(passwords_left, 1);
}

static int setup(void **state)
{
    BIGNUM *bn = NULL;

    (void)state;
    assert_int_equal(EVP_PKEY_get_bn_param(host()->key, OSSL_PKEY_PARAM_PRIV_KEY, &bn), 1);
    assert_int_equal(BN_bn2binpad(bn, scalar, sizeof(scalar)), sizeof(scalar));
    BN_clear_free(bn);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_success),
        cmocka_unit_test(test_failure),
    };

    /* Only before OpenSSL has taken its first block. */
    if (CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, setup, host_free);
}
