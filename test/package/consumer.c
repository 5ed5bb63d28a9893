/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a TLS server does with libccs: open a store, let an SSL_CTX be served from it, and
 * ask it for a host. The folder is empty, so the answer has to be "not found". What follows the
 * folder are further settings.
 */
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include <ccs/ccs.h>
#include <ccs/openssl.h>

int main(int argc, char **argv)
{
    static const char host[] = "www.example.com";
    struct ccs_error err;
    struct ccs_answer answer;
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_site *site = NULL;
    struct ccs *ccs = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int rv = 1;

    memset(&err, 0, sizeof(err));
    if (argc < 2 || argc % 2 != 0 || cfg == NULL || ctx == NULL) {
        fprintf(stderr, "usage: consumer FOLDER [NAME VALUE]...\n");
        goto out;
    }
    if (strcmp(ccs_version(), CCS_VERSION) != 0) {
        fprintf(stderr, "headers %s, library %s\n", CCS_VERSION, ccs_version());
        goto out;
    }
    for (int i = 2; i < argc; i += 2) {
        if (ccs_config_set(cfg, argv[i], argv[i + 1], &err) != CCS_OK) {
            fprintf(stderr, "%s\n", err.text);
            goto out;
        }
    }
    if (ccs_config_set(cfg, "store", argv[1], &err) != CCS_OK ||
        ccs_open(cfg, &ccs, &err) != CCS_OK ||
        (site = ccs_site_new(cfg, "consumer", &err)) == NULL ||
        ccs_ssl_ctx_attach(ctx, site, &err) != CCS_OK) {
        fprintf(stderr, "%s\n", err.text);
        goto out;
    }
    ccs_site_bind(site, ccs);
    if (ccs_acquire(ccs, host, strlen(host), -1, &answer) != CCS_ENOTFOUND) {
        fprintf(stderr, "%s: %s\n", ccs_code_name(answer.code), answer.error.text);
        ccs_cred_unref(answer.cred);
        goto out;
    }
    printf("libccs %s: %s\n", ccs_version(), ccs_code_name(answer.code));
    rv = 0;

out:
    SSL_CTX_free(ctx);
    ccs_site_free(site);
    ccs_close(ccs);
    ccs_config_free(cfg);
    return rv;
}
