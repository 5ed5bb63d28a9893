/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_INTERMEDIATES_H
#define CCS_INTERMEDIATES_H

/*
 * Intermediate certificates of all hosts, each kept once, in shared memory. What is in the table
 * stays for as long as the arena does, so ids and addresses never go bad and reading takes no lock.
 * There are no reference counts: those of a killed process could never be set right.
 */

#include <ccs/ccs.h>

#include "arena.h"

#define CCS_INTERMEDIATES_MAX 1024

struct ccs_intermediates;

/* Takes about size octets of the arena. */
int ccs_intermediates_format(struct ccs_intermediates **out, struct ccs_arena *arena, size_t size,
                             struct ccs_error *err);
int ccs_intermediates_attach(struct ccs_intermediates **out, const struct ccs_arena *arena,
                             struct ccs_error *err);

/* Id of a certificate, which is added if it is new. CCS_ENOMEM: no room; keep it elsewhere. Waits
 * for a lock when it is new: not for event loops. */
int ccs_intermediates_add(struct ccs_intermediates *t, const uint8_t *der, size_t len,
                          uint32_t *id);

/* The certificate with an id; borrowed from the arena. CCS_ENOTFOUND: no such id. Any thread. */
int ccs_intermediates_get(const struct ccs_intermediates *t, uint32_t id, const uint8_t **der,
                          size_t *len);

size_t ccs_intermediates_count(const struct ccs_intermediates *t);

#endif
