/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_APACHE_H
#define CCS_TEST_APACHE_H

/*
 * A real Apache httpd with mod_ccs, in a folder of its own, on free ports of 127.0.0.1. What cannot
 * be done fails the running test; ccs_apache_stop() belongs into its teardown. See place.h for the
 * words in configurations, the log and the slow store.
 */

#include <stddef.h>
#include <sys/types.h>

#include "place.h"

#define CCS_APACHE_CHILDREN 64

enum ccs_apache_mpm { CCS_APACHE_EVENT, CCS_APACHE_WORKER, CCS_APACHE_PREFORK };

struct ccs_apache_spec {
    const char *conf; /* behind what each configuration begins with, see place.h */
    enum ccs_apache_mpm mpm;
    int children;            /* processes that serve; 0: 1 */
    int threads;             /* of each, where the MPM has them; 0: 8 */
    int no_module;           /* leave mod_ccs out */
    int after_ssl;           /* load it behind mod_ssl instead of before it */
    int slow;                /* preload what makes the store slow */
    const char *const *tool; /* run it under this command, NULL-terminated, as one process (-X) */
};

struct ccs_apache {
    pid_t pid; /* of the parent; 0: not running */
    int port[CCS_PLACE_PORTS];
    char dir[200];   /* its folder: httpd.conf, error.log */
    char store[220]; /* dir/store, made empty */
    struct ccs_apache_spec spec;
};

/*
 * Makes dir/store and the rest of the folder, and chooses ports. A request for "/" is answered by
 * what the environment variables of mod_ccs say, "HIT a.test.pfx", or by dir/www/index.shtml if
 * that is written anew. Children of a server that root starts run as www-data.
 */
void ccs_apache_prepare(struct ccs_apache *apache, const char *dir,
                        const struct ccs_apache_spec *spec);

/* Starts it and waits until it accepts connections. */
void ccs_apache_start(struct ccs_apache *apache);

/* Both. */
void ccs_apache_run(struct ccs_apache *apache, const char *dir, const struct ccs_apache_spec *spec);

/* Other text for the next start or restart. NULL: as it was. */
void ccs_apache_rewrite(struct ccs_apache *apache, const char *conf, int no_module);

/* "apache2 -t" with the configuration as written; output is new in *output. Returns the exit
 * status. */
int ccs_apache_test(struct ccs_apache *apache, char **output);

/* Graceful restart. Waits until the new configuration serves and only new children accept; old
 * ones may still finish what they have. */
void ccs_apache_graceful(struct ccs_apache *apache);

void ccs_apache_signal(struct ccs_apache *apache, int sig);

/* Waits for the parent's end; its exit status, or 128 + the signal. */
int ccs_apache_wait(struct ccs_apache *apache);

/*
 * Ends whatever runs (SIGTERM, then SIGKILL by pid). 0, or -1 with a report if a sanitizer has
 * spoken, a child has died of a signal, or there is an alert in the log: the teardown should fail
 * then. Safe to call twice, or on a zeroed one.
 */
int ccs_apache_stop(struct ccs_apache *apache);

/* Pids of all children; returns how many, at most CCS_APACHE_CHILDREN. */
size_t ccs_apache_children(const struct ccs_apache *apache, pid_t out[CCS_APACHE_CHILDREN]);

#endif
