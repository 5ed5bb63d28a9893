/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_PKI_H
#define CCS_TEST_PKI_H

/*
 * A throw-away certification authority and the PFX files made of what it issues. Nothing is kept on
 * disk unless a test writes it. What cannot be done fails the running test.
 */

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum ccs_pki_key { CCS_PKI_P256, CCS_PKI_RSA, CCS_PKI_P384, CCS_PKI_ED25519 };

/* Root and one intermediate, both P-256. */
struct ccs_pki_ca {
    X509 *root;
    X509 *intermediate;
    EVP_PKEY *root_key;
    EVP_PKEY *intermediate_key;
};

struct ccs_pki_spec {
    const char *names; /* for subjectAltName, separated by commas; the first is the CN as well */
    enum ccs_pki_key key;
    long not_before; /* seconds from now; */
    long not_after;  /* both 0: from an hour ago for 30 days */
    int no_chain;    /* leave the intermediate out of the chain */
};

/* What was issued: own references. Zeroed is empty. */
struct ccs_pki_leaf {
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* the intermediate, or empty */
    char fingerprint[65];  /* SHA-256 of the DER, lower-case hex */
};

enum ccs_pki_protection {
    CCS_PKI_MODERN,  /* PBES2 with AES-256 and SHA-256, MAC SHA-256, as OpenSSL 3 writes */
    CCS_PKI_WINDOWS, /* RC2-40 for certificates, 3DES for keys, MAC SHA-1 */
    CCS_PKI_3DES     /* 3DES for both, MAC SHA-1 */
};

struct ccs_pki_pfx {
    const char *password; /* NULL and "" are the two encodings of the empty one */
    enum ccs_pki_protection protection;
    int iterations;            /* 0: 100, so that tests are quick */
    int no_mac;                /* leave the MAC out */
    const char *friendly_name; /* of the certificates; NULL: none */
};

struct ccs_pki_bytes {
    unsigned char *data; /* malloc'ed */
    size_t len;
};

struct ccs_pki_ca *ccs_pki_ca_new(void);
void ccs_pki_ca_free(struct ccs_pki_ca *ca);

/* Private key of a kind. RSA-2048 keys come from a small pool of the process, in turn, because they
 * are slow to make; all others are new. */
EVP_PKEY *ccs_pki_key_new(enum ccs_pki_key kind);

void ccs_pki_issue(const struct ccs_pki_ca *ca, const struct ccs_pki_spec *spec,
                   struct ccs_pki_leaf *out);
void ccs_pki_leaf_clear(struct ccs_pki_leaf *leaf);

/* SHA-256 of a certificate in lower-case hex. */
void ccs_pki_fingerprint(const X509 *cert, char out[65]);

/* One file with all of these leaves, keys and chains; how NULL: modern, empty password. */
struct ccs_pki_bytes ccs_pki_pfx_make(const struct ccs_pki_leaf *leaves, size_t count,
                                      const struct ccs_pki_pfx *how);
void ccs_pki_bytes_clear(struct ccs_pki_bytes *bytes);

/* The same for one leaf, straight into dir/file; renamed into place. */
void ccs_pki_pfx_file(const struct ccs_pki_leaf *leaf, const struct ccs_pki_pfx *how,
                      const char *dir, const char *file);

/* Issues a P-256 leaf for names and writes it as dir/file without a password; its fingerprint goes
 * to *fingerprint unless that is NULL. What most tests need. */
void ccs_pki_put(const struct ccs_pki_ca *ca, const char *names, const char *dir, const char *file,
                 char fingerprint[65]);

/* PEM files, for servers and clients that want those. */
void ccs_pki_pem_file(const struct ccs_pki_leaf *leaf, const char *dir, const char *cert_file,
                      const char *key_file);
void ccs_pki_pem_cert(X509 *cert, const char *dir, const char *file);

#endif
