/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_LOGON_H
#define CCS_AGENT_LOGON_H

/*
 * When a logon at the file server may be tried. Servers lock accounts after a few wrong passwords,
 * so that all processes of the agent together try one at a time, and after a refusal none for a
 * minute. The state is in memory that they share and outlives each of them; all functions may be
 * called by several processes at once, and none waits.
 */

#include <stdatomic.h>
#include <stdint.h>

#define AGENT_LOGON_PAUSE_MS 60000
#define AGENT_LOGON_LEASE_MS                                                                       \
    10000 /* a logon that takes longer does not keep others from trying                            \
           */

/* Zero-initialised: nothing was tried yet. Times are those of ccs_now_ms(). */
struct agent_logon {
    _Atomic int64_t refused_at; /* 0: the last logon was not refused */
    _Atomic int64_t begun_at;   /* 0: nobody is at it */
    _Atomic int32_t holder;     /* the process that is at it */
    _Atomic uint32_t accepted;  /* logons, for the status */
    _Atomic uint32_t refused;
};

enum agent_logon_answer { AGENT_LOGON_GO, AGENT_LOGON_WAIT, AGENT_LOGON_HELD };

/* GO: the caller is at it from now on, and must say how it ended. WAIT: another process is. */
enum agent_logon_answer agent_logon_begin(struct agent_logon *logon, int32_t pid, int64_t now);

enum agent_logon_end { AGENT_LOGON_ACCEPTED, AGENT_LOGON_REFUSED, AGENT_LOGON_UNKNOWN };
void agent_logon_finish(struct agent_logon *logon, enum agent_logon_end end, int64_t now);

/* The process has ended; if it was at a logon, another one may be. */
void agent_logon_release(struct agent_logon *logon, int32_t pid);

/* Milliseconds for which no logon is tried; 0 if one may be. */
int64_t agent_logon_pause(const struct agent_logon *logon, int64_t now);

#endif
