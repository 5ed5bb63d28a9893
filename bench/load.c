/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/err.h>

#define EVENTS_MAX      256
#define TIMEOUT_DEFAULT 10000
#define NS_PER_MS       1000000
#define NS_PER_S        1000000000

struct load {
    const struct ccs_load_spec *spec;
    struct ccs_load_result *result;
    SSL_CTX *ctx;
    int epoll;
    struct sockaddr_in to;
    struct ccs_conn *conns;
    struct ccs_conns unused;
    struct ccs_conns busy; /* in the order of their beginning */
    unsigned busy_count;
    int64_t begin_ns;
    uint64_t due; /* begins that a rate has called for so far */
    uint64_t random;
};

void ccs_load_raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max < 65536 && geteuid() == 0)
        limit.rlim_max = 65536;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static SSL_CTX *context_new(const struct ccs_load_spec *spec)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if ((spec->version != 0 && (SSL_CTX_set_min_proto_version(ctx, spec->version) != 1 ||
                                SSL_CTX_set_max_proto_version(ctx, spec->version) != 1)) ||
        (spec->groups != NULL && SSL_CTX_set1_groups_list(ctx, spec->groups) != 1)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int prepare(struct load *load)
{
    const struct ccs_load_spec *spec = load->spec;
    unsigned n = spec->concurrency > 0 ? spec->concurrency : 1;

    TAILQ_INIT(&load->unused);
    TAILQ_INIT(&load->busy);
    load->random = 0x2545f4914f6cdd1d;
    load->to.sin_family = AF_INET;
    load->to.sin_port = htons((uint16_t)spec->port);
    if (inet_pton(AF_INET, spec->address != NULL ? spec->address : "127.0.0.1",
                  &load->to.sin_addr) != 1) {
        fprintf(stderr, "%s: not an IPv4 address\n", spec->address);
        return -1;
    }
    load->ctx = context_new(spec);
    if (load->ctx == NULL) {
        ERR_print_errors_fp(stderr);
        return -1;
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->conns = n <= CCS_LOAD_CONCURRENCY_MAX ? calloc(n, sizeof(*load->conns)) : NULL;
    if (load->epoll < 0 || load->conns == NULL) {
        fprintf(stderr, "no resources for %u connections: %s\n", n, strerror(errno));
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        load->conns[i].fd = -1;
        TAILQ_INSERT_TAIL(&load->unused, &load->conns[i], link);
    }
    return 0;
}

static void release(struct load *load)
{
    struct ccs_conn *conn;

    if (load->conns != NULL) {
        TAILQ_FOREACH(conn, &load->busy, link)
        ccs_conn_close(conn);
    }
    free(load->conns);
    if (load->epoll >= 0)
        close(load->epoll);
    SSL_CTX_free(load->ctx);
}

static void count(struct load *load, struct ccs_conn *conn)
{
    struct ccs_load_result *result = load->result;
    double us = (double)(conn->end_ns - conn->due_ns) / 1e3;

    result->counts.ends[conn->end]++;
    if (conn->end == CCS_CONN_SERVED || conn->end == CCS_CONN_WRONG)
        ccs_samples_add(&result->served_us, us);
    if (conn->end == CCS_CONN_WRONG && result->wrong_name[0] == '\0')
        memcpy(result->wrong_name, conn->name, sizeof(result->wrong_name));
    if (conn->end == CCS_CONN_ALERT) {
        result->counts.alerts[conn->alert]++;
        ccs_samples_add(&result->refused_us, us);
    }
}

static void finish(struct load *load, struct ccs_conn *conn)
{
    count(load, conn);
    ccs_conn_close(conn);
    TAILQ_REMOVE(&load->busy, conn, link);
    TAILQ_INSERT_HEAD(&load->unused, conn, link);
    load->busy_count--;
}

static void step(struct load *load, struct ccs_conn *conn)
{
    ccs_conn_step(conn, load->spec->unchecked);
    if (!conn->open)
        finish(load, conn);
}

static uint64_t next_number(struct load *load)
{
    if (!load->spec->shuffled)
        return load->spec->first + load->result->counts.begun;
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

static void begin(struct load *load, int64_t due_ns)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct ccs_conn *conn = TAILQ_FIRST(&load->unused);
    double late;

    TAILQ_REMOVE(&load->unused, conn, link);
    TAILQ_INSERT_TAIL(&load->busy, conn, link);
    load->busy_count++;
    ccs_names_get(load->spec->names, next_number(load), conn->name);
    load->result->counts.begun++;
    ccs_conn_begin(conn, load->ctx, &load->to);
    conn->due_ns = due_ns != 0 ? due_ns : conn->begin_ns;
    late = (double)(conn->begin_ns - conn->due_ns) / 1e3;
    if (late > load->result->counts.late_max_us)
        load->result->counts.late_max_us = late;

    event.data.ptr = conn;
    if (conn->open && epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        conn->end = CCS_CONN_FAILED;
        conn->end_ns = conn->begin_ns;
        conn->open = 0;
    }
    if (conn->open)
        step(load, conn);
    else
        finish(load, conn);
}

/* Whether there is more to begin, now or later. */
static int more(const struct load *load, int64_t now)
{
    const struct ccs_load_spec *spec = load->spec;
    uint64_t so_far = load->result->counts.begun + load->result->counts.skipped;

    return (spec->handshakes == 0 || so_far < spec->handshakes) &&
           (spec->seconds <= 0 || now - load->begin_ns < (int64_t)(spec->seconds * NS_PER_S)) &&
           (spec->stop == NULL || !*spec->stop);
}

static int64_t due_ns(const struct load *load)
{
    return load->begin_ns + (int64_t)((double)load->due * NS_PER_S / load->spec->rate);
}

static void begin_all(struct load *load)
{
    int64_t now = ccs_usage_clock_ns();

    if (load->spec->rate <= 0) {
        while (!TAILQ_EMPTY(&load->unused) && more(load, now)) {
            begin(load, 0);
            now = ccs_usage_clock_ns();
        }
        return;
    }
    while (more(load, now) && due_ns(load) <= now) {
        if (TAILQ_EMPTY(&load->unused))
            load->result->counts.skipped++;
        else
            begin(load, due_ns(load));
        load->due++;
        now = ccs_usage_clock_ns();
    }
}

/* Ends those that took too long; they are in the order of their beginning. */
static int64_t expire(struct load *load, int64_t now)
{
    int ms = load->spec->timeout_ms > 0 ? load->spec->timeout_ms : TIMEOUT_DEFAULT;
    int64_t limit = (int64_t)ms * NS_PER_MS;
    struct ccs_conn *conn;

    while ((conn = TAILQ_FIRST(&load->busy)) != NULL && now - conn->begin_ns >= limit) {
        /* One whose handshake is over, but that the server does not close, counts as what it was.
         */
        if (conn->end == CCS_CONN_NONE) {
            conn->end = CCS_CONN_TIMEOUT;
            conn->end_ns = now;
        }
        finish(load, conn);
    }
    return conn != NULL ? conn->begin_ns + limit : INT64_MAX;
}

static void wait_for_events(struct load *load, int64_t until)
{
    int64_t left = until - ccs_usage_clock_ns();
    struct epoll_event events[EVENTS_MAX];
    struct timespec ts;
    int n;

    if (left < 0)
        left = 0;
    if (left > NS_PER_S / 10)
        left = NS_PER_S / 10; /* so that spec->stop is seen */
    ts.tv_sec = 0;
    ts.tv_nsec = (long)left;
    n = epoll_pwait2(load->epoll, events, EVENTS_MAX, &ts, NULL);
    for (int i = 0; i < n; i++) {
        struct ccs_conn *conn = events[i].data.ptr;

        if (conn->fd >= 0)
            step(load, conn);
    }
}

static void run(struct load *load)
{
    int64_t now = ccs_usage_clock_ns(), next;

    load->begin_ns = now;
    while (more(load, now) || load->busy_count > 0) {
        begin_all(load);
        now = ccs_usage_clock_ns();
        next = expire(load, now);
        if (load->spec->rate > 0 && more(load, now) && due_ns(load) < next)
            next = due_ns(load);
        if (load->busy_count > 0 || (load->spec->rate > 0 && more(load, now)))
            wait_for_events(load, next);
        now = ccs_usage_clock_ns();
    }
    load->result->counts.seconds = (double)(now - load->begin_ns) / NS_PER_S;
}

int ccs_load_run(const struct ccs_load_spec *spec, struct ccs_load_result *result)
{
    struct load load = {.spec = spec, .result = result, .epoll = -1};
    struct ccs_usage before, after;
    int rv;

    memset(result, 0, sizeof(*result));
    rv = prepare(&load);
    if (rv == 0) {
        ccs_usage_read(spec->pids, spec->pid_count, &before);
        run(&load);
        ccs_usage_read(spec->pids, spec->pid_count, &after);
        result->counts.usage = ccs_usage_since(&after, &before);
    }
    release(&load);
    return rv;
}

void ccs_load_result_clear(struct ccs_load_result *result)
{
    ccs_samples_clear(&result->served_us);
    ccs_samples_clear(&result->refused_us);
}
