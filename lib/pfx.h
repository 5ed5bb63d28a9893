/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PFX_H
#define CCS_PFX_H

/* From the bags of a file to what it is good for: struct ccs_pfx. */

#include "bags.h"
#include "unlock.h"

/*
 * Opens the keys, pairs them with certificates, and builds the chains. *out is new; the caller adds
 * what concerns the file as a whole. CCS_ENOKEY, CCS_ENOCERT, CCS_EMISMATCH, CCS_EKEYPASSWORD,
 * CCS_EKEYUSE and whatever else keeps every key from being served.
 */
int ccs_pfx_build(const struct ccs_bags *bags, struct ccs_unlock *unlock, struct ccs_pfx **out,
                  struct ccs_error *err);

#endif
