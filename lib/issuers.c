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

/* A chain of such, found by the address of its first certificate. */
struct chain {
    struct chain *next;
    STACK_OF(X509) *stack;
    size_t users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below; a leaf */
static struct issuer *by_digest[BUCKETS];
static struct issuer *by_address[BUCKETS];
static size_t count;
static struct chain *chains[BUCKETS];
static size_t chain_count;

static size_t address_hash(const X509 *x)
{
    uintptr_t a = (uintptr_t)x;

    return (a >> 4 ^ a >> 12) % BUCKETS;
}

static struct issuer **address_bucket(const X509 *x)
{
    return &by_address[address_hash(x)];
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

/* -- chains -------------------------------------------------------------------------------- */

static struct chain **chain_bucket(const STACK_OF(X509) *chain)
{
    return &chains[address_hash(sk_X509_value(chain, 0))];
}

static int same_chain(const STACK_OF(X509) *a, const STACK_OF(X509) *b)
{
    if (sk_X509_num(a) != sk_X509_num(b))
        return 0;
    for (int i = 0; i < sk_X509_num(a); i++)
        if (sk_X509_value(a, i) != sk_X509_value(b, i))
            return 0;
    return 1;
}

static void free_chain(STACK_OF(X509) *chain)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        ccs_issuers_release(sk_X509_value(chain, i));
    sk_X509_free(chain);
}

STACK_OF(X509) *ccs_issuers_share_chain(STACK_OF(X509) *chain)
{
    struct chain *made = calloc(1, sizeof(*made)), *c;
    STACK_OF(X509) *spare = NULL;

    if (!made)
        return chain;
    (void)pthread_mutex_lock(&lock);
    for (c = *chain_bucket(chain); c; c = c->next)
        if (same_chain(c->stack, chain))
            break;
    if (c) {
        c->users++;
        spare = chain;
        chain = c->stack;
    } else if (chain_count < CCS_ISSUERS_MAX) {
        *made = (struct chain){.next = *chain_bucket(chain), .stack = chain, .users = 1};
        *chain_bucket(chain) = made;
        chain_count++;
        made = NULL;
    }
    (void)pthread_mutex_unlock(&lock);
    free(made);
    free_chain(spare);
    return chain;
}

void ccs_issuers_release_chain(STACK_OF(X509) *chain)
{
    struct chain **p, *c = NULL;
    int last = 1;

    if (!chain)
        return;
    if (sk_X509_num(chain) > 0) {
        (void)pthread_mutex_lock(&lock);
        for (p = chain_bucket(chain); *p && (*p)->stack != chain;)
            p = &(*p)->next;
        c = *p;
        last = !c || --c->users == 0;
        if (c && last) {
            *p = c->next;
            chain_count--;
        }
        (void)pthread_mutex_unlock(&lock);
    }
    if (last) {
        free(c);
        free_chain(chain);
    }
}

static size_t read_count(const size_t *of)
{
    size_t n;

    (void)pthread_mutex_lock(&lock);
    n = *of;
    (void)pthread_mutex_unlock(&lock);
    return n;
}

size_t ccs_issuers_count(void)
{
    return read_count(&count);
}

size_t ccs_issuers_chain_count(void)
{
    return read_count(&chain_count);
}
