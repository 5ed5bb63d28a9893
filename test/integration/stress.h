/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_STRESS_H
#define CCS_TEST_STRESS_H

/* Very many connections of all kinds, for tests that look for what only chance brings out. */

#include "farm.h"

#define CCS_STRESS_NAMES 100

struct ccs_stress {
    struct ccs_farm *farm;
    size_t connections;
    size_t parallel;
    size_t reloads;                        /* spread evenly over the connections */
    void (*reload)(struct ccs_farm *farm); /* without waiting for it */
    unsigned seed;

    /* What became of them. */
    size_t served, refused, left, resumed, wrong;
    char prints[CCS_STRESS_NAMES][65];
};

/* Files for the names; call before the server starts. */
void ccs_stress_prepare(struct ccs_stress *stress);

/*
 * Connects again and again, to names that are in the store, under its wildcard, or not there at
 * all, in fragments of any size, in all versions; every tenth client leaves before the end. wrong
 * counts what must not be: another certificate, a refusal of a name that is there, a service of one
 * that is not, or no answer.
 */
void ccs_stress_run(struct ccs_stress *stress);

#endif
