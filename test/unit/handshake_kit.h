/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_HANDSHAKE_KIT_H
#define CCS_TEST_HANDSHAKE_KIT_H

/*
 * For tests of the rooms that take part in handshakes: an instance that answers as a script says,
 * in place of the real one, and connections between a real OpenSSL client and a server over a
 * socket pair, driven in one thread. Included by one source file per test program.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ccs/openssl.h>

#include "acquire.h"
#include "credential.h"
#include "error.h"
#include "name.h"
#include "pki.h"

/* -- an instance that answers as a script says --------------------------------------------- */

#define FAKE_NAMES 16

struct fake_name {
    char name[64];
    struct ccs_cred *cred; /* own reference; NULL: code is the answer */
    int code;
    int cold; /* has to be loaded first */
};

struct ccs_request {
    struct ccs_request *next;
    struct ccs *ccs;
    char name[256];
    ccs_done_cb done;
    void *arg;
};

struct ccs {
    struct fake_name names[FAKE_NAMES];
    size_t count;
    int otherwise; /* code for all other names */
    struct ccs_request *waiting;
    unsigned starts, waits, cancels, pending;
    char asked[256]; /* the last name */
};

static inline struct fake_name *fake_find(struct ccs *ccs, const char *name, size_t len)
{
    for (size_t i = 0; i < ccs->count; i++)
        if (strlen(ccs->names[i].name) == len && strncmp(ccs->names[i].name, name, len) == 0)
            return &ccs->names[i];
    return NULL;
}

/* Takes the reference to cred. */
static inline void fake_put(struct ccs *ccs, const char *name, struct ccs_cred *cred, int code,
                            int cold)
{
    struct fake_name *n = fake_find(ccs, name, strlen(name));

    if (n == NULL) {
        assert_true(ccs->count < FAKE_NAMES);
        n = &ccs->names[ccs->count++];
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->cred = NULL;
    }
    ccs_cred_unref(n->cred);
    n->cred = cred;
    n->code = code;
    n->cold = cold;
}

static inline int fake_answer(struct ccs *ccs, const char *name, size_t len, enum ccs_result result,
                              struct ccs_answer *out)
{
    const struct fake_name *n = fake_find(ccs, name, len);
    int code = n != NULL ? n->code : ccs->otherwise;

    assert_true(len < sizeof(ccs->asked));
    memcpy(ccs->asked, name, len);
    ccs->asked[len] = '\0';
    memset(out, 0xa5, sizeof(*out)); /* only what is written below may be relied on */
    out->code = code;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    if (code == CCS_OK) {
        out->cred = ccs_cred_ref(n->cred);
        out->result = result;
    } else {
        ccs_error_set(&out->error, code, "scripted %d", code);
    }
    return code;
}

int ccs_lookup(struct ccs *ccs, const char *name, size_t len, struct ccs_answer *out)
{
    const struct fake_name *n = fake_find(ccs, name, len);

    if (n != NULL && n->cold)
        return CCS_PENDING;
    return fake_answer(ccs, name, len, CCS_RESULT_HIT, out);
}

int ccs_acquire(struct ccs *ccs, const char *name, size_t len, int timeout_ms,
                struct ccs_answer *out)
{
    struct fake_name *n = fake_find(ccs, name, len);
    enum ccs_result result = n != NULL && n->cold ? CCS_RESULT_LOADED : CCS_RESULT_HIT;

    assert_true(timeout_ms < 0);
    ccs->waits++;
    if (n != NULL)
        n->cold = 0;
    return fake_answer(ccs, name, len, result, out);
}

int ccs_acquire_start_canonical(struct ccs *ccs, const char *name, size_t len, ccs_done_cb done,
                                void *arg, struct ccs_answer *out, struct ccs_request **req)
{
    const struct fake_name *n = fake_find(ccs, name, len);
    char canonical[CCS_STEM_SIZE];
    struct ccs_request *r;

    assert_int_equal(ccs_name_canonical(name, len, canonical, NULL), CCS_OK);
    assert_int_equal(strlen(canonical), len);
    assert_memory_equal(canonical, name, len);
    ccs->starts++;
    if (n == NULL || !n->cold)
        return fake_answer(ccs, name, len, CCS_RESULT_HIT, out);
    memset(out, 0xa5, sizeof(*out));
    r = calloc(1, sizeof(*r));
    assert_non_null(r);
    snprintf(r->name, sizeof(r->name), "%s", n->name);
    r->ccs = ccs;
    r->done = done;
    r->arg = arg;
    r->next = ccs->waiting;
    ccs->waiting = r;
    ccs->pending++;
    *req = r;
    return CCS_PENDING;
}

static inline void fake_unlink(struct ccs_request *r)
{
    struct ccs_request **at = &r->ccs->waiting;

    while (*at != r) {
        assert_non_null(*at); /* a request that is not waiting */
        at = &(*at)->next;
    }
    *at = r->next;
}

void ccs_cancel(struct ccs_request *r)
{
    r->ccs->cancels++;
    fake_unlink(r);
    free(r);
    errno = EDOM;
}

/* Everything is loaded. */
int ccs_dispatch(struct ccs *ccs, unsigned max)
{
    int n = 0;

    (void)max;
    for (size_t i = 0; i < ccs->count; i++)
        ccs->names[i].cold = 0;
    while (ccs->waiting != NULL) {
        struct ccs_request *r = ccs->waiting;
        struct ccs_answer answer;

        fake_unlink(r);
        fake_answer(ccs, r->name, strlen(r->name), CCS_RESULT_LOADED, &answer);
        r->done(&answer, r->arg);
        ccs_cred_unref(answer.cred);
        memset(&answer, 0xa5, sizeof(answer));
        free(r);
        n++;
    }
    return n;
}

static inline void fake_clear(struct ccs *ccs)
{
    assert_null(ccs->waiting);
    for (size_t i = 0; i < ccs->count; i++)
        ccs_cred_unref(ccs->names[i].cred);
    memset(ccs, 0, sizeof(*ccs));
    ccs->otherwise = CCS_ENOTFOUND;
}

/* -- credentials --------------------------------------------------------------------------- */

static inline struct ccs_blob kit_der(int (*encode)(const void *, unsigned char **), const void *of)
{
    struct ccs_blob blob = {NULL, 0};
    unsigned char *der = NULL;
    int len = encode(of, &der);

    assert_true(len > 0);
    blob.len = (size_t)len;
    blob.data = malloc(blob.len);
    assert_non_null(blob.data);
    memcpy(blob.data, der, blob.len);
    OPENSSL_free(der);
    return blob;
}

static inline int kit_der_cert(const void *cert, unsigned char **out)
{
    return i2d_X509(cert, out);
}

static inline int kit_der_key(const void *key, unsigned char **out)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, out);

    PKCS8_PRIV_KEY_INFO_free(info);
    return len;
}

/* A credential of these leaves, through the same parser as the real ones. */
static inline struct ccs_cred *kit_cred_of(const char *stem, const struct ccs_pki_leaf *leaves,
                                           size_t count)
{
    struct ccs_pfx pfx = {.pair_count = count};
    struct ccs_part *part;
    struct ccs_cred *cred;
    struct ccs_error err;

    for (size_t i = 0; i < count; i++) {
        pfx.pairs[i].leaf = kit_der(kit_der_cert, leaves[i].cert);
        pfx.pairs[i].key = kit_der(kit_der_key, leaves[i].key);
        for (int j = 0; j < sk_X509_num(leaves[i].chain); j++)
            pfx.pairs[i].chain[pfx.pairs[i].chain_len++] = kit_der(
                kit_der_cert, sk_X509_value(leaves[i].chain, j));
    }
    assert_int_equal(ccs_part_new(&pfx, &part, &err), CCS_OK);
    snprintf(part->file, sizeof(part->file), "%.200s.pfx", stem);
    cred = ccs_cred_new(stem, &part, 1);
    assert_non_null(cred);
    for (size_t i = 0; i < count; i++) {
        free(pfx.pairs[i].leaf.data);
        free(pfx.pairs[i].key.data);
        for (size_t j = 0; j < pfx.pairs[i].chain_len; j++)
            free(pfx.pairs[i].chain[j].data);
    }
    return cred;
}

static inline struct ccs_cred *kit_cred(const struct ccs_pki_ca *ca, const char *name,
                                        enum ccs_pki_key key)
{
    struct ccs_pki_spec spec = {.names = name, .key = key};
    struct ccs_pki_leaf leaf = {0};
    struct ccs_cred *cred;

    ccs_pki_issue(ca, &spec, &leaf);
    cred = kit_cred_of(name, &leaf, 1);
    ccs_pki_leaf_clear(&leaf);
    return cred;
}

/* Gives ctx a certificate of its own. */
static inline void kit_own_cert(SSL_CTX *ctx, const struct ccs_pki_ca *ca, const char *name)
{
    struct ccs_pki_spec spec = {.names = name, .key = CCS_PKI_P256};
    struct ccs_pki_leaf leaf = {0};

    ccs_pki_issue(ca, &spec, &leaf);
    assert_int_equal(SSL_CTX_use_cert_and_key(ctx, leaf.cert, leaf.key, leaf.chain, 1), 1);
    ccs_pki_leaf_clear(&leaf);
}

static inline struct ccs_site *kit_site(const char *session_id, const char *default_name,
                                        const char *unknown_name, struct ccs *ccs)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_site *site;
    struct ccs_error err;

    assert_non_null(cfg);
    assert_int_equal(ccs_config_set(cfg, "store", "/srv/certs", &err), CCS_OK);
    if (default_name != NULL)
        assert_int_equal(ccs_config_set(cfg, "default_name", default_name, &err), CCS_OK);
    if (unknown_name != NULL)
        assert_int_equal(ccs_config_set(cfg, "unknown_name", unknown_name, &err), CCS_OK);
    site = ccs_site_new(cfg, session_id, &err);
    assert_non_null(site);
    ccs_config_free(cfg);
    ccs_site_bind(site, ccs);
    return site;
}

/* -- connections --------------------------------------------------------------------------- */

struct link {
    SSL *server, *client;
    int fd[2];      /* server's end, client's end; -1: closed */
    BIO *in, *out;  /* the client's, borrowed */
    BIO *socket;    /* the server's, own reference */
    size_t segment; /* octets per send; 0: as they come */
    size_t record;  /* octets per record of what the client says first; 0: as they come */
    int first_done; /* its first flight is out */
    int server_rv, server_error, server_errno; /* of the last step */
    int server_done, client_done;
    int alert;      /* received by the client, or -1 */
    int resumed;    /* host->resume was called and the server has not run since */
    unsigned reads; /* of the socket by the server */
    int early;      /* the server takes early data */
    char early_data[64];
    size_t early_len;
    char name[256]; /* the last name that choose saw, and how often it was called */
    unsigned chosen;
    unsigned rejected, resumes;
    struct ccs_answer refusal; /* its cred is not to be used */
};

static inline struct link *link_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static inline void link_client_info(const SSL *ssl, int type, int value)
{
    if (type == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
        link_of(ssl)->alert = value & 0xff;
}

/* A socket that counts how often it is read. */
static inline int link_socket_read(BIO *bio, char *buf, int size)
{
    ++*(unsigned *)BIO_get_app_data(bio);
    return BIO_meth_get_read(BIO_s_socket())(bio, buf, size);
}

static inline BIO *link_socket(struct link *l)
{
    static BIO_METHOD *method;
    const BIO_METHOD *plain = BIO_s_socket();
    BIO *bio;

    if (method == NULL) {
        method = BIO_meth_new(BIO_TYPE_SOCKET, "counting socket");
        assert_non_null(method);
        BIO_meth_set_read(method, link_socket_read);
        BIO_meth_set_write(method, BIO_meth_get_write(plain));
        BIO_meth_set_ctrl(method, BIO_meth_get_ctrl(plain));
        BIO_meth_set_create(method, BIO_meth_get_create(plain));
        BIO_meth_set_destroy(method, BIO_meth_get_destroy(plain));
    }
    bio = BIO_new(method);
    assert_non_null(bio);
    BIO_set_app_data(bio, &l->reads);
    BIO_set_fd(bio, l->fd[0], BIO_NOCLOSE);
    return bio;
}

static inline void link_open(struct link *l, SSL_CTX *server_ctx, SSL_CTX *client_ctx,
                             const char *sni)
{
    memset(l, 0, sizeof(*l));
    l->alert = -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, l->fd), 0);
    l->server = SSL_new(server_ctx);
    l->client = SSL_new(client_ctx);
    assert_non_null(l->server);
    assert_non_null(l->client);
    SSL_set_app_data(l->server, (char *)l);
    SSL_set_app_data(l->client, (char *)l);
    SSL_set_info_callback(l->client, link_client_info);
    l->socket = link_socket(l);
    BIO_up_ref(l->socket);
    SSL_set_bio(l->server, l->socket, l->socket);
    SSL_set_accept_state(l->server);
    l->in = BIO_new(BIO_s_mem());
    l->out = BIO_new(BIO_s_mem());
    SSL_set_bio(l->client, l->in, l->out);
    SSL_set_connect_state(l->client);
    if (sni != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(l->client, sni), 1);
}

static inline void link_close(struct link *l)
{
    /* As after a proper end: otherwise OpenSSL spoils the session of both sides. */
    if (l->client_done)
        SSL_set_shutdown(l->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    if (l->server_done)
        SSL_set_shutdown(l->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(l->server);
    SSL_free(l->client);
    BIO_free(l->socket);
    for (int i = 0; i < 2; i++)
        if (l->fd[i] >= 0)
            close(l->fd[i]);
    ERR_clear_error();
    l->server = l->client = NULL;
}

/* Runs the server once. Nothing but OpenSSL's own words may be in the error queue afterwards. */
static inline void link_serve(struct link *l)
{
    l->resumed = 0;
    ERR_clear_error();
    if (l->early) {
        size_t n = 0;
        int rv = SSL_read_early_data(l->server, l->early_data + l->early_len,
                                     sizeof(l->early_data) - l->early_len, &n);

        l->server_rv = rv == SSL_READ_EARLY_DATA_ERROR ? -1 : 1;
        l->server_error = SSL_get_error(l->server, l->server_rv);
        if (rv == SSL_READ_EARLY_DATA_SUCCESS)
            l->early_len += n;
        if (rv == SSL_READ_EARLY_DATA_FINISH)
            l->early = 0;
    }
    if (!l->early) {
        l->server_rv = SSL_do_handshake(l->server);
        l->server_errno = errno;
        l->server_error = SSL_get_error(l->server, l->server_rv);
        l->server_done = l->server_rv == 1;
    }
    if (l->server_error == SSL_ERROR_NONE || l->server_error == SSL_ERROR_WANT_READ)
        assert_int_equal(ERR_peek_error(), 0);
    ERR_clear_error();
}

static inline void link_send(struct link *l, const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t part = l->segment != 0 && l->segment < len ? l->segment : len;
        ssize_t n = send(l->fd[1], data, part, MSG_NOSIGNAL);

        if (n < 0) {
            assert_true(errno == EPIPE || errno == ECONNRESET || errno == EAGAIN);
            return;
        }
        data += n;
        len -= (size_t)n;
        if (!l->server_done)
            link_serve(l);
    }
}

/* The client's first flight in smaller records. */
static inline size_t link_split(const uint8_t *in, size_t len, size_t record, uint8_t *out,
                                size_t size)
{
    size_t n = 0;

    while (len >= 5) {
        size_t left = (size_t)in[3] << 8 | in[4];
        const uint8_t *head = in;

        assert_true(len >= left + 5);
        in += 5;
        len -= 5;
        while (left > 0) {
            size_t part = head[0] != SSL3_RT_HANDSHAKE || left < record ? left : record;

            assert_true(n + 5 + part <= size);
            memcpy(out + n, head, 3);
            out[n + 3] = (uint8_t)(part >> 8);
            out[n + 4] = (uint8_t)part;
            memcpy(out + n + 5, in, part);
            n += 5 + part;
            in += part;
            len -= part;
            left -= part;
        }
    }
    return n;
}

/* Whether the client moved. */
static inline int link_client_step(struct link *l)
{
    static uint8_t buf[1 << 17], split[1 << 20];
    int before = l->client_done, n, moved = 0;
    uint8_t data[256];
    ssize_t got;

    while ((got = l->fd[1] < 0 ? -1 : recv(l->fd[1], buf, sizeof(buf), 0)) > 0) {
        assert_int_equal(BIO_write(l->in, buf, (int)got), got);
        moved = 1;
    }
    if (!l->client_done)
        l->client_done = SSL_do_handshake(l->client) == 1;
    else
        SSL_read(l->client, data, sizeof(data)); /* takes in tickets and alerts */
    ERR_clear_error();
    while ((n = BIO_read(l->out, buf, sizeof(buf))) > 0) {
        size_t len = (size_t)n;
        const uint8_t *from = buf;

        moved = 1;
        if (l->record != 0 && !l->first_done) {
            len = link_split(buf, len, l->record, split, sizeof(split));
            from = split;
        }
        l->first_done = 1;
        link_send(l, from, len);
    }
    return moved || before != l->client_done;
}

/* Lets both sides talk until neither has anything more to say. */
static inline void link_run(struct link *l)
{
    int moved;

    do {
        moved = link_client_step(l);
        if (l->resumed) {
            link_serve(l);
            moved = 1;
        }
    } while (moved);
}

/* Fingerprint-free comparison: 1 if the client was given this credential's main certificate. */
static inline int link_served(const struct link *l, const struct ccs_cred *cred)
{
    X509 *got = SSL_get0_peer_certificate(l->client);

    return l->client_done && l->server_done && got != NULL &&
           X509_cmp(got, cred->pairs[0]->leaf) == 0;
}

/* The client certificate's first common name, for own certificates. */
static inline int link_served_name(const struct link *l, const char *name)
{
    X509 *got = SSL_get0_peer_certificate(l->client);

    return l->client_done && got != NULL && X509_check_host(got, name, 0, 0, NULL) == 1;
}

#endif
