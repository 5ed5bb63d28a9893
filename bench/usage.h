/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_USAGE_H
#define CCS_BENCH_USAGE_H

/* What processes use, with all of their threads and the children that live. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ccs_usage {
    int64_t cpu_ns;    /* user and system, from the processes' own clocks */
    long user, system; /* the same in clock ticks, coarse: good for the share of each */
    size_t processes;  /* how many were read */
};

void ccs_usage_read(const pid_t *pids, size_t count, struct ccs_usage *out);

/* later - earlier. */
struct ccs_usage ccs_usage_since(const struct ccs_usage *later, const struct ccs_usage *earlier);

/* Proportional set size in KiB of one process, without children; 0 if it cannot be read. */
long ccs_usage_pss_kib(pid_t pid);

/* What the scheduler has given a process's main thread, and how long it let it wait for it. */
struct ccs_turns {
    int64_t run_ns, wait_ns;
};

/* Zeros where the kernel does not tell. */
void ccs_usage_turns(pid_t pid, struct ccs_turns *out);

/* Nanoseconds of a clock that never jumps. */
int64_t ccs_usage_clock_ns(void);

#endif
