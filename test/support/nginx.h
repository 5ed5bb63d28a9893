/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_NGINX_H
#define CCS_TEST_NGINX_H

/*
 * A real nginx with the ccs module, in a folder of its own, on free ports of 127.0.0.1. What cannot
 * be done fails the running test; ccs_nginx_stop() belongs into its teardown.
 */

#include <stddef.h>
#include <sys/types.h>

#include "place.h"

#define CCS_NGINX_PORTS   CCS_PLACE_PORTS
#define CCS_NGINX_WORKERS 8

struct ccs_nginx_spec {
    /*
     * Inside http {}. @PORT1@ … @PORT4@ stand for "127.0.0.1:<port>", @DIR@ for the server's
     * folder, @STORE@ for the store in it.
     */
    const char *http;
    const char *top;         /* main level directives; NULL: none */
    const char *user;        /* of the workers when the test runs as root; NULL: root */
    int workers;             /* 0: 1 */
    int no_module;           /* leave load_module out */
    const char *share;       /* preload what makes the store another file system, in the words of
                                share_preload.c; NULL: it is what it is */
    int slow;                /* preload what makes the store slow, see ccs_nginx_slow() */
    int debug;               /* error_log at level debug, if nginx was built so, instead of info */
    const char *const *tool; /* run it under this command, NULL-terminated; NULL: directly */
};

struct ccs_nginx {
    pid_t pid; /* of the master; 0: not running */
    int port[CCS_NGINX_PORTS];
    char dir[200];   /* its folder: nginx.conf, error.log */
    char store[220]; /* dir/store, made empty */
    struct ccs_nginx_spec spec;
};

/* Makes dir/store and the rest of the folder, and chooses ports. */
void ccs_nginx_prepare(struct ccs_nginx *nginx, const char *dir, const struct ccs_nginx_spec *spec);

/* Starts it and waits until it accepts connections. */
void ccs_nginx_start(struct ccs_nginx *nginx);

/* Both. */
void ccs_nginx_run(struct ccs_nginx *nginx, const char *dir, const struct ccs_nginx_spec *spec);

/* Other text for inside http {} or the main level, for the next start or reload. NULL: as it was.
 */
void ccs_nginx_rewrite(struct ccs_nginx *nginx, const char *http, int no_module);

/*
 * "nginx -t" with the configuration as written; output is new in *output. Returns the exit status.
 */
int ccs_nginx_test(struct ccs_nginx *nginx, char **output);

/* SIGHUP. Waits until new workers serve, and only they accept; 0 if nginx refused it. */
int ccs_nginx_reload(struct ccs_nginx *nginx);

/* SIGHUP alone. */
void ccs_nginx_signal(struct ccs_nginx *nginx, int sig);

/* Waits for the master's end; its exit status, or 128 + the signal. */
int ccs_nginx_wait(struct ccs_nginx *nginx);

/*
 * Ends whatever runs (SIGQUIT, then SIGTERM, then SIGKILL by pid). 0, or -1 with a report if a
 * sanitizer has spoken, a worker has died of a signal, or nginx has logged an alert: the teardown
 * should fail then. Safe to call twice.
 */
int ccs_nginx_stop(struct ccs_nginx *nginx);

/* Pids of workers that accept connections (shutting down: those that finish what they have).
 * Returns how many, at most CCS_NGINX_WORKERS. */
size_t ccs_nginx_workers(const struct ccs_nginx *nginx, int shutting_down,
                         pid_t out[CCS_NGINX_WORKERS]);

/* Whether the error log has this text; how often. */
size_t ccs_nginx_logged(const struct ccs_nginx *nginx, const char *text);

/* Waits for the text to be there so many times; fails the test if it does not come. */
void ccs_nginx_wait_log(const struct ccs_nginx *nginx, const char *text, size_t times);

/* For spec.slow: what the store does from now on, see slow_preload.c. "" for no delay. */
void ccs_nginx_slow(const struct ccs_nginx *nginx, const char *how);

/* For spec.slow: how often files whose name begins with prefix were opened. */
size_t ccs_nginx_opened(const struct ccs_nginx *nginx, const char *prefix);

/* Built with the address sanitizer. */
int ccs_nginx_sanitized(void);

#endif
