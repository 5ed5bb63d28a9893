/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's view of a store: who is asked what and when, with this test in the place of the
 * supervisor, of the processes that touch the store, and of clients.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "share.h"

#define CLIENTS 3
#define WAIT_MS 60000

struct fixture {
    struct ccs_agent_setup setup;
    struct agent_broker broker;
    struct agent_share *share;
    struct agent_client *client[CLIENTS];
    struct agent_stream answers[CLIENTS]; /* the clients' ends */
    struct agent_stream member[AGENT_ROLES];
    int orders;
    unsigned asked_for[AGENT_ROLES]; /* START orders that came */
};

static void pair_of(int type, int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd[2];

    assert_non_null(f);
    f->setup.stores = 1;
    f->setup.store[0].wait_ms = 5000;
    snprintf(f->setup.store[0].location, sizeof(f->setup.store[0].location), "//server/certs");
    f->broker.setup = &f->setup;
    LIST_INIT(&f->broker.clients);
    pair_of(SOCK_SEQPACKET, fd);
    f->broker.orders = fd[0];
    f->orders = fd[1];
    f->share = agent_share_new(&f->broker, 0);
    assert_non_null(f->share);
    f->broker.share[0] = f->share;
    for (int i = 0; i < CLIENTS; i++) {
        pair_of(SOCK_STREAM, fd);
        agent_client_new(&f->broker, fd[0]);
        f->client[i] = LIST_FIRST(&f->broker.clients);
        f->client[i]->share = f->share;
        agent_stream_init(&f->answers[i], fd[1], CCS_WIRE_TO_CLIENT);
    }
    for (int i = 0; i < AGENT_ROLES; i++)
        agent_stream_init(&f->member[i], -1, CCS_WIRE_TO_AGENT);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct agent_job *job;

    for (int i = 0; i < CLIENTS; i++) {
        agent_client_free(f->client[i]);
        agent_stream_close(&f->answers[i]);
    }
    for (int i = 0; i < AGENT_ROLES; i++)
        agent_stream_close(&f->member[i]);
    agent_stream_close(&f->share->worker.stream);
    agent_stream_close(&f->share->watcher.stream);
    agent_stream_close(&f->share->lister.stream);
    agent_found_drop(f->share);
    agent_listing_unref(f->share->listing);
    while ((job = TAILQ_FIRST(&f->share->jobs)) != NULL) {
        TAILQ_REMOVE(&f->share->jobs, job, link);
        free(job);
    }
    while (f->broker.kept_count > 0) {
        agent_body_unref(f->broker.kept[f->broker.kept_first]);
        f->broker.kept_first = (f->broker.kept_first + 1) % AGENT_LOG_KEPT;
        f->broker.kept_count--;
    }
    free(f->share);
    close(f->broker.orders);
    close(f->orders);
    free(f);
    return 0;
}

/* -- this test as the others --------------------------------------------------------------- */

static struct agent_link *link_of(const struct fixture *f, enum agent_role role)
{
    struct agent_share *s = f->share;

    return role == AGENT_WORKER ? &s->worker : role == AGENT_WATCHER ? &s->watcher : &s->lister;
}

/* How many processes of this role the broker has asked for so far. */
static unsigned starts(struct fixture *f, enum agent_role role)
{
    struct agent_order order;
    int fd;

    while (agent_order_receive(f->orders, &order, &fd) == CCS_OK) {
        assert_int_equal(fd, -1);
        if (order.kind == AGENT_ORDER_START)
            f->asked_for[order.role]++;
    }
    return f->asked_for[role];
}

static void start(struct fixture *f, enum agent_role role)
{
    int fd[2];

    assert_int_equal(link_of(f, role)->state, AGENT_LINK_STARTING);
    pair_of(SOCK_STREAM, fd);
    agent_stream_close(&f->member[role]);
    agent_stream_init(&f->member[role], fd[1], CCS_WIRE_TO_AGENT);
    agent_link_started(link_of(f, role), 1, fd[0]);
    agent_share_due(f->share, ccs_now_ms());
}

static void say(struct fixture *f, enum agent_role role, const struct ccs_wire_message *m)
{
    assert_int_equal(agent_stream_send(&f->member[role], m), CCS_OK);
    assert_int_equal(agent_stream_flush(&f->member[role]), CCS_OK);
    agent_link_ready(link_of(f, role), POLLIN);
}

/* The next message of a stream; 0 if there is none. What it borrows is gone with the next call. */
static int next(struct agent_stream *s, struct ccs_wire_message *m)
{
    static uint8_t kept[4096];
    const uint8_t *octets;
    size_t len, used;

    (void)agent_stream_fill(s);
    if (agent_stream_next(s, m, &octets, &len) != CCS_OK)
        return 0;
    assert_true(len <= sizeof(kept));
    memcpy(kept, octets, len);
    agent_stream_done(s, len);
    assert_int_equal(ccs_wire_decode(s->side, kept, len, m, &used), CCS_OK);
    return 1;
}

/* What the worker is asked, of which type it must be. Its id. */
static uint32_t question(struct fixture *f, enum ccs_wire_type type, const char *file)
{
    struct ccs_wire_message m = {0};

    assert_int_equal(next(&f->member[AGENT_WORKER], &m), 1);
    assert_int_equal(m.type, type);
    assert_int_equal(m.text.len, strlen(file));
    if (m.text.len > 0)
        assert_memory_equal(m.text.data, file, m.text.len);
    return m.id;
}

static void answer(struct fixture *f, uint32_t id, struct ccs_wire_message m)
{
    m.id = id;
    say(f, AGENT_WORKER, &m);
}

static void answer_error(struct fixture *f, uint32_t id, int code, int errnum)
{
    answer(f, id,
           (struct ccs_wire_message){
               .type = CCS_WIRE_ERROR, .code = code, .sys_errno = errnum, .text = {"no", 2}});
}

static struct ccs_wire_message root_at(int64_t mtime)
{
    return (struct ccs_wire_message){.type = CCS_WIRE_ROOT,
                                     .root = {.file_id = 7, .mtime_ns = mtime, .notifies = true}};
}

/* -- this test as clients ------------------------------------------------------------------ */

static struct ccs_wire_message request(enum ccs_wire_type type, uint32_t id, const char *file)
{
    return (struct ccs_wire_message){
        .type = type, .id = id, .timeout_ms = WAIT_MS, .text = {file, strlen(file)}};
}

static void stat_file(struct fixture *f, int client, uint32_t id, const char *file)
{
    const struct ccs_wire_message m = request(CCS_WIRE_STAT, id, file);

    agent_share_ask(f->share, f->client[client], &m);
}

static void list(struct fixture *f, int client, uint32_t id)
{
    const struct ccs_wire_message m = request(CCS_WIRE_LIST, id, "");

    agent_listing_ask(f->share, f->client[client], &m);
}

static void watch(struct fixture *f, int client, uint32_t id)
{
    const struct ccs_wire_message m = request(CCS_WIRE_WATCH, id, "");

    agent_watch_ask(f->share, f->client[client], &m);
}

static void expect(struct fixture *f, int client, enum ccs_wire_type type, uint32_t id, int code)
{
    struct ccs_wire_message m = {0};

    assert_int_equal(next(&f->answers[client], &m), 1);
    assert_int_equal(m.type, type);
    assert_int_equal(m.id, id);
    assert_int_equal(m.code, code);
}

static void expect_nothing(struct fixture *f, int client)
{
    struct ccs_wire_message m;

    assert_int_equal(next(&f->answers[client], &m), 0);
}

/* -- requests ------------------------------------------------------------------------------ */

/* Those who ask alike while the question waits share the answer; one who asks later does not. */
static void test_shared(void **state)
{
    const struct ccs_wire_message stamp = {.type = CCS_WIRE_STAMP};
    struct fixture *f = *state;
    uint32_t id;

    stat_file(f, 0, 1, "a.pfx");
    assert_int_equal(starts(f, AGENT_WORKER), 1);
    stat_file(f, 1, 5, "a.pfx");
    start(f, AGENT_WORKER);
    id = question(f, CCS_WIRE_STAT, "a.pfx");
    stat_file(f, 2, 9, "a.pfx");
    stat_file(f, 2, 10, "b.pfx");
    stat_file(f, 0, 2, "b.pfx");
    answer(f, id, stamp);
    expect(f, 0, CCS_WIRE_STAMP, 1, 0);
    expect(f, 1, CCS_WIRE_STAMP, 5, 0);
    expect_nothing(f, 2);
    answer(f, question(f, CCS_WIRE_STAT, "a.pfx"), stamp);
    expect(f, 2, CCS_WIRE_STAMP, 9, 0);
    answer_error(f, question(f, CCS_WIRE_STAT, "b.pfx"), CCS_ENOTFOUND, ENOENT);
    expect(f, 2, CCS_WIRE_ERROR, 10, CCS_ENOTFOUND);
    expect(f, 0, CCS_WIRE_ERROR, 2, CCS_ENOTFOUND);
    assert_int_equal(f->share->count.shared, 2);
    assert_int_equal(f->share->count.asked, 3);
    assert_false(f->share->down);
    assert_int_equal(f->client[0]->pending + f->client[1]->pending + f->client[2]->pending, 0);
}

/* A process that cannot be started, however long, fills no memory. */
static void test_bounded(void **state)
{
    struct fixture *f = *state;
    char file[20];
    uint32_t id = 0;

    while (f->share->job_count < 4096) {
        snprintf(file, sizeof(file), "%u.pfx", id);
        stat_file(f, 0, ++id, file);
        assert_true(id <= 4096);
    }
    stat_file(f, 1, 1, "one-more.pfx");
    expect(f, 1, CCS_WIRE_ERROR, 1, CCS_EBUSY);
    /* What is asked for already takes no more room. */
    stat_file(f, 1, 2, "0.pfx");
    expect_nothing(f, 1);
    agent_share_cancel(f->share, f->client[0], 4096);
    agent_share_due(f->share, ccs_now_ms());
    assert_int_equal(f->share->job_count, 4095);
    agent_share_forget(f->share, f->client[0]);
    agent_share_due(f->share, ccs_now_ms());
    assert_int_equal(f->share->job_count, 1);
    agent_share_due(f->share, ccs_now_ms() + WAIT_MS + 1);
    expect(f, 1, CCS_WIRE_ERROR, 2, CCS_ETIMEDOUT);
    assert_int_equal(f->client[1]->pending, 0);
}

/* A question that no process survives is given up, and the next one is asked. */
static void test_deadly(void **state)
{
    struct fixture *f = *state;

    stat_file(f, 0, 1, "deadly.pfx");
    stat_file(f, 0, 2, "fine.pfx");
    for (unsigned i = 1; i <= 3; i++) {
        /* The first successor comes at once, later ones after a pause. */
        agent_share_due(f->share, ccs_now_ms());
        f->share->worker.retry_at = 0;
        agent_share_due(f->share, ccs_now_ms());
        assert_int_equal(starts(f, AGENT_WORKER), i);
        start(f, AGENT_WORKER);
        (void)question(f, CCS_WIRE_STAT, "deadly.pfx");
        expect_nothing(f, 0);
        agent_stream_close(&f->member[AGENT_WORKER]);
        agent_link_ready(&f->share->worker, POLLHUP);
    }
    expect(f, 0, CCS_WIRE_ERROR, 1, CCS_EUNAVAIL);
    assert_true(f->share->worker.retry_at > 0);
    f->share->worker.retry_at = 0;
    agent_share_due(f->share, ccs_now_ms());
    start(f, AGENT_WORKER);
    answer(f, question(f, CCS_WIRE_STAT, "fine.pfx"),
           (struct ccs_wire_message){.type = CCS_WIRE_STAMP});
    expect(f, 0, CCS_WIRE_STAMP, 2, 0);
}

/* While the store is away nobody waits, and the broker asks after 0.5, 1, 2, 2, ... seconds. */
static void test_away(void **state)
{
    static const int64_t pauses[] = {500, 1000, 2000, 2000, 2000};
    struct agent_share *s;
    struct fixture *f = *state;
    int64_t down_at = 0;

    s = f->share;
    stat_file(f, 0, 1, "a.pfx");
    stat_file(f, 1, 1, "b.pfx");
    start(f, AGENT_WORKER);
    answer_error(f, question(f, CCS_WIRE_STAT, "a.pfx"), CCS_EUNAVAIL, ECONNREFUSED);
    expect(f, 0, CCS_WIRE_ERROR, 1, CCS_EUNAVAIL);
    expect(f, 1, CCS_WIRE_ERROR, 1, CCS_EUNAVAIL);
    for (size_t i = 0; i < CCS_ARRAY_LEN(pauses); i++) {
        assert_true(s->down);
        if (i == 0)
            down_at = s->down_since;
        assert_int_equal(s->probe_at - s->asked_at, pauses[i]);
        agent_share_due(s, s->probe_at - 1);
        assert_int_equal(s->job_count, 0);
        stat_file(f, 2, 1, "c.pfx");
        expect(f, 2, CCS_WIRE_ERROR, 1, CCS_EUNAVAIL);
        list(f, 2, 2);
        expect(f, 2, CCS_WIRE_ERROR, 2, CCS_EUNAVAIL);
        agent_share_due(s, s->probe_at);
        answer_error(f, question(f, CCS_WIRE_PROBE, ""), CCS_EUNAVAIL, ECONNREFUSED);
    }
    assert_int_equal(s->down_since, down_at);
    agent_share_due(s, s->probe_at);
    answer(f, question(f, CCS_WIRE_PROBE, ""), root_at(1));
    assert_false(s->down);
    stat_file(f, 2, 3, "c.pfx");
    (void)question(f, CCS_WIRE_STAT, "c.pfx");
}

/* A worker that takes too long is replaced; the store is away until its successor has got through.
 */
static void test_overdue(void **state)
{
    struct fixture *f = *state;

    stat_file(f, 0, 1, "a.pfx");
    start(f, AGENT_WORKER);
    (void)question(f, CCS_WIRE_STAT, "a.pfx");
    agent_share_due(f->share, f->share->busy_since + 4999);
    expect_nothing(f, 0);
    agent_share_due(f->share, f->share->busy_since + 5000);
    expect(f, 0, CCS_WIRE_ERROR, 1, CCS_ETIMEDOUT);
    assert_true(f->share->down);
    assert_int_equal(f->share->count.timeouts, 1);
    assert_int_equal(starts(f, AGENT_WORKER), 2);
    start(f, AGENT_WORKER);
    agent_share_due(f->share, f->share->probe_at);
    answer(f, question(f, CCS_WIRE_PROBE, ""), root_at(1));
    assert_false(f->share->down);
}

/* -- the watcher's listing ----------------------------------------------------------------- */

static void says_names(struct fixture *f, enum agent_role role)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_NAMES, .id = 1};
    char text[100];
    size_t used = 0;

    assert_int_equal(ccs_wire_names_add(text, sizeof(text), &used, "a.pfx", 5), 1);
    m.text.data = text;
    m.text.len = used;
    say(f, role, &m);
    m = (struct ccs_wire_message){.type = CCS_WIRE_LISTED, .id = 1, .count = 1};
    say(f, role, &m);
}

/* A client watches, and another one asks for a listing before the watch stands. */
static void watch_and_list(struct fixture *f, int64_t mtime)
{
    const struct ccs_wire_message watching = {.type = CCS_WIRE_WATCHING, .id = 1};
    struct ccs_wire_message m;

    stat_file(f, 0, 1, "a.pfx");
    start(f, AGENT_WORKER);
    answer(f, question(f, CCS_WIRE_STAT, "a.pfx"),
           (struct ccs_wire_message){.type = CCS_WIRE_STAMP});
    expect(f, 0, CCS_WIRE_STAMP, 1, 0);
    watch(f, 0, 2);
    assert_int_equal(starts(f, AGENT_WATCHER), 1);
    start(f, AGENT_WATCHER);
    list(f, 1, 1);
    if (mtime != 0) {
        m = root_at(mtime);
        say(f, AGENT_WATCHER, &m);
        says_names(f, AGENT_WATCHER);
    }
    expect_nothing(f, 1);
    say(f, AGENT_WATCHER, &watching);
    expect(f, 0, CCS_WIRE_WATCHING, 2, 0);
    list(f, 0, 3);
    agent_share_due(f->share, ccs_now_ms());
}

static void expect_listing(struct fixture *f, int client, uint32_t id)
{
    expect(f, client, CCS_WIRE_NAMES, id, 0);
    expect(f, client, CCS_WIRE_LISTED, id, 0);
    expect_nothing(f, client);
}

static void test_found(void **state)
{
    const struct ccs_wire_message event = {
        .type = CCS_WIRE_EVENT, .id = 1, .event = CCS_EVENT_ARRIVED, .text = {"b.pfx", 5}};
    struct fixture *f = *state;
    const int64_t now = ccs_now_ms();

    watch_and_list(f, 11);
    assert_int_equal(starts(f, AGENT_LISTER), 0);
    answer(f, question(f, CCS_WIRE_PROBE, ""), root_at(11));
    agent_share_due(f->share, now);
    expect_listing(f, 0, 3);
    expect_listing(f, 1, 1);
    /* And so it goes until something changes. */
    list(f, 2, 1);
    expect_listing(f, 2, 1);
    assert_int_equal(starts(f, AGENT_LISTER), 0);
    assert_int_equal(f->share->count.listings, 1);
    say(f, AGENT_WATCHER, &event);
    expect(f, 0, CCS_WIRE_EVENT, 2, 0);
    list(f, 2, 2);
    assert_int_equal(starts(f, AGENT_LISTER), 1);
    start(f, AGENT_LISTER);
    says_names(f, AGENT_LISTER);
    expect_listing(f, 2, 2);
    assert_int_equal(f->share->count.listings, 2);
}

/* Something came while the watcher listed: nobody may be given that listing. */
static void test_found_too_early(void **state)
{
    struct fixture *f = *state;

    watch_and_list(f, 11);
    answer(f, question(f, CCS_WIRE_PROBE, ""), root_at(12));
    agent_share_due(f->share, ccs_now_ms());
    expect_nothing(f, 0);
    assert_int_equal(starts(f, AGENT_LISTER), 1);
    start(f, AGENT_LISTER);
    says_names(f, AGENT_LISTER);
    expect_listing(f, 0, 3);
    expect_listing(f, 1, 1);
}

/* Nor after an event, though the folder looked the same before it. */
static void test_found_and_changed(void **state)
{
    const struct ccs_wire_message event = {
        .type = CCS_WIRE_EVENT, .id = 1, .event = CCS_EVENT_REMOVED, .text = {"a.pfx", 5}};
    struct fixture *f = *state;

    watch_and_list(f, 11);
    say(f, AGENT_WATCHER, &event);
    expect(f, 0, CCS_WIRE_EVENT, 2, 0);
    answer(f, question(f, CCS_WIRE_PROBE, ""), root_at(11));
    agent_share_due(f->share, ccs_now_ms());
    assert_int_equal(starts(f, AGENT_LISTER), 1);
    expect_nothing(f, 0);
}

/* Where the folder's mtime cannot tell, the watcher keeps what it has found for itself. */
static void test_found_nothing(void **state)
{
    struct fixture *f = *state;

    watch_and_list(f, 0);
    assert_int_equal(starts(f, AGENT_LISTER), 1);
}

/* A worker that ends with the question, or a watcher that ends with the answer, keeps nobody. */
static void test_found_in_vain(void **state)
{
    struct fixture *f = *state;

    watch_and_list(f, 11);
    answer_error(f, question(f, CCS_WIRE_PROBE, ""), CCS_EUNAVAIL, ECONNREFUSED);
    assert_null(f->share->found);
    agent_share_due(f->share, ccs_now_ms());
    expect(f, 1, CCS_WIRE_ERROR, 1, CCS_EUNAVAIL);
    expect(f, 0, CCS_WIRE_ERROR, 3, CCS_EUNAVAIL);
}

static void test_watcher_ends(void **state)
{
    const struct ccs_wire_message root = root_at(11);
    struct fixture *f = *state;

    stat_file(f, 0, 1, "a.pfx");
    start(f, AGENT_WORKER);
    answer(f, question(f, CCS_WIRE_STAT, "a.pfx"),
           (struct ccs_wire_message){.type = CCS_WIRE_STAMP});
    watch(f, 0, 2);
    start(f, AGENT_WATCHER);
    say(f, AGENT_WATCHER, &root);
    list(f, 1, 1);
    assert_int_equal(starts(f, AGENT_LISTER), 0);
    agent_stream_close(&f->member[AGENT_WATCHER]);
    agent_link_ready(&f->share->watcher, POLLHUP);
    agent_share_due(f->share, ccs_now_ms());
    assert_int_equal(starts(f, AGENT_LISTER), 1);
    start(f, AGENT_LISTER);
    /* The lister has begun: what it has passed may have changed for this one. */
    list(f, 2, 1);
    says_names(f, AGENT_LISTER);
    expect_listing(f, 1, 1);
    expect_nothing(f, 2);
    agent_share_due(f->share, ccs_now_ms());
    assert_int_equal(starts(f, AGENT_LISTER), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_shared),          TEST(test_bounded),
        TEST(test_deadly),          TEST(test_away),
        TEST(test_overdue),         TEST(test_found),
        TEST(test_found_too_early), TEST(test_found_and_changed),
        TEST(test_found_nothing),   TEST(test_found_in_vain),
        TEST(test_watcher_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
