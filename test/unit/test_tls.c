/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/rsa.h>
#include <pthread.h>

#include "handshake_kit.h"
#include "site.h"
#include "tls.h"

struct server {
    struct ccs_pki_ca *ca;
    struct ccs ccs;
    SSL_CTX *ctx, *client;
    struct ccs_site *site;
    struct ccs_cred *a, *b; /* borrowed from ccs */
    int version;
};

static void server_attach(struct server *s, const char *default_name, const char *unknown_name)
{
    struct ccs_error err;

    ccs_site_free(s->site);
    s->site = kit_site("server", default_name, unknown_name, &s->ccs);
    assert_int_equal(ccs_ssl_ctx_attach(s->ctx, s->site, &err), CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);
}

static int setup(void **state)
{
    struct server *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->version = *(int *)*state;
    s->ca = ccs_pki_ca_new();
    s->ccs.otherwise = CCS_ENOTFOUND;
    s->ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(s->ctx, s->version);
    s->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(s->client, s->version);
    s->a = kit_cred(s->ca, "a.example", CCS_PKI_P256);
    s->b = kit_cred(s->ca, "b.example", CCS_PKI_RSA);
    fake_put(&s->ccs, "a.example", s->a, CCS_OK, 1);
    fake_put(&s->ccs, "b.example", s->b, CCS_OK, 1);
    server_attach(s, NULL, NULL);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;

    SSL_CTX_free(s->ctx);
    SSL_CTX_free(s->client);
    ccs_site_free(s->site);
    fake_clear(&s->ccs);
    ccs_pki_ca_free(s->ca);
    free(s);
    return 0;
}

static void visit(struct server *s, const char *sni, SSL_SESSION *resume, struct link *l)
{
    link_open(l, s->ctx, s->client, sni);
    if (resume != NULL)
        assert_int_equal(SSL_set_session(l->client, resume), 1);
    link_run(l);
}

static SSL_SESSION *session_of(struct server *s, const char *sni)
{
    SSL_SESSION *session;
    struct link l;

    visit(s, sni, NULL, &l);
    assert_true(l.client_done && l.server_done);
    session = SSL_get1_session(l.client);
    link_close(&l);
    return session;
}

/* -- servers that may block ---------------------------------------------------------------- */

static void served(void **state)
{
    struct server *s = *state;
    struct link l;

    visit(s, "A.example.", NULL, &l);
    assert_true(link_served(&l, s->a));
    assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_LOADED);
    link_close(&l);
    visit(s, "a.example", NULL, &l);
    assert_true(link_served(&l, s->a));
    assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_HIT);
    link_close(&l);
    visit(s, "b.example", NULL, &l);
    assert_true(link_served(&l, s->b));
    link_close(&l);
    assert_int_equal(s->ccs.waits, 3);
    assert_int_equal(s->ccs.starts, 0);
}

static void refused(void **state)
{
    struct server *s = *state;
    struct link l;

    fake_put(&s->ccs, "down.example", NULL, CCS_EUNAVAIL, 1);
    visit(s, "nobody.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(ccs_ssl_answer(l.server)->code, CCS_ENOTFOUND);
    link_close(&l);
    visit(s, NULL, NULL, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    link_close(&l);
    visit(s, "down.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
    link_close(&l);
}

static void default_and_fallback(void **state)
{
    struct server *s = *state;
    struct link l;

    server_attach(s, "a.example", "fallback");
    kit_own_cert(s->ctx, s->ca, "own.example");
    visit(s, NULL, NULL, &l);
    assert_true(link_served(&l, s->a));
    link_close(&l);
    visit(s, "nobody.example", NULL, &l);
    assert_true(link_served_name(&l, "own.example"));
    assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_FALLBACK);
    link_close(&l);
}

static void resumption(void **state)
{
    struct server *s = *state;
    SSL_SESSION *session;
    struct link l;

    for (int how = 0; how < 2; how++) {
        if (how == 1)
            SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
        session = session_of(s, "a.example");
        visit(s, "a.example", session, &l);
        assert_true(l.client_done && SSL_session_reused(l.client));
        link_close(&l);
        visit(s, "b.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, s->b));
        link_close(&l);
        SSL_SESSION_free(session);
    }
    session = session_of(s, "a.example");
    s->a = NULL;
    fake_put(&s->ccs, "a.example", NULL, CCS_ENOTFOUND, 0);
    visit(s, "a.example", session, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    link_close(&l);
    SSL_SESSION_free(session);
}

static int no_hello(SSL *ssl, int *alert, void *arg)
{
    (void)ssl, (void)alert, (void)arg;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* The application took the client hello callback away: served all the same, but never resumed. */
static void without_hello(void **state)
{
    struct server *s = *state;
    SSL_SESSION *session;
    struct link l;

    SSL_CTX_set_client_hello_cb(s->ctx, no_hello, NULL);
    session = session_of(s, "a.example");
    visit(s, "a.example", session, &l);
    assert_true(link_served(&l, s->a));
    assert_false(SSL_session_reused(l.client));
    link_close(&l);
    visit(s, "b.example", session, &l);
    assert_true(link_served(&l, s->b));
    link_close(&l);
    SSL_SESSION_free(session);
}

/* A session from before the site was attached says nothing about a name. */
static void foreign_session(void **state)
{
    struct server *s = *state;
    static unsigned char keys[80] = {1};
    SSL_CTX *stock = SSL_CTX_new(TLS_server_method());
    SSL_SESSION *session;
    struct link l;

    kit_own_cert(stock, s->ca, "a.example");
    SSL_CTX_set_max_proto_version(stock, s->version);
    SSL_CTX_set_tlsext_ticket_keys(stock, keys, sizeof(keys));
    SSL_CTX_set_tlsext_ticket_keys(s->ctx, keys, sizeof(keys));
    link_open(&l, stock, s->client, "a.example");
    link_run(&l);
    assert_true(l.client_done && l.server_done);
    session = SSL_get1_session(l.client);
    link_close(&l);

    visit(s, "a.example", session, &l);
    assert_true(link_served(&l, s->a));
    assert_false(SSL_session_reused(l.client));
    link_close(&l);
    SSL_CTX_set_client_hello_cb(s->ctx, no_hello, NULL);
    for (int i = 0; i < 2; i++) {
        SSL_SESSION *copy = SSL_SESSION_dup(session); /* a refusal spoils it */

        visit(s, "a.example", copy, &l);
        assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
        link_close(&l);
        SSL_SESSION_free(copy);
        /* That is nothing to fall back from. */
        server_attach(s, NULL, "fallback");
        SSL_CTX_set_client_hello_cb(s->ctx, no_hello, NULL);
        kit_own_cert(s->ctx, s->ca, "own.example");
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(stock);
}

static void hello_retry(void **state)
{
    struct server *s = *state;
    struct link l;

    SSL_CTX_set1_groups_list(s->client, "X25519:P-256");
    SSL_CTX_set1_groups_list(s->ctx, "P-256");
    visit(s, "a.example", NULL, &l);
    assert_true(link_served(&l, s->a));
    link_close(&l);
    if (s->version != TLS1_3_VERSION)
        return;
    link_open(&l, s->ctx, s->client, "a.example");
    link_client_step(&l);
    SSL_set_tlsext_host_name(l.client, "b.example");
    link_run(&l);
    assert_true(link_served(&l, s->b));
    link_close(&l);
}

/* A name whose lengths disagree is no name; OpenSSL refuses it afterwards. */
static void odd_name(void **state)
{
    struct server *s = *state;
    uint8_t hello[4096], *name;
    struct link l;
    int n;

    link_open(&l, s->ctx, s->client, "a.example");
    assert_int_equal(SSL_do_handshake(l.client), -1);
    n = BIO_read(l.out, hello, sizeof(hello));
    assert_true(n > 0);
    name = memmem(hello, (size_t)n, "a.example", 9);
    assert_non_null(name);
    assert_int_equal(name[-1], 9);
    name[-1] = 7;
    link_send(&l, hello, (size_t)n);
    link_client_step(&l);
    assert_int_equal(l.alert, SSL_AD_DECODE_ERROR);
    assert_int_equal(s->ccs.waits, 0);
    link_close(&l);
}

static void bad_arguments(void **state)
{
    struct server *s = *state;
    const struct ccs_gate_host host = {0};
    struct ccs_error err = {0};

    assert_int_equal(ccs_ssl_ctx_attach(NULL, s->site, &err), CCS_EINVAL);
    assert_int_equal(err.code, CCS_EINVAL);
    assert_string_equal(err.text, "attaching needs an SSL_CTX and a site");
    assert_int_equal(ccs_ssl_ctx_attach(s->ctx, NULL, NULL), CCS_EINVAL);
    assert_int_equal(ccs_gate_attach(s->ctx, s->site, &host, NULL), CCS_EINVAL);
}

/* -- credentials --------------------------------------------------------------------------- */

static void use_replaces_everything(void **state)
{
    struct server *s = *state;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct ccs_pki_spec spec = {.names = "own.example", .key = CCS_PKI_RSA};
    struct ccs_pki_leaf leaf = {0};
    struct link l;

    /* The context has an RSA certificate, an ECDSA one, extra certificates and a trust store. */
    kit_own_cert(ctx, s->ca, "own.example");
    ccs_pki_issue(s->ca, &spec, &leaf);
    assert_int_equal(SSL_CTX_use_cert_and_key(ctx, leaf.cert, leaf.key, NULL, 1), 1);
    assert_int_equal(SSL_CTX_add1_chain_cert(ctx, s->ca->root), 1);
    X509_up_ref(s->ca->root);
    assert_int_equal(SSL_CTX_add_extra_chain_cert(ctx, s->ca->root), 1);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), s->ca->intermediate);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), s->ca->root);
    SSL_CTX_set_max_proto_version(ctx, s->version);
    ccs_pki_leaf_clear(&leaf);

    link_open(&l, ctx, s->client, "a.example");
    assert_int_equal(ccs_cred_use(s->a, l.server, NULL), CCS_OK);
    link_run(&l);
    assert_true(link_served(&l, s->a));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(l.client)), 2);
    link_close(&l);

    /* A client that wants RSA does not get the context's own. */
    SSL_CTX_set1_sigalgs_list(s->client, "RSA-PSS+SHA256:RSA+SHA256");
    link_open(&l, ctx, s->client, "a.example");
    assert_int_equal(ccs_cred_use(s->a, l.server, NULL), CCS_OK);
    link_run(&l);
    assert_false(l.client_done);
    link_close(&l);
    SSL_CTX_free(ctx);
}

static void use_without_chain(void **state)
{
    struct server *s = *state;
    struct ccs_pki_spec spec = {.names = "bare.example", .key = CCS_PKI_P256, .no_chain = 1};
    struct ccs_pki_leaf leaf = {0};
    struct link l;

    ccs_pki_issue(s->ca, &spec, &leaf);
    fake_put(&s->ccs, "bare.example", kit_cred_of("bare.example", &leaf, 1), CCS_OK, 0);
    ccs_pki_leaf_clear(&leaf);
    X509_up_ref(s->ca->root);
    assert_int_equal(SSL_CTX_add_extra_chain_cert(s->ctx, s->ca->root), 1);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(s->ctx), s->ca->intermediate);
    visit(s, "bare.example", NULL, &l);
    assert_true(l.client_done);
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(l.client)), 1);
    link_close(&l);
}

static void use_two_key_types(void **state)
{
    struct server *s = *state;
    struct ccs_pki_spec specs[2] = {{.names = "dual.example", .key = CCS_PKI_P256},
                                    {.names = "dual.example", .key = CCS_PKI_RSA}};
    struct ccs_pki_leaf leaves[2] = {0};
    struct link l;

    for (int i = 0; i < 2; i++)
        ccs_pki_issue(s->ca, &specs[i], &leaves[i]);
    fake_put(&s->ccs, "dual.example", kit_cred_of("dual.example", leaves, 2), CCS_OK, 0);
    for (int i = 0; i < 2; i++) {
        SSL_CTX_set1_sigalgs_list(s->client, i == 0 ? "ECDSA+SHA256" : "RSA-PSS+SHA256:RSA+SHA256");
        visit(s, "dual.example", NULL, &l);
        assert_true(l.client_done && l.server_done);
        assert_int_equal(X509_cmp(SSL_get0_peer_certificate(l.client), leaves[i].cert), 0);
        link_close(&l);
        ccs_pki_leaf_clear(&leaves[i]);
    }
}

/* Leaf and key are one object as a rule; where they are two, the key given is the one that signs.
 */
static void use_key_apart(void **state)
{
    struct server *s = *state;
    EVP_PKEY *own = s->a->main.key, *copy = EVP_PKEY_dup(own);
    struct ccs_error err = {0};
    struct link l;

    assert_ptr_equal(X509_get0_pubkey(s->a->main.leaf), own);
    visit(s, "a.example", NULL, &l);
    assert_true(link_served(&l, s->a));
    assert_ptr_equal(SSL_get_privatekey(l.server), own);
    link_close(&l);

    s->a->main.key = copy;
    visit(s, "a.example", NULL, &l);
    assert_true(link_served(&l, s->a));
    assert_ptr_equal(SSL_get_privatekey(l.server), copy);
    link_close(&l);

    s->a->main.key = s->b->main.key;
    link_open(&l, s->ctx, s->client, "a.example");
    assert_int_equal(ccs_cred_use(s->a, l.server, &err), CCS_ESSL);
    assert_null(SSL_get_certificate(l.server));
    assert_null(SSL_get_privatekey(l.server));
    link_close(&l);

    s->a->main.key = own;
    EVP_PKEY_free(copy);
}

/* The context in force asks for more than the credential has. */
static void use_refused(void **state)
{
    struct server *s = *state;
    struct ccs_error err = {0};
    struct link l;
    SSL *ssl;

    SSL_CTX_set_security_level(s->ctx, 4);
    ssl = SSL_new(s->ctx);
    assert_int_equal(ccs_cred_use(s->a, ssl, &err), CCS_EKEYUSE);
    assert_non_null(strstr(err.text, "a.example.pfx"));
    assert_non_null(strstr(err.text, "ee key too small"));
    assert_int_equal(ccs_cred_use(s->a, ssl, NULL), CCS_EKEYUSE);
    assert_null(SSL_get_certificate(ssl));
    assert_int_equal(ERR_peek_error(), 0);
    SSL_free(ssl);

    visit(s, "a.example", NULL, &l);
    assert_false(l.client_done);
    assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
    assert_int_equal(ccs_ssl_answer(l.server)->code, CCS_EKEYUSE);
    assert_null(ccs_ssl_answer(l.server)->cred);
    link_close(&l);
}

/* All or nothing: here the RSA certificate is refused and the other one is not. */
static void use_one_of_two_refused(void **state)
{
    struct server *s = *state;
    struct ccs_pki_spec specs[2] = {{.names = "dual.example", .key = CCS_PKI_P256},
                                    {.names = "dual.example", .key = CCS_PKI_RSA}};
    struct ccs_pki_leaf leaves[2] = {0};
    struct ccs_cred *cred;
    SSL *ssl;

    SSL_CTX_set_security_level(s->ctx, 3);
    for (int i = 0; i < 2; i++)
        ccs_pki_issue(s->ca, &specs[i], &leaves[i]);
    cred = kit_cred_of("dual.example", leaves, 2);
    for (int i = 0; i < 2; i++) {
        const struct ccs_key_pair *first = cred->pairs[0];

        ssl = SSL_new(s->ctx);
        assert_int_equal(ccs_cred_use(cred, ssl, NULL), CCS_EKEYUSE);
        assert_null(SSL_get_certificate(ssl));
        assert_null(SSL_get_privatekey(ssl));
        assert_false(SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST));
        SSL_free(ssl);
        cred->pairs[0] = cred->pairs[1];
        cred->pairs[1] = first;
        cred->main = ccs_served_of(cred->pairs[0]);
        ccs_pki_leaf_clear(&leaves[i]);
    }
    ccs_cred_unref(cred);
}

/* What others left in OpenSSL's error queue stays there. */
static void errors_of_others(void **state)
{
    struct server *s = *state;
    SSL *ssl = SSL_new(s->ctx);

    SSL_CTX_set_security_level(s->ctx, 4);
    ERR_raise(ERR_LIB_USER, 42);
    SSL_set_security_level(ssl, 4);
    assert_int_equal(ccs_cred_use(s->a, ssl, NULL), CCS_EKEYUSE);
    assert_int_equal(ccs_tls_warm(s->a->pairs[0], NULL), CCS_OK);
    assert_int_equal(ccs_ssl_ctx_attach(s->ctx, s->site, NULL), CCS_OK);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), 42);
    assert_int_equal(ERR_get_error(), 0);
    SSL_free(ssl);
}

/* -- warming ------------------------------------------------------------------------------- */

static void warm_all_kinds(void **state)
{
    struct server *s = *state;
    static const enum ccs_pki_key kinds[] = {CCS_PKI_P256, CCS_PKI_RSA, CCS_PKI_P384,
                                             CCS_PKI_ED25519};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ccs_cred *cred = kit_cred(s->ca, "kind.example", kinds[i]);
        struct ccs_error err = {0};

        assert_int_equal(ccs_tls_warm(cred->pairs[0], &err), CCS_OK);
        assert_int_equal(err.code, 0);
        assert_int_equal(ERR_peek_error(), 0);
        ccs_cred_unref(cred);
    }
}

static void warm_refuses(void **state)
{
    struct server *s = *state;
    EVP_PKEY *small = EVP_RSA_gen(512), *other = EVP_EC_gen("P-256");
    struct ccs_key_pair pair = {.key = small, .key_type = EVP_PKEY_RSA};
    struct ccs_error err = {0};

    pair.leaf = X509_new();
    X509_set_pubkey(pair.leaf, small);
    X509_sign(pair.leaf, s->ca->root_key, EVP_sha256());
    assert_int_equal(ccs_tls_warm(&pair, &err), CCS_EKEYUSE);
    assert_non_null(strstr(err.text, "ee key too small"));
    assert_non_null(strstr(err.text, "2048"));
    assert_int_equal(ccs_tls_warm(&pair, NULL), CCS_EKEYUSE);
    assert_int_equal(ERR_peek_error(), 0);

    X509_free(pair.leaf);
    EVP_PKEY_free(small);

    /* Not a pair at all. */
    pair.leaf = s->a->pairs[0]->leaf;
    pair.key = other;
    pair.key_type = EVP_PKEY_EC;
    assert_int_equal(ccs_tls_warm(&pair, &err), CCS_ESSL);
    assert_int_equal(ERR_peek_error(), 0);

    /* A key that agrees but cannot sign. */
    small = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    pair.key = small;
    pair.key_type = EVP_PKEY_X25519;
    pair.leaf = X509_new();
    X509_set_pubkey(pair.leaf, small);
    X509_sign(pair.leaf, s->ca->root_key, EVP_sha256());
    assert_int_equal(ccs_tls_warm(&pair, &err), CCS_EKEYUSE);
    assert_int_equal(ERR_peek_error(), 0);
    X509_free(pair.leaf);
    EVP_PKEY_free(small);
    EVP_PKEY_free(other);
}

static void *warm_thread(void *arg)
{
    const struct ccs_key_pair *pair = arg;

    for (int i = 0; i < 20; i++)
        if (ccs_tls_warm(pair, NULL) != CCS_OK)
            return arg;
    return NULL;
}

/* Loader threads warm at the same time, and the same pair may be in use meanwhile. */
static void warm_in_threads(void **state)
{
    struct server *s = *state;
    pthread_t threads[4];
    void *failed;

    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, warm_thread,
                                        (void *)(uintptr_t)(i < 2 ? s->a : s->b)->pairs[0]),
                         0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

/* -- sites --------------------------------------------------------------------------------- */

static void session_ids(void **state)
{
    struct server *s = *state;
    struct ccs_site *sites[4] = {kit_site("x", NULL, NULL, NULL), kit_site("xy", NULL, NULL, NULL),
                                 kit_site("x", "a.example", "fallback", &s->ccs), NULL};
    struct ccs_config *cfg = ccs_config_new();
    static const char *const names[] = {"", "a", "ab", "b.example"};
    uint8_t ids[4][4][CCS_SITE_SESSION_ID_SIZE];

    assert_int_equal(ccs_config_set(cfg, "store", "/srv/other", NULL), CCS_OK);
    sites[3] = ccs_site_new(cfg, "x", NULL);
    assert_non_null(sites[3]);
    ccs_config_free(cfg);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            assert_int_equal(
                ccs_site_session_id(sites[i], 0, names[j], strlen(names[j]), ids[i][j]), CCS_OK);
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++) {
            /* Sites 0 and 2 differ in what takes no part. */
            int same = i % 4 == j % 4 && (i / 4 == j / 4 || (i / 4 + j / 4 == 2 && i / 4 != 1));

            assert_int_equal(memcmp(ids[i / 4][i % 4], ids[j / 4][j % 4], sizeof(ids[0][0])) == 0,
                             same);
        }
    assert_int_equal(ccs_site_session_id(sites[0], 1, "a", 1, ids[1][1]), CCS_OK);
    assert_memory_not_equal(ids[0][1], ids[1][1], sizeof(ids[0][1]));
    assert_int_equal(ccs_site_session_id(sites[0], 0, "", 100000, ids[0][0]), CCS_EINVAL);
    for (size_t i = 0; i < 4; i++)
        ccs_site_free(sites[i]);
    ccs_site_free(NULL);
}

/* A credential knows the digest of its own name, and serves it as any other of that name. */
static void session_id_of_a_credential(void **state)
{
    struct server *s = *state;
    struct ccs_site *sites[2] = {kit_site("x", NULL, NULL, NULL), kit_site("y", NULL, NULL, NULL)};
    uint8_t want[CCS_SITE_SESSION_ID_SIZE], got[CCS_SITE_SESSION_ID_SIZE];

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ccs_site_session_id(sites[i], 0, s->a->stem, strlen(s->a->stem), want),
                         CCS_OK);
        ccs_site_session_id_of(sites[i], s->a->name_digest, got);
        assert_memory_equal(got, want, sizeof(want));
        ccs_site_session_id_of(sites[i], s->b->name_digest, got);
        assert_memory_not_equal(got, want, sizeof(want));
    }
    for (size_t i = 0; i < 2; i++)
        ccs_site_free(sites[i]);
}

static void bad_site(void **state)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_error err = {0};

    (void)state;
    assert_null(ccs_site_new(NULL, "x", &err));
    assert_int_equal(err.code, CCS_EINVAL);
    assert_null(ccs_site_new(cfg, NULL, NULL));
    ccs_config_free(cfg);
}

#define EACH(test)                                                                                 \
    {#test " TLS 1.2", test, setup, teardown, &versions[0]},                                       \
    {                                                                                              \
#test " TLS 1.3", test, setup, teardown, &versions[1]                                      \
    }

int main(void)
{
    static int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    const struct CMUnitTest tests[] = {
        EACH(served),
        EACH(refused),
        EACH(default_and_fallback),
        EACH(resumption),
        EACH(without_hello),
        EACH(foreign_session),
        EACH(hello_retry),
        EACH(odd_name),
        EACH(bad_arguments),
        EACH(use_replaces_everything),
        EACH(use_without_chain),
        EACH(use_two_key_types),
        EACH(use_key_apart),
        EACH(use_refused),
        EACH(use_one_of_two_refused),
        EACH(errors_of_others),
        EACH(warm_all_kinds),
        EACH(warm_refuses),
        EACH(warm_in_threads),
        EACH(session_ids),
        EACH(session_id_of_a_credential),
        EACH(bad_site),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
