/* SPDX-License-Identifier: Apache-2.0 */
/* Failures and claims. */
#include "vault_kit.h"

/* -- failures ------------------------------------------------------------------------------ */

static struct ccs_vault_failure failure_of(int code, const char *text, int64_t until_ms)
{
    struct ccs_vault_failure f = {.until_ms = until_ms, .stamp = {1, 2, 3, 4}, .loaded_for = 6};

    ccs_error_set(&f.error, code, "%s", text);
    f.error.sys_errno = 5;
    return f;
}

static int fail_stem(const char *stem, uint64_t mend, const char *text, int64_t until_ms)
{
    struct ccs_vault_key key = key_in(STORE, stem);
    struct ccs_vault_failure f = failure_of(CCS_EPASSWORD, text, until_ms);
    struct ccs_claim claim = claim_key(&key);

    return ccs_vault_put_failure(v, &key, mend, &claim, true, &f, CCS_LOCK_WAIT);
}

static int failure(const char *stem, uint64_t mend, struct ccs_vault_failure *out)
{
    struct ccs_vault_key key = key_in(STORE, stem);

    return ccs_vault_get_failure(v, &key, mend, CCS_LOCK_WAIT, out);
}

static void failures_are_kept(void **state)
{
    struct ccs_vault_failure f;
    uint64_t generation;
    struct ccs_vault_key key = key_in(STORE, "a.example");
    char longest[sizeof(f.error.text)];

    (void)state;
    put("a.example", "good", 1);
    generation = ccs_vault_generation(v, key.hash);
    assert_int_equal(fail_stem("a.example", 1, "no password opens it", 1000), CCS_OK);
    assert_int_equal(failure("a.example", 1, &f), CCS_OK);
    assert_int_equal(f.error.code, CCS_EPASSWORD);
    assert_int_equal(f.error.sys_errno, 5);
    assert_string_equal(f.error.text, "no password opens it");
    assert_int_equal(f.stamp.ctime_ns, 4);
    assert_int_equal(f.until_ms, 1000);
    assert_int_equal(f.loaded_for, 6);
    /* Other passwords, other failures. A good one stays, and nothing is told to L1. */
    assert_int_equal(failure("a.example", 2, &f), CCS_ENOTFOUND);
    assert_true(has("a.example", "good"));
    assert_int_equal(ccs_vault_generation(v, key.hash), generation);
    assert_int_equal(fail_stem("a.example", 2, "", 2000), CCS_OK);
    assert_int_equal(failure("a.example", 2, &f), CCS_OK);
    assert_string_equal(f.error.text, "");
    memset(longest, 'y', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(fail_stem("a.example", 2, longest, 2000), CCS_OK);
    assert_int_equal(failure("a.example", 2, &f), CCS_OK);
    assert_int_equal(strlen(f.error.text), CCS_VAULT_TEXT_MAX);
    assert_int_equal(failure("a.example", 1, &f), CCS_OK);
    assert_string_equal(f.error.text, "no password opens it");
    assert_sound();
}

static void failures_expire(void **state)
{
    struct ccs_vault_key a = key_in(STORE, "a.example");
    struct ccs_vault_failure f;

    (void)state;
    assert_int_equal(fail_stem("a.example", 1, "x", 1000), CCS_OK);
    assert_int_equal(fail_stem("a.example", 2, "x", 2000), CCS_OK);
    assert_int_equal(fail_stem("b.example", 1, "x", 3000), CCS_OK);
    assert_int_equal(ccs_vault_failure_count(v, STORE, 999), 3);
    assert_int_equal(ccs_vault_failure_count(v, STORE, 1000), 2);
    assert_int_equal(ccs_vault_failure_count(v, STORE + 1, 0), 0);
    /* All that there are of a stem; known, believed no longer. */
    assert_int_equal(ccs_vault_expire_failure(v, &a, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(ccs_vault_failure_count(v, STORE, 0), 1);
    assert_int_equal(failure("a.example", 2, &f), CCS_OK);
    assert_int_equal(f.until_ms, 0);
    ccs_vault_expire_failures(v, STORE + 1);
    assert_int_equal(ccs_vault_failure_count(v, STORE, 0), 1);
    ccs_vault_expire_failures(v, STORE);
    assert_int_equal(ccs_vault_failure_count(v, STORE, 0), 0);
    assert_int_equal(failure("b.example", 1, &f), CCS_OK);
}

/* Something came while the store was being asked: "not found" may be out of date. */
static void failures_of_yesterday(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_vault_failure f = failure_of(CCS_ENOTFOUND, "not there", 5000);
    struct ccs_claim claim = claim_key(&key);

    (void)state;
    ccs_vault_arrived(v, key.hash);
    assert_int_equal(ccs_vault_put_failure(v, &key, 1, &claim, true, &f, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(failure("a.example", 1, &f), CCS_OK);
    assert_int_equal(f.until_ms, 0);
}

static void failures_evict_no_entry(void **state)
{
    struct ccs_vault_stats before, after;
    char stem[64];

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(stem, sizeof(stem), "good%u.example", i);
        put(stem, stem, 1);
    }
    ccs_vault_stats_get(v, &before);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(stem, sizeof(stem), "bad%u.example", i);
        assert_int_equal(fail_stem(stem, 1, "no such file", LATER), CCS_OK);
    }
    ccs_vault_stats_get(v, &after);
    assert_int_equal(after.entries, before.entries);
    assert_int_equal(after.evictions, 0);
    assert_true(after.failure_evictions > 0);
    assert_true(after.failures > 0 && after.failures < 5000);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(stem, sizeof(stem), "good%u.example", i);
        assert_true(has(stem, stem));
    }
    assert_sound();
}

/* -- claims -------------------------------------------------------------------------------- */

static void claims_fence(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example"), other = key_in(STORE, "b.example");
    struct ccs_vault_item item = {.data = (const uint8_t *)"old", .len = 3};
    struct ccs_vault_failure f = failure_of(CCS_EDAMAGED, "x", 1);
    struct ccs_claim slow, quick, none = {0};
    int64_t until = 0, now = ccs_now_ms();

    (void)state;
    assert_int_equal(ccs_vault_claim(v, &key, now - 1, CCS_LOCK_WAIT, &slow, NULL), CCS_OK);
    assert_int_equal(slow.generation, ccs_vault_generation(v, key.hash));
    /* Its time is up, and somebody else takes over. */
    assert_int_equal(ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &quick, NULL), CCS_OK);
    assert_int_equal(ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &none, &until), CCS_PENDING);
    assert_int_equal(until, LATER);
    assert_int_equal(ccs_vault_put(v, &key, &slow, true, &item, CCS_LOCK_WAIT, NULL),
                     CCS_ECANCELED);
    assert_int_equal(ccs_vault_put_failure(v, &key, 1, &slow, true, &f, CCS_LOCK_WAIT),
                     CCS_ECANCELED);
    assert_int_equal(ccs_vault_extend(v, &slow, LATER, CCS_LOCK_WAIT), CCS_ECANCELED);
    assert_int_equal(slow.deadline_ms, now - 1);
    assert_int_equal(ccs_vault_release(v, &slow, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(ccs_vault_put(v, &key, &none, true, &item, CCS_LOCK_WAIT, NULL),
                     CCS_ECANCELED);
    assert_int_equal(ccs_vault_put(v, &other, &quick, true, &item, CCS_LOCK_WAIT, NULL),
                     CCS_ECANCELED);
    assert_false(has("a.example", "old"));
    /* It goes on until it is ended. */
    assert_int_equal(ccs_vault_extend(v, &quick, LATER - 1, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(quick.deadline_ms, LATER - 1);
    assert_int_equal(ccs_vault_put(v, &key, &quick, false, &item, CCS_LOCK_WAIT, NULL), CCS_OK);
    assert_int_equal(ccs_vault_put_failure(v, &key, 1, &quick, true, &f, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(ccs_vault_put(v, &key, &quick, true, &item, CCS_LOCK_WAIT, NULL),
                     CCS_ECANCELED);
    assert_int_equal(ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &slow, NULL), CCS_OK);
    assert_true(slow.ticket > quick.ticket);
    assert_sound();
}

/* What a dead process was loading need not wait for the deadline. */
static void claims_end_with_their_owners(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_claim claim, late;
    int64_t until = 0;
    pid_t pid;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int rv = ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &claim, NULL);

        if (rv != CCS_OK || write(fds[1], &claim, sizeof(claim)) != (ssize_t)sizeof(claim))
            _exit(1);
        pause();
        _exit(1);
    }
    assert_int_equal(read(fds[0], &late, sizeof(late)), sizeof(late));
    assert_int_equal(ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &claim, &until), CCS_PENDING);
    assert_int_equal(until, LATER);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(ccs_vault_claim(v, &key, LATER, CCS_LOCK_WAIT, &claim, NULL), CCS_OK);
    assert_int_equal(ccs_vault_extend(v, &late, LATER, CCS_LOCK_WAIT), CCS_ECANCELED);
    assert_sound();
    close(fds[0]);
    close(fds[1]);
}

static void ends_are_told(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    uint32_t seen = ccs_vault_ended(v);
    struct ccs_claim claim = claim_key(&key);

    (void)state;
    assert_false(ccs_vault_wait(v, seen, 1));
    assert_int_equal(ccs_vault_release(v, &claim, CCS_LOCK_WAIT), CCS_OK);
    assert_true(ccs_vault_wait(v, seen, 10000));
    seen = ccs_vault_ended(v);
    put("a.example", "x", 1);
    assert_true(ccs_vault_wait(v, seen, 10000));
    seen = ccs_vault_ended(v);
    assert_int_equal(fail_stem("a.example", 1, "x", 1), CCS_OK);
    assert_true(ccs_vault_wait(v, seen, 10000));
}

/* An event loop never waits for a lock, whoever has it. */
static void trying_does_not_wait(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_vault_item item = {.data = (const uint8_t *)"x", .len = 1};
    struct ccs_vault_failure f = failure_of(CCS_EDAMAGED, "x", 1);
    struct ccs_claim claim = claim_key(&key), other;
    struct ccs_vault_entry e = {0};
    char ready;
    int fds[2], status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        for (uint32_t i = 0; i < v->shard_count; i++) {
            if (ccs_vault_lock(v, i, CCS_LOCK_WAIT) != CCS_OK)
                _exit(1);
        }
        if (write(fds[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    assert_int_equal(read(fds[0], &ready, 1), 1);
    assert_int_equal(ccs_vault_get(v, &key, 0, CCS_LOCK_TRY, &e), CCS_EBUSY);
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_TRY, NULL), CCS_EBUSY);
    assert_int_equal(ccs_vault_put_failure(v, &key, 0, &claim, true, &f, CCS_LOCK_TRY), CCS_EBUSY);
    assert_int_equal(ccs_vault_get_failure(v, &key, 0, CCS_LOCK_TRY, &f), CCS_EBUSY);
    assert_int_equal(ccs_vault_claim(v, &key, 1, CCS_LOCK_TRY, &other, NULL), CCS_EBUSY);
    assert_int_equal(ccs_vault_extend(v, &claim, 1, CCS_LOCK_TRY), CCS_EBUSY);
    assert_int_equal(ccs_vault_release(v, &claim, CCS_LOCK_TRY), CCS_EBUSY);
    assert_int_equal(ccs_vault_remove(v, &key, 0, CCS_LOCK_TRY), CCS_EBUSY);
    assert_int_equal(ccs_vault_restamp(v, &key, 1, 1, CCS_LOCK_TRY), CCS_EBUSY);
    assert_int_equal(ccs_vault_expire_failure(v, &key, CCS_LOCK_TRY), CCS_EBUSY);
    /* Killed, it has them no longer. */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_TRY, NULL), CCS_OK);
    assert_true(has("a.example", "x"));
    assert_sound();
    ccs_vault_entry_free(&e);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(failures_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_of_yesterday, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_evict_no_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_fence, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_end_with_their_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(trying_does_not_wait, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
