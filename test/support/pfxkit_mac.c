/* SPDX-License-Identifier: Apache-2.0 */
/* MacData, of RFC 7292 and of RFC 9579. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>

#include "pfxkit.h"

static unsigned char salt[] = "salt for the MAC";

#define SALT_LEN (sizeof(salt) - 1)

static void need(int done, const char *what)
{
    char reason[200];

    if (!done) {
        ERR_error_string_n(ERR_peek_last_error(), reason, sizeof(reason));
        ERR_clear_error();
        fail_msg("PFX kit, MAC, %s: %s", what, reason);
    }
}

static const char *oid_of(int nid, char out[80])
{
    need(OBJ_obj2txt(out, 80, OBJ_nid2obj(nid), 1) > 0, "OID");
    return out;
}

static void put_algorithm(struct ccs_der *out, int nid)
{
    char oid[80];

    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, oid_of(nid, oid));
    ccs_der_put(out, CCS_DER_NULL, NULL, 0);
    ccs_der_end(out);
}

/* The NID of HMAC with a digest. */
static int hmac_of(int digest)
{
    switch (digest) {
    case NID_sha1:
        return NID_hmacWithSHA1;
    case NID_sha384:
        return NID_hmacWithSHA384;
    case NID_sha512:
        return NID_hmacWithSHA512;
    default:
        return NID_hmacWithSHA256;
    }
}

static void put_pbmac1(struct ccs_der *out, const struct ccs_pfxkit_mac *mac, int digest)
{
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, "1.2.840.113549.1.5.14");
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_oid(out, "1.2.840.113549.1.5.12");
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_put(out, CCS_DER_OCTETS, salt, SALT_LEN);
    ccs_der_int(out, mac->claim ? mac->claim : 10);
    if (mac->key_len != -1)
        ccs_der_int(out, mac->key_len ? mac->key_len : 32);
    if (mac->prf != -1)
        put_algorithm(out, hmac_of(mac->prf ? mac->prf : NID_sha256));
    ccs_der_end(out);
    ccs_der_end(out);
    put_algorithm(out, hmac_of(digest));
    ccs_der_end(out);
    ccs_der_end(out);
}

static size_t derive(const struct ccs_pfxkit_mac *mac, EVP_MD *md,
                     unsigned char key[EVP_MAX_MD_SIZE])
{
    int rounds = mac->claim > 0 ? (int)mac->claim : mac->claim < 0 ? 1 : 10;
    int len = EVP_MD_get_size(md);
    EVP_MD *prf;

    if (!mac->pbmac1) {
        need(PKCS12_key_gen_utf8_ex(mac->password.text, mac->password.len, salt, (int)SALT_LEN,
                                    PKCS12_MAC_ID, rounds, len, key, md, ccs_pfxkit_ctx(), NULL),
             "key");
        return (size_t)len;
    }
    len = mac->key_len > 0 ? (int)mac->key_len : 32;
    prf = EVP_MD_fetch(ccs_pfxkit_ctx(),
                       mac->prf == -1 ? "SHA1" : OBJ_nid2sn(mac->prf ? mac->prf : NID_sha256),
                       NULL);
    need(prf && PKCS5_PBKDF2_HMAC(mac->password.text, mac->password.len, salt, (int)SALT_LEN,
                                  rounds, prf, len, key),
         "key");
    EVP_MD_free(prf);
    return (size_t)len;
}

void ccs_pfxkit_mac(struct ccs_der *out, const struct ccs_der *safe,
                    const struct ccs_pfxkit_mac *mac)
{
    int digest = mac->digest ? mac->digest : NID_sha256;
    EVP_MD *md = EVP_MD_fetch(ccs_pfxkit_ctx(), OBJ_nid2sn(digest), NULL);
    unsigned char key[EVP_MAX_MD_SIZE] = {0}, value[EVP_MAX_MD_SIZE] = {0};
    size_t len, key_len;

    need(md != NULL, "digest");
    len = (size_t)EVP_MD_get_size(md);
    if (!mac->fake) {
        key_len = derive(mac, md, key);
        need(EVP_Q_mac(ccs_pfxkit_ctx(), "HMAC", NULL, OBJ_nid2sn(digest), NULL, key, key_len,
                       safe->data, safe->len, value, sizeof(value), &len) != NULL,
             "value");
    }
    EVP_MD_free(md);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    ccs_der_begin(out, CCS_DER_SEQUENCE);
    if (mac->pbmac1)
        put_pbmac1(out, mac, digest);
    else
        put_algorithm(out, digest);
    ccs_der_put(out, CCS_DER_OCTETS, value, len);
    ccs_der_end(out);
    ccs_der_put(out, CCS_DER_OCTETS, salt, SALT_LEN);
    if (mac->pbmac1)
        ccs_der_int(out, 1);
    else if (mac->claim != -1)
        ccs_der_int(out, mac->claim ? mac->claim : 10);
    ccs_der_end(out);
}
