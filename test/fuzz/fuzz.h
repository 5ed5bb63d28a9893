/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_FUZZ_H
#define CCS_FUZZ_H

/* What every fuzz target needs. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target; libFuzzer or driver.c calls it. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds in every build, unlike assert(). */
#define CHECK(condition) ((condition) ? (void)0 : ccs_fuzz_broken(__FILE__, __LINE__, #condition))

static inline void ccs_fuzz_broken(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, condition);
    abort();
}

#endif
