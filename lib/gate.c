/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "acquire.h"
#include "error.h"
#include "handshake.h"
#include "hello.h"

/*
 * The gate reads along while OpenSSL reads the ClientHello. Octets go straight into OpenSSL's
 * buffer; only the piece that completes the server name is held back, if its certificate has to be
 * loaded first. OpenSSL cannot act before it has the whole message, so nothing is decided without
 * it, and a handshake whose certificate is at hand costs no copy and no system call.
 */

#define GATE_HELD_MAX 65536 /* octets that a client may send ahead while it waits */
#define GATE_HELD_MIN 2048

enum gate_state {
    GATE_COLLECT, /* the server name is not known yet */
    GATE_WAIT,    /* its certificate is being loaded */
    GATE_PASS     /* decided */
};

struct gate {
    struct ccs_handshake handshake; /* first: released through it */
    enum gate_state state;
    BIO *bio;      /* borrowed from the SSL; NULL once it is gone */
    uint8_t *held; /* octets kept from OpenSSL */
    size_t held_size, held_len, held_taken;
    struct ccs_gate_host host;
    void (*next_info)(const SSL *ssl, int type, int value);
    struct ccs_hello *hello; /* in GATE_COLLECT, of a hello that comes in pieces; or NULL */
};

/* glibc keeps freed memory of up to this size at hand; anything larger costs twice as much. */
static_assert(sizeof(struct gate) <= 1032, "a connection's record has grown too large");

static pthread_once_t gate_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *gate_method;

/* The info callback of the first SSL_CTX that had one: as a rule all of a host's have the same. */
static void (*_Atomic gate_usual_info)(const SSL *ssl, int type, int value);

static void gate_drop(struct gate *gate)
{
    free(gate->held);
    gate->held = NULL;
    gate->held_size = gate->held_len = gate->held_taken = 0;
}

static void gate_forget_hello(struct gate *gate)
{
    free(gate->hello);
    gate->hello = NULL;
}

static void gate_release(struct ccs_handshake *handshake)
{
    struct gate *gate = (struct gate *)handshake;

    if (gate->bio != NULL)
        BIO_set_data(gate->bio, NULL);
    gate_drop(gate);
    gate_forget_hello(gate);
    free(gate);
}

static struct gate *gate_get(const SSL *ssl)
{
    struct ccs_handshake *handshake = ccs_handshake_get(ssl);

    return handshake != NULL && handshake->release == gate_release ? (struct gate *)handshake
                                                                   : NULL;
}

/* -- decision ------------------------------------------------------------------------------ */

static void gate_done(const struct ccs_answer *answer, void *arg)
{
    struct gate *gate = arg;

    ccs_handshake_pin(&gate->handshake, answer);
    gate->state = GATE_PASS;
    gate->host.resume(gate->handshake.ssl, gate->host.arg);
}

static void gate_ask(struct gate *gate, const struct ccs_site *site, const struct ccs_hello *hello)
{
    struct ccs_handshake *handshake = &gate->handshake;
    int rv;

    if (ccs_handshake_begin(handshake, site, hello->name, hello->name_len) != CCS_OK)
        return;
    rv = ccs_acquire_start_canonical(site->ccs, handshake->name, handshake->name_len, gate_done,
                                     gate, &handshake->answer, &handshake->request);
    if (rv == CCS_PENDING) {
        gate->state = GATE_WAIT;
    } else {
        handshake->request = NULL;
        ccs_handshake_decide(handshake);
    }
}

/* The server name is known: asks the host for its site, and the site for the certificate. */
static void gate_decide(struct gate *gate, const struct ccs_hello *hello)
{
    char name[CCS_HELLO_NAME_MAX + 1];
    const struct ccs_site *site;
    size_t len = hello->name_len;

    /* OpenSSL refuses such a name, so nobody needs to see half of it. */
    if (memchr(hello->name, '\0', len) != NULL)
        return;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)(hello->name[i] >= 'A' && hello->name[i] <= 'Z' ? hello->name[i] | 0x20
                                                                        : hello->name[i]);
    if (len > 1 && name[len - 1] == '.')
        len--;
    name[len] = '\0';
    site = gate->host.choose(gate->handshake.ssl, name, len, gate->host.arg);
    if (site != NULL)
        gate_ask(gate, site, hello);
}

/* Most hellos come whole: the reader is kept only of those that do not. */
static void gate_listen(struct gate *gate, const uint8_t *data, size_t len)
{
    struct ccs_hello fresh, *hello = gate->hello;
    int rv;

    if (hello == NULL) {
        ccs_hello_init(&fresh);
        hello = &fresh;
    }
    rv = ccs_hello_feed(hello, data, len);
    if (rv == CCS_PENDING && gate->hello == NULL && (gate->hello = malloc(sizeof(fresh))) != NULL)
        *gate->hello = fresh;
    if (rv == CCS_PENDING && gate->hello != NULL)
        return;
    gate->state = GATE_PASS;
    /* What cannot be read is left to OpenSSL, which finds out what is wrong with it. */
    if (rv == CCS_OK)
        gate_decide(gate, hello);
    gate_forget_hello(gate);
}

/* -- the filter ---------------------------------------------------------------------------- */

static int gate_pull(BIO *bio, void *to, size_t size)
{
    int n = BIO_read(BIO_next(bio), to, size > INT_MAX ? INT_MAX : (int)size);

    BIO_clear_retry_flags(bio);
    BIO_copy_next_retry(bio);
    return n;
}

/* Makes room for at least one more octet. */
static int gate_grow(struct gate *gate, size_t want)
{
    size_t size = gate->held_size < GATE_HELD_MIN ? GATE_HELD_MIN : gate->held_size * 2;
    uint8_t *held;

    while (size < want)
        size *= 2;
    held = realloc(gate->held, size);
    if (held == NULL)
        return CCS_ENOMEM;
    gate->held = held;
    gate->held_size = size;
    return CCS_OK;
}

/*
 * Goes on reading while OpenSSL waits, so that a client that leaves is noticed at once and the
 * socket does not stay readable. What came before its end is of no use then.
 */
static int gate_wait(struct gate *gate, BIO *bio)
{
    int n, error;

    for (;;) {
        if (gate->held_len == gate->held_size &&
            (gate->held_len >= GATE_HELD_MAX || gate_grow(gate, 0) != CCS_OK)) {
            BIO_clear_retry_flags(bio);
            BIO_set_retry_read(bio);
            return -1;
        }
        n = gate_pull(bio, gate->held + gate->held_len, gate->held_size - gate->held_len);
        if (n > 0) {
            gate->held_len += (size_t)n;
            continue;
        }
        if (BIO_should_retry(bio))
            return -1;
        error = errno;
        ccs_handshake_clear(&gate->handshake);
        gate_drop(gate);
        gate->state = GATE_PASS;
        errno = error;
        return n;
    }
}

static int gate_hold(struct gate *gate, BIO *bio, const void *piece, size_t len)
{
    if (gate_grow(gate, len + 1) != CCS_OK) {
        ccs_handshake_clear(&gate->handshake);
        gate->state = GATE_PASS;
        return 0;
    }
    memcpy(gate->held, piece, len);
    gate->held_len = len;
    return gate_wait(gate, bio);
}

static int gate_collect(struct gate *gate, BIO *bio, char *out, size_t size, size_t *got)
{
    int n = gate_pull(bio, out, size);

    if (n <= 0)
        return n;
    gate_listen(gate, (const uint8_t *)out, (size_t)n);
    if (gate->state == GATE_WAIT)
        return gate_hold(gate, bio, out, (size_t)n);
    *got = (size_t)n;
    return 1;
}

static int gate_read(BIO *bio, char *out, size_t size, size_t *got)
{
    struct gate *gate = BIO_get_data(bio);
    int n;

    BIO_clear_retry_flags(bio);
    if (BIO_next(bio) == NULL || size == 0)
        return 0;
    if (gate != NULL && gate->state == GATE_COLLECT)
        return gate_collect(gate, bio, out, size, got);
    if (gate != NULL && gate->state == GATE_WAIT)
        return gate_wait(gate, bio);
    if (gate != NULL && gate->held_taken < gate->held_len) {
        if (size > gate->held_len - gate->held_taken)
            size = gate->held_len - gate->held_taken;
        memcpy(out, gate->held + gate->held_taken, size);
        gate->held_taken += size;
        if (gate->held_taken == gate->held_len)
            gate_drop(gate);
        *got = size;
        return 1;
    }
    n = gate_pull(bio, out, size);
    if (n <= 0)
        return n;
    *got = (size_t)n;
    return 1;
}

static int gate_write(BIO *bio, const char *data, size_t size, size_t *written)
{
    int rv;

    BIO_clear_retry_flags(bio);
    if (BIO_next(bio) == NULL)
        return 0;
    rv = BIO_write_ex(BIO_next(bio), data, size, written);
    BIO_copy_next_retry(bio);
    return rv;
}

static long gate_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct gate *gate = BIO_get_data(bio);
    size_t held = gate != NULL ? gate->held_len - gate->held_taken : 0;
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

static int gate_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* The host may take the gate away with the BIO it replaces. */
static int gate_destroy(BIO *bio)
{
    struct gate *gate = BIO_get_data(bio);

    if (gate != NULL) {
        gate->bio = NULL;
        if (gate->state != GATE_PASS)
            ccs_handshake_clear(&gate->handshake);
        gate->state = GATE_PASS;
        gate_drop(gate);
        gate_forget_hello(gate);
        BIO_set_data(bio, NULL);
    }
    return 1;
}

static void gate_init(void)
{
    BIO_METHOD *method;
    int index;

    ERR_set_mark();
    index = BIO_get_new_index();
    method = index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_FILTER, "ccs gate");
    if (method != NULL && BIO_meth_set_read_ex(method, gate_read) &&
        BIO_meth_set_write_ex(method, gate_write) && BIO_meth_set_ctrl(method, gate_ctrl) &&
        BIO_meth_set_create(method, gate_create) && BIO_meth_set_destroy(method, gate_destroy))
        gate_method = method;
    else
        BIO_meth_free(method);
    ERR_pop_to_mark();
}

/* -- coming and going ---------------------------------------------------------------------- */

static struct gate *gate_new(SSL *ssl, const struct ccs_attachment *attachment)
{
    /* Not cleared as a whole: most of it is room for names and texts that are seldom needed. */
    struct gate *gate = malloc(sizeof(*gate));

    if (gate == NULL)
        return NULL;
    gate->handshake.site = NULL;
    gate->handshake.request = NULL;
    gate->handshake.decided = gate->handshake.barred = 0;
    gate->bio = NULL;
    gate->hello = NULL;
    gate->held = NULL;
    gate->held_size = gate->held_len = gate->held_taken = 0;
    gate->host = attachment->host;
    gate->next_info = attachment->next_info;
    if (ccs_handshake_adopt(ssl, &gate->handshake, gate_release) != CCS_OK) {
        free(gate);
        return NULL;
    }
    return gate;
}

/* Puts the gate between ssl and what it reads from. Without memory ssl goes on without one. */
static void gate_enter(SSL *ssl, struct gate *gate, const struct ccs_attachment *attachment)
{
    BIO *from = SSL_get_rbio(ssl);
    uint8_t none;

    /* Only a connection's first handshake starts with nothing said yet. */
    if (attachment == NULL || from == NULL || !SSL_is_server(ssl) || SSL_is_dtls(ssl) ||
        SSL_get_finished(ssl, &none, 0) != 0)
        return;
    if (gate == NULL) {
        if (ccs_handshake_get(ssl) != NULL)
            return;
        gate = gate_new(ssl, attachment);
        if (gate == NULL)
            return;
    } else {
        /* SSL_clear() made it a new connection. */
        ccs_handshake_clear(&gate->handshake);
        gate_drop(gate);
        gate_forget_hello(gate);
    }
    gate->state = GATE_COLLECT;
    if (gate->bio != NULL)
        return;
    gate->bio = BIO_new(gate_method);
    if (gate->bio == NULL || BIO_up_ref(from) != 1) {
        BIO_free(gate->bio);
        gate->bio = NULL;
        gate->state = GATE_PASS;
        return;
    }
    /* Not BIO_push(): from may be the write side too, whose own chain it would tangle. */
    BIO_set_next(gate->bio, from);
    BIO_set_data(gate->bio, gate);
    SSL_set0_rbio(ssl, gate->bio);
}

/* Takes the gate out again, so that kernel TLS and all later reads see the BIO of before. */
static void gate_leave(SSL *ssl, struct gate *gate)
{
    BIO *next;

    if (SSL_get_rbio(ssl) != gate->bio)
        return;
    next = BIO_next(gate->bio);
    BIO_set_next(gate->bio, NULL);
    BIO_set_data(gate->bio, NULL);
    gate->bio = NULL;
    SSL_set0_rbio(ssl, next);
}

static void gate_info(const SSL *seen, int type, int value)
{
    SSL *ssl = (SSL *)(uintptr_t)seen;
    const struct ccs_attachment *attachment = ccs_attachment_get(SSL_get_SSL_CTX(seen));
    struct gate *gate = gate_get(seen);
    void (*next)(const SSL *, int, int) = NULL;

    if (attachment != NULL)
        next = attachment->next_info;
    else if (gate != NULL)
        next = gate->next_info;
    if (next != NULL)
        next(seen, type, value);

    if (type == SSL_CB_HANDSHAKE_START) {
        ERR_set_mark();
        gate_enter(ssl, gate, attachment);
        ERR_pop_to_mark();
    } else if (gate != NULL && gate->bio != NULL && gate->state == GATE_PASS &&
               gate->held_len == 0) {
        gate_leave(ssl, gate);
    }
}

/* In gate_info()'s place once the gate has gone: most events are still to come then. */
static void gate_gone_info(const SSL *seen, int type, int value)
{
    if (type != SSL_CB_HANDSHAKE_START) {
        atomic_load_explicit(&gate_usual_info, memory_order_relaxed)(seen, type, value);
        return;
    }
    /* SSL_clear() makes a new connection of it, which needs a gate again. */
    if (SSL_get_info_callback(seen) == gate_gone_info)
        SSL_set_info_callback((SSL *)(uintptr_t)seen, NULL);
    gate_info(seen, type, value);
}

/*
 * The SSL_CTX is chosen, and with it the info callback that the host wants. OpenSSL asks that of
 * the SSL before that of the SSL_CTX, but one that the host itself has given to the SSL stays.
 */
static void gate_chosen(SSL *ssl, const struct ccs_attachment *in_force)
{
    void (*usual)(const SSL *, int, int) = atomic_load_explicit(&gate_usual_info,
                                                                memory_order_relaxed);
    void (*own)(const SSL *, int, int) = SSL_get_info_callback(ssl);
    const struct gate *gate = gate_get(ssl);
    int gone = gate != NULL && gate->bio == NULL && in_force != NULL && usual != NULL &&
               in_force->next_info == usual;

    if (own == NULL || own == gate_gone_info)
        SSL_set_info_callback(ssl, gone ? gate_gone_info : NULL);
}

int ccs_gate_attach(SSL_CTX *ctx, struct ccs_site *site, const struct ccs_gate_host *host,
                    struct ccs_error *err)
{
    const struct ccs_attachment *before;
    struct ccs_attachment attachment = {.site = site, .chosen = gate_chosen};
    void (*none)(const SSL *, int, int) = NULL;
    int rv;

    if (ctx == NULL || host == NULL || host->choose == NULL || host->resume == NULL)
        return ccs_error_set(err, CCS_EINVAL,
                             "a gate needs an SSL_CTX, and a host that chooses and resumes");
    if (pthread_once(&gate_once, gate_init) != 0 || gate_method == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "OpenSSL has no memory for a BIO method");
    before = ccs_attachment_get(ctx);
    if (before != NULL && before->blocking)
        return ccs_error_set(err, CCS_EINVAL, "this SSL_CTX belongs to a blocking server already");
    attachment.host = *host;
    attachment.next_info = SSL_CTX_get_info_callback(ctx);
    if (attachment.next_info == gate_info)
        attachment.next_info = before != NULL ? before->next_info : NULL;
    if (attachment.next_info != NULL)
        atomic_compare_exchange_strong(&gate_usual_info, &none, attachment.next_info);
    rv = ccs_attachment_set(ctx, &attachment, err);
    if (rv == CCS_OK)
        SSL_CTX_set_info_callback(ctx, gate_info);
    return rv;
}
