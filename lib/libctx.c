/* SPDX-License-Identifier: Apache-2.0 */
#include "libctx.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "base.h"
#include "error.h"

#define SELECTION_MAX 32

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context;
static OSSL_PROVIDER *base;   /* "default", held for the life of the process */
static OSSL_PROVIDER *legacy; /* NULL where legacy.so is not installed */
static OSSL_LIB_CTX *keys;    /* context, where it could not be made */
static OSSL_PROVIDER *selection;

/* -- a provider that offers some of what base has, with base's own functions --------------- */

static OSSL_ALGORITHM key_kinds[SELECTION_MAX + 1];
static OSSL_ALGORITHM decoders[SELECTION_MAX + 1];

static bool is_wanted_kind(const OSSL_ALGORITHM *algorithm)
{
    static const char *const kinds[] = {"RSA", "RSA-PSS", "EC", "ED25519", "ED448"};
    size_t len = strcspn(algorithm->algorithm_names, ":");

    for (size_t i = 0; i < CCS_ARRAY_LEN(kinds); i++)
        if (strlen(kinds[i]) == len && memcmp(kinds[i], algorithm->algorithm_names, len) == 0)
            return true;
    return false;
}

static bool is_wanted_decoder(const OSSL_ALGORITHM *algorithm)
{
    const char *properties = algorithm->property_definition;

    return is_wanted_kind(algorithm) && properties && strstr(properties, "input=der") &&
           (strstr(properties, "structure=PrivateKeyInfo") ||
            strstr(properties, "structure=SubjectPublicKeyInfo"));
}

/* Copies what is wanted of an operation; false if that is nothing, or more than there is room for.
 */
static bool select_from_base(int operation, bool (*is_wanted)(const OSSL_ALGORITHM *),
                             OSSL_ALGORITHM out[SELECTION_MAX + 1])
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(base, operation, &no_cache);
    size_t n = 0;

    for (; all && all->algorithm_names; all++) {
        if (!is_wanted(all))
            continue;
        if (n == SELECTION_MAX)
            return false;
        out[n++] = *all;
    }
    return n > 0 && !no_cache;
}

static const OSSL_ALGORITHM *selection_query(void *provctx, int operation, int *no_cache)
{
    (void)provctx;
    *no_cache = 0;
    if (operation == OSSL_OP_KEYMGMT)
        return key_kinds;
    if (operation == OSSL_OP_DECODER)
        return decoders;
    return OSSL_PROVIDER_query_operation(base, operation, no_cache);
}

/* Without a teardown: what the functions work with is base's. */
static int selection_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                          const OSSL_DISPATCH **out, void **provctx)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))selection_query},
        {0, NULL},
    };

    (void)handle;
    (void)in;
    *out = functions;
    *provctx = OSSL_PROVIDER_get0_provider_ctx(base);
    return 1;
}

static void make_keys(void)
{
    OSSL_LIB_CTX *made;

    keys = context;
    if (!select_from_base(OSSL_OP_KEYMGMT, is_wanted_kind, key_kinds) ||
        !select_from_base(OSSL_OP_DECODER, is_wanted_decoder, decoders))
        return;
    made = OSSL_LIB_CTX_new();
    if (made && OSSL_PROVIDER_add_builtin(made, "ccs", selection_init) == 1)
        selection = OSSL_PROVIDER_load(made, "ccs");
    if (selection)
        keys = made;
    else
        OSSL_LIB_CTX_free(made);
}

/* -- the contexts -------------------------------------------------------------------------- */

static void make(void)
{
    OSSL_LIB_CTX *made;

    ERR_set_mark();
    made = OSSL_LIB_CTX_new();
    if (made)
        base = OSSL_PROVIDER_load(made, "default");
    if (base) {
        /* Its absence concerns only the files that need it, which are told so one by one. */
        legacy = OSSL_PROVIDER_load(made, "legacy");
        context = made;
        make_keys();
    } else {
        OSSL_LIB_CTX_free(made);
    }
    ERR_pop_to_mark();
}

OSSL_LIB_CTX *ccs_libctx(struct ccs_error *err)
{
    if (pthread_once(&once, make) != 0 || !context) {
        ccs_error_set(
            err, CCS_ESSL,
            "OpenSSL's default provider cannot be loaded into a context of its own; check "
            "that the libcrypto in use is whole");
        return NULL;
    }
    return context;
}

OSSL_LIB_CTX *ccs_libctx_keys(struct ccs_error *err)
{
    return ccs_libctx(err) ? keys : NULL;
}

OSSL_LIB_CTX *ccs_libctx_of(const EVP_PKEY *key)
{
    return selection && EVP_PKEY_get0_provider(key) == selection ? keys : context;
}

int ccs_libctx_has_legacy(void)
{
    return ccs_libctx(NULL) != NULL && legacy != NULL;
}
