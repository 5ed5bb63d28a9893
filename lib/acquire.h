/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_ACQUIRE_H
#define CCS_ACQUIRE_H

#include <ccs/ccs.h>

/*
 * [owner] ccs_acquire_start() for a name that ccs_name_canonical() made: it is taken as it is,
 * because every warm handshake would pay for looking at it twice.
 */
int ccs_acquire_start_canonical(struct ccs *ccs, const char *name, size_t len, ccs_done_cb done,
                                void *arg, struct ccs_answer *out, struct ccs_request **req);

#endif
