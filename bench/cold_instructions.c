/* SPDX-License-Identifier: Apache-2.0 */
/* User instructions from a file to a certificate that can be served, against PKCS12_parse(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pkcs12.h>

#include "callgrind.h"
#include "credential.h"
#include "record.h"
#include "tls.h"
#include "tmp.h"

#define PARTS 1000 /* certificates that a run keeps, as a server does */

static const char about[] =
    "Decodes files under callgrind, by PKCS12_parse() and by libccs up to the finished\n"
    "certificate, each with few files and with many: the difference is what a file costs. The\n"
    "intermediate is known after the first one. Another run goes on to read the same certificate\n"
    "from what would be in shared memory.";

static double few = 4, many = 24, kdf = 2048;

static const struct ccs_bench_option options[] = {
    {"few", &few, "files of the shorter run"},
    {"many", &many, "files of the longer run"},
    {"kdf", &kdf, "rounds of the files' key derivation"},
    {NULL, NULL, NULL},
};

/* -- what is counted ----------------------------------------------------------------------- */

static void parse(const unsigned char *data, size_t len)
{
    PKCS12 *p12 = d2i_PKCS12(NULL, &data, (long)len);
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;

    if (p12 == NULL || PKCS12_parse(p12, "", &key, &leaf, &chain) != 1)
        ccs_bench_fail("a file cannot be decoded");
    PKCS12_free(p12);
    EVP_PKEY_free(key);
    X509_free(leaf);
    sk_X509_pop_free(chain, X509_free);
}

static struct ccs_part *from_record(const struct ccs_pfx *pfx)
{
    const struct ccs_record_part from = {.file = "bench.pfx", .password = -1, .pfx = pfx};
    static struct ccs_record record;
    uint8_t content[CCS_POOL_CONTENT];
    struct ccs_secret data = {0};
    struct ccs_part *part = NULL;
    size_t head;

    if (ccs_record_encode(&from, 1, NULL, &data, &head, content) != CCS_OK ||
        ccs_record_decode(data.data, data.len, NULL, &record) != CCS_OK ||
        ccs_part_new(record.parts[0].pfx, &part, NULL) != CCS_OK)
        ccs_bench_fail("a record cannot be decoded");
    ccs_secret_free(&data);
    return part;
}

static struct ccs_part *from_file(const uint8_t *data, size_t len, int twice)
{
    const struct ccs_pfx_params params = {.password = CCS_PASSWORD_UNKNOWN, .kdf_limit = 1000000};
    struct ccs_part *part = NULL;
    struct ccs_pfx *pfx = NULL;
    struct ccs_error err;

    if (ccs_pkcs12_decode(data, len, &params, &pfx, &err) != CCS_OK ||
        ccs_part_take(pfx, &part, &err) != CCS_OK || ccs_tls_warm(&part->pairs[0], &err) != CCS_OK)
        ccs_bench_fail("a file cannot be decoded: %s", err.text);
    if (twice)
        ccs_part_unref(from_record(pfx));
    ccs_pfx_free(pfx);
    return part;
}

/* The program that callgrind runs. */
static int decode(const char *what, const char *store, const char *count)
{
    static struct ccs_part *parts[PARTS];
    unsigned long n = strtoul(count, NULL, 10);
    struct ccs_names names;

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, PARTS) != 0)
        ccs_bench_fail("no names");
    for (unsigned long i = 0; i < n && i < PARTS; i++) {
        char name[CCS_NAMES_SIZE], file[CCS_NAMES_SIZE + 4];
        size_t len;
        char *data;

        snprintf(file, sizeof(file), "%s.pfx", ccs_names_get(&names, i, name));
        data = ccs_tmp_read(store, file, &len);
        if (data == NULL)
            ccs_bench_fail("%s/%s cannot be read", store, file);
        if (strcmp(what, "parse") == 0)
            parse((const unsigned char *)data, len);
        else
            parts[i] = from_file((const uint8_t *)data, len, strcmp(what, "record") == 0);
        free(data);
    }
    for (size_t i = 0; i < PARTS; i++)
        ccs_part_unref(parts[i]);
    return 0;
}

/* -- counting ------------------------------------------------------------------------------ */

static double run(const struct ccs_bench *bench, const char *store, const char *what, double files)
{
    char count[20];
    const char *const args[] = {"decode", what, store, count, NULL};

    snprintf(count, sizeof(count), "%.0f", files);
    return ccs_callgrind_self(bench, NULL, args);
}

static double slope(const struct ccs_bench *bench, const char *store, const char *what)
{
    double a = run(bench, store, what, few), b = run(bench, store, what, many);

    return (b - a) / (many - few);
}

int main(int argc, char **argv)
{
    struct ccs_bench *bench;
    double stock, file, both;
    char store[220];

    if (argc == 5 && strcmp(argv[1], "decode") == 0)
        return decode(argv[2], argv[3], argv[4]);
    bench = ccs_bench_open("cold-instructions", about, argc, argv, options);
    if (few < 1 || many <= few || many > PARTS)
        ccs_bench_fail("--many must be more than --few, and at most %d", PARTS);
    ccs_bench_hosts(bench, "store", (uint64_t)many, 0, (int)kdf, store);
    stock = slope(bench, store, "parse");
    file = slope(bench, store, "file");
    both = slope(bench, store, "record");
    printf("%-40s %12.0f instructions\n", "PKCS12_parse()", stock);
    printf("%-40s %12.0f instructions\n", "file to certificate", file);
    printf("%-40s %12.0f instructions\n", "shared memory to certificate", both - file);
    return ccs_bench_budget("cold-instructions", file / stock, 1);
}
