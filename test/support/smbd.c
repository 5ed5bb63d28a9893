/* SPDX-License-Identifier: Apache-2.0 */
#include "smbd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/rand.h>

#include "process.h"
#include "tmp.h"

#define USER        "svc-ccs"
#define START_TRIES 5
#define PORT_TRIES  200
#define PORT_LEAST  10000 /* below those that the kernel gives out by itself */
#define PORT_COUNT  20000
#define SESSIONS    64
#define BASE_MAX    40 /* octets of the folder's parent: paths of sockets have little room */

static char *const environment[] = {(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                    (char *)(uintptr_t) "LC_ALL=C", NULL};

/* -- files ---------------------------------------------------------------------------------- */

static void random_hex(char *out, size_t octets)
{
    unsigned char data[32];

    assert_true(octets <= sizeof(data));
    assert_int_equal(RAND_bytes(data, (int)octets), 1);
    for (size_t i = 0; i < octets; i++)
        snprintf(out + 2 * i, 3, "%02x", data[i]);
}

static void make_folders(struct ccs_smbd *smbd)
{
    static const char *const names[] = {"state", "cache", "lock", "pid", "priv", "rpc", "share"};
    const char *base = getenv("TMPDIR");

    if (base == NULL || base[0] != '/' || strlen(base) > BASE_MAX)
        base = "/tmp";
    snprintf(smbd->dir, sizeof(smbd->dir), "%s/ccs-smbd-XXXXXX", base);
    if (mkdtemp(smbd->dir) == NULL)
        fail_msg("%s: %s", smbd->dir, strerror(errno));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ccs_tmp_mkdir(smbd->dir, names[i]);
    if (smbd->spec.folder != NULL)
        snprintf(smbd->folder, sizeof(smbd->folder), "%s", smbd->spec.folder);
    else
        ccs_tmp_join(smbd->folder, sizeof(smbd->folder), smbd->dir, "share");
}

static const char *account(void)
{
    const struct passwd *entry = getpwuid(geteuid());

    if (entry == NULL)
        fail_msg("user id %u has no name, so that smbd cannot serve it", (unsigned)geteuid());
    return entry->pw_name;
}

static void write_conf(const struct ccs_smbd *smbd)
{
    static const char *const encryption[] = {"required", "desired", "off"};
    const struct ccs_smbd_spec *spec = &smbd->spec;
    const char *dir = smbd->dir;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    fprintf(out,
            "[global]\nserver role = standalone server\nworkgroup = CCSTEST\n"
            "netbios name = CCSHOST\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n"
            "smb ports = %d\ndisable netbios = yes\nserver min protocol = %s\n",
            smbd->port, spec->min_protocol != NULL ? spec->min_protocol : "SMB3");
    if (spec->max_protocol != NULL)
        fprintf(out, "server max protocol = %s\n", spec->max_protocol);
    fprintf(out,
            "server smb encrypt = %s\nmap to guest = never\nrestrict anonymous = 2\n"
            "passdb backend = tdbsam:%s/priv/passdb.tdb\nusername map = %s/users\n"
            "private dir = %s/priv\nstate directory = %s/state\ncache directory = %s/cache\n"
            "lock directory = %s/lock\npid directory = %s/pid\nncalrpc dir = %s/rpc\n",
            encryption[spec->encryption], dir, dir, dir, dir, dir, dir, dir, dir);
    fprintf(out,
            "log file = %s/log\nmax log size = 0\nlog level = 1 auth_audit:3%s\n"
            "load printers = no\nprinting = bsd\nprintcap name = /dev/null\n"
            "disable spoolss = yes\nusershare max shares = 0\n",
            dir, spec->trace ? " smb2:10" : "");
    if (!smbd->removed)
        fprintf(out, "[certs]\npath = %s\nread only = no\n", smbd->folder);
    fprintf(out, "[denied]\npath = %s\nvalid users = nobody-of-this-name\n", smbd->folder);
    fclose(out);
    ccs_tmp_replace(dir, "smb.conf", text, len);
    free(text);
}

/* -- processes ------------------------------------------------------------------------------ */

/* In the child: output to dir/<name>, nothing but that and standard input stays open. */
static void redirect(const char *dir, const char *name)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        _exit(126);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    for (fd = 3; fd < 256; fd++)
        close(fd);
}

/* Runs a tool to its end with this text on its standard input. */
static void run_tool(const struct ccs_smbd *smbd, char *const argv[], const char *input)
{
    const size_t len = strlen(input);
    pid_t parent = getpid(), pid;
    int fds[2], status;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], input, len), (ssize_t)len);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(126);
        dup2(fds[0], STDIN_FILENO);
        redirect(smbd->dir, "tools");
        execvpe(argv[0], argv, environment);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(fds[0]);
    close(fds[1]);
    assert_true(pid > 0);
    status = ccs_process_wait(pid);
    if (status != 0) {
        (void)kill(pid, SIGKILL);
        fail_msg("%s ends with %d, see %s/tools (is Debian's package samba installed?)", argv[0],
                 status, smbd->dir);
    }
}

static void set_password(const struct ccs_smbd *smbd)
{
    char conf[300], input[128];
    char *argv[] = {(char *)(uintptr_t) "pdbedit",
                    (char *)(uintptr_t) "-s",
                    conf,
                    (char *)(uintptr_t) "-t",
                    (char *)(uintptr_t) "-a",
                    (char *)(uintptr_t) "-u",
                    (char *)(uintptr_t)account(),
                    NULL};

    ccs_tmp_join(conf, sizeof(conf), smbd->dir, "smb.conf");
    snprintf(input, sizeof(input), "%s\n%s\n", smbd->password, smbd->password);
    run_tool(smbd, argv, input);
}

static void exec_smbd(const struct ccs_smbd *smbd, const char *conf)
{
    char *argv[] = {
        (char *)(uintptr_t) "smbd", (char *)(uintptr_t) "-F", (char *)(uintptr_t) "--debug-stdout",
        (char *)(uintptr_t) "-s",   (char *)(uintptr_t)conf,  NULL};
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(null, STDIN_FILENO);
    redirect(smbd->dir, "log");
    execvpe(argv[0], argv, environment);
    dprintf(STDERR_FILENO, "smbd: %s\n", strerror(errno));
    _exit(127);
}

/*
 * smbd changes its user, so that it cannot be told to die with its parent. This process can: it
 * starts smbd, tells its pid, waits for either to end, and takes the whole group along. Not even
 * standard error may stay open in it, or who waits for the end of the test's output would wait.
 */
static void keep(const struct ccs_smbd *smbd, int report)
{
    sigset_t set;
    pid_t pid;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid = fork();
    if (pid == 0) {
        char conf[300];

        snprintf(conf, sizeof(conf), "%s/smb.conf", smbd->dir);
        exec_smbd(smbd, conf);
    }
    if (write(report, &pid, sizeof(pid)) != sizeof(pid) || pid < 0)
        _exit(1);
    redirect(smbd->dir, "keeper");
    do {
        if (sigwait(&set, &sig) != 0)
            sig = SIGTERM;
    } while (sig == SIGCHLD && waitpid(pid, NULL, WNOHANG) == 0);
    /* It makes a session of its own, and so a group, but not at once. */
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    _exit(0);
}

static void launch(struct ccs_smbd *smbd)
{
    const pid_t parent = getpid();
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    smbd->keeper = fork();
    if (smbd->keeper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(126);
        keep(smbd, fds[1]);
    }
    close(fds[1]);
    assert_true(smbd->keeper > 0);
    if (read(fds[0], &smbd->pid, sizeof(smbd->pid)) != sizeof(smbd->pid))
        smbd->pid = -1;
    close(fds[0]);
    assert_true(smbd->pid > 0);
}

static void end(struct ccs_smbd *smbd)
{
    if (smbd->keeper > 0)
        ccs_process_end(smbd->keeper);
    smbd->keeper = 0;
    smbd->pid = 0;
}

/* -- start ---------------------------------------------------------------------------------- */

static int can_bind(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    assert_true(fd >= 0);
    rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return rc == 0;
}

/* One that stays free while the server is down. */
static int choose_port(void)
{
    uint16_t number;
    int port;

    for (int i = 0; i < PORT_TRIES; i++) {
        assert_int_equal(RAND_bytes((unsigned char *)&number, sizeof(number)), 1);
        port = PORT_LEAST + number % PORT_COUNT;
        if (can_bind(port))
            return port;
    }
    fail_msg("no free port");
    return 0;
}

static size_t log_count(const struct ccs_smbd *smbd, const char *a, const char *b)
{
    char *log = NULL, *rest, *line;
    size_t count = 0, len = 0;

    if (smbd->dir[0] != '\0')
        log = ccs_tmp_read(smbd->dir, "log", &len);
    for (size_t i = 0; i < len; i++) {
        if (log[i] == '\0')
            log[i] = ' ';
    }
    rest = log;
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
        count += strstr(line, a) != NULL && (b == NULL || strstr(line, b) != NULL);
    free(log);
    return count;
}

static int ready(void *arg)
{
    const struct ccs_smbd *smbd = arg;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)smbd->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd, rc;

    if (ccs_process_ended(smbd->keeper))
        return 1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return rc == 0;
}

/* 0 if it has ended instead, as when another program has the port. */
static int try_start(struct ccs_smbd *smbd)
{
    launch(smbd);
    if (!ccs_wait_until(ready, smbd, 0))
        fail_msg("smbd does not accept connections, see %s/log", smbd->dir);
    if (!ccs_process_ended(smbd->keeper))
        return 1;
    end(smbd);
    return 0;
}

static void show_log(const struct ccs_smbd *smbd)
{
    char *log = ccs_tmp_read(smbd->dir, "log", NULL);

    fputs(log != NULL ? log : "", stderr);
    free(log);
}

void ccs_smbd_start(struct ccs_smbd *smbd, const struct ccs_smbd_spec *spec)
{
    char map[100];

    memset(smbd, 0, sizeof(*smbd));
    if (spec != NULL)
        smbd->spec = *spec;
    make_folders(smbd);
    snprintf(smbd->user, sizeof(smbd->user), "%s", USER);
    snprintf(smbd->password, sizeof(smbd->password), "Pw-");
    random_hex(smbd->password + 3, 16);
    snprintf(map, sizeof(map), "%s = %s\n", account(), smbd->user);
    ccs_tmp_print(smbd->dir, "users", map);
    smbd->port = choose_port();
    write_conf(smbd);
    set_password(smbd);
    for (int round = 0; round < START_TRIES; round++) {
        if (try_start(smbd))
            return;
        smbd->port = choose_port();
        write_conf(smbd);
    }
    show_log(smbd);
    fail_msg("smbd does not start");
}

void ccs_smbd_kill(struct ccs_smbd *smbd)
{
    end(smbd);
}

void ccs_smbd_revive(struct ccs_smbd *smbd)
{
    for (int round = 0; round < START_TRIES; round++) {
        if (try_start(smbd))
            return;
        ccs_wait_pass(100);
    }
    show_log(smbd);
    fail_msg("smbd does not start again");
}

void ccs_smbd_stop(struct ccs_smbd *smbd)
{
    struct ccs_tmp tmp;

    end(smbd);
    snprintf(tmp.path, sizeof(tmp.path), "%s", smbd->dir);
    smbd->dir[0] = '\0';
    ccs_tmp_remove(&tmp);
}

/* -- what it does to clients ---------------------------------------------------------------- */

void ccs_smbd_freeze(const struct ccs_smbd *smbd)
{
    assert_int_equal(kill(-smbd->pid, SIGSTOP), 0);
}

void ccs_smbd_thaw(const struct ccs_smbd *smbd)
{
    assert_int_equal(kill(-smbd->pid, SIGCONT), 0);
}

/* Of the children only those with sessions have kept the name. */
static size_t find_sessions(const struct ccs_smbd *smbd, pid_t *out)
{
    pid_t children[SESSIONS];
    const size_t all = ccs_process_children(smbd->pid, NULL, children, SESSIONS);
    size_t count = 0;
    char dir[40], *name;

    for (size_t i = 0; i < all; i++) {
        snprintf(dir, sizeof(dir), "/proc/%d", (int)children[i]);
        name = ccs_tmp_read(dir, "comm", NULL);
        if (name != NULL && strcmp(name, "smbd\n") == 0)
            out[count++] = children[i];
        free(name);
    }
    return count;
}

size_t ccs_smbd_sessions(const struct ccs_smbd *smbd)
{
    pid_t pids[SESSIONS];

    return find_sessions(smbd, pids);
}

void ccs_smbd_drop(const struct ccs_smbd *smbd)
{
    pid_t pids[SESSIONS];
    const size_t count = find_sessions(smbd, pids);

    for (size_t i = 0; i < count; i++)
        (void)kill(pids[i], SIGKILL);
}

void ccs_smbd_set_password(struct ccs_smbd *smbd, const char *password)
{
    snprintf(smbd->password, sizeof(smbd->password), "%s", password);
    set_password(smbd);
    ccs_smbd_drop(smbd);
}

void ccs_smbd_remove_share(struct ccs_smbd *smbd)
{
    char conf[300];
    char *argv[] = {(char *)(uintptr_t) "smbcontrol",
                    (char *)(uintptr_t) "-s",
                    conf,
                    (char *)(uintptr_t) "smbd",
                    (char *)(uintptr_t) "close-share",
                    (char *)(uintptr_t) "certs",
                    NULL};

    smbd->removed = 1;
    write_conf(smbd);
    assert_int_equal(kill(-smbd->pid, SIGHUP), 0);
    ccs_tmp_join(conf, sizeof(conf), smbd->dir, "smb.conf");
    run_tool(smbd, argv, "");
}

void ccs_smbd_restore_share(struct ccs_smbd *smbd)
{
    smbd->removed = 0;
    write_conf(smbd);
    assert_int_equal(kill(-smbd->pid, SIGHUP), 0);
}

/* -- what it has seen ----------------------------------------------------------------------- */

size_t ccs_smbd_logons(const struct ccs_smbd *smbd)
{
    return log_count(smbd, "Auth: [SMB2", "status [NT_STATUS_OK]");
}

size_t ccs_smbd_refusals(const struct ccs_smbd *smbd)
{
    return log_count(smbd, "Auth: [SMB2", NULL) - ccs_smbd_logons(smbd);
}

size_t ccs_smbd_listings(const struct ccs_smbd *smbd)
{
    return log_count(smbd, "STATUS_NO_MORE_FILES", "smb2_query_directory");
}

char *ccs_smbd_unc(const struct ccs_smbd *smbd, const char *share, char *out, size_t size)
{
    const int n = snprintf(out, size, "//127.0.0.1:%d/%s", smbd->port, share);

    assert_true(n > 0 && (size_t)n < size);
    return out;
}

void ccs_smbd_credentials(const struct ccs_smbd *smbd, const char *dir, const char *name,
                          const char *password)
{
    char path[512], text[200];
    int fd;

    snprintf(text, sizeof(text), "username=%s\npassword=%s\n", smbd->user,
             password != NULL ? password : smbd->password);
    ccs_tmp_join(path, sizeof(path), dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    memset(text, 0, sizeof(text));
}
