/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "error.h"

#define PARSED   64
#define FAILURES 128

static int setup(void **state)
{
    static const struct ccs_siphash_key key = {1, 2};

    *state = ccs_cache_new(PARSED, FAILURES, &key);
    return *state == NULL;
}

static int teardown(void **state)
{
    ccs_cache_free(*state);
    return 0;
}

static uint64_t hash_of(const struct ccs_cache *cache, const char *stem)
{
    return ccs_cache_hash(cache, stem, strlen(stem));
}

/* A credential with nothing in it but its stem; the cache looks at no more. */
static struct ccs_cred *cred_for(const struct ccs_cache *cache, const char *stem)
{
    struct ccs_cred *cred = calloc(1, sizeof(*cred));

    assert_non_null(cred);
    atomic_init(&cred->refs, 1);
    snprintf(cred->stem, sizeof(cred->stem), "%s", stem);
    cred->hash = hash_of(cache, stem);
    return cred;
}

static void put(struct ccs_cache *cache, const char *stem)
{
    struct ccs_cred *cred = cred_for(cache, stem);

    ccs_cache_put(cache, cred);
    ccs_cred_unref(cred);
}

static bool has(struct ccs_cache *cache, const char *stem)
{
    struct ccs_cred *cred = ccs_cache_get(cache, stem, strlen(stem), hash_of(cache, stem));
    bool found = cred != NULL;

    if (found)
        assert_string_equal(cred->stem, stem);
    ccs_cred_unref(cred);
    return found;
}

static void put_failure(struct ccs_cache *cache, const char *stem, int code, int64_t until)
{
    struct ccs_stamp stamp = {.size = 7};
    struct ccs_error error;

    ccs_error_set(&error, code, "%s failed", stem);
    assert_int_equal(
        ccs_cache_put_failure(cache, stem, hash_of(cache, stem), &error, &stamp, until, 7), CCS_OK);
}

static struct ccs_failure *failure(struct ccs_cache *cache, const char *stem)
{
    return ccs_cache_get_failure(cache, stem, strlen(stem), hash_of(cache, stem));
}

static void found_after_put(void **state)
{
    struct ccs_cache *cache = *state;

    assert_false(has(cache, "www.example.com"));
    put(cache, "www.example.com");
    assert_true(has(cache, "www.example.com"));
    assert_false(has(cache, "www.example.co"));
    assert_false(has(cache, "ww.example.com"));
    assert_int_equal(ccs_cache_count(cache), 1);
}

static void same_hash_is_not_same_stem(void **state)
{
    struct ccs_cache *cache = *state;
    uint64_t hash = hash_of(cache, "a.example");

    put(cache, "a.example");
    assert_null(ccs_cache_get(cache, "b.example", 9, hash));
    assert_null(ccs_cache_get(cache, "a.exampl", 8, hash));
    assert_null(ccs_cache_get(cache, "a.example.", 10, hash));
}

static void put_replaces(void **state)
{
    struct ccs_cache *cache = *state;
    struct ccs_cred *first = cred_for(cache, "a.example"), *second = cred_for(cache, "a.example");
    struct ccs_cred *got;

    ccs_cache_put(cache, first);
    ccs_cache_put(cache, second);
    got = ccs_cache_get(cache, "a.example", 9, first->hash);
    assert_ptr_equal(got, second);
    assert_int_equal(ccs_cache_count(cache), 1);
    assert_int_equal(ccs_cache_evictions(cache), 0);
    assert_int_equal(atomic_load(&first->refs), 1);
    assert_int_equal(atomic_load(&second->refs), 3);
    ccs_cred_unref(got);
    ccs_cred_unref(first);
    ccs_cred_unref(second);
}

static void drop_forgets(void **state)
{
    struct ccs_cache *cache = *state;

    put(cache, "a.example");
    put(cache, "b.example");
    ccs_cache_drop(cache, "a.example", 9, hash_of(cache, "a.example"));
    ccs_cache_drop(cache, "c.example", 9, hash_of(cache, "c.example"));
    assert_false(has(cache, "a.example"));
    assert_true(has(cache, "b.example"));
    ccs_cache_drop_all(cache);
    assert_false(has(cache, "b.example"));
    assert_int_equal(ccs_cache_count(cache), 0);
}

static void bounded_and_evicting(void **state)
{
    struct ccs_cache *cache = *state;
    char stem[32];
    size_t found = 0;

    for (int i = 0; i < 10 * PARSED; i++) {
        snprintf(stem, sizeof(stem), "h%d.example", i);
        put(cache, stem);
        assert_true(has(cache, stem));
        assert_true(ccs_cache_count(cache) <= PARSED);
    }
    for (int i = 0; i < 10 * PARSED; i++) {
        snprintf(stem, sizeof(stem), "h%d.example", i);
        found += has(cache, stem);
    }
    assert_int_equal(found, ccs_cache_count(cache));
    assert_int_equal(ccs_cache_evictions(cache), 10 * PARSED - found);
    assert_true(found > PARSED / 2);
}

static void what_is_used_stays(void **state)
{
    struct ccs_cache *cache = *state;
    char stem[32];
    int lost = 0;

    for (int i = 0; i < 8; i++) {
        snprintf(stem, sizeof(stem), "hot%d.example", i);
        put(cache, stem);
    }
    for (int i = 0; i < 20 * PARSED; i++) {
        snprintf(stem, sizeof(stem), "cold%d.example", i);
        put(cache, stem);
        for (int j = 0; j < 8; j++) {
            snprintf(stem, sizeof(stem), "hot%d.example", j);
            if (!has(cache, stem)) {
                lost++;
                put(cache, stem);
            }
        }
    }
    /* A set can be full of names in use, so that now and then one goes; a plain queue loses them
     * all. */
    assert_true(lost < 20);
}

static void failures_are_apart(void **state)
{
    struct ccs_cache *cache = *state;
    char stem[32];

    put(cache, "good.example");
    for (int i = 0; i < 20 * FAILURES; i++) {
        snprintf(stem, sizeof(stem), "flood%d.example", i);
        put_failure(cache, stem, CCS_ENOTFOUND, 1000);
        assert_true(ccs_cache_failure_count(cache, 0) <= FAILURES);
    }
    assert_true(has(cache, "good.example"));
    assert_int_equal(ccs_cache_evictions(cache), 0);
    assert_int_equal(ccs_cache_failure_count(cache, 1000), 0);
}

static void failure_tells_all(void **state)
{
    struct ccs_cache *cache = *state;
    struct ccs_failure *f;

    put_failure(cache, "a.example", CCS_EPASSWORD, 1234);
    f = failure(cache, "a.example");
    assert_non_null(f);
    assert_int_equal(f->error.code, CCS_EPASSWORD);
    assert_string_equal(f->error.text, "a.example failed");
    assert_int_equal(f->stamp.size, 7);
    assert_int_equal(atomic_load(&f->until_ms), 1234);
    ccs_failure_unref(f);
    assert_null(failure(cache, "b.example"));
}

static void success_ends_failure(void **state)
{
    struct ccs_cache *cache = *state;

    put_failure(cache, "a.example", CCS_EPASSWORD, 1000);
    put(cache, "a.example");
    assert_null(failure(cache, "a.example"));
}

static void refusals_stay_known(void **state)
{
    struct ccs_cache *cache = *state;
    struct ccs_failure *f;

    put_failure(cache, "missing.example", CCS_ENOTFOUND, INT64_MAX);
    put_failure(cache, "down.example", CCS_EUNAVAIL, INT64_MAX);
    put_failure(cache, "bad.example", CCS_EDAMAGED, INT64_MAX);
    put_failure(cache, "worse.example", CCS_EPASSWORD, INT64_MAX);
    ccs_cache_expire_failure(cache, "bad.example", 11, hash_of(cache, "bad.example"));
    assert_int_equal(ccs_cache_failure_count(cache, 0), 3);
    ccs_cache_expire_failures(cache);
    assert_int_equal(ccs_cache_failure_count(cache, 0), 0);
    assert_null(failure(cache, "missing.example"));
    assert_null(failure(cache, "down.example"));
    f = failure(cache, "bad.example");
    assert_non_null(f);
    assert_int_equal(f->error.code, CCS_EDAMAGED);
    ccs_failure_unref(f);
    f = failure(cache, "worse.example");
    assert_non_null(f);
    ccs_failure_unref(f);
}

static void snapshot_holds_all(void **state)
{
    struct ccs_cache *cache = *state;
    struct ccs_cred **all;
    size_t n;

    assert_int_equal(ccs_cache_snapshot(cache, &all), 0);
    assert_null(all);
    put(cache, "a.example");
    put(cache, "b.example");
    n = ccs_cache_snapshot(cache, &all);
    assert_int_equal(n, 2);
    ccs_cache_drop_all(cache);
    assert_int_not_equal(strcmp(all[0]->stem, all[1]->stem), 0);
    for (size_t i = 0; i < n; i++)
        ccs_cred_unref(all[i]);
    free(all);
}

/* Readers and writers at once; the sanitizers say whether anything is used after it is freed. */
struct race {
    struct ccs_cache *cache;
    atomic_bool stop;
    atomic_uint wrong;
    atomic_ulong found;
};

static void *race_reader(void *arg)
{
    struct race *r = arg;
    char stem[32];

    for (unsigned i = 0; !atomic_load(&r->stop); i++) {
        struct ccs_cred *cred;

        snprintf(stem, sizeof(stem), "h%u.example", i % (2 * PARSED));
        cred = ccs_cache_get(r->cache, stem, strlen(stem), hash_of(r->cache, stem));
        if (cred != NULL) {
            atomic_fetch_add(&r->found, 1);
            if (strcmp(cred->stem, stem) != 0)
                atomic_fetch_add(&r->wrong, 1);
        }
        ccs_cred_unref(cred);
        ccs_failure_unref(failure(r->cache, stem));
    }
    return NULL;
}

static void *race_writer(void *arg)
{
    struct race *r = arg;
    char stem[32];

    for (unsigned i = 0; i < 20000; i++) {
        snprintf(stem, sizeof(stem), "h%u.example", (i * 7) % (2 * PARSED));
        put(r->cache, stem);
        put_failure(r->cache, stem, CCS_ENOTFOUND, 0);
        if (i % 50 == 0)
            ccs_cache_drop(r->cache, stem, strlen(stem), hash_of(r->cache, stem));
        if (i % 1000 == 0)
            ccs_cache_drop_all(r->cache);
    }
    return NULL;
}

static void readers_never_see_the_dead(void **state)
{
    struct race r = {.cache = *state};
    pthread_t readers[3], writers[2];

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, race_reader, &r), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, race_writer, &r), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&r.stop, true);
    for (size_t i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&r.wrong), 0);
    assert_true(atomic_load(&r.found) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_after_put, setup, teardown),
        cmocka_unit_test_setup_teardown(same_hash_is_not_same_stem, setup, teardown),
        cmocka_unit_test_setup_teardown(put_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(drop_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(bounded_and_evicting, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_used_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_tells_all, setup, teardown),
        cmocka_unit_test_setup_teardown(success_ends_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_stay_known, setup, teardown),
        cmocka_unit_test_setup_teardown(snapshot_holds_all, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_never_see_the_dead, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
