/* SPDX-License-Identifier: Apache-2.0 */
#include "shared.h"
#include "settings.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

/* Of the memory, for the names of the files: 32 octets each. */
#define INDEX_SHARE 8

struct ccs_shared *ccs_shared_ref(struct ccs_shared *shared)
{
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

static struct ccs_shared *shared_new(void *mem, size_t size)
{
    struct ccs_shared *shared = calloc(1, sizeof(*shared));

    if (shared == NULL)
        return NULL;
    atomic_init(&shared->refs, 1);
    shared->mem = mem;
    shared->size = size;
    return shared;
}

int ccs_shared_new(size_t size, struct ccs_shared **out, struct ccs_error *err)
{
    struct ccs_shared *shared = NULL;
    void *mem;
    int rv;

    rv = ccs_arena_map(size, &mem, err);
    if (rv != CCS_OK)
        return rv;
    rv = ccs_shared_init(mem, size, &shared, err);
    if (shared == NULL) {
        ccs_arena_unmap(mem, size);
        return rv;
    }
    shared->owned = 1;
    *out = shared;
    return CCS_OK;
}

int ccs_shared_init(void *mem, size_t size, struct ccs_shared **out, struct ccs_error *err)
{
    struct ccs_shared *shared = shared_new(mem, size);
    int rv;

    if (shared == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a handle of shared memory");
    rv = ccs_layout_format(mem, size, size / INDEX_SHARE, &shared->layout, err);
    if (rv != CCS_OK) {
        free(shared);
        return rv;
    }
    *out = shared;
    return CCS_OK;
}

int ccs_shared_attach(void *mem, size_t size, struct ccs_shared **out, struct ccs_error *err)
{
    struct ccs_shared *shared = shared_new(mem, size);
    int rv;

    if (shared == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for a handle of shared memory");
    rv = ccs_layout_attach(mem, size, &shared->layout, err);
    if (rv != CCS_OK) {
        free(shared);
        return rv;
    }
    *out = shared;
    return CCS_OK;
}

void ccs_shared_free(struct ccs_shared *shared)
{
    if (shared == NULL || atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (shared->owned)
        ccs_arena_unmap(shared->mem, shared->size);
    free(shared);
}

/* -- what tells configurations apart ------------------------------------------------------- */

static uint64_t digest_end(EVP_MD_CTX *ctx)
{
    uint8_t md[EVP_MAX_MD_SIZE] = {0};
    uint64_t value = 0;

    (void)EVP_DigestFinal_ex(ctx, md, NULL);
    EVP_MD_CTX_free(ctx);
    memcpy(&value, md, sizeof(value));
    ccs_wipe(md, sizeof(md));
    return value;
}

static EVP_MD_CTX *digest_begin(const char *what)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1)
        (void)EVP_DigestUpdate(ctx, what, strlen(what) + 1);
    return ctx;
}

uint64_t ccs_shared_store_id(const struct ccs_settings *s)
{
    EVP_MD_CTX *ctx = digest_begin("store");
    uint8_t strict = s->check_name == CCS_CHECK_NAME_REFUSE;

    if (ctx == NULL)
        return 0;
    (void)EVP_DigestUpdate(ctx, s->store, strlen(s->store) + 1);
    (void)EVP_DigestUpdate(ctx, &strict, sizeof(strict));
    return digest_end(ctx);
}

uint64_t ccs_shared_mend(const struct ccs_settings *s)
{
    EVP_MD_CTX *ctx = digest_begin("mend");
    uint32_t check = s->check_name;

    if (ctx == NULL)
        return 0;
    (void)EVP_DigestUpdate(ctx, &check, sizeof(check));
    (void)EVP_DigestUpdate(ctx, &s->kdf_limit, sizeof(s->kdf_limit));
    for (size_t i = 0; i < ccs_passwords_count(s->passwords); i++) {
        size_t len;
        const char *password = ccs_passwords_get(s->passwords, i, &len);

        (void)EVP_DigestUpdate(ctx, &len, sizeof(len));
        (void)EVP_DigestUpdate(ctx, password, len);
    }
    return digest_end(ctx);
}
