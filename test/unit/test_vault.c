/* SPDX-License-Identifier: Apache-2.0 */
#include "vault_kit.h"

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
        cmocka_unit_test_setup_teardown(enumerates, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
