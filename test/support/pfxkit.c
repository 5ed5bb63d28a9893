/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>

#include "pfxkit.h"

static void need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("PFX kit, %s: %s", what, reason);
    }
}

OSSL_LIB_CTX *ccs_pfxkit_ctx(void)
{
    static OSSL_PROVIDER *standard, *legacy;
    static OSSL_LIB_CTX *ctx;

    if (!ctx) {
        ctx = OSSL_LIB_CTX_new();
        need(ctx != NULL, "library context");
        standard = OSSL_PROVIDER_load(ctx, "default");
        legacy = OSSL_PROVIDER_load(ctx, "legacy");
        need(standard && legacy, "providers");
    }
    return ctx;
}

void ccs_pfxkit_id(struct ccs_der *out, const char *id)
{
    if (!id)
        return;
    ccs_der_begin(out, CCS_DER_SET);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, "1.2.840.113549.1.9.21");
    ccs_der_begin(out, CCS_DER_SET);
    ccs_der_put(out, CCS_DER_OCTETS, id, strlen(id));
    ccs_der_end(out);
    ccs_der_end(out);
    ccs_der_end(out);
}

void ccs_pfxkit_bag(struct ccs_der *out, const char *type, const struct ccs_der *value,
                    const struct ccs_der *attributes)
{
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, type);
    ccs_der_begin(out, CCS_DER_EXPLICIT);
    ccs_der_add(out, value);
    ccs_der_end(out);
    if (attributes)
        ccs_der_add(out, attributes);
    ccs_der_end(out);
}

static void bag_with_id(struct ccs_der *out, const char *type, const struct ccs_der *value,
                        const char *id)
{
    struct ccs_der attributes = {0};

    ccs_pfxkit_id(&attributes, id);
    ccs_pfxkit_bag(out, type, value, &attributes);
    ccs_der_clear(&attributes);
}

void ccs_pfxkit_cert_octets(struct ccs_der *out, const void *der, size_t len, const char *id)
{
    struct ccs_der value = {0};

    ccs_der_begin(&value, CCS_DER_SEQUENCE);
    ccs_der_oid(&value, "1.2.840.113549.1.9.22.1");
    ccs_der_begin(&value, CCS_DER_EXPLICIT);
    ccs_der_put(&value, CCS_DER_OCTETS, der, len);
    ccs_der_end(&value);
    ccs_der_end(&value);
    bag_with_id(out, "1.2.840.113549.1.12.10.1.3", &value, id);
    ccs_der_clear(&value);
}

void ccs_pfxkit_cert(struct ccs_der *out, X509 *cert, const char *id)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);

    need(len > 0, "certificate");
    ccs_pfxkit_cert_octets(out, der, (size_t)len, id);
    OPENSSL_free(der);
}

void ccs_pfxkit_info(struct ccs_der *out, EVP_PKEY *key)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;

    need(len > 0, "key");
    ccs_der_raw(out, der, (size_t)len);
    OPENSSL_clear_free(der, (size_t)len);
    PKCS8_PRIV_KEY_INFO_free(info);
}

void ccs_pfxkit_key_info(struct ccs_der *out, const struct ccs_der *info, const char *id)
{
    bag_with_id(out, "1.2.840.113549.1.12.10.1.1", info, id);
}

void ccs_pfxkit_key(struct ccs_der *out, EVP_PKEY *key, const char *id)
{
    struct ccs_der info = {0};

    ccs_pfxkit_info(&info, key);
    ccs_pfxkit_key_info(out, &info, id);
    ccs_der_clear(&info);
}

void ccs_pfxkit_shrouded_info(struct ccs_der *out, const struct ccs_der *info,
                              const struct ccs_pfxkit_pbe *pbe, const char *id)
{
    struct ccs_der algorithm = {0}, octets = {0}, value = {0};

    ccs_pfxkit_encrypt(&algorithm, &octets, pbe, info);
    ccs_der_begin(&value, CCS_DER_SEQUENCE);
    ccs_der_add(&value, &algorithm);
    ccs_der_put(&value, CCS_DER_OCTETS, octets.data, octets.len);
    ccs_der_end(&value);
    bag_with_id(out, "1.2.840.113549.1.12.10.1.2", &value, id);
    ccs_der_clear(&algorithm);
    ccs_der_clear(&octets);
    ccs_der_clear(&value);
}

void ccs_pfxkit_shrouded(struct ccs_der *out, EVP_PKEY *key, const struct ccs_pfxkit_pbe *pbe,
                         const char *id)
{
    struct ccs_der info = {0};

    ccs_pfxkit_info(&info, key);
    ccs_pfxkit_shrouded_info(out, &info, pbe, id);
    ccs_der_clear(&info);
}

static int is_scheme(int nid)
{
    int type, found;
    size_t i;

    for (i = 0; EVP_PBE_get(&type, &found, i); i++)
        if (type == EVP_PBE_TYPE_OUTER && found == nid)
            return 1;
    return 0;
}

static X509_ALGOR *make_algorithm(const struct ccs_pfxkit_pbe *pbe)
{
    int nid = pbe->nid ? pbe->nid : NID_aes_256_cbc;
    int iterations = pbe->iterations ? pbe->iterations : 10;
    static unsigned char salt[] = "pepper 7";
    X509_ALGOR *algorithm;
    EVP_CIPHER *cipher;

    if (is_scheme(nid))
        return PKCS5_pbe_set_ex(nid, iterations, salt, 8, ccs_pfxkit_ctx());
    cipher = EVP_CIPHER_fetch(ccs_pfxkit_ctx(), OBJ_nid2sn(nid), NULL);
    need(cipher != NULL, "cipher");
    if (pbe->n)
        algorithm = PKCS5_pbe2_set_scrypt(cipher, salt, 8, NULL, pbe->n, pbe->r, pbe->p);
    else
        algorithm = PKCS5_pbe2_set_iv_ex(cipher, iterations, salt, 8, NULL,
                                         pbe->prf ? pbe->prf : NID_hmacWithSHA256,
                                         ccs_pfxkit_ctx());
    EVP_CIPHER_free(cipher);
    return algorithm;
}

void ccs_pfxkit_encrypt(struct ccs_der *algorithm, struct ccs_der *octets,
                        const struct ccs_pfxkit_pbe *pbe, const struct ccs_der *data)
{
    X509_ALGOR *made = make_algorithm(pbe);
    unsigned char *der = NULL, *out = NULL;
    int len, out_len = 0;

    need(made != NULL, "parameters");
    len = i2d_X509_ALGOR(made, &der);
    need(len > 0, "parameters");
    ccs_der_raw(algorithm, der, (size_t)len);
    OPENSSL_free(der);
    if (pbe->fake) {
        ccs_der_raw(octets, "sixteen octets!!sixteen octets!!", 32);
    } else {
        need(PKCS12_pbe_crypt_ex(made, pbe->password.text, pbe->password.len, data->data,
                                 (int)data->len, &out, &out_len, 1, ccs_pfxkit_ctx(), NULL) != NULL,
             "encryption");
        ccs_der_raw(octets, out, (size_t)out_len);
        OPENSSL_free(out);
    }
    X509_ALGOR_free(made);
}

void ccs_pfxkit_part(struct ccs_der *out, const char *type, const struct ccs_der *content)
{
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, type);
    if (content) {
        ccs_der_begin(out, CCS_DER_EXPLICIT);
        ccs_der_add(out, content);
        ccs_der_end(out);
    }
    ccs_der_end(out);
}

void ccs_pfxkit_data(struct ccs_der *out, const struct ccs_der *bags)
{
    struct ccs_der content = {0};

    ccs_der_begin(&content, CCS_DER_OCTETS);
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_add(&content, bags);
    ccs_der_end(&content);
    ccs_der_end(&content);
    ccs_pfxkit_part(out, "1.2.840.113549.1.7.1", &content);
    ccs_der_clear(&content);
}

void ccs_pfxkit_encrypted(struct ccs_der *out, const struct ccs_der *bags,
                          const struct ccs_pfxkit_pbe *pbe)
{
    struct ccs_der content = {0}, plain = {0}, algorithm = {0}, octets = {0};

    ccs_der_put(&plain, CCS_DER_SEQUENCE, bags->data, bags->len);
    ccs_pfxkit_encrypt(&algorithm, &octets, pbe, &plain);
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_int(&content, 0);
    ccs_der_begin(&content, CCS_DER_SEQUENCE);
    ccs_der_oid(&content, "1.2.840.113549.1.7.1");
    ccs_der_add(&content, &algorithm);
    ccs_der_put(&content, CCS_DER_CONTEXT, octets.data, octets.len);
    ccs_der_end(&content);
    ccs_der_end(&content);
    ccs_pfxkit_part(out, "1.2.840.113549.1.7.6", &content);
    ccs_der_clear(&content);
    ccs_der_clear(&plain);
    ccs_der_clear(&algorithm);
    ccs_der_clear(&octets);
}

void ccs_pfxkit_file(struct ccs_der *out, const struct ccs_der *parts,
                     const struct ccs_pfxkit_mac *mac)
{
    struct ccs_der safe = {0}, content = {0};

    ccs_der_put(&safe, CCS_DER_SEQUENCE, parts->data, parts->len);
    ccs_der_put(&content, CCS_DER_OCTETS, safe.data, safe.len);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_int(out, 3);
    ccs_pfxkit_part(out, "1.2.840.113549.1.7.1", &content);
    if (mac)
        ccs_pfxkit_mac(out, &safe, mac);
    ccs_der_end(out);
    ccs_der_clear(&safe);
    ccs_der_clear(&content);
}
