/* SPDX-License-Identifier: Apache-2.0 */
#include "wait.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

double ccs_wait_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int ccs_wait_scaled(int ms)
{
    const char *text = getenv("CCS_TEST_SLOW");
    double factor = text != NULL ? strtod(text, NULL) : 1.0;

    if (!(factor >= 1.0 && factor <= 1000.0)) {
        factor = 1.0;
    }
    return (int)((double)ms * factor);
}

void ccs_wait_pass(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

int ccs_wait_until(int (*cond)(void *arg), void *arg, int max_ms)
{
    double end = ccs_wait_clock() + ccs_wait_scaled(max_ms > 0 ? max_ms : CCS_WAIT_DEFAULT);
    int step = 1, late;

    for (;;) {
        /* In this order: there is always a look after the time is up. */
        late = ccs_wait_clock() >= end;
        if (cond(arg)) {
            return 1;
        }
        if (late) {
            return 0;
        }
        ccs_wait_pass(step);
        if (step < 10) {
            step++;
        }
    }
}
