/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_client_inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "http.h"
#include "pki.h"
#include "tls_hello.h"
#include "wait.h"

#define RESPONSE_MAX 65536

static void append(struct ccs_tls_client *c, const void *data, size_t len)
{
    unsigned char *more;

    if (c->out_sent == c->out_len) {
        c->out_sent = c->out_len = 0;
    }
    more = realloc(c->out, c->out_len + len + 1);
    assert_non_null(more);
    memcpy(more + c->out_len, data, len);
    c->out = more;
    c->out_len += len;
}

static void add_proxy_header(struct ccs_tls_client *c)
{
    static const char v1[] = "PROXY TCP4 192.0.2.7 127.0.0.1 40000 443\r\n";
    static const unsigned char v2[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                                       0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 192,  0,    2,    7,
                                       127,  0,    0,    1,    0x9c, 0x40, 0x01, 0xbb};

    if (c->spec.proxy == 1) {
        append(c, v1, sizeof(v1) - 1);
    } else if (c->spec.proxy == 2) {
        append(c, v2, sizeof(v2));
    }
    if (c->spec.segment > 0) {
        c->whole = c->out_len;
    }
}

struct ccs_tls_client *ccs_tls_client_start(const struct ccs_tls_spec *spec)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)spec->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct ccs_tls_client *c = calloc(1, sizeof(*c));
    int one = 1;

    assert_non_null(c);
    c->spec = *spec;
    c->result.alert = -1;
    c->response = malloc(RESPONSE_MAX);
    assert_non_null(c->response);
    ccs_tls_client_setup(c);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    add_proxy_header(c);
    c->started = ccs_wait_clock();
    if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
        c->reset = 1;
    }
    return c;
}

static enum ccs_tls_end ended(struct ccs_tls_client *c, enum ccs_tls_end end)
{
    unsigned long code = ERR_peek_last_error();

    if (end != CCS_TLS_DONE && code != 0) {
        ERR_error_string_n(code, c->result.error, sizeof(c->result.error));
    }
    ERR_clear_error();
    if (!c->result.handshake) {
        c->result.ms = ccs_wait_clock() - c->started;
    }
    c->result.end = end;
    return end;
}

static enum ccs_tls_end failed(struct ccs_tls_client *c)
{
    return ended(c, c->result.alert >= 0 ? CCS_TLS_ALERT
                    : c->reset           ? CCS_TLS_REFUSED
                    : c->eof             ? CCS_TLS_CLOSED
                                         : CCS_TLS_FAILED);
}

static void receive(struct ccs_tls_client *c)
{
    unsigned char buf[16384];
    ssize_t n;

    while (!c->eof && !c->reset && (n = recv(c->fd, buf, sizeof(buf), 0)) != -1) {
        if (n == 0) {
            c->eof = 1;
            BIO_set_mem_eof_return(c->from_net, 0);
            return;
        }
        c->received = 1;
        ccs_tls_client_need(BIO_write(c->from_net, buf, (int)n) == (int)n, "input");
    }
    if (!c->eof && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
        c->reset = 1;
        BIO_set_mem_eof_return(c->from_net, 0);
    }
}

/* Moves what OpenSSL wants to send to our own buffer; the first flight may be rewritten. */
static void collect(struct ccs_tls_client *c)
{
    unsigned char *fresh;
    char *data = NULL;
    long len = BIO_get_mem_data(c->to_net, &data);
    size_t fresh_len;

    if (len <= 0) {
        return;
    }
    if (!c->hello_sent && (c->spec.raw_sni != NULL || c->spec.record > 0)) {
        fresh = ccs_tls_hello_rewrite(&c->spec, (unsigned char *)data, (size_t)len, &fresh_len);
        append(c, fresh, fresh_len);
        free(fresh);
    } else {
        append(c, data, (size_t)len);
    }
    c->hello_sent = 1;
    (void)BIO_reset(c->to_net);
}

static void transmit(struct ccs_tls_client *c)
{
    size_t len = c->out_len - c->out_sent;
    ssize_t n;

    if (len == 0) {
        return;
    }
    if (c->whole > 0) {
        len = c->whole;
    } else if (c->spec.segment > 0 && c->spec.segment < len) {
        len = c->spec.segment;
    }
    n = send(c->fd, c->out + c->out_sent, len, MSG_NOSIGNAL);
    if (n > 0) {
        c->out_sent += (size_t)n;
        c->whole -= c->whole < (size_t)n ? c->whole : (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR && errno != ENOTCONN) {
        /* What the server said before it hung up may still be there to read. */
        c->out_sent = c->out_len;
        c->reset = errno == ECONNREFUSED;
    }
}

static void handshake_done(struct ccs_tls_client *c)
{
    struct ccs_tls_result *r = &c->result;
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    X509 *leaf;

    r->handshake = 1;
    r->ms = ccs_wait_clock() - c->started;
    r->resumed = SSL_session_reused(c->ssl);
    r->version = SSL_version(c->ssl);
    r->early_accepted = SSL_get_early_data_status(c->ssl) == SSL_EARLY_DATA_ACCEPTED;
    leaf = SSL_get0_peer_certificate(c->ssl);
    if (leaf != NULL) {
        ccs_pki_fingerprint(leaf, r->fingerprint);
    }
    if (r->resumed && r->verify == X509_V_OK) {
        r->verify = SSL_get_verify_result(c->ssl);
    }
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
    snprintf(r->alpn, sizeof(r->alpn), "%.*s", (int)alpn_len,
             alpn_len > 0 ? (const char *)alpn : "");
    r->ok = leaf != NULL && (c->spec.root == NULL || r->verify == X509_V_OK);
}

static void prepare_request(struct ccs_tls_client *c, int h2)
{
    const char *host = c->spec.host != NULL ? c->spec.host : c->spec.sni;

    if (c->request_len == 0) {
        c->request_len = ccs_http_request(c->request, sizeof(c->request), h2,
                                          host != NULL && *host != '\0' ? host : "localhost",
                                          c->spec.path);
    }
}

/* One try at whatever comes next; what OpenSSL says about it. */
static int advance(struct ccs_tls_client *c, int *finished)
{
    int rc, h2 = strcmp(c->result.alpn, "h2") == 0, eof;
    size_t n = 0;

    ERR_clear_error();
    if (!c->result.handshake) {
        if (c->spec.early && c->request_sent == 0) {
            prepare_request(c, 0);
            rc = SSL_write_early_data(c->ssl, c->request, c->request_len, &c->request_sent);
            if (rc != 1) {
                return SSL_get_error(c->ssl, rc);
            }
        }
        rc = SSL_do_handshake(c->ssl);
        if (rc != 1) {
            return SSL_get_error(c->ssl, rc);
        }
        handshake_done(c);
        if (c->spec.early && !c->result.early_accepted) {
            c->request_sent = 0;
        }
        return SSL_ERROR_NONE;
    }
    if (c->spec.path == NULL) {
        *finished = 1;
        return SSL_ERROR_NONE;
    }
    prepare_request(c, h2);
    if (c->request_sent < c->request_len) {
        rc = SSL_write_ex(c->ssl, c->request, c->request_len, &c->request_sent);
        return rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
    }
    rc = SSL_read_ex(c->ssl, c->response + c->response_len, RESPONSE_MAX - c->response_len, &n);
    c->response_len += n;
    rc = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
    eof = rc == SSL_ERROR_ZERO_RETURN || (c->eof && rc != SSL_ERROR_NONE);
    *finished = ccs_http_response(c->response, c->response_len, h2, eof, &c->result.status,
                                  c->result.body, sizeof(c->result.body));
    return rc;
}

enum ccs_tls_end ccs_tls_client_step(struct ccs_tls_client *c)
{
    int rc = SSL_ERROR_NONE, finished = 0;

    if (c->result.end != CCS_TLS_RUNNING) {
        return c->result.end;
    }
    receive(c);
    while (rc == SSL_ERROR_NONE && !finished && !(c->reset && !c->received)) {
        rc = advance(c, &finished);
        collect(c);
    }
    transmit(c);
    if (finished && (c->spec.path != NULL || c->out_sent == c->out_len)) {
        return ended(c, CCS_TLS_DONE);
    }
    if (c->reset || (rc != SSL_ERROR_NONE && rc != SSL_ERROR_WANT_READ)) {
        /* The alert in which OpenSSL says why it gives up. */
        collect(c);
        transmit(c);
        return failed(c);
    }
    return CCS_TLS_RUNNING;
}

int ccs_tls_client_fd(const struct ccs_tls_client *c)
{
    return c->fd;
}

short ccs_tls_client_events(const struct ccs_tls_client *c)
{
    return c->out_sent < c->out_len || !c->hello_sent ? POLLIN | POLLOUT : POLLIN;
}

int ccs_tls_client_waiting(const struct ccs_tls_client *c)
{
    return c->result.end == CCS_TLS_RUNNING && c->hello_sent && c->out_sent == c->out_len &&
           !c->received;
}

const struct ccs_tls_result *ccs_tls_client_result(const struct ccs_tls_client *c)
{
    return &c->result;
}

SSL_SESSION *ccs_tls_client_session(const struct ccs_tls_client *c)
{
    return c->session;
}

void ccs_tls_client_leave(struct ccs_tls_client *c, enum ccs_tls_leave how)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    if (how == CCS_TLS_HALF_CLOSE) {
        shutdown(c->fd, SHUT_WR);
        return;
    }
    if (how == CCS_TLS_RESET) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    }
    close(c->fd);
    c->fd = -1;
    (void)ended(c, CCS_TLS_CLOSED);
}

void ccs_tls_client_give_up(struct ccs_tls_client *c)
{
    (void)ended(c, CCS_TLS_TIMEOUT);
}

void ccs_tls_client_free(struct ccs_tls_client *c)
{
    if (c == NULL) {
        return;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    /* Else OpenSSL would call the session unfit for resumption. */
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    SSL_SESSION_free(c->session);
    free(c->out);
    free(c->response);
    free(c);
}
