/* SPDX-License-Identifier: Apache-2.0 */
#include "broker.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "error.h"
#include "share.h"

#define PULSE_MS       1000 /* the supervisor is told that the broker lives */
#define STEP_MS        50   /* how exactly times are kept while somebody waits */
#define ACCEPT_AT_ONCE 16
#define LOG_UNTIL      ((size_t)256 << 10)

#define FIXED (2 + 3 * CCS_AGENT_STORES_MAX)

/* -- the log ------------------------------------------------------------------------------- */

/* The one that asked for lines and has been connected longest. */
static struct agent_client *log_client(const struct agent_broker *b)
{
    struct agent_client *best = NULL;
    struct agent_client *c;

    LIST_FOREACH(c, &b->clients, link)
    {
        if (c->wants_log && !c->broken && c->stream.unsent_octets < LOG_UNTIL &&
            (best == NULL || c->since <= best->since))
            best = c;
    }
    return best;
}

void agent_broker_log_body(struct agent_broker *b, struct agent_body *body)
{
    struct agent_client *c = log_client(b);
    unsigned last;

    if (c != NULL) {
        agent_client_part(c, 0, body);
        return;
    }
    if (b->kept_count == AGENT_LOG_KEPT) {
        agent_body_unref(b->kept[b->kept_first]);
        b->kept_first = (b->kept_first + 1) % AGENT_LOG_KEPT;
        b->kept_count--;
    }
    last = (b->kept_first + b->kept_count) % AGENT_LOG_KEPT;
    b->kept[last] = agent_body_ref(body);
    b->kept_count++;
}

void agent_broker_log_kept(struct agent_broker *b)
{
    struct agent_body *body;

    for (unsigned n = b->kept_count; n > 0; n--) {
        body = b->kept[b->kept_first];
        b->kept_first = (b->kept_first + 1) % AGENT_LOG_KEPT;
        b->kept_count--;
        agent_broker_log_body(b, body);
        agent_body_unref(body);
    }
}

void agent_broker_log(struct agent_broker *b, enum ccs_level level, const char *fmt, ...)
{
    char line[CCS_WIRE_LINE_MAX + 1];
    struct ccs_wire_message m = {.type = CCS_WIRE_LOG, .level = level};
    struct agent_body *body;
    va_list ap;

    if (level > b->setup->level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    m.text.data = line;
    m.text.len = strlen(line);
    body = agent_body_new(&m);
    if (body != NULL)
        agent_broker_log_body(b, body);
    agent_body_unref(body);
}

/* -- the supervisor ------------------------------------------------------------------------ */

void agent_broker_order(struct agent_broker *b, enum agent_order_kind kind, enum agent_role role,
                        unsigned store, uint32_t serial)
{
    struct agent_order order = {.kind = (uint8_t)kind, .role = (uint8_t)role};

    order.store = (uint16_t)store;
    order.serial = serial;
    (void)agent_order_send(b->orders, &order, -1);
}

static struct agent_link *broker_link(const struct agent_broker *b, unsigned store,
                                      enum agent_role role)
{
    struct agent_share *s;

    if (store >= b->setup->stores)
        return NULL;
    s = b->share[store];
    switch (role) {
    case AGENT_WORKER:
        return &s->worker;
    case AGENT_WATCHER:
        return &s->watcher;
    case AGENT_LISTER:
        return &s->lister;
    case AGENT_BROKER:
    case AGENT_ROLES:
        break;
    }
    return NULL;
}

static void broker_news(struct agent_broker *b, const struct agent_order *order, int fd)
{
    struct agent_link *link = broker_link(b, order->store, (enum agent_role)order->role);

    if (order->kind == AGENT_ORDER_NEWS)
        agent_broker_log(b, CCS_LOG_WARN, "%s", order->text);
    if (order->kind != AGENT_ORDER_STARTED || link == NULL || link->state != AGENT_LINK_STARTING ||
        link->starts != order->serial) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd < 0) {
        agent_broker_log(b, CCS_LOG_ERROR, "ccs-agent cannot start a %s: %s",
                         agent_role_name((enum agent_role)order->role), order->text);
    }
    agent_link_started(link, order->pid, fd);
}

/* 0: the supervisor is gone. */
static int broker_orders(struct agent_broker *b)
{
    struct agent_order order;
    int fd;
    int rv;

    while ((rv = agent_order_receive(b->orders, &order, &fd)) == CCS_OK)
        broker_news(b, &order, fd);
    return rv == CCS_PENDING;
}

/* -- connections --------------------------------------------------------------------------- */

static int is_connection(int fd)
{
    socklen_t len = sizeof(int);
    int domain = 0;
    int type = 0;

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && domain == AF_UNIX &&
           type == SOCK_STREAM;
}

/* An empty datagram looks like the end of the file. */
static int broker_is_alone(const struct agent_broker *b)
{
    struct pollfd p = {.fd = b->control};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

/* 0: nobody is left who could connect. */
static int broker_take(struct agent_broker *b)
{
    struct sockaddr_storage peer;
    socklen_t len;
    char octet[2];
    ssize_t n;
    int fd;

    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        if (b->listening) {
            len = sizeof(peer);
            fd = accept4(b->control, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd < 0)
                return 1;
            agent_client_new(b, fd);
            continue;
        }
        n = agent_receive_fd(b->control, octet, sizeof(octet), &fd);
        if (n < 0)
            return errno == EAGAIN || errno == EMFILE || errno == ENFILE;
        if (n == 0 && broker_is_alone(b)) {
            if (fd >= 0)
                close(fd);
            return 0;
        }
        if (n == 1 && octet[0] == CCS_AGENT_CONNECT && fd >= 0 && is_connection(fd))
            agent_client_new(b, fd);
        else if (fd >= 0)
            close(fd);
    }
    return 1;
}

/* -- the loop ------------------------------------------------------------------------------ */

static int broker_timeout(const struct agent_broker *b)
{
    const struct agent_client *c;

    for (unsigned i = 0; i < b->setup->stores; i++) {
        const struct agent_share *s = b->share[i];

        if (s == NULL)
            continue;
        if (s->busy || !TAILQ_EMPTY(&s->jobs) || (s->down && b->client_count > 0) ||
            !LIST_EMPTY(&s->listers) || !LIST_EMPTY(&s->patient))
            return STEP_MS;
    }
    LIST_FOREACH(c, &b->clients, link)
    {
        if (c->watch != AGENT_WATCH_NONE && !c->share->armed)
            return STEP_MS;
    }
    return PULSE_MS;
}

static void broker_due(struct agent_broker *b, int64_t *pulse_at)
{
    const int64_t now = ccs_now_ms();
    struct agent_client *c;
    struct agent_client *next;

    if (now >= *pulse_at) {
        *pulse_at = now + PULSE_MS;
        agent_broker_order(b, AGENT_ORDER_ALIVE, AGENT_BROKER, 0, 0);
    }
    for (unsigned i = 0; i < b->setup->stores; i++)
        agent_share_due(b->share[i], now);
    for (c = LIST_FIRST(&b->clients); c != NULL; c = next) {
        next = LIST_NEXT(c, link);
        agent_client_due(c, now);
        if (c->broken)
            agent_client_free(c);
    }
}

/* Fills the table; the clients come after the fixed places, in the order of their list. */
static nfds_t broker_table(const struct agent_broker *b, struct pollfd *p)
{
    const struct agent_client *c;
    nfds_t n = 0;

    p[n++] = (struct pollfd){.fd = b->orders, .events = POLLIN};
    p[n++] = (struct pollfd){.fd = b->control, .events = POLLIN};
    for (unsigned i = 0; i < CCS_AGENT_STORES_MAX; i++) {
        for (unsigned role = AGENT_WORKER; role < AGENT_ROLES; role++) {
            const struct agent_link *link = broker_link(b, i, (enum agent_role)role);

            p[n].fd = -1;
            p[n].events = 0;
            if (link != NULL && link->state == AGENT_LINK_UP) {
                p[n].fd = link->stream.fd;
                p[n].events = agent_link_events(link);
            }
            p[n++].revents = 0;
        }
    }
    LIST_FOREACH(c, &b->clients, link)
    p[n++] = (struct pollfd){.fd = c->stream.fd, .events = agent_client_events(c)};
    return n;
}

static void broker_members(const struct agent_broker *b, const struct pollfd *p)
{
    struct agent_link *link;

    for (unsigned i = 0; i < b->setup->stores; i++) {
        for (unsigned role = AGENT_WORKER; role < AGENT_ROLES; role++, p++) {
            link = broker_link(b, i, (enum agent_role)role);
            if (p->revents != 0 && link->state == AGENT_LINK_UP && link->stream.fd == p->fd)
                agent_link_ready(link, p->revents);
        }
    }
}

/* 0: it is over. */
static int broker_turn(struct agent_broker *b, struct pollfd *p)
{
    const nfds_t n = broker_table(b, p);
    struct agent_client *c;
    nfds_t i = FIXED;

    if (poll(p, n, broker_timeout(b)) < 0 && errno != EINTR)
        return 0;
    broker_members(b, p + 2);
    if (p[0].revents != 0 && !broker_orders(b))
        return 0;
    /* Nobody joins or leaves the list before it was gone through. */
    LIST_FOREACH(c, &b->clients, link)
    {
        if (p[i].revents != 0)
            agent_client_ready(c, p[i].revents);
        i++;
    }
    return p[1].revents == 0 || broker_take(b);
}

static int broker_init(struct agent_broker *b, const struct agent_family *f, int orders)
{
    memset(b, 0, sizeof(*b));
    b->setup = f->setup;
    b->board = f->board;
    b->control = f->control;
    b->listening = f->listening;
    b->orders = orders;
    b->started_at = f->started_at;
    LIST_INIT(&b->clients);
    for (unsigned i = 0; i < b->setup->stores; i++) {
        b->share[i] = agent_share_new(b, i);
        if (b->share[i] == NULL)
            return 0;
    }
    return 1;
}

void agent_broker_run(const struct agent_family *f, int orders)
{
    static struct agent_broker b;
    struct pollfd *p = calloc(FIXED + AGENT_CLIENTS_MAX, sizeof(*p));
    int64_t pulse_at = 0;

    if (p == NULL || !broker_init(&b, f, orders))
        _exit(1);
    do {
        broker_due(&b, &pulse_at);
    } while (broker_turn(&b, p));
    free(p);
}
