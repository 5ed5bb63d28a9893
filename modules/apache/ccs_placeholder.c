/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mod_ssl does not start a server without a certificate. One that takes all of its certificates
 * from a store gets a placeholder, made anew in each start: a key and a certificate of a CA that is
 * forgotten at once. No client ever sees it. Each server's has a file of its own, because mod_ssl
 * compares file names to find out whether a request may change from one server to another.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

#define PLACEHOLDER_SECONDS (20 * 365 * 86400L)

struct placeholder {
    int fd;           /* of memory that has no name, or -1 */
    const char *path; /* of a file to be removed, or NULL */
};

/* One configuration is read at a time, in one thread. */
static apr_array_header_t *placeholders;

void mod_ccs_placeholders_end(void)
{
    for (int i = 0; placeholders != NULL && i < placeholders->nelts; i++) {
        const struct placeholder *p = &APR_ARRAY_IDX(placeholders, i, struct placeholder);

        if (p->fd != -1)
            close(p->fd);
        if (p->path != NULL)
            unlink(p->path);
    }
    placeholders = NULL;
}

static apr_status_t placeholders_cleanup(void *unused)
{
    (void)unused;
    mod_ccs_placeholders_end();
    return APR_SUCCESS;
}

static int add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    int ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return ok;
}

/* mod_ssl complains about certificates that do not name their server. */
static int add_name(X509 *cert, const char *host)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    int ok = 0;

    if (names == NULL || name == NULL || text == NULL ||
        ASN1_STRING_set(text, host, (int)strlen(host)) != 1)
        goto out;
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    text = NULL;
    if (sk_GENERAL_NAME_push(names, name) <= 0)
        goto out;
    name = NULL;
    ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
out:
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key, const char *common_name, const char *host,
                              X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    X509_NAME *subject = cert != NULL ? X509_get_subject_name(cert) : NULL;
    uint64_t serial;
    int ok;

    ok = cert != NULL && RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
         X509_set_version(cert, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(cert), -86400) != NULL &&
         X509_gmtime_adj(X509_getm_notAfter(cert), PLACEHOLDER_SECONDS) != NULL &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name,
                                    -1, -1, 0) == 1 &&
         X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject) == 1 &&
         X509_set_pubkey(cert, key) == 1 &&
         add_extension(cert, NID_basic_constraints,
                       issuer ? "critical,CA:FALSE" : "critical,CA:TRUE") &&
         (host == NULL || add_name(cert, host)) &&
         X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0;
    if (ok)
        return cert;
    X509_free(cert);
    return NULL;
}

/* Key, certificate and CA certificate in PEM. NULL: OpenSSL cannot. */
static BIO *make_pem(const char *host)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = EVP_EC_gen("P-256");
    X509 *ca = NULL, *cert = NULL;
    BIO *pem = BIO_new(BIO_s_secmem());

    if (key != NULL && ca_key != NULL)
        ca = make_certificate(ca_key, "mod_ccs placeholder CA", NULL, NULL, NULL);
    if (ca != NULL)
        cert = make_certificate(key, "mod_ccs placeholder", host, ca, ca_key);
    if (cert == NULL || pem == NULL || PEM_write_bio_X509(pem, cert) != 1 ||
        PEM_write_bio_X509(pem, ca) != 1 ||
        PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(pem);
        pem = NULL;
    }
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return pem;
}

static int write_all(int fd, const char *data, long len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, (size_t)len);

        if (n <= 0)
            return 0;
        data += n;
        len -= n;
    }
    return 1;
}

/* In memory; or, where that has no name, or too many of them are open, in the run-time folder. */
static const char *write_pem(apr_pool_t *pconf, BIO *pem, struct placeholder *p)
{
    static unsigned number;
    const char *path = NULL;
    char *data;
    long len = BIO_get_mem_data(pem, &data);
    int fd;

    p->path = NULL;
    p->fd = memfd_create("mod_ccs", MFD_CLOEXEC);
    if (p->fd != -1 && write_all(p->fd, data, len)) {
        path = apr_psprintf(pconf, "/proc/self/fd/%d", p->fd);
        if (access(path, R_OK) == 0)
            return path;
    }
    if (p->fd != -1)
        close(p->fd);
    p->fd = -1;
    path = ap_runtime_dir_relative(
        pconf, apr_psprintf(pconf, "mod_ccs.%" APR_PID_T_FMT ".%u", getpid(), number++));
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd == -1)
        return NULL;
    p->path = path;
    if (!write_all(fd, data, len))
        path = NULL;
    close(fd);
    return path;
}

const char *mod_ccs_placeholder(apr_pool_t *pconf, const server_rec *s)
{
    const char *path = NULL;
    BIO *pem;

    if (placeholders == NULL) {
        placeholders = apr_array_make(pconf, 8, sizeof(struct placeholder));
        apr_pool_cleanup_register(pconf, NULL, placeholders_cleanup, apr_pool_cleanup_null);
    }
    ERR_set_mark();
    pem = make_pem(s->server_hostname);
    if (pem != NULL)
        path = write_pem(pconf, pem, apr_array_push(placeholders));
    BIO_free(pem);
    ERR_pop_to_mark();
    return path;
}
