/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, run as people and programs run it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <ccs/version.h>

#include "pki.h"
#include "process.h"
#include "tmp.h"

#define ARGS_MAX 16

struct ctl {
    char program[PATH_MAX];
    struct ccs_tmp tmp;
    struct ccs_pki_ca *ca;
    char *out; /* of the last run */
    char *err;
    char paths[8][PATH_MAX];
    size_t path_count;
};

/* build/<preset>/test/integration/<this> -> build/<preset>/bin/ccsctl */
static void find_program(char out[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int up;

    assert_true(n > 0);
    self[n] = '\0';
    for (up = 0; up < 3; up++)
        *strrchr(self, '/') = '\0';
    assert_true(snprintf(out, PATH_MAX, "%.*s/bin/ccsctl", PATH_MAX - 20, self) < PATH_MAX);
    assert_int_equal(access(out, X_OK), 0);
}

static int setup(void **state)
{
    struct ctl *ctl = calloc(1, sizeof(*ctl));

    assert_non_null(ctl);
    *state = ctl;
    find_program(ctl->program);
    ccs_tmp_make(&ctl->tmp);
    ctl->ca = ccs_pki_ca_new();
    return 0;
}

static int teardown(void **state)
{
    struct ctl *ctl = *state;

    ccs_pki_ca_free(ctl->ca);
    ccs_tmp_remove(&ctl->tmp);
    free(ctl->out);
    free(ctl->err);
    free(ctl);
    return 0;
}

/* Path of a file in the test's folder; at most eight in use at a time. */
static const char *at(struct ctl *ctl, const char *name)
{
    char *out = ctl->paths[ctl->path_count++ % 8];

    snprintf(out, PATH_MAX, "%s/%s", ctl->tmp.path, name);
    return out;
}

/* Runs ccsctl with standard output going to a file; returns its exit status. */
static int run_into(struct ctl *ctl, const char *out_path, const char *const *args)
{
    char *argv[ARGS_MAX];
    pid_t pid;
    int i;

    argv[0] = ctl->program;
    for (i = 0; args[i] != NULL; i++) {
        assert_true(i + 2 < ARGS_MAX);
        argv[i + 1] = strdup(args[i]);
    }
    argv[i + 1] = NULL;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        int err = open(at(ctl, "stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0644);

        if (out < 0 || err < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
            _exit(126);
        execv(argv[0], argv);
        _exit(127);
    }
    for (; i > 0; i--)
        free(argv[i]);
    return ccs_process_wait(pid);
}

static int run_list(struct ctl *ctl, const char *const *args)
{
    int status = run_into(ctl, at(ctl, "stdout"), args);

    free(ctl->out);
    free(ctl->err);
    ctl->out = ccs_tmp_read(ctl->tmp.path, "stdout", NULL);
    ctl->err = ccs_tmp_read(ctl->tmp.path, "stderr", NULL);
    assert_non_null(ctl->out);
    assert_non_null(ctl->err);
    return status;
}

#define run(ctl, ...) run_list(ctl, (const char *const[]){__VA_ARGS__, NULL})

static void assert_says(const char *text, const char *words)
{
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void assert_silent(const char *text, const char *words)
{
    if (strstr(text, words) != NULL)
        fail_msg("\"%s\" is in:\n%s", words, text);
}

/* How often words are in text. */
static int count(const char *text, const char *words)
{
    int n = 0;

    while ((text = strstr(text, words)) != NULL) {
        n++;
        text += strlen(words);
    }
    return n;
}

static void usage(void **state)
{
    struct ctl *ctl = *state;

    assert_int_equal(run_list(ctl, (const char *const[]){NULL}), 2);
    assert_says(ctl->err, "usage: ccsctl");
    assert_string_equal(ctl->out, "");
    assert_int_equal(run(ctl, "shew"), 2);
    assert_says(ctl->err, "\"shew\"");
    assert_int_equal(run(ctl, "--nonsense"), 2);
    assert_int_equal(run(ctl, "show"), 2);
    assert_says(ctl->err, "usage: ccsctl show");
    assert_int_equal(run(ctl, "show", "--nonsense", "x.pfx"), 2);
    assert_int_equal(run(ctl, "show", "--password-file"), 2);

    assert_int_equal(run(ctl, "--help"), 0);
    assert_says(ctl->out, "show");
    assert_string_equal(ctl->err, "");
    assert_int_equal(run(ctl, "show", "--help"), 0);
    assert_says(ctl->out, "--password-file");
    assert_int_equal(run(ctl, "--version"), 0);
    assert_string_equal(ctl->out, "ccsctl " CCS_VERSION "\n");
}

static void good_file_as_json(void **state)
{
    struct ctl *ctl = *state;
    struct ccs_pki_spec spec = {
        .names = "www.a.test,a.test",
        .key = CCS_PKI_P256,
        .not_before = -3600,
        .not_after = 86400,
    };
    struct ccs_pki_leaf leaf = {0};
    char words[512];

    ccs_pki_issue(ctl->ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, NULL, ctl->tmp.path, "www.a.test.pfx");
    assert_int_equal(run(ctl, "show", "--json", at(ctl, "www.a.test.pfx")), 0);
    assert_string_equal(ctl->err, "");
    assert_int_equal(ctl->out[0], '[');
    snprintf(words, sizeof(words), "\"file\": \"%s/www.a.test.pfx\"", ctl->tmp.path);
    assert_says(ctl->out, words);
    assert_says(ctl->out, "\"result\": \"ok\"");
    assert_says(ctl->out, "\"reason\": null");
    assert_says(ctl->out, "\"warnings\": []");
    assert_says(ctl->out, "\"key_type\": \"EC\"");
    assert_says(ctl->out, "\"key_bits\": 256");
    assert_says(ctl->out, "\"www.a.test\",");
    assert_says(ctl->out, "\"a.test\"\n");
    assert_says(ctl->out, "\"issuer\": \"");
    assert_says(ctl->out, "\"not_before\": \"20");
    assert_says(ctl->out, "\"not_after\": \"20");
    assert_says(ctl->out, "\"chain_length\": 1");
    snprintf(words, sizeof(words), "\"fingerprint\": \"%s\"", leaf.fingerprint);
    assert_says(ctl->out, words);
    assert_says(ctl->out, "\"legacy\": []");
    ccs_pki_leaf_clear(&leaf);
}

static void good_file_for_people(void **state)
{
    struct ctl *ctl = *state;
    struct ccs_pki_spec spec = {.names = "a.test", .key = CCS_PKI_RSA};
    struct ccs_pki_leaf leaf = {0};

    ccs_pki_issue(ctl->ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, NULL, ctl->tmp.path, "a.test.pfx");
    assert_int_equal(run(ctl, "show", at(ctl, "a.test.pfx")), 0);
    assert_says(ctl->out, "a.test.pfx: ok\n");
    assert_says(ctl->out, "RSA, 2048 bits\n");
    assert_says(ctl->out, "names        a.test\n");
    assert_says(ctl->out, leaf.fingerprint);
    assert_silent(ctl->out, "legacy");
    assert_silent(ctl->out, "warning");
    assert_silent(ctl->out, "expired");
    ccs_pki_leaf_clear(&leaf);
}

static void both_key_types(void **state)
{
    struct ctl *ctl = *state;
    struct ccs_pki_spec specs[2] = {
        {.names = "a.test", .key = CCS_PKI_RSA},
        {.names = "a.test", .key = CCS_PKI_P256},
    };
    struct ccs_pki_leaf leaves[2] = {0};
    struct ccs_pki_bytes pfx;

    ccs_pki_issue(ctl->ca, &specs[0], &leaves[0]);
    ccs_pki_issue(ctl->ca, &specs[1], &leaves[1]);
    pfx = ccs_pki_pfx_make(leaves, 2, NULL);
    ccs_tmp_write(ctl->tmp.path, "a.test.pfx", pfx.data, pfx.len);
    assert_int_equal(run(ctl, "show", "--json", at(ctl, "a.test.pfx")), 0);
    assert_says(ctl->out, leaves[0].fingerprint);
    assert_says(ctl->out, leaves[1].fingerprint);
    assert_int_equal(count(ctl->out, "\"key_type\""), 2);
    ccs_pki_bytes_clear(&pfx);
    ccs_pki_leaf_clear(&leaves[0]);
    ccs_pki_leaf_clear(&leaves[1]);
}

static void windows_file_and_passwords(void **state)
{
    struct ctl *ctl = *state;
    struct ccs_pki_spec spec = {.names = "a.test", .key = CCS_PKI_RSA};
    struct ccs_pki_pfx how = {.password = "second secret", .protection = CCS_PKI_WINDOWS};
    struct ccs_pki_leaf leaf = {0};

    ccs_pki_issue(ctl->ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, &how, ctl->tmp.path, "a.test.pfx");
    ccs_tmp_print(ctl->tmp.path, "right", "first secret\nsecond secret\n");
    ccs_tmp_print(ctl->tmp.path, "wrong", "first secret\n");

    assert_int_equal(
        run(ctl, "show", "--json", "--password-file", at(ctl, "right"), at(ctl, "a.test.pfx")), 0);
    assert_says(ctl->out, "\"RC2-40\"");
    assert_says(ctl->out, "\"3DES\"");
    assert_silent(ctl->out, "secret");
    assert_int_equal(
        run(ctl, "show", "--json", "--password-file", at(ctl, "wrong"), at(ctl, "a.test.pfx")), 1);
    assert_says(ctl->out, "\"result\": \"wrong-password\"");
    assert_says(ctl->out, "\"pairs\": []");
    assert_silent(ctl->out, "\"reason\": null");
    assert_silent(ctl->out, "secret");
    assert_int_equal(run(ctl, "show", at(ctl, "a.test.pfx")), 1);
    assert_says(ctl->out, "a.test.pfx: wrong-password\n");
    assert_int_equal(run(ctl, "show", "-p", at(ctl, "none"), at(ctl, "a.test.pfx")), 2);
    assert_string_equal(ctl->out, "");
    assert_says(ctl->err, "none");
    ccs_pki_leaf_clear(&leaf);
}

static void files_that_are_none(void **state)
{
    struct ctl *ctl = *state;

    ccs_tmp_write(ctl->tmp.path, "empty.pfx", "", 0);
    ccs_tmp_print(ctl->tmp.path, "pem.pfx", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    ccs_tmp_mkdir(ctl->tmp.path, "folder.pfx");
    assert_int_equal(mkfifo(at(ctl, "fifo.pfx"), 0644), 0);
    assert_int_equal(run(ctl, "show", "--json", at(ctl, "empty.pfx"), at(ctl, "pem.pfx"),
                         at(ctl, "folder.pfx"), at(ctl, "fifo.pfx"), at(ctl, "missing.pfx")),
                     1);
    assert_int_equal(count(ctl->out, "\"result\": \"incomplete\""), 1);
    assert_int_equal(count(ctl->out, "\"result\": \"not-pkcs12\""), 1);
    assert_int_equal(count(ctl->out, "\"result\": \"not-regular-file\""), 2);
    assert_int_equal(count(ctl->out, "\"result\": \"not-found\""), 1);
    assert_int_equal(count(ctl->out, "\"reason\": \""), 5);
    assert_int_equal(run(ctl, "show", at(ctl, "nowhere/a.pfx")), 1);
    assert_int_equal(run(ctl, "show", ""), 1);
    assert_int_equal(run(ctl, "show", "/"), 1);
}

static void one_bad_among_good(void **state)
{
    struct ctl *ctl = *state;

    ccs_pki_put(ctl->ca, "a.test", ctl->tmp.path, "a.test.pfx", NULL);
    ccs_pki_put(ctl->ca, "b.test", ctl->tmp.path, "b.test.pfx", NULL);
    ccs_tmp_print(ctl->tmp.path, "bad.test.pfx", "no PFX");
    assert_int_equal(run(ctl, "show", "--json", at(ctl, "a.test.pfx"), at(ctl, "bad.test.pfx"),
                         at(ctl, "b.test.pfx")),
                     1);
    assert_int_equal(count(ctl->out, "\"result\": \"ok\""), 2);
    assert_int_equal(count(ctl->out, "\"file\": "), 3);
    assert_true(strstr(ctl->out, "bad.test.pfx") < strstr(ctl->out, "b.test.pfx"));
    assert_int_equal(run(ctl, "show", at(ctl, "a.test.pfx"), at(ctl, "b.test.pfx")), 0);
}

static void what_is_odd(void **state)
{
    struct ctl *ctl = *state;
    struct ccs_pki_spec spec = {
        .names = "old.test",
        .key = CCS_PKI_P256,
        .not_before = -7200,
        .not_after = -3600,
    };
    struct ccs_pki_leaf leaf = {0};

    ccs_pki_issue(ctl->ca, &spec, &leaf);
    ccs_pki_pfx_file(&leaf, NULL, ctl->tmp.path, "old.test.pfx");
    ccs_pki_pfx_file(&leaf, NULL, ctl->tmp.path, "other.test.pfx");
    ccs_pki_pfx_file(&leaf, NULL, ctl->tmp.path, "backup.p12");
    assert_int_equal(run(ctl, "show", at(ctl, "old.test.pfx")), 0);
    assert_says(ctl->out, "(expired)");
    assert_silent(ctl->out, "warning");
    assert_int_equal(run(ctl, "show", at(ctl, "other.test.pfx")), 0);
    assert_int_equal(count(ctl->out, "warning"), 1);
    assert_int_equal(run(ctl, "show", at(ctl, "backup.p12")), 0);
    assert_int_equal(count(ctl->out, "warning"), 1);
    ccs_pki_leaf_clear(&leaf);
}

/* Whoever makes certificates and files must not be able to write to a terminal. */
static void hostile_text(void **state)
{
    struct ctl *ctl = *state;
    const char *name;

    ccs_pki_put(ctl->ca, "red\033[31m.test", ctl->tmp.path, "a\033]0;b\007\n.pfx", NULL);
    name = at(ctl, "a\033]0;b\007\n.pfx");
    run(ctl, "show", name);
    assert_null(strchr(ctl->out, '\033'));
    assert_null(strchr(ctl->out, '\007'));
    assert_says(ctl->out, "red\\x1b[31m.test");
    run(ctl, "show", "--json", name);
    assert_null(strchr(ctl->out, '\033'));
    assert_says(ctl->out, "red\\\\x1b[31m.test");
    ccs_tmp_unlink(ctl->tmp.path, "a\033]0;b\007\n.pfx");
}

static void output_that_cannot_be_written(void **state)
{
    struct ctl *ctl = *state;

    if (access("/dev/full", W_OK) != 0)
        skip();
    ccs_pki_put(ctl->ca, "a.test", ctl->tmp.path, "a.test.pfx", NULL);
    assert_int_equal(run_into(ctl, "/dev/full",
                              (const char *const[]){"show", "--json", at(ctl, "a.test.pfx"), NULL}),
                     2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(usage, setup, teardown),
        cmocka_unit_test_setup_teardown(good_file_as_json, setup, teardown),
        cmocka_unit_test_setup_teardown(good_file_for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(both_key_types, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_file_and_passwords, setup, teardown),
        cmocka_unit_test_setup_teardown(files_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(one_bad_among_good, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_odd, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_text, setup, teardown),
        cmocka_unit_test_setup_teardown(output_that_cannot_be_written, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
