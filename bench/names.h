/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_NAMES_H
#define CCS_BENCH_NAMES_H

/* Host names to ask for: a list, or a pattern such as "h%d.bench.example" that counts. */

#include <stddef.h>
#include <stdint.h>

#define CCS_NAMES_SIZE 256 /* of one name, with its end */

struct ccs_names {
    const char *pattern; /* borrowed; NULL: the list */
    char **list;
    uint64_t count; /* at least 1 */
};

/* Checks that pattern has one %d and makes names of a usable length. 0, or -1. */
int ccs_names_pattern(struct ccs_names *names, const char *pattern, uint64_t count);

/* One name per line. 0, or -1 with a message on standard error. */
int ccs_names_read(struct ccs_names *names, const char *path);
void ccs_names_clear(struct ccs_names *names);

/* The name of this number, modulo count. Returns out. */
const char *ccs_names_get(const struct ccs_names *names, uint64_t number, char out[CCS_NAMES_SIZE]);

#endif
