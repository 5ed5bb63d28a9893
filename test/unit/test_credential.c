/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "credential.h"
#include "decode.h"
#include "issuers.h"

/* -- an OpenSSL with other habits -- */

/* What EVP_PKEY_fromdata() does; this definition goes before libcrypto's. */
static _Thread_local enum { AS_EVER, FAILS, NEW_OBJECT } fromdata_habit;

int EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **ppkey, int selection, OSSL_PARAM param[])
{
    int (*real)(EVP_PKEY_CTX *, EVP_PKEY **, int, OSSL_PARAM *);
    void *symbol = dlsym(RTLD_NEXT, "EVP_PKEY_fromdata");

    memcpy(&real, &symbol, sizeof(real));
    if (fromdata_habit == FAILS)
        return 0;
    if (fromdata_habit == NEW_OBJECT)
        *ppkey = NULL;
    return real(ctx, ppkey, selection, param);
}

/* -- certificates -- */

#define DAY 86400L

static EVP_PKEY *ca_key;
static X509 *ca, *intermediate;

static X509 *issue(EVP_PKEY *key, const char *cn, const char *san, long from, long to, int is_ca)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    X509V3_CTX v3;
    X509_EXTENSION *ext;

    assert_true(X509_set_version(x, X509_VERSION_3));
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    if (cn)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : name);
    X509_NAME_free(name);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    assert_true(X509_set_pubkey(x, key));
    X509V3_set_ctx(&v3, ca ? ca : x, x, NULL, NULL, 0);
    if (is_ca) {
        ext = X509V3_EXT_conf_nid(NULL, &v3, NID_basic_constraints, "critical,CA:TRUE");
        X509_add_ext(x, ext, -1);
        X509_EXTENSION_free(ext);
    }
    if (san) {
        ext = X509V3_EXT_conf_nid(NULL, &v3, NID_subject_alt_name, san);
        assert_non_null(ext);
        X509_add_ext(x, ext, -1);
        X509_EXTENSION_free(ext);
    }
    assert_true(X509_sign(x, ca_key, EVP_sha256()) > 0);
    return x;
}

enum key_kind { RSA2048, PSS, PSS384, P256, P384, P521, ED25519, ED448, KEY_X25519, KEY_KINDS };

static const struct {
    const char *name;
    int type;
    int joined;
} kinds[KEY_KINDS] = {
    [RSA2048] = {"RSA", EVP_PKEY_RSA, 1},
    [PSS] = {"RSA-PSS", EVP_PKEY_RSA_PSS, 0},
    [PSS384] = {"RSA-PSS with SHA-384", EVP_PKEY_RSA_PSS, 0},
    [P256] = {"P-256", EVP_PKEY_EC, 1},
    [P384] = {"P-384", EVP_PKEY_EC, 1},
    [P521] = {"P-521", EVP_PKEY_EC, 1},
    [ED25519] = {"Ed25519", EVP_PKEY_ED25519, 0},
    [ED448] = {"Ed448", EVP_PKEY_ED448, 0},
    [KEY_X25519] = {"X25519", EVP_PKEY_X25519, 0},
};

static EVP_PKEY *generate(enum key_kind kind)
{
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;

    switch (kind) {
    case RSA2048:
        return EVP_RSA_gen(2048);
    case P256:
        return EVP_EC_gen("P-256");
    case P384:
        return EVP_EC_gen("P-384");
    case P521:
        return EVP_EC_gen("P-521");
    case PSS:
    case PSS384:
        ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
        EVP_PKEY_keygen_init(ctx);
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048);
        if (kind == PSS384) {
            EVP_PKEY_CTX_set_rsa_pss_keygen_md(ctx, EVP_sha384());
            EVP_PKEY_CTX_set_rsa_pss_keygen_mgf1_md(ctx, EVP_sha384());
            EVP_PKEY_CTX_set_rsa_pss_keygen_saltlen(ctx, 48);
        }
        EVP_PKEY_generate(ctx, &key);
        EVP_PKEY_CTX_free(ctx);
        return key;
    case ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case ED448:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    case KEY_X25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    case KEY_KINDS:
        break;
    }
    return NULL;
}

/* Two keys of each kind, made once: RSA keys are slow. */
static EVP_PKEY *keys[KEY_KINDS][2];

static EVP_PKEY *key_of(enum key_kind kind, int which)
{
    if (!keys[kind][which])
        keys[kind][which] = generate(kind);
    assert_non_null(keys[kind][which]);
    return keys[kind][which];
}

static int group_setup(void **state)
{
    EVP_PKEY *key;

    (void)state;
    ca_key = EVP_EC_gen("P-256");
    ca = issue(ca_key, "Test root", NULL, -DAY, 100 * DAY, 1);
    key = EVP_EC_gen("P-256");
    intermediate = issue(key, "Test intermediate", NULL, -DAY, 100 * DAY, 1);
    /* Leaves come from the intermediate. */
    X509_up_ref(intermediate);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    ca = intermediate;
    ca_key = key;
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < KEY_KINDS; i++) {
        EVP_PKEY_free(keys[i][0]);
        EVP_PKEY_free(keys[i][1]);
    }
    X509_free(ca);
    X509_free(intermediate);
    EVP_PKEY_free(ca_key);
    return 0;
}

/* -- files, as the decoder would hand them over -- */

static struct ccs_blob x509_der(X509 *x)
{
    struct ccs_blob b = {0};
    int len = i2d_X509(x, &b.data);

    assert_true(len > 0);
    b.len = (size_t)len;
    return b;
}

static struct ccs_blob key_der(EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    struct ccs_blob b = {0};
    int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &b.data);

    assert_true(len > 0);
    PKCS8_PRIV_KEY_INFO_free(p8);
    b.len = (size_t)len;
    return b;
}

/* Adds a pair; x is consumed. */
static void pfx_add(struct ccs_pfx *pfx, X509 *x, EVP_PKEY *key, int with_chain)
{
    struct ccs_pair *pair = &pfx->pairs[pfx->pair_count++];

    pair->leaf = x509_der(x);
    pair->key = key_der(key);
    if (with_chain)
        pair->chain[pair->chain_len++] = x509_der(intermediate);
    X509_free(x);
}

static void pfx_clear(struct ccs_pfx *pfx)
{
    for (size_t i = 0; i < pfx->pair_count; i++) {
        OPENSSL_free(pfx->pairs[i].leaf.data);
        OPENSSL_free(pfx->pairs[i].key.data);
        for (size_t k = 0; k < pfx->pairs[i].chain_len; k++)
            OPENSSL_free(pfx->pairs[i].chain[k].data);
    }
    *pfx = (struct ccs_pfx){0};
}

/* What reading a file leaves behind: the last pair's leaf and key as objects. */
static void pfx_decode(struct ccs_pfx *pfx)
{
    struct ccs_pair *pair = &pfx->pairs[pfx->pair_count - 1];
    const unsigned char *p = pair->key.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)pair->key.len);

    pair->key_object = ccs_decode_key(&pair->key, info);
    assert_non_null(pair->key_object);
    assert_int_equal(ccs_decode_certificate(pair->leaf.data, pair->leaf.len, &pair->leaf_object),
                     CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static X509 *leaf_for(EVP_PKEY *key)
{
    return issue(key, "www.example.com", "DNS:www.example.com", -DAY, 30 * DAY, 0);
}

/* One pair in one part. */
static struct ccs_part *part_of(X509 *x, EVP_PKEY *key, enum ccs_file_kind kind)
{
    struct ccs_pfx pfx = {0};
    struct ccs_part *part = NULL;
    struct ccs_error e = {.text = ""};

    pfx_add(&pfx, x, key, 1);
    if (ccs_part_new(&pfx, &part, &e) != CCS_OK)
        fail_msg("%s", e.text);
    part->kind = kind;
    (void)snprintf(part->file, sizeof(part->file), "www.example.com%s.pfx",
                   kind == CCS_FILE_RSA     ? ".rsa"
                   : kind == CCS_FILE_ECDSA ? ".ecdsa"
                                            : "");
    pfx_clear(&pfx);
    return part;
}

static void assert_refused(const struct ccs_pfx *pfx, int code, const char *text)
{
    struct ccs_part *untouched = (struct ccs_part *)(uintptr_t)pfx, *part = untouched;
    struct ccs_error e = {.text = ""};

    assert_int_equal(ccs_part_new(pfx, &part, &e), code);
    assert_ptr_equal(part, untouched);
    assert_int_equal(e.code, code);
    if (!strstr(e.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, e.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(ccs_part_new(pfx, &part, NULL), code);
    assert_int_equal(ERR_peek_error(), 0);
}

/* The same with what is decoded already. */
static void assert_taking_refused(struct ccs_pfx *pfx, int code, const char *text)
{
    struct ccs_error e = {.text = ""};
    struct ccs_part *part = NULL;

    assert_int_equal(ccs_part_take(pfx, &part, &e), code);
    assert_null(part);
    assert_null(pfx->pairs[0].leaf_object);
    assert_null(pfx->pairs[0].key_object);
    if (!strstr(e.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, e.text);
    assert_int_equal(ERR_peek_error(), 0);
}

/* -- a handshake in memory; 1 if the client trusts what it got -- */

static int handshake(const struct ccs_key_pair *pair, int version)
{
    SSL_CTX *sctx = SSL_CTX_new(TLS_server_method()), *cctx = SSL_CTX_new(TLS_client_method());
    SSL *server = SSL_new(sctx), *client;
    BIO *a = NULL, *b = NULL;
    X509 *peer;
    int ok = 0, done = 0;

    /* The intermediate is trusted itself, so that no root is needed here. */
    X509_STORE_add_cert(SSL_CTX_get_cert_store(cctx), intermediate);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(cctx), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(cctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(cctx, version);
    SSL_CTX_set_max_proto_version(cctx, version);
    client = SSL_new(cctx);
    SSL_set1_host(client, "www.example.com");
    BIO_new_bio_pair(&a, 0, &b, 0);
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (SSL_use_cert_and_key(server, pair->leaf, pair->key, pair->chain, 1) == 1) {
        for (int i = 0; i < 20 && !done; i++) {
            int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

            done = c == 1 && s == 1;
        }
    }
    peer = SSL_get0_peer_certificate(client);
    ok = done && peer && X509_cmp(peer, pair->leaf) == 0 &&
         SSL_get_verify_result(client) == X509_V_OK && SSL_version(server) == version &&
         sk_X509_num(SSL_get_peer_cert_chain(client)) == 1 + (pair->chain ? 1 : 0);
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(sctx);
    SSL_CTX_free(cctx);
    ERR_clear_error();
    return ok;
}

static void hex_digest(const struct ccs_blob *b, char out[65])
{
    unsigned char md[32];

    assert_true(EVP_Digest(b->data, b->len, md, NULL, EVP_sha256(), NULL));
    for (size_t i = 0; i < sizeof(md); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", md[i]);
}

/* -- tests -- */

static void check_pair(const struct ccs_key_pair *pair, const struct ccs_blob *leaf, EVP_PKEY *key,
                       int type, int joined)
{
    unsigned char *again = NULL;
    struct ccs_blob mine, theirs;
    char want[65];
    int64_t now = (int64_t)time(NULL);

    assert_int_equal(i2d_X509(pair->leaf, &again), (int)leaf->len);
    assert_memory_equal(again, leaf->data, leaf->len);
    OPENSSL_free(again);
    hex_digest(leaf, want);
    assert_string_equal(pair->fingerprint, want);
    assert_int_equal(pair->key_type, type);
    assert_true(pair->not_before <= now - DAY && pair->not_before > now - DAY - 600);
    assert_true(pair->not_after <= now + 30 * DAY && pair->not_after > now + 30 * DAY - 600);

    assert_int_equal(X509_get0_pubkey(pair->leaf) == pair->key, joined);
    assert_int_equal(X509_check_private_key(pair->leaf, pair->key), 1);
    assert_int_equal(X509_verify(pair->leaf, ca_key), 1);
    /* The key is the one of the file, and lives in the default context. */
    mine = key_der(pair->key);
    theirs = key_der(key);
    assert_int_equal(mine.len, theirs.len);
    assert_memory_equal(mine.data, theirs.data, theirs.len);
    OPENSSL_free(mine.data);
    OPENSSL_free(theirs.data);
    assert_ptr_equal(EVP_PKEY_get0_provider(pair->key), EVP_PKEY_get0_provider(key));

    assert_true(handshake(pair, TLS1_2_VERSION));
    assert_true(handshake(pair, TLS1_3_VERSION));
}

static void every_key_type_serves(void **state)
{
    (void)state;
    for (int kind = 0; kind < KEY_X25519; kind++) {
        EVP_PKEY *key = key_of((enum key_kind)kind, 0);
        struct ccs_pfx pfx = {.legacy = CCS_LEGACY_RC4, .warnings = CCS_PFX_NO_MAC, .password = 3};
        struct ccs_part *part = NULL;
        struct ccs_error e = {.text = ""};

        pfx_add(&pfx, leaf_for(key), key, kind % 2);
        if (ccs_part_new(&pfx, &part, &e) != CCS_OK)
            fail_msg("%s: %s", kinds[kind].name, e.text);
        assert_int_equal(ERR_peek_error(), 0);
        assert_int_equal(part->pair_count, 1);
        assert_int_equal(part->legacy, CCS_LEGACY_RC4);
        assert_int_equal(part->warnings, CCS_PFX_NO_MAC);
        assert_int_equal(part->password, 3);
        check_pair(&part->pairs[0], &pfx.pairs[0].leaf, key, kinds[kind].type, kinds[kind].joined);
        pfx_clear(&pfx);
        ccs_part_unref(part);
    }
}

/* Once; whoever comes later starts from the octets. */
static void what_is_decoded_is_used(void **state)
{
    (void)state;
    for (int kind = 0; kind < KEY_X25519; kind++) {
        EVP_PKEY *key = key_of((enum key_kind)kind, 0);
        struct ccs_part *first = NULL, *second = NULL;
        struct ccs_pfx pfx = {0};
        const X509 *object;

        pfx_add(&pfx, leaf_for(key), key, 1);
        pfx_decode(&pfx);
        object = pfx.pairs[0].leaf_object;
        assert_int_equal(ccs_part_take(&pfx, &first, NULL), CCS_OK);
        assert_int_equal(ERR_peek_error(), 0);
        assert_null(pfx.pairs[0].leaf_object);
        assert_null(pfx.pairs[0].key_object);
        if (kinds[kind].joined)
            assert_ptr_equal(first->pairs[0].leaf, object);
        assert_int_equal(ccs_part_take(&pfx, &second, NULL), CCS_OK);
        assert_ptr_not_equal(first->pairs[0].leaf, second->pairs[0].leaf);
        assert_ptr_not_equal(first->pairs[0].key, second->pairs[0].key);
        check_pair(&first->pairs[0], &pfx.pairs[0].leaf, key, kinds[kind].type, kinds[kind].joined);
        ccs_part_unref(first);
        check_pair(&second->pairs[0], &pfx.pairs[0].leaf, key, kinds[kind].type,
                   kinds[kind].joined);
        ccs_part_unref(second);
        pfx_clear(&pfx);
    }
}

static void several_pairs_in_one_file(void **state)
{
    struct ccs_pfx pfx = {0};
    struct ccs_part *part = NULL;
    static const enum key_kind order[] = {RSA2048, P256, ED25519, P384};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(order); i++)
        pfx_add(&pfx, leaf_for(key_of(order[i], 0)), key_of(order[i], 0), 1);
    assert_int_equal(ccs_part_new(&pfx, &part, NULL), CCS_OK);
    assert_int_equal(part->pair_count, CCS_ARRAY_LEN(order));
    for (size_t i = 0; i < CCS_ARRAY_LEN(order); i++)
        check_pair(&part->pairs[i], &pfx.pairs[i].leaf, key_of(order[i], 0), kinds[order[i]].type,
                   kinds[order[i]].joined);
    ccs_part_unref(part);

    /* One bad pair refuses the file, wherever it is. */
    pfx.pairs[3].key.data[0] ^= 0xff;
    assert_refused(&pfx, CCS_EDAMAGED, "private key does not decode");
    pfx_clear(&pfx);

    assert_refused(&pfx, CCS_EINVAL, "pairs");
    pfx.pair_count = CCS_PAIRS_MAX + 1;
    assert_refused(&pfx, CCS_EINVAL, "pairs");
}

static void strangers_are_refused(void **state)
{
    static const struct {
        enum key_kind leaf, key;
        int which;
    } cases[] = {
        {RSA2048, RSA2048, 1}, {P256, P256, 1},     {ED25519, ED25519, 1}, {PSS, PSS, 1},
        {P256, P384, 0},       {P256, RSA2048, 0},  {RSA2048, P256, 0},    {RSA2048, PSS, 0},
        {ED25519, P256, 0},    {ED25519, ED448, 0},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_pfx pfx = {0};

        pfx_add(&pfx, leaf_for(key_of(cases[i].leaf, 0)), key_of(cases[i].key, cases[i].which), 0);
        assert_refused(&pfx, CCS_EMISMATCH, "do not belong together");
        pfx_decode(&pfx);
        assert_taking_refused(&pfx, CCS_EMISMATCH, "do not belong together");
        pfx_clear(&pfx);
    }
}

/* The public half of one key with the private half of another. */
static EVP_PKEY *graft(enum key_kind kind)
{
    static const char *const rsa_public[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E};
    static const char *const ec_public[] = {OSSL_PKEY_PARAM_PUB_KEY};
    const char *const *names = kind == RSA2048 ? rsa_public : ec_public;
    size_t count = kind == RSA2048 ? 2 : 1;
    OSSL_PARAM *from[2] = {NULL, NULL};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind == RSA2048 ? "RSA" : "EC", NULL);
    EVP_PKEY *key = NULL;

    for (int i = 0; i < 2; i++)
        assert_int_equal(EVP_PKEY_todata(key_of(kind, i), EVP_PKEY_KEYPAIR, &from[i]), 1);
    for (size_t i = 0; i < count; i++) {
        OSSL_PARAM *to = OSSL_PARAM_locate(from[1], names[i]);
        const OSSL_PARAM *p = OSSL_PARAM_locate_const(from[0], names[i]);

        assert_true(to && p && to->data_size == p->data_size);
        memcpy(to->data, p->data, p->data_size);
    }
    EVP_PKEY_fromdata_init(ctx);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, from[1]), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(from[0]);
    OSSL_PARAM_free(from[1]);
    return key;
}

static void unsound_keys_are_refused(void **state)
{
    static const enum key_kind tried[] = {P256, RSA2048};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(tried); i++) {
        EVP_PKEY *key = graft(tried[i]);
        struct ccs_pfx pfx = {0};
        struct ccs_part *part;

        pfx_add(&pfx, leaf_for(key_of(tried[i], 0)), key, 0);
        assert_refused(&pfx, CCS_EMISMATCH, "signatures do not verify");
        pfx_decode(&pfx);
        assert_taking_refused(&pfx, CCS_EMISMATCH, "signatures do not verify");
        pfx_clear(&pfx);
        EVP_PKEY_free(key);

        /* The bad key is to blame, not the way in which good ones are made. */
        part = part_of(leaf_for(key_of(tried[i], 0)), key_of(tried[i], 0), CCS_FILE_ANY);
        assert_ptr_equal(X509_get0_pubkey(part->pairs[0].leaf), part->pairs[0].key);
        ccs_part_unref(part);
    }
}

static void keys_that_cannot_sign_are_refused(void **state)
{
    EVP_PKEY *key = key_of(KEY_X25519, 0);
    struct ccs_pfx pfx = {0};

    (void)state;
    pfx_add(&pfx, leaf_for(key), key, 0);
    assert_refused(&pfx, CCS_EKEYUSE, "cannot sign");
    pfx_clear(&pfx);
}

static void damage_is_refused(void **state)
{
    EVP_PKEY *key = key_of(P256, 0);
    struct ccs_pfx pfx = {0};
    struct ccs_pair *pair = &pfx.pairs[0];
    struct ccs_blob *blobs[3];

    (void)state;
    pfx_add(&pfx, leaf_for(key), key, 1);
    blobs[0] = &pair->leaf;
    blobs[1] = &pair->key;
    blobs[2] = &pair->chain[0];
    for (size_t i = 0; i < CCS_ARRAY_LEN(blobs); i++) {
        struct ccs_blob *b = blobs[i], good = *b;
        uint8_t *longer = OPENSSL_zalloc(good.len + 1);

        b->len = good.len - 1;
        assert_refused(&pfx, CCS_EDAMAGED, "decode");
        b->len = 0;
        assert_refused(&pfx, CCS_EDAMAGED, "decode");
        *b = good;
        memcpy(longer, good.data, good.len);
        b->data = longer;
        b->len++;
        assert_refused(&pfx, CCS_EDAMAGED, i == 1 ? "decode" : "followed by other data");
        b->len--;
        longer[1] ^= 0x55;
        assert_refused(&pfx, CCS_EDAMAGED, "decode");
        OPENSSL_free(longer);
        *b = good;
    }
    pfx_clear(&pfx);
    assert_int_equal(ccs_issuers_count(), 0);
}

static void names_that_are_covered(void **state)
{
    static const struct {
        const char *cn, *san, *stem;
        int covered;
        const char *text; /* of the error */
    } cases[] = {
        {"x", "DNS:www.example.com", "www.example.com", 1, NULL},
        {"x", "DNS:WWW.Example.com", "www.example.com", 1, NULL},
        {"x", "DNS:*.example.com", "www.example.com", 1, NULL},
        {"x", "DNS:*.example.com", "_.example.com", 1, NULL},
        {"x", "DNS:*.example.com", "xn--bcher-kva.example.com", 1, NULL},
        {"x", "DNS:a.example,DNS:www.example.com", "www.example.com", 1, NULL},
        {"www.example.com", NULL, "www.example.com", 1, NULL},
        {"*.example.com", NULL, "_.example.com", 1, NULL},
        {"x", "DNS:*.example.com", "a.b.example.com", 0, "a.b.example.com, only *.example.com"},
        {"x", "DNS:*.example.com", "example.com", 0, "example.com, only *.example.com"},
        {"x", "DNS:www.example.com", "_.example.com", 0, "*.example.com, only www.example.com"},
        {"x", "DNS:w*.example.com", "www.example.com", 0, "only w*.example.com"},
        {"x", "DNS:*.*.example.com", "a.b.example.com", 0, "only *.*.example.com"},
        {"www.example.com", "DNS:other.example", "www.example.com", 0, "only other.example"},
        {"www.example.com", "email:a@example.com", "www.example.com", 0, "no host name at all"},
        {"www.example.com", "IP:192.0.2.1", "www.example.com", 0, "no host name at all"},
        {"other.example", NULL, "www.example.com", 0, "only other.example"},
        {NULL, NULL, "www.example.com", 0, "no host name at all"},
        {"x", "DNS:a.example,DNS:b.example,DNS:c.example,DNS:d.example", "w.example", 0,
         "w.example, only a.example, b.example, c.example, d.example"},
        {"x", "DNS:a.example,DNS:b.example,DNS:c.example,DNS:d.example,DNS:e.example,DNS:f.example",
         "w.example", 0, "only a.example, b.example, c.example, d.example and 2 more"},
        {"evil\x1b[2J", NULL, "www.example.com", 0, "only evil\\x1b[2J"},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        EVP_PKEY *key = key_of(P256, 0);
        struct ccs_part *part = part_of(issue(key, cases[i].cn, cases[i].san, -DAY, DAY, 0), key,
                                        CCS_FILE_ANY);
        struct ccs_error e = {.text = ""};

        if (ccs_part_covers(part, cases[i].stem, &e) != cases[i].covered)
            fail_msg("%s", cases[i].stem);
        assert_int_equal(ccs_part_covers(part, cases[i].stem, NULL), cases[i].covered);
        assert_int_equal(ERR_peek_error(), 0);
        if (cases[i].covered) {
            assert_string_equal(e.text, "");
        } else {
            size_t n = strlen(e.text), want = strlen(cases[i].text);

            assert_int_equal(e.code, CCS_ENAMEMISMATCH);
            if (n < want || strcmp(e.text + n - want, cases[i].text) != 0)
                fail_msg("\"%s\" does not end in \"%s\"", e.text, cases[i].text);
        }
        ccs_part_unref(part);
    }
}

static void every_leaf_must_cover(void **state)
{
    struct ccs_pfx pfx = {0};
    struct ccs_part *part = NULL;
    struct ccs_error e;
    char san[5000] = "DNS:a.example";

    (void)state;
    pfx_add(&pfx, leaf_for(key_of(P256, 0)), key_of(P256, 0), 0);
    pfx_add(&pfx, issue(key_of(RSA2048, 0), "x", "DNS:b.example", -DAY, DAY, 0), key_of(RSA2048, 0),
            0);
    assert_int_equal(ccs_part_new(&pfx, &part, &e), CCS_OK);
    assert_int_equal(ccs_part_covers(part, "www.example.com", &e), 0);
    assert_non_null(strstr(e.text, "only b.example"));
    ccs_part_unref(part);
    pfx_clear(&pfx);

    /* Twenty more names, nearly of the greatest length. */
    for (int i = 0; i < 20; i++) {
        char name[240];

        memset(name, 'x', sizeof(name) - 1);
        for (size_t k = 60; k < sizeof(name) - 1; k += 61)
            name[k] = '.';
        memcpy(name, ",DNS:", 5);
        name[sizeof(name) - 1] = '\0';
        strcat(san, name);
    }
    part = part_of(issue(key_of(P256, 0), "x", san, -DAY, DAY, 0), key_of(P256, 0), CCS_FILE_ANY);
    assert_int_equal(ccs_part_covers(part, "www.example.com", &e), 0);
    assert_non_null(strstr(e.text, "only a.example, xxx"));
    assert_non_null(strstr(e.text, "... and 17 more"));
    ccs_part_unref(part);
}

static void the_best_pair_of_each_type_is_served(void **state)
{
    struct spec {
        enum key_kind key;
        enum ccs_file_kind kind;
        long from, to; /* days from now; both 0: no such part */
    };
    static const struct {
        struct spec parts[4];
        int want[4]; /* indexes of the parts of the pairs in order, -1 at the end */
    } cases[] = {
        {{{P256, CCS_FILE_ANY, -1, 30}}, {0, -1}},
        /* The newer of two valid ones, wherever it is. */
        {{{P256, CCS_FILE_ANY, -9, 30}, {P256, CCS_FILE_ECDSA, -3, 30}}, {1, -1}},
        {{{P256, CCS_FILE_ANY, -3, 30}, {P256, CCS_FILE_ECDSA, -9, 30}}, {0, -1}},
        /* A valid one before a newer that is not. */
        {{{P256, CCS_FILE_ANY, -9, 30}, {P256, CCS_FILE_ECDSA, 3, 30}}, {0, -1}},
        {{{P256, CCS_FILE_ANY, -3, -1}, {P256, CCS_FILE_ECDSA, -9, 30}}, {1, -1}},
        {{{P256, CCS_FILE_ANY, -9, -3}, {P256, CCS_FILE_ECDSA, -5, -2}}, {1, -1}},
        /* One curve is as good as another: OpenSSL has one place for them. */
        {{{P384, CCS_FILE_ANY, -9, 30}, {P256, CCS_FILE_ECDSA, -3, 30}}, {1, -1}},
        /* The file without a key type in its name is the main one, else EC. */
        {{{RSA2048, CCS_FILE_ANY, -9, 30}, {P256, CCS_FILE_ECDSA, -3, 30}}, {0, 1, -1}},
        {{{P256, CCS_FILE_ECDSA, -9, 30}, {RSA2048, CCS_FILE_ANY, -3, 30}}, {1, 0, -1}},
        {{{RSA2048, CCS_FILE_RSA, -9, 30}, {P256, CCS_FILE_ECDSA, -3, 30}}, {1, 0, -1}},
        {{{ED25519, CCS_FILE_RSA, -9, 30}, {RSA2048, CCS_FILE_RSA, -3, 30}}, {1, 0, -1}},
        {{{ED25519, CCS_FILE_ANY, -9, 30},
          {RSA2048, CCS_FILE_RSA, -3, 30},
          {P256, CCS_FILE_ECDSA, -3, 30}},
         {0, 1, 2, -1}},
        /* Its pair was outdone by a newer one: then it is not the main one. */
        {{{RSA2048, CCS_FILE_ANY, -9, 30},
          {RSA2048, CCS_FILE_RSA, -3, 30},
          {P256, CCS_FILE_ECDSA, -3, 30}},
         {2, 1, -1}},
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_part *parts[4];
        struct ccs_cred *cred;
        size_t count = 0, n = 0;

        for (; count < 4 && cases[i].parts[count].to != 0; count++) {
            const struct spec *s = &cases[i].parts[count];
            EVP_PKEY *key = key_of(s->key, 0);

            parts[count] = part_of(issue(key, "x", NULL, s->from * DAY, s->to * DAY, 0), key,
                                   s->kind);
        }
        cred = ccs_cred_new("www.example.com", parts, count);
        assert_non_null(cred);
        assert_string_equal(cred->stem, "www.example.com");
        assert_int_equal(cred->part_count, count);
        for (; cases[i].want[n] >= 0; n++) {
            assert_true(n < cred->pair_count);
            if (cred->pairs[n] != &parts[cases[i].want[n]]->pairs[0])
                fail_msg("case %zu, pair %zu", i, n);
        }
        assert_int_equal(cred->pair_count, n);
        assert_ptr_equal(cred->main_part, parts[cases[i].want[0]]);
        assert_string_equal(ccs_cred_file(cred), cred->main_part->file);
        assert_string_equal(ccs_cred_fingerprint(cred), cred->pairs[0]->fingerprint);
        assert_true(ccs_cred_not_before(cred) == cred->pairs[0]->not_before);
        assert_true(ccs_cred_not_after(cred) == cred->pairs[0]->not_after);
        assert_ptr_equal(ccs_cred_ref(cred), cred);
        ccs_cred_unref(cred);
        ccs_cred_unref(cred);
    }
    assert_int_equal(ccs_issuers_count(), 0);
}

static void credentials_without_parts(void **state)
{
    struct ccs_part *part = part_of(leaf_for(key_of(P256, 0)), key_of(P256, 0), CCS_FILE_ANY);
    struct ccs_part *parts[CCS_FILE_KINDS * 2 + 1];
    struct ccs_cred *cred;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(parts); i++)
        parts[i] = part;
    /* What it does not take it leaves to the caller. */
    assert_null(ccs_cred_new("x.example", parts, 0));
    assert_null(ccs_cred_new("x.example", parts, CCS_ARRAY_LEN(parts)));
    for (size_t i = 1; i < CCS_ARRAY_LEN(parts) - 1; i++)
        ccs_part_ref(part);
    cred = ccs_cred_new("x.example", parts, CCS_ARRAY_LEN(parts) - 1);
    assert_int_equal(cred->pair_count, 1);
    ccs_cred_unref(cred);
    ccs_cred_unref(NULL);
    assert_null(ccs_cred_ref(NULL));
    ccs_part_unref(NULL);
}

static void intermediates_are_held_once(void **state)
{
    struct ccs_part *a = part_of(leaf_for(key_of(P256, 0)), key_of(P256, 0), CCS_FILE_ANY);
    struct ccs_part *b = part_of(leaf_for(key_of(P384, 0)), key_of(P384, 0), CCS_FILE_ANY);

    (void)state;
    assert_int_equal(ccs_issuers_count(), 1);
    assert_int_equal(ccs_issuers_chain_count(), 1);
    assert_ptr_equal(a->pairs[0].chain, b->pairs[0].chain);
    ccs_part_unref(a);
    assert_int_equal(ccs_issuers_count(), 1);
    assert_int_equal(ccs_issuers_chain_count(), 1);
    assert_int_equal(X509_cmp(sk_X509_value(b->pairs[0].chain, 0), intermediate), 0);
    ccs_part_unref(b);
    assert_int_equal(ccs_issuers_count(), 0);
    assert_int_equal(ccs_issuers_chain_count(), 0);
    ccs_issuers_release(NULL);
    ccs_issuers_release_chain(NULL);
}

/* A shared chain of these. */
static STACK_OF(X509) *chain_of(const struct ccs_blob *first, const struct ccs_blob *second)
{
    const struct ccs_blob *all[] = {first, second};
    STACK_OF(X509) *chain = sk_X509_new_null();

    for (int i = 0; i < 2 && all[i] != NULL; i++) {
        X509 *x;

        assert_int_equal(ccs_issuers_get(all[i]->data, all[i]->len, &x, NULL), CCS_OK);
        assert_true(sk_X509_push(chain, x) > 0);
    }
    return ccs_issuers_share_chain(chain);
}

/* Only what is the same in the same order is one chain. */
static void chains_are_told_apart(void **state)
{
    struct ccs_blob one = x509_der(intermediate), two = x509_der(intermediate);
    STACK_OF(X509) *chains[6];

    (void)state;
    two.data[two.len - 1] ^= 1;
    for (int i = 0; i < 2; i++) {
        chains[3 * i] = chain_of(&one, NULL);
        chains[3 * i + 1] = chain_of(&one, &two);
        chains[3 * i + 2] = chain_of(&two, &one);
    }
    assert_int_equal(ccs_issuers_chain_count(), 3);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(chains[i], chains[i + 3]);
        assert_ptr_not_equal(chains[i], chains[(i + 1) % 3]);
        assert_int_equal(sk_X509_num(chains[i]), i == 0 ? 1 : 2);
    }
    for (int i = 0; i < 6; i++)
        ccs_issuers_release_chain(chains[i]);
    assert_int_equal(ccs_issuers_chain_count(), 0);
    assert_int_equal(ccs_issuers_count(), 0);
    OPENSSL_free(one.data);
    OPENSSL_free(two.data);
}

static void the_table_of_intermediates_is_bounded(void **state)
{
    static X509 *held[CCS_ISSUERS_MAX + 20];
    static STACK_OF(X509) *chains[CCS_ISSUERS_MAX + 20];
    struct ccs_blob der = x509_der(intermediate);
    X509 *twice = NULL;

    (void)state;
    /* Another validity is another certificate; that its signature is wrong is nobody's concern. */
    for (size_t i = 0; i < CCS_ARRAY_LEN(held); i++) {
        uint8_t *last = der.data + der.len - 2;

        last[0] = (uint8_t)(i >> 8);
        last[1] = (uint8_t)i;
        assert_int_equal(ccs_issuers_get(der.data, der.len, &held[i], NULL), CCS_OK);
        chains[i] = chain_of(&der, NULL);
    }
    assert_int_equal(ccs_issuers_count(), CCS_ISSUERS_MAX);
    assert_int_equal(ccs_issuers_chain_count(), CCS_ISSUERS_MAX);
    assert_int_equal(ccs_issuers_get(der.data, der.len, &twice, NULL), CCS_OK);
    assert_ptr_not_equal(twice, held[CCS_ARRAY_LEN(held) - 1]);
    ccs_issuers_release(twice);
    /* Odd ones first, so that lists lose members in their middle. */
    for (size_t i = 1; i < CCS_ARRAY_LEN(held); i += 2)
        ccs_issuers_release(held[i]);
    for (size_t i = 0; i < CCS_ARRAY_LEN(held); i += 2)
        ccs_issuers_release(held[i]);
    for (size_t i = 1; i < CCS_ARRAY_LEN(chains); i += 2)
        ccs_issuers_release_chain(chains[i]);
    for (size_t i = 0; i < CCS_ARRAY_LEN(chains); i += 2)
        ccs_issuers_release_chain(chains[i]);
    assert_int_equal(ccs_issuers_chain_count(), 0);
    assert_int_equal(ccs_issuers_count(), 0);
    OPENSSL_free(der.data);
}

/* -- threads -- */

#define THREADS 4

struct job {
    const struct ccs_pfx *pfx;
    struct ccs_cred *shared;
    int failed;
};

static void *load_and_serve(void *arg)
{
    struct job *job = arg;

    for (int i = 0; i < 12; i++) {
        struct ccs_part *part = NULL;
        struct ccs_cred *cred;

        if (ccs_part_new(&job->pfx[i % 3], &part, NULL) != CCS_OK) {
            job->failed++;
            continue;
        }
        cred = ccs_cred_new("www.example.com", &part, 1);
        job->failed += !cred || !handshake(cred->pairs[0], TLS1_3_VERSION);
        job->failed += !handshake(ccs_cred_ref(job->shared)->pairs[i % 3], TLS1_2_VERSION);
        job->failed += ERR_peek_error() != 0;
        ccs_cred_unref(job->shared);
        ccs_cred_unref(cred);
    }
    ccs_cred_unref(job->shared);
    return NULL;
}

static void many_threads(void **state)
{
    static const enum key_kind used[] = {P256, RSA2048, ED25519};
    struct ccs_pfx pfx[3] = {{0}}, all = {0};
    struct ccs_part *part = NULL;
    struct ccs_cred *shared;
    struct job jobs[THREADS];
    pthread_t t[THREADS];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(used); i++) {
        EVP_PKEY *key = key_of(used[i], 0);

        pfx_add(&pfx[i], leaf_for(key), key, 1);
        pfx_add(&all, leaf_for(key), key, 1);
    }
    assert_int_equal(ccs_part_new(&all, &part, NULL), CCS_OK);
    shared = ccs_cred_new("www.example.com", &part, 1);
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.pfx = pfx, .shared = ccs_cred_ref(shared)};
        assert_int_equal(pthread_create(&t[i], NULL, load_and_serve, &jobs[i]), 0);
    }
    ccs_cred_unref(shared);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(jobs[i].failed, 0);
    }
    for (size_t i = 0; i < CCS_ARRAY_LEN(pfx); i++)
        pfx_clear(&pfx[i]);
    pfx_clear(&all);
    assert_int_equal(ccs_issuers_count(), 0);
}

/* -- when leaf and key cannot be one object; the last tests, since what they end stays ended -- */

static void a_failed_join_concerns_one_pair(void **state)
{
    static const enum key_kind used[] = {P256, RSA2048};

    (void)state;
    for (int joined = 0; joined < 2; joined++) {
        for (size_t i = 0; i < CCS_ARRAY_LEN(used); i++) {
            EVP_PKEY *key = key_of(used[i], 0);
            struct ccs_pfx pfx = {0};
            struct ccs_part *part = NULL;

            pfx_add(&pfx, leaf_for(key), key, 1);
            pfx_decode(&pfx);
            fromdata_habit = joined ? AS_EVER : FAILS;
            assert_int_equal(ccs_part_take(&pfx, &part, NULL), CCS_OK);
            fromdata_habit = AS_EVER;
            assert_int_equal(ERR_peek_error(), 0);
            check_pair(&part->pairs[0], &pfx.pairs[0].leaf, key, kinds[used[i]].type, joined);
            ccs_part_unref(part);
            pfx_clear(&pfx);
        }
    }
}

static void another_habit_ends_joining(void **state)
{
    static const enum key_kind used[] = {P256, RSA2048, P384};

    (void)state;
    fromdata_habit = NEW_OBJECT;
    for (size_t i = 0; i < CCS_ARRAY_LEN(used); i++) {
        EVP_PKEY *key = key_of(used[i], 0);
        struct ccs_pfx pfx = {0};
        struct ccs_part *part = NULL;

        pfx_add(&pfx, leaf_for(key), key, 1);
        assert_int_equal(ccs_part_new(&pfx, &part, NULL), CCS_OK);
        fromdata_habit = AS_EVER;
        check_pair(&part->pairs[0], &pfx.pairs[0].leaf, key, kinds[used[i]].type, 0);
        ccs_part_unref(part);
        pfx_clear(&pfx);

        pfx_add(&pfx, leaf_for(key), key_of(used[i], 1), 1);
        assert_refused(&pfx, CCS_EMISMATCH, "do not belong together");
        pfx_clear(&pfx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_type_serves),
        cmocka_unit_test(what_is_decoded_is_used),
        cmocka_unit_test(several_pairs_in_one_file),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(unsound_keys_are_refused),
        cmocka_unit_test(keys_that_cannot_sign_are_refused),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(names_that_are_covered),
        cmocka_unit_test(every_leaf_must_cover),
        cmocka_unit_test(the_best_pair_of_each_type_is_served),
        cmocka_unit_test(credentials_without_parts),
        cmocka_unit_test(intermediates_are_held_once),
        cmocka_unit_test(chains_are_told_apart),
        cmocka_unit_test(the_table_of_intermediates_is_bounded),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(a_failed_join_concerns_one_pair),
        cmocka_unit_test(another_habit_ends_joining),
    };

    return cmocka_run_group_tests_name("credential", tests, group_setup, group_teardown);
}
