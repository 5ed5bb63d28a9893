/* SPDX-License-Identifier: Apache-2.0 */
/* Instances that share memory, as those of several processes do, and what they say of themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "tmp.h"
#include "wait.h"
#include "world.h"

#define SIZE  ((size_t)4 * 1024 * 1024)
#define A     "a.example"
#define A_PFX "a.example.pfx"

static struct ccs_shared *shared_new(void)
{
    struct ccs_shared *shared;
    struct ccs_error err;

    if (ccs_shared_new(SIZE, &shared, &err) != CCS_OK)
        fail_msg("%s", err.text);
    return shared;
}

static struct ccs_stats stats_of(struct ccs_world *w)
{
    struct ccs_stats s;

    ccs_stats_get(w->ccs, &s, sizeof(s));
    return s;
}

/*
 * In what follows `first` looks after the store, because it is opened last and thereby of the
 * newest configuration.
 */

/* The second one's own store is empty: what it serves can only come from the first. */
static void loaded_by_one_served_by_all(void **state)
{
    struct ccs_shared *shared = shared_new();
    struct ccs_world *second = ccs_world_new_in(shared, NULL);
    struct ccs_world *first = ccs_world_new_in(shared, NULL);
    char want[65], got[65];
    enum ccs_result result;

    (void)state;
    ccs_world_put(first, A, A_PFX, want);
    assert_int_equal(ccs_world_ask(first, A, &result, got), CCS_OK);
    assert_int_equal(result, CCS_RESULT_LOADED);
    assert_int_equal(ccs_world_ask(second, A, &result, got), CCS_OK);
    assert_string_equal(got, want);
    assert_int_equal(result, CCS_RESULT_SHARED);
    assert_int_equal(ccs_world_ask(second, A, &result, got), CCS_OK);
    assert_int_equal(result, CCS_RESULT_HIT);
    assert_int_equal(fake_store_reads(second->fake), 0);
    assert_int_equal(stats_of(second).decodes, 0);
    assert_int_equal(stats_of(second).shared, 1);
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_shared_free(shared);
}

static void memory_outlives_instances(void **state)
{
    struct ccs_shared *shared = shared_new();
    struct ccs_world *w = ccs_world_new_in(shared, NULL);
    char want[65], got[65];
    enum ccs_result result;

    (void)state;
    ccs_world_put(w, A, A_PFX, want);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    ccs_world_free(w);
    w = ccs_world_new_in(shared, NULL);
    assert_int_equal(ccs_world_ask(w, A, &result, got), CCS_OK);
    assert_int_equal(result, CCS_RESULT_SHARED);
    assert_string_equal(got, want);
    ccs_world_free(w);
    ccs_shared_free(shared);
}

static void renewal_reaches_all(void **state)
{
    struct ccs_shared *shared = shared_new();
    struct ccs_world *second = ccs_world_new_in(shared, NULL);
    struct ccs_world *first = ccs_world_new_in(shared, NULL);
    char want[65];

    (void)state;
    ccs_world_put(first, A, A_PFX, NULL);
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_OK);
    /* Forgotten by one is forgotten by all, and loaded anew by the one that can. */
    ccs_world_put(first, A, A_PFX, want);
    ccs_invalidate(first->ccs, A, strlen(A));
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_true(ccs_world_await_code(second, A, CCS_OK));
    assert_true(ccs_world_await(second, A, want));
    assert_int_equal(fake_store_file_reads(second->fake, A_PFX), 0);
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_shared_free(shared);
}

/* Also for one that asks only when nobody remembers the removal any more. */
static void removal_reaches_all(void **state)
{
    static const char *const settings[] = {"negative", "0", NULL};
    struct ccs_shared *shared = shared_new();
    struct ccs_world *second = ccs_world_new_in(shared, settings);
    struct ccs_world *first = ccs_world_new_in(shared, settings);

    (void)state;
    fake_store_set_auto_events(first->fake, 1);
    ccs_world_put(first, A, A_PFX, NULL);
    ccs_world_put(first, "b.example", "b.example.pfx", NULL);
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_OK);
    fake_store_remove(first->fake, A_PFX);
    assert_true(ccs_world_await_code(first, A, CCS_ENOTFOUND));
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_ENOTFOUND);
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_shared_free(shared);
}

static void another_store_is_another_matter(void **state)
{
    static const char *const elsewhere[] = {"store", "/elsewhere", NULL};
    static const char *const strict[] = {"check_name", "refuse", NULL};
    struct ccs_shared *shared = shared_new();
    struct ccs_world *first = ccs_world_new_in(shared, NULL);
    struct ccs_world *second = ccs_world_new_in(shared, elsewhere);
    struct ccs_world *third = ccs_world_new_in(shared, strict);

    (void)state;
    ccs_world_put(first, "other.example", A_PFX, NULL);
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_ENOTFOUND);
    assert_int_equal(ccs_world_ask(third, A, NULL, NULL), CCS_ENOTFOUND);
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_world_free(third);
    ccs_shared_free(shared);
}

/* With the password that was missing the file is tried again at once. */
static void other_passwords_other_failures(void **state)
{
    const struct ccs_pki_pfx how = {.password = "open sesame"};
    struct ccs_pki_spec spec = {.names = A};
    struct ccs_shared *shared = shared_new();
    struct ccs_world *without = ccs_world_new_in(shared, NULL), *with;
    struct ccs_pki_leaf leaf = {0};
    struct ccs_pki_bytes bytes;
    struct ccs_tmp tmp;
    char path[300];
    const char *settings[] = {"password_file", path, NULL};

    (void)state;
    ccs_tmp_make(&tmp);
    ccs_tmp_print(tmp.path, "passwords", "open sesame\n");
    ccs_tmp_join(path, sizeof(path), tmp.path, "passwords");
    with = ccs_world_new_in(shared, settings);
    ccs_pki_issue(without->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, &how);
    ccs_world_put_bytes(without, A_PFX, bytes.data, bytes.len);
    ccs_world_put_bytes(with, A_PFX, bytes.data, bytes.len);
    assert_int_equal(ccs_world_ask(without, A, NULL, NULL), CCS_EPASSWORD);
    assert_int_equal(ccs_world_ask(with, A, NULL, NULL), CCS_OK);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
    ccs_world_free(without);
    ccs_world_free(with);
    ccs_tmp_remove(&tmp);
    ccs_shared_free(shared);
}

static void memory_that_is_none_is_refused(void **state)
{
    struct ccs_shared *shared = NULL;
    struct ccs_error err = {0};
    uint8_t *mem = aligned_alloc(4096, SIZE);

    (void)state;
    assert_non_null(mem);
    memset(mem, 0xa5, SIZE);
    assert_int_equal(ccs_shared_attach(mem, SIZE, &shared, &err), CCS_EINVAL);
    assert_true(err.text[0] != '\0');
    assert_int_equal(ccs_shared_init(mem, 4096, &shared, &err), CCS_EINVAL);
    assert_int_equal(ccs_shared_new(4096, &shared, &err), CCS_EINVAL);
    assert_null(shared);
    assert_int_equal(ccs_shared_init(mem, SIZE, &shared, &err), CCS_OK);
    ccs_shared_free(shared);
    assert_int_equal(ccs_shared_attach(mem, SIZE / 2, &shared, &err), CCS_EINVAL);
    assert_int_equal(ccs_shared_attach(mem, SIZE, &shared, &err), CCS_OK);
    ccs_shared_free(shared);
    ccs_shared_free(NULL);
    free(mem);
}

static int is_stale(void *arg)
{
    enum ccs_result result;

    return ccs_world_ask(arg, A, &result, NULL) == CCS_OK && result == CCS_RESULT_STALE;
}

static int is_fresh(void *arg)
{
    enum ccs_result result;

    return ccs_world_ask(arg, A, &result, NULL) == CCS_OK && result == CCS_RESULT_HIT;
}

/* Who has nothing to ask of the store learns from the one that looks after it. */
static void outage_reaches_all(void **state)
{
    struct ccs_shared *shared = shared_new();
    struct ccs_world *second = ccs_world_new_in(shared, NULL);
    struct ccs_world *first = ccs_world_new_in(shared, NULL);

    (void)state;
    ccs_world_put(first, A, A_PFX, NULL);
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_OK);
    assert_true(is_fresh(second));
    fake_store_set_error(first->fake, CCS_EUNAVAIL);
    fake_store_set_error(second->fake, CCS_EUNAVAIL);
    assert_true(ccs_world_await_code(first, "new.example", CCS_EUNAVAIL));
    assert_true(ccs_wait_until(is_stale, second, 0));
    fake_store_set_error(first->fake, CCS_OK);
    fake_store_set_error(second->fake, CCS_OK);
    assert_true(ccs_wait_until(is_fresh, first, 0));
    assert_true(ccs_wait_until(is_fresh, second, 0));
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_shared_free(shared);
}

static void status_is_json_for_all(void **state)
{
    static const char *const settings[] = {"store", "/with \"quotes\" and \\", NULL};
    struct ccs_shared *shared = shared_new();
    struct ccs_world *second = ccs_world_new_in(shared, settings);
    struct ccs_world *first = ccs_world_new_in(shared, settings);
    char text[4096], cut[64];
    json_t *status;
    size_t len;

    (void)state;
    ccs_world_put(first, A, A_PFX, NULL);
    ccs_world_put_bytes(first, "bad.example.pfx", "no such thing", 13);
    assert_int_equal(ccs_world_ask(first, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(second, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(first, "bad.example", NULL, NULL), CCS_EFORMAT);
    len = ccs_status_json(second->ccs, text, sizeof(text));
    assert_true(len < sizeof(text));
    assert_int_equal(strlen(text), len);
    status = json_loads(text, 0, NULL);
    assert_non_null(status);
    assert_string_equal(json_string_value(json_object_get(status, "store")), settings[1]);
    assert_string_equal(json_string_value(json_object_get(status, "state")), "up");
    assert_int_equal(json_integer_value(json_object_get(status, "processes")), 2);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "memory"), "entries")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "loads"), "loaded")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "loads"), "shared")), 1);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(status, "failures"), "not-pkcs12")), 1);
    json_decref(status);

    /* What does not fit is cut, and still ended. */
    assert_int_equal(ccs_status_json(second->ccs, cut, sizeof(cut)), len);
    assert_int_equal(strlen(cut), sizeof(cut) - 1);
    assert_int_equal(ccs_status_json(second->ccs, NULL, 0), len);
    ccs_world_free(first);
    ccs_world_free(second);
    ccs_shared_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_by_one_served_by_all),
        cmocka_unit_test(memory_outlives_instances),
        cmocka_unit_test(renewal_reaches_all),
        cmocka_unit_test(removal_reaches_all),
        cmocka_unit_test(another_store_is_another_matter),
        cmocka_unit_test(other_passwords_other_failures),
        cmocka_unit_test(memory_that_is_none_is_refused),
        cmocka_unit_test(outage_reaches_all),
        cmocka_unit_test(status_is_json_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
