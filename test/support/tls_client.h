/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_TLS_CLIENT_H
#define CCS_TEST_TLS_CLIENT_H

/*
 * A TLS client over a real, non-blocking TCP connection to 127.0.0.1, with control over what goes
 * over the wire and how. One call does it all (ccs_tls_client_once); for many at a time start them
 * and let ccs_tls_client_run() drive them.
 */

#include <stddef.h>

#include <openssl/ssl.h>

struct ccs_tls_spec {
    int port;

    const char *sni;              /* NULL: no server name */
    const unsigned char *raw_sni; /* instead: these octets as host_name, valid or not. The */
    size_t raw_sni_len;           /*   handshake cannot finish; see the result's leaf */
    int min_version, max_version; /* TLS1_2_VERSION …; 0: no bound */
    const char *alpn;             /* "h2,http/1.1" */
    const char *groups;           /* "P-384:P-256": shares are sent for the first */
    const char *sigalgs;          /* "RSA-PSS+SHA256" */
    size_t padding;               /* make the ClientHello larger by about so many octets */
    SSL_SESSION *session;         /* to resume; borrowed */
    int early;                    /* send the request as early data */
    X509 *cert;                   /* client certificate; borrowed */
    EVP_PKEY *key;                /* its key; borrowed */

    X509 *root;              /* trusted; NULL: nothing is verified */
    const char *verify_host; /* name that the certificate must cover; NULL: sni */

    int proxy;      /* PROXY protocol header, version 1 or 2; 0: none */
    size_t segment; /* octets per send(); 0: all */
    size_t record;  /* octets per record of the ClientHello; 0: all */

    const char *path; /* after the handshake, GET this; NULL: nothing */
    const char *host; /* Host of the request; NULL: sni, or "localhost" */
};

enum ccs_tls_end {
    CCS_TLS_RUNNING,
    CCS_TLS_DONE,    /* handshake done, and the request, if any, answered */
    CCS_TLS_ALERT,   /* the server sent a fatal alert */
    CCS_TLS_CLOSED,  /* the server closed the connection */
    CCS_TLS_REFUSED, /* no TCP connection, or it was reset */
    CCS_TLS_FAILED,  /* OpenSSL gave up: see error */
    CCS_TLS_TIMEOUT  /* the deadline of the run */
};

struct ccs_tls_result {
    enum ccs_tls_end end;
    int handshake;        /* the handshake was done */
    int ok;               /* that, and the certificate was verified (or root was NULL) */
    int alert;            /* fatal alert received, or -1 */
    long verify;          /* X509_V_OK, or what was wrong with the certificate */
    char fingerprint[65]; /* of the leaf that was sent, or of the session; "" if none */
    int resumed;
    int early_accepted;
    int version;
    char alpn[16];
    double ms;       /* from connect() to the end of the handshake, or of the attempt */
    int status;      /* of the HTTP response; 0: none */
    char body[1024]; /* of the HTTP response */
    char error[160]; /* OpenSSL's words for CCS_TLS_FAILED */
};

struct ccs_tls_client;

/* Connects and starts. Never NULL; what the client itself cannot do fails the running test. All
 * that spec points to must stay until ccs_tls_client_free(). */
struct ccs_tls_client *ccs_tls_client_start(const struct ccs_tls_spec *spec);

/* Goes on as far as it can without waiting, but sends one segment at most. */
enum ccs_tls_end ccs_tls_client_step(struct ccs_tls_client *client);

/* What poll() should wait for, and on what. */
int ccs_tls_client_fd(const struct ccs_tls_client *client);
short ccs_tls_client_events(const struct ccs_tls_client *client);

/* Drives all of them until each has ended or max_ms (stretched; 0: the default) have passed; those
 * left end with CCS_TLS_TIMEOUT. NULL entries are skipped. Returns how many are DONE. */
size_t ccs_tls_client_run(struct ccs_tls_client *const *clients, size_t count, int max_ms);

/* The same until all have sent what they have to say and wait for the server; 1 if so. */
int ccs_tls_client_settle(struct ccs_tls_client *const *clients, size_t count, int max_ms);

/* The ClientHello is out and nothing has come back. */
int ccs_tls_client_waiting(const struct ccs_tls_client *client);

/* Borrowed from the client. */
const struct ccs_tls_result *ccs_tls_client_result(const struct ccs_tls_client *client);

/* Latest session that the server gave; borrowed, NULL if none. */
SSL_SESSION *ccs_tls_client_session(const struct ccs_tls_client *client);

/* How to leave before the end. */
enum ccs_tls_leave { CCS_TLS_CLOSE, CCS_TLS_RESET, CCS_TLS_HALF_CLOSE };
void ccs_tls_client_leave(struct ccs_tls_client *client, enum ccs_tls_leave how);

/* Ends it with CCS_TLS_TIMEOUT. */
void ccs_tls_client_give_up(struct ccs_tls_client *client);

void ccs_tls_client_free(struct ccs_tls_client *client);

/* Start, run, copy the result, free. session, unless NULL: new reference to the session or NULL.
 * Returns result->ok. */
int ccs_tls_client_once(const struct ccs_tls_spec *spec, struct ccs_tls_result *result,
                        SSL_SESSION **session);

#endif
