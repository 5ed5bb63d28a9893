/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Agents: started, found again, ended. The agent is this very program under another name; the store
 * that it is told of says how it behaves.
 */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent_link.h"
#include "settings.h"
#include "tmp.h"

#define SECRET "p\xc3\xa4ss = word"

/* -- the agent of this test -------------------------------------------------------------------- */

extern char **environ;

/* Which of 0 to 63 are open, but for the one that looks. */
static unsigned long long open_fds(void)
{
    unsigned long long set = 0;
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        const int fd = atoi(e->d_name);

        if (e->d_name[0] != '.' && fd != dirfd(d) && fd < 64)
            set |= 1ull << fd;
    }
    if (d != NULL)
        closedir(d);
    return set;
}

static int signals_are_plain(void)
{
    struct sigaction action;
    sigset_t blocked;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int i = 1; i < SIGRTMIN; i++) {
        if (sigismember(&blocked, i) == 1)
            return 0;
    }
    /* Sanitizers have handlers of their own for faults. */
    return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL &&
           sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

static size_t describe(char *out, size_t size, const struct ccs_agent_setup *setup,
                       unsigned long long fds)
{
    const struct ccs_agent_store *s = &setup->store[0];
    int n = snprintf(out, size,
                     "fds=%llx env=%s|%s%s session=%d plain=%d user=%s store=%s "
                     "login=%s|%s|%s wait=%u refresh=%u stores=%u",
                     fds, environ[0], environ[1], environ[2] != NULL ? "|more" : "",
                     getsid(0) == getpid(), signals_are_plain(), setup->user, s->location, s->user,
                     s->domain, s->password, s->wait_ms, s->refresh_ms, setup->stores);

    return n > 0 ? (size_t)n : 0;
}

/* Until the other side ends it. */
static void serve(int fd, const char *text, size_t text_len)
{
    uint8_t in[CCS_WIRE_REQUEST_MAX], out[2048];
    struct ccs_wire_message m, a;
    size_t have = 0, used, len;
    ssize_t n;

    (void)fcntl(fd, F_SETFL, 0);
    for (;;) {
        n = recv(fd, in + have, sizeof(in) - have, 0);
        if (n <= 0)
            break;
        have += (size_t)n;
        while (ccs_wire_decode(CCS_WIRE_TO_AGENT, in, have, &m, &used) == CCS_OK) {
            a = (struct ccs_wire_message){
                .type = CCS_WIRE_ROOT, .id = m.id, .root = {1, 2, 3, 4, 0}};
            if (m.type == CCS_WIRE_HELLO) {
                a.type = CCS_WIRE_WELCOME;
                a.version = CCS_WIRE_VERSION;
            } else if (m.type == CCS_WIRE_STATUS) {
                a.type = CCS_WIRE_STATE;
                a.text = (struct ccs_wire_text){text, text_len};
            }
            if (ccs_wire_encode(&a, out, sizeof(out), &len) != CCS_OK ||
                send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len)
                _exit(3);
            memmove(in, in + used, have - used);
            have -= used;
        }
    }
    close(fd);
}

static int take_connection(void)
{
    char what = 0;
    struct iovec iov = {&what, 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c;
    ssize_t n = recvmsg(CCS_AGENT_FD_CONTROL, &message, MSG_CMSG_CLOEXEC);
    int fd;

    if (n <= 0)
        _exit(0); /* all who could connect are gone */
    c = CMSG_FIRSTHDR(&message);
    if (what != CCS_AGENT_CONNECT || c == NULL || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int)))
        _exit(3);
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static int agent_main(void)
{
    static struct ccs_agent_setup setup;
    static uint8_t block[CCS_AGENT_SETUP_MAX];
    const unsigned long long fds = open_fds();
    char report[CCS_AGENT_REPORT_MAX];
    char text[1024];
    const char *how = setup.store[0].location;
    size_t len = 0;
    ssize_t n;

    while ((n = read(CCS_AGENT_FD_SETUP, block + len, sizeof(block) - len)) > 0)
        len += (size_t)n;
    if (ccs_agent_setup_decode(block, len, &setup) != CCS_OK)
        _exit(3);
    if (strncmp(how, "/silent", 7) == 0)
        _exit(0);
    if (strncmp(how, "/mute", 5) == 0)
        (void)take_connection();
    len = ccs_agent_report_encode(
        getpid(), strncmp(how, "/refuse", 7) == 0 ? "there is no user \"x\"" : NULL, report);
    if (write(CCS_AGENT_FD_REPORT, report, len) != (ssize_t)len)
        _exit(3);
    close(CCS_AGENT_FD_REPORT);
    if (strncmp(how, "/refuse", 7) == 0)
        _exit(1);
    len = describe(text, sizeof(text), &setup, fds);
    for (;;)
        serve(take_connection(), text, len);
}

/* -- the fixture ------------------------------------------------------------------------------- */

static char self[PATH_MAX];

struct fixture {
    struct ccs_tmp tmp;
    struct ccs_error err;
    unsigned long long fds;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    ccs_tmp_make(&f->tmp);
    ccs_tmp_print(f->tmp.path, "login", "username=svc\npassword=" SECRET "\ndomain=DOM\n");
    ccs_tmp_print(f->tmp.path, "other", "username=svc\npassword=other\n");
    f->fds = open_fds();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(open_fds(), f->fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody's child */
    assert_int_equal(errno, ECHILD);
    ccs_tmp_remove(&f->tmp);
    free(f);
    return 0;
}

static void set(struct ccs_config *cfg, const char *name, const char *value)
{
    struct ccs_error err;

    if (ccs_config_set(cfg, name, value, &err) != CCS_OK)
        fail_msg("%s", err.text);
}

/* login NULL: none */
static struct ccs_config *config(struct fixture *f, const char *store, const char *login)
{
    struct ccs_config *cfg = ccs_config_new();
    char path[400];

    assert_non_null(cfg);
    set(cfg, "store", store);
    set(cfg, "agent", "on");
    if (login != NULL)
        set(cfg, "credentials_file", ccs_tmp_join(path, sizeof(path), f->tmp.path, login));
    return cfg;
}

static struct ccs_agent *start(struct fixture *f, const struct ccs_config *cfg)
{
    struct ccs_agent *agent = NULL;

    if (ccs_agent_start_as(cfg, self, &agent, &f->err) != CCS_OK)
        fail_msg("%s", f->err.text);
    assert_non_null(agent);
    assert_true(ccs_agent_is_alive(agent));
    return agent;
}

/* One that was killed stays as a zombie where nobody reaps orphans. */
static int is_gone(void *arg)
{
    const int32_t *pid = arg;
    char path[64], line[512];
    const char *p;
    FILE *file;
    int gone = 1;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)*pid);
    file = fopen(path, "r");
    if (file == NULL)
        return 1;
    if (fgets(line, sizeof(line), file) != NULL) {
        p = strrchr(line, ')');
        gone = p != NULL && (p[2] == 'Z' || p[2] == 'X');
    }
    fclose(file);
    return gone;
}

static int is_dead(void *arg)
{
    return !ccs_agent_is_alive(arg);
}

static void assert_ends(int32_t pid)
{
    assert_true(ccs_wait_until(is_gone, &pid, 0));
}

/* What the agent says of itself. */
static void ask(struct fixture *f, const struct ccs_agent *agent, char *out, size_t size)
{
    const int64_t deadline = ccs_now_ms() + ccs_wait_scaled(CCS_WAIT_DEFAULT);
    struct ccs_wire_message m = {.type = CCS_WIRE_STATUS};
    struct ccs_agent_link link;
    int fd = -1;

    ccs_agent_link_init(&link);
    assert_int_equal(ccs_agent_connect(agent, &fd, &f->err), CCS_OK);
    assert_int_equal(ccs_agent_link_greet(&link, fd, "/x", 0, deadline, &f->err), CCS_OK);
    assert_int_equal(ccs_agent_link_send(&link, &m, deadline, &f->err), CCS_OK);
    assert_int_equal(ccs_agent_link_receive(&link, &m, deadline, &f->err), CCS_OK);
    assert_int_equal(m.type, CCS_WIRE_STATE);
    assert_true(m.text.len < size);
    memcpy(out, m.text.data, m.text.len);
    out[m.text.len] = '\0';
    ccs_agent_link_close(&link);
}

static void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

/* -- starting ---------------------------------------------------------------------------------- */

static void test_what_it_gets(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/a", "login");
    struct ccs_agent *agent;
    char text[1024];
    int32_t pid;

    set(cfg, "wait", "7s");
    set(cfg, "refresh", "90s");
    set(cfg, "agent_user", "somebody");
    (void)signal(SIGHUP, SIG_IGN);
    agent = start(f, cfg);
    (void)signal(SIGHUP, SIG_DFL);
    ask(f, agent, text, sizeof(text));
    assert_contains(text, "fds=3f ");
    assert_contains(text, "env=PATH=/usr/sbin:/usr/bin:/sbin:/bin|LC_ALL=C.UTF-8 ");
    assert_contains(text, " session=1 plain=1 ");
    assert_contains(text, geteuid() == 0 ? " user=somebody " : " user= ");
    assert_contains(text, " store=/ok/a login=svc|DOM|" SECRET " wait=7000 refresh=90000 stores=1");
    pid = ccs_agent_pid(agent);
    assert_true(pid > 0 && pid != getpid());
    ccs_config_free(cfg);
    ccs_agent_free(agent);
    assert_ends(pid);
}

static void test_descriptors_closed(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/closed", NULL);
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct ccs_agent *agent = NULL;
        char text[1024];

        for (int i = 0; i < 3; i++)
            close(i);
        if (ccs_agent_start_as(cfg, self, &agent, NULL) != CCS_OK)
            _exit(1);
        ask(f, agent, text, sizeof(text));
        _exit(strstr(text, "fds=3f ") != NULL ? 0 : 2);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ccs_config_free(cfg);
}

static void test_no_need(void **state)
{
    struct fixture *f = *state;
    struct ccs_agent *agent = (struct ccs_agent *)(uintptr_t)1;
    struct ccs_config *cfg = ccs_config_new();

    set(cfg, "store", "/some/folder");
    assert_int_equal(ccs_agent_start(cfg, &agent, &f->err), CCS_OK);
    assert_null(agent);
    assert_int_equal(ccs_agent_check(cfg, &f->err), CCS_OK);
    set(cfg, "store", "//no-such-server/share");
    set(cfg, "agent", "/run/somewhere");
    assert_int_equal(ccs_agent_start(cfg, &agent, &f->err), CCS_OK);
    assert_null(agent);
    set(cfg, "agent", "off");
    assert_int_equal(ccs_agent_start(cfg, &agent, &f->err), CCS_EINVAL);
    assert_contains(f->err.text, "mount");
    assert_int_equal(ccs_agent_start(NULL, &agent, &f->err), CCS_EINVAL);
    ccs_agent_free(NULL);
    ccs_config_free(cfg);
}

static void test_failures(void **state)
{
    struct fixture *f = *state;
    struct ccs_agent *const untouched = (struct ccs_agent *)(uintptr_t)1;
    struct ccs_agent *agent = untouched;
    struct ccs_config *cfg = config(f, "/refuse", "login");
    char path[400];

    assert_int_equal(ccs_agent_start_as(cfg, self, &agent, &f->err), CCS_EUNAVAIL);
    assert_string_equal(f->err.text, "ccs-agent failed to start: there is no user \"x\"");
    set(cfg, "store", "/silent");
    assert_int_equal(ccs_agent_start_as(cfg, self, &agent, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, "without saying why");
    ccs_tmp_print(f->tmp.path, "program", "no program\n");
    assert_int_equal(ccs_agent_start_as(cfg,
                                        ccs_tmp_join(path, sizeof(path), f->tmp.path, "program"),
                                        &agent, &f->err),
                     CCS_EUNAVAIL);
    assert_contains(f->err.text, "cannot be executed");
    assert_contains(f->err.text, "/program");
    assert_int_equal(ccs_agent_start_as(cfg, ccs_tmp_join(path, sizeof(path), f->tmp.path, "none"),
                                        &agent, &f->err),
                     CCS_EUNAVAIL);
    assert_int_equal(f->err.sys_errno, ENOENT);
    assert_ptr_equal(agent, untouched);
    assert_null(ccs_agent_previous(cfg));
    ccs_config_free(cfg);
}

static void test_agent_that_never_reports(void **state)
{
    struct fixture *f = *state;
    struct ccs_agent *agent = NULL;
    struct ccs_config *cfg = config(f, "/mute", NULL);

    assert_int_equal(ccs_agent_start_as(cfg, self, &agent, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, "10 seconds");
    assert_null(agent);
    ccs_config_free(cfg);
}

/* -- found again ------------------------------------------------------------------------------- */

static void test_the_same_again(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *one = config(f, "/ok/a", "login");
    struct ccs_config *two = config(f, "/ok/a", "login");
    struct ccs_agent *a = start(f, one);
    struct ccs_agent *b;
    const int32_t pid = ccs_agent_pid(a);

    set(two, "parsed", "77"); /* no concern of the agent's */
    b = start(f, two);
    assert_ptr_equal(a, b);
    ccs_config_set_agent(two, b);
    ccs_agent_free(a);
    ccs_agent_free(b);
    ccs_config_free(one);
    b = start(f, two);
    assert_int_equal(ccs_agent_pid(b), pid);
    ccs_agent_free(b);
    ccs_config_free(two);
    assert_ends(pid);
}

static void test_another_one(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *one = config(f, "/ok/a", "login");
    struct ccs_config *others[4];
    struct ccs_agent *a = start(f, one);
    struct ccs_agent *b;
    struct ccs_agent *c;

    others[0] = config(f, "/ok/b", "login");
    others[1] = config(f, "/ok/a", "other");
    others[2] = config(f, "/ok/a", NULL);
    others[3] = config(f, "/ok/a", "login");
    set(others[3], "refresh", "33s");
    for (size_t i = 0; i < CCS_ARRAY_LEN(others); i++) {
        const int32_t pid = ccs_agent_pid(a);

        b = start(f, others[i]);
        assert_int_not_equal(ccs_agent_pid(b), pid);
        c = ccs_agent_previous(others[i]);
        assert_non_null(c); /* of this or of another configuration for the store */
        ccs_agent_free(c);
        ccs_agent_free(b);
        assert_true(ccs_agent_is_alive(a));
        ccs_config_free(others[i]);
    }
    ccs_agent_free(a);
    ccs_config_free(one);
}

static void test_previous(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *one = config(f, "/ok/a", "login");
    struct ccs_config *two = config(f, "/ok/a", "other");
    struct ccs_config *three = config(f, "/ok/other", "other");
    struct ccs_agent *a = start(f, one);
    struct ccs_agent *b;
    int32_t pid = ccs_agent_pid(a);

    b = ccs_agent_previous(two);
    assert_ptr_equal(a, b);
    ccs_agent_free(b);
    assert_null(ccs_agent_previous(three));
    (void)kill(pid, SIGKILL);
    assert_true(ccs_wait_until(is_dead, a, 0));
    assert_null(ccs_agent_previous(two));
    ccs_agent_free(a);
    ccs_config_free(one);
    ccs_config_free(two);
    ccs_config_free(three);
}

static void test_one_that_died(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/a", "login");
    struct ccs_agent *a = start(f, cfg);
    struct ccs_agent *b;
    const int32_t pid = ccs_agent_pid(a);
    int fd = -1;

    (void)kill(pid, SIGKILL);
    assert_true(ccs_wait_until(is_dead, a, 0));
    assert_int_equal(ccs_agent_connect(a, &fd, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, "ccs-agent has ended");
    b = start(f, cfg);
    assert_int_not_equal(ccs_agent_pid(b), pid);
    ccs_agent_free(a);
    ccs_agent_free(b);
    ccs_config_free(cfg);
}

static void test_executable_replaced(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/a", NULL);
    struct ccs_agent *a;
    struct ccs_agent *b;
    char link[400];

    /* A link to it, put anew: what counts is the file behind it. */
    (void)ccs_tmp_join(link, sizeof(link), f->tmp.path, "ccs-agent");
    assert_int_equal(symlink(self, link), 0);
    assert_int_equal(ccs_agent_start_as(cfg, link, &a, &f->err), CCS_OK);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(self, link), 0);
    assert_int_equal(ccs_agent_start_as(cfg, link, &b, &f->err), CCS_OK);
    assert_ptr_equal(a, b);
    ccs_agent_free(b);
    b = start(f, cfg); /* by another path */
    assert_ptr_not_equal(a, b);
    ccs_agent_free(a);
    ccs_agent_free(b);
    ccs_config_free(cfg);
}

struct starter {
    pthread_t thread;
    const struct ccs_config *cfg;
    struct ccs_agent *agent;
};

static void *start_one(void *arg)
{
    struct starter *s = arg;

    if (ccs_agent_start_as(s->cfg, self, &s->agent, NULL) != CCS_OK)
        s->agent = NULL;
    return NULL;
}

static void test_started_by_many_threads(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/threads", "login");
    struct starter starters[4];

    for (size_t i = 0; i < CCS_ARRAY_LEN(starters); i++) {
        starters[i] = (struct starter){.cfg = cfg};
        assert_int_equal(pthread_create(&starters[i].thread, NULL, start_one, &starters[i]), 0);
    }
    for (size_t i = 0; i < CCS_ARRAY_LEN(starters); i++) {
        pthread_join(starters[i].thread, NULL);
        assert_non_null(starters[i].agent);
        assert_ptr_equal(starters[i].agent, starters[0].agent);
    }
    for (size_t i = 0; i < CCS_ARRAY_LEN(starters); i++)
        ccs_agent_free(starters[i].agent);
    ccs_config_free(cfg);
}

/* -- who holds it ------------------------------------------------------------------------------ */

static void test_lives_as_long_as_a_child(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/child", "login");
    struct ccs_agent *agent = start(f, cfg);
    const int32_t pid = ccs_agent_pid(agent);
    char text[1024];
    char octet = 'x';
    int go[2];
    int status;
    pid_t child;

    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        close(go[1]);
        if (read(go[0], &octet, 1) != 1)
            _exit(1);
        ask(f, agent, text, sizeof(text));
        _exit(0);
    }
    assert_true(child > 0);
    ccs_agent_free(agent);
    ccs_config_free(cfg);
    close(go[0]);
    assert_int_equal(write(go[1], &octet, 1), 1);
    close(go[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_ends(pid);
}

static void test_store_of_a_config(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/store", "login");
    struct ccs_agent *agent = start(f, cfg);
    const int32_t pid = ccs_agent_pid(agent);
    struct ccs_store *store = NULL;
    struct ccs_root root;

    ccs_config_set_agent(cfg, agent);
    ccs_agent_free(agent);
    assert_int_equal(ccs_store_open_config(cfg, &store, &f->err), CCS_OK);
    ccs_config_free(cfg); /* the store has a reference of its own */
    assert_int_equal(ccs_store_probe(store, &root, &f->err), CCS_OK);
    assert_int_equal(root.file_id, 2);
    (void)kill(pid, SIGKILL);
    assert_ends(pid);
    assert_int_equal(ccs_store_probe(store, &root, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, "/ok/store");
    assert_contains(f->err.text, "ccs-agent has ended");
    ccs_store_close(store);
}

/* -- the login --------------------------------------------------------------------------------- */

static void test_login_is_wiped(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *top = config(f, "/ok/wiped", "login");
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_agent *a;
    struct ccs_agent *b = NULL;

    assert_int_equal(ccs_config_inherit(cfg, top, NULL), CCS_OK);
    a = start(f, cfg);
    ccs_config_wipe_login(top);
    b = start(f, cfg); /* it is known by what it was started with */
    assert_ptr_equal(a, b);
    ccs_agent_free(b);
    (void)kill(ccs_agent_pid(a), SIGKILL);
    assert_true(ccs_wait_until(is_dead, a, 0));
    assert_int_equal(ccs_agent_start_as(cfg, self, &b, &f->err), CCS_EUNAVAIL);
    assert_contains(f->err.text, "credentials");
    ccs_agent_free(a);
    ccs_config_free(cfg);
    ccs_config_free(top);
}

static void test_login_is_not_inherited(void **state)
{
    struct fixture *f = *state;
    struct ccs_config *cfg = config(f, "/ok/fork", "login");
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct ccs_agent *agent = NULL;
        struct ccs_error err;

        _exit(ccs_agent_start_as(cfg, self, &agent, &err) == CCS_EUNAVAIL &&
                      strstr(err.text, "credentials") != NULL
                  ? 0
                  : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    ccs_config_free(cfg);
}

/* -- the executable ---------------------------------------------------------------------------- */

static void copy_self(const char *to)
{
    const int in = open(self, O_RDONLY | O_CLOEXEC);
    const int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    char block[65536];
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0)
        assert_int_equal(write(out, block, (size_t)n), n);
    assert_int_equal(n, 0);
    close(in);
    close(out);
}

/* What the copy of this program does: it finds the agent beside itself, or not. */
static int find_agent(struct ccs_config *cfg)
{
    struct ccs_agent *agent = NULL;
    struct ccs *ccs = NULL;
    struct ccs_error err;

    if (ccs_config_set(cfg, "store", "/ok/found", &err) != CCS_OK ||
        ccs_config_set(cfg, "agent", "on", &err) != CCS_OK)
        return 3;
    if (ccs_agent_check(cfg, &err) != CCS_OK)
        return strstr(err.text, "/ccs-agent cannot be executed") != NULL ? 4 : 3;
    if (ccs_agent_start(cfg, &agent, &err) != CCS_OK)
        return 3;
    ccs_agent_free(agent);
    /* Opening an instance starts one itself, which ends with it. */
    if (ccs_open(cfg, &ccs, &err) != CCS_OK)
        return 3;
    agent = ccs_agent_previous(cfg);
    ccs_close(ccs);
    if (agent == NULL)
        return 5;
    ccs_agent_free(agent);
    return 0;
}

static _Noreturn void find_main(void)
{
    struct ccs_config *cfg = ccs_config_new();
    const int rv = cfg != NULL ? find_agent(cfg) : 3;

    ccs_config_free(cfg);
    fflush(NULL);
    _exit(rv); /* threads that did not end in time may hold memory still */
}

static int run_copy(const char *path)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        (void)execl(path, path, "find", (char *)NULL);
        _exit(3);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_executable_is_found(void **state)
{
    struct fixture *f = *state;
    char program[400];
    char agent[400];

    ccs_tmp_mkdir(f->tmp.path, "lib");
    ccs_tmp_mkdir(f->tmp.path, "bin");
    copy_self(ccs_tmp_join(program, sizeof(program), f->tmp.path, "lib/program"));
    if (access("/usr/local/libexec/ccs-agent", X_OK) != 0)
        assert_int_equal(run_copy(program), 4);
    assert_int_equal(
        symlink(self, ccs_tmp_join(agent, sizeof(agent), f->tmp.path, "bin/ccs-agent")), 0);
    assert_int_equal(run_copy(program), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_it_gets),
        TEST(test_descriptors_closed),
        TEST(test_no_need),
        TEST(test_failures),
        TEST(test_agent_that_never_reports),
        TEST(test_the_same_again),
        TEST(test_another_one),
        TEST(test_previous),
        TEST(test_one_that_died),
        TEST(test_executable_replaced),
        TEST(test_started_by_many_threads),
        TEST(test_lives_as_long_as_a_child),
        TEST(test_store_of_a_config),
        TEST(test_login_is_wiped),
        TEST(test_login_is_not_inherited),
        TEST(test_executable_is_found),
    };

    if (argc == 1 && strcmp(argv[0], "ccs-agent") == 0)
        return agent_main();
    if (argc == 2 && strcmp(argv[1], "find") == 0)
        find_main();
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
