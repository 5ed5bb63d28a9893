/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_OPENSSL_H
#define CCS_OPENSSL_H

/*
 * libccs for OpenSSL servers. A *site* says what one virtual server wants of a store: its
 * default_name and unknown_name, and a text that keeps its TLS sessions apart from other servers'.
 *
 * A blocking server calls ccs_ssl_ctx_attach() and is done. A server with an event loop calls
 * ccs_gate_attach(): the gate listens to what each new connection's handshake reads, up to the
 * server name, and has reads say "would block" for as long as the certificate is being loaded.
 */

#include <openssl/types.h>

#include <ccs/ccs.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ccs_site;

/*
 * New site after cfg's settings; cfg is only read. session_id names the virtual server among all
 * that share session tickets or a session cache: equal on every node that may resume the other's
 * sessions, different where different clients are let in (RFC 5246 7.4.1.2, RFC 8446 4.6.1).
 * Copied.
 */
struct ccs_site *ccs_site_new(const struct ccs_config *cfg, const char *session_id,
                              struct ccs_error *err);
void ccs_site_free(struct ccs_site *site);

/*
 * The instance that serves this site from now on; borrowed. NULL: none, so that all names are
 * unavailable; bind that before ccs_close() if handshakes go on.
 */
void ccs_site_bind(struct ccs_site *site, struct ccs *ccs);

/*
 * Sessions. A TLS session belongs to one host name of one site: every handshake that a site serves
 * gets a session id context of its own, made of the site's session_id, the store and the name, in
 * place of the one that the application may have set. So a session is never resumed for another
 * host, nor one from the store where the server's own certificate would be served, or the other way
 * round. The server name callback also runs on resumption, and refuses a name that has gone.
 *
 * Alerts. A name that the store does not have is refused with unrecognized_name (112), and so is a
 * client without a name where there is no default_name; everything else, such as a store that does
 * not answer or a file that cannot be used, with internal_error (80).
 */

/*
 * For servers that may block in a handshake: sets the client hello, server name and certificate
 * callbacks of ctx, in place of any that the application has set. ctx's own certificate, if any, is
 * what unknown_name fallback serves. Call it before the first handshake; called again it replaces
 * the site. site is borrowed and must outlive ctx. Waits at most the setting `wait` per handshake.
 */
int ccs_ssl_ctx_attach(SSL_CTX *ctx, struct ccs_site *site, struct ccs_error *err);

/* What a server with an event loop tells the gate. All run on the thread that runs the handshake.
 */
struct ccs_gate_host {
    /*
     * The site that will serve this connection, once the server has chosen its virtual server for
     * the name (len 0: the client sent none); NULL: not one of ours, the handshake goes on
     * untouched. The name is lower case without a trailing dot, but may be no host name otherwise.
     * name is borrowed and NUL-terminated.
     */
    struct ccs_site *(*choose)(SSL *ssl, const char *name, size_t len, void *arg);

    /* From ccs_dispatch(): the answer is there, run the handshake again (soon, not from here). */
    void (*resume)(SSL *ssl, void *arg);

    /*
     * The server name callback that was on ctx before, or NULL: OpenSSL has no way to ask for it.
     * Runs first; its refusal stands.
     */
    int (*next_servername)(SSL *ssl, int *alert, void *arg);
    void *next_servername_arg;

    /*
     * Before a handshake is refused, for the server's own records; may be NULL. Called as the host
     * of the SSL_CTX in force.
     */
    void (*rejected)(SSL *ssl, const struct ccs_answer *borrowed, void *arg);

    void *arg;

    /*
     * Not 0: no SSL serves a second connection after SSL_clear(), or is copied with SSL_dup(). As
     * soon as the gate has done its work its info callback is the application's own then, which
     * saves a call per event.
     */
    int single_use;
};

/*
 * Sets info, server name and (with a site) certificate callbacks of ctx. Must be called for every
 * SSL_CTX of a listener if any of its virtual servers uses a store, with site NULL for those that
 * do not: the handshake starts on the default server's. Call it after the application has set its
 * own info callback, which goes on being called, and before the first handshake; called again it
 * replaces site and host. host is copied; site is borrowed and must outlive ctx.
 *
 * The read BIO of an SSL must not block. Until the server name has been read it has a callback
 * (BIO_set_callback_ex()) and a callback argument of the gate's, which are to be left alone. While
 * a certificate is being loaded, and from the start if the BIO has a callback of the application's
 * already, SSL_get_rbio() is a filter BIO in front of it; once the ClientHello has been read it is
 * what it was. A BIO that takes its place before that ends the gate's work for this connection.
 *
 * A handshake that the gate did not decide (an info callback of the SSL's own, another name in the
 * answer to a HelloRetryRequest, another site in force than choose returned) is served from memory
 * alone, and resumes no session. Where memory does not know the name the handshake fails, and the
 * name is loaded for the next one.
 */
int ccs_gate_attach(SSL_CTX *ctx, struct ccs_site *site, const struct ccs_gate_host *host,
                    struct ccs_error *err);

/*
 * What a server that runs each handshake on a thread of its own, and chooses its virtual server in
 * a client hello callback, adds to that. All run on the thread that runs the handshake, as the host
 * of the SSL_CTX in force; each may be NULL.
 */
struct ccs_thread_host {
    /*
     * In place of ccs_acquire() with the setting `wait`, with the same result: the host may know
     * the answer already, or may not want this thread to wait. name is canonical, and not empty.
     */
    int (*acquire)(SSL *ssl, struct ccs *ccs, const char *name, size_t len, struct ccs_answer *out,
                   void *arg);

    /* What a handshake is served with, its session resumed or not. Called once or more often. */
    void (*served)(SSL *ssl, const struct ccs_answer *borrowed, void *arg);

    /* Before a handshake is refused. */
    void (*rejected)(SSL *ssl, const struct ccs_answer *borrowed, void *arg);

    void *arg;
};

/*
 * As ccs_ssl_ctx_attach(), but the client hello callback stays the application's: it may exchange
 * the SSL_CTX, and the site of the one in force then serves. Must be called for every SSL_CTX of a
 * listener if any of its virtual servers uses a store, with site NULL for those that do not. Takes
 * the place of the session ticket callback, and goes in front of the one that fetches sessions from
 * a cache: call it after the application has set that. host is copied; site is borrowed and must
 * outlive ctx.
 */
int ccs_thread_attach(SSL_CTX *ctx, struct ccs_site *site, const struct ccs_thread_host *host,
                      struct ccs_error *err);

/*
 * The server name in the first octets that a client sent, for hosts that look at them before the
 * handshake. CCS_OK: it is in name, NUL-terminated, *len octets long (0: the client sent none), as
 * it was sent. CCS_PENDING: it takes more octets to tell. CCS_EINVAL: not a ClientHello that can be
 * read.
 */
#define CCS_SERVER_NAME_SIZE 256
int ccs_hello_server_name(const uint8_t *buf, size_t size, char name[CCS_SERVER_NAME_SIZE],
                          size_t *len);

/*
 * What was decided for this connection, or NULL if no site was asked. Borrowed from ssl, valid
 * until the next call into OpenSSL with it. Its credential is what was or will be served.
 */
const struct ccs_answer *ccs_ssl_answer(const SSL *ssl);

/*
 * Gives ssl the credential's certificates, keys and chains in place of whatever it had. ssl takes
 * references of its own. CCS_ESSL or CCS_EKEYUSE with OpenSSL's reason.
 */
int ccs_cred_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err);

#ifdef __cplusplus
}
#endif

#endif
