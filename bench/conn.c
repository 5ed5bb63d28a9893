/* SPDX-License-Identifier: Apache-2.0 */
#include "conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "usage.h"

static void ended(struct ccs_conn *conn, enum ccs_conn_end end)
{
    conn->end = end;
    conn->end_ns = ccs_usage_clock_ns();
    if (end != CCS_CONN_SERVED && end != CCS_CONN_WRONG)
        conn->open = 0;
}

void ccs_conn_begin(struct ccs_conn *conn, SSL_CTX *ctx, const struct sockaddr_in *to)
{
    int one = 1;

    conn->end = CCS_CONN_NONE;
    conn->alert = -1;
    conn->open = 1;
    conn->ssl = NULL;
    conn->begin_ns = ccs_usage_clock_ns();
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        ended(conn, CCS_CONN_REFUSED);
        return;
    }
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(conn->fd, (const struct sockaddr *)to, sizeof(*to)) != 0 && errno != EINPROGRESS) {
        ended(conn, CCS_CONN_REFUSED);
        return;
    }
    conn->ssl = SSL_new(ctx);
    if (conn->ssl == NULL || SSL_set_fd(conn->ssl, conn->fd) != 1 ||
        SSL_set_tlsext_host_name(conn->ssl, conn->name) != 1) {
        ERR_clear_error();
        ended(conn, CCS_CONN_FAILED);
        return;
    }
    SSL_set_connect_state(conn->ssl);
}

/* What the failed handshake means. */
static void failed(struct ccs_conn *conn, int ssl_error, int sys)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e);

    ERR_clear_error();
    if (ssl_error == SSL_ERROR_SYSCALL) {
        ended(conn, sys == ECONNREFUSED ? CCS_CONN_REFUSED : CCS_CONN_CLOSED);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
               reason <= SSL_AD_REASON_OFFSET + 255) {
        conn->alert = reason - SSL_AD_REASON_OFFSET;
        ended(conn, CCS_CONN_ALERT);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ended(conn, CCS_CONN_CLOSED);
    } else {
        ended(conn, CCS_CONN_FAILED);
    }
}

static int covers_name(const struct ccs_conn *conn)
{
    X509 *leaf = SSL_get0_peer_certificate(conn->ssl);
    int ok = leaf != NULL && X509_check_host(leaf, conn->name, strlen(conn->name), 0, NULL) == 1;

    ERR_clear_error();
    return ok;
}

/*
 * Says goodbye and lets the server close first, so that the port is free again here, and all that
 * the server does for one connection is done when it is over.
 */
static void drain(struct ccs_conn *conn)
{
    char octets[4096];
    ssize_t n;

    do {
        n = recv(conn->fd, octets, sizeof(octets), 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0 || errno != EAGAIN)
        conn->open = 0;
}

void ccs_conn_step(struct ccs_conn *conn, int unchecked)
{
    int rv, error;

    if (conn->end == CCS_CONN_NONE) {
        errno = 0;
        rv = SSL_do_handshake(conn->ssl);
        if (rv != 1) {
            int sys = errno;

            error = SSL_get_error(conn->ssl, rv);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                failed(conn, error, sys);
            return;
        }
        /* The clock stops first: checking the certificate is not the server's time. */
        ended(conn, CCS_CONN_SERVED);
        if (!unchecked && !covers_name(conn))
            conn->end = CCS_CONN_WRONG;
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
    if (conn->open)
        drain(conn);
}

void ccs_conn_close(struct ccs_conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
}
