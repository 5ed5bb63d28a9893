/* SPDX-License-Identifier: Apache-2.0 */
#include "handshake_kit.h"
#include "hello.h"
#include "tls_hello.h"

/* What all tests are run with. */
struct mode {
    int version;
    int traced;     /* the application has a callback of its own on the socket */
    int single_use; /* it promises that each SSL serves one connection */
};

/*
 * The farm: "first" is the context that connections start on, with site one; "second" has site two
 * and serves the names that begin with "b"; "plain" has no site, a certificate of its own, and
 * serves the names that begin with "p".
 */
struct farm {
    struct ccs_pki_ca *ca;
    struct ccs ccs;
    SSL_CTX *first, *second, *plain, *client;
    struct ccs_site *one, *two;
    struct ccs_gate_host host;
    struct ccs_cred *a, *a2, *b; /* borrowed from ccs */
    const struct mode *mode;
    int version;
    int liar;  /* choose says "one" whatever the server does */
    int apart; /* the second context has an info callback of its own */
    unsigned switched, infos, seconds, exits, traces;
};

static struct farm *farm; /* the one of the running test */

static struct ccs_site *farm_choose(SSL *ssl, const char *name, size_t len, void *arg)
{
    struct farm *f = arg;
    struct link *l = link_of(ssl);

    assert_int_equal(strlen(name), len);
    l->chosen++;
    snprintf(l->name, sizeof(l->name), "%s", name);
    if (f->liar)
        return f->one;
    return name[0] == 'b' ? f->two : name[0] == 'p' ? NULL : f->one;
}

static void farm_resume(SSL *ssl, void *arg)
{
    (void)arg;
    link_of(ssl)->resumed = 1;
    link_of(ssl)->resumes++;
}

static void farm_rejected(SSL *ssl, const struct ccs_answer *answer, void *arg)
{
    (void)arg;
    link_of(ssl)->rejected++;
    link_of(ssl)->refusal = *answer;
}

static int farm_servername(SSL *ssl, int *alert, void *arg)
{
    struct farm *f = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    f->switched++;
    if (name != NULL && strcmp(name, "banned.example") == 0) {
        *alert = SSL_AD_ACCESS_DENIED;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (name != NULL && name[0] == 'b')
        SSL_set_SSL_CTX(ssl, f->second);
    else if (name != NULL && name[0] == 'p')
        SSL_set_SSL_CTX(ssl, f->plain);
    return SSL_TLSEXT_ERR_OK;
}

static void farm_info(const SSL *ssl, int type, int value)
{
    (void)value;
    if (farm->apart)
        assert_ptr_not_equal(SSL_get_SSL_CTX(ssl), farm->second);
    farm->infos++;
    farm->exits += type == SSL_CB_ACCEPT_EXIT;
}

static SSL_CTX *farm_ctx(const struct farm *f, struct ccs_site *site)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct ccs_error err;

    assert_non_null(ctx);
    SSL_CTX_set_max_proto_version(ctx, f->version);
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_info_callback(ctx, farm_info);
    assert_int_equal(SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"farm", 4), 1);
    assert_int_equal(ccs_gate_attach(ctx, site, &f->host, &err), CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);
    return ctx;
}

static int setup(void **state)
{
    struct farm *f = calloc(1, sizeof(*f));
    const struct mode *mode = *state;
    int version = mode->version;

    assert_non_null(f);
    farm = f;
    f->mode = mode;
    f->version = version;
    f->ca = ccs_pki_ca_new();
    f->ccs.otherwise = CCS_ENOTFOUND;
    f->one = kit_site("one", NULL, NULL, &f->ccs);
    f->two = kit_site("two", NULL, NULL, &f->ccs);
    f->host = (struct ccs_gate_host){.choose = farm_choose,
                                     .resume = farm_resume,
                                     .rejected = farm_rejected,
                                     .next_servername = farm_servername,
                                     .next_servername_arg = f,
                                     .single_use = mode->single_use,
                                     .arg = f};
    f->first = farm_ctx(f, f->one);
    f->second = farm_ctx(f, f->two);
    f->plain = farm_ctx(f, NULL);
    kit_own_cert(f->plain, f->ca, "plain.example");
    f->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(f->client, version);
    SSL_CTX_set_min_proto_version(f->client, version);
    f->a = kit_cred(f->ca, "a.example", CCS_PKI_P256);
    f->a2 = kit_cred(f->ca, "a2.example", CCS_PKI_P256);
    f->b = kit_cred(f->ca, "b.example", CCS_PKI_P256);
    fake_put(&f->ccs, "a.example", f->a, CCS_OK, 0);
    fake_put(&f->ccs, "a2.example", f->a2, CCS_OK, 0);
    fake_put(&f->ccs, "b.example", f->b, CCS_OK, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct farm *f = *state;

    SSL_CTX_free(f->first);
    SSL_CTX_free(f->second);
    SSL_CTX_free(f->plain);
    SSL_CTX_free(f->client);
    ccs_site_free(f->one);
    ccs_site_free(f->two);
    fake_clear(&f->ccs);
    ccs_pki_ca_free(f->ca);
    free(f);
    return 0;
}

static long farm_trace(BIO *bio, int oper, const char *data, size_t len, int argi, long argl,
                       int rv, size_t *got)
{
    (void)oper, (void)data, (void)len, (void)argi, (void)argl, (void)got;
    assert_ptr_equal(BIO_get_callback_arg(bio), (char *)farm);
    farm->traces++;
    return rv;
}

/* A fresh link that begins on the first context. */
static void farm_open(struct farm *f, struct link *l, const char *sni)
{
    link_open(l, f->first, f->client, sni);
    if (f->mode->traced) {
        BIO_set_callback_ex(l->socket, farm_trace);
        BIO_set_callback_arg(l->socket, (char *)f);
    }
}

/* Nothing of the gate's is left at the socket. */
static void farm_leaves(struct farm *f, BIO *socket)
{
    assert_ptr_equal(BIO_get_callback_ex(socket), f->mode->traced ? farm_trace : NULL);
    assert_ptr_equal(BIO_get_callback_arg(socket), f->mode->traced ? (char *)f : NULL);
    assert_int_equal(f->traces > 0, f->mode->traced);
}

/* One whole connection on a fresh link; the session, if asked for, is a new reference. */
static void visit(struct farm *f, const char *sni, SSL_SESSION *resume, struct link *l)
{
    farm_open(f, l, sni);
    if (resume != NULL)
        assert_int_equal(SSL_set_session(l->client, resume), 1);
    link_run(l);
    if (l->resumes == 0 && f->ccs.waiting != NULL) {
        ccs_dispatch(&f->ccs, 0);
        link_run(l);
    }
}

static SSL_SESSION *session_of(struct farm *f, const char *sni)
{
    SSL_SESSION *session;
    struct link l;

    visit(f, sni, NULL, &l);
    assert_true(l.client_done && l.server_done);
    session = SSL_get1_session(l.client);
    assert_non_null(session);
    link_close(&l);
    return session;
}

/* The certificate served to sni, or the alert, must be these. */
static void expect_cred(struct farm *f, const char *sni, const struct ccs_cred *cred)
{
    struct link l;

    visit(f, sni, NULL, &l);
    assert_true(link_served(&l, cred));
    link_close(&l);
}

static void expect_alert(struct farm *f, const char *sni, int alert)
{
    struct link l;

    visit(f, sni, NULL, &l);
    assert_false(l.client_done && l.server_done);
    assert_int_equal(l.alert, alert);
    assert_int_equal(l.rejected, 1);
    link_close(&l);
}

/* -- warm and suspended -------------------------------------------------------------------- */

static void warm(void **state)
{
    struct farm *f = *state;
    struct link l;

    for (int ahead = 0; ahead < 2; ahead++) {
        SSL_CTX_set_read_ahead(f->first, ahead);
        farm_open(f, &l, "A.Example.");
        link_run(&l);
        assert_true(link_served(&l, f->a));
        assert_string_equal(l.name, "a.example");
        assert_string_equal(f->ccs.asked, "a.example");
        assert_int_equal(l.chosen, 1);
        assert_int_equal(l.resumes, 0);
        assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
        assert_ptr_equal(SSL_get_wbio(l.server), l.socket);
        farm_leaves(f, l.socket);
        assert_non_null(ccs_ssl_answer(l.server));
        assert_int_equal(ccs_ssl_answer(l.server)->code, CCS_OK);
        assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_HIT);
        assert_ptr_equal(ccs_ssl_answer(l.server)->cred, f->a);
        link_close(&l);
    }
    assert_int_equal(f->ccs.starts, 2);
    assert_int_equal(f->ccs.pending, 0);
}

/* A warm handshake reads the socket exactly as often as one without a gate. */
static void no_more_reads(void **state)
{
    struct farm *f = *state;
    SSL_CTX *stock = SSL_CTX_new(TLS_server_method());
    struct link l;
    unsigned reads;

    kit_own_cert(stock, f->ca, "a.example");
    for (int ahead = 0; ahead < 2; ahead++) {
        SSL_CTX_set_read_ahead(stock, ahead);
        SSL_CTX_set_read_ahead(f->first, ahead);
        SSL_CTX_set_max_proto_version(stock, f->version);
        link_open(&l, stock, f->client, "a.example");
        link_run(&l);
        assert_true(l.server_done);
        reads = l.reads;
        link_close(&l);
        farm_open(f, &l, "a.example");
        link_run(&l);
        assert_true(l.server_done);
        assert_int_equal(l.reads, reads);
        link_close(&l);
    }
    SSL_CTX_free(stock);
}

static void suspended(void **state)
{
    struct farm *f = *state;
    struct link l;
    char octet;

    for (int ahead = 0; ahead < 2; ahead++) {
        SSL_CTX_set_read_ahead(f->first, ahead);
        f->ccs.names[0].cold = 1;
        farm_open(f, &l, "a.example");
        link_run(&l);
        assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
        assert_non_null(f->ccs.waiting);
        assert_null(ccs_ssl_answer(l.server));
        assert_ptr_not_equal(SSL_get_rbio(l.server), l.socket);
        assert_ptr_equal(SSL_get_wbio(l.server), l.socket);
        assert_int_equal(recv(l.fd[1], &octet, 1, 0), -1);
        for (int i = 0; i < 3; i++) { /* woken for nothing */
            link_serve(&l);
            assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
        }
        assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
        assert_int_equal(l.resumes, 1);
        link_run(&l);
        assert_true(link_served(&l, f->a));
        assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
        assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_LOADED);
        link_close(&l);
    }
    assert_int_equal(f->ccs.cancels, 0);
}

/* Data goes through in both directions once the gate has gone. */
static void talk(void **state)
{
    struct farm *f = *state;
    struct link l;
    char buf[8];

    f->ccs.names[0].cold = 1;
    visit(f, "a.example", NULL, &l);
    assert_true(link_served(&l, f->a));
    assert_int_equal(SSL_write(l.client, "hello", 5), 5);
    link_run(&l);
    assert_int_equal(SSL_read(l.server, buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(SSL_write(l.server, "olleh", 5), 5);
    assert_int_equal(recv(l.fd[1], buf, 1, MSG_PEEK), 1);
    link_close(&l);
}

/* -- pieces -------------------------------------------------------------------------------- */

/* arg: how many octets */
static int pad_add(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                   size_t *len, X509 *x, size_t index, int *alert, void *arg)
{
    static const unsigned char padding[1 << 16];

    (void)ssl, (void)type, (void)context, (void)x, (void)index, (void)alert;
    *out = padding;
    *len = *(size_t *)arg;
    return 1;
}

static void pad(SSL_CTX *client, size_t *octets)
{
    assert_int_equal(SSL_CTX_add_custom_ext(client, 0xff5c, SSL_EXT_CLIENT_HELLO, pad_add, NULL,
                                            octets, NULL, NULL),
                     1);
}

static void pieces(void **state)
{
    struct farm *f = *state;
    const size_t sizes[][2] = {{1, 0},  {3, 0},  {0, 1},   {0, 7},    {0, 50},
                               {1, 50}, {3, 50}, {100, 7}, {1000, 0}, {5, 1}};
    struct link l;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int how = 0; how < 4; how++) {
            SSL_CTX_set_read_ahead(f->first, how & 1);
            f->ccs.names[0].cold = how >> 1;
            farm_open(f, &l, "a.example");
            l.segment = sizes[i][0];
            l.record = sizes[i][1];
            link_run(&l);
            if (how >> 1) {
                assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
                link_run(&l);
            }
            assert_true(link_served(&l, f->a));
            assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
            assert_int_equal(l.chosen, 1);
            link_close(&l);
        }
}

static void large_hello(void **state)
{
    struct farm *f = *state;
    size_t octets = 20000;
    struct link l;

    pad(f->client, &octets);
    for (int how = 0; how < 4; how++) {
        SSL_CTX_set_read_ahead(f->first, how & 1);
        f->ccs.names[0].cold = how >> 1;
        farm_open(f, &l, "a.example");
        l.segment = 1400;
        link_run(&l);
        if (how >> 1) {
            assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
            link_run(&l);
        }
        assert_true(link_served(&l, f->a));
        link_close(&l);
    }
}

/* A visit without a name whose hello is a little larger than what the gate reads of it. */
static void visit_at_length(struct farm *f, size_t *padding, SSL_SESSION *session, struct link *l)
{
    *padding = 0;
    farm_open(f, l, NULL);
    if (session != NULL)
        assert_int_equal(SSL_set_session(l->client, session), 1);
    assert_int_equal(SSL_do_handshake(l->client), -1);
    *padding = CCS_HELLO_LIMIT - BIO_ctrl_pending(l->out);
    link_close(l);
    visit(f, NULL, session, l);
    assert_int_equal(l->chosen, 0);
    *padding = 0;
}

/*
 * A hello that the gate gives up on, though OpenSSL reads it: memory answers, and no session is
 * resumed. The one that is made belongs to the name that was served, and to no other.
 */
static void beyond_limit(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    size_t padding;
    struct link l;

    ccs_site_free(f->one);
    f->one = kit_site("one", "a.example", NULL, &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    pad(f->client, &padding);
    visit_at_length(f, &padding, NULL, &l);
    assert_true(link_served(&l, f->a));
    session = SSL_get1_session(l.client);
    link_close(&l);
    visit_at_length(f, &padding, session, &l);
    assert_true(link_served(&l, f->a));
    assert_false(SSL_session_reused(l.client));
    link_close(&l);
    visit(f, "a2.example", session, &l);
    assert_true(link_served(&l, f->a2));
    assert_false(SSL_session_reused(l.client));
    link_close(&l);
    visit(f, NULL, session, &l);
    assert_true(l.client_done && l.server_done);
    assert_true(SSL_session_reused(l.client));
    link_close(&l);
    SSL_SESSION_free(session);
}

/* OpenSSL refuses a name with a NUL in it. Nobody is asked about the half before. */
static void nul_in_name(void **state)
{
    struct farm *f = *state;
    const struct ccs_tls_spec spec = {.raw_sni = (const unsigned char *)"a.example\0.evil",
                                      .raw_sni_len = 15};
    uint8_t hello[4096];
    unsigned char *mended;
    struct link l;
    size_t len;
    int n;

    farm_open(f, &l, "a.example");
    assert_int_equal(SSL_do_handshake(l.client), -1);
    n = BIO_read(l.out, hello, sizeof(hello));
    assert_true(n > 0);
    mended = ccs_tls_hello_rewrite(&spec, hello, (size_t)n, &len);
    link_send(&l, mended, len);
    free(mended);
    link_client_step(&l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(l.chosen, 0);
    assert_int_equal(f->ccs.starts, 0);
    link_close(&l);
}

/* What is not a ClientHello is OpenSSL's to refuse. */
static void garbage(void **state)
{
    struct farm *f = *state;
    static const char http[] = "GET / HTTP/1.0\r\n\r\n";
    struct link l;

    farm_open(f, &l, "a.example");
    link_send(&l, (const uint8_t *)http, sizeof(http) - 1);
    assert_int_equal(l.server_error, SSL_ERROR_SSL);
    assert_int_equal(l.chosen, 0);
    assert_null(ccs_ssl_answer(l.server));
    link_close(&l);
}

/* -- refusals ------------------------------------------------------------------------------ */

static void unknown(void **state)
{
    struct farm *f = *state;

    expect_alert(f, "nobody.example", SSL_AD_UNRECOGNIZED_NAME);
    fake_put(&f->ccs, "nobody.example", NULL, CCS_ENOTFOUND, 1);
    expect_alert(f, "nobody.example", SSL_AD_UNRECOGNIZED_NAME);
    expect_alert(f, "192.0.2.1", SSL_AD_UNRECOGNIZED_NAME);
    expect_alert(f, "not_a..name", SSL_AD_UNRECOGNIZED_NAME);
    expect_alert(f, ".", SSL_AD_UNRECOGNIZED_NAME);
    expect_cred(f, "a.example", f->a);
}

static void unavailable(void **state)
{
    struct farm *f = *state;
    static const int codes[] = {CCS_EUNAVAIL,      CCS_EBUSY,  CCS_ETIMEDOUT, CCS_ECLOSED,
                                CCS_ENOMEM,        CCS_ESSL,   CCS_EPASSWORD, CCS_EDAMAGED,
                                CCS_ENAMEMISMATCH, CCS_EACCESS};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        fake_put(&f->ccs, "down.example", NULL, codes[i], 0);
        expect_alert(f, "down.example", SSL_AD_INTERNAL_ERROR);
        fake_put(&f->ccs, "down.example", NULL, codes[i], 1);
        expect_alert(f, "down.example", SSL_AD_INTERNAL_ERROR);
    }
    ccs_site_bind(f->one, NULL);
    expect_alert(f, "a.example", SSL_AD_INTERNAL_ERROR);
}

/* What the host is told, and what it finds afterwards. */
static void told(void **state)
{
    struct farm *f = *state;
    struct link l;

    visit(f, "nobody.example", NULL, &l);
    assert_int_equal(l.refusal.code, CCS_ENOTFOUND);
    assert_string_equal(l.refusal.error.text, "scripted -4");
    assert_non_null(ccs_ssl_answer(l.server));
    assert_int_equal(ccs_ssl_answer(l.server)->code, CCS_ENOTFOUND);
    assert_null(ccs_ssl_answer(l.server)->cred);
    link_close(&l);
    visit(f, "bad name.example", NULL, &l);
    assert_int_equal(l.refusal.code, CCS_ENAME);
    assert_string_equal(l.name, "bad name.example");
    link_close(&l);
    visit(f, ".", NULL, &l);
    assert_string_equal(l.name, ".");
    link_close(&l);
}

static void next_refuses(void **state)
{
    struct farm *f = *state;
    struct link l;

    visit(f, "banned.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_ACCESS_DENIED);
    assert_int_equal(l.rejected, 0);
    link_close(&l);
}

static void no_name(void **state)
{
    struct farm *f = *state;
    struct link l;

    expect_alert(f, NULL, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(f->ccs.starts, 0);
    ccs_site_free(f->one);
    f->one = kit_site("one", "a.example", NULL, &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    for (int cold = 0; cold < 2; cold++) {
        f->ccs.names[0].cold = cold;
        visit(f, NULL, NULL, &l);
        assert_true(link_served(&l, f->a));
        assert_string_equal(l.name, "");
        link_close(&l);
    }
}

static void fallback(void **state)
{
    struct farm *f = *state;
    static const char *const names[] = {"nobody.example", NULL, "192.0.2.1", "down.example"};
    SSL_SESSION *session;
    struct link l;

    ccs_site_free(f->one);
    f->one = kit_site("one", NULL, "fallback", &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    fake_put(&f->ccs, "down.example", NULL, CCS_EUNAVAIL, 1);
    /* Without a certificate of its own there is nothing to fall back to. */
    expect_alert(f, "nobody.example", SSL_AD_UNRECOGNIZED_NAME);
    kit_own_cert(f->first, f->ca, "own.example");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        visit(f, names[i], NULL, &l);
        assert_true(link_served_name(&l, "own.example"));
        assert_int_equal(ccs_ssl_answer(l.server)->result, CCS_RESULT_FALLBACK);
        assert_true(ccs_ssl_answer(l.server)->code < 0);
        assert_null(ccs_ssl_answer(l.server)->cred);
        assert_int_equal(l.rejected, 0);
        link_close(&l);
        session = session_of(f, names[i]);
        visit(f, names[i], session, &l);
        assert_true(l.client_done && SSL_session_reused(l.client));
        link_close(&l);
        visit(f, "a.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, f->a));
        link_close(&l);
        SSL_SESSION_free(session);
    }
    expect_cred(f, "a.example", f->a);
}

/* A session from the store is not resumed in a fallback, nor the other way round. */
static void fallback_and_sessions(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    struct link l;

    ccs_site_free(f->one);
    f->one = kit_site("one", NULL, "fallback", &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    kit_own_cert(f->first, f->ca, "own.example");
    for (int cold = 0; cold < 2; cold++) {
        fake_put(&f->ccs, "a.example", kit_cred(f->ca, "a.example", CCS_PKI_P256), CCS_OK, cold);
        session = session_of(f, "a.example");
        fake_put(&f->ccs, "a.example", NULL, CCS_ENOTFOUND, cold);
        visit(f, "a.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served_name(&l, "own.example"));
        link_close(&l);
        SSL_SESSION_free(session);

        session = session_of(f, "a.example");
        fake_put(&f->ccs, "a.example", kit_cred(f->ca, "a.example", CCS_PKI_P256), CCS_OK, cold);
        visit(f, "a.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served_name(&l, "a.example"));
        link_close(&l);
        SSL_SESSION_free(session);
    }
}

/* A certificate of the server's own does not weaken `reject`. */
static void own_cert_but_reject(void **state)
{
    struct farm *f = *state;

    kit_own_cert(f->first, f->ca, "own.example");
    expect_alert(f, "nobody.example", SSL_AD_UNRECOGNIZED_NAME);
    expect_alert(f, NULL, SSL_AD_UNRECOGNIZED_NAME);
    expect_cred(f, "a.example", f->a);
}

/* -- leaving early ------------------------------------------------------------------------- */

static void left(struct farm *f, int reset, size_t ahead)
{
    static const uint8_t more[4096];
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct link l;

    f->ccs.names[0].cold = 1;
    f->ccs.cancels = 0;
    farm_open(f, &l, "a.example");
    SSL_set_read_ahead(l.server, (int)(ahead & 1));
    link_run(&l);
    assert_non_null(f->ccs.waiting);
    link_send(&l, more, ahead);
    assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    if (reset) {
        /* Unread data makes a closed socket pair answer with a reset. */
        assert_int_equal(send(l.fd[0], "x", 1, MSG_NOSIGNAL), 1);
        setsockopt(l.fd[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close(l.fd[1]);
    l.fd[1] = -1;
    link_serve(&l);
    assert_int_equal(f->ccs.cancels, 1);
    assert_null(f->ccs.waiting);
    assert_true(l.server_rv <= 0);
    assert_int_equal(l.server_error, reset ? SSL_ERROR_SYSCALL : SSL_ERROR_SSL);
    if (reset)
        assert_int_equal(l.server_errno, ECONNRESET);
    assert_null(ccs_ssl_answer(l.server));
    link_close(&l);
    assert_int_equal(f->ccs.cancels, 1);
    assert_int_equal(l.resumes, 0);
}

static void closed(void **state)
{
    left(*state, 0, 0);
    left(*state, 0, 1);
    left(*state, 0, 3000);
}

static void reset(void **state)
{
    left(*state, 1, 0);
    left(*state, 1, 3000);
}

/* It closes together with what it says: no later event will tell. */
static void closed_at_once(void **state)
{
    struct farm *f = *state;
    uint8_t hello[4096];
    struct link l;
    int n;

    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    assert_int_equal(SSL_do_handshake(l.client), -1);
    n = BIO_read(l.out, hello, sizeof(hello));
    assert_true(n > 0);
    assert_int_equal(send(l.fd[1], hello, (size_t)n, 0), n);
    close(l.fd[1]);
    l.fd[1] = -1;
    link_serve(&l);
    assert_int_equal(l.server_error, SSL_ERROR_SSL);
    assert_int_equal(f->ccs.pending, 1);
    assert_int_equal(f->ccs.cancels, 1);
    link_close(&l);
}

static void freed(void **state)
{
    struct farm *f = *state;
    struct link l;

    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    link_run(&l);
    assert_non_null(f->ccs.waiting);
    SSL_free(l.server);
    l.server = NULL;
    assert_int_equal(f->ccs.cancels, 1);
    assert_int_equal(ccs_dispatch(&f->ccs, 0), 0);
    assert_int_equal(l.resumes, 0);
    link_close(&l);

    /* Also between the answer and the next step. */
    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    link_run(&l);
    assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
    link_close(&l);
}

/* The host puts another BIO in the gate's place while it waits. */
static void bio_replaced(void **state)
{
    struct farm *f = *state;
    struct link l;

    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    link_run(&l);
    assert_non_null(f->ccs.waiting);
    assert_int_equal(BIO_up_ref(l.socket), 1);
    SSL_set0_rbio(l.server, l.socket);
    assert_int_equal(f->ccs.cancels, 1);
    assert_null(f->ccs.waiting);
    link_serve(&l);
    assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    link_close(&l);
}

/* The client's first flight, of which the server has nothing yet. */
static int first_flight(struct link *l, uint8_t *out, int size)
{
    int n;

    assert_int_equal(SSL_do_handshake(l->client), -1);
    n = BIO_read(l->out, out, size);
    assert_true(n > 10);
    return n;
}

/*
 * The host puts another BIO in the place of the one that the gate listens to: memory answers, and
 * what somebody reads through the old one is nobody's hello.
 */
static void bio_replaced_early(void **state)
{
    struct farm *f = *state;
    uint8_t hello[4096], octet;
    struct link l;
    BIO *in;
    int n;

    for (int dies = 0; dies < 2; dies++) {
        farm_open(f, &l, "a.example");
        n = first_flight(&l, hello, sizeof(hello));
        if (dies)
            SSL_set_bio(l.server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        link_serve(&l);
        assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
        in = BIO_new(BIO_s_mem());
        SSL_set0_rbio(l.server, in);
        if (!dies) {
            assert_int_equal(send(l.fd[1], hello, 1, MSG_NOSIGNAL), 1);
            assert_int_equal(BIO_read(l.socket, &octet, 1), 1);
            assert_int_equal(octet, hello[0]);
            farm_leaves(f, l.socket);
        }
        assert_int_equal(BIO_write(in, hello, n), n);
        link_serve(&l);
        assert_int_equal(l.chosen, 0);
        assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
        assert_ptr_equal(SSL_get_rbio(l.server), in);
        assert_ptr_equal(ccs_ssl_answer(l.server)->cred, f->a);
        assert_ptr_equal(SSL_get_certificate(l.server), f->a->main.leaf);
        link_close(&l);
    }
}

/* The SSL goes while the gate listens, and its BIO stays. */
static void freed_early(void **state)
{
    struct farm *f = *state;
    uint8_t octet;
    struct link l;

    farm_open(f, &l, "a.example");
    link_send(&l, (const uint8_t *)"\x16\x03\x01", 3);
    assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    SSL_free(l.server);
    l.server = NULL;
    farm_leaves(f, l.socket);
    assert_int_equal(send(l.fd[1], "\x16", 1, MSG_NOSIGNAL), 1);
    assert_int_equal(BIO_read(l.socket, &octet, 1), 1);
    link_close(&l);
}

/* Memory BIOs, as where the records come by another way than a socket. */
static void memory_bio(void **state)
{
    struct farm *f = *state;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    uint8_t hello[4096];
    struct link l;
    int n;

    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    SSL_set_bio(l.server, in, out);
    n = first_flight(&l, hello, sizeof(hello));
    link_serve(&l);
    assert_int_equal(BIO_write(SSL_get_rbio(l.server), hello, 10), 10);
    link_serve(&l);
    assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    assert_int_equal(BIO_write(in, hello + 10, n - 10), n - 10);
    link_serve(&l);
    assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    assert_non_null(f->ccs.waiting);
    assert_int_equal(BIO_pending(in), 0);
    assert_true(BIO_pending(SSL_get_rbio(l.server)) > 0);
    assert_false(BIO_eof(SSL_get_rbio(l.server)));
    assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
    link_serve(&l);
    assert_true(BIO_pending(out) > 0);
    assert_ptr_equal(SSL_get_rbio(l.server), in);
    link_close(&l);
}

/* A client that sends without end while it waits is not read without end. */
static void flood(void **state)
{
    struct farm *f = *state;
    static uint8_t more[1 << 14];
    struct link l;
    size_t sent = 0;
    ssize_t n;

    f->ccs.names[0].cold = 1;
    farm_open(f, &l, "a.example");
    link_run(&l);
    assert_non_null(f->ccs.waiting);
    for (int idle = 0; idle < 2 && sent < 1 << 22;) {
        n = send(l.fd[1], more, sizeof(more), MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else
            idle++;
        link_serve(&l);
        assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
    }
    assert_true(sent < 1 << 21);
    assert_true(BIO_pending(SSL_get_rbio(l.server)) <= 1 << 16);
    assert_int_equal(BIO_eof(SSL_get_rbio(l.server)), 0);
    assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
    link_serve(&l);
    link_close(&l);
}

/* -- several hellos ------------------------------------------------------------------------ */

static void hello_retry(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    struct link l;

    SSL_CTX_set1_groups_list(f->client, "X25519:P-256");
    SSL_CTX_set1_groups_list(f->first, "P-256");
    for (int cold = 0; cold < 2; cold++) {
        f->ccs.names[0].cold = cold;
        f->switched = 0;
        visit(f, "a.example", NULL, &l);
        assert_true(link_served(&l, f->a));
        assert_int_equal(f->switched, f->version == TLS1_3_VERSION ? 2 : 1);
        assert_int_equal(l.chosen, 1);
        link_close(&l);
        visit(f, "nobody.example", NULL, &l);
        assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
        link_close(&l);
    }
    session = session_of(f, "a.example");
    f->switched = 0;
    visit(f, "a.example", session, &l);
    assert_true(SSL_session_reused(l.client));
    assert_int_equal(f->switched, f->version == TLS1_3_VERSION ? 2 : 1);
    link_close(&l);
    SSL_SESSION_free(session);
}

/* Opens with one name and answers the retry request with another. */
static void retry_as(struct farm *f, const char *first, const char *second, struct link *l)
{
    farm_open(f, l, first);
    link_client_step(l);
    assert_int_equal(SSL_set_tlsext_host_name(l->client, second), 1);
    link_run(l);
}

static void retry_with_another_name(void **state)
{
    struct farm *f = *state;
    struct link l;

    if (f->version != TLS1_3_VERSION)
        return;
    SSL_CTX_set1_groups_list(f->client, "X25519:P-256");
    SSL_CTX_set1_groups_list(f->first, "P-256");
    SSL_CTX_set1_groups_list(f->second, "P-256");
    retry_as(f, "a.example", "a2.example", &l);
    assert_true(link_served(&l, f->a2));
    assert_ptr_equal(ccs_ssl_answer(l.server)->cred, f->a2);
    link_close(&l);

    f->ccs.names[1].cold = 1;
    retry_as(f, "a.example", "a2.example", &l);
    assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
    assert_int_equal(l.refusal.code, CCS_EUNAVAIL);
    assert_string_equal(f->ccs.asked, "a.example");
    assert_int_equal(f->ccs.pending, 1); /* asked for, for the next client */
    assert_int_equal(f->ccs.cancels, 1);
    link_close(&l);

    retry_as(f, "a.example", "nobody.example", &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    link_close(&l);

    retry_as(f, "a.example", "b.example", &l);
    assert_true(link_served(&l, f->b));
    link_close(&l);

    /* What was attached for the first name must not stand in for a fallback. */
    ccs_site_free(f->one);
    f->one = kit_site("one", NULL, "fallback", &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    kit_own_cert(f->first, f->ca, "own.example");
    retry_as(f, "a.example", "nobody.example", &l);
    assert_false(link_served(&l, f->a));
    link_close(&l);
}

static void renegotiation(void **state)
{
    struct farm *f = *state;
    struct link l;

    if (f->version != TLS1_2_VERSION)
        return;
    SSL_CTX_set_options(f->first, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    visit(f, "a.example", NULL, &l);
    assert_true(link_served(&l, f->a));
    f->switched = 0;
    assert_int_equal(SSL_renegotiate(l.client), 1);
    l.client_done = 0;
    for (int i = 0; i < 10; i++) {
        uint8_t buf[16];

        link_client_step(&l);
        SSL_read(l.server, buf, sizeof(buf));
        assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
        ERR_clear_error();
    }
    assert_true(link_served(&l, f->a));
    assert_int_equal(f->switched, 1);
    assert_int_equal(l.chosen, 1);
    assert_int_equal(SSL_num_renegotiations(l.client), 1);
    link_close(&l);
}

/* SSL_clear() makes an SSL ready for another connection: it gets a gate again. */
static void used_again(void **state)
{
    struct farm *f = *state;
    struct link l;

    for (int turn = 0; turn < 3; turn++) {
        int suspend = turn == 1;

        f->ccs.names[0].cold = suspend;
        farm_open(f, &l, "a.example");
        if (turn == 2)
            link_send(&l, (const uint8_t *)"\x16\x03\x01", 3); /* no more than a beginning */
        else
            link_run(&l);
        assert_int_equal(l.server_done, turn == 0);
        f->ccs.cancels = 0;
        l.server_done = l.client_done = l.first_done = 0;
        assert_int_equal(SSL_clear(l.server), 1);
        SSL_free(l.client);
        l.client = SSL_new(f->client);
        SSL_set_app_data(l.client, (char *)&l);
        l.in = BIO_new(BIO_s_mem());
        l.out = BIO_new(BIO_s_mem());
        SSL_set_bio(l.client, l.in, l.out);
        SSL_set_connect_state(l.client);
        SSL_set_tlsext_host_name(l.client, "a2.example");
        while (recv(l.fd[1], &(char){0}, 1, 0) == 1)
            ;
        if (f->mode->single_use && turn == 0) {
            /* Against the promise: nobody waits, and memory has the right one. */
            f->ccs.names[1].cold = 0;
            link_run(&l);
            assert_true(link_served(&l, f->a2));
            assert_int_equal(l.chosen, 1);
            link_close(&l);
            continue;
        }
        f->ccs.names[1].cold = 1;
        link_serve(&l);
        assert_int_equal(l.server_error, SSL_ERROR_WANT_READ);
        assert_int_equal(f->ccs.cancels, suspend);
        assert_null(ccs_ssl_answer(l.server));
        link_run(&l);
        assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
        link_run(&l);
        assert_true(link_served(&l, f->a2));
        assert_int_equal(l.chosen, turn == 2 ? 1 : 2);
        assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
        link_close(&l);
    }
}

/* A copy of an SSL knows nothing of the original's connection. */
static void copied(void **state)
{
    struct farm *f = *state;
    struct link l;
    SSL *copy;

    visit(f, "a.example", NULL, &l);
    assert_int_equal(SSL_clear(l.server), 1);
    copy = SSL_dup(l.server);
    assert_non_null(copy);
    assert_ptr_not_equal(copy, l.server);
    assert_null(ccs_ssl_answer(copy));
    SSL_free(copy);
    l.server_done = 0;
    link_close(&l);
}

/* -- sessions ------------------------------------------------------------------------------ */

/* With tickets, and with the server's own cache. */
static void resumption(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    struct link l;

    for (int how = 0; how < 2; how++) {
        if (how == 1)
            SSL_CTX_set_options(f->first, SSL_OP_NO_TICKET);
        session = session_of(f, "a.example");
        for (int cold = 0; cold < 2; cold++) {
            f->ccs.names[0].cold = cold;
            visit(f, "a.example", session, &l);
            assert_true(l.client_done && l.server_done);
            assert_true(SSL_session_reused(l.client));
            assert_int_equal(ccs_ssl_answer(l.server)->code, CCS_OK);
            link_close(&l);
        }
        /* Another host of the same site, and of another one: its own certificate, no resumption. */
        visit(f, "a2.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, f->a2));
        link_close(&l);
        visit(f, "b.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, f->b));
        link_close(&l);
        visit(f, "plain.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served_name(&l, "plain.example"));
        link_close(&l);
        visit(f, "nobody.example", session, &l);
        assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
        link_close(&l);
        SSL_SESSION_free(session);
    }
}

static void resumption_ends_with_the_file(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session = session_of(f, "a.example");
    struct link l;

    f->a = NULL;
    fake_put(&f->ccs, "a.example", NULL, CCS_ENOTFOUND, 0);
    visit(f, "a.example", session, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(l.rejected, 1);
    link_close(&l);
    /* Only its password is missing: the store does hold it. */
    fake_put(&f->ccs, "a.example", NULL, CCS_EPASSWORD, 1);
    visit(f, "a.example", session, &l);
    assert_int_equal(l.alert, SSL_AD_INTERNAL_ERROR);
    link_close(&l);
    SSL_SESSION_free(session);
}

/* One file serves all names under a wildcard; a session still belongs to one of them. */
static void resumption_under_a_wildcard(void **state)
{
    struct farm *f = *state;
    struct ccs_cred *wild = kit_cred(f->ca, "_.wild.example", CCS_PKI_P256);
    SSL_SESSION *session;
    struct link l;

    fake_put(&f->ccs, "x.wild.example", ccs_cred_ref(wild), CCS_OK, 0);
    fake_put(&f->ccs, "y.wild.example", wild, CCS_OK, 0);
    for (int turn = 0; turn < 2; turn++) {
        session = session_of(f, "x.wild.example");
        visit(f, "y.wild.example", session, &l);
        assert_false(SSL_session_reused(l.client));
        assert_true(link_served(&l, wild));
        link_close(&l);
        visit(f, "x.wild.example", session, &l);
        assert_true(SSL_session_reused(l.client));
        link_close(&l);
        SSL_SESSION_free(session);
    }
}

static void resumption_without_name(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    struct link l;

    ccs_site_free(f->one);
    f->one = kit_site("one", "a.example", NULL, &f->ccs);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    /* With and without the default name in words, it is the same host. */
    for (int i = 0; i < 4; i++) {
        session = session_of(f, i & 1 ? "a.example" : NULL);
        visit(f, i & 2 ? "a.example" : NULL, session, &l);
        assert_true(l.client_done && l.server_done);
        assert_true(SSL_session_reused(l.client));
        link_close(&l);
        SSL_SESSION_free(session);
    }
    session = session_of(f, NULL);
    visit(f, "a2.example", session, &l);
    assert_false(SSL_session_reused(l.client));
    assert_true(link_served(&l, f->a2));
    link_close(&l);
    SSL_SESSION_free(session);
}

static void client_certificates(void **state)
{
    struct farm *f = *state;
    struct ccs_pki_spec spec = {.names = "someone", .key = CCS_PKI_P256};
    struct ccs_pki_leaf leaf = {0};
    SSL_SESSION *session;
    struct link l;
    X509 *peer;

    ccs_pki_issue(f->ca, &spec, &leaf);
    assert_int_equal(SSL_CTX_use_cert_and_key(f->client, leaf.cert, leaf.key, leaf.chain, 1), 1);
    ccs_pki_leaf_clear(&leaf);
    SSL_CTX_set_verify(f->first, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(f->first), f->ca->root);
    for (int cold = 0; cold < 2; cold++) {
        f->ccs.names[0].cold = cold;
        visit(f, "a.example", NULL, &l);
        assert_true(link_served(&l, f->a));
        peer = SSL_get0_peer_certificate(l.server);
        assert_non_null(peer);
        link_close(&l);
    }
    session = session_of(f, "a.example");
    visit(f, "a.example", session, &l);
    assert_true(SSL_session_reused(l.client));
    assert_non_null(SSL_get0_peer_certificate(l.server));
    link_close(&l);
    SSL_SESSION_free(session);
}

static void early_data(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session;
    struct link l;
    size_t written;

    if (f->version != TLS1_3_VERSION)
        return;
    SSL_CTX_set_max_early_data(f->first, 1000);
    for (int how = 0; how < 4; how++) {
        SSL_CTX_set_read_ahead(f->first, how & 1);
        session = session_of(f, "a.example");
        f->ccs.names[0].cold = how >> 1;
        farm_open(f, &l, "a.example");
        l.early = 1;
        assert_int_equal(SSL_set_session(l.client, session), 1);
        assert_int_equal(SSL_write_early_data(l.client, "early", 5, &written), 1);
        link_run(&l);
        if (how >> 1) {
            assert_int_equal(l.early_len, 0);
            assert_int_equal(ccs_dispatch(&f->ccs, 0), 1);
            link_serve(&l);
        }
        for (int i = 0; i < 4; i++) {
            link_run(&l);
            link_serve(&l);
        }
        assert_true(l.client_done && l.server_done);
        assert_int_equal(SSL_get_early_data_status(l.client), SSL_EARLY_DATA_ACCEPTED);
        assert_int_equal(l.early_len, 5);
        assert_memory_equal(l.early_data, "early", 5);
        assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
        link_close(&l);
        SSL_SESSION_free(session);
    }
}

/* -- contexts ------------------------------------------------------------------------------ */

static void switched(void **state)
{
    struct farm *f = *state;
    struct link l;

    for (int cold = 0; cold < 2; cold++) {
        f->ccs.names[2].cold = cold;
        visit(f, "b.example", NULL, &l);
        assert_true(link_served(&l, f->b));
        assert_int_equal(l.rejected, 0);
        assert_ptr_equal(SSL_get_SSL_CTX(l.server), f->second);
        link_close(&l);
    }
    f->ccs.starts = 0;
    visit(f, "plain.example", NULL, &l);
    assert_true(link_served_name(&l, "plain.example"));
    assert_null(ccs_ssl_answer(l.server));
    assert_int_equal(f->ccs.starts, 0);
    assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
    link_close(&l);
    expect_alert(f, "bnobody.example", SSL_AD_UNRECOGNIZED_NAME);
}

/* The host names another site than the one whose context then is in force. */
static void host_contradicts_itself(void **state)
{
    struct farm *f = *state;
    struct ccs other = {.otherwise = CCS_ENOTFOUND};
    SSL_SESSION *session;
    struct link l;

    /* Site two has a store of its own, in which b.example is someone else's. */
    f->liar = 1;
    fake_put(&other, "b.example", ccs_cred_ref(f->a2), CCS_OK, 0);
    ccs_site_bind(f->two, &other);
    expect_cred(f, "b.example", f->a2);
    session = session_of(f, "b.example");
    visit(f, "b.example", session, &l);
    assert_false(SSL_session_reused(l.client));
    assert_true(link_served(&l, f->a2));
    link_close(&l);
    SSL_SESSION_free(session);
    fake_put(&other, "b.example", NULL, CCS_ENOTFOUND, 0);
    expect_alert(f, "b.example", SSL_AD_UNRECOGNIZED_NAME);

    /* And the session of a context without a store never is one of a site. */
    session = session_of(f, "plain.example");
    visit(f, "a.example", session, &l);
    assert_false(SSL_session_reused(l.client));
    assert_true(link_served(&l, f->a));
    link_close(&l);
    SSL_SESSION_free(session);
    fake_clear(&other);
}

/* An info callback of the SSL's own keeps the gate out: memory answers, or the next client. */
static void without_gate(void **state)
{
    struct farm *f = *state;
    SSL_SESSION *session = NULL;
    struct link l;

    for (int turn = 0; turn < 4; turn++) {
        f->ccs.names[0].cold = turn == 2;
        farm_open(f, &l, turn == 3 ? "nobody.example" : "a.example");
        SSL_set_info_callback(l.server, farm_info);
        if (turn == 1)
            SSL_set_session(l.client, session);
        link_run(&l);
        if (turn < 2) {
            assert_true(link_served(&l, f->a));
            assert_false(SSL_session_reused(l.client));
        } else {
            assert_int_equal(l.alert, turn == 2 ? SSL_AD_INTERNAL_ERROR : SSL_AD_UNRECOGNIZED_NAME);
            assert_int_equal(f->ccs.pending, 1);
            assert_null(f->ccs.waiting);
        }
        assert_int_equal(l.chosen, 0);
        if (turn == 0)
            session = SSL_get1_session(l.client);
        link_close(&l);
    }
    SSL_SESSION_free(session);
}

static void chained(void **state)
{
    struct farm *f = *state;
    SSL_CTX *stock = SSL_CTX_new(TLS_server_method());
    struct link l;
    unsigned infos;

    kit_own_cert(stock, f->ca, "a.example");
    SSL_CTX_set_max_proto_version(stock, f->version);
    SSL_CTX_set_info_callback(stock, farm_info);
    link_open(&l, stock, f->client, "a.example");
    link_run(&l);
    infos = f->infos;
    assert_true(infos > 5);
    link_close(&l);
    SSL_CTX_free(stock);

    /* However often it is attached, each event is passed on once. */
    for (int i = 0; i < 3; i++) {
        f->infos = 0;
        visit(f, "a.example", NULL, &l);
        assert_int_equal(f->infos, infos);
        link_close(&l);
        assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    }
}

static void second_info(const SSL *ssl, int type, int value)
{
    (void)type, (void)value;
    assert_ptr_equal(SSL_get_SSL_CTX(ssl), farm->second);
    farm->infos++;
    farm->seconds++;
}

static void other_info(const SSL *ssl, int type, int value)
{
    (void)type, (void)value;
    assert_ptr_not_equal(SSL_get_SSL_CTX(ssl), farm->second);
    farm->infos++;
}

/* Every context's events go to the info callback that the host gave it, and to no other. */
static void own_infos(void **state)
{
    struct farm *f = *state;
    SSL_CTX *contexts[] = {f->first, f->plain};
    static const char *const names[] = {"a.example", "b.example", "plain.example"};
    unsigned infos;
    struct link l;

    SSL_CTX_set1_groups_list(f->client, "X25519:P-256");
    visit(f, "a.example", NULL, &l);
    infos = f->infos;
    link_close(&l);
    f->apart = 1;
    for (int turn = 0; turn < 2; turn++) {
        /* In the first turn the other contexts keep what is the usual one here. */
        SSL_CTX_set_info_callback(f->second, second_info);
        assert_int_equal(ccs_gate_attach(f->second, f->two, &f->host, NULL), CCS_OK);
        for (size_t i = 0; i < 2 && turn == 1; i++) {
            SSL_CTX_set_info_callback(contexts[i], other_info);
            assert_int_equal(ccs_gate_attach(contexts[i], i == 0 ? f->one : NULL, &f->host, NULL),
                             CCS_OK);
        }
        for (size_t i = 0; i < 3; i++) {
            f->infos = 0;
            visit(f, names[i], NULL, &l);
            assert_true(l.client_done && l.server_done);
            assert_int_equal(f->infos, infos);
            link_close(&l);
        }
    }
    if (f->version != TLS1_3_VERSION)
        return;
    /*
     * The second hello leads to another context than the first one. OpenSSL itself stays with the
     * callback of before until that call is over.
     */
    f->apart = 0;
    f->seconds = 0;
    SSL_CTX_set_info_callback(f->first, farm_info);
    assert_int_equal(ccs_gate_attach(f->first, f->one, &f->host, NULL), CCS_OK);
    SSL_CTX_set1_groups_list(f->first, "P-256");
    SSL_CTX_set1_groups_list(f->second, "P-256");
    retry_as(f, "a.example", "b.example", &l);
    assert_true(link_served(&l, f->b));
    assert_true(f->seconds > 5);
    assert_ptr_not_equal(SSL_get_info_callback(l.server), farm_info);
    link_close(&l);
}

static int info_servername(SSL *ssl, int *alert, void *arg)
{
    SSL_set_info_callback(ssl, farm_info);
    return farm_servername(ssl, alert, arg);
}

/* The host gives a connection an info callback of its own once it knows the name. */
static void info_set_late(void **state)
{
    struct farm *f = *state;
    struct ccs_gate_host host = f->host;
    struct link l;

    host.next_servername = info_servername;
    assert_int_equal(ccs_gate_attach(f->first, f->one, &host, NULL), CCS_OK);
    SSL_CTX_set1_groups_list(f->client, "X25519:P-256");
    SSL_CTX_set1_groups_list(f->first, "P-256");
    visit(f, "a.example", NULL, &l);
    assert_true(link_served(&l, f->a));
    assert_ptr_equal(SSL_get_info_callback(l.server), farm_info);
    link_close(&l);
}

/* A context that the host forgot to attach: the gate finds its way out all the same. */
static void unattached(void **state)
{
    struct farm *f = *state;
    struct link l;

    SSL_CTX_free(f->plain);
    f->plain = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(f->plain, f->version);
    kit_own_cert(f->plain, f->ca, "plain.example");
    visit(f, "plain.example", NULL, &l);
    assert_true(link_served_name(&l, "plain.example"));
    assert_ptr_equal(SSL_get_rbio(l.server), l.socket);
    assert_int_equal(f->exits, 1);
    link_close(&l);
}

static int other_servername(SSL *ssl, int *alert, void *arg)
{
    (void)ssl, (void)alert;
    ++*(unsigned *)arg;
    return SSL_TLSEXT_ERR_OK;
}

static void attached_again(void **state)
{
    struct farm *f = *state;
    struct ccs_gate_host host = f->host;
    unsigned calls = 0;
    struct link l;

    host.next_servername = other_servername;
    host.next_servername_arg = &calls;
    host.rejected = NULL;
    assert_int_equal(ccs_gate_attach(f->first, f->two, &host, NULL), CCS_OK);
    f->switched = 0;
    /* choose still says "one", but "two" is in force now. */
    visit(f, "a.example", NULL, &l);
    assert_true(link_served(&l, f->a));
    assert_int_equal(calls, 1);
    assert_int_equal(f->switched, 0);
    link_close(&l);
    visit(f, "nobody.example", NULL, &l);
    assert_int_equal(l.alert, SSL_AD_UNRECOGNIZED_NAME);
    assert_int_equal(l.rejected, 0);
    link_close(&l);

    /* Without a site the context is the server's alone again. */
    assert_int_equal(ccs_gate_attach(f->first, NULL, &host, NULL), CCS_OK);
    kit_own_cert(f->first, f->ca, "own.example");
    visit(f, "a.example", NULL, &l);
    assert_true(link_served_name(&l, "own.example"));
    link_close(&l);
}

/* Datagrams are not listened to. */
static void datagrams(void **state)
{
    struct farm *f = *state;
    SSL_CTX *ctx = SSL_CTX_new(DTLS_server_method());
    BIO *in = BIO_new(BIO_s_mem());
    SSL *ssl;

    assert_int_equal(ccs_gate_attach(ctx, f->one, &f->host, NULL), CCS_OK);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_bio(ssl, in, BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(in, -1);
    SSL_set_accept_state(ssl);
    assert_int_equal(SSL_do_handshake(ssl), -1);
    assert_int_equal(SSL_get_error(ssl, -1), SSL_ERROR_WANT_READ);
    assert_ptr_equal(SSL_get_rbio(ssl), in);
    assert_null(BIO_get_callback_ex(in));
    assert_null(ccs_ssl_answer(ssl));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void bad_arguments(void **state)
{
    struct farm *f = *state;
    struct ccs_gate_host host = f->host;
    struct ccs_error err = {0};

    assert_int_equal(ccs_gate_attach(NULL, f->one, &host, &err), CCS_EINVAL);
    assert_int_equal(err.code, CCS_EINVAL);
    assert_int_equal(ccs_gate_attach(f->first, f->one, NULL, NULL), CCS_EINVAL);
    host.choose = NULL;
    assert_int_equal(ccs_gate_attach(f->first, f->one, &host, NULL), CCS_EINVAL);
    host = f->host;
    host.resume = NULL;
    assert_int_equal(ccs_gate_attach(f->first, f->one, &host, &err), CCS_EINVAL);
    assert_string_equal(err.text, "a gate needs an SSL_CTX, and a host that chooses and resumes");
    assert_int_equal(ccs_ssl_ctx_attach(f->first, f->one, &err), CCS_EINVAL);
    expect_cred(f, "a.example", f->a);
}

#define IN(mode, text, test)                                                                       \
    {                                                                                              \
#test text, test, setup, teardown, &modes[mode]                                            \
    }
#define EACH(test)                                                                                 \
    IN(0, " TLS 1.2", test), IN(1, " TLS 1.3", test), IN(2, " TLS 1.2 traced", test),              \
        IN(3, " TLS 1.3 traced", test), IN(4, " TLS 1.2 single use", test),                        \
        IN(5, " TLS 1.3 single use", test)

int main(void)
{
    static struct mode modes[] = {
        {.version = TLS1_2_VERSION},
        {.version = TLS1_3_VERSION},
        {.version = TLS1_2_VERSION, .traced = 1},
        {.version = TLS1_3_VERSION, .traced = 1},
        {.version = TLS1_2_VERSION, .single_use = 1},
        {.version = TLS1_3_VERSION, .single_use = 1},
    };
    const struct CMUnitTest tests[] = {
        EACH(warm),
        EACH(no_more_reads),
        EACH(suspended),
        EACH(talk),
        EACH(pieces),
        EACH(large_hello),
        EACH(beyond_limit),
        EACH(nul_in_name),
        EACH(garbage),
        EACH(unknown),
        EACH(unavailable),
        EACH(told),
        EACH(next_refuses),
        EACH(no_name),
        EACH(fallback),
        EACH(fallback_and_sessions),
        EACH(own_cert_but_reject),
        EACH(closed),
        EACH(reset),
        EACH(closed_at_once),
        EACH(freed),
        EACH(bio_replaced),
        EACH(bio_replaced_early),
        EACH(freed_early),
        EACH(memory_bio),
        EACH(flood),
        EACH(hello_retry),
        EACH(retry_with_another_name),
        EACH(renegotiation),
        EACH(used_again),
        EACH(copied),
        EACH(resumption),
        EACH(resumption_ends_with_the_file),
        EACH(resumption_under_a_wildcard),
        EACH(resumption_without_name),
        EACH(client_certificates),
        EACH(early_data),
        EACH(switched),
        EACH(host_contradicts_itself),
        EACH(without_gate),
        EACH(chained),
        EACH(own_infos),
        EACH(info_set_late),
        EACH(unattached),
        EACH(attached_again),
        EACH(datagrams),
        EACH(bad_arguments),
    };

    signal(SIGPIPE, SIG_IGN); /* as servers do: some clients leave early */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
