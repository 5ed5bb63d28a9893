/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_SHARE_H
#define CCS_TEST_SHARE_H

/*
 * A farm whose store is a share: the folder of the farm is what a private smbd shows, and nginx
 * reads it through ccs-agent. The test program adopts all orphans below it, so that agents are
 * found as its children; whatever of them outlives its server fails the teardown.
 */

#include "farm.h"
#include "smbd.h"

struct ccs_share {
    struct ccs_farm *farm;
    struct ccs_smbd smbd;
    char location[64]; /* of the share, as ccs_unc_format() writes it */
    char http[4096];   /* the configuration */
    char user[64];     /* that agents run as; "" if that is nobody else than the test */
};

/* Setup and teardown of one test; *state is the share. Neither smbd nor nginx run yet. */
int ccs_share_setup(void **state);
int ccs_share_teardown(void **state);

#define CCS_SHARE_TEST(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, ccs_share_setup, ccs_share_teardown)

/* Starts smbd for the farm's folder, and writes the credentials. spec NULL: as safe as can be. */
void ccs_share_start(struct ccs_share *share, const struct ccs_smbd_spec *spec);

/*
 * A whole configuration in share->http, which is returned: the share as store, one server for every
 * name, and more settings. location NULL: that of the share.
 */
const char *ccs_share_conf(struct ccs_share *share, const char *location, const char *more);

/* nginx with that configuration. */
void ccs_share_run(struct ccs_share *share, const char *more, int workers);

/* Both, and smbd before. */
void ccs_share_start_run(struct ccs_share *share, const char *more);

/* Insists that the name is answered with alert internal_error. */
void ccs_share_expect_error(const struct ccs_share *share, const char *sni);

/* Asks until it is so. */
void ccs_share_wait_error(const struct ccs_share *share, const char *sni);

/* -- processes of agents -------------------------------------------------------------------- */

#define CCS_SHARE_PIDS 16

/* Supervisors that run now, at most CCS_SHARE_PIDS. */
size_t ccs_share_agents(pid_t *out);

/* The only supervisor; fails the test if there is not exactly one. */
pid_t ccs_share_agent(void);

/* A process of this agent by its role, such as "worker"; waits for it, other than `except`. */
pid_t ccs_share_process(pid_t agent, const char *role, pid_t except);

/* The same without waiting; 0: none. */
pid_t ccs_share_find(pid_t agent, const char *role);

/* All processes of this agent, itself included. */
size_t ccs_share_family(pid_t agent, pid_t *out);

/* Waits until so many supervisors run. */
void ccs_share_wait_agents(size_t count);

/* Waits until the process is gone or a zombie. */
void ccs_share_wait_gone(pid_t pid);

#endif
