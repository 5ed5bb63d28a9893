/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harden.h"
#include "member.h"
#include "secret.h"

#define LINGERING_MAX 8 /* processes that hang in the kernel, where no signal reaches them */
#define FIRST_FD      3

int agent_family_init(struct agent_family *f)
{
    void *p = mmap(NULL, sizeof(*f->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                   0);

    if (p == MAP_FAILED)
        return errno;
    f->board = p;
    return 0;
}

/* -- in the new process -------------------------------------------------------------------- */

/* Leaves open 0 to 2 and the count descriptors of fds, which become 3, 4, ... */
static int keep_only(int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FD + count);
        if (fds[i] < 0)
            return -1;
    }
    for (int i = 0; i < count; i++) {
        if (dup3(fds[i], FIRST_FD + i, O_CLOEXEC) < 0)
            return -1;
        fds[i] = FIRST_FD + i;
    }
    return (int)syscall(SYS_close_range, (unsigned)(FIRST_FD + count), ~0u, 0u);
}

static void child_begin(const struct agent_family *f, pid_t parent, const char *name)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    (void)prctl(PR_SET_NAME, name);
    (void)sigaction(SIGCHLD, &action, NULL);
    sigprocmask(SIG_SETMASK, &f->signals, NULL);
}

static void forget_logins(struct ccs_agent_setup *setup, int but)
{
    for (int i = 0; i < CCS_AGENT_STORES_MAX; i++) {
        if (i != but)
            ccs_wipe(setup->store[i].password, sizeof(setup->store[i].password));
    }
}

static _Noreturn void run_broker(struct agent_family *f, pid_t parent, int channel)
{
    int fds[2] = {f->control, channel};

    child_begin(f, parent, "ccs-a:broker");
    if (!f->listening)
        agent_harden_leave_log();
    forget_logins(f->setup, -1);
    if (keep_only(fds, 2) != 0)
        _exit(1);
    f->control = fds[0];
    agent_broker_run(f, fds[1]);
    _exit(0);
}

static _Noreturn void run_member(struct agent_family *f, pid_t parent, enum agent_role role,
                                 unsigned store, int fd)
{
    struct agent_member m = {.config = &f->setup->store[store], .logon = &f->board->logon[store]};
    char name[16];

    snprintf(name, sizeof(name), "ccs-a:%s%u", agent_role_name(role), store);
    child_begin(f, parent, name);
    forget_logins(f->setup, (int)store);
    if (keep_only(&fd, 1) != 0)
        _exit(1);
    (void)mlock(f->setup, sizeof(*f->setup));
    m.fd = fd;
    m.patient = role != AGENT_WORKER; /* the library lists the folder before it watches it */
    agent_member_open(&m);
    switch (role) {
    case AGENT_WORKER:
        agent_worker_run(&m);
        break;
    case AGENT_WATCHER:
        agent_watcher_run(&m);
        break;
    case AGENT_LISTER:
        agent_lister_run(&m);
        break;
    case AGENT_BROKER:
    case AGENT_ROLES:
        break;
    }
    _exit(0);
}

/* -- in the supervisor --------------------------------------------------------------------- */

pid_t agent_family_start_broker(struct agent_family *f, int channel)
{
    const pid_t parent = getpid();
    const pid_t pid = fork();

    if (pid == 0)
        run_broker(f, parent, channel);
    if (pid > 0)
        f->broker = pid;
    return pid;
}

pid_t agent_family_start(struct agent_family *f, enum agent_role role, unsigned store, int *fd)
{
    const pid_t parent = getpid();
    int pair[2];
    pid_t pid;

    agent_family_kill(f, role, store);
    if (f->lingering > LINGERING_MAX) {
        errno = EBUSY;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pid = fork();
    if (pid == 0)
        run_member(f, parent, role, store, pair[1]);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return -1;
    }
    f->member[role][store] = pid;
    *fd = pair[0];
    return pid;
}

void agent_family_kill(struct agent_family *f, enum agent_role role, unsigned store)
{
    pid_t *pid = &f->member[role][store];

    if (*pid > 0 && kill(*pid, SIGKILL) == 0)
        f->lingering++;
    *pid = 0;
}

void agent_family_kill_members(struct agent_family *f)
{
    for (unsigned role = AGENT_WORKER; role < AGENT_ROLES; role++) {
        for (unsigned i = 0; i < CCS_AGENT_STORES_MAX; i++)
            agent_family_kill(f, (enum agent_role)role, i);
    }
}

void agent_family_kill_all(struct agent_family *f)
{
    agent_family_kill_members(f);
    if (f->broker > 0)
        kill(f->broker, SIGKILL);
}

static int forget_member(struct agent_family *f, pid_t pid)
{
    for (unsigned role = AGENT_WORKER; role < AGENT_ROLES; role++) {
        for (unsigned i = 0; i < CCS_AGENT_STORES_MAX; i++) {
            if (f->member[role][i] == pid) {
                f->member[role][i] = 0;
                return 1;
            }
        }
    }
    return 0;
}

int agent_family_reap(struct agent_family *f)
{
    int broker = 0;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        for (unsigned i = 0; i < CCS_AGENT_STORES_MAX; i++)
            agent_logon_release(&f->board->logon[i], pid);
        if (pid == f->broker) {
            f->broker = 0;
            broker = 1;
        } else if (!forget_member(f, pid) && f->lingering > 0) {
            f->lingering--;
        }
    }
    return broker;
}
