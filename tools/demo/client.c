/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CLIENT_LIMIT_S 15

int demo_fingerprint(const struct x509_st *cert, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len, i;

    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != 32) {
        return -1;
    }
    for (i = 0; i < len; i++) {
        snprintf(out + 2 * (size_t)i, 3, "%02x", digest[i]);
    }
    return 0;
}

static void client_info(const SSL *ssl, int where, int ret)
{
    struct demo_visit *visit = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && ret >> 8 == SSL3_AL_FATAL) {
        visit->alert = ret & 0xff;
    }
}

static int client_connect(int port)
{
    struct sockaddr_in a;
    struct timeval limit = {.tv_sec = CLIENT_LIMIT_S};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void client_describe(SSL *ssl, struct demo_visit *visit)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    EVP_PKEY *key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    const char *type = key != NULL ? EVP_PKEY_get0_type_name(key) : NULL;

    if (type != NULL && demo_fingerprint(cert, visit->fingerprint) == 0) {
        snprintf(visit->key, sizeof(visit->key), "%s %d", type, EVP_PKEY_get_bits(key));
    }
}

/* The request, and the body of the answer without its line end. */
static void client_ask(SSL *ssl, const char *host, struct demo_visit *visit)
{
    char text[2048];
    size_t have = 0;
    char *body;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host);

    if (n < 0 || (size_t)n >= sizeof(text) || SSL_write(ssl, text, n) <= 0) {
        return;
    }
    while (have + 1 < sizeof(text) &&
           (n = SSL_read(ssl, text + have, (int)(sizeof(text) - 1 - have))) > 0) {
        have += (size_t)n;
    }
    text[have] = '\0';
    body = strstr(text, "\r\n\r\n");
    if (body != NULL) {
        body += 4;
        body[strcspn(body, "\r\n")] = '\0';
        snprintf(visit->body, sizeof(visit->body), "%.*s", (int)sizeof(visit->body) - 1, body);
    }
}

void demo_visit(int port, const char *host, const char *ca_file, struct demo_visit *visit)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    char name[256];
    double start;
    long verify;
    int fd = -1;

    memset(visit, 0, sizeof(*visit));
    visit->alert = -1;
    snprintf(name, sizeof(name), "%s", host);
    if (ctx == NULL || SSL_CTX_load_verify_locations(ctx, ca_file, NULL) != 1) {
        snprintf(visit->error, sizeof(visit->error), "the client cannot read %s", ca_file);
        goto out;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_info_callback(ctx, client_info);
    ssl = SSL_new(ctx);
    fd = client_connect(port);
    if (ssl == NULL || fd < 0 || SSL_set_fd(ssl, fd) != 1 ||
        SSL_set_tlsext_host_name(ssl, name) != 1 || SSL_set1_host(ssl, host) != 1) {
        snprintf(visit->error, sizeof(visit->error), "the client cannot connect");
        goto out;
    }
    SSL_set_app_data(ssl, visit);
    start = demo_clock_ms();
    if (SSL_connect(ssl) != 1) {
        verify = SSL_get_verify_result(ssl);
        ERR_error_string_n(ERR_peek_error(), visit->error, sizeof(visit->error));
        if (verify != X509_V_OK) {
            snprintf(visit->error, sizeof(visit->error), "%s",
                     X509_verify_cert_error_string(verify));
        }
        visit->ms = demo_clock_ms() - start;
        goto out;
    }
    visit->ms = demo_clock_ms() - start;
    visit->verified = 1;
    client_describe(ssl, visit);
    client_ask(ssl, host, visit);
    SSL_shutdown(ssl);

out:
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    if (fd >= 0) {
        close(fd);
    }
}
