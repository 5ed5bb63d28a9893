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

/*
 * A context that is made of the one above, in which only those kinds of keys exist that TLS servers
 * use, and only in DER. To decode a key, OpenSSL 3.0 compares the names of all kinds with those of
 * all decoders; with few of them this takes a third of the time. What it cannot decode may still be
 * a certificate or key: ask the other one then. It is the other one where it cannot be made.
 */
OSSL_LIB_CTX *ccs_libctx_keys(struct ccs_error *err);

/* Which of the two a key belongs to that was decoded in one of them. */
OSSL_LIB_CTX *ccs_libctx_of(const EVP_PKEY *key);

#endif
