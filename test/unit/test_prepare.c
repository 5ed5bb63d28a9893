/* SPDX-License-Identifier: Apache-2.0 */
#include "pkcs12_kit.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ccs/ccs.h>

#include "credential.h"
#include "tls.h"
#include "tmp.h"

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

/* The same in a child that finds no provider in the file system any more. */
static int load_in_child(const struct ccs_der *file)
{
    struct ccs_tmp nothing;
    int status, rv;
    pid_t pid;

    ccs_tmp_make(&nothing);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        rv = setenv("OPENSSL_MODULES", nothing.path, 1) == 0 ? load_file(file) : CCS_EINVAL;
        _exit(-rv);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ccs_tmp_remove(&nothing);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
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
    assert_int_equal(load_in_child(&file), CCS_ELEGACY);

    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, prepare, &file), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(ccs_prepare(NULL), CCS_OK);
    assert_int_equal(ERR_peek_error(), 0);

    assert_int_equal(load_in_child(&file), CCS_OK);
    assert_int_equal(load_file(&file), CCS_OK);
    ccs_der_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_need_not),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
