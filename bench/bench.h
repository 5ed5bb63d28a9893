/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_BENCH_H
#define CCS_BENCH_BENCH_H

/*
 * What every benchmark needs: a folder of its own, an authority, real nginx servers, a load, and
 * the line that tells how it ended. What cannot be done ends the program with a message; servers
 * and folder go with it.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "load.h"
#include "names.h"
#include "nginx.h"
#include "pki.h"
#include "stats.h"
#include "store.h"

#define CCS_BENCH_SERVERS 4
#define CCS_BENCH_HOSTS   "h%d.bench.example" /* names of the stores */
#define CCS_BENCH_COVER   "*.bench.example"   /* covers them */

struct ccs_bench {
    const char *name;
    char dir[200]; /* its folder */
    struct ccs_pki_ca *ca;
    struct ccs_nginx server[CCS_BENCH_SERVERS];
    size_t server_count;
    int child; /* in a process that a benchmark has forked: nothing of this is its own */
};

/* Reads "--name value" pairs of the command line into known ones; --help tells of them. */
struct ccs_bench_option {
    const char *name;
    double *value;
    const char *help;
};

/* There is one per program. options end with a NULL name. */
struct ccs_bench *ccs_bench_open(const char *name, const char *about, int argc, char **argv,
                                 const struct ccs_bench_option *options);

/* New empty sub-folder; returns out. */
char *ccs_bench_mkdir(struct ccs_bench *bench, const char *name, char out[220]);

/* A store of count hosts in sub-folder name; see store.h. */
char *ccs_bench_hosts(struct ccs_bench *bench, const char *name, uint64_t count, uint64_t distinct,
                      int rounds, char out[220]);

/*
 * New server that is configured but not started. Each has a certificate of its own for
 * CCS_BENCH_COVER in @DIR@/static.crt and @DIR@/static.key. http is inside http {}, see nginx.h;
 * it is copied.
 */
struct ccs_nginx *ccs_bench_server(struct ccs_bench *bench, const char *http, int stock);

/* The configurations that most benchmarks compare. */
struct ccs_nginx *ccs_bench_stock_server(struct ccs_bench *bench);
struct ccs_nginx *ccs_bench_store_server(struct ccs_bench *bench, const char *store,
                                         const char *more);

/* Ends it and starts it again, with nothing in its memory. */
void ccs_bench_restart(struct ccs_nginx *server);

/* The process that serves. */
pid_t ccs_bench_worker(const struct ccs_nginx *server);

/* A load that must succeed: every handshake served with the right certificate. Ends the program
 * else. */
void ccs_bench_load(const struct ccs_load_spec *spec, struct ccs_load_result *result);

/* The same for names first … first + count - 1, with everything else as usual. */
void ccs_bench_visit(const struct ccs_nginx *server, const struct ccs_names *names, uint64_t first,
                     uint64_t count);

/* A load in a process of its own. Its counts come when it is waited for. */
struct ccs_bench_background {
    pid_t pid;
    struct ccs_load_counts *counts;
};

void ccs_bench_background_start(struct ccs_bench *bench, const struct ccs_load_spec *spec,
                                struct ccs_bench_background *out);
void ccs_bench_background_wait(struct ccs_bench_background *background,
                               struct ccs_load_counts *counts);

void ccs_bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Prints "budget <name> <value> <limit> PASS|FAIL"; value may not exceed limit. Returns 0 for PASS,
 * 1 for FAIL. */
int ccs_bench_budget(const char *name, double value, double limit);

#endif
