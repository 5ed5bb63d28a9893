/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "acquire.h"
#include "base.h"
#include "error.h"
#include "handshake.h"
#include "hello.h"
#include "inlet.h"

/*
 * The gate reads along while OpenSSL reads the ClientHello. Octets go straight into OpenSSL's
 * buffer; only the piece that completes the server name is held back, if its certificate has to be
 * loaded first. OpenSSL cannot act before it has the whole message, so nothing is decided without
 * it, and a handshake whose certificate is at hand costs no copy and no system call.
 */

struct gate {
    struct ccs_inlet inlet;
    struct ccs_gate_host host;
    void (*next_info)(const SSL *ssl, int type, int value);
    void (*own_info)(const SSL *ssl, int type, int value); /* given to the SSL by the gate */
    struct ccs_hello *hello;        /* of a hello that comes in pieces; or NULL */
    struct ccs_handshake handshake; /* last: most of it is seldom looked at */
};

/* glibc keeps freed memory of up to this size at hand; anything larger costs twice as much. */
static_assert(sizeof(struct gate) <= 1032, "a connection's record has grown too large");

/* The gate that member lies in. */
static inline struct gate *gate_of(void *member, size_t offset)
{
    return (struct gate *)(void *)((char *)member - offset);
}

static CCS_WARM void gate_forget_hello(struct gate *gate)
{
    free(gate->hello);
    gate->hello = NULL;
}

static CCS_WARM void gate_release(struct ccs_handshake *handshake)
{
    struct gate *gate = gate_of(handshake, offsetof(struct gate, handshake));

    ccs_inlet_clear(&gate->inlet);
    gate_forget_hello(gate);
    free(gate);
}

static CCS_WARM struct gate *gate_get(const SSL *ssl)
{
    struct ccs_handshake *handshake = ccs_handshake_get(ssl);

    if (handshake == NULL || handshake->release != gate_release)
        return NULL;
    return gate_of(handshake, offsetof(struct gate, handshake));
}

/* -- decision ------------------------------------------------------------------------------ */

static void gate_done(const struct ccs_answer *answer, void *arg)
{
    struct gate *gate = arg;

    ccs_handshake_pin(&gate->handshake, answer);
    ccs_inlet_pass(&gate->inlet);
    gate->host.resume(gate->handshake.ssl, gate->host.arg);
}

static CCS_WARM enum ccs_inlet_state gate_ask(struct gate *gate, const struct ccs_site *site,
                                              const struct ccs_hello *hello)
{
    struct ccs_handshake *handshake = &gate->handshake;
    int rv;

    if (ccs_handshake_begin(handshake, site, hello->name, hello->name_len) != CCS_OK)
        return CCS_INLET_PASS;
    rv = ccs_acquire_start_canonical(site->ccs, handshake->name, handshake->name_len, gate_done,
                                     gate, &handshake->answer, &handshake->request);
    if (rv == CCS_PENDING)
        return CCS_INLET_HOLD;
    handshake->request = NULL;
    ccs_handshake_decide(handshake);
    return CCS_INLET_PASS;
}

/* The server name is known: asks the host for its site, and the site for the certificate. */
static CCS_WARM enum ccs_inlet_state gate_decide(struct gate *gate, const struct ccs_hello *hello)
{
    char name[CCS_HELLO_NAME_MAX + 1];
    const struct ccs_site *site;
    size_t len = hello->name_len;

    /* OpenSSL refuses such a name, so nobody needs to see half of it. */
    if (memchr(hello->name, '\0', len) != NULL)
        return CCS_INLET_PASS;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)(hello->name[i] >= 'A' && hello->name[i] <= 'Z' ? hello->name[i] | 0x20
                                                                        : hello->name[i]);
    if (len > 1 && name[len - 1] == '.')
        len--;
    name[len] = '\0';
    site = gate->host.choose(gate->handshake.ssl, name, len, gate->host.arg);
    return site != NULL ? gate_ask(gate, site, hello) : CCS_INLET_PASS;
}

/* Most hellos come whole: the reader is kept only of those that do not. */
static CCS_WARM enum ccs_inlet_state gate_heard(struct ccs_inlet *inlet, const uint8_t *data,
                                                size_t len)
{
    struct gate *gate = gate_of(inlet, offsetof(struct gate, inlet));
    struct ccs_hello fresh, *hello = gate->hello;
    enum ccs_inlet_state state = CCS_INLET_PASS;
    int rv;

    if (hello == NULL) {
        ccs_hello_init(&fresh);
        hello = &fresh;
    }
    rv = ccs_hello_feed(hello, data, len);
    if (rv == CCS_PENDING && gate->hello == NULL && (gate->hello = malloc(sizeof(fresh))) != NULL)
        *gate->hello = fresh;
    if (rv == CCS_PENDING && gate->hello != NULL)
        return CCS_INLET_LISTEN;
    /* What cannot be read is left to OpenSSL, which finds out what is wrong with it. */
    if (rv == CCS_OK)
        state = gate_decide(gate, hello);
    gate_forget_hello(gate);
    return state;
}

static void gate_lost(struct ccs_inlet *inlet)
{
    struct gate *gate = gate_of(inlet, offsetof(struct gate, inlet));

    ccs_handshake_clear(&gate->handshake);
    gate_forget_hello(gate);
}

static const struct ccs_inlet_owner gate_owner = {.heard = gate_heard, .lost = gate_lost};

/* -- coming and going ---------------------------------------------------------------------- */

static CCS_WARM struct gate *gate_new(SSL *ssl, const struct ccs_attachment *attachment)
{
    /* Not cleared as a whole: most of it is room for names and texts that are seldom needed. */
    struct gate *gate = malloc(sizeof(*gate));

    if (gate == NULL)
        return NULL;
    gate->handshake.site = NULL;
    gate->handshake.request = NULL;
    gate->handshake.decided = gate->handshake.barred = 0;
    gate->hello = NULL;
    ccs_inlet_init(&gate->inlet, ssl, &gate_owner);
    gate->host = attachment->host;
    gate->next_info = attachment->next_info;
    gate->own_info = NULL;
    if (ccs_handshake_adopt(ssl, &gate->handshake, gate_release) != CCS_OK) {
        free(gate);
        return NULL;
    }
    return gate;
}

/* Has the gate listen to what ssl reads. Without memory ssl goes on without one. */
static CCS_WARM void gate_enter(SSL *ssl, struct gate *gate,
                                const struct ccs_attachment *attachment)
{
    /* SSL_in_before(): a renegotiation is nothing to listen to. */
    if (attachment == NULL || attachment->datagrams || !SSL_is_server(ssl) || !SSL_in_before(ssl) ||
        SSL_get_rbio(ssl) == NULL)
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
        ccs_inlet_drop(&gate->inlet);
        gate_forget_hello(gate);
    }
    ccs_inlet_listen(&gate->inlet);
}

static CCS_WARM void gate_info(const SSL *seen, int type, int value)
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
    } else if (gate != NULL) {
        ccs_inlet_leave(&gate->inlet);
    }
}

/*
 * The SSL_CTX is chosen, and with it the info callback that the host wants. OpenSSL asks that of
 * the SSL before that of the SSL_CTX: once the gate has nothing more to do the events that are
 * still to come, which are most of them, need not go through it. A callback that the host itself
 * has given to the SSL stays.
 */
static CCS_WARM void gate_chosen(SSL *ssl, const struct ccs_attachment *in_force)
{
    void (*own)(const SSL *, int, int) = SSL_get_info_callback(ssl);
    struct gate *gate = gate_get(ssl);

    if (gate == NULL || !gate->host.single_use || (own != NULL && own != gate->own_info))
        return;
    gate->own_info = in_force == NULL || ccs_inlet_present(&gate->inlet) ? NULL
                                                                         : in_force->next_info;
    if (gate->own_info != own)
        SSL_set_info_callback(ssl, gate->own_info);
}

/* Whether connections of ctx are DTLS, which no gate can read. */
static int gate_is_datagram(SSL_CTX *ctx, int *out, struct ccs_error *err)
{
    SSL *ssl;

    ERR_set_mark();
    ssl = SSL_new(ctx);
    ERR_pop_to_mark();
    if (ssl == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "OpenSSL has no memory for a TLS connection");
    *out = SSL_is_dtls(ssl);
    SSL_free(ssl);
    return CCS_OK;
}

int ccs_gate_attach(SSL_CTX *ctx, struct ccs_site *site, const struct ccs_gate_host *host,
                    struct ccs_error *err)
{
    const struct ccs_attachment *before;
    struct ccs_attachment attachment = {.site = site, .chosen = gate_chosen};
    int rv;

    if (ctx == NULL || host == NULL || host->choose == NULL || host->resume == NULL)
        return ccs_error_set(err, CCS_EINVAL,
                             "a gate needs an SSL_CTX, and a host that chooses and resumes");
    before = ccs_attachment_get(ctx);
    if (before != NULL && before->blocking)
        return ccs_error_set(err, CCS_EINVAL, "this SSL_CTX belongs to a blocking server already");
    rv = gate_is_datagram(ctx, &attachment.datagrams, err);
    if (rv != CCS_OK)
        return rv;
    attachment.host = *host;
    attachment.next_info = SSL_CTX_get_info_callback(ctx);
    if (attachment.next_info == gate_info)
        attachment.next_info = before != NULL ? before->next_info : NULL;
    rv = ccs_attachment_set(ctx, &attachment, err);
    if (rv == CCS_OK)
        SSL_CTX_set_info_callback(ctx, gate_info);
    return rv;
}
