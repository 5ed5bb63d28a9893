/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_KEYPAIR_H
#define CCS_KEYPAIR_H

/* DER -> the OpenSSL objects that a handshake uses. Loader threads: this is dear. */

#include <ccs/ccs.h>

#include "credential.h"

/*
 * Certificate in ccs_libctx() with its extensions looked at, so that nothing is left to do for a
 * handshake. *out is new. CCS_EDAMAGED if it does not decode.
 */
int ccs_key_pair_parse_certificate(const uint8_t *der, size_t len, X509 **out,
                                   struct ccs_error *err);

/*
 * Fills *out from one pair of a file. The key is made in OpenSSL's default context, has proved that
 * it belongs to the leaf, and has made its first signature. *out is written on CCS_OK only.
 */
int ccs_key_pair_make(const struct ccs_pair *der, struct ccs_key_pair *out, struct ccs_error *err);
void ccs_key_pair_clear(struct ccs_key_pair *pair); /* leaves it all zero */

#endif
