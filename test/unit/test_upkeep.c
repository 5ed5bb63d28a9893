/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "credential.h"
#include "wait.h"
#include "world.h"

#define A     "a.example.com"
#define A_PFX "a.example.com.pfx"

static int setup(void **state)
{
    struct ccs_world *w = ccs_world_new(NULL);

    fake_store_set_auto_events(w->fake, 1);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    ccs_world_free(*state);
    return 0;
}

/* Bytes of a certificate for names, made in some way. */
static struct ccs_pki_bytes bytes_for(struct ccs_world *w, const char *names, enum ccs_pki_key key,
                                      const struct ccs_pki_pfx *how, char fingerprint[65])
{
    struct ccs_pki_spec spec = {.names = names, .key = key};
    struct ccs_pki_leaf leaf = {0};
    struct ccs_pki_bytes bytes;

    ccs_pki_issue(w->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, how);
    if (fingerprint != NULL)
        memcpy(fingerprint, leaf.fingerprint, 65);
    ccs_pki_leaf_clear(&leaf);
    return bytes;
}

static void put_key(struct ccs_world *w, const char *names, const char *file, enum ccs_pki_key key,
                    char fingerprint[65])
{
    struct ccs_pki_bytes bytes = bytes_for(w, names, key, NULL, fingerprint);

    ccs_world_put_bytes(w, file, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
}

static struct ccs_stats stats_of(struct ccs_world *w)
{
    struct ccs_stats s;

    ccs_stats_get(w->ccs, &s, sizeof(s));
    return s;
}

static int has_load_errors(void *arg)
{
    return stats_of(arg).load_errors > 0;
}

static void renewed_by_rename_is_served_next(void **state)
{
    struct ccs_world *w = *state;
    char first[65], second[65], got[65];

    ccs_world_put(w, A, A_PFX, first);
    assert_int_equal(ccs_world_ask(w, A, NULL, got), CCS_OK);
    assert_string_equal(got, first);
    ccs_world_put(w, A, A_PFX, second);
    assert_true(ccs_world_await(w, A, second));
}

static void renewed_in_place_is_served_next(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_pki_bytes bytes;
    char second[65];

    ccs_world_put(w, A, A_PFX, NULL);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    bytes = bytes_for(w, A, CCS_PKI_P256, NULL, second);
    fake_store_overwrite(w->fake, A_PFX, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    assert_true(ccs_world_await(w, A, second));
}

static void bad_new_file_displaces_nothing(void **state)
{
    static const char html[] = "<!DOCTYPE html><html><body>Moved</body></html>";
    struct ccs_world *w = *state;
    char first[65], got[65];

    ccs_world_put(w, A, A_PFX, first);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    ccs_world_put_bytes(w, A_PFX, html, sizeof(html) - 1);
    assert_true(ccs_world_await_log(w, "stays in service"));
    assert_int_equal(ccs_world_ask(w, A, NULL, got), CCS_OK);
    assert_string_equal(got, first);
    if (ccs_world_logged(w, "\"" A_PFX "\"") != 1)
        fail_msg("logged more than once:\n%s", w->log);
    assert_true(ccs_wait_until(has_load_errors, w, 0));

    /* And a good one after it counts again. */
    ccs_world_put(w, A, A_PFX, first);
    assert_true(ccs_world_await(w, A, first));
}

static void same_bad_file_is_named_once(void **state)
{
    struct ccs_world *w = *state;
    unsigned decodes;

    ccs_world_put_bytes(w, A_PFX, "no such thing", 13);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EFORMAT);
    decodes = (unsigned)stats_of(w).decodes;
    for (int i = 0; i < 5; i++) {
        ccs_invalidate(w->ccs, NULL, 0);
        assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EFORMAT);
    }
    assert_int_equal(ccs_world_logged(w, A_PFX), 1);
    assert_int_equal(stats_of(w).decodes, decodes);
    ccs_world_put_bytes(w, A_PFX, "another thing", 13);
    ccs_invalidate(w->ccs, NULL, 0);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EFORMAT);
    assert_int_equal(stats_of(w).decodes, decodes + 1);
}

static void new_file_is_served_though_it_was_missed(void **state)
{
    struct ccs_world *w = *state;
    char want[65];

    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_ENOTFOUND);
    ccs_world_put(w, A, A_PFX, want);
    /* The event ends the failure; who asks then waits for the load. */
    assert_true(ccs_world_await_code(w, A, CCS_OK));
    assert_true(ccs_world_await(w, A, want));
}

struct asked {
    struct ccs_world *w;
    const char *fingerprint;
};

/* A is served something else, and is served all the time. */
static int serves_other(void *arg)
{
    struct asked *asked = arg;
    char got[65];

    assert_int_equal(ccs_world_ask(asked->w, A, NULL, got), CCS_OK);
    return strcmp(got, asked->fingerprint) != 0;
}

static void exact_file_displaces_wildcard(void **state)
{
    struct ccs_world *w = *state;
    char wild[65], exact[65], got[65];

    ccs_world_put(w, "*.example.com", "_.example.com.pfx", wild);
    assert_int_equal(ccs_world_ask(w, A, NULL, got), CCS_OK);
    assert_string_equal(got, wild);
    ccs_world_put(w, A, A_PFX, exact);
    assert_true(ccs_wait_until(serves_other, &(struct asked){w, wild}, 0));
    assert_true(ccs_world_await(w, A, exact));
    assert_int_equal(ccs_world_ask(w, "b.example.com", NULL, got), CCS_OK);
    assert_string_equal(got, wild);
}

static void change_during_a_load_is_not_lost(void **state)
{
    struct ccs_world *w = *state;
    char second[65];
    struct ccs_answer answer;

    ccs_world_put(w, A, A_PFX, NULL);
    fake_store_block(w->fake);
    assert_int_equal(ccs_acquire(w->ccs, A, strlen(A), 1, &answer), CCS_ETIMEDOUT);
    assert_true(fake_store_wait_blocked(w->fake, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    ccs_world_put(w, A, A_PFX, second);
    fake_store_unblock(w->fake);
    assert_true(ccs_world_await(w, A, second));
}

static void half_written_file_is_waited_for(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_pki_bytes bytes;
    char want[65];
    unsigned reads;

    bytes = bytes_for(w, A, CCS_PKI_P256, NULL, want);
    ccs_world_put_bytes(w, A_PFX, bytes.data, bytes.len / 2);
    fake_store_set_auto_events(w->fake, 0);
    reads = fake_store_reads(w->fake);
    fake_store_block(w->fake);
    {
        struct ccs_answer answer;

        assert_int_equal(ccs_acquire(w->ccs, A, strlen(A), 1, &answer), CCS_ETIMEDOUT);
    }
    assert_true(fake_store_wait_blocked(w->fake, 1, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    fake_store_unblock(w->fake);
    /* Another read begins when the first one has found half a file. */
    assert_true(
        fake_store_wait_calls(w->fake, FAKE_READ, reads + 2, ccs_wait_scaled(CCS_WAIT_DEFAULT)));
    fake_store_overwrite(w->fake, A_PFX, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    assert_true(ccs_world_await(w, A, want));
    assert_int_equal(ccs_world_logged(w, "incomplete"), 0);
}

static void file_that_stays_torn_is_refused_soon(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_pki_bytes bytes = bytes_for(w, A, CCS_PKI_P256, NULL, NULL);
    double began = ccs_wait_clock();
    int64_t longest;

    ccs_world_put_bytes(w, A_PFX, bytes.data, bytes.len / 2);
    ccs_pki_bytes_clear(&bytes);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EINCOMPLETE);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EINCOMPLETE);
    /* Half a second of patience, not all the time that the setting wait allows. */
    longest = ccs_wait_scaled(20000);
    assert_true(ccs_wait_clock() - began < (double)longest);
    assert_true(ccs_world_await_log(w, "incomplete"));
    assert_int_equal(ccs_world_logged(w, A_PFX), 1);
}

static void store_down_serves_what_it_knows(void **state)
{
    struct ccs_world *w = *state;
    char want[65], got[65];
    enum ccs_result result;

    ccs_world_put(w, A, A_PFX, want);
    ccs_world_put(w, "*.wild.example", "_.wild.example.pfx", NULL);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_ask(w, "x.wild.example", NULL, NULL), CCS_OK);
    fake_store_set_error(w->fake, CCS_EUNAVAIL);
    assert_true(ccs_world_await_code(w, "new.example", CCS_EUNAVAIL));
    assert_true(ccs_world_await_log(w, "does not answer"));
    assert_int_equal(ccs_world_ask(w, A, &result, got), CCS_OK);
    assert_string_equal(got, want);
    assert_int_equal(result, CCS_RESULT_STALE);
    assert_int_equal(ccs_world_ask(w, "y.wild.example", &result, NULL), CCS_OK);
    assert_int_equal(result, CCS_RESULT_STALE);
    assert_int_equal(ccs_world_ask(w, "other.example", NULL, NULL), CCS_EUNAVAIL);
    assert_int_equal(stats_of(w).store_down, 1);

    fake_store_set_error(w->fake, CCS_OK);
    assert_true(ccs_world_await_log(w, "answers again"));
    assert_true(ccs_world_await_code(w, "other.example", CCS_ENOTFOUND));
    assert_int_equal(ccs_world_ask(w, A, &result, NULL), CCS_OK);
    assert_int_equal(result, CCS_RESULT_HIT);
}

static void removed_file_is_served_no_longer(void **state)
{
    struct ccs_world *w = *state;
    char want[65];
    double began;
    int code;

    ccs_world_put(w, A, A_PFX, want);
    ccs_world_put(w, "b.example", "b.example.pfx", NULL);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    began = ccs_wait_clock();
    fake_store_remove(w->fake, A_PFX);
    code = ccs_world_ask(w, A, NULL, NULL);
    /* Two looks are two seconds apart; who was held up for so long may ask after them. */
    if (ccs_wait_clock() - began < 2000)
        assert_int_equal(code, CCS_OK);
    assert_true(ccs_world_await_code(w, A, CCS_ENOTFOUND));
}

static void both_key_types_from_two_files(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_answer answer;
    char rsa[65], ecdsa[65];

    put_key(w, A, "a.example.com.rsa.pfx", CCS_PKI_RSA, rsa);
    put_key(w, A, "a.example.com.ecdsa.pfx", CCS_PKI_P256, ecdsa);
    assert_int_equal(ccs_acquire(w->ccs, A, strlen(A), -1, &answer), CCS_OK);
    assert_int_equal(answer.cred->pair_count, 2);
    assert_int_equal(answer.cred->part_count, 2);
    assert_string_equal(answer.cred->pairs[0]->fingerprint, ecdsa);
    assert_string_equal(answer.cred->pairs[1]->fingerprint, rsa);
    ccs_cred_unref(answer.cred);
    assert_int_equal(ccs_world_ask(w, "a.example.com.rsa", NULL, NULL), CCS_ENAME);
}

static void one_bad_file_of_two_costs_only_itself(void **state)
{
    struct ccs_world *w = *state;
    struct ccs_answer answer;
    char rsa[65];

    put_key(w, A, "a.example.com.rsa.pfx", CCS_PKI_RSA, rsa);
    ccs_world_put_bytes(w, A_PFX, "PK\3\4", 4);
    assert_int_equal(ccs_acquire(w->ccs, A, strlen(A), -1, &answer), CCS_OK);
    assert_int_equal(answer.cred->pair_count, 1);
    assert_string_equal(ccs_cred_fingerprint(answer.cred), rsa);
    ccs_cred_unref(answer.cred);
    assert_int_equal(ccs_world_logged(w, A_PFX), 1);
}

static void odd_spellings_are_found(void **state)
{
    struct ccs_world *w = *state;
    char upper[65], unicode[65], alabel[65], got[65];

    /* What is not found was looked for in a listing: from here on the folder is watched. */
    assert_int_equal(ccs_world_ask(w, "nobody.example", NULL, NULL), CCS_ENOTFOUND);
    ccs_world_put(w, "b.example.com", "B.Example.COM.PFX", upper);
    ccs_world_put(w, "xn--bcher-kva.example", "xn--bcher-kva.example.pfx", alabel);
    assert_int_equal(ccs_world_ask(w, "xn--bcher-kva.example", NULL, got), CCS_OK);
    assert_string_equal(got, alabel);
    ccs_world_put(w, "xn--bcher-kva.example",
                  "b\xc3\xbc"
                  "cher.example.pfx",
                  unicode);
    assert_true(ccs_world_await(w, "xn--bcher-kva.example", unicode));
    assert_true(ccs_world_logged(w, "are the same host") > 0);
    assert_true(ccs_world_await_code(w, "b.example.com", CCS_OK));
    assert_true(ccs_world_await(w, "b.example.com", upper));
}

/* -- settings ------------------------------------------------------------------------------ */

static int setup_refuse(void **state)
{
    static const char *const settings[] = {"check_name", "refuse", "parsed", "16", NULL};

    *state = ccs_world_new(settings);
    return 0;
}

static void name_that_is_not_covered_is_refused(void **state)
{
    struct ccs_world *w = *state;

    ccs_world_put(w, "other.example", A_PFX, NULL);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_ENAMEMISMATCH);
    assert_int_equal(ccs_world_logged(w, A_PFX), 1);
    assert_int_equal(ccs_world_logged(w, "other.example"), 1);
    ccs_world_put(w, "*.example.org", "_.example.org.pfx", NULL);
    assert_int_equal(ccs_world_ask(w, "x.example.org", NULL, NULL), CCS_OK);
}

static void name_that_is_not_covered_is_warned_of(void **state)
{
    struct ccs_world *w = *state;

    ccs_world_put(w, "other.example", A_PFX, NULL);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_world_logged(w, "other.example"), 1);
}

static void memory_is_bounded(void **state)
{
    struct ccs_world *w = *state;
    char name[40], file[48];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "h%u.example", i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_world_put(w, name, file, NULL);
        assert_int_equal(ccs_world_ask(w, name, NULL, NULL), CCS_OK);
        assert_true(stats_of(w).cached <= 16);
    }
    assert_true(stats_of(w).evictions >= 24);
}

static void wrong_password_is_named(void **state)
{
    const struct ccs_pki_pfx how = {.password = "correct horse"};
    struct ccs_world *w = *state;
    struct ccs_pki_bytes bytes = bytes_for(w, A, CCS_PKI_P256, &how, NULL);

    ccs_world_put_bytes(w, A_PFX, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    assert_int_equal(ccs_world_ask(w, A, NULL, NULL), CCS_EPASSWORD);
    assert_int_equal(ccs_world_logged(w, A_PFX), 1);
    assert_int_equal(ccs_world_logged(w, "correct horse"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(renewed_by_rename_is_served_next, setup, teardown),
        cmocka_unit_test_setup_teardown(renewed_in_place_is_served_next, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_new_file_displaces_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(same_bad_file_is_named_once, setup, teardown),
        cmocka_unit_test_setup_teardown(new_file_is_served_though_it_was_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(exact_file_displaces_wildcard, setup, teardown),
        cmocka_unit_test_setup_teardown(change_during_a_load_is_not_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(half_written_file_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(file_that_stays_torn_is_refused_soon, setup, teardown),
        cmocka_unit_test_setup_teardown(store_down_serves_what_it_knows, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_file_is_served_no_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(both_key_types_from_two_files, setup, teardown),
        cmocka_unit_test_setup_teardown(one_bad_file_of_two_costs_only_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_spellings_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(name_that_is_not_covered_is_refused, setup_refuse,
                                        teardown),
        cmocka_unit_test_setup_teardown(name_that_is_not_covered_is_warned_of, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_bounded, setup_refuse, teardown),
        cmocka_unit_test_setup_teardown(wrong_password_is_named, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
