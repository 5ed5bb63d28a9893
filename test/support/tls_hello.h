/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_TLS_HELLO_H
#define CCS_TEST_TLS_HELLO_H

/* Rewriting a ClientHello on its way out. */

#include <stddef.h>

#include "tls_client.h"

/*
 * in: a first flight that begins with a whole ClientHello. Returns a new one (malloc'ed) in which
 * the server name is spec's raw_sni, if it has one, in records of at most spec->record octets, if
 * given, followed by what came behind the ClientHello.
 */
unsigned char *ccs_tls_hello_rewrite(const struct ccs_tls_spec *spec, const unsigned char *in,
                                     size_t len, size_t *out_len);

#endif
