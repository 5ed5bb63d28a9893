/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_FIGURES_H
#define CCS_TEST_FIGURES_H

/* What "ccs_status;" of nginx says, read as an administrator would. */

#include "farm.h"

/* Belongs into http {}: the second port answers with the state of the stores, without TLS. */
#define CCS_FIGURES_SERVER "server { listen @PORT2@; location = /status { ccs_status; } }\n"

#define CCS_FIGURES_SIZE 32768

/* Asks, again and again if a worker dies over it; fails the test in the end. Returns out. */
char *ccs_figures_read(const struct ccs_farm *farm, char out[CCS_FIGURES_SIZE]);

/* One number of a text that was read: of the first store, in the object of this name. */
unsigned long ccs_figures_number(const char *text, const char *object, const char *name);

/* Both. */
unsigned long ccs_figures_get(const struct ccs_farm *farm, const char *object, const char *name);

/* Waits until the state of the index is this one. */
void ccs_figures_wait_index(const struct ccs_farm *farm, const char *state);

#endif
