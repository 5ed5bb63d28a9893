/* SPDX-License-Identifier: Apache-2.0 */

/* A store behind an agent, against one made here that does what a test tells it. */
#include "store_agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_store.h"
#include "log.h"
#include "tmp.h"

#define CONNS_MAX 64
#define LOCATION  "//files01/certs"
#define MIB       ((size_t)1024 * 1024)

/* -- the agent of this test -------------------------------------------------------------------- */

enum mode {
    ANSWER,
    HANG,    /* says nothing to requests */
    HANG_UP, /* ends the connection on a request */
    REFUSE,  /* has no such store */
    OTHER_VERSION,
    GARBAGE,    /* answers with octets that are no message */
    WRONG_TYPE, /* answers with what was not asked */
    BREAK_LIST  /* ends the connection within a listing */
};

struct conn {
    struct broker *broker;
    pthread_t thread;
    int fd; /* -1: free, or ended */
    int started;
    uint32_t watch_id;
    int wants_log;
};

struct broker {
    struct sockaddr_un address;
    struct fake_store *fake;
    pthread_t thread;
    int listener;
    atomic_int mode;
    atomic_int hang_ups; /* so many times more, then ANSWER */
    atomic_int fail_code;
    atomic_uint connects;
    atomic_uint requests;
    atomic_int stopping;
    pthread_mutex_t lock;
    struct conn conns[CONNS_MAX];
};

static int send_message(int fd, const struct ccs_wire_message *m)
{
    const size_t size = ccs_wire_size(m);
    uint8_t *octets = malloc(size);
    size_t len = 0;
    size_t done = 0;
    ssize_t n = 1;

    if (octets == NULL || ccs_wire_encode(m, octets, size, &len) != CCS_OK)
        abort();
    /* In two pieces, as it may come. */
    while (done < len && n > 0) {
        n = send(fd, octets + done, done == 0 ? (len + 1) / 2 : len - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
    }
    free(octets);
    return done == len;
}

static int send_error(int fd, const struct ccs_wire_message *q, int code, const char *text,
                      const struct ccs_stamp *stamp)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_ERROR,
                                 .id = q->id,
                                 .code = code,
                                 .sys_errno = 5,
                                 .text = {text, strlen(text)}};

    if (stamp != NULL)
        m.stamp = *stamp;
    return send_message(fd, &m);
}

struct names {
    int fd;
    uint32_t id;
    char buf[600]; /* small, so that a listing has many pieces */
    size_t used;
    uint32_t count;
};

static void send_names(struct names *n)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_NAMES, .id = n->id, .text = {n->buf, n->used}};

    if (n->used > 0)
        (void)send_message(n->fd, &m);
    n->used = 0;
}

static int on_name(const char *file, size_t len, void *arg)
{
    struct names *n = arg;

    if (!ccs_wire_names_add(n->buf, sizeof(n->buf), &n->used, file, len)) {
        send_names(n);
        (void)ccs_wire_names_add(n->buf, sizeof(n->buf), &n->used, file, len);
    }
    n->count++;
    return 0;
}

static int answer_list(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_LISTED, .id = q->id};
    struct names n = {.fd = c->fd, .id = q->id};
    struct ccs_error err;

    if (ccs_store_list(fake_store_base(c->broker->fake), on_name, &n, &err) != CCS_OK)
        return send_error(c->fd, q, err.code, err.text, NULL);
    send_names(&n);
    if (atomic_load(&c->broker->mode) == BREAK_LIST)
        return 0;
    m.count = n.count;
    return send_message(c->fd, &m);
}

static int answer_file(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_store *store = fake_store_base(c->broker->fake);
    struct ccs_wire_message m = {.type = CCS_WIRE_CONTENTS, .id = q->id};
    struct ccs_secret data = {0};
    char file[CCS_FILE_NAME_SIZE];
    struct ccs_error err;
    int rv;

    memcpy(file, q->text.data, q->text.len);
    file[q->text.len] = '\0';
    rv = q->type == CCS_WIRE_STAT ? ccs_store_stat(store, file, &m.stamp, &err)
                                  : ccs_store_read(store, file, q->max, &data, &m.stamp, &err);
    if (rv != CCS_OK)
        return send_error(c->fd, q, rv, err.text, q->type == CCS_WIRE_READ ? &m.stamp : NULL);
    if (q->type == CCS_WIRE_STAT)
        m.type = CCS_WIRE_STAMP;
    m.text = (struct ccs_wire_text){(const char *)data.data, data.len};
    rv = send_message(c->fd, &m);
    ccs_secret_free(&data);
    return rv;
}

static int answer_probe(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_ROOT, .id = q->id};
    struct ccs_error err;

    if (ccs_store_probe(fake_store_base(c->broker->fake), &m.root, &err) != CCS_OK)
        return send_error(c->fd, q, err.code, err.text, NULL);
    return send_message(c->fd, &m);
}

static int answer_hello(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_wire_message m = {
        .type = CCS_WIRE_WELCOME, .id = q->id, .store = 3, .version = CCS_WIRE_VERSION, .pid = 1};
    const int mode = atomic_load(&c->broker->mode);

    if (mode == REFUSE)
        return send_error(c->fd, q, CCS_EINVAL, "there is no such store here", NULL);
    if (mode == OTHER_VERSION)
        m.version = 99;
    pthread_mutex_lock(&c->broker->lock);
    c->wants_log = (q->flags & CCS_WIRE_WANT_LOG) != 0;
    pthread_mutex_unlock(&c->broker->lock);
    return q->text.len == strlen(LOCATION) && send_message(c->fd, &m);
}

static int answer_watch(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_WATCHING, .id = q->id};
    int ok;

    pthread_mutex_lock(&c->broker->lock);
    c->watch_id = q->id;
    ok = send_message(c->fd, &m);
    pthread_mutex_unlock(&c->broker->lock);
    return ok;
}

/* 0 ends the connection. */
static int answer(struct conn *c, const struct ccs_wire_message *q)
{
    struct ccs_wire_message wrong = {.type = CCS_WIRE_PONG, .id = q->id};
    struct broker *b = c->broker;
    const int code = atomic_load(&b->fail_code);

    if (q->type == CCS_WIRE_HELLO)
        return answer_hello(c, q);
    atomic_fetch_add(&b->requests, 1);
    if (q->store != 3)
        return 0;
    switch ((enum mode)atomic_load(&b->mode)) {
    case HANG:
        return 1;
    case HANG_UP:
        if (atomic_fetch_sub(&b->hang_ups, 1) == 1)
            atomic_store(&b->mode, ANSWER);
        return 0;
    case GARBAGE:
        return send(c->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL) == 28;
    case WRONG_TYPE:
        return send_message(c->fd, &wrong);
    case ANSWER:
    case REFUSE:
    case OTHER_VERSION:
    case BREAK_LIST:
        break;
    }
    if (code != CCS_OK)
        return send_error(c->fd, q, code, "as the test says", NULL);
    switch (q->type) {
    case CCS_WIRE_PROBE:
        return answer_probe(c, q);
    case CCS_WIRE_STAT:
    case CCS_WIRE_READ:
        return answer_file(c, q);
    case CCS_WIRE_LIST:
        return answer_list(c, q);
    case CCS_WIRE_WATCH:
        return answer_watch(c, q);
    default:
        return 0;
    }
}

static void *conn_main(void *arg)
{
    struct conn *c = arg;
    struct ccs_wire_message m;
    uint8_t in[CCS_WIRE_REQUEST_MAX];
    size_t have = 0;
    size_t used;
    ssize_t n;
    int rv;

    for (;;) {
        rv = ccs_wire_decode(CCS_WIRE_TO_AGENT, in, have, &m, &used);
        if (rv == CCS_OK) {
            if (!answer(c, &m))
                break;
            memmove(in, in + used, have - used);
            have -= used;
            continue;
        }
        n = rv == CCS_PENDING ? recv(c->fd, in + have, sizeof(in) - have, 0) : 0;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    pthread_mutex_lock(&c->broker->lock);
    close(c->fd);
    c->fd = -1;
    c->watch_id = 0;
    c->wants_log = 0;
    pthread_mutex_unlock(&c->broker->lock);
    return NULL;
}

static void take_conn(struct broker *b, int fd)
{
    struct conn *c = NULL;

    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < CONNS_MAX && c == NULL; i++)
        c = b->conns[i].fd < 0 ? &b->conns[i] : NULL;
    pthread_mutex_unlock(&b->lock);
    if (c == NULL) {
        close(fd);
        return;
    }
    if (c->started)
        pthread_join(c->thread, NULL);
    pthread_mutex_lock(&b->lock);
    c->broker = b;
    c->fd = fd;
    c->started = 1;
    pthread_mutex_unlock(&b->lock);
    if (pthread_create(&c->thread, NULL, conn_main, c) != 0)
        abort();
}

static void *broker_main(void *arg)
{
    struct broker *b = arg;
    int fd;

    for (;;) {
        fd = accept(b->listener, NULL, NULL);
        if (fd < 0 || atomic_load(&b->stopping))
            break;
        atomic_fetch_add(&b->connects, 1);
        take_conn(b, fd);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Ends all connections, as when the process that held them was killed. */
static void broker_cut(struct broker *b)
{
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < CONNS_MAX; i++) {
        if (b->conns[i].fd >= 0)
            (void)shutdown(b->conns[i].fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&b->lock);
}

static void broker_stop(struct broker *b)
{
    if (b->listener < 0)
        return;
    atomic_store(&b->stopping, 1);
    (void)shutdown(b->listener, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listener);
    b->listener = -1;
    (void)unlink(b->address.sun_path);
    broker_cut(b);
    for (int i = 0; i < CONNS_MAX; i++) {
        if (b->conns[i].started)
            pthread_join(b->conns[i].thread, NULL);
        b->conns[i].started = 0;
    }
}

static void broker_start(struct broker *b)
{
    atomic_store(&b->stopping, 0);
    b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(b->listener >= 0);
    assert_int_equal(bind(b->listener, (const struct sockaddr *)&b->address, sizeof(b->address)),
                     0);
    assert_int_equal(listen(b->listener, 64), 0);
    assert_int_equal(pthread_create(&b->thread, NULL, broker_main, b), 0);
}

/* To all who watch, or want lines. */
static void broker_tell(struct broker *b, struct ccs_wire_message *m)
{
    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < CONNS_MAX; i++) {
        struct conn *c = &b->conns[i];

        if (c->fd < 0 || (m->type == CCS_WIRE_LOG ? !c->wants_log : c->watch_id == 0))
            continue;
        m->id = m->type == CCS_WIRE_LOG ? 0 : c->watch_id;
        (void)send_message(c->fd, m);
    }
    pthread_mutex_unlock(&b->lock);
}

static void broker_event(struct broker *b, enum ccs_event_kind kind, const char *file)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_EVENT, .event = kind};

    if (file != NULL)
        m.text = (struct ccs_wire_text){file, strlen(file)};
    broker_tell(b, &m);
}

static unsigned broker_open(struct broker *b)
{
    unsigned n = 0;

    pthread_mutex_lock(&b->lock);
    for (int i = 0; i < CONNS_MAX; i++)
        n += b->conns[i].fd >= 0;
    pthread_mutex_unlock(&b->lock);
    return n;
}

/* -- the fixture ------------------------------------------------------------------------------- */

struct fixture {
    struct ccs_tmp tmp;
    struct broker broker;
    struct ccs_store *store;
    struct ccs_error err;
    unsigned events[4];
    char last[CCS_FILE_NAME_SIZE];
};

static const struct ccs_store_agent_times patient = {
    .call_ms = 60000, .list_ms = 120000, .retry_ms = 50};

static void set_call_ms(struct fixture *f, int64_t ms)
{
    const struct ccs_store_agent_times times = {.call_ms = ms, .list_ms = ms, .retry_ms = 20};

    ccs_store_agent_set_times(f->store, &times);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    ccs_tmp_make(&f->tmp);
    f->broker.address.sun_family = AF_UNIX;
    (void)snprintf(f->broker.address.sun_path, sizeof(f->broker.address.sun_path), "%.90s/agent",
                   f->tmp.path);
    f->broker.fake = fake_store_new();
    pthread_mutex_init(&f->broker.lock, NULL);
    for (int i = 0; i < CONNS_MAX; i++)
        f->broker.conns[i].fd = -1;
    broker_start(&f->broker);
    assert_int_equal(
        ccs_store_agent_open(NULL, f->broker.address.sun_path, LOCATION, &f->store, NULL), CCS_OK);
    ccs_store_agent_set_times(f->store, &patient);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    broker_stop(&f->broker);
    ccs_store_close(f->store);
    fake_store_free(f->broker.fake);
    pthread_mutex_destroy(&f->broker.lock);
    ccs_tmp_remove(&f->tmp);
    free(f);
    return 0;
}

static void put(struct fixture *f, const char *file, const char *text)
{
    fake_store_put(f->broker.fake, file, text, strlen(text));
}

static void assert_reads(struct fixture *f, const char *file, const char *text)
{
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct ccs_stamp want;

    assert_int_equal(ccs_store_read(f->store, file, MIB, &data, &stamp, &f->err), CCS_OK);
    assert_int_equal(data.len, strlen(text));
    assert_string_equal((const char *)data.data, text);
    assert_true(fake_store_stamp(f->broker.fake, file, &want));
    assert_true(ccs_stamp_equal(&stamp, &want));
    ccs_secret_free(&data);
}

static int probe(struct fixture *f)
{
    struct ccs_root root;

    return ccs_store_probe(f->store, &root, &f->err);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* -- calls ------------------------------------------------------------------------------------- */

static void test_calls(void **state)
{
    struct fixture *f = *state;
    const struct ccs_root root = {7, 8, 9, -10, true};
    struct ccs_root got;
    struct ccs_stamp stamp;
    struct ccs_stamp want;

    put(f, "www.example.com.pfx", "one");
    put(f, "other.pfx", "two");
    assert_reads(f, "www.example.com.pfx", "one");
    assert_reads(f, "other.pfx", "two");
    assert_int_equal(ccs_store_stat(f->store, "other.pfx", &stamp, &f->err), CCS_OK);
    assert_true(fake_store_stamp(f->broker.fake, "other.pfx", &want));
    assert_true(ccs_stamp_equal(&stamp, &want));
    fake_store_set_root(f->broker.fake, &root);
    assert_int_equal(ccs_store_probe(f->store, &got, &f->err), CCS_OK);
    assert_int_equal(got.device, 7);
    assert_int_equal(got.file_id, 8);
    assert_int_equal(got.fs_type, 9);
    assert_int_equal(got.mtime_ns, -10);
    assert_true(got.notifies);
    assert_int_equal(atomic_load(&f->broker.connects), 1);
}

static void test_file_errors(void **state)
{
    static const int codes[] = {CCS_ENOTFOUND, CCS_EACCESS,     CCS_EFILETYPE,
                                CCS_ETOOBIG,   CCS_EINCOMPLETE, CCS_ECHANGED};
    static const int others[] = {CCS_EUNAVAIL, CCS_ETIMEDOUT, CCS_EBUSY,    CCS_ECANCELED,
                                 CCS_ECLOSED,  CCS_EINVAL,    CCS_EPASSWORD};
    struct fixture *f = *state;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;

    put(f, "a.pfx", "text");
    for (size_t i = 0; i < CCS_ARRAY_LEN(codes); i++) {
        fake_store_fail_file(f->broker.fake, "a.pfx", FAKE_READ, codes[i], 1);
        assert_int_equal(ccs_store_read(f->store, "a.pfx", MIB, &data, &stamp, &f->err), codes[i]);
        assert_int_equal(f->err.code, codes[i]);
        assert_int_equal(f->err.sys_errno, 5);
        assert_null(data.data);
        assert_int_equal(stamp.size, 4); /* with the error came what the file is */
    }
    for (size_t i = 0; i < CCS_ARRAY_LEN(others); i++) {
        atomic_store(&f->broker.fail_code, others[i]);
        assert_int_equal(ccs_store_read(f->store, "a.pfx", MIB, &data, &stamp, &f->err),
                         CCS_EUNAVAIL);
        assert_string_equal(f->err.text, "as the test says");
        assert_int_equal(stamp.size, 0);
        assert_int_equal(probe(f), CCS_EUNAVAIL);
        assert_int_equal(ccs_store_stat(f->store, "a.pfx", &stamp, NULL), CCS_EUNAVAIL);
    }
    atomic_store(&f->broker.fail_code, CCS_OK);
    assert_reads(f, "a.pfx", "text");
    assert_int_equal(atomic_load(&f->broker.connects), 1); /* an error is an answer */
}

static void test_names_that_cannot_be(void **state)
{
    static const char *const bad[] = {"a.txt", "a\\b.pfx", "a*.pfx", ".pfx"};
    struct fixture *f = *state;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;

    for (size_t i = 0; i < CCS_ARRAY_LEN(bad); i++) {
        assert_int_equal(ccs_store_stat(f->store, bad[i], &stamp, &f->err), CCS_ENOTFOUND);
        assert_int_equal(ccs_store_read(f->store, bad[i], MIB, &data, &stamp, &f->err),
                         CCS_ENOTFOUND);
    }
    assert_int_equal(ccs_store_stat(f->store, "../a.pfx", &stamp, &f->err), CCS_EINVAL);
    assert_int_equal(atomic_load(&f->broker.requests), 0);
}

static void test_large_file(void **state)
{
    struct fixture *f = *state;
    char *text = malloc(MIB + 1);
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;

    assert_non_null(text);
    memset(text, 'x', MIB);
    text[MIB] = '\0';
    put(f, "a.pfx", text);
    assert_reads(f, "a.pfx", text);
    assert_int_equal(ccs_store_read(f->store, "a.pfx", MIB - 1, &data, &stamp, &f->err),
                     CCS_ETOOBIG);
    assert_int_equal(stamp.size, MIB);
    free(text);
}

struct listed {
    unsigned seen;
    unsigned sum;
    unsigned stop_at;
};

static int on_listed(const char *file, size_t len, void *arg)
{
    struct listed *l = arg;

    assert_int_equal(file[len], '\0');
    l->sum += (unsigned)atoi(file + 1);
    return ++l->seen == l->stop_at;
}

static void test_listing(void **state)
{
    struct fixture *f = *state;
    struct listed l = {0};
    char file[64];

    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_OK);
    assert_int_equal(l.seen, 0);
    for (unsigned i = 1; i <= 500; i++) {
        (void)snprintf(file, sizeof(file), "n%u.pfx", i);
        put(f, file, "x");
    }
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_OK);
    assert_int_equal(l.seen, 500);
    assert_int_equal(l.sum, 500 * 501 / 2);
    l = (struct listed){.stop_at = 3};
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_OK);
    assert_int_equal(l.seen, 3);
    assert_reads(f, "n7.pfx", "x"); /* not what was left of the listing */
    fake_store_set_op_error(f->broker.fake, FAKE_LIST, CCS_EUNAVAIL);
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_EUNAVAIL);
}

/* What came of it was passed on already, so it cannot begin again. */
static void test_listing_breaks(void **state)
{
    struct fixture *f = *state;
    struct listed l = {0};

    put(f, "n1.pfx", "x");
    atomic_store(&f->broker.mode, BREAK_LIST);
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, LOCATION);
    assert_int_equal(l.seen, 1);
    assert_int_equal(atomic_load(&f->broker.requests), 1);
    atomic_store(&f->broker.mode, ANSWER);
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_OK);
    assert_int_equal(l.seen, 2);
}

/* -- an agent that fails ----------------------------------------------------------------------- */

static void test_broker_starts_anew(void **state)
{
    struct fixture *f = *state;

    put(f, "a.pfx", "text");
    for (int i = 0; i < 5; i++) {
        assert_reads(f, "a.pfx", "text");
        broker_stop(&f->broker);
        broker_start(&f->broker);
    }
    assert_reads(f, "a.pfx", "text");
    for (int i = 0; i < 5; i++) {
        atomic_store(&f->broker.hang_ups, 1 + i);
        atomic_store(&f->broker.mode, HANG_UP);
        assert_reads(f, "a.pfx", "text");
        assert_int_equal(atomic_load(&f->broker.mode), ANSWER);
    }
}

static void test_no_agent(void **state)
{
    struct fixture *f = *state;
    struct ccs_store *store;

    assert_int_equal(probe(f), CCS_OK);
    broker_stop(&f->broker);
    assert_int_equal(probe(f), CCS_EUNAVAIL);
    assert_contains(f->err.text, LOCATION);
    assert_contains(f->err.text, f->broker.address.sun_path);
    assert_int_equal(f->err.sys_errno, ENOENT);
    assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_EUNAVAIL);
    assert_int_equal(ccs_store_watch_fd(f->store), -1);
    assert_int_equal(ccs_store_agent_open(NULL, NULL, LOCATION, &store, &f->err), CCS_EUNAVAIL);
    broker_start(&f->broker);
    assert_int_equal(probe(f), CCS_OK);
}

static void test_hung_agent(void **state)
{
    struct fixture *f = *state;
    struct listed l = {0};

    set_call_ms(f, 50);
    atomic_store(&f->broker.mode, HANG);
    assert_int_equal(probe(f), CCS_EUNAVAIL);
    assert_contains(f->err.text, "in time");
    assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_EUNAVAIL);
    assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_EUNAVAIL);
    ccs_store_agent_set_times(f->store, &patient);
    atomic_store(&f->broker.mode, ANSWER);
    assert_int_equal(probe(f), CCS_OK);
}

static void test_agent_without_sense(void **state)
{
    static const enum mode modes[] = {REFUSE, OTHER_VERSION, GARBAGE, WRONG_TYPE};
    static const char *const texts[] = {"no such store", "another version", "no answer",
                                        "no answer"};
    struct fixture *f = *state;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct listed l = {0};

    put(f, "a.pfx", "text");
    for (size_t i = 0; i < CCS_ARRAY_LEN(modes); i++) {
        broker_cut(&f->broker); /* so that it introduces itself again */
        atomic_store(&f->broker.mode, modes[i]);
        assert_int_equal(probe(f), CCS_EUNAVAIL);
        assert_contains(f->err.text, texts[i]);
        assert_int_equal(ccs_store_read(f->store, "a.pfx", MIB, &data, &stamp, &f->err),
                         CCS_EUNAVAIL);
        assert_int_equal(ccs_store_stat(f->store, "a.pfx", &stamp, &f->err), CCS_EUNAVAIL);
        assert_int_equal(ccs_store_list(f->store, on_listed, &l, &f->err), CCS_EUNAVAIL);
        assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_EUNAVAIL);
        assert_int_equal(ccs_store_watch_fd(f->store), -1);
        atomic_store(&f->broker.mode, ANSWER);
        assert_reads(f, "a.pfx", "text");
    }
}

/* -- watching ---------------------------------------------------------------------------------- */

static void on_event(enum ccs_event_kind kind, const char *file, void *arg)
{
    struct fixture *f = arg;

    f->events[kind]++;
    (void)snprintf(f->last, sizeof(f->last), "%s", file != NULL ? file : "");
}

/* Reads until there were so many of the kind; only ever when the descriptor says so. */
static void await_events(struct fixture *f, enum ccs_event_kind kind, unsigned n)
{
    const double end = ccs_wait_clock() + ccs_wait_scaled(CCS_WAIT_DEFAULT);

    while (f->events[kind] < n) {
        struct pollfd p = {.fd = ccs_store_watch_fd(f->store), .events = POLLIN};

        if (ccs_wait_clock() > end)
            fail_msg("%u events of kind %d, not %u", f->events[kind], (int)kind, n);
        assert_true(p.fd >= 0);
        if (poll(&p, 1, 100) > 0)
            ccs_store_watch_read(f->store, on_event, f);
    }
    assert_int_equal(f->events[kind], n);
}

static void test_watching(void **state)
{
    struct fixture *f = *state;
    char file[64];

    assert_int_equal(ccs_store_watch_fd(f->store), -1);
    ccs_store_watch_read(f->store, on_event, f);
    assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_OK);
    ccs_store_watch_read(f->store, on_event, f); /* does not wait */
    broker_event(&f->broker, CCS_EVENT_ARRIVED, "www.example.com.pfx");
    await_events(f, CCS_EVENT_ARRIVED, 1);
    assert_string_equal(f->last, "www.example.com.pfx");
    broker_event(&f->broker, CCS_EVENT_REMOVED, "gone.pfx");
    await_events(f, CCS_EVENT_REMOVED, 1);
    assert_string_equal(f->last, "gone.pfx");
    broker_event(&f->broker, CCS_EVENT_OVERFLOW, NULL);
    await_events(f, CCS_EVENT_OVERFLOW, 1);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(file, sizeof(file), "n%d.pfx", i);
        broker_event(&f->broker, CCS_EVENT_ARRIVED, file);
        if (i % 100 == 99)
            await_events(f, CCS_EVENT_ARRIVED, (unsigned)i + 2);
    }
    assert_string_equal(f->last, "n999.pfx");
    broker_event(&f->broker, CCS_EVENT_ROOT_GONE, NULL);
    await_events(f, CCS_EVENT_ROOT_GONE, 1);
    assert_int_equal(ccs_store_watch_fd(f->store), -1);
    ccs_store_watch_read(f->store, on_event, f);
    assert_int_equal(f->events[CCS_EVENT_ROOT_GONE], 1);
}

static void test_watching_ends_with_the_broker(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_OK);
        assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_OK);
        broker_event(&f->broker, CCS_EVENT_ARRIVED, "a.pfx");
        await_events(f, CCS_EVENT_ARRIVED, i);
        broker_cut(&f->broker);
        await_events(f, CCS_EVENT_ROOT_GONE, i);
        assert_int_equal(ccs_store_watch_fd(f->store), -1);
    }
}

static char logged[3][64];
static unsigned logged_count;

static void on_line(enum ccs_level level, const char *line, void *arg)
{
    (void)arg;
    if (logged_count < CCS_ARRAY_LEN(logged))
        (void)snprintf(logged[logged_count], sizeof(logged[0]), "%d %s", (int)level, line);
    logged_count++;
}

static void test_log_lines(void **state)
{
    struct fixture *f = *state;
    struct ccs_log *log = ccs_log_new(CCS_LOG_INFO, on_line, NULL, 0, NULL, NULL);
    struct ccs_wire_message m = {.type = CCS_WIRE_LOG};

    assert_non_null(log);
    logged_count = 0;
    ccs_store_set_log(f->store, log);
    assert_int_equal(ccs_store_watch_start(f->store, &f->err), CCS_OK);
    m.level = CCS_LOG_WARN;
    m.text = (struct ccs_wire_text){"logon\nrefused", 13};
    broker_tell(&f->broker, &m);
    m.level = CCS_LOG_DEBUG;
    broker_tell(&f->broker, &m);
    m.level = CCS_LOG_ERROR;
    m.text = (struct ccs_wire_text){"100%s", 5};
    broker_tell(&f->broker, &m);
    broker_event(&f->broker, CCS_EVENT_ARRIVED, "a.pfx");
    await_events(f, CCS_EVENT_ARRIVED, 1);
    assert_int_equal(logged_count, 2);
    assert_string_equal(logged[0], "1 logon\\x0arefused");
    assert_string_equal(logged[1], "0 100%s");
    ccs_store_set_log(f->store, NULL);
    ccs_log_free(log);
}

/* -- many at once ------------------------------------------------------------------------------ */

#define CALLERS 12
#define ROUNDS  60

struct caller {
    struct fixture *f;
    pthread_t thread;
    unsigned number;
    unsigned wrong;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct ccs_secret data = {0};
    struct ccs_stamp stamp;
    struct ccs_root root;
    char file[64];
    char text[64];

    (void)snprintf(file, sizeof(file), "n%u.pfx", c->number);
    (void)snprintf(text, sizeof(text), "text %u", c->number);
    for (int i = 0; i < ROUNDS; i++) {
        if (ccs_store_read(c->f->store, file, MIB, &data, &stamp, NULL) != CCS_OK ||
            data.len != strlen(text) || memcmp(data.data, text, data.len) != 0)
            c->wrong++;
        ccs_secret_free(&data);
        if (ccs_store_stat(c->f->store, "none.pfx", &stamp, NULL) != CCS_ENOTFOUND ||
            ccs_store_probe(c->f->store, &root, NULL) != CCS_OK)
            c->wrong++;
    }
    return NULL;
}

static int few_are_left(void *arg)
{
    return broker_open(arg) <= 8;
}

static void run_callers(struct fixture *f, int cuts)
{
    struct caller callers[CALLERS];
    char text[64];
    char file[64];

    for (unsigned i = 0; i < CALLERS; i++) {
        (void)snprintf(file, sizeof(file), "n%u.pfx", i);
        (void)snprintf(text, sizeof(text), "text %u", i);
        put(f, file, text);
        callers[i] = (struct caller){.f = f, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < cuts; i++) {
        ccs_wait_pass(3);
        broker_cut(&f->broker);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    assert_true(ccs_wait_until(few_are_left, &f->broker, 0));
}

static void test_many_callers(void **state)
{
    run_callers(*state, 0);
}

static void test_many_callers_and_a_dying_broker(void **state)
{
    run_callers(*state, 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_calls),
        TEST(test_file_errors),
        TEST(test_names_that_cannot_be),
        TEST(test_large_file),
        TEST(test_listing),
        TEST(test_listing_breaks),
        TEST(test_broker_starts_anew),
        TEST(test_no_agent),
        TEST(test_hung_agent),
        TEST(test_agent_without_sense),
        TEST(test_watching),
        TEST(test_watching_ends_with_the_broker),
        TEST(test_log_lines),
        TEST(test_many_callers),
        TEST(test_many_callers_and_a_dying_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
