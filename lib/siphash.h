/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SIPHASH_H
#define CCS_SIPHASH_H

#include "base.h"

struct ccs_siphash_key {
    uint64_t k0, k1;
};

/*
 * SipHash (Aumasson and Bernstein, 2012) with 1 and 3 rounds: a keyed hash for tables whose keys
 * strangers choose. ccs_siphash_rounds() takes any numbers of rounds, so that the published vectors
 * of SipHash-2-4 can be checked.
 */
uint64_t ccs_siphash(const struct ccs_siphash_key *key, const void *data, size_t len);
uint64_t ccs_siphash_rounds(const struct ccs_siphash_key *key, const void *data, size_t len,
                            unsigned c_rounds, unsigned d_rounds);

#endif
