/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"

#define STEADY_MS    5000 /* a broker that lived that long is replaced at once */
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 640
#define SILENCE_MS   10000 /* a broker that says nothing for so long hangs */
#define END_MS       1000

static struct {
    int signals;
    int orders; /* -1 while there is no broker */
    int64_t broker_at;
    int64_t heard_at;
    int64_t restart_at; /* 0: there is one */
    int pause_ms;
    int ending;
} sup = {-1, -1, 0, 0, 0, PAUSE_MIN_MS, 0};

static void tell(const char *text)
{
    struct agent_order order = {.kind = AGENT_ORDER_NEWS};

    snprintf(order.text, sizeof(order.text), "%s", text);
    (void)agent_order_send(sup.orders, &order, -1);
}

static int start_broker(struct agent_family *f)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return errno;
    pid = agent_family_start_broker(f, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return EAGAIN;
    }
    sup.orders = pair[0];
    sup.broker_at = ccs_now_ms();
    sup.heard_at = sup.broker_at;
    sup.restart_at = 0;
    return 0;
}

/* The members talk to the broker that is gone, so they are of no more use. */
static void broker_ended(struct agent_family *f)
{
    const int64_t now = ccs_now_ms();

    if (sup.orders >= 0)
        close(sup.orders);
    sup.orders = -1;
    agent_family_kill_members(f);
    if (now - sup.broker_at > STEADY_MS)
        sup.pause_ms = PAUSE_MIN_MS;
    sup.restart_at = now - sup.broker_at > STEADY_MS ? now : now + sup.pause_ms;
    if (sup.pause_ms < PAUSE_MAX_MS)
        sup.pause_ms *= 2;
}

static void start_member(struct agent_family *f, const struct agent_order *order)
{
    struct agent_order answer = {.kind = AGENT_ORDER_STARTED};
    int fd = -1;
    const pid_t pid = agent_family_start(f, (enum agent_role)order->role, order->store, &fd);

    answer.role = order->role;
    answer.store = order->store;
    answer.serial = order->serial;
    answer.pid = pid > 0 ? pid : 0;
    if (pid < 0)
        snprintf(answer.text, sizeof(answer.text), "%s", strerrorname_np(errno));
    (void)agent_order_send(sup.orders, &answer, fd);
    if (fd >= 0)
        close(fd);
}

static void obey(struct agent_family *f)
{
    struct agent_order order;
    int fd;

    while (agent_order_receive(sup.orders, &order, &fd) == CCS_OK) {
        sup.heard_at = ccs_now_ms();
        if (fd >= 0)
            close(fd);
        if (order.role < AGENT_WORKER || order.role >= AGENT_ROLES ||
            order.store >= f->setup->stores)
            continue;
        if (order.kind == AGENT_ORDER_START)
            start_member(f, &order);
        else if (order.kind == AGENT_ORDER_KILL)
            agent_family_kill(f, (enum agent_role)order.role, order.store);
    }
}

static void take_signals(struct agent_family *f)
{
    struct signalfd_siginfo info;

    while (read(sup.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        /* Who was given one end of a pair lives and ends with those who hold the other. */
        if (f->listening && (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT))
            sup.ending = 1;
    }
    if (agent_family_reap(f))
        broker_ended(f);
}

int agent_supervisor_begin(struct agent_family *f, struct ccs_error *err)
{
    static const int ours[] = {SIGCHLD, SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                               SIGUSR1, SIGUSR2, SIGPIPE, SIGWINCH};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    int errnum;

    sigemptyset(&set);
    for (size_t i = 0; i < CCS_ARRAY_LEN(ours); i++)
        sigaddset(&set, ours[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    /* Terminals and servers send these to whole groups; they are none of the children's business.
     */
    f->signals = set;
    sigdelset(&f->signals, SIGCHLD);
    sup.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (sup.signals < 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot wait for its processes");
    errnum = start_broker(f);
    if (errnum != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum, "ccs-agent cannot start its processes");
    return CCS_OK;
}

/* Milliseconds until something is due. */
static int supervisor_wait(int64_t now)
{
    const int64_t due = sup.restart_at != 0 ? sup.restart_at : sup.heard_at + SILENCE_MS + 1;

    return due <= now ? 0 : (int)(due - now);
}

static void supervisor_due(struct agent_family *f)
{
    const int64_t now = ccs_now_ms();

    if (sup.restart_at != 0 && now >= sup.restart_at) {
        if (start_broker(f) == 0)
            tell("the broker of ccs-agent had ended and was started anew");
        else
            sup.restart_at = now + PAUSE_MAX_MS;
    }
    if (sup.restart_at == 0 && f->broker > 0 && now - sup.heard_at > SILENCE_MS) {
        kill(f->broker, SIGKILL);
        sup.heard_at = now;
    }
}

/* The broker sees as well that nobody is left; it may have something to send. */
static void supervisor_end(struct agent_family *f)
{
    const int64_t until = ccs_now_ms() + END_MS;
    struct pollfd p = {.fd = sup.signals, .events = POLLIN};

    if (sup.orders >= 0)
        close(sup.orders);
    sup.orders = -1;
    while (f->broker > 0 && ccs_now_ms() < until) {
        (void)poll(&p, 1, (int)(until - ccs_now_ms() > 0 ? until - ccs_now_ms() : 0));
        take_signals(f);
    }
    /* Not waited for: one of them may hang in the kernel. */
    agent_family_kill_all(f);
}

void agent_supervisor_run(struct agent_family *f)
{
    struct pollfd p[3];
    int n;

    while (!sup.ending) {
        p[0] = (struct pollfd){.fd = f->listening ? -1 : f->control, .events = 0};
        p[1] = (struct pollfd){.fd = sup.signals, .events = POLLIN};
        p[2] = (struct pollfd){.fd = sup.orders, .events = POLLIN};
        n = poll(p, 3, supervisor_wait(ccs_now_ms()));
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0 && (p[0].revents & (POLLHUP | POLLERR)) != 0)
            break;
        if (sup.orders >= 0)
            obey(f);
        take_signals(f);
        supervisor_due(f);
    }
    supervisor_end(f);
}
