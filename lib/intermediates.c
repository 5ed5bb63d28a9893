/* SPDX-License-Identifier: Apache-2.0 */
#include "intermediates.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "error.h"
#include "fault.h"
#include "libctx.h"
#include "robust.h"

#define TYPICAL 1024 /* octets of one, for how many are expected */

struct entry {
    uint8_t digest[32];
    uint64_t offset; /* from the start of the table */
    uint64_t len;
};

struct ccs_intermediates {
    _Alignas(CCS_ARENA_ALIGN) pthread_mutex_t lock; /* taken to add, not to read */
    _Atomic uint32_t count;
    uint32_t max;
    uint64_t size; /* of the whole table */
    struct entry entries[];
};

int ccs_intermediates_format(struct ccs_intermediates **out, struct ccs_arena *arena, size_t size,
                             struct ccs_error *err)
{
    struct ccs_intermediates *t = ccs_arena_reserve(arena, CCS_ARENA_INTERMEDIATES, size);
    size_t max = size / TYPICAL;

    if (t == NULL || size < sizeof(*t) + TYPICAL + sizeof(struct entry))
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is too small for intermediates");
    memset(t, 0, sizeof(*t));
    if (ccs_robust_init(&t->lock) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no lock for the shared memory");
    t->max = (uint32_t)(max < CCS_INTERMEDIATES_MAX ? max : CCS_INTERMEDIATES_MAX);
    t->size = size;
    *out = t;
    return CCS_OK;
}

int ccs_intermediates_attach(struct ccs_intermediates **out, const struct ccs_arena *arena,
                             struct ccs_error *err)
{
    size_t size;
    struct ccs_intermediates *t = ccs_arena_part(arena, CCS_ARENA_INTERMEDIATES, &size);

    if (t == NULL || t->size != size || t->max > CCS_INTERMEDIATES_MAX ||
        size < sizeof(*t) + t->max * sizeof(struct entry))
        return ccs_error_set(err, CCS_EINVAL, "the shared memory holds no intermediates of ours");
    *out = t;
    return CCS_OK;
}

/* Acquire: entries up to the count are complete, and nobody will ever change them. */
static uint32_t count_of(const struct ccs_intermediates *t)
{
    uint32_t n = atomic_load_explicit(&t->count, memory_order_acquire);

    return n < t->max ? n : t->max;
}

static bool find_digest(const struct ccs_intermediates *t, const uint8_t digest[32], uint32_t *id)
{
    uint32_t n = count_of(t);

    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(t->entries[i].digest, digest, sizeof(t->entries[i].digest)) == 0) {
            *id = i;
            return true;
        }
    }
    return false;
}

/* An adder that dies has added nothing: the count is all that makes an entry one. */
static int add_locked(struct ccs_intermediates *t, const uint8_t digest[32], const uint8_t *der,
                      size_t len, uint32_t *id)
{
    uint32_t n = count_of(t);
    uint64_t used = sizeof(*t) + t->max * sizeof(struct entry);
    struct entry *e;

    if (find_digest(t, digest, id))
        return CCS_OK;
    if (n > 0)
        used = t->entries[n - 1].offset + t->entries[n - 1].len;
    if (n == t->max || len > t->size - used)
        return CCS_ENOMEM;
    e = &t->entries[n];
    memcpy(e->digest, digest, sizeof(e->digest));
    e->offset = used;
    e->len = len;
    ccs_fault("intermediates.described");
    memcpy((uint8_t *)t + used, der, len);
    ccs_fault("intermediates.copied");
    ccs_robust_order();
    atomic_store_explicit(&t->count, n + 1, memory_order_release);
    ccs_fault("intermediates.added");
    *id = n;
    return CCS_OK;
}

static int digest_of(const uint8_t *der, size_t len, uint8_t digest[32])
{
    OSSL_LIB_CTX *ctx = ccs_libctx(NULL);
    int rv;

    if (ctx == NULL)
        return CCS_ENOMEM;
    ERR_set_mark();
    rv = EVP_Q_digest(ctx, "SHA256", NULL, der, len, digest, NULL) == 1 ? CCS_OK : CCS_ENOMEM;
    ERR_pop_to_mark();
    return rv;
}

int ccs_intermediates_add(struct ccs_intermediates *t, const uint8_t *der, size_t len, uint32_t *id)
{
    uint8_t digest[32];
    bool died;
    int rv;

    if (len == 0 || digest_of(der, len, digest) != CCS_OK)
        return CCS_ENOMEM;
    if (find_digest(t, digest, id))
        return CCS_OK;
    if (ccs_robust_lock(&t->lock, CCS_LOCK_WAIT, &died) != CCS_OK)
        return CCS_ENOMEM;
    if (died)
        ccs_robust_repaired(&t->lock);
    rv = add_locked(t, digest, der, len, id);
    ccs_robust_unlock(&t->lock);
    return rv;
}

int ccs_intermediates_get(const struct ccs_intermediates *t, uint32_t id, const uint8_t **der,
                          size_t *len)
{
    const struct entry *e;

    if (id >= count_of(t))
        return CCS_ENOTFOUND;
    e = &t->entries[id];
    if (e->offset > t->size || e->len > t->size - e->offset)
        return CCS_ENOTFOUND;
    *der = (const uint8_t *)t + e->offset;
    *len = (size_t)e->len;
    return CCS_OK;
}

size_t ccs_intermediates_count(const struct ccs_intermediates *t)
{
    return count_of(t);
}
