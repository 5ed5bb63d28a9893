/* SPDX-License-Identifier: Apache-2.0 */
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "tmp.h"

#define RSA_POOL 3

static void need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("%s: %s", what, reason);
    }
}

static EVP_PKEY *rsa_from_pool(void)
{
    static EVP_PKEY *pool[RSA_POOL];
    static unsigned turn;
    unsigned slot = turn++ % RSA_POOL;

    if (pool[slot] == NULL) {
        pool[slot] = EVP_RSA_gen(2048);
        need(pool[slot] != NULL, "RSA key");
    }
    EVP_PKEY_up_ref(pool[slot]);
    return pool[slot];
}

EVP_PKEY *ccs_pki_key_new(enum ccs_pki_key kind)
{
    EVP_PKEY *key = NULL;

    switch (kind) {
    case CCS_PKI_RSA:
        return rsa_from_pool();
    case CCS_PKI_P256:
        key = EVP_EC_gen("P-256");
        break;
    case CCS_PKI_P384:
        key = EVP_EC_gen("P-384");
        break;
    case CCS_PKI_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    }
    need(key != NULL, "key");
    return key;
}

void ccs_pki_fingerprint(const X509 *cert, char out[65])
{
    unsigned char digest[32];
    unsigned len = sizeof(digest), i;

    need(X509_digest(cert, EVP_sha256(), digest, &len) && len == sizeof(digest), "digest");
    for (i = 0; i < len; i++) {
        snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
    }
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *ext;
    X509V3_CTX ctx;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    need(ext != NULL && X509_add_ext(cert, ext, -1), value);
    X509_EXTENSION_free(ext);
}

/* A certificate with everything but extensions and signature. issuer NULL: its own. */
static X509 *cert_new(const char *cn, EVP_PKEY *key, const X509 *issuer, long from, long to)
{
    unsigned char serial[16];
    X509 *cert = X509_new();
    X509_NAME *name;
    BIGNUM *bn;

    need(cert != NULL && RAND_bytes(serial, sizeof(serial)) == 1, "serial number");
    serial[0] &= 0x7f;
    bn = BN_bin2bn(serial, sizeof(serial), NULL);
    need(bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL, "serial");
    BN_free(bn);
    name = X509_get_subject_name(cert);
    need(X509_set_version(cert, X509_VERSION_3) && X509_set_pubkey(cert, key) &&
             X509_gmtime_adj(X509_getm_notBefore(cert), from) != NULL &&
             X509_gmtime_adj(X509_getm_notAfter(cert), to) != NULL &&
             X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
                                        -1, 0) &&
             X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : name),
         "certificate");
    return cert;
}

static X509 *authority_new(const char *cn, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = cert_new(cn, key, issuer, -86400, 3650L * 86400);

    add_extension(cert, issuer != NULL ? issuer : cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, issuer != NULL ? issuer : cert, NID_key_usage, "critical,keyCertSign");
    add_extension(cert, issuer != NULL ? issuer : cert, NID_subject_key_identifier, "hash");
    need(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "signature");
    return cert;
}

struct ccs_pki_ca *ccs_pki_ca_new(void)
{
    struct ccs_pki_ca *ca = calloc(1, sizeof(*ca));

    assert_non_null(ca);
    ca->root_key = ccs_pki_key_new(CCS_PKI_P256);
    ca->intermediate_key = ccs_pki_key_new(CCS_PKI_P256);
    ca->root = authority_new("ccs test root", ca->root_key, NULL, ca->root_key);
    ca->intermediate = authority_new("ccs test intermediate", ca->intermediate_key, ca->root,
                                     ca->root_key);
    return ca;
}

void ccs_pki_ca_free(struct ccs_pki_ca *ca)
{
    if (ca == NULL) {
        return;
    }
    X509_free(ca->root);
    X509_free(ca->intermediate);
    EVP_PKEY_free(ca->root_key);
    EVP_PKEY_free(ca->intermediate_key);
    free(ca);
}

/* "a,b" -> "DNS:a,DNS:b"; the first also goes to cn, as far as it fits a common name. */
static void name_list(const char *names, char *san, size_t size, char cn[65])
{
    size_t used = 0, len;
    const char *p = names;
    int n;

    snprintf(cn, 65, "%.*s", (int)strcspn(names, ","), names);
    while (*p != '\0') {
        len = strcspn(p, ",");
        n = snprintf(san + used, size - used, "%s%s%.*s", used > 0 ? "," : "",
                     memchr(p, ':', len) != NULL ? "" : "DNS:", (int)len, p);
        if (n < 0 || (size_t)n >= size - used) {
            fail_msg("too many names: %s", names);
        }
        used += (size_t)n;
        p += len + (p[len] == ',');
    }
}

void ccs_pki_issue(const struct ccs_pki_ca *ca, const struct ccs_pki_spec *spec,
                   struct ccs_pki_leaf *out)
{
    int usual = spec->not_before == 0 && spec->not_after == 0;
    char san[4096], cn[65];

    name_list(spec->names, san, sizeof(san), cn);
    memset(out, 0, sizeof(*out));
    out->key = ccs_pki_key_new(spec->key);
    out->chain = sk_X509_new_null();
    assert_non_null(out->chain);
    out->cert = cert_new(cn, out->key, ca->intermediate, usual ? -3600 : spec->not_before,
                         usual ? 30L * 86400 : spec->not_after);
    add_extension(out->cert, ca->intermediate, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(out->cert, ca->intermediate, NID_key_usage, "critical,digitalSignature");
    add_extension(out->cert, ca->intermediate, NID_ext_key_usage, "serverAuth,clientAuth");
    add_extension(out->cert, ca->intermediate, NID_authority_key_identifier, "keyid");
    add_extension(out->cert, ca->intermediate, NID_subject_alt_name, san);
    need(X509_sign(out->cert, ca->intermediate_key, EVP_sha256()) > 0, "signature");
    if (!spec->no_chain) {
        X509_up_ref(ca->intermediate);
        need(sk_X509_push(out->chain, ca->intermediate) > 0, "chain");
    }
    ccs_pki_fingerprint(out->cert, out->fingerprint);
}

void ccs_pki_leaf_clear(struct ccs_pki_leaf *leaf)
{
    X509_free(leaf->cert);
    EVP_PKEY_free(leaf->key);
    sk_X509_pop_free(leaf->chain, X509_free);
    memset(leaf, 0, sizeof(*leaf));
}

void ccs_pki_put(const struct ccs_pki_ca *ca, const char *names, const char *dir, const char *file,
                 char fingerprint[65])
{
    struct ccs_pki_spec spec = {.names = names};
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, NULL, dir, file);
    if (fingerprint != NULL) {
        memcpy(fingerprint, leaf.fingerprint, sizeof(leaf.fingerprint));
    }
    ccs_pki_leaf_clear(&leaf);
}

static void write_bio(BIO *bio, const char *dir, const char *file)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    need(len > 0, "PEM");
    ccs_tmp_replace(dir, file, data, (size_t)len);
    BIO_free(bio);
}

void ccs_pki_pem_cert(X509 *cert, const char *dir, const char *file)
{
    BIO *bio = BIO_new(BIO_s_mem());

    need(bio != NULL && PEM_write_bio_X509(bio, cert), "certificate as PEM");
    write_bio(bio, dir, file);
}

void ccs_pki_pem_file(const struct ccs_pki_leaf *leaf, const char *dir, const char *cert_file,
                      const char *key_file)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int i;

    need(bio != NULL && PEM_write_bio_X509(bio, leaf->cert), "certificate as PEM");
    for (i = 0; i < sk_X509_num(leaf->chain); i++) {
        need(PEM_write_bio_X509(bio, sk_X509_value(leaf->chain, i)), "chain as PEM");
    }
    write_bio(bio, dir, cert_file);
    bio = BIO_new(BIO_s_mem());
    need(bio != NULL && PEM_write_bio_PrivateKey(bio, leaf->key, NULL, NULL, 0, NULL, NULL),
         "key as PEM");
    write_bio(bio, dir, key_file);
}
