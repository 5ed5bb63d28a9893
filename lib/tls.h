/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TLS_H
#define CCS_TLS_H

/*
 * Credentials on their way into OpenSSL. ccs_cred_use() and ccs_ssl_ctx_attach() of
 * <ccs/openssl.h> are here as well.
 */

#include <ccs/openssl.h>

#include "credential.h"

/* ccs_cred_use() for callers that keep OpenSSL's error queue in order themselves. */
int ccs_tls_use(const struct ccs_cred *cred, SSL *ssl, struct ccs_error *err);

/*
 * Uses a new pair once the way a handshake will, on a scratch SSL, so that no handshake pays for
 * what OpenSSL puts off until first use; its key has signed already, see keypair.h. CCS_EKEYUSE
 * with OpenSSL's reason if a TLS server of this process would refuse it, at the security level that
 * new contexts have. Does not name the file. Any thread, several at once.
 */
int ccs_tls_warm(const struct ccs_key_pair *pair, struct ccs_error *err);

#endif
