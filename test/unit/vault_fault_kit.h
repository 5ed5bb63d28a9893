/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_VAULT_FAULT_KIT_H
#define CCS_TEST_VAULT_FAULT_KIT_H

/* Processes that die at fault points, and the memory that they share with the others. */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vault_rooms.h"

#define SIZE      ((size_t)1024 * 1024)
#define POINTS    64
#define POINT_LEN 32

/* -- dying --------------------------------------------------------------------------------- */

static int countdown; /* of this process: the how manieth fault point is its last; 0: none */

/* Shared: where processes died. */
static struct seen {
    char points[POINTS][POINT_LEN];
    size_t count;
    unsigned deaths;
    char last[POINT_LEN];
} * seen;

static inline void note_point(const char *point)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (strcmp(seen->points[i], point) == 0)
            return;
    }
    if (seen->count < POINTS)
        snprintf(seen->points[seen->count++], POINT_LEN, "%s", point);
}

void ccs_fault(const char *point)
{
    if (countdown == 0 || --countdown > 0)
        return;
    note_point(point);
    snprintf(seen->last, sizeof(seen->last), "%s", point);
    seen->deaths++;
    raise(SIGKILL);
}

/* -- the world ----------------------------------------------------------------------------- */

static void *memory;
static struct ccs_layout world;

static inline void make_world(void)
{
    struct ccs_error err;

    assert_int_equal(ccs_arena_map(SIZE, &memory, &err), CCS_OK);
    assert_int_equal(ccs_layout_format(memory, SIZE, 0, &world, &err), CCS_OK);
}

static inline void end_world(void)
{
    ccs_layout_wipe(&world);
    ccs_arena_unmap(memory, SIZE);
}

/* Runs a victim that dies at the given fault point; true if it did. */
static inline bool dies(void (*victim)(void), int at)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        countdown = at;
        victim();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGKILL);
    else
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

#endif
