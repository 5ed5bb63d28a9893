/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"
#include "layout.h"
#include "record.h"
#include "vault_inside.h"

#define SIZE  ((size_t)2 * 1024 * 1024)
#define STORE 11
#define LATER (INT64_MAX / 2)

static void *memory;
static struct ccs_layout l;
static const struct ccs_vault *v;

static int setup_size(size_t size)
{
    v = &l.vault;
    return ccs_arena_map(size, &memory, NULL) != CCS_OK ||
           ccs_layout_format(memory, size, 0, &l, NULL) != CCS_OK;
}

static int setup(void **state)
{
    (void)state;
    return setup_size(SIZE);
}

static int teardown(void **state)
{
    (void)state;
    ccs_arena_unmap(memory, SIZE);
    return 0;
}

static struct ccs_vault_key key_in(uint64_t store, const char *stem)
{
    struct ccs_siphash_key k = ccs_arena_key(l.arena, store);

    return (struct ccs_vault_key){store, ccs_siphash(&k, stem, strlen(stem)), stem, strlen(stem)};
}

static struct ccs_claim claim_key(const struct ccs_vault_key *key)
{
    struct ccs_claim claim = {0};

    assert_int_equal(ccs_vault_claim(v, key, LATER, CCS_LOCK_WAIT, &claim, NULL), CCS_OK);
    return claim;
}

static struct ccs_vault_published put_key(const struct ccs_vault_key *key, const void *data,
                                          size_t len, uint8_t content)
{
    struct ccs_vault_item item = {.data = data, .len = len, .loaded_for = 77, .loaded_ms = 88};
    struct ccs_claim claim = claim_key(key);
    struct ccs_vault_published out = {0};

    item.head_len = len < 4 ? len : 4;
    memset(item.content, content, sizeof(item.content));
    assert_int_equal(ccs_vault_put(v, key, &claim, true, &item, CCS_LOCK_WAIT, &out), CCS_OK);
    return out;
}

static struct ccs_vault_published put(const char *stem, const char *text, uint8_t content)
{
    struct ccs_vault_key key = key_in(STORE, stem);

    return put_key(&key, text, strlen(text), content);
}

static int get(const char *stem, uint64_t known, struct ccs_vault_entry *e)
{
    struct ccs_vault_key key = key_in(STORE, stem);

    return ccs_vault_get(v, &key, known, CCS_LOCK_WAIT, e);
}

static bool has(const char *stem, const char *text)
{
    struct ccs_vault_entry e = {0};
    bool yes = get(stem, 0, &e) == CCS_OK && e.data.len == strlen(text) &&
               memcmp(e.data.data, text, e.data.len) == 0;

    ccs_vault_entry_free(&e);
    return yes;
}

static void assert_sound(void)
{
    struct ccs_error err;

    if (ccs_vault_verify(v, &err) != CCS_OK)
        fail_msg("%s", err.text);
}

/* -- entries ------------------------------------------------------------------------------- */

static void puts_and_gets(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_vault_entry e = {0};
    struct ccs_vault_published out;
    uint64_t before = ccs_vault_generation(v, key.hash);

    (void)state;
    assert_int_equal(get("a.example", 0, &e), CCS_ENOTFOUND);
    assert_int_equal(e.generation, before);
    assert_int_not_equal(before, 0);
    out = put("a.example", "headbody", 1);
    assert_int_equal(get("a.example", 0, &e), CCS_OK);
    assert_int_equal(e.data.len, 8);
    assert_memory_equal(e.data.data, "headbody", 8);
    assert_int_equal(e.head_len, 4);
    assert_int_equal(e.loaded_for, 77);
    assert_int_equal(e.loaded_ms, 88);
    assert_int_equal(e.content[15], 1);
    assert_int_equal(e.version, out.version);
    assert_int_equal(e.generation, out.generation);
    assert_int_equal(e.slot, out.slot);
    assert_int_not_equal(e.generation, before);
    assert_int_not_equal(e.version, 0);
    assert_false(e.same);
    /* What is known is not copied. */
    assert_int_equal(get("a.example", e.version, &e), CCS_OK);
    assert_true(e.same);
    assert_int_equal(e.data.len, 0);
    assert_int_equal(get("b.example", e.version, &e), CCS_ENOTFOUND);
    ccs_vault_entry_free(&e);
    assert_sound();
}

static void keys_are_whole(void **state)
{
    struct ccs_vault_key a = key_in(STORE, "a.example"), b = a, c = a, d = a;

    (void)state;
    /* The same hash all of them, as if they collided. */
    b.stem = "b.example";
    c.store++;
    d.len--;
    put_key(&a, "aaaa", 4, 1);
    put_key(&b, "bbbb", 4, 2);
    put_key(&c, "cccc", 4, 3);
    put_key(&d, "dddd", 4, 4);
    assert_true(has("a.example", "aaaa"));
    for (int i = 0; i < 4; i++) {
        const struct ccs_vault_key *keys[] = {&a, &b, &c, &d};
        struct ccs_vault_entry e = {0};

        assert_int_equal(ccs_vault_get(v, keys[i], 0, CCS_LOCK_WAIT, &e), CCS_OK);
        assert_int_equal(e.data.data[0], 'a' + i);
        ccs_vault_entry_free(&e);
    }
    assert_int_equal(ccs_vault_remove(v, &c, 0, CCS_LOCK_WAIT), CCS_OK);
    assert_true(has("a.example", "aaaa"));
    assert_sound();
}

static void same_content_is_the_same_version(void **state)
{
    struct ccs_vault_published a = put("a.example", "first", 1), b, c, d;

    (void)state;
    b = put("a.example", "first, with another stamp", 1);
    assert_int_equal(a.version, b.version);
    assert_int_equal(a.generation, b.generation);
    assert_true(has("a.example", "first, with another stamp"));
    c = put("a.example", "second", 2);
    assert_true(c.version != b.version && c.generation != b.generation);
    /* Without a digest nothing is the same. */
    c = put("a.example", "third", 0);
    d = put("a.example", "third", 0);
    assert_true(c.version != d.version && c.generation != d.generation);
    assert_sound();
}

static void every_length(void **state)
{
    static uint8_t data[300 * 1024];
    char stem[254];
    struct ccs_vault_entry e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 11 + (i >> 8));
    for (size_t stem_len = 1; stem_len < sizeof(stem); stem_len += 63) {
        struct ccs_vault_key key;

        memset(stem, 'x', stem_len);
        stem[stem_len] = '\0';
        key = key_in(STORE, stem);
        for (size_t len = 0; len < 1100; len += 1 + len % 3) {
            put_key(&key, data, len, 0);
            assert_int_equal(ccs_vault_get(v, &key, 0, CCS_LOCK_WAIT, &e), CCS_OK);
            assert_int_equal(e.data.len, len);
            if (len > 0)
                assert_memory_equal(e.data.data, data, len);
        }
        put_key(&key, data, 100000, 0);
        assert_int_equal(ccs_vault_get(v, &key, 0, CCS_LOCK_WAIT, &e), CCS_OK);
        assert_int_equal(e.data.len, 100000);
        assert_memory_equal(e.data.data, data, 100000);
    }
    ccs_vault_entry_free(&e);
    assert_sound();
}

static void too_large(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    size_t len = v->shards[0].entries.block_count / 2 * (size_t)CCS_POOL_BLOCK;
    uint8_t *data = calloc(1, len);
    struct ccs_vault_item item = {.data = data, .len = len};
    struct ccs_claim claim;

    (void)state;
    assert_non_null(data);
    put("a.example", "small", 1);
    claim = claim_key(&key);
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL), CCS_ETOOBIG);
    assert_true(has("a.example", "small"));
    item.len = 10;
    item.head_len = 11;
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL), CCS_EINVAL);
    item.head_len = 10;
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL), CCS_OK);
    free(data);
    assert_sound();
}

static void restamps(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_vault_published p = put("a.example", "text", 1);
    struct ccs_vault_entry e = {0};

    (void)state;
    assert_int_equal(ccs_vault_restamp(v, &key, p.version, 500, CCS_LOCK_WAIT), CCS_OK);
    assert_int_equal(get("a.example", p.version, &e), CCS_OK);
    assert_true(e.same);
    assert_int_equal(e.loaded_for, 500);
    assert_int_equal(e.generation, p.generation);
    assert_int_equal(ccs_vault_restamp(v, &key, p.version + 1, 501, CCS_LOCK_WAIT), CCS_ENOTFOUND);
    key = key_in(STORE, "b.example");
    assert_int_equal(ccs_vault_restamp(v, &key, p.version, 501, CCS_LOCK_WAIT), CCS_ENOTFOUND);
    ccs_vault_entry_free(&e);
}

static void removes(void **state)
{
    struct ccs_vault_key key = key_in(STORE, "a.example");
    struct ccs_vault_published p = put("a.example", "text", 1);
    uint64_t generation;

    (void)state;
    assert_int_equal(ccs_vault_remove(v, &key, p.version + 1, CCS_LOCK_WAIT), CCS_ENOTFOUND);
    assert_true(has("a.example", "text"));
    assert_int_equal(ccs_vault_generation(v, key.hash), p.generation);
    assert_int_equal(ccs_vault_remove(v, &key, p.version, CCS_LOCK_WAIT), CCS_OK);
    assert_false(has("a.example", "text"));
    generation = ccs_vault_generation(v, key.hash);
    assert_int_not_equal(generation, p.generation);
    /* It may have been evicted here and be in an L1 all the same. */
    assert_int_equal(ccs_vault_remove(v, &key, 0, CCS_LOCK_WAIT), CCS_OK);
    assert_int_not_equal(ccs_vault_generation(v, key.hash), generation);
    assert_sound();
}

static void arrivals(void **state)
{
    struct ccs_vault_key a = key_in(STORE, "a.example");
    uint64_t before = ccs_vault_generation(v, a.hash);

    (void)state;
    ccs_vault_arrived(v, a.hash);
    assert_int_equal(ccs_vault_generation(v, a.hash), before + 1);
    assert_int_equal(ccs_vault_generation(v, a.hash + 1), before);
    ccs_vault_arrived_all(v);
    assert_int_equal(ccs_vault_generation(v, a.hash), before + 2);
    assert_int_equal(ccs_vault_generation(v, a.hash + 1), before + 1);
}

/* -- eviction ------------------------------------------------------------------------------ */

/* What is asked for stays, in L2 or in L1 alike; generations stand still. */
static void clock_keeps_what_is_hot(void **state)
{
    static uint8_t data[1500];
    struct ccs_vault_published hot[20];
    struct ccs_vault_stats stats;
    struct ccs_vault_entry e = {0};
    char stem[64];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(stem, sizeof(stem), "hot%u.example", i);
        hot[i] = put(stem, stem, (uint8_t)(i + 1));
    }
    for (unsigned n = 0; n < 8000; n++) {
        struct ccs_vault_key key;

        snprintf(stem, sizeof(stem), "cold%u.example", n);
        key = key_in(STORE, stem);
        put_key(&key, data, sizeof(data), 1);
        for (unsigned i = 0; n % 50 == 0 && i < 20; i++) {
            snprintf(stem, sizeof(stem), "hot%u.example", i);
            if (i < 10)
                ccs_vault_touch(v, hot[i].slot);
            else
                assert_int_equal(get(stem, 0, &e), CCS_OK);
        }
    }
    ccs_vault_touch(v, CCS_VAULT_SLOT_NONE);
    ccs_vault_stats_get(v, &stats);
    assert_true(stats.evictions > 4000);
    assert_true(stats.octets_used <= stats.octets);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(stem, sizeof(stem), "hot%u.example", i);
        assert_int_equal(get(stem, hot[i].version, &e), CCS_OK);
        assert_true(e.same);
    }
    assert_int_equal(get("cold0.example", 0, &e), CCS_ENOTFOUND);
    assert_int_equal(get("cold7999.example", 0, &e), CCS_OK);
    ccs_vault_entry_free(&e);
    assert_sound();
}

static void eviction_moves_no_generation(void **state)
{
    static uint8_t data[200 * 256];
    struct ccs_vault_published p = put("a.example", "text", 1);
    struct ccs_vault_key victim = key_in(STORE, "a.example");
    char stem[64];

    (void)state;
    for (unsigned n = 0; has("a.example", "text") || n < 10; n++) {
        struct ccs_vault_key key;

        snprintf(stem, sizeof(stem), "large%u.example", n);
        key = key_in(STORE, stem);
        if ((key.hash ^ victim.hash) & v->generation_mask)
            put_key(&key, data, sizeof(data), 1);
        assert_true(n < 100000);
        /* has() uses it: let the hand come by twice. */
        for (unsigned i = 0; i < 200; i++) {
            snprintf(stem, sizeof(stem), "more%u.%u.example", n, i);
            key = key_in(STORE, stem);
            if ((key.hash ^ victim.hash) & v->generation_mask)
                put_key(&key, data, sizeof(data), 1);
        }
    }
    assert_int_equal(ccs_vault_generation(v, victim.hash), p.generation);
    assert_sound();
}

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

/* -- looking around ------------------------------------------------------------------------ */

struct visited {
    unsigned times[3000];
    size_t count, stop_after;
};

static int visit(const struct ccs_vault_visit *e, void *arg)
{
    struct visited *seen = arg;
    unsigned i = 0;

    assert_int_equal(sscanf(e->stem, "h%u.", &i), 1);
    assert_true(i < CCS_ARRAY_LEN(seen->times));
    assert_int_equal(e->head_len, 4);
    assert_memory_equal(e->head, "head", 4);
    assert_int_equal(e->loaded_for, 77);
    assert_true(e->version != 0);
    assert_int_equal(e->hash, key_in(STORE, e->stem).hash);
    seen->times[i]++;
    seen->count++;
    return seen->count == seen->stop_after;
}

static void enumerates(void **state)
{
    static struct visited seen, again;
    struct ccs_vault_key other = key_in(STORE + 1, "h1.example");
    char stem[300];
    unsigned n = 1000;

    (void)state;
    memset(&seen, 0, sizeof(seen));
    put_key(&other, "other", 5, 1);
    for (unsigned i = 0; i < n; i++) {
        snprintf(stem, sizeof(stem), "h%u.%0*d.example", i, (int)(i % 200) + 1, 0);
        put(stem, "head and body", 1);
    }
    assert_int_equal(ccs_vault_enumerate(v, STORE, visit, &seen), CCS_OK);
    assert_int_equal(seen.count, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(seen.times[i], 1);
    again.stop_after = 100;
    assert_int_equal(ccs_vault_enumerate(v, STORE, visit, &again), CCS_OK);
    assert_int_equal(again.count, 100);
    memset(&again, 0, sizeof(again));
    assert_int_equal(ccs_vault_remove_store(v, STORE), n);
    assert_int_equal(ccs_vault_enumerate(v, STORE, visit, &again), CCS_OK);
    assert_int_equal(again.count, 0);
    assert_int_equal(ccs_vault_remove_store(v, STORE + 1), 1);
    assert_sound();
}

/* -- figures ------------------------------------------------------------------------------- */

#define HOSTS 10000

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void host_name(char *out, size_t size, unsigned i)
{
    snprintf(out, size, "host%05u.customers.example.com", i);
}

/* A host's record as it is in practice: P-256, one intermediate among a few. */
static size_t put_host(unsigned i)
{
    static uint8_t leaf[1135], key_der[138], issuer[920];
    static struct ccs_pfx pfx;
    struct ccs_record_part part = {.pfx = &pfx, .stamp = {1, 2, 3, 4}};
    struct ccs_secret octets = {0};
    struct ccs_vault_item item = {0};
    struct ccs_vault_key key;
    struct ccs_claim claim;
    char stem[64];
    size_t len;

    host_name(stem, sizeof(stem), i);
    snprintf(part.file, sizeof(part.file), "%.60s.pfx", stem);
    memcpy(part.digest, &i, sizeof(i));
    memset(issuer, (int)(i % 5), sizeof(issuer));
    memset(leaf, (int)i, sizeof(leaf));
    pfx.pair_count = 1;
    pfx.pairs[0] = (struct ccs_pair){.leaf = {leaf, sizeof(leaf)},
                                     .key = {key_der, sizeof(key_der)},
                                     .chain_len = 1,
                                     .chain = {{issuer, sizeof(issuer)}}};
    assert_int_equal(
        ccs_record_encode(&part, 1, l.intermediates, &octets, &item.head_len, item.content),
        CCS_OK);
    item.data = octets.data;
    item.len = len = octets.len;
    key = key_in(STORE, stem);
    claim = claim_key(&key);
    assert_int_equal(ccs_vault_put(v, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL), CCS_OK);
    ccs_secret_free(&octets);
    return len + strlen(stem);
}

static void figures(void **state)
{
    const size_t size = HOSTS * (size_t)2048;
    struct ccs_vault_key *keys = calloc(HOSTS, sizeof(*keys));
    char(*stems)[64] = calloc(HOSTS, sizeof(*stems));
    struct ccs_siphash_key siphash;
    struct ccs_vault_entry e = {0};
    struct ccs_vault_stats stats;
    size_t octets = 0, hits = 0;
    int64_t put_ns, get_ns, same_ns, check_ns, from;
    uint64_t sum = 0;
    const unsigned rounds = 5;

    (void)state;
    assert_non_null(keys);
    assert_non_null(stems);
    assert_int_equal(setup_size(size), 0);
    from = now_ns();
    for (unsigned i = 0; i < HOSTS; i++)
        octets = put_host(i);
    put_ns = (now_ns() - from) / HOSTS;
    siphash = ccs_arena_key(l.arena, STORE);
    for (unsigned i = 0; i < HOSTS; i++) {
        host_name(stems[i], sizeof(stems[i]), i * 7919 % HOSTS);
        keys[i] = key_in(STORE, stems[i]);
    }
    from = now_ns();
    for (unsigned n = 0; n < rounds * HOSTS; n++) {
        struct ccs_vault_key *k = &keys[n % HOSTS];

        k->hash = ccs_siphash(&siphash, k->stem, k->len);
        hits += ccs_vault_get(v, k, 0, CCS_LOCK_TRY, &e) == CCS_OK;
    }
    get_ns = (now_ns() - from) / (rounds * HOSTS);
    from = now_ns();
    for (unsigned n = 0; n < rounds * HOSTS; n++)
        (void)ccs_vault_get(v, &keys[0], e.version, CCS_LOCK_TRY, &e);
    same_ns = (now_ns() - from) / (rounds * HOSTS);
    from = now_ns();
    for (unsigned n = 0; n < 100 * HOSTS; n++) {
        sum += ccs_vault_generation(v, keys[n % HOSTS].hash);
        ccs_vault_touch(v, e.slot);
    }
    check_ns = (now_ns() - from) / HOSTS; /* times 100 */
    ccs_vault_stats_get(v, &stats);
    print_message("%u P-256 hosts of %zu octets in an arena of 2048 each, all in: %llu evicted, "
                  "%.1f %% of blocks used\n",
                  HOSTS, octets, (unsigned long long)stats.evictions,
                  100.0 * (double)stats.octets_used / (double)stats.octets);
    print_message("put with encoding %lld ns, get with hashing and copying %lld ns, get of what is "
                  "known %lld ns, check and touch of an L1 hit %.2f ns\n",
                  (long long)put_ns, (long long)get_ns, (long long)same_ns, (double)check_ns / 100);
    assert_true(sum > 0);
    /* Shards fill up unevenly by chance: a few names may go, not more. */
    assert_true(stats.evictions <= HOSTS / 200);
    assert_true(hits >= rounds * (HOSTS - stats.evictions));
    assert_sound();
    ccs_vault_entry_free(&e);
    free(keys);
    free(stems);
    ccs_arena_unmap(memory, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(puts_and_gets, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_are_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(same_content_is_the_same_version, setup, teardown),
        cmocka_unit_test_setup_teardown(every_length, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(restamps, setup, teardown),
        cmocka_unit_test_setup_teardown(removes, setup, teardown),
        cmocka_unit_test_setup_teardown(arrivals, setup, teardown),
        cmocka_unit_test_setup_teardown(clock_keeps_what_is_hot, setup, teardown),
        cmocka_unit_test_setup_teardown(eviction_moves_no_generation, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_of_yesterday, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_evict_no_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_fence, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(trying_does_not_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(enumerates, setup, teardown),
        cmocka_unit_test(figures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
