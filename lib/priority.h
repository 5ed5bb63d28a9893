/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PRIORITY_H
#define CCS_PRIORITY_H

/*
 * The scheduling priority of loader threads. Where processors have time to spare they run at
 * SCHED_IDLE, and give way to handshakes completely. Beside busy threads of other priorities that
 * means next to nothing, so how long they wait for a processor is looked at. Once one of them
 * starves the pool is *pressed*: for a while, and for longer the sooner it happens again, its
 * threads run at nice CCS_LOADER_NICE. A thread cannot come back from SCHED_IDLE without
 * privileges, so it ends and another one takes its place.
 *
 * A kernel that does not tell how long a thread waits leaves the pool pressed.
 *
 * Everything is guarded by the lock of the loader, which must be held; ccs_priority_measure() alone
 * wants it not to be.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define CCS_LOADER_NICE 10

struct ccs_priority_times {
    int64_t starved_ms;     /* so long a wait for a processor, within one job, is too long */
    int64_t pressed_ms;     /* how long the pool is pressed then */
    int64_t pressed_max_ms; /* twice as long each time, up to this; forgotten after as much calm */
};

/* Of all threads of a pool. */
struct ccs_priority {
    struct ccs_priority_times times;
    bool fixed; /* the whole process is at SCHED_IDLE: nothing to choose from */
    int64_t pressed_at, pressed_until;
    int64_t look_ms; /* no look at threads before that */
    bool suspects;   /* the last look saw threads that may starve: another one tells */
};

/* Of one thread. */
struct ccs_thread_priority {
    pid_t tid;
    clockid_t clock; /* of the processor time that it got */
    bool low;        /* at SCHED_IDLE, for good */
    bool starving;   /* in the job it is at */
    uint64_t waited; /* ns for a processor, up to its last job */
    int64_t seen_ms; /* seen ready to run, but not running, at this time; 0: not so */
    uint64_t seen_ran;
};

/* In the process that makes the pool. */
void ccs_priority_init(struct ccs_priority *p);

/* A thread's first call, for itself: it runs at nice CCS_LOADER_NICE, unless it inherits less. */
void ccs_priority_begin(const struct ccs_priority *p, struct ccs_thread_priority *t);

/* For the calling thread before a job: to SCHED_IDLE, unless the pool is pressed. */
void ccs_priority_lower(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t now);

/* For the calling thread after a job, without the lock: what ccs_priority_judge() wants. */
uint64_t ccs_priority_measure(const struct ccs_thread_priority *t);

/* The pool becomes pressed if the thread has waited too long since its last job. */
void ccs_priority_judge(struct ccs_priority *p, struct ccs_thread_priority *t, uint64_t waited,
                        int64_t now);

/* Before a look at threads; false: not yet. */
bool ccs_priority_may_look(struct ccs_priority *p, int64_t now);

/*
 * A look at a thread that has something to do since a time: whether it starves. Then the pool is
 * pressed. The kernel counts a wait when it is over, so one that lasts shows in the second look.
 */
void ccs_priority_look(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t since,
                       int64_t now);

/* The pool is pressed, from now on. */
void ccs_priority_press(struct ccs_priority *p, int64_t now);

bool ccs_priority_is_pressed(const struct ccs_priority *p, int64_t now);

/* Whether a thread that the calling one starts can be what the pool needs: it inherits. */
bool ccs_priority_may_start(const struct ccs_priority *p, int64_t now);

#endif
