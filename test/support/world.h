/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_WORLD_H
#define CCS_TEST_WORLD_H

/*
 * An instance over a scripted store, with an authority to fill it from. What cannot be done fails
 * the running test.
 */

#include <pthread.h>

#include <ccs/ccs.h>

#include "fake_store.h"
#include "pki.h"

struct ccs_world {
    struct ccs_pki_ca *ca;
    struct fake_store *fake;
    struct ccs_config *cfg;
    struct ccs *ccs;
    pthread_mutex_t log_lock;
    char log[16384]; /* lines so far, the oldest ones first */
};

/* New world; settings is a list of name, value, …, NULL, or NULL. The store is up and empty,
 * and tells of what happens to it. */
struct ccs_world *ccs_world_new(const char *const *settings);

/* The same with memory that other worlds may share; it must outlive them. */
struct ccs_world *ccs_world_new_in(struct ccs_shared *shared, const char *const *settings);
void ccs_world_free(struct ccs_world *w);

/*
 * Puts a P-256 certificate for names into the store as file; its fingerprint goes to *fingerprint.
 * Waits until the index has heard of it, if this world's instance looks after the store and that is
 * not down.
 */
void ccs_world_put(struct ccs_world *w, const char *names, const char *file, char fingerprint[65]);

/* The same with any octets. */
void ccs_world_put_bytes(struct ccs_world *w, const char *file, const void *data, size_t len);

/* Blocking look-up; returns the code. fingerprint is "" if there is no credential; NULL allowed. */
int ccs_world_ask(struct ccs_world *w, const char *name, enum ccs_result *result,
                  char fingerprint[65]);

/* Waits until a look-up in memory of name answers with this fingerprint. */
int ccs_world_await(struct ccs_world *w, const char *name, const char *fingerprint);

/* Asks (which may load) until the answer has this code. */
int ccs_world_await_code(struct ccs_world *w, const char *name, int code);

/* How often text is in the log. */
int ccs_world_logged(struct ccs_world *w, const char *text);

/* Waits until it is. */
int ccs_world_await_log(struct ccs_world *w, const char *text);

#endif
