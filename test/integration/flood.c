/* SPDX-License-Identifier: Apache-2.0 */
#include "flood.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "wait.h"

#define DIGITS       16
#define HELLO_MAX    1024
#define ANSWER_MAX   8192
#define ALERT        21
#define HANDSHAKE    22
#define ALERT_LENGTH 7

struct caller {
    size_t said, heard;
    double since;
    char name[DIGITS + 1];
    unsigned char answer[ANSWER_MAX];
};

struct state {
    struct ccs_flood *flood;
    unsigned char hello[HELLO_MAX];
    size_t hello_len, name_at;
    unsigned char *leaf;
    int leaf_len;
    unsigned begun, over;
    struct pollfd fds[CCS_FLOOD_PARALLEL_MAX];
    struct caller callers[CCS_FLOOD_PARALLEL_MAX];
};

static const char placeholder[] = "0123456789abcdef";

/* What OpenSSL would say, with a name that is replaced in each copy. */
static int make_hello(struct state *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
    BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
    const unsigned char *at = NULL;
    char name[256];
    int n = -1;

    snprintf(name, sizeof(name), "%s.%s", placeholder, s->flood->domain);
    if (ssl != NULL && in != NULL && out != NULL) {
        SSL_set0_rbio(ssl, in);
        SSL_set0_wbio(ssl, out);
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
        SSL_set_tlsext_host_name(ssl, name);
        (void)SSL_connect(ssl);
        n = BIO_read(out, s->hello, sizeof(s->hello));
        in = out = NULL;
    }
    if (n > 0)
        at = memmem(s->hello, (size_t)n, placeholder, DIGITS);
    if (at != NULL) {
        s->hello_len = (size_t)n;
        s->name_at = (size_t)(at - s->hello);
    }
    BIO_free(in);
    BIO_free(out);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return at != NULL ? 0 : -1;
}

static uint64_t draw(struct ccs_flood *flood)
{
    flood->seed ^= flood->seed << 13;
    flood->seed ^= flood->seed >> 7;
    flood->seed ^= flood->seed << 17;
    return flood->seed;
}

static int call(struct state *s, struct caller *c)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)s->flood->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* Leaves nothing behind that would take up the port for a minute. */
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    c->said = c->heard = 0;
    c->since = ccs_wait_clock();
    snprintf(c->name, sizeof(c->name), "%016llx", (unsigned long long)draw(s->flood));
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Whether the whole hello is out. */
static int say(struct state *s, struct caller *c, int fd)
{
    unsigned char hello[HELLO_MAX];
    ssize_t n;

    memcpy(hello, s->hello, s->hello_len);
    memcpy(hello + s->name_at, c->name, DIGITS);
    n = send(fd, hello + c->said, s->hello_len - c->said, MSG_NOSIGNAL);
    if (n > 0)
        c->said += (size_t)n;
    return c->said == s->hello_len;
}

/* What the answer so far counts as, or NULL if it goes on. */
static unsigned *judge(struct state *s, const struct caller *c)
{
    struct ccs_flood *f = s->flood;

    if (c->heard >= ALERT_LENGTH && c->answer[0] == ALERT)
        return c->answer[6] == SSL_AD_UNRECOGNIZED_NAME ? &f->refused
               : c->answer[6] == SSL_AD_INTERNAL_ERROR  ? &f->unavailable
                                                        : &f->other;
    if (c->heard > 0 && c->answer[0] == HANDSHAKE && s->leaf != NULL &&
        memmem(c->answer, c->heard, s->leaf, (size_t)s->leaf_len) != NULL)
        return &f->served;
    return c->heard == ANSWER_MAX ? &f->other : NULL;
}

static unsigned *hear(struct state *s, struct caller *c, int fd)
{
    ssize_t n = recv(fd, c->answer + c->heard, ANSWER_MAX - c->heard, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NULL;
    if (n <= 0)
        return &s->flood->other;
    c->heard += (size_t)n;
    return judge(s, c);
}

static void hang_up(struct state *s, struct pollfd *p, unsigned *fate)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    (*fate)++;
    s->over++;
}

static void step(struct state *s, struct pollfd *p, struct caller *c, double now)
{
    unsigned *fate = NULL;

    if (p->fd < 0) {
        if (s->begun == s->flood->count)
            return;
        s->begun++;
        p->fd = call(s, c);
        p->events = POLLOUT;
        if (p->fd < 0)
            hang_up(s, p, &s->flood->other);
        return;
    }
    if ((p->revents & POLLOUT) != 0 && say(s, c, p->fd))
        p->events = POLLIN;
    else if ((p->revents & (POLLIN | POLLERR | POLLHUP)) != 0)
        fate = hear(s, c, p->fd);
    if (fate == NULL && now - c->since > ccs_wait_scaled(CCS_WAIT_DEFAULT))
        fate = &s->flood->other;
    if (fate != NULL)
        hang_up(s, p, fate);
}

static void run(struct state *s)
{
    const unsigned parallel = s->flood->parallel < CCS_FLOOD_PARALLEL_MAX ? s->flood->parallel
                                                                          : CCS_FLOOD_PARALLEL_MAX;

    for (unsigned i = 0; i < parallel; i++)
        s->fds[i].fd = -1;
    while (s->over < s->flood->count) {
        const double now = ccs_wait_clock();

        for (unsigned i = 0; i < parallel; i++)
            step(s, &s->fds[i], &s->callers[i], now);
        (void)poll(s->fds, parallel, 20);
    }
}

int ccs_flood_run(struct ccs_flood *flood)
{
    struct state *s = calloc(1, sizeof(*s));
    const double start = ccs_wait_clock();
    int rv;

    if (s == NULL)
        return -1;
    s->flood = flood;
    flood->served = flood->refused = flood->unavailable = flood->other = 0;
    if (flood->leaf != NULL)
        s->leaf_len = i2d_X509(flood->leaf, &s->leaf);
    rv = make_hello(s);
    if (rv == 0)
        run(s);
    flood->ms = ccs_wait_clock() - start;
    OPENSSL_free(s->leaf);
    free(s);
    return rv;
}
