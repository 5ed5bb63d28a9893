/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PROOF_H
#define CCS_PROOF_H

#include <openssl/types.h>

#include <ccs/ccs.h>

/*
 * Proves that key, which is in the default context, can sign for the public half of check, which
 * was decoded in one of the library's. It has made its first signature then, and done what it puts
 * off until that. CCS_EKEYUSE: it cannot sign. CCS_EMISMATCH: not for that. CCS_ENOMEM.
 */
int ccs_proof(EVP_PKEY *key, EVP_PKEY *check, struct ccs_error *err);

#endif
