/* SPDX-License-Identifier: Apache-2.0 */
#include "credential.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base.h"
#include "error.h"
#include "keypair.h"

/* taken: pfx again, to take from what is decoded already; or NULL. */
static int make_part(const struct ccs_pfx *pfx, struct ccs_pfx *taken, struct ccs_part **out,
                     struct ccs_error *err)
{
    struct ccs_part *part;
    int rv = CCS_OK;

    if (pfx->pair_count == 0 || pfx->pair_count > CCS_PAIRS_MAX)
        return ccs_error_set(err, CCS_EINVAL, "a file holds 1 to %d pairs of certificate and key",
                             CCS_PAIRS_MAX);
    part = calloc(1, sizeof(*part) + pfx->pair_count * sizeof(part->pairs[0]));
    if (!part)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a certificate");
    atomic_init(&part->refs, 1);
    part->legacy = pfx->legacy;
    part->warnings = pfx->warnings;
    part->password = pfx->password;
    for (size_t i = 0; i < pfx->pair_count && rv == CCS_OK; i++) {
        X509 *leaf = NULL;
        EVP_PKEY *key = NULL;

        if (taken) {
            leaf = taken->pairs[i].leaf_object;
            key = taken->pairs[i].key_object;
            taken->pairs[i].leaf_object = NULL;
            taken->pairs[i].key_object = NULL;
        }
        rv = ccs_key_pair_make(&pfx->pairs[i], leaf, key, &part->pairs[i], err);
        if (rv == CCS_OK)
            part->pair_count++;
    }
    if (rv != CCS_OK) {
        ccs_part_unref(part);
        return rv;
    }
    *out = part;
    return CCS_OK;
}

int ccs_part_new(const struct ccs_pfx *pfx, struct ccs_part **out, struct ccs_error *err)
{
    return make_part(pfx, NULL, out, err);
}

int ccs_part_take(struct ccs_pfx *pfx, struct ccs_part **out, struct ccs_error *err)
{
    return make_part(pfx, pfx, out, err);
}

struct ccs_part *ccs_part_ref(struct ccs_part *part)
{
    atomic_fetch_add_explicit(&part->refs, 1, memory_order_relaxed);
    return part;
}

void ccs_part_unref(struct ccs_part *part)
{
    if (!part || atomic_fetch_sub_explicit(&part->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < part->pair_count; i++)
        ccs_key_pair_clear(&part->pairs[i]);
    free(part);
}

/* A list of names for a message: a few, then how many more. */
#define NAMES_SHOWN 4
struct name_list {
    size_t count;
    size_t len;
    char text[NAMES_SHOWN * 84];
};

static void list_add(struct name_list *list, const ASN1_STRING *name)
{
    char shown[80];

    if (list->count++ >= NAMES_SHOWN)
        return;
    (void)ccs_printable(shown, sizeof(shown), (const char *)ASN1_STRING_get0_data(name),
                        (size_t)ASN1_STRING_length(name));
    list->len += (size_t)snprintf(list->text + list->len, sizeof(list->text) - list->len, "%s%s",
                                  list->len > 0 ? ", " : "", shown);
}

static void list_names(X509 *leaf, int has_san, struct name_list *list)
{
    if (has_san) {
        GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

        for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
            const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

            if (name->type == GEN_DNS)
                list_add(list, name->d.dNSName);
        }
        GENERAL_NAMES_free(names);
    } else {
        const X509_NAME *subject = X509_get_subject_name(leaf);

        for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;)
            list_add(list, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    }
}

static int leaf_covers(X509 *leaf, const char *host, struct ccs_error *err)
{
    int has_san = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1) >= 0;
    unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    struct name_list list = {.count = 0};
    int covers;

    /* No client looks at the subject where there is a list of names (RFC 9525 2). */
    if (has_san)
        flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    covers = X509_check_host(leaf, host, 0, flags, NULL) == 1;
    if (!covers && err) {
        list_names(leaf, has_san, &list);
        if (list.count > NAMES_SHOWN)
            ccs_error_set(err, CCS_ENAMEMISMATCH,
                          "the certificate does not cover %s, only %s and %zu more", host,
                          list.text, list.count - NAMES_SHOWN);
        else
            ccs_error_set(err, CCS_ENAMEMISMATCH, "the certificate does not cover %s, only %s",
                          host, list.count > 0 ? list.text : "no host name at all");
    }
    ERR_clear_error();
    return covers;
}

int ccs_part_covers(const struct ccs_part *part, const char *stem, struct ccs_error *err)
{
    char host[CCS_STEM_SIZE];

    (void)snprintf(host, sizeof(host), "%s", stem);
    if (host[0] == '_' && host[1] == '.')
        host[0] = '*';
    for (size_t i = 0; i < part->pair_count; i++) {
        if (!leaf_covers(part->pairs[i].leaf, host, err))
            return 0;
    }
    return 1;
}

/* One pair with the part it belongs to, while a credential is put together. */
struct choice {
    const struct ccs_key_pair *pair;
    const struct ccs_part *part;
};

static int is_valid(const struct ccs_key_pair *pair, int64_t now)
{
    return pair->not_before <= now && now <= pair->not_after;
}

/* Of two pairs of one type: valid before not valid, then the one that was issued later. */
static int is_better(const struct ccs_key_pair *a, const struct ccs_key_pair *b, int64_t now)
{
    int va = is_valid(a, now), vb = is_valid(b, now);

    return va != vb ? va : a->not_before > b->not_before;
}

/* The main pair is the one with the lowest rank. */
static int rank(const struct choice *c)
{
    int type = c->pair->key_type == EVP_PKEY_EC ? 0 : c->pair->key_type == EVP_PKEY_RSA ? 1 : 2;

    return c->part->kind == CCS_FILE_ANY ? type : type + 3;
}

/* Fills best with one pair per key type; returns how many. */
static size_t choose_pairs(struct ccs_part **parts, size_t count, struct choice *best)
{
    int64_t now = (int64_t)time(NULL);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < parts[i]->pair_count; k++) {
            const struct ccs_key_pair *pair = &parts[i]->pairs[k];
            size_t slot = 0;

            while (slot < n && best[slot].pair->key_type != pair->key_type)
                slot++;
            if (slot == CCS_PAIRS_MAX || (slot < n && !is_better(pair, best[slot].pair, now)))
                continue;
            best[slot] = (struct choice){.pair = pair, .part = parts[i]};
            if (slot == n)
                n++;
        }
    }
    return n;
}

/* What aligned_alloc() takes is a multiple of the alignment. */
#define CRED_SIZE ((sizeof(struct ccs_cred) + CCS_CACHE_LINE - 1) / CCS_CACHE_LINE * CCS_CACHE_LINE)

static_assert(offsetof(struct ccs_cred, stem) < 2 * CCS_CACHE_LINE, "handshakes read two lines");

struct ccs_cred *ccs_cred_new(const char *stem, struct ccs_part **parts, size_t count)
{
    struct choice best[CCS_PAIRS_MAX];
    struct ccs_cred *cred;
    size_t n, first = 0;

    if (count > CCS_ARRAY_LEN(cred->parts))
        return NULL;
    n = choose_pairs(parts, count, best);
    if (n == 0)
        return NULL;
    cred = aligned_alloc(CCS_CACHE_LINE, CRED_SIZE);
    if (!cred)
        return NULL;
    memset(cred, 0, sizeof(*cred));
    atomic_init(&cred->refs, 1);
    (void)snprintf(cred->stem, sizeof(cred->stem), "%s", stem);
    if (ccs_name_digest(0, cred->stem, strlen(cred->stem), cred->name_digest) != CCS_OK) {
        free(cred);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        cred->parts[i] = parts[i];
    cred->part_count = count;

    for (size_t i = 1; i < n; i++) {
        if (rank(&best[i]) < rank(&best[first]))
            first = i;
    }
    cred->main_part = best[first].part;
    cred->pairs[cred->pair_count++] = best[first].pair;
    for (size_t i = 0; i < n; i++) {
        if (i != first)
            cred->pairs[cred->pair_count++] = best[i].pair;
    }
    cred->main = ccs_served_of(cred->pairs[0]);
    cred->public_key = X509_get_X509_PUBKEY(cred->main.leaf);
    return cred;
}

CCS_WARM struct ccs_cred *ccs_cred_ref(struct ccs_cred *cred)
{
    if (cred)
        atomic_fetch_add_explicit(&cred->refs, 1, memory_order_relaxed);
    return cred;
}

CCS_WARM void ccs_cred_unref(struct ccs_cred *cred)
{
    if (!cred || atomic_fetch_sub_explicit(&cred->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < cred->part_count; i++)
        ccs_part_unref(cred->parts[i]);
    free(cred);
}

const char *ccs_cred_file(const struct ccs_cred *cred)
{
    return cred->main_part->file;
}

const char *ccs_cred_fingerprint(const struct ccs_cred *cred)
{
    return cred->pairs[0]->fingerprint;
}

int64_t ccs_cred_not_before(const struct ccs_cred *cred)
{
    return cred->pairs[0]->not_before;
}

int64_t ccs_cred_not_after(const struct ccs_cred *cred)
{
    return cred->pairs[0]->not_after;
}
