/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LATENCY_H
#define CCS_LATENCY_H

/*
 * How long things took, as counts by length, among the counters of all processes. Bounds are fixed,
 * so that histograms of several servers can be added up.
 */

#include <ccs/ccs.h>

#include "counters.h"

#define CCS_LATENCY_BUCKETS 13 /* the last one is for whatever took longer */

extern const int64_t ccs_latency_bounds_ms[CCS_LATENCY_BUCKETS - 1]; /* each inclusive */

/* first: the common counter of the first bucket, see instance.h. */
void ccs_latency_add(struct ccs_counters_table *t, unsigned first, int64_t ms);

/* How many there were. */
uint64_t ccs_latency_count(const struct ccs_counters_sum *sum, unsigned first);

/*
 * A bound in milliseconds below which so many per cent of them lie; 0 if there are none, -1 if they
 * do not even lie below the largest bound.
 */
int64_t ccs_latency_percentile(const struct ccs_counters_sum *sum, unsigned first,
                               unsigned per_cent);

#endif
