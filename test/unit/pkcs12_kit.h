/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PKCS12_KIT_H
#define CCS_PKCS12_KIT_H

/* What the tests of the PKCS#12 rooms share: one host's certificates, and what decoding must give.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "certkit.h"
#include "pfxkit.h"
#include "pkcs12.h"

/* root -> inter -> leaf with key, and a stranger. Made once per program. */
struct host {
    EVP_PKEY *root_key, *inter_key, *key, *other_key;
    X509 *root, *inter, *leaf, *stranger;
};

static inline struct host *host(void)
{
    static struct host h;

    if (h.leaf)
        return &h;
    h.root_key = ccs_certkit_key("P-256");
    h.inter_key = ccs_certkit_key("P-256");
    h.key = ccs_certkit_key("P-256");
    h.other_key = ccs_certkit_key("P-256");
    h.root = ccs_certkit_make(&(struct ccs_certkit){.subject = "root", .key = h.root_key, .ca = 1});
    h.inter = ccs_certkit_make(&(struct ccs_certkit){.subject = "inter",
                                                     .key = h.inter_key,
                                                     .issuer = "root",
                                                     .issuer_key = h.root_key,
                                                     .ca = 1});
    h.leaf = ccs_certkit_make(&(struct ccs_certkit){
        .subject = "leaf", .key = h.key, .issuer = "inter", .issuer_key = h.inter_key});
    h.stranger = ccs_certkit_make(&(struct ccs_certkit){.subject = "stranger", .key = h.other_key});
    return &h;
}

/* What the program's setup has made, for the leak checker. */
static inline int host_free(void **state)
{
    struct host *h = host();

    (void)state;
    EVP_PKEY_free(h->root_key);
    EVP_PKEY_free(h->inter_key);
    EVP_PKEY_free(h->key);
    EVP_PKEY_free(h->other_key);
    X509_free(h->root);
    X509_free(h->inter);
    X509_free(h->leaf);
    X509_free(h->stranger);
    memset(h, 0, sizeof(*h));
    return 0;
}

struct outcome {
    int rv;
    struct ccs_pfx *pfx;
    struct ccs_error err;
};

/* Decodes with a password file's text (NULL: none) and a hint; checks what holds for any outcome.
 */
static inline struct outcome load_with(const void *data, size_t len, const char *passwords,
                                       int hint, uint64_t limit)
{
    struct outcome o = {0};
    struct ccs_passwords *list = NULL;
    struct ccs_pfx_params params = {NULL, hint, limit};
    /* A copy of exactly this size, so that a read beyond the end is seen. */
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    if (len)
        memcpy(copy, data, len);
    if (passwords)
        assert_int_equal(ccs_passwords_parse(passwords, strlen(passwords), &list, NULL), CCS_OK);
    params.passwords = list;
    o.rv = ccs_pkcs12_decode(copy, len, &params, &o.pfx, &o.err);
    assert_int_equal(ERR_peek_error(), 0);
    if (o.rv == CCS_OK) {
        assert_non_null(o.pfx);
        assert_in_range(o.pfx->pair_count, 1, CCS_PAIRS_MAX);
    } else {
        assert_null(o.pfx);
        assert_int_equal(o.err.code, o.rv);
        assert_true(strlen(o.err.text) > 20);
    }
    ccs_passwords_unref(list);
    free(copy);
    return o;
}

static inline struct outcome load(const struct ccs_der *file, const char *passwords)
{
    return load_with(file->data, file->len, passwords, CCS_PASSWORD_UNKNOWN, 2000000);
}

static inline void check_cert(const struct ccs_blob *blob, X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);

    assert_int_equal(blob->len, len);
    assert_memory_equal(blob->data, der, blob->len);
    OPENSSL_free(der);
}

static inline void check_key(const struct ccs_blob *blob, EVP_PKEY *key)
{
    const unsigned char *p = blob->data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)blob->len);
    EVP_PKEY *got;

    assert_non_null(info);
    assert_ptr_equal(p, blob->data + blob->len);
    assert_int_equal(PKCS8_pkey_get0_attrs(info) ? 1 : 0, 0);
    got = EVP_PKCS82PKEY(info);
    assert_non_null(got);
    assert_int_equal(EVP_PKEY_eq(got, key), 1);
    EVP_PKEY_free(got);
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* Loads, and expects the host's leaf and key, with its intermediate or without. */
static inline struct ccs_pfx *expect_host(const struct ccs_der *file, const char *passwords,
                                          size_t chain)
{
    struct outcome o = load(file, passwords);

    if (o.rv != CCS_OK)
        fail_msg("%s: %s", ccs_code_name(o.rv), o.err.text);
    check_cert(&o.pfx->pairs[0].leaf, host()->leaf);
    check_key(&o.pfx->pairs[0].key, host()->key);
    assert_int_equal(o.pfx->pairs[0].chain_len, chain);
    if (chain > 0)
        check_cert(&o.pfx->pairs[0].chain[0], host()->inter);
    return o.pfx;
}

/* Loads, and expects this code with this in its sentence. */
static inline void expect_refusal(const struct ccs_der *file, const char *passwords, int code,
                                  const char *needle)
{
    struct outcome o = load(file, passwords);

    ccs_pfx_free(o.pfx);
    if (o.rv != code || !strstr(o.err.text, needle))
        fail_msg("expected %s with \"%s\", got %s: %s", ccs_code_name(code), needle,
                 ccs_code_name(o.rv), o.err.text);
}

/* How to make the host's file; zero-initialised: AES-256 for both, MAC SHA-256, password "pw". */
struct making {
    struct ccs_pfxkit_pbe certs, key;
    struct ccs_pfxkit_mac mac;
    int plain_certs, plain_key, no_mac, no_inter;
};

static inline void make_file(struct ccs_der *out, const struct making *how,
                             struct ccs_pfxkit_password password)
{
    struct ccs_der certs = {0}, keys = {0}, parts = {0};
    struct making m = *how;

    if (!m.certs.password.len)
        m.certs.password = password;
    if (!m.key.password.len)
        m.key.password = password;
    if (!m.mac.password.len)
        m.mac.password = password;
    ccs_pfxkit_cert(&certs, host()->leaf, "1");
    if (!m.no_inter)
        ccs_pfxkit_cert(&certs, host()->inter, NULL);
    if (m.plain_key)
        ccs_pfxkit_key(&keys, host()->key, "1");
    else
        ccs_pfxkit_shrouded(&keys, host()->key, &m.key, "1");
    if (m.plain_certs)
        ccs_pfxkit_data(&parts, &certs);
    else
        ccs_pfxkit_encrypted(&parts, &certs, &m.certs);
    ccs_pfxkit_data(&parts, &keys);
    ccs_pfxkit_file(out, &parts, m.no_mac ? NULL : &m.mac);
    ccs_der_clear(&certs);
    ccs_der_clear(&keys);
    ccs_der_clear(&parts);
}

#endif
