/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct demo_host demo_hosts[] = {
    {"windows.ccs.test", "windows.ccs.test", "windows.ccs.test.pfx", "windows.ccs.test", "rsa",
     "legacy", "Windows-style: RC2-40 and 3DES"},
    {"openssl.ccs.test", "openssl.ccs.test", "openssl.ccs.test.pfx", "openssl.ccs.test", "rsa",
     "modern", "OpenSSL 3: AES-256, SHA-256"},
    {"ecdsa.ccs.test", "ecdsa.ccs.test", "ecdsa.ccs.test.pfx", "ecdsa.ccs.test", "ec", "open",
     "ECDSA key, no password"},
    {"node7.farm.test", "node7.farm.test", "_.farm.test.pfx", "*.farm.test", "ec", "modern",
     "wildcard"},
    {"xn--bcher-kva.test",
     "b\xc3\xbc"
     "cher.test",
     "b\xc3\xbc"
     "cher.test.pfx",
     "xn--bcher-kva.test", "rsa", "modern", "international name"},
};
const size_t demo_host_count = sizeof(demo_hosts) / sizeof(demo_hosts[0]);

/* Two passwords, as while a farm changes from one to the other. */
static const char store_passwords[] = "correct horse\nbattery staple\n";

/* Nothing of the machine's own OpenSSL configuration may change what the demo issues. */
static const char store_openssl_cnf[] = "[req]\n"
                                        "distinguished_name = name\n"
                                        "prompt = no\n"
                                        "string_mask = utf8only\n"
                                        "[name]\n"
                                        "CN = set by -subj\n";

static int store_authority(const char *dir, const char *name, const char *title, const char *issuer)
{
    char cnf[DEMO_PATH_SIZE], key[DEMO_PATH_SIZE], cert[DEMO_PATH_SIZE], log[DEMO_PATH_SIZE];
    char issuer_cert[DEMO_PATH_SIZE], issuer_key[DEMO_PATH_SIZE], subject[128], file[64];
    const char *argv[32] = {"openssl",
                            "req",
                            "-x509",
                            "-config",
                            demo_path(cnf, dir, "openssl.cnf"),
                            "-newkey",
                            "ec",
                            "-pkeyopt",
                            "ec_paramgen_curve:P-256",
                            "-nodes",
                            "-days",
                            "30",
                            "-subj",
                            subject,
                            "-addext",
                            "basicConstraints=critical,CA:TRUE",
                            "-addext",
                            "keyUsage=critical,keyCertSign,cRLSign",
                            "-keyout",
                            key,
                            "-out",
                            cert};

    snprintf(subject, sizeof(subject), "/O=libccs demo/CN=%s", title);
    snprintf(file, sizeof(file), "%s.key", name);
    demo_path(key, dir, file);
    snprintf(file, sizeof(file), "%s.pem", name);
    demo_path(cert, dir, file);
    if (issuer != NULL) {
        snprintf(file, sizeof(file), "%s.pem", issuer);
        argv[22] = "-CA";
        argv[23] = demo_path(issuer_cert, dir, file);
        snprintf(file, sizeof(file), "%s.key", issuer);
        argv[24] = "-CAkey";
        argv[25] = demo_path(issuer_key, dir, file);
    }
    return demo_run(argv, demo_path(log, dir, "openssl.log"));
}

static char *store_cert_path(char *out, const char *dir, const struct demo_host *host)
{
    char file[128];

    snprintf(file, sizeof(file), "%s.crt", host->name);
    return demo_path(out, dir, file);
}

/* A new key and certificate: dir/<name>.crt and .key. */
static int store_issue(const char *dir, const struct demo_host *host)
{
    char cnf[DEMO_PATH_SIZE], key[DEMO_PATH_SIZE], cert[DEMO_PATH_SIZE], log[DEMO_PATH_SIZE];
    char ca_cert[DEMO_PATH_SIZE], ca_key[DEMO_PATH_SIZE], subject[128], names[128], file[128];
    int ec = strcmp(host->key, "ec") == 0;
    const char *argv[] = {"openssl",
                          "req",
                          "-x509",
                          "-config",
                          demo_path(cnf, dir, "openssl.cnf"),
                          "-CA",
                          demo_path(ca_cert, dir, "issuing.pem"),
                          "-CAkey",
                          demo_path(ca_key, dir, "issuing.key"),
                          "-nodes",
                          "-days",
                          "7",
                          "-subj",
                          subject,
                          "-addext",
                          names,
                          "-keyout",
                          key,
                          "-out",
                          store_cert_path(cert, dir, host),
                          "-newkey",
                          ec ? "ec" : "rsa:2048",
                          ec ? "-pkeyopt" : NULL,
                          "ec_paramgen_curve:P-256",
                          NULL};

    snprintf(subject, sizeof(subject), "/CN=%s", host->subject);
    snprintf(names, sizeof(names), "subjectAltName=DNS:%s", host->subject);
    snprintf(file, sizeof(file), "%s.key", host->name);
    demo_path(key, dir, file);
    return demo_run(argv, demo_path(log, dir, "openssl.log"));
}

/* Key, certificate and intermediate in one file, written at once, so that it is never half there
 * for longer than it takes to write it. */
static int store_put(const char *dir, const struct demo_host *host)
{
    char key[DEMO_PATH_SIZE], cert[DEMO_PATH_SIZE], log[DEMO_PATH_SIZE], ca[DEMO_PATH_SIZE];
    char made[DEMO_PATH_SIZE], place[DEMO_PATH_SIZE], password[64], file[128];
    unsigned char data[65536];
    size_t len;
    FILE *f;
    const char *argv[] = {"openssl",
                          "pkcs12",
                          "-export",
                          "-inkey",
                          key,
                          "-in",
                          store_cert_path(cert, dir, host),
                          "-certfile",
                          demo_path(ca, dir, "issuing.pem"),
                          "-out",
                          demo_path(made, dir, "new.p12"),
                          "-passout",
                          password,
                          strcmp(host->how, "legacy") == 0 ? "-legacy" : NULL,
                          NULL};

    snprintf(file, sizeof(file), "%s.key", host->name);
    demo_path(key, dir, file);
    /* Passwords of a demo: everyone who can see the command line may know them. */
    snprintf(password, sizeof(password), "pass:%s",
             strcmp(host->how, "open") == 0     ? ""
             : strcmp(host->how, "legacy") == 0 ? "correct horse"
                                                : "battery staple");
    if (demo_run(argv, demo_path(log, dir, "openssl.log")) != 0) {
        return -1;
    }
    f = fopen(made, "rb");
    if (f == NULL) {
        return demo_fail("%s: %s", made, strerror(errno));
    }
    len = fread(data, 1, sizeof(data), f);
    fclose(f);
    snprintf(file, sizeof(file), "store/%s", host->file);
    return demo_write(demo_path(place, dir, file), data, len);
}

int demo_store_renew(const char *dir, const struct demo_host *host)
{
    return store_issue(dir, host) != 0 || store_put(dir, host) != 0 ? -1 : 0;
}

int demo_store_make(const char *dir)
{
    char path[DEMO_PATH_SIZE];
    size_t i;

    if (mkdir(demo_path(path, dir, "store"), 0755) != 0) {
        return demo_fail("%s: %s", path, strerror(errno));
    }
    if (demo_write(demo_path(path, dir, "passwords"), store_passwords,
                   sizeof(store_passwords) - 1) != 0 ||
        chmod(path, 0600) != 0 ||
        demo_write(demo_path(path, dir, "openssl.cnf"), store_openssl_cnf,
                   sizeof(store_openssl_cnf) - 1) != 0 ||
        store_authority(dir, "ca", "demo root authority", NULL) != 0 ||
        store_authority(dir, "issuing", "demo issuing authority", "ca") != 0) {
        return -1;
    }
    for (i = 0; i < demo_host_count; i++) {
        if (demo_store_renew(dir, &demo_hosts[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

int demo_store_fingerprint(const char *dir, const struct demo_host *host, char out[65])
{
    char path[DEMO_PATH_SIZE];
    FILE *f = fopen(store_cert_path(path, dir, host), "rb");
    X509 *cert = f != NULL ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    int rv = cert != NULL ? demo_fingerprint(cert, out) : -1;

    X509_free(cert);
    if (f != NULL) {
        fclose(f);
    }
    return rv == 0 ? 0 : demo_fail("%s: no certificate there", path);
}
