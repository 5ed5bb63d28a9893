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

#define CCS_ISSUERS_MAX 1024 /* shared ones; any beyond are parsed for their user alone */

/* The certificate of this DER, to be given back by ccs_issuers_release(); CCS_OK only. */
int ccs_issuers_get(const uint8_t *der, size_t len, X509 **out, struct ccs_error *err);
/* The same if it is shared already; NULL if not, and nothing is parsed. */
X509 *ccs_issuers_find(const uint8_t *der, size_t len);
void ccs_issuers_release(X509 *x); /* NULL allowed */

/* How many are shared now. */
size_t ccs_issuers_count(void);

#endif
