/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <ccs/ccs.h>

#include "base.h"
#include "inlet.h"

#define INLET_HELD_MAX 65536 /* octets that a client may send ahead while it waits */
#define INLET_HELD_MIN 2048

static pthread_once_t inlet_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *inlet_method;

CCS_WARM void ccs_inlet_init(struct ccs_inlet *inlet, SSL *ssl, const struct ccs_inlet_owner *owner)
{
    inlet->owner = owner;
    inlet->ssl = ssl;
    inlet->state = CCS_INLET_PASS;
    inlet->tap = inlet->filter = NULL;
    inlet->held = NULL;
    inlet->held_size = inlet->held_len = inlet->held_taken = 0;
}

CCS_WARM void ccs_inlet_drop(struct ccs_inlet *inlet)
{
    free(inlet->held);
    inlet->held = NULL;
    inlet->held_size = inlet->held_len = inlet->held_taken = 0;
}

void ccs_inlet_pass(struct ccs_inlet *inlet)
{
    inlet->state = CCS_INLET_PASS;
}

CCS_WARM int ccs_inlet_present(const struct ccs_inlet *inlet)
{
    return inlet->tap != NULL || inlet->filter != NULL;
}

static void inlet_lose(struct ccs_inlet *inlet)
{
    if (inlet->state == CCS_INLET_PASS)
        return;
    inlet->owner->lost(inlet);
    inlet->state = CCS_INLET_PASS;
}

/* -- holding ------------------------------------------------------------------------------- */

static int inlet_pull(BIO *filter, void *to, size_t size)
{
    int n = BIO_read(BIO_next(filter), to, size > INT_MAX ? INT_MAX : (int)size);

    BIO_clear_retry_flags(filter);
    BIO_copy_next_retry(filter);
    return n;
}

/* Makes room for at least one more octet. */
static int inlet_grow(struct ccs_inlet *inlet, size_t want)
{
    size_t size = inlet->held_size < INLET_HELD_MIN ? INLET_HELD_MIN : inlet->held_size * 2;
    uint8_t *held;

    while (size < want)
        size *= 2;
    held = realloc(inlet->held, size);
    if (held == NULL)
        return CCS_ENOMEM;
    inlet->held = held;
    inlet->held_size = size;
    return CCS_OK;
}

/*
 * Goes on reading while OpenSSL waits, so that a client that leaves is noticed at once and the
 * socket does not stay readable. What came before its end is of no use then.
 */
static int inlet_wait(struct ccs_inlet *inlet, BIO *filter)
{
    int n, error;

    for (;;) {
        if (inlet->held_len == inlet->held_size &&
            (inlet->held_len >= INLET_HELD_MAX || inlet_grow(inlet, 0) != CCS_OK)) {
            BIO_clear_retry_flags(filter);
            BIO_set_retry_read(filter);
            return -1;
        }
        n = inlet_pull(filter, inlet->held + inlet->held_len, inlet->held_size - inlet->held_len);
        if (n > 0) {
            inlet->held_len += (size_t)n;
            continue;
        }
        if (BIO_should_retry(filter))
            return -1;
        error = errno;
        inlet_lose(inlet);
        ccs_inlet_drop(inlet);
        errno = error;
        return n;
    }
}

/* Keeps what has just been heard: what the read says now. Without memory it is not kept. */
static int inlet_hold(struct ccs_inlet *inlet, BIO *filter, const void *piece, size_t len)
{
    if (filter == NULL || inlet_grow(inlet, len + 1) != CCS_OK) {
        inlet_lose(inlet);
        return 1;
    }
    memcpy(inlet->held, piece, len);
    inlet->held_len = len;
    return inlet_wait(inlet, filter);
}

/* -- the filter ---------------------------------------------------------------------------- */

static int inlet_collect(struct ccs_inlet *inlet, BIO *bio, char *out, size_t size, size_t *got)
{
    int n = inlet_pull(bio, out, size);

    if (n <= 0)
        return n;
    *got = (size_t)n;
    inlet->state = inlet->owner->heard(inlet, (const uint8_t *)out, (size_t)n);
    if (inlet->state == CCS_INLET_HOLD)
        return inlet_hold(inlet, bio, out, (size_t)n);
    return 1;
}

static int inlet_read(BIO *bio, char *out, size_t size, size_t *got)
{
    struct ccs_inlet *inlet = BIO_get_data(bio);
    int n;

    BIO_clear_retry_flags(bio);
    if (BIO_next(bio) == NULL || size == 0)
        return 0;
    if (inlet != NULL && inlet->state == CCS_INLET_LISTEN)
        return inlet_collect(inlet, bio, out, size, got);
    if (inlet != NULL && inlet->state == CCS_INLET_HOLD)
        return inlet_wait(inlet, bio);
    if (inlet != NULL && inlet->held_taken < inlet->held_len) {
        if (size > inlet->held_len - inlet->held_taken)
            size = inlet->held_len - inlet->held_taken;
        memcpy(out, inlet->held + inlet->held_taken, size);
        inlet->held_taken += size;
        if (inlet->held_taken == inlet->held_len)
            ccs_inlet_drop(inlet);
        *got = size;
        return 1;
    }
    n = inlet_pull(bio, out, size);
    if (n <= 0)
        return n;
    *got = (size_t)n;
    return 1;
}

static int inlet_write(BIO *bio, const char *data, size_t size, size_t *written)
{
    int rv;

    BIO_clear_retry_flags(bio);
    if (BIO_next(bio) == NULL)
        return 0;
    rv = BIO_write_ex(BIO_next(bio), data, size, written);
    BIO_copy_next_retry(bio);
    return rv;
}

static long inlet_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct ccs_inlet *inlet = BIO_get_data(bio);
    size_t held = inlet != NULL ? inlet->held_len - inlet->held_taken : 0;
    long rv;

    switch (cmd) {
    case BIO_CTRL_PUSH:
    case BIO_CTRL_POP:
    case BIO_CTRL_DUP:
        return 0;
    case BIO_CTRL_EOF:
        if (held != 0)
            return 0;
        break;
    default:
        break;
    }
    if (BIO_next(bio) == NULL)
        return 0;
    rv = BIO_ctrl(BIO_next(bio), cmd, num, ptr);
    if (cmd == BIO_CTRL_PENDING)
        return rv > 0 ? rv + (long)held : (long)held;
    return rv;
}

static int inlet_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* The application may take the filter away with the BIO that it replaces. */
static int inlet_destroy(BIO *bio)
{
    struct ccs_inlet *inlet = BIO_get_data(bio);

    if (inlet != NULL) {
        inlet->filter = NULL;
        inlet_lose(inlet);
        ccs_inlet_drop(inlet);
        BIO_set_data(bio, NULL);
    }
    return 1;
}

static void inlet_method_init(void)
{
    int index = BIO_get_new_index();
    BIO_METHOD *method = index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_FILTER, "ccs gate");

    if (method != NULL && BIO_meth_set_read_ex(method, inlet_read) &&
        BIO_meth_set_write_ex(method, inlet_write) && BIO_meth_set_ctrl(method, inlet_ctrl) &&
        BIO_meth_set_create(method, inlet_create) && BIO_meth_set_destroy(method, inlet_destroy))
        inlet_method = method;
    else
        BIO_meth_free(method);
}

/* Puts a filter in front of from, which the SSL reads from now. NULL: no memory. */
static BIO *inlet_insert(struct ccs_inlet *inlet, BIO *from)
{
    BIO *filter = NULL;

    ERR_set_mark();
    if (pthread_once(&inlet_once, inlet_method_init) == 0 && inlet_method != NULL)
        filter = BIO_new(inlet_method);
    if (filter != NULL && BIO_up_ref(from) != 1) {
        BIO_free(filter);
        filter = NULL;
    }
    ERR_pop_to_mark();
    if (filter == NULL)
        return NULL;
    /* Not BIO_push(): from may be the write side too, whose own chain it would tangle. */
    BIO_set_next(filter, from);
    BIO_set_data(filter, inlet);
    inlet->filter = filter;
    SSL_set0_rbio(inlet->ssl, filter);
    return filter;
}

/* -- the callback -------------------------------------------------------------------------- */

static CCS_WARM void inlet_untap(struct ccs_inlet *inlet)
{
    BIO_set_callback_ex(inlet->tap, NULL);
    BIO_set_callback_arg(inlet->tap, NULL);
    inlet->tap = NULL;
}

/*
 * What has been read, before OpenSSL sees it: instead, the read may be made to say "would block".
 * From then on the SSL reads through a filter, which it looks at after this very read.
 */
static CCS_WARM long inlet_tapped(BIO *bio, int oper, const char *data, size_t len, int argi,
                                  long argl, int rv, size_t *got)
{
    struct ccs_inlet *inlet;
    size_t n;

    (void)len, (void)argi, (void)argl;
    /* Most calls are about something else. */
    if (oper != BIO_CB_FREE && (oper != (BIO_CB_READ | BIO_CB_RETURN) || rv <= 0 || *got == 0))
        return rv;
    inlet = (struct ccs_inlet *)(void *)BIO_get_callback_arg(bio);
    if (oper == BIO_CB_FREE || SSL_get_rbio(inlet->ssl) != bio) {
        inlet_untap(inlet);
        inlet_lose(inlet);
        return rv;
    }
    n = *got;
    inlet->state = inlet->owner->heard(inlet, (const uint8_t *)data, n);
    if (inlet->state == CCS_INLET_LISTEN)
        return rv;
    inlet_untap(inlet);
    if (inlet->state == CCS_INLET_PASS)
        return rv;
    rv = inlet_hold(inlet, inlet_insert(inlet, bio), data, n);
    if (rv <= 0)
        *got = 0;
    return rv;
}

/* -- coming and going ---------------------------------------------------------------------- */

CCS_WARM void ccs_inlet_listen(struct ccs_inlet *inlet)
{
    BIO *from = SSL_get_rbio(inlet->ssl);

    inlet->state = CCS_INLET_LISTEN;
    if (ccs_inlet_present(inlet))
        return;
    if (BIO_get_callback_ex(from) != NULL || BIO_get_callback_arg(from) != NULL) {
        if (inlet_insert(inlet, from) == NULL)
            inlet->state = CCS_INLET_PASS;
        return;
    }
    inlet->tap = from;
    BIO_set_callback_ex(from, inlet_tapped);
    BIO_set_callback_arg(from, (char *)inlet);
}

CCS_WARM void ccs_inlet_leave(struct ccs_inlet *inlet)
{
    BIO *filter = inlet->filter, *next;

    if (filter == NULL || inlet->state != CCS_INLET_PASS || inlet->held_len != 0 ||
        SSL_get_rbio(inlet->ssl) != filter)
        return;
    next = BIO_next(filter);
    BIO_set_next(filter, NULL);
    BIO_set_data(filter, NULL);
    inlet->filter = NULL;
    SSL_set0_rbio(inlet->ssl, next);
}

CCS_WARM void ccs_inlet_clear(struct ccs_inlet *inlet)
{
    /* A callback that the application has put in place of this one is not this one's to remove. */
    if (inlet->tap != NULL && BIO_get_callback_ex(inlet->tap) == inlet_tapped)
        inlet_untap(inlet);
    inlet->tap = NULL;
    if (inlet->filter != NULL)
        BIO_set_data(inlet->filter, NULL);
    inlet->filter = NULL;
    ccs_inlet_drop(inlet);
}
