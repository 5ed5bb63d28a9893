/* SPDX-License-Identifier: Apache-2.0 */
#include "priority.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base.h"

#define NS_PER_MS 1000000

#define STARVED_MS     100
#define PRESSED_MS     10000
#define PRESSED_MAX_MS 300000

/* -- what the kernel tells of a thread ----------------------------------------------------- */

/* The beginning of a file of the thread's, as a string; false: there is none to be read. */
static bool file_read(pid_t tid, const char *name, char *text, size_t size)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* How long it has waited for a processor, in ns, not counting a wait that lasts. */
static bool waited_read(pid_t tid, uint64_t *waited)
{
    unsigned long long number[3]; /* ns that it ran, ns that it waited, its turns */
    char text[128];
    char *at = text, *end;

    if (!file_read(tid, "schedstat", text, sizeof(text)))
        return false;
    for (size_t i = 0; i < CCS_ARRAY_LEN(number); i++, at = end) {
        number[i] = strtoull(at, &end, 10);
        if (end == at)
            return false;
    }
    *waited = number[1];
    /* A kernel that keeps no account says that the thread has never had a turn. */
    return number[2] != 0;
}

/* Whether it runs or would if it were let. */
static bool is_ready(pid_t tid)
{
    char text[64];
    const char *name_end;

    if (!file_read(tid, "stat", text, sizeof(text)))
        return false;
    name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") R", 3) == 0;
}

static bool ran_read(clockid_t clock, uint64_t *ran)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0)
        return false;
    *ran = (uint64_t)ts.tv_sec * 1000 * NS_PER_MS + (uint64_t)ts.tv_nsec;
    return true;
}

/* -- the pool ------------------------------------------------------------------------------ */

void ccs_priority_init(struct ccs_priority *p)
{
    memset(p, 0, sizeof(*p));
    p->times.starved_ms = STARVED_MS;
    p->times.pressed_ms = PRESSED_MS;
    p->times.pressed_max_ms = PRESSED_MAX_MS;
    p->fixed = sched_getscheduler(0) == SCHED_IDLE;
}

bool ccs_priority_is_pressed(const struct ccs_priority *p, int64_t now)
{
    return now < p->pressed_until;
}

void ccs_priority_press(struct ccs_priority *p, int64_t now)
{
    int64_t length = p->times.pressed_ms;

    if (ccs_priority_is_pressed(p, now))
        return;
    if (p->pressed_until != 0 && now - p->pressed_until < p->times.pressed_max_ms)
        length = 2 * (p->pressed_until - p->pressed_at);
    if (length > p->times.pressed_max_ms)
        length = p->times.pressed_max_ms;
    p->pressed_at = now;
    p->pressed_until = now + length;
}

bool ccs_priority_may_lower(const struct ccs_priority *p, int64_t now)
{
    return !p->fixed && !ccs_priority_is_pressed(p, now);
}

/* -- a thread, for itself ------------------------------------------------------------------ */

void ccs_priority_begin(void)
{
    /* On Linux this is the thread's own nice value; without it decoding is only less polite. */
    (void)!setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), CCS_LOADER_NICE);
}

void ccs_priority_describe(struct ccs_thread_priority *t)
{
    memset(t, 0, sizeof(*t));
    t->tid = (pid_t)syscall(SYS_gettid);
    if (pthread_getcpuclockid(pthread_self(), &t->clock) != 0)
        t->clock = CLOCK_MONOTONIC; /* as if it never had to wait */
    t->tells = waited_read(t->tid, &t->waited);
}

void ccs_priority_lower(void)
{
    const struct sched_param none = {0};

    (void)sched_setscheduler(0, SCHED_IDLE, &none);
}

/* -- a companion, seen by others ----------------------------------------------------------- */

bool ccs_priority_watch(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t now)
{
    t->low = t->tells;
    if (!t->low)
        /* Nobody would notice that it starves. */
        ccs_priority_press(p, now);
    return t->low;
}

uint64_t ccs_priority_measure(const struct ccs_thread_priority *t)
{
    uint64_t waited;

    if (!t->low)
        return 0;
    return waited_read(t->tid, &waited) ? waited : UINT64_MAX;
}

void ccs_priority_judge(struct ccs_priority *p, struct ccs_thread_priority *t, uint64_t waited,
                        int64_t now)
{
    t->starving = false;
    t->seen_ms = 0;
    if (!t->low)
        return;
    t->low = false;
    if (waited - t->waited > (uint64_t)p->times.starved_ms * NS_PER_MS)
        ccs_priority_press(p, now);
    /* It sleeps between jobs, so this holds until the next one. */
    if (waited != UINT64_MAX)
        t->waited = waited;
}

bool ccs_priority_may_look(struct ccs_priority *p, int64_t now)
{
    if (now < p->look_ms)
        return false;
    p->suspects = false;
    return true;
}

void ccs_priority_look(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t since,
                       int64_t now)
{
    uint64_t ran, waited;
    int64_t wait_ms, lasting_ms = 0;

    if (!t->low || t->starving || now - since <= p->times.starved_ms)
        return;
    p->look_ms = now + p->times.starved_ms;
    if (!waited_read(t->tid, &waited) || !ran_read(t->clock, &ran))
        return;
    wait_ms = (int64_t)((waited - t->waited) / NS_PER_MS);
    if (!is_ready(t->tid)) {
        t->seen_ms = 0;
    } else if (t->seen_ms != 0 && t->seen_ran == ran) {
        /* What has not run in between has not slept either. */
        lasting_ms = now - t->seen_ms;
    } else {
        t->seen_ms = now;
        t->seen_ran = ran;
    }
    t->starving = lasting_ms >= p->times.starved_ms ||
                  (wait_ms > p->times.starved_ms && wait_ms * 2 > now - since);
    if (t->starving)
        ccs_priority_press(p, now);
    p->suspects = p->suspects || (t->seen_ms != 0 && !t->starving);
}
