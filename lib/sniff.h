/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SNIFF_H
#define CCS_SNIFF_H

/* What a file is that is not PKCS#12, so that its owner is told more than "bad format". Pure. */

#include <ccs/ccs.h>

#include "base.h"

/* CCS_OK if it could be PKCS#12 by its first octets; CCS_EINCOMPLETE if it is empty; CCS_EFORMAT.
 */
int ccs_sniff(const uint8_t *data, size_t len, struct ccs_error *err);

/* For a whole ASN.1 SEQUENCE that does not decode as PFX: CCS_EFORMAT, or CCS_EDAMAGED. */
int ccs_sniff_der(const uint8_t *data, size_t len, struct ccs_error *err);

/* How many zero octets data ends in. */
size_t ccs_sniff_zeros(const uint8_t *data, size_t len);

/*
 * CCS_EDAMAGED with the given sentence; if so many zero octets end the data that no encoding would,
 * the sentence says that instead: the room was reserved and its contents never arrived.
 */
int ccs_sniff_damaged(const uint8_t *data, size_t len, const char *sentence, struct ccs_error *err);

#endif
