/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that wait for a certificate without a thread. mod_ssl's handshake holds its thread
 * until it is done, so the ClientHello is looked at before, while it is still in the socket. If the
 * store has to be asked, the connection goes back to an MPM that can wait for sockets, with its
 * socket set to become readable only at an amount that no client sends. When the answer is there
 * the amount is set to one octet: the MPM runs the connection again, and mod_ssl finds the answer.
 */
#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 137)

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ap_mpm.h>
#include <apr_portable.h>
#include <http_ssl.h>
#include <http_vhost.h>

/* One TLS record: what comes later than that is left to mod_ssl. */
#define HELLO_SIZE (5 + 16384)

/* How often the MPM may find a connection readable although it should not be. */
#define SPURIOUS_MAX 64

enum state {
    STATE_HELLO,   /* the ClientHello is not all there */
    STATE_WAITING, /* for an answer */
    STATE_READY,   /* it is there */
    STATE_OVER     /* the connection goes its ordinary way */
};

/* What is in the lock's care: state, gone, answer until STATE_READY, the queue and refs. */
struct mod_ccs_parked {
    STAILQ_ENTRY(mod_ccs_parked) link;
    unsigned refs;
    enum state state;
    int queued;
    int gone; /* the connection is no more, nor is fd */
    int fd;
    int low_water; /* what fd is set to */
    unsigned spurious;
    struct ccs *ccs;
    struct ccs_request *request; /* of the thread's alone */
    struct ccs_answer answer;
    size_t len;
    char name[CCS_SERVER_NAME_SIZE];
};

static struct {
    int running;
    int stop;
    int wake; /* eventfd */
    pthread_t thread;
    pthread_mutex_t lock;
    STAILQ_HEAD(, mod_ccs_parked) queue;
    struct pollfd *polls; /* wake, then the instances */
    int poll_count;
} park = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* -- the waiting --------------------------------------------------------------------------- */

static void parked_unref(struct mod_ccs_parked *p)
{
    int last;

    pthread_mutex_lock(&park.lock);
    last = --p->refs == 0;
    pthread_mutex_unlock(&park.lock);
    if (!last)
        return;
    ccs_cred_unref(p->answer.cred);
    free(p);
}

static void set_low_water(struct mod_ccs_parked *p, int octets)
{
    if (p->low_water != octets &&
        setsockopt(p->fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof(octets)) == 0)
        p->low_water = octets;
}

static void enqueue_locked(struct mod_ccs_parked *p)
{
    uint64_t one = 1;

    if (p->queued || !park.running)
        return;
    p->queued = 1;
    p->refs++;
    STAILQ_INSERT_TAIL(&park.queue, p, link);
    /* It cannot fail but for a counter that is full, which wakes the thread as well. */
    if (write(park.wake, &one, sizeof(one)) < 0)
        return;
}

/* Takes the answer's reference. */
static void finish(struct mod_ccs_parked *p, const struct ccs_answer *answer)
{
    int gone;

    pthread_mutex_lock(&park.lock);
    gone = p->gone;
    if (!gone) {
        p->answer = *answer;
        p->state = STATE_READY;
        set_low_water(p, 1);
    }
    pthread_mutex_unlock(&park.lock);
    if (gone)
        ccs_cred_unref(answer->cred);
}

static void on_done(const struct ccs_answer *borrowed, void *arg)
{
    struct ccs_answer answer = *borrowed;
    struct mod_ccs_parked *p = arg;

    p->request = NULL;
    answer.cred = borrowed->cred != NULL ? ccs_cred_ref(borrowed->cred) : NULL;
    finish(p, &answer);
    parked_unref(p);
}

/* A connection that has come, or one that has gone. The queue's reference is the caller's. */
static void handle(struct mod_ccs_parked *p, int gone)
{
    struct ccs_answer answer = {.code = CCS_OK};

    if (gone) {
        if (p->request != NULL) {
            ccs_cancel(p->request);
            p->request = NULL;
            parked_unref(p);
        }
        return;
    }
    pthread_mutex_lock(&park.lock);
    p->refs++;
    pthread_mutex_unlock(&park.lock);
    if (ccs_acquire_start(p->ccs, p->name, p->len, on_done, p, &answer, &p->request) == CCS_PENDING)
        return;
    finish(p, &answer);
    parked_unref(p);
}

static void handle_queue(void)
{
    for (;;) {
        struct mod_ccs_parked *p;
        int gone = 0;

        pthread_mutex_lock(&park.lock);
        p = STAILQ_FIRST(&park.queue);
        if (p != NULL) {
            STAILQ_REMOVE_HEAD(&park.queue, link);
            p->queued = 0;
            gone = p->gone;
        }
        pthread_mutex_unlock(&park.lock);
        if (p == NULL)
            return;
        handle(p, gone);
        parked_unref(p);
    }
}

/* The owner of all instances. */
static void *run(void *unused)
{
    uint64_t count;
    int stop = 0;

    (void)unused;
    while (!stop) {
        if (poll(park.polls, (nfds_t)park.poll_count, -1) < 0)
            continue;
        if (park.polls[0].revents != 0 && read(park.wake, &count, sizeof(count)) < 0)
            continue;
        handle_queue();
        for (int i = 1; i < park.poll_count; i++) {
            if (park.polls[i].revents != 0)
                (void)ccs_dispatch(mod_ccs_instance(i - 1), 0);
        }
        pthread_mutex_lock(&park.lock);
        stop = park.stop;
        pthread_mutex_unlock(&park.lock);
    }
    return NULL;
}

void mod_ccs_park_start(apr_pool_t *pchild, server_rec *s)
{
    int can_wait = 0, count = 1;

    if (ap_mpm_query(AP_MPMQ_CAN_WAITIO, &can_wait) != APR_SUCCESS || !can_wait)
        return;
    while (mod_ccs_instance(count - 1) != NULL)
        count++;
    if (count == 1)
        return;
    STAILQ_INIT(&park.queue);
    park.stop = 0;
    park.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    park.polls = apr_pcalloc(pchild, (apr_size_t)count * sizeof(*park.polls));
    park.poll_count = count;
    park.polls[0] = (struct pollfd){.fd = park.wake, .events = POLLIN};
    for (int i = 1; i < count; i++)
        park.polls[i] = (struct pollfd){.fd = ccs_event_fd(mod_ccs_instance(i - 1)),
                                        .events = POLLIN};
    if (park.wake != -1 && pthread_create(&park.thread, NULL, run, NULL) == 0) {
        park.running = 1;
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 MOD_CCS_LOG "no thread for connections that wait: handshakes that need the store "
                             "hold one of the server's threads instead");
    if (park.wake != -1)
        close(park.wake);
}

void mod_ccs_park_stop(void)
{
    uint64_t one = 1;

    if (!park.running)
        return;
    pthread_mutex_lock(&park.lock);
    park.running = 0;
    park.stop = 1;
    pthread_mutex_unlock(&park.lock);
    if (write(park.wake, &one, sizeof(one)) == sizeof(one))
        pthread_join(park.thread, NULL);
    close(park.wake);
}

/* -- the connection ------------------------------------------------------------------------ */

static struct mod_ccs_parked *parked_of(const conn_rec *c)
{
    const struct mod_ccs_connection *connection = mod_ccs_connection_of(c);

    return connection != NULL ? connection->parked : NULL;
}

static enum state state_of(const struct mod_ccs_parked *p)
{
    enum state state;

    pthread_mutex_lock(&park.lock);
    state = p->state;
    pthread_mutex_unlock(&park.lock);
    return state;
}

/* The socket is about to be closed: nobody may touch it any more. */
static void leave(struct mod_ccs_parked *p)
{
    pthread_mutex_lock(&park.lock);
    if (!p->gone && p->state == STATE_WAITING)
        enqueue_locked(p);
    p->gone = 1;
    pthread_mutex_unlock(&park.lock);
}

static apr_status_t parked_cleanup(void *data)
{
    leave(data);
    parked_unref(data);
    return APR_SUCCESS;
}

/*
 * Closing a connection flushes it, and that would make mod_ssl run the handshake of a client that
 * is given up.
 */
static int pre_close(conn_rec *c)
{
    struct mod_ccs_parked *p = parked_of(c);

    if (p == NULL)
        return DECLINED;
    if (state_of(p) != STATE_OVER)
        c->aborted = 1;
    leave(p);
    return OK;
}

struct choice {
    const char *name; /* NULL: any server with a site will do */
    struct mod_ccs_conf *conf;
};

static int names_server(const char *name, const server_rec *s)
{
    const apr_array_header_t *lists[] = {s->names, s->wild_names};

    if (s->server_hostname != NULL && strcasecmp(name, s->server_hostname) == 0)
        return 1;
    for (int wild = 0; wild < 2; wild++) {
        for (int i = 0; lists[wild] != NULL && i < lists[wild]->nelts; i++) {
            const char *alias = APR_ARRAY_IDX(lists[wild], i, const char *);

            if (alias == NULL)
                continue;
            if (wild ? ap_strcasecmp_match(name, alias) == 0 : strcasecmp(name, alias) == 0)
                return 1;
        }
    }
    return 0;
}

static int consider(void *baton, conn_rec *c, server_rec *s)
{
    struct choice *choice = baton;
    struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

    (void)c;
    if (choice->name != NULL ? !names_server(choice->name, s) : conf->site == NULL)
        return 0;
    choice->conf = conf;
    return 1;
}

/* The server that mod_ssl will choose for a name (NULL: some server that has a site). */
static struct mod_ccs_conf *choose(conn_rec *c, const char *name)
{
    struct choice choice = {.name = name, .conf = mod_ccs_conf_of(c->base_server)};

    if (name != NULL || choice.conf->site == NULL)
        ap_vhost_iterate_given_conn(c, consider, &choice);
    return choice.conf;
}

/*
 * The MPM counts a connection only when a thread takes it, so that a process which ends, as after
 * MaxConnectionsPerChild of them or by a restart, may wait for sockets no more by then, and drops
 * what is parked. For a thread it waits.
 */
static int is_ending(void)
{
    int state = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING;
}

/* NULL: not a connection that may have to wait. */
static struct mod_ccs_parked *begin(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t fd;
    struct mod_ccs_parked *p;

    if (c->keepalives > 0 || c->master != NULL || c->outgoing || c->cs == NULL || socket == NULL ||
        apr_os_sock_get(&fd, socket) != APR_SUCCESS || !ap_ssl_conn_is_ssl(c) ||
        choose(c, NULL)->site == NULL || is_ending())
        return NULL;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->refs = 1;
    p->fd = fd;
    p->low_water = 1;
    mod_ccs_connection(c)->parked = p;
    apr_pool_pre_cleanup_register(c->pool, p, parked_cleanup);
    return p;
}

static int over(struct mod_ccs_parked *p)
{
    set_low_water(p, 1);
    p->state = STATE_OVER;
    return DECLINED;
}

static int wait_for(conn_rec *c, struct mod_ccs_parked *p, int octets)
{
    set_low_water(p, octets);
    c->cs->state = CONN_STATE_ASYNC_WAITIO;
    c->cs->sense = CONN_SENSE_WANT_READ;
    return OK;
}

static int client_left(const struct mod_ccs_parked *p)
{
    struct pollfd poll_fd = {.fd = p->fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) == 1;
}

/* The name is known: mod_ssl goes on at once, unless the store has to be asked. */
static int ask(conn_rec *c, struct mod_ccs_parked *p)
{
    struct mod_ccs_conf *conf = choose(c, p->len > 0 ? p->name : "");
    const char *name;

    if (conf->site == NULL || conf->ccs == NULL)
        return over(p);
    if (p->len == 0) {
        name = ccs_config_get(conf->config, "default_name");
        if (name == NULL || strlen(name) >= sizeof(p->name))
            return over(p);
        p->len = strlen(name);
        memcpy(p->name, name, p->len + 1);
    }
    p->ccs = conf->ccs;
    if (ccs_lookup(p->ccs, p->name, p->len, &p->answer) != CCS_PENDING)
        return over(p);
    /* Not an answer: mod_ccs_park_answer() must not hand it out. */
    p->answer.cred = NULL;
    if (is_ending()) {
        p->ccs = NULL;
        return over(p);
    }
    (void)wait_for(c, p, INT_MAX);
    pthread_mutex_lock(&park.lock);
    p->state = STATE_WAITING;
    enqueue_locked(p);
    pthread_mutex_unlock(&park.lock);
    return OK;
}

static int read_hello(conn_rec *c, struct mod_ccs_parked *p)
{
    unsigned char buf[HELLO_SIZE];
    ssize_t n = recv(p->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
    int rv, wanted;

    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !is_ending())
        return wait_for(c, p, 1);
    if (n <= 0)
        return over(p);
    rv = ccs_hello_server_name(buf, (size_t)n, p->name, &p->len);
    if (rv == CCS_OK)
        return ask(c, p);
    if (rv != CCS_PENDING || n == (ssize_t)sizeof(buf) || client_left(p) || is_ending())
        return over(p);
    wanted = n >= 5 ? 5 + (buf[3] << 8 | buf[4]) : 5;
    return wait_for(c, p, wanted > n ? wanted : (int)n + 1);
}

/* The MPM has found a connection readable that waits. */
static int look_again(conn_rec *c, struct mod_ccs_parked *p)
{
    /* The answer may come at this moment, so the socket is left as it is. */
    if (!client_left(p) && ++p->spurious < SPURIOUS_MAX) {
        c->cs->state = CONN_STATE_ASYNC_WAITIO;
        c->cs->sense = CONN_SENSE_WANT_READ;
        return OK;
    }
    /* Gone, or sending without end before its handshake has begun. */
    leave(p);
    c->aborted = 1;
    c->cs->state = CONN_STATE_LINGER;
    return OK;
}

static int process_connection(conn_rec *c)
{
    struct mod_ccs_parked *p = parked_of(c);

    if (!park.running)
        return DECLINED;
    if (p == NULL) {
        p = begin(c);
        return p != NULL ? read_hello(c, p) : DECLINED;
    }
    switch (state_of(p)) {
    case STATE_HELLO:
        return read_hello(c, p);
    case STATE_WAITING:
        return look_again(c, p);
    case STATE_READY:
        return over(p);
    case STATE_OVER:
        break;
    }
    return DECLINED;
}

int mod_ccs_park_answer(const conn_rec *c, const struct ccs *ccs, const char *name, size_t len,
                        struct ccs_answer *out)
{
    const struct mod_ccs_parked *p = parked_of(c);
    size_t own;

    if (p == NULL || p->ccs != ccs || state_of(p) != STATE_OVER)
        return 0;
    own = p->len > 1 && p->name[p->len - 1] == '.' ? p->len - 1 : p->len;
    if (own != len || strncasecmp(p->name, name, len) != 0)
        return 0;
    *out = p->answer;
    if (out->cred != NULL)
        ccs_cred_ref(out->cred);
    return 1;
}

void mod_ccs_park_hooks(apr_pool_t *pool)
{
    static const char *const ssl[] = {"mod_ssl.c", NULL};

    (void)pool;
    ap_hook_process_connection(process_connection, NULL, ssl, APR_HOOK_FIRST);
    ap_hook_pre_close_connection(pre_close, NULL, NULL, APR_HOOK_FIRST);
}

#else

void mod_ccs_park_start(apr_pool_t *pchild, server_rec *s)
{
    (void)pchild, (void)s;
}

void mod_ccs_park_stop(void)
{
}

int mod_ccs_park_answer(const conn_rec *c, const struct ccs *ccs, const char *name, size_t len,
                        struct ccs_answer *out)
{
    (void)c, (void)ccs, (void)name, (void)len, (void)out;
    return 0;
}

void mod_ccs_park_hooks(apr_pool_t *pool)
{
    (void)pool;
}

#endif
