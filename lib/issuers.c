/* SPDX-License-Identifier: Apache-2.0 */
#include "issuers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "error.h"
#include "keypair.h"
#include "libctx.h"

#define BUCKETS    256
#define DIGEST_LEN 32

/* In two hash tables at once: it is asked for by its digest, and given back by its address. */
struct issuer {
    struct issuer *next_digest;
    struct issuer *next_address;
    X509 *x;
    size_t users;
    uint8_t digest[DIGEST_LEN];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below; a leaf */
static struct issuer *by_digest[BUCKETS];
static struct issuer *by_address[BUCKETS];
static size_t count;

static struct issuer **address_bucket(const X509 *x)
{
    uintptr_t a = (uintptr_t)x;

    return &by_address[(a >> 4 ^ a >> 12) % BUCKETS];
}

static struct issuer *find_locked(const uint8_t *digest)
{
    struct issuer *i = by_digest[digest[0]];

    while (i && memcmp(i->digest, digest, DIGEST_LEN) != 0)
        i = i->next_digest;
    return i;
}

/* The certificate that is shared now, or NULL; counts one more user of it. */
static X509 *use(const uint8_t *digest)
{
    struct issuer *i;
    X509 *x = NULL;

    (void)pthread_mutex_lock(&lock);
    i = find_locked(digest);
    if (i) {
        i->users++;
        x = i->x;
    }
    (void)pthread_mutex_unlock(&lock);
    return x;
}

/* Shares made (consumed), unless somebody else was faster or the table is full. */
static X509 *share(struct issuer *made)
{
    struct issuer *i, **bucket;
    X509 *x = made->x, *spare = NULL;

    (void)pthread_mutex_lock(&lock);
    i = find_locked(made->digest);
    if (i) {
        i->users++;
        spare = x;
        x = i->x;
    } else if (count < CCS_ISSUERS_MAX) {
        made->users = 1;
        made->next_digest = by_digest[made->digest[0]];
        by_digest[made->digest[0]] = made;
        bucket = address_bucket(x);
        made->next_address = *bucket;
        *bucket = made;
        count++;
        made = NULL;
    }
    (void)pthread_mutex_unlock(&lock);
    X509_free(spare);
    free(made);
    return x;
}

int ccs_issuers_get(const uint8_t *der, size_t len, X509 **out, struct ccs_error *err)
{
    OSSL_LIB_CTX *libctx = ccs_libctx(err);
    uint8_t digest[DIGEST_LEN];
    struct issuer *made;
    X509 *x = NULL;
    int rv;

    if (!libctx)
        return CCS_ESSL;
    if (!EVP_Q_digest(libctx, "SHA256", NULL, der, len, digest, NULL))
        return ccs_error_ssl(err, CCS_ESSL, "cannot compute the digest of a certificate");
    x = use(digest);
    if (x) {
        *out = x;
        return CCS_OK;
    }
    rv = ccs_key_pair_parse_certificate(der, len, &x, err);
    if (rv != CCS_OK)
        return rv;
    made = calloc(1, sizeof(*made));
    if (!made) {
        X509_free(x);
        return ccs_error_set(err, CCS_ENOMEM, "no memory for an intermediate certificate");
    }
    made->x = x;
    memcpy(made->digest, digest, sizeof(digest));
    *out = share(made);
    return CCS_OK;
}

X509 *ccs_issuers_find(const uint8_t *der, size_t len)
{
    OSSL_LIB_CTX *libctx = ccs_libctx(NULL);
    uint8_t digest[DIGEST_LEN];

    if (!libctx || !EVP_Q_digest(libctx, "SHA256", NULL, der, len, digest, NULL))
        return NULL;
    return use(digest);
}

static void unlink_locked(struct issuer *i)
{
    struct issuer **p = &by_digest[i->digest[0]];

    while (*p != i)
        p = &(*p)->next_digest;
    *p = i->next_digest;
    p = address_bucket(i->x);
    while (*p != i)
        p = &(*p)->next_address;
    *p = i->next_address;
    count--;
}

void ccs_issuers_release(X509 *x)
{
    struct issuer *i;
    int shared, last = 0;

    if (!x)
        return;
    (void)pthread_mutex_lock(&lock);
    i = *address_bucket(x);
    while (i && i->x != x)
        i = i->next_address;
    shared = i != NULL;
    if (i && --i->users == 0) {
        unlink_locked(i);
        last = 1;
    }
    (void)pthread_mutex_unlock(&lock);
    if (last)
        free(i);
    if (last || !shared)
        X509_free(x);
}

size_t ccs_issuers_count(void)
{
    size_t n;

    (void)pthread_mutex_lock(&lock);
    n = count;
    (void)pthread_mutex_unlock(&lock);
    return n;
}
