/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_STORE_H
#define CCS_BENCH_STORE_H

/* Stores of any size, of P-256 certificates by one authority. */

#include <stdint.h>

#include "names.h"
#include "pki.h"

struct ccs_bench_store {
    const char *dir; /* exists */
    const struct ccs_names *names;
    const char *covering; /* what shared certificates cover, such as "*.bench.example" */
    /*
     * How many different files there are; all others are links to them. 0: every name has a
     * certificate and key of its own.
     */
    uint64_t distinct;
    int rounds; /* of the key derivation; 0: 1 */
};

/* Fills it. Files look an hour old, so that no server waits for their end. */
void ccs_bench_store_fill(const struct ccs_bench_store *store, const struct ccs_pki_ca *ca);

#endif
