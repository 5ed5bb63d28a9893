/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_KEYPAIR_H
#define CCS_KEYPAIR_H

/* DER -> the OpenSSL objects that a handshake uses. Loader threads: this is dear. */

#include <ccs/ccs.h>

#include "credential.h"

/* As ccs_decode_certificate(), with a sentence. CCS_EDAMAGED, CCS_ENOMEM, CCS_ESSL. */
int ccs_key_pair_parse_certificate(const uint8_t *der, size_t len, X509 **out,
                                   struct ccs_error *err);

/*
 * Fills *out from one pair of a file. leaf and key: what the pair's octets were decoded to already,
 * used by nobody else and consumed; or NULL. The key is made in OpenSSL's default context, has
 * proved that it belongs to the leaf, and has made its first signature. *out is written on CCS_OK
 * only.
 */
int ccs_key_pair_make(const struct ccs_pair *der, X509 *leaf, EVP_PKEY *key,
                      struct ccs_key_pair *out, struct ccs_error *err);
void ccs_key_pair_clear(struct ccs_key_pair *pair); /* leaves it all zero */

#endif
