/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "error.h"
#include "libctx.h"

/*
 * head: version, number of parts; for each part: kind, length and octets of the file name,
 * password, legacy, warnings, stamp, digest. body: for each part: number of pairs; for each pair:
 * leaf, key, number of issuers; for each issuer: IN_TABLE and an id, or INLINE and octets. Numbers
 * are little-endian; octets come after their length.
 */
#define VERSION 1
enum { INLINE = 0, IN_TABLE = 1 };

/* -- writing ------------------------------------------------------------------------------- */

static int put_number(struct ccs_secret *out, uint64_t n, size_t octets)
{
    uint8_t b[8];

    for (size_t i = 0; i < octets; i++)
        b[i] = (uint8_t)(n >> (8 * i));
    return ccs_secret_append(out, b, octets);
}

static int put_octets(struct ccs_secret *out, const struct ccs_blob *blob)
{
    int rv;

    if (blob->len == 0 || blob->len > CCS_PKCS12_SIZE_MAX)
        return CCS_EINVAL;
    rv = put_number(out, blob->len, 4);
    return rv == CCS_OK ? ccs_secret_append(out, blob->data, blob->len) : rv;
}

static int put_part_head(struct ccs_secret *out, const struct ccs_record_part *part)
{
    const uint64_t numbers[] = {part->stamp.size, part->stamp.file_id,
                                (uint64_t)part->stamp.mtime_ns, (uint64_t)part->stamp.ctime_ns};
    size_t len = strnlen(part->file, sizeof(part->file));
    int rv;

    if (len == 0 || len > CCS_FILE_NAME_MAX || (int)part->kind < 0 || part->kind >= CCS_FILE_KINDS)
        return CCS_EINVAL;
    rv = put_number(out, (uint64_t)part->kind, 1);
    if (rv == CCS_OK)
        rv = put_number(out, len, 1);
    if (rv == CCS_OK)
        rv = ccs_secret_append(out, part->file, len);
    if (rv == CCS_OK)
        rv = put_number(out, (uint32_t)part->password, 4);
    if (rv == CCS_OK)
        rv = put_number(out, part->legacy, 4);
    if (rv == CCS_OK)
        rv = put_number(out, part->warnings, 4);
    for (size_t i = 0; rv == CCS_OK && i < CCS_ARRAY_LEN(numbers); i++)
        rv = put_number(out, numbers[i], 8);
    if (rv == CCS_OK)
        rv = ccs_secret_append(out, part->digest, sizeof(part->digest));
    return rv;
}

static int put_issuer(struct ccs_secret *out, const struct ccs_blob *der,
                      struct ccs_intermediates *table)
{
    uint32_t id;
    int rv;

    if (table != NULL && ccs_intermediates_add(table, der->data, der->len, &id) == CCS_OK) {
        rv = put_number(out, IN_TABLE, 1);
        return rv == CCS_OK ? put_number(out, id, 4) : rv;
    }
    rv = put_number(out, INLINE, 1);
    return rv == CCS_OK ? put_octets(out, der) : rv;
}

static int put_pair(struct ccs_secret *out, const struct ccs_pair *pair,
                    struct ccs_intermediates *table)
{
    int rv;

    if (pair->chain_len > CCS_CHAIN_MAX)
        return CCS_EINVAL;
    rv = put_octets(out, &pair->leaf);
    if (rv == CCS_OK)
        rv = put_octets(out, &pair->key);
    if (rv == CCS_OK)
        rv = put_number(out, pair->chain_len, 1);
    for (size_t i = 0; rv == CCS_OK && i < pair->chain_len; i++)
        rv = put_issuer(out, &pair->chain[i], table);
    return rv;
}

/* What the pairs of a stem depend on: which files, and what is in them. */
static int digest_parts(const struct ccs_record_part *parts, size_t count,
                        uint8_t content[CCS_POOL_CONTENT])
{
    OSSL_LIB_CTX *ctx = ccs_libctx(NULL);
    uint8_t in[CCS_RECORD_PARTS_MAX * (sizeof(parts->file) + sizeof(parts->digest) + 1)];
    uint8_t out[32];
    size_t at = 0;
    int rv;

    memset(in, 0, sizeof(in));
    for (size_t i = 0; i < count; i++) {
        memcpy(in + at, parts[i].file, strnlen(parts[i].file, sizeof(parts[i].file)));
        at += sizeof(parts[i].file);
        memcpy(in + at, parts[i].digest, sizeof(parts[i].digest));
        at += sizeof(parts[i].digest);
        in[at++] = (uint8_t)parts[i].kind;
    }
    ERR_set_mark();
    rv = ctx != NULL && EVP_Q_digest(ctx, "SHA256", NULL, in, at, out, NULL) == 1 ? CCS_OK
                                                                                  : CCS_ESSL;
    ERR_pop_to_mark();
    if (rv == CCS_OK)
        memcpy(content, out, CCS_POOL_CONTENT);
    return rv;
}

int ccs_record_encode(const struct ccs_record_part *parts, size_t count,
                      struct ccs_intermediates *table, struct ccs_secret *out, size_t *head_len,
                      uint8_t content[CCS_POOL_CONTENT])
{
    uint8_t digest[CCS_POOL_CONTENT];
    size_t head = 0;
    int rv;

    if (count == 0 || count > CCS_RECORD_PARTS_MAX)
        return CCS_EINVAL;
    rv = put_number(out, VERSION, 1);
    if (rv == CCS_OK)
        rv = put_number(out, count, 1);
    for (size_t i = 0; rv == CCS_OK && i < count; i++)
        rv = put_part_head(out, &parts[i]);
    head = out->len;
    for (size_t i = 0; rv == CCS_OK && i < count; i++) {
        const struct ccs_pfx *pfx = parts[i].pfx;

        if (pfx == NULL || pfx->pair_count == 0 || pfx->pair_count > CCS_PAIRS_MAX)
            rv = CCS_EINVAL;
        else
            rv = put_number(out, pfx->pair_count, 1);
        for (size_t k = 0; rv == CCS_OK && k < pfx->pair_count; k++)
            rv = put_pair(out, &pfx->pairs[k], table);
    }
    if (rv == CCS_OK)
        rv = digest_parts(parts, count, digest);
    if (rv != CCS_OK) {
        ccs_secret_free(out);
        return rv;
    }
    *head_len = head;
    memcpy(content, digest, sizeof(digest));
    return CCS_OK;
}

/* -- reading ------------------------------------------------------------------------------- */

/* What is left to be read. Anything wrong makes it bad, and it stays so. */
struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

static const uint8_t *take(struct reader *r, size_t len)
{
    const uint8_t *at = r->at;

    if (r->bad || len > r->left) {
        r->bad = true;
        return NULL;
    }
    r->at += len;
    r->left -= len;
    return at;
}

static uint64_t take_number(struct reader *r, size_t octets)
{
    const uint8_t *at = take(r, octets);
    uint64_t n = 0;

    for (size_t i = 0; at != NULL && i < octets; i++)
        n |= (uint64_t)at[i] << (8 * i);
    return n;
}

/* A number that says how many of something follow. */
static size_t take_count(struct reader *r, size_t min, size_t max)
{
    size_t n = (size_t)take_number(r, 1);

    if (n < min || n > max)
        r->bad = true;
    return r->bad ? 0 : n;
}

/* Borrowed octets. Nobody writes through a blob that is only read; its type is that of others. */
static struct ccs_blob borrow(const uint8_t *data, size_t len)
{
    return (struct ccs_blob){.data = (uint8_t *)(uintptr_t)data, .len = len};
}

static struct ccs_blob take_octets(struct reader *r)
{
    size_t len = (size_t)take_number(r, 4);
    const uint8_t *at = take(r, len);

    if (len == 0)
        r->bad = true;
    return borrow(at, r->bad ? 0 : len);
}

static void take_part_head(struct reader *r, struct ccs_record_part *part)
{
    size_t len;
    const uint8_t *at;

    part->kind = (enum ccs_file_kind)take_count(r, 0, CCS_FILE_KINDS - 1);
    len = take_count(r, 1, CCS_FILE_NAME_MAX);
    at = take(r, len);
    if (at == NULL || memchr(at, '\0', len) != NULL) {
        r->bad = true;
        return;
    }
    memcpy(part->file, at, len);
    part->file[len] = '\0';
    part->password = (int)(int32_t)take_number(r, 4);
    part->legacy = (unsigned)take_number(r, 4);
    part->warnings = (unsigned)take_number(r, 4);
    part->stamp.size = take_number(r, 8);
    part->stamp.file_id = take_number(r, 8);
    part->stamp.mtime_ns = (int64_t)take_number(r, 8);
    part->stamp.ctime_ns = (int64_t)take_number(r, 8);
    at = take(r, sizeof(part->digest));
    if (at != NULL)
        memcpy(part->digest, at, sizeof(part->digest));
    part->pfx = NULL;
}

static size_t take_head(struct reader *r, struct ccs_record_part *parts)
{
    size_t count;

    if (take_number(r, 1) != VERSION)
        r->bad = true;
    count = take_count(r, 1, CCS_RECORD_PARTS_MAX);
    for (size_t i = 0; i < count && !r->bad; i++)
        take_part_head(r, &parts[i]);
    return count;
}

static struct ccs_blob take_issuer(struct reader *r, const struct ccs_intermediates *table)
{
    const uint8_t *der = NULL;
    size_t len = 0;

    if (take_count(r, INLINE, IN_TABLE) == INLINE)
        return take_octets(r);
    if (table == NULL ||
        ccs_intermediates_get(table, (uint32_t)take_number(r, 4), &der, &len) != CCS_OK)
        r->bad = true;
    return borrow(der, len);
}

static void take_pair(struct reader *r, const struct ccs_intermediates *table,
                      struct ccs_pair *pair)
{
    pair->leaf = take_octets(r);
    pair->key = take_octets(r);
    pair->chain_len = take_count(r, 0, CCS_CHAIN_MAX);
    for (size_t i = 0; i < pair->chain_len && !r->bad; i++)
        pair->chain[i] = take_issuer(r, table);
}

int ccs_record_decode(const uint8_t *data, size_t len, const struct ccs_intermediates *table,
                      struct ccs_record *out)
{
    struct reader r = {.at = data, .left = len};
    size_t count = take_head(&r, out->parts);

    for (size_t i = 0; i < count && !r.bad; i++) {
        struct ccs_pfx *pfx = &out->pfx[i];

        pfx->legacy = out->parts[i].legacy;
        pfx->warnings = out->parts[i].warnings;
        pfx->password = out->parts[i].password;
        pfx->pair_count = take_count(&r, 1, CCS_PAIRS_MAX);
        for (size_t k = 0; k < pfx->pair_count && !r.bad; k++)
            take_pair(&r, table, &pfx->pairs[k]);
        out->parts[i].pfx = pfx;
    }
    if (r.bad || r.left != 0)
        return CCS_EDAMAGED;
    out->part_count = count;
    return CCS_OK;
}

int ccs_record_decode_head(const uint8_t *head, size_t len,
                           struct ccs_record_part parts[CCS_RECORD_PARTS_MAX], size_t *count)
{
    struct reader r = {.at = head, .left = len};
    size_t n = take_head(&r, parts);

    if (r.bad || r.left != 0)
        return CCS_EDAMAGED;
    *count = n;
    return CCS_OK;
}
