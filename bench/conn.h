/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_CONN_H
#define CCS_BENCH_CONN_H

/* One client connection: TCP, TLS handshake, orderly close. It never blocks. */

#include <netinet/in.h>
#include <stdint.h>
#include <sys/queue.h>

#include <openssl/ssl.h>

#include "names.h"

enum ccs_conn_end {
    CCS_CONN_NONE,    /* the handshake goes on */
    CCS_CONN_SERVED,  /* done, and the certificate was for the name */
    CCS_CONN_WRONG,   /* done, but with a certificate for something else */
    CCS_CONN_ALERT,   /* the server sent a fatal alert: see alert */
    CCS_CONN_CLOSED,  /* the server closed or reset the connection */
    CCS_CONN_REFUSED, /* there was no connection */
    CCS_CONN_FAILED,  /* OpenSSL gave up for another reason */
    CCS_CONN_TIMEOUT,
    CCS_CONN_ENDS
};

struct ccs_conn {
    TAILQ_ENTRY(ccs_conn) link;
    SSL *ssl;
    int fd; /* -1: not in use */
    int alert;
    int open; /* the server has not closed yet */
    enum ccs_conn_end end;
    int64_t due_ns;   /* when it was to begin */
    int64_t begin_ns; /* when it did */
    int64_t end_ns;   /* when its handshake ended */
    char name[CCS_NAMES_SIZE];
};

TAILQ_HEAD(ccs_conns, ccs_conn);

/*
 * Connects and says hello to conn->name. conn->end tells when that is impossible; then fd may be
 * -1.
 */
void ccs_conn_begin(struct ccs_conn *conn, SSL_CTX *ctx, const struct sockaddr_in *to);

/* Goes on as far as it can. When open becomes 0 it is through. unchecked: any certificate does. */
void ccs_conn_step(struct ccs_conn *conn, int unchecked);

/* Lets go of everything; the results stay. */
void ccs_conn_close(struct ccs_conn *conn);

#endif
