/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_CERTKIT_H
#define CCS_TEST_CERTKIT_H

/* Certificates with names, keys and issuers at will, for what pki.h is too tidy for. */

#include <openssl/evp.h>
#include <openssl/x509.h>

struct ccs_certkit {
    const char *subject; /* CN */
    EVP_PKEY *key;
    const char *issuer; /* CN; NULL: self-signed */
    EVP_PKEY *issuer_key;
    int ca;
    int no_sign;     /* keyUsage digitalSignature only */
    long not_before; /* seconds from now; both 0: an hour ago, for 30 days */
    long not_after;
};

/* New. What cannot be done fails the running test. */
X509 *ccs_certkit_make(const struct ccs_certkit *spec);

/* New key: "P-256", "P-384", "ED25519", "ED448", "X25519", "RSA:1024", "RSA-PSS:2048", "DSA". */
EVP_PKEY *ccs_certkit_key(const char *kind);

#endif
