/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_LIMIT_MS 60000
#define END_LIMIT_MS 5000

int demo_fail(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("ccs-demo: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return -1;
}

double demo_clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

void demo_pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

char *demo_path(char *out, const char *dir, const char *name)
{
    snprintf(out, DEMO_PATH_SIZE, "%s/%s", dir, name);
    return out;
}

int demo_write(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    int bad;

    if (f == NULL) {
        return demo_fail("%s: %s", path, strerror(errno));
    }
    bad = fwrite(data, 1, len, f) != len;
    if (fclose(f) != 0 || bad) {
        return demo_fail("%s: %s", path, strerror(errno));
    }
    return 0;
}

/* The end of a file, as a string. */
static size_t demo_tail(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    long end;

    if (f != NULL) {
        if (fseek(f, 0, SEEK_END) == 0 && (end = ftell(f)) >= 0) {
            fseek(f, end >= (long)size ? end - (long)size + 1 : 0, SEEK_SET);
            n = fread(out, 1, size - 1, f);
        }
        fclose(f);
    }
    out[n] = '\0';
    return n;
}

void demo_show_log(const char *path)
{
    char text[4096];
    size_t n = demo_tail(path, text, sizeof(text));

    fwrite(text, 1, n, stderr);
}

int demo_log_says(const char *path, const char *words)
{
    char text[4096];

    demo_tail(path, text, sizeof(text));
    return strstr(text, words) != NULL;
}

pid_t demo_start(const char *const argv[], const char *log)
{
    pid_t parent = getpid();
    pid_t pid;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0) {
        return demo_fail("%s: %s", log, strerror(errno));
    }
    pid = fork();
    if (pid < 0) {
        demo_fail("fork: %s", strerror(errno));
    } else if (pid == 0) {
        char *args[32];
        sigset_t none;
        size_t i;

        for (i = 0; argv[i] != NULL && i + 1 < sizeof(args) / sizeof(args[0]); i++) {
            args[i] = strdup(argv[i]);
        }
        args[i] = NULL;
        /* A group of its own, so that Ctrl-C ends it through the demo and in the demo's order. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (args[0] == NULL || getppid() != parent || dup2(fd, STDOUT_FILENO) < 0 ||
            dup2(fd, STDERR_FILENO) < 0) {
            _exit(127);
        }
        execvp(args[0], args);
        fprintf(stderr, "%s: %s\n", args[0], strerror(errno));
        _exit(127);
    }
    close(fd);
    return pid;
}

/* 1: it ended, with *status; 0: the time was not enough. */
static int demo_wait(pid_t pid, int *status, double limit_ms)
{
    double deadline = demo_clock_ms() + limit_ms;
    pid_t got;

    while ((got = waitpid(pid, status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (demo_clock_ms() > deadline) {
            return 0;
        }
        demo_pause_ms(2);
    }
    return 1;
}

void demo_end(pid_t pid)
{
    int status;

    if (pid <= 0) {
        return;
    }
    kill(pid, SIGTERM);
    if (!demo_wait(pid, &status, END_LIMIT_MS)) {
        kill(-pid, SIGKILL);
        demo_wait(pid, &status, END_LIMIT_MS);
    }
}

int demo_running(pid_t pid)
{
    int status;

    return pid > 0 && !demo_wait(pid, &status, 0);
}

int demo_run(const char *const argv[], const char *log)
{
    pid_t pid = demo_start(argv, log);
    int status = 0;

    if (pid < 0) {
        return -1;
    }
    if (!demo_wait(pid, &status, RUN_LIMIT_MS)) {
        demo_end(pid);
        return demo_fail("%s did not end within a minute", argv[0]);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        demo_fail("%s %s failed:", argv[0], argv[1] != NULL ? argv[1] : "");
        demo_show_log(log);
        return -1;
    }
    return 0;
}
