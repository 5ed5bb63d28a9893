/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_VICTIM_H
#define CCS_BENCH_VICTIM_H

/*
 * How long a warm name waits while something else goes on. Conditions take turns, forth and back,
 * so that what the machine does otherwise falls on all of them.
 */

#include "bench.h"

#define CCS_VICTIM_NAME "victim.bench.example" /* what every store of victims holds */

struct ccs_condition {
    const char *title;
    const struct ccs_nginx *server;
    const struct ccs_names *names; /* what others ask for meanwhile; NULL: nobody */
    double rate;                   /* how often per second */
    int fresh;                     /* never the same name twice */
    int settle;                    /* wait afterwards until a fresh name is served */
    const char *slow;              /* for ccs_nginx_slow(); NULL: nothing */

    /* results */
    uint64_t next;          /* number of the next fresh name */
    struct ccs_samples all; /* the victim's times in microseconds */
    struct ccs_samples p50; /* of each phase */
    struct ccs_samples p99;
    struct ccs_load_counts others; /* sums, without usage */
    struct ccs_turns turns;        /* of the worker's event loop, while the victim was asked for */
    double seconds;
};

struct ccs_victim_plan {
    struct ccs_bench *bench;
    struct ccs_condition *conditions;
    size_t count;
    int rounds;     /* each is all conditions forth and back */
    double seconds; /* of a phase */
    double rate;    /* how often per second the victim is asked for */
};

/* A store with the victim in it, and count hosts of CCS_BENCH_HOSTS; see ccs_bench_hosts(). */
char *ccs_victim_store(struct ccs_bench *bench, uint64_t count, int rounds, char out[220]);

/*
 * Runs the plan and prints a table. "busy" is the share of time for which the worker's event loop
 * had a processor, "queued" the share for which it wanted one and got none. Also prints how far the
 * first condition's phases differ among each other: what the machine adds.
 */
void ccs_victim_run(const struct ccs_victim_plan *plan);

/* Ratio of the 99th percentiles, phase by phase; prints it with its interval. */
double ccs_victim_ratio(const struct ccs_condition *of, const struct ccs_condition *to);

#endif
