/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_HANDSHAKE_H
#define CCS_HANDSHAKE_H

/*
 * What is decided for one connection, and the OpenSSL callbacks that carry it out: the server name
 * callback refuses names that cannot be served (on resumption as well), the certificate callback
 * attaches the credential. Both go by the SSL_CTX in force, and by an answer only if it was given
 * for that site and that name.
 */

#include <openssl/ssl.h>

#include <ccs/openssl.h>

#include "site.h"

/* What is known of an SSL_CTX. Lives in its ex_data. */
struct ccs_attachment {
    struct ccs_site *site; /* NULL: not one of ours */
    int blocking;          /* handshakes may wait; otherwise memory alone answers late questions */
    int datagrams;         /* connections are DTLS */
    struct ccs_gate_host host;
    struct ccs_thread_host thread; /* with ccs_thread_attach() */
    SSL_SESSION *(*next_session)(SSL *ssl, const unsigned char *id, int len, int *copy);
    void (*next_info)(const SSL *ssl, int type, int value);

    /*
     * Called at each server name callback once the host has chosen the SSL_CTX, with that one's
     * attachment, or NULL; may be NULL. Raises no OpenSSL errors.
     */
    void (*chosen)(SSL *ssl, const struct ccs_attachment *in_force);
};

/* Borrowed from ctx, or NULL. */
struct ccs_attachment *ccs_attachment_get(const SSL_CTX *ctx);

/*
 * Gives ctx a copy of *attachment in place of one it may have, and sets its certificate callback if
 * there is a site, and its server name callback if there is one or a gate.
 */
int ccs_attachment_set(SSL_CTX *ctx, const struct ccs_attachment *attachment,
                       struct ccs_error *err);

/* Lives in the ex_data of its SSL. */
struct ccs_handshake {
    SSL *ssl;

    /* Frees the object that this is a member of. */
    void (*release)(struct ccs_handshake *handshake);

    const struct ccs_site *site; /* that was asked; NULL: none yet */
    struct ccs_request *request; /* under way, or NULL */
    int decided;                 /* answer is valid */
    int barred;                  /* no fallback either */
    int unnamed;                 /* the client sent no name */
    size_t name_len;             /* 0: there is no name to ask the store for */
    char name[CCS_STEM_SIZE];    /* canonical */
    struct ccs_answer answer;
};

/* Borrowed from ssl, or NULL. */
struct ccs_handshake *ccs_handshake_get(const SSL *ssl);

/* ssl owns it from CCS_OK on, and releases it when it is freed. */
int ccs_handshake_adopt(SSL *ssl, struct ccs_handshake *handshake,
                        void (*release)(struct ccs_handshake *handshake));

/* Cancels and forgets everything. */
void ccs_handshake_clear(struct ccs_handshake *handshake);

/*
 * Starts over for a site and a name as a client sent it (len 0: none). CCS_OK: the store is to be
 * asked for handshake->name. Otherwise it is decided.
 */
int ccs_handshake_begin(struct ccs_handshake *handshake, const struct ccs_site *site,
                        const char *name, size_t len);

/*
 * The answer is there: sets the session id context, which keeps the sessions of this name apart
 * from those of all others, and from those that were made with the server's own certificate.
 * Returns answer.code.
 */
int ccs_handshake_decide(struct ccs_handshake *handshake);

/* Begins, asks the store of the site attached, waits for its answer and decides. */
void ccs_handshake_wait(struct ccs_handshake *handshake, const struct ccs_attachment *attachment,
                        const char *name, size_t len);

/* Takes a borrowed answer, with a reference of its own, and decides. */
void ccs_handshake_pin(struct ccs_handshake *handshake, const struct ccs_answer *answer);

/* New, without a gate, owned by ssl; NULL: no memory. */
struct ccs_handshake *ccs_handshake_new(SSL *ssl);

#endif
