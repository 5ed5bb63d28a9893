/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BASE_H
#define CCS_BASE_H

/* Attributes and tiny helpers that every room uses. */

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CCS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CCS_MUST_CHECK        __attribute__((warn_unused_result))
#define CCS_ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))

/* Milliseconds of a clock that never jumps; only differences mean something. No system call. */
static inline int64_t ccs_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#endif
