/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_LOAD_H
#define CCS_BENCH_LOAD_H

/* Many TLS handshakes with one server, from one thread. */

#include <signal.h>
#include <stdint.h>

#include "conn.h"
#include "names.h"
#include "stats.h"
#include "usage.h"

#define CCS_LOAD_CONCURRENCY_MAX 16384
#define CCS_LOAD_PIDS_MAX        64

struct ccs_load_spec {
    const char *address; /* IPv4; NULL: 127.0.0.1 */
    int port;
    const struct ccs_names *names;
    uint64_t first;       /* number of the name to begin with; they are asked for in turn */
    int shuffled;         /* or at random */
    uint64_t handshakes;  /* how many to begin; 0: no limit */
    double seconds;       /* how long to begin any; 0: no limit */
    unsigned concurrency; /* most at once; 0: 1 */
    /*
     * Handshakes begun per second, come what may; the time of each counts from when it was to
     * begin. 0: as many as concurrency and the server allow.
     */
    double rate;
    int version;        /* TLS1_2_VERSION or TLS1_3_VERSION; 0: what both sides like best */
    const char *groups; /* key exchange; NULL: OpenSSL's choice */
    int timeout_ms;     /* for each; 0: 10000 */
    int unchecked;      /* any certificate counts as served */
    pid_t pids[CCS_LOAD_PIDS_MAX]; /* servers whose processor time is counted */
    size_t pid_count;
    volatile sig_atomic_t *stop; /* ends it early when not 0; may be NULL */
};

struct ccs_load_counts {
    uint64_t begun;
    uint64_t ends[CCS_CONN_ENDS];
    uint64_t alerts[256];
    uint64_t skipped; /* begins missed because concurrency was used up */
    double seconds;
    double late_max_us; /* latest begin against its time: how well the load kept its rate */
    struct ccs_usage usage;
};

struct ccs_load_result {
    struct ccs_load_counts counts;
    struct ccs_samples served_us;    /* time of each handshake that was served, right or wrong */
    struct ccs_samples refused_us;   /* of each that was refused by an alert */
    char wrong_name[CCS_NAMES_SIZE]; /* the first name with a wrong certificate, or "" */
};

/* 0, or -1 with a message on standard error. result is new in both cases. */
int ccs_load_run(const struct ccs_load_spec *spec, struct ccs_load_result *result);
void ccs_load_result_clear(struct ccs_load_result *result);

/* Room for as many sockets as the system allows. */
void ccs_load_raise_limits(void);

#endif
