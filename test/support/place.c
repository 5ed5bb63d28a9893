/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tmp.h"

void ccs_place_choose_ports(int port[CCS_PLACE_PORTS])
{
    int fds[CCS_PLACE_PORTS], i;

    for (i = 0; i < CCS_PLACE_PORTS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(address);

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
        assert_int_equal(bind(fds[i], (struct sockaddr *)&address, len), 0);
        assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &len), 0);
        port[i] = ntohs(address.sin_port);
    }
    for (i = 0; i < CCS_PLACE_PORTS; i++) {
        close(fds[i]);
    }
}

int ccs_place_accepts(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return rc == 0;
}

void ccs_place_expand(const char *dir, const int port[CCS_PLACE_PORTS], const char *text, FILE *out)
{
    const char *at, *end;

    while ((at = strchr(text, '@')) != NULL && (end = strchr(at + 1, '@')) != NULL) {
        fwrite(text, 1, (size_t)(at - text), out);
        if (strncmp(at, "@DIR@", 5) == 0) {
            fputs(dir, out);
        } else if (strncmp(at, "@STORE@", 7) == 0) {
            fprintf(out, "%s/store", dir);
        } else if (strncmp(at, "@PORT", 5) == 0 && at[5] >= '1' && at[5] < '1' + CCS_PLACE_PORTS) {
            fprintf(out, "127.0.0.1:%d", port[at[5] - '1']);
        } else {
            fail_msg("no such word: %.20s", at);
        }
        text = end + 1;
    }
    fputs(text, out);
}

static size_t count_text(const char *in, const char *text)
{
    size_t count = 0;

    while (in != NULL && (in = strstr(in, text)) != NULL) {
        in += strlen(text);
        count++;
    }
    return count;
}

size_t ccs_place_logged(const char *dir, const char *text)
{
    char *log = ccs_tmp_read(dir, "error.log", NULL);
    size_t count = count_text(log, text);

    free(log);
    return count;
}

struct sought {
    const char *dir, *text;
    size_t times;
};

static int found(void *arg)
{
    struct sought *sought = arg;

    return ccs_place_logged(sought->dir, sought->text) >= sought->times;
}

void ccs_place_wait_log(const char *dir, const char *text, size_t times)
{
    struct sought sought = {dir, text, times};

    if (!ccs_wait_until(found, &sought, 0)) {
        fail_msg("not in the log: %s", text);
    }
}

int ccs_place_complain(const char *dir, const char *text)
{
    char *log = ccs_tmp_read(dir, "error.log", NULL), *rest = log, *line;
    int bad = 0;

    while (log != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (strstr(line, text) != NULL) {
            fprintf(stderr, "%s\n", line);
            bad = 1;
        }
    }
    free(log);
    return bad;
}

int ccs_place_reports(const char *dir)
{
    DIR *open = opendir(dir);
    struct dirent *entry;
    int bad = 0;
    char *text;

    while (open != NULL && (entry = readdir(open)) != NULL) {
        if (strncmp(entry->d_name, "sanitizer.", 10) == 0) {
            text = ccs_tmp_read(dir, entry->d_name, NULL);
            fprintf(stderr, "%s\n", text != NULL ? text : entry->d_name);
            free(text);
            bad = 1;
        }
    }
    if (open != NULL) {
        closedir(open);
    }
    return bad;
}

void ccs_place_slow(const char *dir, const char *how)
{
    ccs_tmp_replace(dir, "slow", how, strlen(how));
}

size_t ccs_place_opened(const char *dir, const char *prefix)
{
    char *log = ccs_tmp_read(dir, "slow.log", NULL), line[300];
    size_t count;

    snprintf(line, sizeof(line), "\n%s", prefix);
    count = count_text(log, line);
    count += log != NULL && strncmp(log, prefix, strlen(prefix)) == 0;
    free(log);
    return count;
}

pid_t ccs_place_exec(const char *dir, const char *const *argv, char *const *envp,
                     const char *output, int own_group)
{
    pid_t parent = getpid(), pid;
    char path[512];
    int fd;

    ccs_tmp_join(path, sizeof(path), dir, output);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        /* TERM, not KILL: a server takes its children with it. */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) {
            _exit(126);
        }
        if (own_group)
            setpgid(0, 0);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execve(argv[0], (char *const *)(uintptr_t)argv, envp);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(fd);
    if (pid < 0) {
        fail_msg("fork: %s", strerror(errno));
    }
    return pid;
}
