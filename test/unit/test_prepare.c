/* SPDX-License-Identifier: Apache-2.0 */
#include "pkcs12_kit.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ccs/ccs.h>

#include "credential.h"
#include "tls.h"

#define THREADS 8

static const struct ccs_pfxkit_password empty = {"", 0};

/* The code of a load, from a file's octets to an SSL. */
static int load_file(const struct ccs_der *file)
{
    const struct ccs_pfx_params params = {.password = CCS_PASSWORD_UNKNOWN, .kdf_limit = 1000};
    struct ccs_part *part = NULL;
    struct ccs_pfx *pfx = NULL;
    int rv = ccs_pkcs12_decode(file->data, file->len, &params, &pfx, NULL);

    if (rv == CCS_OK)
        rv = ccs_part_take(pfx, &part, NULL);
    if (rv == CCS_OK)
        rv = ccs_tls_warm(&part->pairs[0], NULL);
    ccs_part_unref(part);
    ccs_pfx_free(pfx);
    return rv;
}

/* What fn returns in a child. */
static int in_child(int (*fn)(const void *arg), const void *arg)
{
    pid_t pid = fork();
    int status;

    assert_int_not_equal(pid, -1);
    if (pid == 0)
        _exit(-fn(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* One that finds no provider in the file system any more. */
static int load_alone(const void *file)
{
    static const char nowhere[] = "/nonexistent";

    return setenv("OPENSSL_MODULES", nowhere, 1) == 0 ? load_file(file) : CCS_EINVAL;
}

/* One whose OpenSSL is set up in a way that nothing is found. */
static int prepare_in_vain(const void *arg)
{
    struct ccs_error err[2] = {0};

    (void)arg;
    if (EVP_set_default_properties(NULL, "provider=nobody") != 1)
        return CCS_EINVAL;
    for (int i = 0; i < 2; i++)
        if (ccs_prepare(&err[i]) != CCS_ESSL || strstr(err[i].text, "P-256") == NULL ||
            ERR_peek_error() != 0)
            return CCS_EINVAL;
    return strcmp(err[0].text, err[1].text) == 0 ? CCS_ESSL : CCS_EINVAL;
}

static void *prepare(void *arg)
{
    struct ccs_error err = {0};

    return ccs_prepare(&err) == CCS_OK && err.code == CCS_OK ? NULL : arg;
}

static void children_need_not(void **state)
{
    const struct ccs_pfxkit_pbe old = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC, .password = empty};
    pthread_t threads[THREADS];
    struct ccs_der file = {0};
    void *failed;

    (void)state;
    make_file(&file, &(struct making){.certs = old}, empty);
    assert_int_equal(in_child(load_alone, &file), CCS_ELEGACY);

    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, prepare, &file), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(ccs_prepare(NULL), CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);

    assert_int_equal(in_child(load_alone, &file), CCS_OK);
    assert_int_equal(load_file(&file), CCS_OK);
    ccs_der_clear(&file);
}

static void failure_is_told(void **state)
{
    (void)state;
    assert_int_equal(in_child(prepare_in_vain, NULL), CCS_ESSL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_is_told), /* before OpenSSL is prepared in this process */
        cmocka_unit_test(children_need_not),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
