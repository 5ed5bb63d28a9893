/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_STATS_H
#define CCS_BENCH_STATS_H

#include <stddef.h>

/* Measurements. Zero-initialised it is empty. */
struct ccs_samples {
    double *value;
    size_t count, size;
};

/* 0, or -1 without memory: the value is lost then. */
int ccs_samples_add(struct ccs_samples *s, double value);
int ccs_samples_add_all(struct ccs_samples *s, const struct ccs_samples *more);
void ccs_samples_clear(struct ccs_samples *s);

/* The value that a share of all (0 … 1) does not exceed; 0 if there are none. Sorts them. */
double ccs_samples_percentile(struct ccs_samples *s, double share);
double ccs_samples_median(struct ccs_samples *s);

/* A figure and what it could as well have been: the middle 95 % of a bootstrap. */
struct ccs_estimate {
    double value, low, high;
};

/* Median of all, whose neighbours in runs of `group` were measured together. */
struct ccs_estimate ccs_samples_estimate(const struct ccs_samples *s, size_t group);

#endif
