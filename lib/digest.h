/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_DIGEST_H
#define CCS_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define CCS_DIGEST_SIZE 32

/*
 * SHA-256 of data, of the host's default context, for what is no secret: names and settings. Any
 * thread. CCS_OK, or CCS_ESSL if OpenSSL offers none; leaves OpenSSL's error queue as it was.
 */
int ccs_digest(const void *data, size_t len, uint8_t out[CCS_DIGEST_SIZE]);

#endif
