/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LIBCTX_H
#define CCS_LIBCTX_H

#include <openssl/types.h>

#include <ccs/ccs.h>

/*
 * The OpenSSL library context in which PKCS#12 and DER are decoded: providers "default" and, where
 * it is installed, "legacy". Made once per process and kept, because certificates point to it. The
 * host's default context is never touched: no provider is loaded into it, and its locks are left to
 * the handshakes. NULL, with *err, if not even "default" could be had.
 */
OSSL_LIB_CTX *ccs_libctx(struct ccs_error *err);

/* 1 if the legacy provider (RC2, RC4, single DES) is there. */
int ccs_libctx_has_legacy(void);

#endif
