/* SPDX-License-Identifier: Apache-2.0 */
/* A private smbd that shows the demo's store: its own port, folders, user and password. */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_LIMIT_MS 15000
#define SHARE_USER     "svc-certs"

static int share_folders(const char *dir)
{
    static const char *const names[] = {"smb",     "smb/state", "smb/cache", "smb/lock",
                                        "smb/pid", "smb/priv",  "smb/rpc"};
    char path[DEMO_PATH_SIZE];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (mkdir(demo_path(path, dir, names[i]), 0700) != 0) {
            return demo_fail("%s: %s", path, strerror(errno));
        }
    }
    return 0;
}

/* A file that only its owner may read. */
static int share_write_closed(const char *path, const char *text)
{
    const mode_t before = umask(077);
    const int rv = demo_write(path, text, strlen(text));

    umask(before);
    return rv;
}

static int share_configure(const struct demo_share *share, const char *dir, const char *account)
{
    char path[DEMO_PATH_SIZE], text[4096];
    int len = snprintf(text, sizeof(text),
                       "[global]\n"
                       "server role = standalone server\n"
                       "interfaces = 127.0.0.1\n"
                       "bind interfaces only = yes\n"
                       "smb ports = %d\n"
                       "disable netbios = yes\n"
                       "server min protocol = SMB3\n"
                       "server smb encrypt = required\n"
                       "map to guest = never\n"
                       "restrict anonymous = 2\n"
                       "passdb backend = tdbsam:%s/smb/priv/passdb.tdb\n"
                       "username map = %s/smb/users\n"
                       "private dir = %s/smb/priv\n"
                       "state directory = %s/smb/state\n"
                       "cache directory = %s/smb/cache\n"
                       "lock directory = %s/smb/lock\n"
                       "pid directory = %s/smb/pid\n"
                       "ncalrpc dir = %s/smb/rpc\n"
                       "log file = %s/smb/log\n"
                       "load printers = no\n"
                       "printcap name = /dev/null\n"
                       "disable spoolss = yes\n"
                       "usershare max shares = 0\n"
                       "[certs]\n"
                       "path = %s/store\n",
                       share->port, dir, dir, dir, dir, dir, dir, dir, dir, dir, dir);

    if (len < 0 || (size_t)len >= sizeof(text)) {
        return demo_fail("the path of the temporary folder is too long");
    }
    if (demo_write(demo_path(path, dir, "smb/smb.conf"), text, (size_t)len) != 0) {
        return -1;
    }
    len = snprintf(text, sizeof(text), "%s = %s\n", account, SHARE_USER);
    return demo_write(demo_path(path, dir, "smb/users"), text, (size_t)len);
}

/* The user with a password that nobody will ever type: for Samba, and for whoever logs on. */
static int share_user(const char *dir, const char *account)
{
    char conf[DEMO_PATH_SIZE], log[DEMO_PATH_SIZE], path[DEMO_PATH_SIZE], text[256], hex[33];
    const char *argv[] = {
        "sh", "-c", "pdbedit -s \"$1\" -t -a -u \"$2\" <\"$3\"", "sh", conf, account, path, NULL};
    unsigned char octets[16];

    if (getrandom(octets, sizeof(octets), 0) != sizeof(octets)) {
        return demo_fail("no random octets: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof(octets); i++) {
        snprintf(hex + 2 * i, 3, "%02x", octets[i]);
    }
    demo_path(conf, dir, "smb/smb.conf");
    demo_path(log, dir, "smb/pdbedit.log");
    snprintf(text, sizeof(text), "%s\n%s\n", hex, hex);
    if (share_write_closed(demo_path(path, dir, "smb/password"), text) != 0 ||
        demo_run(argv, log) != 0) {
        return -1;
    }
    unlink(path);
    snprintf(text, sizeof(text), "username=%s\npassword=%s\n", SHARE_USER, hex);
    return share_write_closed(demo_path(path, dir, "credentials"), text);
}

int demo_share_make(struct demo_share *share, const char *dir)
{
    const struct passwd *account = getpwuid(geteuid());

    if (account == NULL) {
        return demo_fail("user id %u has no name, so that Samba cannot serve it",
                         (unsigned)geteuid());
    }
    share->port = demo_free_port();
    if (share->port < 0) {
        return demo_fail("there is no free port on 127.0.0.1");
    }
    demo_path(share->log, dir, "smb/smbd.log");
    demo_path(share->conf, dir, "smb/smb.conf");
    snprintf(share->location, sizeof(share->location), "\\\\127.0.0.1:%d\\certs", share->port);
    return share_folders(dir) != 0 || share_configure(share, dir, account->pw_name) != 0 ||
                   share_user(dir, account->pw_name) != 0
               ? -1
               : 0;
}

/*
 * smbd changes its user back and forth, and so would forget that it is to end with the demo. But it
 * ends when a pipe that is its standard input does, and this one ends with the demo.
 */
static pid_t share_launch(struct demo_share *share)
{
    const char *argv[] = {"smbd",      "-F", "--no-process-group", "--debug-stdout", "-s",
                          share->conf, NULL};
    const int input = dup(STDIN_FILENO);
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        if (input >= 0) {
            close(input);
        }
        return demo_fail("pipe: %s", strerror(errno));
    }
    dup2(fds[0], STDIN_FILENO);
    close(fds[0]);
    pid = demo_start(argv, share->log);
    if (input >= 0) {
        dup2(input, STDIN_FILENO);
        close(input);
    } else {
        close(STDIN_FILENO);
    }
    share->lifeline = fds[1];
    return pid;
}

int demo_share_start(struct demo_share *share)
{
    const double deadline = demo_clock_ms() + START_LIMIT_MS;

    share->pid = share_launch(share);
    while (demo_running(share->pid)) {
        if (demo_answers(share->port)) {
            return 0;
        }
        if (demo_clock_ms() > deadline) {
            return demo_fail("smbd does not answer on 127.0.0.1:%d", share->port);
        }
        demo_pause_ms(10);
    }
    if (share->pid > 0) {
        close(share->lifeline);
    }
    share->pid = 0;
    demo_fail("smbd does not start:");
    demo_show_log(share->log);
    return -1;
}

void demo_share_stop(struct demo_share *share)
{
    if (share->pid <= 0) {
        return;
    }
    /* Its sessions are in its process group. */
    kill(-share->pid, SIGTERM);
    demo_end(share->pid);
    close(share->lifeline);
    share->pid = 0;
}
