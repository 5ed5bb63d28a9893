/* SPDX-License-Identifier: Apache-2.0 */
#include "libctx.h"

#include <pthread.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "error.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *context;
static OSSL_PROVIDER *base;   /* "default", held for the life of the process */
static OSSL_PROVIDER *legacy; /* NULL where legacy.so is not installed */

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

int ccs_libctx_has_legacy(void)
{
    return ccs_libctx(NULL) != NULL && legacy != NULL;
}
