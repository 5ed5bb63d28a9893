/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that choose their SSL_CTX in a client hello callback, as Apache's mod_ssl does. */
#include "handshake_kit.h"

#include "tls.h"

#define SESSIONS 64

struct server {
    struct ccs_pki_ca *ca;
    struct ccs ccs;
    SSL_CTX *first; /* that every handshake begins with: no site */
    SSL_CTX *ctx;   /* of "*.example" */
    SSL_CTX *client;
    struct ccs_site *site;
    struct ccs_cred *a, *b; /* borrowed from ccs */
    int version;

    int refuse; /* what the host's acquire answers, if not CCS_OK */
    unsigned acquired, served, rejected;
    enum ccs_result result;
    int code;

    /* A cache of sessions outside of OpenSSL. */
    SSL_SESSION *sessions[SESSIONS];
    unsigned fetched;
};

static struct server *current;

static int on_acquire(SSL *ssl, struct ccs *ccs, const char *name, size_t len,
                      struct ccs_answer *out, void *arg)
{
    struct server *s = arg;

    assert_non_null(link_of(ssl));
    assert_ptr_equal(ccs, &s->ccs);
    s->acquired++;
    if (s->refuse == CCS_OK)
        return ccs_acquire(ccs, name, len, -1, out);
    out->code = s->refuse;
    out->cred = NULL;
    out->result = CCS_RESULT_NONE;
    return ccs_error_set(&out->error, s->refuse, "not now");
}

static void on_served(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    struct server *s = arg;

    assert_ptr_equal(answer, ccs_ssl_answer(ssl));
    s->served++;
    s->result = answer->result;
}

static void on_rejected(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    struct server *s = arg;

    assert_non_null(link_of(ssl));
    s->rejected++;
    s->code = answer->code;
}

/* The application's own: it exchanges the SSL_CTX, and sets one session id context for all names.
 */
static int app_hello(SSL *ssl, int *alert, void *arg)
{
    static const unsigned char vhost[] = "vhost";
    const unsigned char *ext;
    size_t len;

    (void)alert;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) == 1 && len > 8 &&
        memcmp(ext + len - 8, ".example", 8) == 0) {
        SSL_set_SSL_CTX(ssl, arg);
        SSL_set_session_id_context(ssl, vhost, sizeof(vhost));
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int app_keep(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    for (size_t i = 0; i < SESSIONS; i++) {
        if (current->sessions[i] != NULL)
            continue;
        current->sessions[i] = session;
        return 1;
    }
    return 0;
}

static SSL_SESSION *app_fetch(SSL *ssl, const unsigned char *id, int len, int *copy)
{
    (void)ssl;
    current->fetched++;
    *copy = 1;
    for (size_t i = 0; i < SESSIONS; i++) {
        unsigned int own_len = 0;
        const unsigned char *own = current->sessions[i] != NULL
                                       ? SSL_SESSION_get_id(current->sessions[i], &own_len)
                                       : NULL;

        if (own != NULL && own_len == (unsigned)len && memcmp(own, id, own_len) == 0)
            return current->sessions[i];
    }
    return NULL;
}

static void attach(struct server *s, SSL_CTX *ctx, struct ccs_site *site)
{
    const struct ccs_thread_host host = {
        .acquire = on_acquire, .served = on_served, .rejected = on_rejected, .arg = s};
    struct ccs_error err;

    assert_int_equal(ccs_thread_attach(ctx, site, &host, &err), CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);
}

static SSL_CTX *app_ctx(const struct server *s)
{
    static const unsigned char app[] = "app";
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_non_null(ctx);
    SSL_CTX_set_max_proto_version(ctx, s->version);
    SSL_CTX_set_session_id_context(ctx, app, sizeof(app));
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, app_keep);
    SSL_CTX_sess_set_get_cb(ctx, app_fetch);
    kit_own_cert(ctx, s->ca, "own.test");
    return ctx;
}

static void set_site(struct server *s, const char *unknown_name)
{
    ccs_site_free(s->site);
    s->site = kit_site("server", NULL, unknown_name, &s->ccs);
    /* Twice is as good as once. */
    for (int i = 0; i < 2; i++) {
        attach(s, s->first, NULL);
        attach(s, s->ctx, s->site);
    }
}

static int setup(void **state)
{
    struct server *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    current = s;
    s->version = *(int *)*state;
    s->ca = ccs_pki_ca_new();
    s->ccs.otherwise = CCS_ENOTFOUND;
    s->first = app_ctx(s);
    s->ctx = app_ctx(s);
    SSL_CTX_set_client_hello_cb(s->first, app_hello, s->ctx);
    s->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(s->client, s->version);
    s->a = kit_cred(s->ca, "a.example", CCS_PKI_P256);
    s->b = kit_cred(s->ca, "b.example", CCS_PKI_RSA);
    fake_put(&s->ccs, "a.example", s->a, CCS_OK, 1);
    fake_put(&s->ccs, "b.example", s->b, CCS_OK, 1);
    set_site(s, NULL);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct server *s = *state;

    for (size_t i = 0; i < SESSIONS; i++)
        SSL_SESSION_free(s->sessions[i]);
    SSL_CTX_free(s->first);
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
    s->served = s->rejected = s->acquired = 0;
    link_open(l, s->first, s->client, sni);
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

static void served(void **state)
{
    struct server *s = *state;
    struct link l;

    visit(s, "A.example", NULL, &l);
    assert_true(link_served(&l, s->a));
    assert_int_equal(s->acquired, 1);
    assert_true(s->served > 0);
    assert_int_equal(s->result, CCS_RESULT_LOADED);
    link_close(&l);
    visit(s, "b.example", NULL, &l);
    assert_true(link_served(&l, s->b));
    link_close(&l);
    visit(s, "somebody.test", NULL, &l);
    assert_true(link_served_name(&l, "own.test"));
    assert_int_equal(s->acquired + s->served + s->rejected, 0);
    assert_null(ccs_ssl_answer(l.server));
    link_close(&l);
}

static void refused(void **state)
{
    struct server *s = *state;
    struct link l;

    visit(s, "nobody.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(s->rejected, 1);
    assert_int_equal(s->code, CCS_ENOTFOUND);
    assert_int_equal(s->served, 0);
    link_close(&l);
    s->refuse = CCS_EBUSY;
    visit(s, "a.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
    assert_int_equal(s->code, CCS_EBUSY);
    link_close(&l);
}

/* In two ways: with tickets, and with a cache of the application's. */
static void resumption(void **state)
{
    struct server *s = *state;
    SSL_SESSION *session;
    struct link l;

    for (int how = 0; how < 2; how++) {
        if (how == 1)
            SSL_CTX_set_options(s->first, SSL_OP_NO_TICKET);
        session = session_of(s, "a.example");
        visit(s, "a.example", session, &l);
        assert_true(l.client_done && SSL_session_reused(l.client));
        assert_true(s->served > 0);
        assert_int_equal(s->acquired, 1);
        link_close(&l);
        visit(s, "b.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, s->b));
        assert_int_equal(s->acquired, 1);
        link_close(&l);
        visit(s, "somebody.test", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served_name(&l, "own.test"));
        link_close(&l);
        SSL_SESSION_free(session);

        session = session_of(s, "somebody.test");
        visit(s, "somebody.test", session, &l);
        assert_true(l.client_done && SSL_session_reused(l.client));
        link_close(&l);
        visit(s, "a.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, s->a));
        link_close(&l);
        SSL_SESSION_free(session);
    }
    assert_true(s->fetched > 0);
}

/* What was made of the store's certificate is not resumed where the server's own is served. */
static void resumption_and_fallback(void **state)
{
    struct server *s = *state;
    SSL_SESSION *own, *session;
    struct link l;

    set_site(s, "fallback");
    own = session_of(s, "c.example");
    assert_int_equal(s->result, CCS_RESULT_FALLBACK);
    visit(s, "c.example", own, &l);
    assert_true(l.client_done && SSL_session_reused(l.client));
    link_close(&l);

    fake_put(&s->ccs, "c.example", ccs_cred_ref(s->a), CCS_OK, 0);
    visit(s, "c.example", own, &l);
    assert_false(SSL_session_reused(l.client));
    assert_true(link_served(&l, s->a));
    session = SSL_get1_session(l.client);
    link_close(&l);

    fake_put(&s->ccs, "c.example", NULL, CCS_ENOTFOUND, 0);
    visit(s, "c.example", session, &l);
    assert_false(SSL_session_reused(l.client));
    assert_true(link_served_name(&l, "own.test"));
    link_close(&l);
    SSL_SESSION_free(session);
    SSL_SESSION_free(own);
}

static void resumption_of_removed(void **state)
{
    struct server *s = *state;
    SSL_SESSION *session = session_of(s, "a.example");
    struct link l;

    s->a = NULL;
    fake_put(&s->ccs, "a.example", NULL, CCS_ENOTFOUND, 0);
    visit(s, "a.example", session, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    link_close(&l);
    SSL_SESSION_free(session);
}

static void bad_arguments(void **state)
{
    struct server *s = *state;
    const struct ccs_thread_host host = {.arg = s};
    struct ccs_error err = {0};

    assert_int_equal(ccs_thread_attach(NULL, s->site, &host, &err), CCS_EINVAL);
    assert_int_equal(err.code, CCS_EINVAL);
    assert_int_equal(ccs_thread_attach(s->ctx, s->site, NULL, NULL), CCS_EINVAL);
}

static void server_name(void **state)
{
    struct server *s = *state;
    char name[CCS_SERVER_NAME_SIZE];
    const uint8_t *hello;
    size_t size, len = 0;
    struct link l;
    char *data;

    link_open(&l, s->first, s->client, "Shop.a.example");
    (void)SSL_do_handshake(l.client);
    size = (size_t)BIO_get_mem_data(l.out, &data);
    hello = (const uint8_t *)data;
    assert_true(size > 100);
    assert_int_equal(ccs_hello_server_name(hello, size, name, &len), CCS_OK);
    assert_int_equal(len, strlen("Shop.a.example"));
    assert_string_equal(name, "Shop.a.example");
    assert_int_equal(ccs_hello_server_name(hello, 0, name, &len), CCS_PENDING);
    assert_int_equal(ccs_hello_server_name(hello, 40, name, &len), CCS_PENDING);
    assert_int_equal(ccs_hello_server_name((const uint8_t *)"GET / HTTP", 10, name, &len),
                     CCS_EINVAL);
    link_close(&l);

    link_open(&l, s->first, s->client, NULL);
    (void)SSL_do_handshake(l.client);
    size = (size_t)BIO_get_mem_data(l.out, &data);
    assert_int_equal(ccs_hello_server_name((const uint8_t *)data, size, name, &len), CCS_OK);
    assert_int_equal(len, 0);
    assert_string_equal(name, "");
    link_close(&l);
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
        EACH(resumption),
        EACH(resumption_and_fallback),
        EACH(resumption_of_removed),
        EACH(bad_arguments),
        EACH(server_name),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
