/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TLS_H
#define CCS_TLS_H

/* What the gate and plain servers share: sites, and the decision that a handshake is served by. */

#include <ccs/openssl.h>

#include "credential.h"

/*
 * Uses a new pair once the way a handshake will, on a scratch SSL, so that no handshake pays for
 * what OpenSSL puts off until first use (an RSA key's first signature among it). CCS_EKEYUSE with
 * OpenSSL's reason if a TLS server of this process would refuse it. Loader threads.
 */
int ccs_tls_warm(const struct ccs_key_pair *pair, struct ccs_error *err);

#endif
