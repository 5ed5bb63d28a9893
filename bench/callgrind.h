/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_CALLGRIND_H
#define CCS_BENCH_CALLGRIND_H

/*
 * Instructions that a server's handshakes take, counted by callgrind: the difference of two runs
 * with different numbers of handshakes, so that start and end cancel out.
 */

#include "bench.h"

struct ccs_callgrind {
    double few, many; /* handshakes of the two runs; many is more than few */
    double version;   /* 12 or 13 */
    double keep;      /* not 0: callgrind's files stay in /tmp/ccs-callgrind.* */
};

/* A server that is one process. */
struct ccs_callgrind_server {
    const char *title; /* for people */
    const char *kept;  /* part of the name of files that are kept */
    const char *dir;
    const char *files; /* folder that the process may write to when it ends */
    int port;
    void *server;

    /* Starts it under this command, NULL-terminated; returns its pid. */
    pid_t (*start)(void *server, const char *const *tool);

    /* It has been waited for. */
    void (*ended)(void *server);
};

/*
 * Instructions per handshake of the thread that serves: the one that has executed the most. Prints
 * them, and those of all others, which go by the clock that valgrind stretches.
 */
double ccs_callgrind_slope(const struct ccs_callgrind *how,
                           const struct ccs_callgrind_server *server);

/*
 * Instructions of this very program, run with these arguments (NULL-terminated): all of them, or,
 * if a function is named, those of its calls and of what it calls.
 */
double ccs_callgrind_self(const struct ccs_bench *bench, const char *function,
                          const char *const *args);

/* The options for a benchmark's table. */
#define CCS_CALLGRIND_OPTIONS(how)                                                                 \
    {"few", &(how).few, "handshakes of the shorter run"},                                          \
        {"many", &(how).many, "handshakes of the longer run"},                                     \
        {"tls", &(how).version, "12 or 13"},                                                       \
    {                                                                                              \
        "keep", &(how).keep, "1: leave callgrind's files in /tmp/ccs-callgrind.*"                  \
    }

#endif
