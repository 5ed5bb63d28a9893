/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_ISSUERS_H
#define CCS_ISSUERS_H

/*
 * Intermediate certificates of this process. Thousands of hosts share a handful of them, and each
 * is dear to parse and to keep, so every one is parsed once and held for as long as somebody uses
 * it. Any thread.
 */

#include <openssl/types.h>

#include <ccs/ccs.h>

#include "base.h"

#define CCS_ISSUERS_MAX 1024 /* shared ones, of each kind; any beyond are their user's alone */

/* The certificate of this DER, to be given back by ccs_issuers_release(); CCS_OK only. */
int ccs_issuers_get(const uint8_t *der, size_t len, X509 **out, struct ccs_error *err);
/* The same if it is shared already; NULL if not, and nothing is parsed. */
X509 *ccs_issuers_find(const uint8_t *der, size_t len);
void ccs_issuers_release(X509 *x); /* NULL allowed */

/*
 * Chains of such certificates are shared as well, because a handshake that finds the stack in the
 * processor's cache needs not fetch it from memory. Consumes a chain of at least one, and returns
 * an equal one, not to be changed, to be given back by ccs_issuers_release_chain().
 */
STACK_OF(X509) *ccs_issuers_share_chain(STACK_OF(X509) *chain);
/* Releases the certificates, too. NULL allowed; also for a chain that is not shared. */
void ccs_issuers_release_chain(STACK_OF(X509) *chain);

/* How many are shared now, each. */
size_t ccs_issuers_count(void);
size_t ccs_issuers_chain_count(void);

#endif
