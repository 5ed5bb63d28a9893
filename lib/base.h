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
#define CCS_CACHE_LINE        64

/* Of what runs in each handshake whose certificate is in memory: lies together, on few pages. */
#define CCS_WARM __attribute__((hot))
/* Of what ends in an error: lies apart, with all that leads there. */
#define CCS_COLD __attribute__((cold))

/*
 * Has the processor fetch what will be read soon, without waiting for it. p need not be valid.
 * Always inline, because GCC takes a function that only prefetches for one without effect, and
 * leaves its calls out.
 */
__attribute__((always_inline)) static inline void ccs_prefetch(const void *p, size_t size)
{
    for (size_t i = 0; i < size; i += CCS_CACHE_LINE)
        __builtin_prefetch((const char *)p + i);
}

/* Milliseconds of a clock that never jumps; only differences mean something. No system call. */
static inline int64_t ccs_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#endif
