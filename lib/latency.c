/* SPDX-License-Identifier: Apache-2.0 */
#include "latency.h"

const int64_t ccs_latency_bounds_ms[CCS_LATENCY_BUCKETS - 1] = {1,   2,   5,   10,   20,   50,
                                                                100, 200, 500, 1000, 2000, 5000};

void ccs_latency_add(struct ccs_counters_table *t, unsigned first, int64_t ms)
{
    unsigned i = 0;

    while (i < CCS_LATENCY_BUCKETS - 1 && ms > ccs_latency_bounds_ms[i])
        i++;
    ccs_counters_add_common(t, first + i, 1);
}

uint64_t ccs_latency_count(const struct ccs_counters_sum *sum, unsigned first)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < CCS_LATENCY_BUCKETS; i++)
        n += sum->common[first + i];
    return n;
}

int64_t ccs_latency_percentile(const struct ccs_counters_sum *sum, unsigned first,
                               unsigned per_cent)
{
    const uint64_t all = ccs_latency_count(sum, first);
    uint64_t n = 0;

    if (all == 0)
        return 0;
    for (unsigned i = 0; i < CCS_LATENCY_BUCKETS - 1; i++) {
        n += sum->common[first + i];
        if (n * 100 >= all * per_cent)
            return ccs_latency_bounds_ms[i];
    }
    return -1;
}
