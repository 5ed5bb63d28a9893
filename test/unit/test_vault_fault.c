/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process is killed at every place inside every critical section; the others go on with right
 * answers, and nothing is lost but what was being written. And then the one that cleans up is
 * killed at every place as well.
 */
#include "vault_fault_kit.h"

#define STORE  7
#define OTHERS 10
#define LATER  (INT64_MAX / 2)

static struct ccs_vault_key key_of(const char *stem)
{
    struct ccs_siphash_key k = ccs_arena_key(world.arena, STORE);

    return (struct ccs_vault_key){STORE, ccs_siphash(&k, stem, strlen(stem)), stem, strlen(stem)};
}

/* What version seq of a stem has as its octets: any mixture of two is found out. */
static size_t octets_of(const char *stem, unsigned seq, uint8_t *out)
{
    size_t len = 600 + strlen(stem) * 7 + seq % 5 * 300;

    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(seq * 31 + i * 7 + (uint8_t)stem[i % strlen(stem)]);
    return len;
}

#define OCTETS_MAX 8192

static struct ccs_claim claim_for(const char *stem)
{
    struct ccs_vault_key key = key_of(stem);
    struct ccs_claim claim = {0};

    assert_int_equal(ccs_vault_claim(&world.vault, &key, LATER, CCS_LOCK_WAIT, &claim, NULL),
                     CCS_OK);
    return claim;
}

static int put_with(const char *stem, unsigned seq, const struct ccs_claim *claim, bool done)
{
    uint8_t octets[OCTETS_MAX];
    struct ccs_vault_item item = {.data = octets, .head_len = 10, .loaded_for = seq};
    struct ccs_vault_key key = key_of(stem);

    item.len = octets_of(stem, seq, octets);
    memset(item.content, (int)seq, sizeof(item.content));
    return ccs_vault_put(&world.vault, &key, claim, done, &item, CCS_LOCK_WAIT, NULL);
}

static void put(const char *stem, unsigned seq)
{
    struct ccs_claim claim = claim_for(stem);

    assert_int_equal(put_with(stem, seq, &claim, true), CCS_OK);
}

/* The version that is there, -1 if none; fails the test if it is not a whole one. */
static int version_of(const char *stem)
{
    struct ccs_vault_key key = key_of(stem);
    struct ccs_vault_entry e = {0};
    uint8_t octets[OCTETS_MAX];
    int rv = ccs_vault_get(&world.vault, &key, 0, CCS_LOCK_WAIT, &e), seq = -1;

    if (rv == CCS_OK) {
        seq = (int)e.loaded_for;
        assert_int_equal(e.data.len, octets_of(stem, (unsigned)seq, octets));
        assert_memory_equal(e.data.data, octets, e.data.len);
        assert_int_equal(e.head_len, 10);
    } else {
        assert_int_equal(rv, CCS_ENOTFOUND);
    }
    ccs_vault_entry_free(&e);
    return seq;
}

static void other_name(char *out, unsigned i)
{
    snprintf(out, 32, "other%u.example.com", i);
}

static void assert_sound(void)
{
    struct ccs_error err = {0};

    if (ccs_vault_verify(&world.vault, &err) != CCS_OK)
        fail_msg("%s", err.text);
}

static uint64_t generation_of(const char *stem)
{
    return ccs_vault_generation(&world.vault, key_of(stem).hash);
}

/* -- scenarios ----------------------------------------------------------------------------- */

#define STEM "www.example.com"

/* What was before the victim began. */
static struct ccs_claim held;
static uint64_t generation_before;
static bool others_may_go; /* the victim evicts */

struct scenario {
    const char *name;
    void (*prepare)(void);
    void (*victim)(void); /* in a process that dies somewhere in it, or not at all */
    void (*check)(void);
};

static void prepare_new(void)
{
    held = claim_for(STEM);
}

static void prepare_old(void)
{
    put(STEM, 1);
    held = claim_for(STEM);
}

static void prepare_full(void)
{
    char stem[32];
    unsigned i = 0;
    struct ccs_vault_stats stats = {0};

    others_may_go = true;
    put(STEM, 1);
    while (stats.evictions == 0) {
        snprintf(stem, sizeof(stem), "filler%u.example.com", i++);
        put(stem, 4);
        ccs_vault_stats_get(&world.vault, &stats);
    }
    put(STEM, 1);
    held = claim_for(STEM);
}

static void victim_put(void)
{
    put_with(STEM, 2, &held, false);
}

static void victim_put_done(void)
{
    put_with(STEM, 2, &held, true);
}

static void victim_put_same(void)
{
    put_with(STEM, 1, &held, false);
}

static void victim_put_large(void)
{
    put_with(STEM, 4, &held, false);
}

static void victim_remove(void)
{
    struct ccs_vault_key key = key_of(STEM);

    ccs_vault_remove(&world.vault, &key, 0, CCS_LOCK_WAIT);
}

static void victim_remove_store(void)
{
    ccs_vault_remove_store(&world.vault, STORE);
}

static struct ccs_vault_failure some_failure(void)
{
    struct ccs_vault_failure f = {.until_ms = LATER, .stamp = {.size = 5}};

    ccs_error_set(&f.error, CCS_EPASSWORD, "\"%s.pfx\": %0100d", STEM, 7);
    return f;
}

static int put_some_failure(void)
{
    struct ccs_vault_key key = key_of(STEM);
    struct ccs_vault_failure f = some_failure();

    return ccs_vault_put_failure(&world.vault, &key, 99, &held, true, &f, CCS_LOCK_WAIT);
}

static void victim_fail(void)
{
    (void)put_some_failure();
}

static void victim_claim(void)
{
    struct ccs_vault_key key = key_of(STEM);
    struct ccs_claim claim;

    (void)ccs_vault_claim(&world.vault, &key, 1, CCS_LOCK_WAIT, &claim, NULL);
}

static void victim_release(void)
{
    (void)ccs_vault_release(&world.vault, &held, CCS_LOCK_WAIT);
}

static void check_no_staleness(int before)
{
    int now = version_of(STEM);

    /* Whoever has the old one in L1 must learn that it is not the one any more. */
    if (now != before)
        assert_int_not_equal(generation_of(STEM), generation_before);
}

static void check_new(void)
{
    int now = version_of(STEM);

    assert_true(now == -1 || now == 2 || now == 4);
    check_no_staleness(-1);
    /* The dead one's claim goes on; with its ticket, which it might have passed on, all works. */
    assert_int_equal(put_with(STEM, 3, &held, false), CCS_OK);
    assert_int_equal(version_of(STEM), 3);
}

static void check_old(void)
{
    int now = version_of(STEM);

    assert_true(now == 1 || now == 2);
    check_no_staleness(1);
    assert_int_equal(put_with(STEM, 3, &held, false), CCS_OK);
    assert_int_equal(version_of(STEM), 3);
}

/* The claim may have ended with it, or not. */
static void check_old_done(void)
{
    int now = version_of(STEM), rv;

    assert_true(now == 1 || now == 2);
    check_no_staleness(1);
    rv = put_with(STEM, 3, &held, true);
    if (now == 1)
        assert_int_equal(rv, CCS_OK);
    assert_true(rv == CCS_OK || rv == CCS_ECANCELED);
    put(STEM, 4);
    assert_int_equal(version_of(STEM), 4);
}

static void check_same(void)
{
    assert_int_equal(version_of(STEM), 1);
}

static void check_full(void)
{
    int now = version_of(STEM);

    /* It may have been evicted to make room for itself. */
    assert_true(now == 1 || now == 4 || now == -1);
    if (now == 4)
        check_no_staleness(1);
    assert_int_equal(put_with(STEM, 3, &held, false), CCS_OK);
    assert_int_equal(version_of(STEM), 3);
}

static void check_removed(void)
{
    int now = version_of(STEM);

    assert_true(now == 1 || now == -1);
    check_no_staleness(1);
    put_with(STEM, 3, &held, false);
    assert_int_equal(version_of(STEM), 3);
}

static void check_failed(void)
{
    struct ccs_vault_key key = key_of(STEM);
    struct ccs_vault_failure f, expected = some_failure();
    int rv = ccs_vault_get_failure(&world.vault, &key, 99, CCS_LOCK_WAIT, &f);

    assert_int_equal(version_of(STEM), 1);
    assert_true(rv == CCS_OK || rv == CCS_ENOTFOUND);
    if (rv == CCS_OK) {
        assert_string_equal(f.error.text, expected.error.text);
        assert_int_equal(f.error.code, CCS_EPASSWORD);
        assert_int_equal(f.stamp.size, 5);
    }
    held = (struct ccs_claim){0};
    if (ccs_vault_claim(&world.vault, &key, LATER, CCS_LOCK_WAIT, &held, NULL) == CCS_OK) {
        assert_int_equal(put_some_failure(), CCS_OK);
        assert_int_equal(ccs_vault_get_failure(&world.vault, &key, 99, CCS_LOCK_WAIT, &f), CCS_OK);
    }
}

static void check_claimable(void)
{
    /* The victim's deadline has long passed. */
    put(STEM, 3);
    assert_int_equal(version_of(STEM), 3);
}

static void check_released(void)
{
    struct ccs_vault_key key = key_of(STEM);
    struct ccs_claim claim;
    int rv = ccs_vault_claim(&world.vault, &key, LATER, CCS_LOCK_WAIT, &claim, NULL);

    if (rv == CCS_PENDING)
        assert_int_equal(put_with(STEM, 3, &held, true), CCS_OK);
    else
        assert_int_equal(put_with(STEM, 3, &held, true), CCS_ECANCELED);
}

static void prepare_store(void)
{
    others_may_go = true;
    put(STEM, 1);
    held = claim_for(STEM);
}

static void prepare_nothing(void)
{
}

static const struct scenario scenarios[] = {
    {"first put", prepare_new, victim_put, check_new},
    {"put over an older one", prepare_old, victim_put, check_old},
    {"put that ends the claim", prepare_old, victim_put_done, check_old_done},
    {"put of the same", prepare_old, victim_put_same, check_same},
    {"put that evicts", prepare_full, victim_put_large, check_full},
    {"remove", prepare_old, victim_remove, check_removed},
    {"remove a store", prepare_store, victim_remove_store, check_removed},
    {"fail", prepare_old, victim_fail, check_failed},
    {"claim", prepare_nothing, victim_claim, check_claimable},
    {"release", prepare_new, victim_release, check_released},
};

static void victim_looker(void)
{
    struct ccs_vault_key key = key_of(STEM);

    ccs_vault_arrived(&world.vault, key.hash + 1);
    if (ccs_vault_lock(&world.vault, 0, CCS_LOCK_WAIT) == CCS_OK)
        ccs_vault_unlock(&world.vault, 0);
}

static void check_others(void)
{
    char stem[32];
    struct ccs_vault_stats stats;

    for (unsigned i = 0; i < OTHERS; i++) {
        int now;

        other_name(stem, i);
        now = version_of(stem);
        assert_true(now == (int)i || (others_may_go && now == -1));
    }
    ccs_vault_stats_get(&world.vault, &stats);
    assert_true(stats.dropped <= 2);
}

/* One victim, perhaps one that cleans up and dies as well, then us. True if the first one died. */
static bool run(const struct scenario *s, int at, int cleaner_at, bool *cleaner_died)
{
    char stem[32];
    bool died;

    make_world();
    others_may_go = false;
    for (unsigned i = 0; i < OTHERS; i++) {
        other_name(stem, i);
        put(stem, i);
    }
    s->prepare();
    generation_before = generation_of(STEM);
    died = dies(s->victim, at);
    *cleaner_died = cleaner_at > 0 && dies(victim_looker, cleaner_at);
    if (died) {
        assert_sound();
        check_others();
        s->check();
        assert_sound();
        check_others();
    }
    end_world();
    return died;
}

static void every_point(void **state)
{
    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(scenarios); i++) {
        char before[POINT_LEN] = "";
        int points = 0, cleaned = 0;
        bool ignored, died = true;

        for (int at = 1; died; at++) {
            bool cleaner_died;

            died = run(&scenarios[i], at, 0, &ignored);
            points += died;
            /* In a loop of the victim's, once is enough for those who clean up. */
            cleaner_died = strcmp(seen->last, before) != 0;
            memcpy(before, seen->last, sizeof(before));
            for (int cleaner_at = 1; died && cleaner_died; cleaner_at++) {
                run(&scenarios[i], at, cleaner_at, &cleaner_died);
                cleaned += cleaner_died;
            }
        }
        print_message("%-26s %3d deaths, %4d of those who cleaned up\n", scenarios[i].name, points,
                      cleaned);
        assert_true(points > 0);
        assert_true(cleaned > 0);
    }
}

/* Every fault point that is written down in lib/ was somebody's last. */
static void all_points_seen(void **state)
{
    static const char *const points[] = {"claim.take",
                                         "claim.taken",
                                         "claim.released",
                                         "bell.ring",
                                         "pool.chain",
                                         "pool.give",
                                         "pool.copy",
                                         "pool.remove.marked",
                                         "pool.remove.unlinked",
                                         "pool.remove.told",
                                         "pool.remove.done",
                                         "pool.put.marked",
                                         "pool.put.described",
                                         "pool.put.filled",
                                         "pool.put.fresh",
                                         "pool.put.linked",
                                         "pool.put.told",
                                         "pool.recover.fresh",
                                         "pool.recover.settled",
                                         "pool.recover.drop",
                                         "pool.recover.slots",
                                         "pool.recover.blocks",
                                         "vault.died",
                                         "vault.repaired"};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(points); i++) {
        size_t k = 0;

        while (k < seen->count && strcmp(seen->points[k], points[i]) != 0)
            k++;
        if (k == seen->count)
            fail_msg("nobody died at %s", points[i]);
    }
    assert_int_equal(seen->count, CCS_ARRAY_LEN(points));
    print_message("%zu places, %u deaths\n", seen->count, seen->deaths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point),
        cmocka_unit_test(all_points_seen),
    };
    int rv;

    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED)
        return 1;
    rv = cmocka_run_group_tests(tests, NULL, NULL);
    munmap(seen, sizeof(*seen));
    return rv;
}
