/* SPDX-License-Identifier: Apache-2.0 */
/* Thousands of loads by several threads: no failure, and no growth of the process. */
#include "pkcs12_kit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#ifndef __has_feature
#define __has_feature(name) 0 /* clang's way of telling */
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define THREADS 4
#define LOADS   (SANITIZED ? 600 : 3000)
#define FILES   6

static struct ccs_der files[FILES];
static struct ccs_passwords *passwords;
static atomic_size_t failures;

static void make_files(void)
{
    const struct ccs_pfxkit_password pw = {"pw", 2};
    static const struct making makings[FILES - 1] = {
        {.certs = {.nid = NID_pbe_WithSHA1And40BitRC2_CBC},
         .key = {.nid = NID_pbe_WithSHA1And3_Key_TripleDES_CBC},
         .mac = {.digest = NID_sha1}},
        {.mac = {.pbmac1 = 1}},
        {.certs = {.nid = NID_pbe_WithSHA1And128BitRC4}},
        {.key = {.password = CCS_PFXKIT_PASSWORD("not known")}}, /* fails, by the longest way */
        {.mac = {.fake = 1}},
    };
    size_t i;

    for (i = 0; i < FILES - 1; i++)
        make_file(&files[i], &makings[i], pw);
    make_file(&files[FILES - 1], &(struct making){.no_mac = 1}, pw);
    assert_int_equal(ccs_passwords_parse("wrong\npw", 8, &passwords, NULL), CCS_OK);
}

static void *load_many(void *arg)
{
    static const int expected[FILES] = {CCS_OK,           CCS_OK,       CCS_OK,
                                        CCS_EKEYPASSWORD, CCS_EDAMAGED, CCS_OK};
    const struct ccs_pfx_params params = {passwords, CCS_PASSWORD_UNKNOWN, 2000000};
    size_t count = *(size_t *)arg, i;
    struct ccs_error err;
    struct ccs_pfx *pfx;

    for (i = 0; i < count; i++) {
        const struct ccs_der *file = &files[i % FILES];

        pfx = NULL;
        if (ccs_pkcs12_decode(file->data, file->len, &params, &pfx, &err) != expected[i % FILES] ||
            ERR_peek_error() != 0)
            atomic_fetch_add(&failures, 1);
        ccs_pfx_free(pfx);
    }
    OPENSSL_thread_stop();
    return NULL;
}

static void run(size_t loads)
{
    size_t each = loads / THREADS, i;
    pthread_t threads[THREADS];

    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_many, &each), 0);
    for (i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Resident memory that is not of a file, in KiB. */
static long resident(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    long kib = -1;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "RssAnon: %ld", &kib) == 1)
            break;
    fclose(f);
    assert_true(kib > 0);
    return kib;
}

static void test_no_growth(void **state)
{
    long before, after;

    (void)state;
    make_files();
    /* What is taken once, arenas of the allocator among it, is taken by the first few hundred. */
    run(LOADS / 5);
    before = resident();
    run(LOADS);
    after = resident();
    print_message("RssAnon before %ld KiB, after %d loads %ld KiB\n", before, LOADS, after);
    assert_int_equal(atomic_load(&failures), 0);
    /* One leaked certificate a load would be 10 MiB. Sanitizers keep freed memory for a while. */
    if (!SANITIZED)
        assert_true(after - before < 2048);
}

static int release(void **state)
{
    size_t i;

    for (i = 0; i < FILES; i++)
        ccs_der_clear(&files[i]);
    ccs_passwords_unref(passwords);
    return host_free(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_growth),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
