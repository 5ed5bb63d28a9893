/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "secret.h"

#define REPORT_MS 10000
#define FDS       6  /* 0 to CCS_AGENT_FD_REPORT */
#define FDS_ABOVE 16 /* where they are moved out of each other's way */
#define SHOWN     200

/* All that the new process needs, made before the fork: it may not allocate any more. */
struct spawn {
    const char *executable;
    int null_fd;
    int control[2]; /* the agent's is the second */
    int setup[2];
    int report[2];
    char failed[CCS_AGENT_REPORT_MAX]; /* the report if it cannot be executed */
    size_t failed_len;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* -- in the new process: only what is safe after a fork in a process with threads -------------- */

static void close_others(void)
{
    struct rlimit limit;
    int last = 65536;

#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)FDS, ~0u, 0u) == 0)
        return;
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)last)
        last = (int)limit.rlim_cur;
    for (int fd = FDS; fd < last; fd++)
        close(fd);
}

static int place_fds(const struct spawn *s)
{
    const int from[FDS] = {s->null_fd,    s->null_fd,  STDERR_FILENO,
                           s->control[1], s->setup[0], s->report[1]};
    int high[FDS];

    /* A server may have been started with 0, 1 or 2 closed, so that any of these may be one. */
    for (int i = 0; i < FDS; i++) {
        high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FDS_ABOVE);
        if (high[i] < 0 && i == STDERR_FILENO)
            high[i] = fcntl(s->null_fd, F_DUPFD_CLOEXEC, FDS_ABOVE);
        if (high[i] < 0)
            return 0;
    }
    for (int i = 0; i < FDS; i++) {
        if (dup2(high[i], i) != i)
            return 0;
    }
    close_others();
    return 1;
}

static void default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    /* An ignored signal would stay ignored in the agent. */
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &action, NULL);
}

static _Noreturn void run(const struct spawn *s)
{
    static char name[] = "ccs-agent";
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    static char locale[] = "LC_ALL=C.UTF-8";
    char *const argv[] = {name, NULL};
    char *const envp[] = {path, locale, NULL};
    int report = s->report[1];
    sigset_t none;

    default_signals();
    if (place_fds(s)) {
        report = CCS_AGENT_FD_REPORT;
        (void)setsid();
        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)execve(s->executable, argv, envp);
    }
    (void)!write(report, s->failed, s->failed_len);
    _exit(1);
}

/* -- in the starter ---------------------------------------------------------------------------- */

/*
 * The agent is nobody's child who would have to wait for it: a server that finds a child it does
 * not know may complain or end.
 */
static int fork_twice(const struct spawn *s)
{
    sigset_t all, before;
    int errnum = 0;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        pid = fork();
        if (pid == 0)
            run(s);
        if (pid < 0)
            (void)!write(s->report[1], s->failed, s->failed_len);
        _exit(pid < 0 ? 1 : 0);
    }
    if (pid < 0)
        errnum = errno;
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return errnum;
}

/* Before the fork, so that there is no moment at which writing could block or the reader be gone.
 */
static int fill_setup(int fd, const struct ccs_agent_setup *setup, struct ccs_error *err)
{
    uint8_t *block = malloc(CCS_AGENT_SETUP_MAX);
    size_t len = 0;
    ssize_t n;
    int rv;

    if (block == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to start ccs-agent");
    rv = ccs_agent_setup_encode(setup, block, CCS_AGENT_SETUP_MAX, &len);
    if (rv != CCS_OK) {
        rv = ccs_error_set(err, rv, "the settings for ccs-agent are too long");
        goto out;
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        rv = ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot be told its settings");
        goto out;
    }
    (void)fcntl(fd, F_SETPIPE_SZ, CCS_AGENT_SETUP_MAX);
    n = write(fd, block, len);
    if (n < 0 || (size_t)n != len)
        rv = ccs_error_sys(err, CCS_EUNAVAIL, n < 0 ? errno : EAGAIN,
                           "ccs-agent cannot be told its settings");
out:
    ccs_wipe(block, CCS_AGENT_SETUP_MAX);
    free(block);
    return rv;
}

/* The octets that come until the line ends or nobody can write any more. CCS_OK or CCS_ETIMEDOUT.
 */
static int read_report(int fd, char *text, size_t *len)
{
    const int64_t deadline = ccs_now_ms() + REPORT_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left;
    ssize_t n;

    *len = 0;
    for (;;) {
        left = deadline - ccs_now_ms();
        if (left <= 0)
            return CCS_ETIMEDOUT;
        if (poll(&p, 1, (int)left) <= 0)
            continue;
        n = read(fd, text + *len, CCS_AGENT_REPORT_MAX - 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return CCS_OK;
        *len += (size_t)n;
        if (text[*len - 1] == '\n' || *len == CCS_AGENT_REPORT_MAX - 1)
            return CCS_OK;
    }
}

static int await_report(struct spawn *s, int32_t *pid, struct ccs_error *err)
{
    char text[CCS_AGENT_REPORT_MAX];
    char shown[SHOWN];
    struct ccs_error why;
    size_t len;
    int rv;

    ccs_printable(shown, sizeof(shown), s->executable, strlen(s->executable));
    if (read_report(s->report[0], text, &len) != CCS_OK) {
        return ccs_error_set(err, CCS_EUNAVAIL,
                             "ccs-agent (%s) did not say within %d seconds that it has started",
                             shown, REPORT_MS / 1000);
    }
    rv = ccs_agent_report_decode(text, len, pid, &why);
    if (rv != CCS_OK)
        return ccs_error_set(err, rv, "ccs-agent failed to start: %s", why.text);
    return CCS_OK;
}

int ccs_agent_spawn(const char *executable, const struct ccs_agent_setup *setup, int *control,
                    int32_t *pid, struct ccs_error *err)
{
    struct spawn s = {.executable = executable,
                      .null_fd = -1,
                      .control = {-1, -1},
                      .setup = {-1, -1},
                      .report = {-1, -1}};
    char text[CCS_AGENT_REPORT_MAX];
    char shown[SHOWN];
    int errnum;
    int rv;

    (void)snprintf(text, sizeof(text), "%s cannot be executed",
                   ccs_printable(shown, sizeof(shown), executable, strlen(executable)));
    s.failed_len = ccs_agent_report_encode(0, text, s.failed);
    s.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (s.null_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s.control) != 0 ||
        pipe2(s.setup, O_CLOEXEC) != 0 || pipe2(s.report, O_CLOEXEC) != 0) {
        rv = ccs_error_sys(err, CCS_EUNAVAIL, errno, "no channel to ccs-agent can be made");
        goto out;
    }
    rv = fill_setup(s.setup[1], setup, err);
    if (rv != CCS_OK)
        goto out;
    close_fd(&s.setup[1]);
    errnum = fork_twice(&s);
    close_fd(&s.control[1]);
    close_fd(&s.setup[0]);
    close_fd(&s.report[1]);
    if (errnum != 0)
        rv = ccs_error_sys(err, CCS_EUNAVAIL, errnum, "no process for ccs-agent can be made");
    else
        rv = await_report(&s, pid, err);
    if (rv == CCS_OK) {
        *control = s.control[0];
        s.control[0] = -1;
    }
out:
    for (int i = 0; i < 2; i++) {
        close_fd(&s.control[i]);
        close_fd(&s.setup[i]);
        close_fd(&s.report[i]);
    }
    close_fd(&s.null_fd);
    return rv;
}
