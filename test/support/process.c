/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tmp.h"

#define CHILDREN_MAX 64

int ccs_process_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

static int ended(void *arg)
{
    return ccs_process_ended(*(pid_t *)arg);
}

static int reap(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int ccs_process_wait(pid_t pid)
{
    if (!ccs_wait_until(ended, &pid, 0)) {
        return -1;
    }
    return reap(pid);
}

void ccs_process_end(pid_t pid)
{
    pid_t children[CHILDREN_MAX];
    size_t count, i;

    (void)kill(pid, SIGTERM);
    if (!ccs_wait_until(ended, &pid, 0)) {
        count = ccs_process_children(pid, NULL, children, CHILDREN_MAX);
        for (i = 0; i < count; i++) {
            (void)kill(children[i], SIGKILL);
        }
        (void)kill(pid, SIGKILL);
    }
    (void)reap(pid);
}

/* The parent in /proc/<pid>/stat, which comes second behind the name in parentheses. */
static pid_t parent_of(const char *dir)
{
    char *text = ccs_tmp_read(dir, "stat", NULL), *at;
    int parent = 0;
    char state;

    at = text != NULL ? strrchr(text, ')') : NULL;
    if (at == NULL || sscanf(at + 1, " %c %d", &state, &parent) != 2 || state == 'Z') {
        parent = 0;
    }
    free(text);
    return parent;
}

static int titled(const char *dir, const char *title)
{
    char *text = ccs_tmp_read(dir, "cmdline", NULL);
    size_t len;
    int equal;

    if (text == NULL) {
        return 0;
    }
    len = strlen(text);
    while (len > 0 && text[len - 1] == ' ') {
        text[--len] = '\0';
    }
    equal = strcmp(text, title) == 0;
    free(text);
    return equal;
}

size_t ccs_process_children(pid_t parent, const char *title, pid_t *out, size_t max)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;
    char dir[300];

    while (proc != NULL && count < max && (entry = readdir(proc)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') {
            continue;
        }
        snprintf(dir, sizeof(dir), "/proc/%s", entry->d_name);
        if (parent_of(dir) == parent && (title == NULL || titled(dir, title))) {
            out[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return count;
}

/* Field `number` of /proc/<pid>/stat, counted from 1 as in proc(5); past the name only. */
static long stat_field(pid_t pid, int number)
{
    char dir[40], *text, *at, *rest = NULL;
    long value = -1;
    int i;

    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    text = ccs_tmp_read(dir, "stat", NULL);
    at = text != NULL ? strrchr(text, ')') : NULL;
    if (at != NULL) {
        at = strtok_r(at + 1, " ", &rest);
        for (i = 3; i < number && at != NULL; i++) {
            at = strtok_r(NULL, " ", &rest);
        }
        value = at != NULL ? strtol(at, NULL, 10) : -1;
    }
    free(text);
    return value;
}

long ccs_process_cpu_ms(pid_t pid)
{
    return (stat_field(pid, 14) + stat_field(pid, 15)) * 1000 / sysconf(_SC_CLK_TCK);
}

int ccs_process_threads(pid_t pid)
{
    return (int)stat_field(pid, 20);
}

size_t ccs_process_tasks(pid_t pid, pid_t *out, size_t max)
{
    struct dirent *entry;
    size_t count = 0;
    char path[40];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir != NULL && count < max && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            out[count++] = (pid_t)strtol(entry->d_name, NULL, 10);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}
