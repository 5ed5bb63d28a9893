/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "error.h"
#include "name.h"
#include "pkcs12.h"
#include "store.h"
#include "tls.h"

#define CTL_TEXT_SIZE 1024

static const struct {
    unsigned flag;
    const char *text;
} ctl_warnings[] = {
    {CCS_PFX_TRAILING, "There are bytes after the end of the file's contents."},
    {CCS_PFX_NO_MAC, "Nothing protects the file's integrity: it has no MAC."},
    {CCS_PFX_BAD_CERT, "A certificate beside the server's own cannot be decoded."},
    {CCS_PFX_NO_ISSUER, "The chain lacks the certificate of an intermediate authority."},
    {CCS_PFX_UNUSED_CERT, "Some certificates belong to no pair and are not served."},
    {CCS_PFX_UNUSED_KEY,
     "A key is left out: it has no certificate, cannot be opened, or is not for TLS."},
};

static json_t *ctl_text(const char *text, size_t len)
{
    char printable[CTL_TEXT_SIZE];

    return json_string(ccs_printable(printable, sizeof(printable), text, len));
}

static json_t *ctl_time(int64_t seconds)
{
    char text[64];
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        return json_null();
    }
    return json_string(text);
}

static json_t *ctl_address(const ASN1_OCTET_STRING *ip)
{
    char text[INET6_ADDRSTRLEN];
    int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;

    if (ASN1_STRING_length(ip) != 4 && ASN1_STRING_length(ip) != 16) {
        return NULL;
    }
    if (inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof(text)) == NULL) {
        return NULL;
    }
    return json_string(text);
}

/* The host names and addresses that a certificate is for; its common name if it has none. */
static json_t *ctl_names(const X509 *leaf)
{
    json_t *names = json_array();
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        json_t *item = NULL;

        if (name->type == GEN_DNS) {
            item = ctl_text((const char *)ASN1_STRING_get0_data(name->d.dNSName),
                            (size_t)ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            item = ctl_address(name->d.iPAddress);
        }
        if (item != NULL) {
            json_array_append_new(names, item);
        }
    }
    GENERAL_NAMES_free(all);
    if (json_array_size(names) == 0) {
        const X509_NAME *subject = X509_get_subject_name(leaf);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        unsigned char *text = NULL;
        int len = at < 0 ? -1
                         : ASN1_STRING_to_UTF8(
                               &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));

        if (len >= 0) {
            json_array_append_new(names, ctl_text((const char *)text, (size_t)len));
            OPENSSL_free(text);
        }
    }
    return names;
}

static json_t *ctl_issuer(const X509 *leaf)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long len;
    json_t *issuer = NULL;

    if (bio == NULL) {
        return NULL;
    }
    if (X509_NAME_print_ex(bio, X509_get_issuer_name(leaf), 0,
                           XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        len = BIO_get_mem_data(bio, &text);
        issuer = ctl_text(text, len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    return issuer;
}

static json_t *ctl_legacy(unsigned flags)
{
    json_t *names = json_array();
    unsigned flag;

    for (flag = 1; flag != 0 && flag <= flags; flag <<= 1) {
        const char *name = (flags & flag) != 0 ? ccs_legacy_name(flag) : NULL;

        if (name != NULL) {
            json_array_append_new(names, json_string(name));
        }
    }
    return names;
}

static json_t *ctl_pair(const struct ccs_key_pair *pair, unsigned legacy)
{
    const char *type = EVP_PKEY_get0_type_name(pair->key);

    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:i, s:s, s:o}", "key_type",
                     type != NULL ? type : "unknown", "key_bits", EVP_PKEY_get_bits(pair->key),
                     "names", ctl_names(pair->leaf), "issuer", ctl_issuer(pair->leaf), "not_before",
                     ctl_time(pair->not_before), "not_after", ctl_time(pair->not_after),
                     "chain_length", pair->chain != NULL ? sk_X509_num(pair->chain) : 0,
                     "fingerprint", pair->fingerprint, "legacy", ctl_legacy(legacy));
}

/* What is odd about a good file, its name among it if it is one that a store could hold. */
static json_t *ctl_odd(const struct ccs_part *part, const char *name)
{
    json_t *odd = json_array();
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind kind;
    struct ccs_error err = {0};
    int unicode;
    size_t i;

    for (i = 0; i < CCS_ARRAY_LEN(ctl_warnings); i++) {
        if ((part->warnings & ctl_warnings[i].flag) != 0) {
            json_array_append_new(odd, json_string(ctl_warnings[i].text));
        }
    }
    if (ccs_name_from_file(name, strlen(name), stem, &kind, &unicode) != CCS_OK) {
        json_array_append_new(odd, json_string("No server asks for a file of this name: it is not "
                                               "that of a host with \".pfx\" after it."));
    } else if (!ccs_part_covers(part, stem, &err)) {
        json_array_append_new(odd, ctl_text(err.text, strlen(err.text)));
    }
    return odd;
}

/* One file -> a part ready for use, by the way that a server takes. */
static int ctl_load(const char *folder, const char *name, const struct ccs_settings *settings,
                    struct ccs_part **out, struct ccs_error *err)
{
    struct ccs_pfx_params params = {
        .passwords = settings->passwords,
        .password = CCS_PASSWORD_UNKNOWN,
        .kdf_limit = settings->kdf_limit,
    };
    struct ccs_store *store = NULL;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct ccs_pfx *pfx = NULL;
    struct ccs_part *part = NULL;
    size_t i;
    int rv;

    rv = ccs_store_open(folder, &store, err);
    if (rv == CCS_OK) {
        rv = ccs_store_read(store, name, CCS_PKCS12_SIZE_MAX, &data, &stamp, err);
    }
    if (rv == CCS_OK) {
        rv = ccs_pkcs12_decode(data.data, data.len, &params, &pfx, err);
    }
    if (rv == CCS_OK) {
        rv = ccs_part_new(pfx, &part, err);
    }
    for (i = 0; rv == CCS_OK && i < part->pair_count; i++) {
        rv = ccs_tls_warm(&part->pairs[i], err);
    }
    if (rv == CCS_OK) {
        *out = part;
        part = NULL;
    }
    ccs_part_unref(part);
    ccs_pfx_free(pfx);
    ccs_secret_free(&data);
    ccs_store_close(store);
    return rv;
}

json_t *ctl_inspect(const char *path, const struct ccs_settings *settings)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char *folder = slash == NULL   ? strdup(".")
                   : slash == path ? strdup("/")
                                   : strndup(path, (size_t)(slash - path));
    struct ccs_error err = {0};
    struct ccs_part *part = NULL;
    json_t *pairs = json_array();
    json_t *odd = NULL;
    json_t *reason = NULL;
    int rv;
    size_t i;

    if (folder == NULL) {
        json_decref(pairs);
        return NULL;
    }
    rv = ctl_load(folder, name, settings, &part, &err);
    free(folder);
    if (rv == CCS_OK) {
        for (i = 0; i < part->pair_count; i++) {
            json_array_append_new(pairs, ctl_pair(&part->pairs[i], part->legacy));
        }
        odd = ctl_odd(part, name);
        reason = json_null();
        /* A pair that could not be described for want of memory must not go missing in silence. */
        if (json_array_size(pairs) != part->pair_count) {
            json_decref(pairs);
            pairs = NULL;
        }
    } else {
        odd = json_array();
        reason = ctl_text(err.text, strlen(err.text));
    }
    ccs_part_unref(part);
    ERR_clear_error();
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "file", ctl_text(path, strlen(path)), "result",
                     ccs_code_name(rv), "reason", reason, "warnings", odd, "pairs", pairs);
}
