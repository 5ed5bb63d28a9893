/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>

#include <ccs/ccs.h>

/*
 * Fetched once, because a fetch costs more than the digest of a name. It is never given back: a
 * process needs it to its end, and OpenSSL's own clean-up may run before ours.
 */
static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;

static void digest_init(void)
{
    ERR_set_mark();
    digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ERR_pop_to_mark();
}

int ccs_digest(const void *data, size_t len, uint8_t out[CCS_DIGEST_SIZE])
{
    int ok;

    if (pthread_once(&digest_once, digest_init) != 0 || digest_sha256 == NULL)
        return CCS_ESSL;
    ERR_set_mark();
    ok = EVP_Digest(data, len, out, NULL, digest_sha256, NULL);
    ERR_pop_to_mark();
    return ok == 1 ? CCS_OK : CCS_ESSL;
}
