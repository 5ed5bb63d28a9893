/* SPDX-License-Identifier: Apache-2.0 */
/* The first handshake of a host against what decoding its file costs anyway. */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "bench.h"
#include "tmp.h"

static const char about[] =
    "Asks for hosts that nobody has asked for before, one after another. What the first handshake "
    "of\n"
    "each takes more than a warm one is compared with PKCS12_parse() of the same file.";

static double hosts = 200, kdf = 2048;

static const struct ccs_bench_option options[] = {
    {"hosts", &hosts, "how many"},
    {"kdf", &kdf, "rounds of the files' key derivation"},
    {NULL, NULL, NULL},
};

static double handshake_ms(const struct ccs_nginx *server, const struct ccs_names *names,
                           uint64_t number)
{
    const struct ccs_load_spec spec = {
        .port = server->port[0], .names = names, .first = number, .handshakes = 1};
    struct ccs_load_result result;
    double ms;

    ccs_bench_load(&spec, &result);
    ms = ccs_samples_median(&result.served_us) / 1e3;
    ccs_load_result_clear(&result);
    return ms;
}

static double decode_ms(const char *store, const char *name)
{
    char file[CCS_NAMES_SIZE + 4];
    STACK_OF(X509) *chain = NULL;
    const unsigned char *p;
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;
    PKCS12 *p12;
    int64_t begin;
    size_t len;
    char *data;
    int ok;

    snprintf(file, sizeof(file), "%s.pfx", name);
    data = ccs_tmp_read(store, file, &len);
    if (data == NULL)
        ccs_bench_fail("%s/%s cannot be read", store, file);
    begin = ccs_usage_clock_ns();
    p = (const unsigned char *)data;
    p12 = d2i_PKCS12(NULL, &p, (long)len);
    ok = p12 != NULL && PKCS12_parse(p12, "", &key, &leaf, &chain) == 1;
    begin = ccs_usage_clock_ns() - begin;
    if (!ok)
        ccs_bench_fail("%s/%s cannot be decoded", store, file);
    PKCS12_free(p12);
    EVP_PKEY_free(key);
    X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
    free(data);
    return (double)begin / 1e6;
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench = ccs_bench_open("cold-first", about, argc, argv, options);
    struct ccs_samples cold = {0}, warm = {0}, decode = {0}, above = {0};
    struct ccs_estimate estimate;
    char store[220], name[CCS_NAMES_SIZE];
    struct ccs_nginx *server;
    struct ccs_names names;

    /* The first ones are for the warm-up of both programs. */
    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 4 + (uint64_t)hosts) != 0)
        ccs_bench_fail("no names");
    ccs_bench_hosts(bench, "store", names.count, 0, (int)kdf, store);
    server = ccs_bench_store_server(bench, store, "");
    ccs_nginx_start(server);
    for (uint64_t i = 0; i < names.count; i++) {
        double d = decode_ms(store, ccs_names_get(&names, i, name));
        double c = handshake_ms(server, &names, i), w = handshake_ms(server, &names, i);

        if (i < 4)
            continue;
        ccs_samples_add(&decode, d);
        ccs_samples_add(&cold, c);
        ccs_samples_add(&warm, w);
        ccs_samples_add(&above, c - w - d);
    }
    estimate = ccs_samples_estimate(&above, 1);
    printf("medians in ms: first handshake %.2f, warm handshake %.2f, PKCS12_parse %.2f\n",
           ccs_samples_median(&cold), ccs_samples_median(&warm), ccs_samples_median(&decode));
    printf("first handshake above the other two: %.2f ms (%.2f to %.2f)\n", estimate.value,
           estimate.low, estimate.high);
    return ccs_bench_budget("cold-first", estimate.value, 1);
}
