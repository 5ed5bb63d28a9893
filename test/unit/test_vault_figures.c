/* SPDX-License-Identifier: Apache-2.0 */
/* What a host takes, and how long the vault takes. */
#include "vault_kit.h"

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
        cmocka_unit_test(figures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
