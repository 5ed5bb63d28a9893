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
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"
#include "layout.h"
#include "record.h"

#define SIZE ((size_t)2 * 1024 * 1024)

static void *memory;
static struct ccs_layout l;
static struct ccs_intermediates *table;

static int setup(void **state)
{
    (void)state;
    if (ccs_arena_map(SIZE, &memory, NULL) != CCS_OK ||
        ccs_layout_format(memory, SIZE, 0, &l, NULL) != CCS_OK)
        return 1;
    table = l.intermediates;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ccs_arena_unmap(memory, SIZE);
    return 0;
}

/* Octets of any length that are different for each seed. */
static struct ccs_blob make_blob(size_t len, unsigned seed)
{
    struct ccs_blob b = {malloc(len), len};

    assert_non_null(b.data);
    for (size_t i = 0; i < len; i++)
        b.data[i] = (uint8_t)(seed * 131 + i * 7 + (i >> 8) * seed);
    return b;
}

static void make_pair(struct ccs_pair *pair, size_t chain, unsigned seed)
{
    memset(pair, 0, sizeof(*pair));
    pair->leaf = make_blob(1135, seed);
    pair->key = make_blob(138, seed + 1);
    pair->chain_len = chain;
    for (size_t i = 0; i < chain; i++)
        pair->chain[i] = make_blob(920, 7000 + (unsigned)i);
}

static void free_pfx(struct ccs_pfx *pfx)
{
    for (size_t i = 0; i < pfx->pair_count; i++) {
        free(pfx->pairs[i].leaf.data);
        free(pfx->pairs[i].key.data);
        for (size_t k = 0; k < pfx->pairs[i].chain_len; k++)
            free(pfx->pairs[i].chain[k].data);
    }
}

static void make_part(struct ccs_record_part *part, struct ccs_pfx *pfx, size_t pairs, size_t chain,
                      unsigned seed)
{
    memset(pfx, 0, sizeof(*pfx));
    pfx->pair_count = pairs;
    for (size_t i = 0; i < pairs; i++)
        make_pair(&pfx->pairs[i], chain, seed * 100 + (unsigned)i * 10);
    memset(part, 0, sizeof(*part));
    snprintf(part->file, sizeof(part->file), "host%u.example.com.pfx", seed);
    part->kind = (enum ccs_file_kind)(seed % CCS_FILE_KINDS);
    part->stamp = (struct ccs_stamp){seed, UINT64_MAX - seed, -5 - (int64_t)seed, INT64_MAX - seed};
    memset(part->digest, (int)seed, sizeof(part->digest));
    part->password = (int)seed % 2 == 0 ? CCS_PASSWORD_EMPTY : (int)seed;
    part->legacy = 0x80000001u;
    part->warnings = seed;
    part->pfx = pfx;
}

static void assert_blob(const struct ccs_blob *a, const struct ccs_blob *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

static void assert_part(const struct ccs_record_part *a, const struct ccs_record_part *b)
{
    assert_string_equal(a->file, b->file);
    assert_int_equal(a->kind, b->kind);
    assert_true(ccs_stamp_equal(&a->stamp, &b->stamp));
    assert_memory_equal(a->digest, b->digest, sizeof(a->digest));
    assert_int_equal(a->password, b->password);
    assert_int_equal(a->legacy, b->legacy);
    assert_int_equal(a->warnings, b->warnings);
}

static void assert_same(const struct ccs_record *r, const struct ccs_record_part *parts, size_t n)
{
    assert_int_equal(r->part_count, n);
    for (size_t i = 0; i < n; i++) {
        const struct ccs_pfx *a = r->parts[i].pfx, *b = parts[i].pfx;

        assert_part(&r->parts[i], &parts[i]);
        assert_ptr_equal(a, &r->pfx[i]);
        assert_int_equal(a->password, parts[i].password);
        assert_int_equal(a->pair_count, b->pair_count);
        for (size_t k = 0; k < a->pair_count; k++) {
            assert_blob(&a->pairs[k].leaf, &b->pairs[k].leaf);
            assert_blob(&a->pairs[k].key, &b->pairs[k].key);
            assert_int_equal(a->pairs[k].chain_len, b->pairs[k].chain_len);
            for (size_t c = 0; c < a->pairs[k].chain_len; c++)
                assert_blob(&a->pairs[k].chain[c], &b->pairs[k].chain[c]);
        }
    }
}

static void there_and_back(void **state)
{
    static const struct {
        size_t parts, pairs, chain;
        bool inlined;
    } cases[] = {{1, 1, 0, false}, {1, 1, 1, false}, {1, 1, 1, true},
                 {1, 8, 10, true}, {6, 2, 3, false}, {6, 8, 10, false}};
    static struct ccs_pfx pfx[CCS_RECORD_PARTS_MAX];
    static struct ccs_record r;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(cases); i++) {
        struct ccs_record_part parts[CCS_RECORD_PARTS_MAX], heads[CCS_RECORD_PARTS_MAX];
        struct ccs_intermediates *t = cases[i].inlined ? NULL : table;
        uint8_t content[CCS_POOL_CONTENT], again[CCS_POOL_CONTENT];
        size_t n = cases[i].parts, head = 0, count = 0;
        struct ccs_secret out = {0}, out2 = {0};

        for (size_t k = 0; k < n; k++)
            make_part(&parts[k], &pfx[k], cases[i].pairs, cases[i].chain, (unsigned)(k + 1));
        assert_int_equal(ccs_record_encode(parts, n, t, &out, &head, content), CCS_OK);
        assert_int_equal(ccs_record_decode(out.data, out.len, t, &r), CCS_OK);
        assert_same(&r, parts, n);
        assert_int_equal(ccs_record_decode_head(out.data, head, heads, &count), CCS_OK);
        assert_int_equal(count, n);
        for (size_t k = 0; k < n; k++)
            assert_part(&heads[k], &parts[k]);
        /* Cut anywhere, or longer, it is not a record. */
        for (size_t len = 0; len < out.len; len += len < 300 ? 1 : 97)
            assert_int_equal(ccs_record_decode(out.data, len, t, &r), CCS_EDAMAGED);
        assert_int_equal(ccs_secret_append(&out, "x", 1), CCS_OK);
        assert_int_equal(ccs_record_decode(out.data, out.len, t, &r), CCS_EDAMAGED);
        /* Stamps move and contents stay; contents change and so does their digest. */
        parts[0].stamp.size++;
        assert_int_equal(ccs_record_encode(parts, n, t, &out2, &head, again), CCS_OK);
        assert_memory_equal(content, again, sizeof(again));
        ccs_secret_free(&out2);
        parts[0].digest[31] ^= 1;
        assert_int_equal(ccs_record_encode(parts, n, t, &out2, &head, again), CCS_OK);
        assert_memory_not_equal(content, again, sizeof(again));
        ccs_secret_free(&out2);
        ccs_secret_free(&out);
        for (size_t k = 0; k < n; k++)
            free_pfx(&pfx[k]);
    }
    assert_int_equal(ccs_intermediates_count(table), 10);
}

static void refuses(void **state)
{
    static struct ccs_pfx pfx;
    struct ccs_record_part parts[CCS_RECORD_PARTS_MAX + 1];
    uint8_t content[CCS_POOL_CONTENT];
    struct ccs_secret out = {0};
    size_t head;

    (void)state;
    make_part(&parts[0], &pfx, 1, 1, 1);
    assert_int_equal(ccs_record_encode(parts, 0, table, &out, &head, content), CCS_EINVAL);
    assert_int_equal(
        ccs_record_encode(parts, CCS_RECORD_PARTS_MAX + 1, table, &out, &head, content),
        CCS_EINVAL);
    parts[0].file[0] = '\0';
    assert_int_equal(ccs_record_encode(parts, 1, table, &out, &head, content), CCS_EINVAL);
    memset(parts[0].file, 'a', sizeof(parts[0].file));
    assert_int_equal(ccs_record_encode(parts, 1, table, &out, &head, content), CCS_EINVAL);
    parts[0].file[CCS_FILE_NAME_MAX] = '\0';
    assert_int_equal(ccs_record_encode(parts, 1, table, &out, &head, content), CCS_OK);
    ccs_secret_free(&out);
    pfx.pairs[0].chain_len = CCS_CHAIN_MAX + 1;
    assert_int_equal(ccs_record_encode(parts, 1, table, &out, &head, content), CCS_EINVAL);
    pfx.pairs[0].chain_len = 1;
    parts[0].pfx = NULL;
    assert_int_equal(ccs_record_encode(parts, 1, table, &out, &head, content), CCS_EINVAL);
    assert_int_equal(out.len, 0);
    assert_null(out.data);
    free_pfx(&pfx);
}

/* Octets changed at random: never a crash, never anything beyond the bounds. */
static void survives_damage(void **state)
{
    static struct ccs_pfx pfx[2];
    static struct ccs_record r;
    struct ccs_record_part parts[2];
    uint8_t content[CCS_POOL_CONTENT];
    struct ccs_secret out = {0};
    uint64_t x = 88172645463325252u;
    size_t head, sum = 0;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        make_part(&parts[i], &pfx[i], 2, 2, i + 1);
    assert_int_equal(ccs_record_encode(parts, 2, table, &out, &head, content), CCS_OK);
    for (int i = 0; i < 20000; i++) {
        /* On the heap and of its exact size, so that a sanitizer sees every octet too many. */
        uint8_t *copy = malloc(out.len);

        assert_non_null(copy);
        memcpy(copy, out.data, out.len);
        for (int k = 0; k < 1 + i % 3; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            copy[x % (i % 2 == 0 ? out.len : head + 20)] = (uint8_t)(x >> 32);
        }
        if (ccs_record_decode(copy, out.len, table, &r) == CCS_OK) {
            for (size_t p = 0; p < r.part_count; p++) {
                sum += strlen(r.parts[p].file) + r.pfx[p].pair_count;
                for (size_t k = 0; k < r.pfx[p].pair_count; k++) {
                    const struct ccs_pair *pair = &r.pfx[p].pairs[k];

                    sum += pair->leaf.data[pair->leaf.len - 1] + pair->key.data[pair->key.len - 1];
                    for (size_t c = 0; c < pair->chain_len; c++)
                        sum += pair->chain[c].data[pair->chain[c].len - 1];
                }
            }
        }
        free(copy);
    }
    assert_true(sum > 0);
    ccs_secret_free(&out);
    for (unsigned i = 0; i < 2; i++)
        free_pfx(&pfx[i]);
}

static void full_table(void **state)
{
    static struct ccs_pfx pfx;
    static struct ccs_record r;
    struct ccs_record_part part;
    uint8_t content[CCS_POOL_CONTENT];
    struct ccs_secret small = {0}, large = {0};
    const uint8_t *der;
    size_t head, n, len;
    uint32_t id, first = UINT32_MAX;

    (void)state;
    assert_int_equal(ccs_intermediates_get(table, 0, &der, &len), CCS_ENOTFOUND);
    assert_int_equal(ccs_intermediates_get(table, UINT32_MAX, &der, &len), CCS_ENOTFOUND);
    assert_int_equal(ccs_intermediates_add(table, (const uint8_t *)"x", 0, &id), CCS_ENOMEM);
    make_part(&part, &pfx, 1, 1, 3);
    assert_int_equal(ccs_record_encode(&part, 1, table, &small, &head, content), CCS_OK);
    assert_int_equal(ccs_intermediates_count(table), 1);
    for (n = 0; n <= CCS_INTERMEDIATES_MAX; n++) {
        struct ccs_blob b = make_blob(900, 20000 + (unsigned)n);
        int rv = ccs_intermediates_add(table, b.data, b.len, &id);

        if (n == 0)
            first = id;
        if (rv == CCS_OK) {
            assert_int_equal(ccs_intermediates_get(table, id, &der, &len), CCS_OK);
            assert_int_equal(len, b.len);
            assert_memory_equal(der, b.data, len);
        }
        free(b.data);
        if (rv != CCS_OK)
            break;
    }
    assert_true(n > 10 && n <= CCS_INTERMEDIATES_MAX);
    /* What is in stays as it is; what is not goes with the record. */
    assert_int_equal(ccs_intermediates_get(table, first, &der, &len), CCS_OK);
    assert_int_equal(len, 900);
    free_pfx(&pfx);
    make_part(&part, &pfx, 1, 2, 3);
    assert_int_equal(ccs_record_encode(&part, 1, table, &large, &head, content), CCS_OK);
    assert_true(large.len > small.len + 920);
    assert_int_equal(ccs_record_decode(large.data, large.len, table, &r), CCS_OK);
    assert_same(&r, &part, 1);
    assert_int_equal(ccs_record_decode(small.data, small.len, table, &r), CCS_OK);
    /* Without the table a reference leads nowhere. */
    assert_int_equal(ccs_record_decode(small.data, small.len, NULL, &r), CCS_EDAMAGED);
    ccs_secret_free(&small);
    ccs_secret_free(&large);
    free_pfx(&pfx);
}

/* Many add the same few at once: each is there once. */
static void *adder(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 400; i++) {
        struct ccs_blob b = make_blob(300, 30000 + i % 20);
        const uint8_t *der;
        uint32_t id;
        size_t len;

        if (ccs_intermediates_add(table, b.data, b.len, &id) != CCS_OK ||
            ccs_intermediates_get(table, id, &der, &len) != CCS_OK || len != b.len ||
            memcmp(der, b.data, len) != 0)
            abort();
        free(b.data);
    }
    return NULL;
}

static void adders(void **state)
{
    pthread_t t[4];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, adder, NULL), 0);
    for (size_t i = 0; i < CCS_ARRAY_LEN(t); i++)
        assert_int_equal(pthread_join(t[i], NULL), 0);
    assert_int_equal(ccs_intermediates_count(table), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(full_table, setup, teardown),
        cmocka_unit_test_setup_teardown(adders, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
