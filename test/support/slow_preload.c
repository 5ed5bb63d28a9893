/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a server under test, this makes the opening of *.pfx files slow, as a distant or
 * busy file server would. The file named by CCS_TEST_SLOW_FILE is read at each opening and says
 * how:
 *
 *   500          every *.pfx takes 500 ms longer
 *   500 shop     those whose name begins with "shop" do
 *   hold shop    they wait for as long as the file says so, at most a minute
 *
 * Every opening of a *.pfx adds a line with its name to the file of the same name with ".log"
 * behind it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef long (*syscall_fn)(long number, ...);

static syscall_fn real_syscall;
static char control[512], journal[520];

__attribute__((constructor)) static void slow_start(void)
{
    const char *path = getenv("CCS_TEST_SLOW_FILE");

    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
    if (path != NULL && strlen(path) < sizeof(control)) {
        strcpy(control, path);
        snprintf(journal, sizeof(journal), "%s.log", path);
    }
}

static long open_raw(int dirfd, const char *path, int flags, unsigned mode)
{
    return real_syscall(SYS_openat, (long)dirfd, path, (long)flags, (long)mode);
}

/* Milliseconds that the control file wants for this name; -1: until it changes. */
static long wanted(const char *name)
{
    char text[128], *rest;
    ssize_t n = 0;
    long fd, ms;

    fd = open_raw(AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        n = read((int)fd, text, sizeof(text) - 1);
        close((int)fd);
    }
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (strncmp(text, "hold", 4) == 0) {
        ms = -1;
        rest = text + 4;
    } else {
        ms = strtol(text, &rest, 10);
    }
    rest += strspn(rest, " ");
    return strncmp(name, rest, strlen(rest)) == 0 ? ms : 0;
}

static void pass(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

static void delay(const char *path)
{
    const char *slash, *name;
    int saved = errno, round;
    char line[300];
    size_t len;
    long fd, ms;

    if (path == NULL || control[0] == '\0') {
        return;
    }
    slash = strrchr(path, '/');
    name = slash != NULL ? slash + 1 : path;
    len = strlen(name);
    if (len < 4 || len > 255 || strcasecmp(name + len - 4, ".pfx") != 0) {
        return;
    }
    fd = open_raw(AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd >= 0) {
        snprintf(line, sizeof(line), "%s\n", name);
        if (write((int)fd, line, strlen(line)) < 0) {
            errno = 0;
        }
        close((int)fd);
    }
    ms = wanted(name);
    if (ms > 0) {
        pass(ms);
    }
    for (round = 0; ms < 0 && round < 6000; round++) {
        pass(10);
        ms = wanted(name);
    }
    errno = saved;
}

__attribute__((visibility("default"))) long syscall(long number, ...)
{
    long a[6];
    va_list ap;
    int i;

    va_start(ap, number);
    for (i = 0; i < 6; i++) {
        a[i] = va_arg(ap, long);
    }
    va_end(ap);
#ifdef SYS_openat2
    if (number == SYS_openat2) {
        delay((const char *)a[1]);
    }
#endif
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int open_slowly(int dirfd, const char *path, int flags, unsigned mode)
{
    delay(path);
    return (int)open_raw(dirfd, path, flags, mode);
}

__attribute__((visibility("default"))) int openat(int dirfd, const char *path, int flags, ...)
{
    unsigned mode = 0;
    va_list ap;

    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_start(ap, flags);
        mode = va_arg(ap, unsigned);
        va_end(ap);
    }
    return open_slowly(dirfd, path, flags, mode);
}

__attribute__((visibility("default"))) int openat64(int dirfd, const char *path, int flags, ...)
{
    unsigned mode = 0;
    va_list ap;

    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_start(ap, flags);
        mode = va_arg(ap, unsigned);
        va_end(ap);
    }
    return open_slowly(dirfd, path, flags, mode);
}
