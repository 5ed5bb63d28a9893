/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files written on the spot by the programs that people use, with all their options: what each must
 * lead to is in one table, and nginx serves one host from each writer.
 */
#include "farm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pkcs12.h>

#include "pkcs12.h"
#include "process.h"
#include "writers.h"

struct tally {
    size_t rows, wrong, skipped;
};

/* Runs a script in the folder; what it says goes to "log" there. */
static int run_script(const char *dir, const char *script)
{
    pid_t pid = fork();
    int log;

    assert_true(pid >= 0);
    if (pid == 0) {
        log = chdir(dir) == 0 ? open("log", O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
        if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
            _exit(126);
        /* Without a terminal nobody can ask it for a password. */
        setsid();
        execl("/usr/bin/timeout", "timeout", "100", "/bin/sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    return ccs_process_wait(pid);
}

/* What the scripts start from: a leaf and key of each kind with its chain, and some helpers. */
static void prepare(struct ccs_farm *farm, char fingerprint[65])
{
    static const char names[] = "openssl.test,keytool.test,certtool.test,pk12util.test,python.test";
    static const struct {
        enum ccs_pki_key key;
        const char *cert, *private;
    } kinds[] = {
        {CCS_PKI_P256, "c.pem", "k.pem"},
        {CCS_PKI_RSA, "rsa-c.pem", "rsa-k.pem"},
        {CCS_PKI_ED25519, "ed-c.pem", "ed-k.pem"},
    };
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct ccs_pki_spec spec = {.names = names, .key = kinds[i].key, .no_chain = 1};
        struct ccs_pki_leaf leaf;

        ccs_pki_issue(farm->ca, &spec, &leaf);
        ccs_pki_pem_file(&leaf, farm->tmp.path, kinds[i].cert, kinds[i].private);
        if (i == 0)
            memcpy(fingerprint, leaf.fingerprint, sizeof(leaf.fingerprint));
        ccs_pki_leaf_clear(&leaf);
    }
    ccs_pki_pem_cert(farm->ca->intermediate, farm->tmp.path, "inter.pem");
    ccs_pki_pem_cert(farm->ca->root, farm->tmp.path, "root.pem");
    ccs_tmp_print(farm->tmp.path, "write.py", writers_python);
    assert_int_equal(run_script(farm->tmp.path, "cat inter.pem root.pem >chain.pem && "
                                                "cat c.pem chain.pem >full.pem"),
                     0);
}

static void describe(const struct ccs_pfx *pfx, char *out, size_t size)
{
    unsigned flag;

    snprintf(out, size, "%zu pair%s, chain %zu", pfx->pair_count, pfx->pair_count == 1 ? "" : "s",
             pfx->pairs[0].chain_len);
    for (flag = 1; ccs_legacy_name(flag); flag <<= 1)
        if (pfx->legacy & flag)
            snprintf(out + strlen(out), size - strlen(out), " %s", ccs_legacy_name(flag));
}

/* Whether a file that loads is the one that was written. */
static int fits(const struct writer *w, const struct ccs_pfx *pfx, const char *fingerprint)
{
    const unsigned char *p = pfx->pairs[0].leaf.data;
    X509 *leaf = d2i_X509(NULL, &p, (long)pfx->pairs[0].leaf.len);
    PKCS8_PRIV_KEY_INFO *info;
    EVP_PKEY *key = NULL;
    char got[65] = "";
    int ok;

    p = pfx->pairs[0].key.data;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)pfx->pairs[0].key.len);
    if (info)
        key = EVP_PKCS82PKEY(info);
    ok = leaf && key && X509_check_private_key(leaf, key) == 1;
    if (ok)
        ccs_pki_fingerprint(leaf, got);
    ok = ok && pfx->pair_count == w->pairs && pfx->pairs[0].chain_len == w->chain;
    if (w->shared)
        ok = ok && strcmp(got, fingerprint) == 0;
    EVP_PKEY_free(key);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_free(leaf);
    return ok;
}

static void try_row(struct ccs_farm *farm, const struct writer *w, const char *fingerprint,
                    struct tally *tally)
{
    struct ccs_pfx_params params = {NULL, CCS_PASSWORD_UNKNOWN, 2000000};
    struct ccs_passwords *passwords = NULL;
    struct ccs_pfx *pfx = NULL;
    struct ccs_error err = {0};
    char got[600], old[300], *data, *log;
    double start;
    size_t len;
    int rv, ok;

    ccs_tmp_join(old, sizeof(old), farm->tmp.path, "out.pfx");
    if (access(old, F_OK) == 0)
        ccs_tmp_unlink(farm->tmp.path, "out.pfx");
    if (run_script(farm->tmp.path, w->script) != 0) {
        log = ccs_tmp_read(farm->tmp.path, "log", NULL);
        print_message("%-10s %-34s CANNOT BE WRITTEN: %s\n", w->program, w->what, log ? log : "");
        free(log);
        tally->wrong++;
        return;
    }
    data = ccs_tmp_read(farm->tmp.path, "out.pfx", &len);
    assert_non_null(data);
    assert_int_equal(ccs_passwords_parse(w->passwords, strlen(w->passwords), &passwords, NULL),
                     CCS_OK);
    params.passwords = passwords;
    start = ccs_wait_clock();
    rv = ccs_pkcs12_decode((const uint8_t *)data, len, &params, &pfx, &err);
    start = ccs_wait_clock() - start;
    if (rv == CCS_OK)
        describe(pfx, got, sizeof(got));
    else
        snprintf(got, sizeof(got), "%s", err.text);
    ok = rv == w->code && (rv != CCS_OK || fits(w, pfx, fingerprint));
    print_message("%-10s %-34s %-17s %-17s %7.0f ms  %-5s %.60s\n", w->program, w->what,
                  ccs_code_name(w->code), ccs_code_name(rv), start, ok ? "" : "WRONG", got);
    tally->wrong += !ok;
    if (ok && w->host)
        ccs_farm_put_bytes(farm, w->host, data, len);
    ccs_pfx_free(pfx);
    ccs_passwords_unref(passwords);
    free(data);
}

static int has_program(const char *program)
{
    char script[200];

    if (strcmp(program, "python") == 0)
        return run_script("/tmp", "/usr/bin/python3 -c 'from cryptography.hazmat.primitives."
                                  "serialization.pkcs12 import PBES'") == 0;
    if (strcmp(program, "pk12util") == 0)
        return run_script("/tmp", "command -v pk12util && command -v certutil") == 0;
    snprintf(script, sizeof(script), "command -v %s", program);
    return run_script("/tmp", script) == 0;
}

static void test_table(struct ccs_farm *farm, const char *fingerprint)
{
    const char *program = "";
    struct tally tally = {0, 0, 0};
    int there = 0;
    size_t i;

    print_message("%-10s %-34s %-17s %-17s\n", "writer", "how", "expected", "got");
    for (i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
        const struct writer *w = &writers[i];

        tally.rows++;
        if (strcmp(w->program, program) != 0) {
            program = w->program;
            there = has_program(program);
            if (!there)
                print_message("%-10s is not installed: its rows are left out\n", program);
        }
        if (there)
            try_row(farm, w, fingerprint, &tally);
        else
            tally.skipped++;
    }
    print_message("%zu rows, %zu wrong, %zu left out\n", tally.rows, tally.wrong, tally.skipped);
    assert_int_equal(tally.wrong, 0);
    /* openssl at least is always there. */
    assert_true(tally.skipped < tally.rows);
}

/* The hosts that the table has put into the store, one per writer. */
static void test_served(struct ccs_farm *farm, const char *fingerprint)
{
    static const char *const hosts[] = {"openssl.test", "keytool.test", "certtool.test",
                                        "pk12util.test", "python.test"};
    char http[1000], file[300], body[100];
    size_t i;

    ccs_tmp_print(farm->tmp.path, "passwords", "not this one\npw\npassword\n");
    ccs_tmp_join(file, sizeof(file), farm->tmp.path, "passwords");
    snprintf(http, sizeof(http),
             CCS_FARM_TLS CCS_FARM_STORE "ccs_password_file %s; ccs_wait 30s;\n" CCS_FARM_SERVER,
             file);
    ccs_farm_run(farm, http);
    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        snprintf(file, sizeof(file), "%s/%s.pfx", farm->store, hosts[i]);
        if (access(file, F_OK) != 0)
            continue;
        snprintf(body, sizeof(body), "LOADED %s.pfx", hosts[i]);
        ccs_farm_expect_name(farm, hosts[i], body, fingerprint);
        print_message("nginx serves %s\n", hosts[i]);
    }
}

static void test_writers(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprint[65];

    prepare(farm, fingerprint);
    test_table(farm, fingerprint);
    test_served(farm, fingerprint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(test_writers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
