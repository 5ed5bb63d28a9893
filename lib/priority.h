/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PRIORITY_H
#define CCS_PRIORITY_H

/*
 * The scheduling priority of what loader threads do: CCS_LOADER_NICE for most, and SCHED_IDLE, in a
 * companion of each (companion.h), for what takes long. There it gives way to handshakes
 * completely. Beside busy threads of other priorities that means that next to nothing gets done, so
 * how long companions wait for a processor is looked at. Once one of them starves the pool is
 * *pressed*: for a while, and for longer the sooner it happens again, its threads do without
 * companions.
 *
 * A kernel that does not tell how long a thread waits leaves the pool pressed.
 *
 * struct ccs_priority is guarded by the lock of the loader, which must be held where it is passed.
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
    bool suspects;   /* the last look saw some that may starve: another one tells */
};

/* Of one companion; zeros: there is none. */
struct ccs_thread_priority {
    pid_t tid;
    clockid_t clock; /* of the processor time that it got */
    bool low;        /* there is one, and the job that is being done may use it */
    bool starving;   /* in the job it is at */
    bool tells;      /* the kernel tells how long it waits */
    uint64_t waited; /* ns for a processor, up to its last job */
    int64_t seen_ms; /* seen ready to run, but not running, at this time; 0: not so */
    uint64_t seen_ran;
};

/* In the process that makes the pool. */
void ccs_priority_init(struct ccs_priority *p);

/* For the calling thread: it runs at nice CCS_LOADER_NICE, unless it inherits less. */
void ccs_priority_begin(void);

/* For the calling thread: what others have to know of it. */
void ccs_priority_describe(struct ccs_thread_priority *t);

/* For the calling thread: to SCHED_IDLE, for good, because without privileges nobody comes back. */
void ccs_priority_lower(void);

/* Whether what takes long may be done at SCHED_IDLE now. */
bool ccs_priority_may_lower(const struct ccs_priority *p, int64_t now);

/* Before a job that may use the companion. One that cannot be watched presses the pool; false. */
bool ccs_priority_watch(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t now);

/* After a job, without the lock: what ccs_priority_judge() wants. */
uint64_t ccs_priority_measure(const struct ccs_thread_priority *t);

/* The pool becomes pressed if the companion has waited too long within the job. */
void ccs_priority_judge(struct ccs_priority *p, struct ccs_thread_priority *t, uint64_t waited,
                        int64_t now);

/* Before a look at companions; false: not yet. */
bool ccs_priority_may_look(struct ccs_priority *p, int64_t now);

/*
 * A look at the companion of a thread that is at a job since a time: whether it starves. Then the
 * pool is pressed. The kernel counts a wait when it is over, so one that lasts shows in the second
 * look.
 */
void ccs_priority_look(struct ccs_priority *p, struct ccs_thread_priority *t, int64_t since,
                       int64_t now);

/* The pool is pressed, from now on. */
void ccs_priority_press(struct ccs_priority *p, int64_t now);

bool ccs_priority_is_pressed(const struct ccs_priority *p, int64_t now);

#endif
