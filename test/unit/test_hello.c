/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Hellos come from OpenSSL where it can make them and from a small writer where it would not. An
 * OpenSSL server is asked what it makes of each: whatever it reads must be read here alike.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "hello.h"
#include "pki.h"

#define HOST         "www.example.com"
#define RECORD_MAX   16384
#define RECORD_LEN   5
#define MESSAGE_SIZE 70000

/* Piece of TLS: a handshake message, or the records it travels in. */
struct bytes {
    uint8_t *data;
    size_t len;
};

static struct bytes bytes_copy(const uint8_t *data, size_t len)
{
    struct bytes b;

    /* Exactly as long as its contents, so that the sanitizer sees a read beyond them. */
    b.data = malloc(len > 0 ? len : 1);
    b.len = len;
    assert_non_null(b.data);
    if (len > 0)
        memcpy(b.data, data, len);
    return b;
}

static void bytes_free(struct bytes *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
}

/* -- what OpenSSL says and writes ------------------------------------------------------------ */

struct spec {
    const char *name;
    int max_version; /* 0: the newest */
    size_t custom;   /* octets of an extension that comes before all others */
    size_t alpn;     /* octets of protocols */
};

static uint8_t filler[40000];

static int add_custom(SSL *ssl, unsigned type, unsigned context, const unsigned char **out,
                      size_t *out_len, X509 *x, size_t chain, int *alert, void *arg)
{
    (void)ssl;
    (void)type;
    (void)context;
    (void)x;
    (void)chain;
    (void)alert;
    *out = filler;
    *out_len = *(const size_t *)arg;
    return 1;
}

static struct bytes take_output(SSL *ssl)
{
    char *data;
    long len = BIO_get_mem_data(SSL_get_wbio(ssl), &data);
    struct bytes b = bytes_copy((const uint8_t *)data, (size_t)len);

    assert_true(len > 0);
    assert_int_equal(BIO_reset(SSL_get_wbio(ssl)), 1);
    return b;
}

static SSL *ssl_on_memory(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());

    assert_non_null(ssl);
    assert_non_null(in);
    assert_non_null(out);
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    return ssl;
}

/* OpenSSL's macros cast const away. */
static void set_name(SSL *ssl, const char *name)
{
    char copy[CCS_HELLO_NAME_MAX + 1];

    assert_true(strlen(name) < sizeof(copy));
    strcpy(copy, name);
    assert_int_equal(SSL_set_tlsext_host_name(ssl, copy), 1);
}

static void set_groups(SSL_CTX *ctx, const char *groups)
{
    char copy[64];

    assert_true(strlen(groups) < sizeof(copy));
    strcpy(copy, groups);
    assert_int_equal(SSL_CTX_set1_groups_list(ctx, copy), 1);
}

/* The first flight of an OpenSSL client. */
static struct bytes client_hello(const struct spec *spec)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    size_t custom = spec->custom;
    uint8_t *alpn;
    struct bytes b;
    SSL *ssl;
    size_t at;

    assert_non_null(ctx);
    if (spec->max_version != 0)
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, spec->max_version), 1);
    if (custom > 0) {
        assert_int_equal(SSL_CTX_add_custom_ext(ctx, 60000, SSL_EXT_CLIENT_HELLO, add_custom, NULL,
                                                &custom, NULL, NULL),
                         1);
    }
    if (spec->alpn > 0) {
        alpn = calloc(spec->alpn, 1);
        assert_non_null(alpn);
        for (at = 0; at < spec->alpn; at += 100)
            alpn[at] = (uint8_t)(spec->alpn - at < 100 ? spec->alpn - at - 1 : 99);
        assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, (unsigned)spec->alpn), 0);
        free(alpn);
    }
    ssl = ssl_on_memory(ctx);
    if (spec->name)
        set_name(ssl, spec->name);
    assert_int_equal(SSL_connect(ssl), -1);
    b = take_output(ssl);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return b;
}

struct oracle {
    int accepted; /* OpenSSL read the whole hello and found nothing wrong with it */
    char name[CCS_HELLO_NAME_MAX + 1];
    int has_extension;
};

static int oracle_hello(SSL *ssl, int *alert, void *arg)
{
    struct oracle *o = arg;
    const unsigned char *ext;
    size_t len;

    (void)alert;
    o->has_extension = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len);
    return SSL_CLIENT_HELLO_SUCCESS;
}

static int oracle_name(SSL *ssl, int *alert, void *arg)
{
    struct oracle *o = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    o->accepted = 1;
    if (name) {
        assert_true(strlen(name) < sizeof(o->name));
        memcpy(o->name, name, strlen(name) + 1);
    }
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static struct oracle ask_openssl(const struct bytes *hello)
{
    static SSL_CTX *ctx; /* made once: thousands of hellos are put to it */
    struct oracle o = {0};
    SSL *ssl;

    if (!ctx) {
        ctx = SSL_CTX_new(TLS_server_method());
        assert_non_null(ctx);
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, 0);
        SSL_CTX_set_tlsext_servername_callback(ctx, oracle_name);
    }
    SSL_CTX_set_tlsext_servername_arg(ctx, &o);
    SSL_CTX_set_client_hello_cb(ctx, oracle_hello, &o);
    ssl = ssl_on_memory(ctx);
    assert_int_equal(BIO_write(SSL_get_rbio(ssl), hello->data, (int)hello->len), hello->len);
    assert_true(SSL_accept(ssl) < 0);
    SSL_free(ssl);
    ERR_clear_error();
    return o;
}

/* -- records --------------------------------------------------------------------------------- */

static size_t get16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* Records -> the handshake message in them. */
static struct bytes unwrap(const struct bytes *records)
{
    uint8_t *message = malloc(records->len);
    struct bytes b;
    size_t len = 0;
    size_t at;
    size_t n;

    assert_non_null(message);
    for (at = 0; at < records->len; at += RECORD_LEN + n) {
        assert_int_equal(records->data[at], 22);
        n = get16(records->data + at + 3);
        memcpy(message + len, records->data + at + RECORD_LEN, n);
        len += n;
    }
    b = bytes_copy(message, len);
    free(message);
    return b;
}

/* Where the octet that is number `used` of the message ends among the records. */
static size_t stream_offset(size_t used, size_t piece)
{
    return used + RECORD_LEN * ((used + piece - 1) / piece);
}

/* Message -> records of at most `piece` octets. */
static struct bytes wrap(const struct bytes *message, size_t piece)
{
    struct bytes b;
    size_t at;
    size_t n;

    b.len = stream_offset(message->len, piece);
    b.data = malloc(b.len);
    assert_non_null(b.data);
    b.len = 0;
    for (at = 0; at < message->len; at += n) {
        n = message->len - at < piece ? message->len - at : piece;
        b.data[b.len++] = 22;
        b.data[b.len++] = 3;
        b.data[b.len++] = 1;
        b.data[b.len++] = (uint8_t)(n >> 8);
        b.data[b.len++] = (uint8_t)n;
        memcpy(b.data + b.len, message->data + at, n);
        b.len += n;
    }
    return b;
}

/* -- checks ---------------------------------------------------------------------------------- */

struct expected {
    int verdict;
    const char *name; /* NULL: none */
    size_t name_len;
    size_t at; /* octets after which the verdict is known */
};

static void check_result(const struct ccs_hello *h, const struct expected *e)
{
    if (e->verdict != CCS_OK)
        return;
    assert_int_equal(h->name_len, e->name_len);
    assert_int_equal(h->name[h->name_len], '\0');
    if (e->name_len > 0)
        assert_memory_equal(h->name, e->name, e->name_len);
}

static void check_octet_by_octet(const struct bytes *in, const struct expected *e)
{
    struct ccs_hello h;
    size_t i;

    ccs_hello_init(&h);
    assert_int_equal(ccs_hello_feed(&h, in->data, 0), CCS_PENDING);
    for (i = 0; i < in->len; i++) {
        assert_int_equal(ccs_hello_feed(&h, in->data + i, 1),
                         i + 1 < e->at ? CCS_PENDING : e->verdict);
    }
    assert_int_equal(ccs_hello_feed(&h, NULL, 0), e->verdict);
    check_result(&h, e);
}

static void check_two_pieces(const struct bytes *in, const struct expected *e, size_t step)
{
    struct ccs_hello h;
    size_t i;

    for (i = 0; i <= in->len; i += step) {
        ccs_hello_init(&h);
        assert_int_equal(ccs_hello_feed(&h, in->data, i), i < e->at ? CCS_PENDING : e->verdict);
        assert_int_equal(ccs_hello_feed(&h, in->data + i, in->len - i), e->verdict);
        check_result(&h, e);
    }
}

static void check_truncated(const struct bytes *in, const struct expected *e, size_t step)
{
    struct ccs_hello h;
    struct bytes part;
    size_t i;

    for (i = 0; i <= in->len; i += step) {
        part = bytes_copy(in->data, i);
        ccs_hello_init(&h);
        assert_int_equal(ccs_hello_feed(&h, part.data, part.len),
                         i < e->at ? CCS_PENDING : e->verdict);
        bytes_free(&part);
    }
}

/* Feeds these records in every way. */
static void check_stream(const struct bytes *in, const struct expected *e)
{
    size_t step = in->len > 40000 ? 997 : in->len > 5000 ? 101 : 1;

    check_octet_by_octet(in, e);
    check_two_pieces(in, e, step);
    check_truncated(in, e, step);
}

/* Number of octets of the message until the name is complete, or all of it. */
static size_t known_after(const struct bytes *message, const char *name)
{
    const uint8_t *found;

    if (!name)
        return message->len;
    found = memmem(message->data, message->len, name, strlen(name));
    assert_non_null(found);
    return (size_t)(found - message->data) + strlen(name);
}

/* Feeds this hello in every way, in its own records and in others. */
static void check_hello(const struct bytes *hello, const char *name)
{
    static const size_t pieces[] = {1, 2, 7, 50, 100, RECORD_MAX};
    struct bytes message = unwrap(hello);
    struct bytes records;
    struct expected e = {CCS_OK, name, name ? strlen(name) : 0, 0};
    size_t known = known_after(&message, name);
    size_t i;

    for (i = 0; i < CCS_ARRAY_LEN(pieces); i++) {
        e.at = stream_offset(known, pieces[i]);
        if (e.at > CCS_HELLO_LIMIT)
            continue; /* has a test of its own */
        records = wrap(&message, pieces[i]);
        check_stream(&records, &e);
        bytes_free(&records);
    }
    bytes_free(&message);
}

/* A message in one record must give this verdict, however it is fed, and OpenSSL must agree. */
static void check_message(const struct bytes *message, int verdict, const char *name)
{
    struct bytes records = wrap(message, RECORD_MAX);
    struct expected e = {verdict, name, name ? strlen(name) : 0, 0};
    struct ccs_hello h;
    struct oracle o;
    size_t i;

    ccs_hello_init(&h);
    for (i = 0; i < records.len && ccs_hello_feed(&h, records.data + i, 1) == CCS_PENDING; i++) {
    }
    assert_true(i < records.len);
    e.at = i + 1;
    check_stream(&records, &e);
    o = ask_openssl(&records);
    if (o.accepted) {
        assert_int_equal(verdict, CCS_OK);
        assert_string_equal(o.name, name ? name : "");
    }
    bytes_free(&records);
}

/* -- a writer of hellos ---------------------------------------------------------------------- */

struct writer {
    uint8_t data[MESSAGE_SIZE];
    size_t len;
};

static struct writer w; /* too big for the stack */

static void put(const void *data, size_t len)
{
    assert_true(len <= sizeof(w.data) - w.len);
    if (data)
        memcpy(w.data + w.len, data, len);
    else
        memset(w.data + w.len, 0, len);
    w.len += len;
}

static void put8(unsigned value)
{
    uint8_t octet = (uint8_t)value;

    put(&octet, 1);
}

static void put16(size_t value)
{
    put8((unsigned)(value >> 8));
    put8((unsigned)value);
}

/* Room for a length, and filling it in. */
static size_t open16(void)
{
    put16(0);
    return w.len;
}

static void close16(size_t start)
{
    w.data[start - 2] = (uint8_t)((w.len - start) >> 8);
    w.data[start - 1] = (uint8_t)(w.len - start);
}

/* Up to the compression methods, with lengths as given where they are not negative. */
static void put_head(int session, int ciphers, int compression)
{
    w.len = 0;
    put8(1);
    put(NULL, 3);
    put16(0x0303);
    put(NULL, 32);
    put8(session < 0 ? 0 : (unsigned)session);
    put16(ciphers < 0 ? 4 : (size_t)ciphers);
    put16(0x1301);
    put16(0xc02f);
    put8(compression < 0 ? 1 : (unsigned)compression);
    put8(0);
}

static void put_extension(unsigned type, const void *data, size_t len)
{
    put16(type);
    put16(len);
    put(data, len);
}

static void put_entry(unsigned type, const void *name, size_t len)
{
    put8(type);
    put16(len);
    put(name, len);
}

/* Writes the message's length, plus an error. */
static struct bytes message_end(int error)
{
    size_t len = w.len - 4 + (size_t)error;

    w.data[1] = (uint8_t)(len >> 16);
    w.data[2] = (uint8_t)(len >> 8);
    w.data[3] = (uint8_t)len;
    return bytes_copy(w.data, w.len);
}

static void check_written(int verdict, const char *name)
{
    struct bytes message = message_end(0);

    check_message(&message, verdict, name);
    bytes_free(&message);
}

/* The same for a message that is longer than a record; OpenSSL must accept it. */
static void check_written_in_records(const char *name)
{
    struct bytes message = message_end(0);
    struct bytes records = wrap(&message, RECORD_MAX);

    assert_true(message.len > 0xffff + 4);
    check_hello(&records, name);
    assert_string_equal(ask_openssl(&records).name, name);
    bytes_free(&records);
    bytes_free(&message);
}

/* Hello whose only extension is a server_name with this body. */
static void check_server_name(const void *body, size_t len, int verdict, const char *name)
{
    size_t list;

    put_head(-1, -1, -1);
    list = open16();
    put_extension(0, body, len);
    close16(list);
    check_written(verdict, name);
}

/* -- tests ----------------------------------------------------------------------------------- */

static void openssl_hellos(void **state)
{
    static const struct spec specs[] = {
        {.name = HOST},
        {.name = NULL},
        {.name = HOST, .max_version = TLS1_2_VERSION},
        {.name = NULL, .max_version = TLS1_2_VERSION},
        {.name = "alpn.example", .alpn = 700},
        {.name = HOST, .custom = 900},
        {.name = "WWW.Example.COM."},
    };
    struct bytes hello;
    struct oracle o;
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(specs); i++) {
        hello = client_hello(&specs[i]);
        check_hello(&hello, specs[i].name);
        o = ask_openssl(&hello);
        assert_true(o.accepted);
        assert_int_equal(o.has_extension, specs[i].name != NULL);
        assert_string_equal(o.name, specs[i].name ? specs[i].name : "");
        bytes_free(&hello);
    }
}

/* Larger than a record, with the name before and behind what makes it large. */
static void large_hellos(void **state)
{
    static const struct spec specs[] = {
        {.name = HOST, .custom = 20000},
        {.name = HOST, .alpn = 20000},
        {.name = NULL, .custom = 17000, .alpn = 17000},
        {.name = HOST, .custom = 20000, .alpn = 20000, .max_version = TLS1_2_VERSION},
    };
    struct bytes hello;
    size_t i;

    (void)state;
    for (i = 0; i < CCS_ARRAY_LEN(specs); i++) {
        hello = client_hello(&specs[i]);
        assert_true(hello.len > RECORD_MAX + 2 * RECORD_LEN);
        check_hello(&hello, specs[i].name);
        assert_true(ask_openssl(&hello).accepted);
        bytes_free(&hello);
    }
}

/* Hands over what one side has written. */
static void shuttle(SSL *from, SSL *to)
{
    struct bytes b = take_output(from);

    assert_int_equal(BIO_write(SSL_get_rbio(to), b.data, (int)b.len), b.len);
    bytes_free(&b);
}

/* The hello that answers a HelloRetryRequest is an ordinary one. */
static void second_hello(void **state)
{
    static const uint8_t change_cipher_spec[] = {20, 3, 3, 0, 1, 1};
    struct ccs_pki_ca *ca = ccs_pki_ca_new();
    struct ccs_pki_spec spec = {.names = HOST};
    struct ccs_pki_leaf leaf;
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
    SSL *client;
    SSL *server;
    struct bytes first;
    struct bytes second;
    struct bytes hello;

    (void)state;
    ccs_pki_issue(ca, &spec, &leaf);
    set_groups(client_ctx, "X25519:P-256");
    set_groups(server_ctx, "P-256");
    assert_int_equal(SSL_CTX_use_certificate(server_ctx, leaf.cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, leaf.key), 1);
    client = ssl_on_memory(client_ctx);
    server = ssl_on_memory(server_ctx);
    set_name(client, HOST);

    assert_int_equal(SSL_connect(client), -1);
    first = take_output(client);
    assert_int_equal(BIO_write(SSL_get_rbio(server), first.data, (int)first.len), first.len);
    assert_int_equal(SSL_accept(server), -1);
    shuttle(server, client);
    assert_int_equal(SSL_connect(client), -1);
    second = take_output(client);
    assert_true(second.len > sizeof(change_cipher_spec));
    assert_memory_equal(second.data, change_cipher_spec, sizeof(change_cipher_spec));
    hello = bytes_copy(second.data + sizeof(change_cipher_spec),
                       second.len - sizeof(change_cipher_spec));
    assert_true(hello.len != first.len || memcmp(hello.data, first.data, hello.len) != 0);
    check_hello(&first, HOST);
    check_hello(&hello, HOST);

    bytes_free(&hello);
    bytes_free(&second);
    bytes_free(&first);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(client_ctx);
    SSL_CTX_free(server_ctx);
    ccs_pki_leaf_clear(&leaf);
    ccs_pki_ca_free(ca);
}

static void no_extensions(void **state)
{
    (void)state;
    put_head(-1, -1, -1);
    check_written(CCS_OK, NULL);
    put_head(-1, -1, -1);
    put16(0);
    check_written(CCS_OK, NULL);
}

static void server_names(void **state)
{
    (void)state;
    check_server_name("\0\6\0\0\3a.b", 8, CCS_OK, "a.b");
    check_server_name("\0\3\0\0\0", 5, CCS_OK, NULL); /* OpenSSL takes it for none, too */
    /* Other types of names are passed over, behind the host_name they are not even looked at. */
    check_server_name("\0\x0b\7\0\2xx\0\0\3a.b", 13, CCS_OK, "a.b");
    check_server_name("\0\x0e\7\0\0\7\0\2xx\0\0\3a.b", 16, CCS_OK, "a.b");
    check_server_name("\0\x0b\0\0\3a.b\7\0\2xx", 13, CCS_OK, "a.b");
    check_server_name("\0\x0b\0\0\3a.b\0\0\2yy", 13, CCS_OK, "a.b");
}

static void bad_server_names(void **state)
{
    (void)state;
    check_server_name("", 0, CCS_EINVAL, NULL);
    check_server_name("\0", 1, CCS_EINVAL, NULL);
    check_server_name("\0\0", 2, CCS_EINVAL, NULL);
    check_server_name("\0\1\0", 3, CCS_EINVAL, NULL);
    check_server_name("\0\2\0\0", 4, CCS_EINVAL, NULL);
    check_server_name("\0\5\0\0\3a.b", 8, CCS_EINVAL, NULL); /* list shorter than extension */
    check_server_name("\0\7\0\0\3a.b", 8, CCS_EINVAL, NULL); /* list longer */
    check_server_name("\0\6\0\0\4a.b", 8, CCS_EINVAL, NULL); /* name longer than list */
    check_server_name("\0\6\0\xff\xff"
                      "a.b",
                      8, CCS_EINVAL, NULL);
    check_server_name("\0\5\7\0\2xx", 7, CCS_EINVAL, NULL);   /* no host_name at all */
    check_server_name("\0\6\7\0\2xx\0", 8, CCS_EINVAL, NULL); /* half an entry */
    check_server_name("\0\6\7\0\4xxx", 8, CCS_EINVAL, NULL);
}

static void nul_in_name(void **state)
{
    static const uint8_t body[] = {0, 7, 0, 0, 4, 'a', 0, '.', 'b'};
    struct bytes message;
    struct bytes records;
    struct expected e = {CCS_OK, "a\0.b", 4, 0};
    size_t list;

    (void)state;
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0, body, sizeof(body));
    close16(list);
    message = message_end(0);
    records = wrap(&message, RECORD_MAX);
    e.at = records.len;
    check_stream(&records, &e);
    assert_false(ask_openssl(&records).accepted);
    bytes_free(&records);
    bytes_free(&message);
}

static void longest_name(void **state)
{
    char name[CCS_HELLO_NAME_MAX + 2];
    size_t len;
    size_t list;
    size_t extension;
    size_t names;

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (len = CCS_HELLO_NAME_MAX + 1; len >= CCS_HELLO_NAME_MAX; len--) {
        name[len] = '\0';
        put_head(-1, -1, -1);
        list = open16();
        put16(0);
        extension = open16();
        names = open16();
        put_entry(0, name, len);
        close16(names);
        close16(extension);
        close16(list);
        check_written(len > CCS_HELLO_NAME_MAX ? CCS_EINVAL : CCS_OK,
                      len > CCS_HELLO_NAME_MAX ? NULL : name);
    }
}

static void extension_lists(void **state)
{
    struct bytes message;
    size_t list;
    unsigned i;

    (void)state;
    /* Many small extensions, then the name. */
    put_head(-1, -1, -1);
    list = open16();
    for (i = 0; i < 2000; i++)
        put_extension(0x1000 + i, "xyz", i % 4);
    put_extension(0, "\0\6\0\0\3a.b", 8);
    close16(list);
    check_written(CCS_OK, "a.b");

    /* Only others. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0x1000, "xyz", 3);
    put_extension(0x1001, "", 0);
    close16(list);
    check_written(CCS_OK, NULL);

    /* The last extension is longer than the list. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0x1000, "xyz", 3);
    w.data[w.len - 4] = 4;
    close16(list);
    check_written(CCS_EINVAL, NULL);

    /* A server_name that is longer than the list. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0, "\0\6\0\0\3a.b", 8);
    w.data[w.len - 9] = 9;
    close16(list);
    check_written(CCS_EINVAL, NULL);

    /* The same, with a name that fits the extension but not the message. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0, "\0\7\0\0\4a.b", 8);
    w.data[w.len - 9] = 9;
    close16(list);
    check_written(CCS_EINVAL, NULL);

    /* Half an extension's head. */
    for (i = 1; i < 4; i++) {
        put_head(-1, -1, -1);
        list = open16();
        put_extension(0x1000, "xyz", 3);
        put(NULL, i);
        close16(list);
        check_written(CCS_EINVAL, NULL);
    }

    /* A list that ends before or behind the message, and half a length. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0x1000, "xyz", 3);
    close16(list);
    w.data[list - 1]++;
    check_written(CCS_EINVAL, NULL);
    w.data[list - 1] = (uint8_t)(w.data[list - 1] - 2);
    check_written(CCS_EINVAL, NULL);
    put_head(-1, -1, -1);
    put8(0);
    check_written(CCS_EINVAL, NULL);

    /* A message that is shorter than its fields say. */
    put_head(-1, -1, -1);
    list = open16();
    put_extension(0x1000, "xyz", 3);
    close16(list);
    message = message_end(-1);
    check_message(&message, CCS_EINVAL, NULL);
    bytes_free(&message);
}

/* More than 65535 octets; the name is known long before. */
static void very_long_message(void **state)
{
    size_t list;

    (void)state;
    put_head(-1, 8004, -1);
    w.len -= 2; /* the compression methods come behind 4,000 more ciphers */
    put(NULL, 8000);
    put16(0x0100);
    list = open16();
    put_extension(0, "\0\6\0\0\3a.b", 8);
    put_extension(0x1000, NULL, 60000);
    close16(list);
    check_written_in_records("a.b");
}

static void bad_heads(void **state)
{
    struct bytes message;
    size_t len;

    (void)state;
    put_head(255, -1, -1);
    check_written(CCS_EINVAL, NULL);
    put_head(-1, 65535, -1);
    check_written(CCS_EINVAL, NULL);
    put_head(-1, -1, 2);
    check_written(CCS_EINVAL, NULL);

    /* Every message that is too short to hold the fields. */
    put_head(-1, -1, -1);
    for (len = w.len - 5; len > 0; len--) {
        w.data[1] = 0;
        w.data[2] = 0;
        w.data[3] = (uint8_t)len;
        message = bytes_copy(w.data, w.len);
        check_message(&message, CCS_EINVAL, NULL);
        bytes_free(&message);
    }

    /* Another message: HelloRequest, ServerHello, Finished. */
    put_head(-1, -1, -1);
    message = message_end(0);
    for (len = 0; len < 256; len++) {
        if (len != 1) {
            message.data[0] = (uint8_t)len;
            check_message(&message, CCS_EINVAL, NULL);
        }
    }
    bytes_free(&message);
}

static void check_start(const void *start, size_t len, size_t known)
{
    struct expected e = {CCS_EINVAL, NULL, 0, known};
    struct bytes b = bytes_copy(start, len);

    check_stream(&b, &e);
    bytes_free(&b);
}

static void other_records(void **state)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    static const uint8_t ssl2[] = {0x80, 0x2e, 1, 3, 1, 0, 3, 0, 0, 0, 0x20, 0, 0, 0x2f};

    (void)state;
    check_start(http, sizeof(http) - 1, 1);
    check_start(ssl2, sizeof(ssl2), 1);
    check_start("\x15\x03\x01\0\2\1\0", 7, 1);
    check_start("\x14\x03\x01\0\1\1", 6, 1);
    check_start("\x17\x03\x03\0\1\1", 6, 1);
    check_start("\x16\x02\x01\0\1\1", 6, 2);
    check_start("\x16\x04\x01\0\1\1", 6, 2);
    check_start("\x16\x03\x01\x40\x01\1", 6, 5);
    check_start("\x16\x03\x01\xff\xff\1", 6, 5);
    check_start("\x16\x03\x01\0\1\1\x15\x03\x01\0\2\1\0", 13, 7);
    check_start("\x16\x03\x01\0\1\1\x16\x02\x01\0\1\0", 12, 8);
}

static void any_minor_version(void **state)
{
    struct spec spec = {.name = HOST};
    struct bytes hello = client_hello(&spec);
    struct expected e = {CCS_OK, HOST, strlen(HOST), 0};
    struct bytes message = unwrap(&hello);
    unsigned minor;

    (void)state;
    e.at = known_after(&message, HOST) + RECORD_LEN;
    for (minor = 0; minor < 256; minor++) {
        hello.data[2] = (uint8_t)minor;
        check_octet_by_octet(&hello, &e);
        assert_true(ask_openssl(&hello).accepted);
    }
    bytes_free(&message);
    bytes_free(&hello);
}

static void empty_records(void **state)
{
    static const uint8_t empty[] = {22, 3, 1, 0, 0};
    struct spec spec = {.name = HOST};
    struct bytes hello = client_hello(&spec);
    struct bytes message = unwrap(&hello);
    struct bytes records = wrap(&message, 50);
    struct expected e = {CCS_OK, HOST, strlen(HOST), 0};
    struct bytes mixed;
    size_t at;
    size_t n;

    (void)state;
    mixed.data = malloc(records.len * 2);
    mixed.len = 0;
    assert_non_null(mixed.data);
    for (at = 0; at < records.len; at += n) {
        n = RECORD_LEN + get16(records.data + at + 3);
        memcpy(mixed.data + mixed.len, empty, sizeof(empty));
        memcpy(mixed.data + mixed.len + sizeof(empty), records.data + at, n);
        mixed.len += sizeof(empty) + n;
    }
    e.at = stream_offset(known_after(&message, HOST), 50);
    e.at += sizeof(empty) * ((known_after(&message, HOST) + 49) / 50);
    check_stream(&mixed, &e);
    assert_true(ask_openssl(&mixed).accepted);
    assert_string_equal(ask_openssl(&mixed).name, HOST);

    bytes_free(&mixed);
    bytes_free(&records);
    bytes_free(&message);
    bytes_free(&hello);
}

/* Empty records only: it gives up, whatever the pieces. */
static void endless_records(void **state)
{
    static const uint8_t empty[] = {22, 3, 1, 0, 0};
    struct expected e = {CCS_EINVAL, NULL, 0, CCS_HELLO_LIMIT};
    struct bytes b;
    size_t at;

    (void)state;
    b.len = CCS_HELLO_LIMIT + 100;
    b.data = malloc(b.len);
    assert_non_null(b.data);
    for (at = 0; at < b.len; at++)
        b.data[at] = empty[at % sizeof(empty)];
    check_stream(&b, &e);
    bytes_free(&b);
}

/* Hello whose name ends this many octets after its start. */
static struct bytes hello_with_name_at(size_t where)
{
    struct bytes message = {NULL, 0};
    size_t pad = 60000;
    size_t list;
    size_t known = 0;
    int turn;

    for (turn = 0; turn < 2; turn++) {
        pad = pad + where - (turn > 0 ? known : where);
        bytes_free(&message);
        put_head(-1, -1, -1);
        list = open16();
        put_extension(0x1000, NULL, pad);
        put_extension(0, "\0\6\0\0\3a.b", 8);
        close16(list);
        message = message_end(0);
        known = known_after(&message, "a.b");
    }
    assert_int_equal(known, where);
    return message;
}

static void limit(void **state)
{
    struct expected e = {CCS_OK, "a.b", 3, CCS_HELLO_LIMIT};
    struct bytes message = hello_with_name_at(CCS_HELLO_LIMIT - 4 * RECORD_LEN);
    struct bytes records = wrap(&message, RECORD_MAX);

    (void)state;
    assert_int_equal(records.len, CCS_HELLO_LIMIT);
    check_stream(&records, &e);
    bytes_free(&records);
    bytes_free(&message);

    e.verdict = CCS_EINVAL;
    message = hello_with_name_at(CCS_HELLO_LIMIT - 4 * RECORD_LEN + 1);
    records = wrap(&message, RECORD_MAX);
    check_stream(&records, &e);
    bytes_free(&records);
    bytes_free(&message);

    /* The records of a smaller hello count, too. */
    message = hello_with_name_at(20000);
    records = wrap(&message, 1);
    check_stream(&records, &e);
    bytes_free(&records);
    bytes_free(&message);
}

/* -- mutants --------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void mutate(struct bytes *b, uint32_t *seed)
{
    uint32_t count = 1 + next_random(seed) % 2;
    size_t at;

    while (count-- > 0) {
        at = next_random(seed) % b->len;
        switch (next_random(seed) % 4) {
        case 0:
            b->data[at] = (uint8_t)next_random(seed);
            break;
        case 1:
            b->data[at] ^= (uint8_t)(1u << next_random(seed) % 8);
            break;
        case 2:
            b->data[at]++;
            break;
        default:
            b->data[at]--;
            break;
        }
    }
}

/* What OpenSSL reads is read here, with the same name, and in pieces as in one. */
static void mutants(void **state)
{
    static const struct spec specs[] = {
        {.name = HOST},
        {.name = NULL},
        {.name = HOST, .max_version = TLS1_2_VERSION, .custom = 30},
    };
    uint32_t seed = 0x9e3779b9;
    struct bytes hello;
    struct bytes mutant;
    struct ccs_hello h;
    struct ccs_hello pieces;
    struct oracle o;
    unsigned accepted = 0;
    unsigned refused = 0;
    size_t spec;
    size_t at;
    size_t n;
    int turn;

    (void)state;
    for (spec = 0; spec < CCS_ARRAY_LEN(specs); spec++) {
        hello = client_hello(&specs[spec]);
        for (turn = 0; turn < 2500; turn++) {
            mutant = bytes_copy(hello.data, hello.len);
            mutate(&mutant, &seed);
            ccs_hello_init(&h);
            ccs_hello_init(&pieces);
            ccs_hello_feed(&h, mutant.data, mutant.len);
            for (at = 0; at < mutant.len; at += n) {
                n = 1 + next_random(&seed) % 40;
                n = n < mutant.len - at ? n : mutant.len - at;
                ccs_hello_feed(&pieces, mutant.data + at, n);
            }
            assert_int_equal(pieces.verdict, h.verdict);
            o = ask_openssl(&mutant);
            if (o.accepted && mutant.data[0] < 0x80) {
                accepted++;
                assert_int_equal(h.verdict, CCS_OK);
                assert_string_equal(h.name, o.name);
                assert_int_equal(h.name_len, strlen(o.name));
                assert_int_equal(pieces.name_len, h.name_len);
                assert_memory_equal(pieces.name, h.name, h.name_len);
            }
            refused += h.verdict == CCS_EINVAL;
            bytes_free(&mutant);
        }
        bytes_free(&hello);
    }
    assert_true(accepted > 500);
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_hellos),    cmocka_unit_test(large_hellos),
        cmocka_unit_test(second_hello),      cmocka_unit_test(no_extensions),
        cmocka_unit_test(server_names),      cmocka_unit_test(bad_server_names),
        cmocka_unit_test(nul_in_name),       cmocka_unit_test(longest_name),
        cmocka_unit_test(extension_lists),   cmocka_unit_test(very_long_message),
        cmocka_unit_test(bad_heads),         cmocka_unit_test(other_records),
        cmocka_unit_test(any_minor_version), cmocka_unit_test(empty_records),
        cmocka_unit_test(endless_records),   cmocka_unit_test(limit),
        cmocka_unit_test(mutants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
