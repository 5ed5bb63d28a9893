/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_PROCESS_H
#define CCS_TEST_PROCESS_H

/* Child processes, by pid. */

#include <stddef.h>
#include <sys/types.h>

/* Whether a child of ours has ended; it stays to be waited for. */
int ccs_process_ended(pid_t pid);

/* Waits for a child: its exit status, 128 + the signal that ended it, or -1 if it goes on living.
 */
int ccs_process_wait(pid_t pid);

/* SIGTERM, and SIGKILL for it and its children if that does not help soon. */
void ccs_process_end(pid_t pid);

/* Children of any process whose command line is exactly title; at most max of them. */
size_t ccs_process_children(pid_t parent, const char *title, pid_t *out, size_t max);

/* Processor time that a process has used so far, in milliseconds; steps of 10 are usual. */
long ccs_process_cpu_ms(pid_t pid);

/* Number of threads. */
int ccs_process_threads(pid_t pid);

/* Their ids; returns how many, at most max. */
size_t ccs_process_tasks(pid_t pid, pid_t *out, size_t max);

#endif
