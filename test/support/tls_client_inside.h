/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_TLS_CLIENT_INSIDE_H
#define CCS_TEST_TLS_CLIENT_INSIDE_H

/* What the files of the TLS client share. */

#include "tls_client.h"

/* OpenSSL talks to memory; what it wants to send waits in `out` until a step sends a piece. */
struct ccs_tls_client {
    struct ccs_tls_spec spec;
    struct ccs_tls_result result;
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *from_net, *to_net; /* owned by ssl */
    SSL_SESSION *session;
    unsigned char *out;
    size_t out_len, out_sent;
    size_t whole; /* octets at the beginning that are never cut: servers want the header so */
    unsigned char request[1024];
    size_t request_len, request_sent;
    unsigned char *response;
    size_t response_len;
    double started;
    int fd;
    int hello_sent; /* the first flight has gone through rewriting */
    int received;   /* octets came from the server */
    int eof;
    int reset;
};

/* Makes ctx and ssl after spec. */
void ccs_tls_client_setup(struct ccs_tls_client *client);

/* Fails the test, with OpenSSL's reason, unless done. */
void ccs_tls_client_need(int done, const char *what);

#endif
