/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "fake_store.h"
#include "index.h"
#include "index_inside.h"
#include "suspect.h"
#include "wait.h"

#define APART 2000
#define STALE 1000000

static const struct ccs_siphash_key key = {0x0123456789abcdef, 0xfedcba9876543210};

struct fixture {
    struct fake_store *fake;
    struct ccs_index index;
    struct ccs_index_writer *w;
    void *mem;
    size_t size;
    int64_t start;
    int64_t now;
    struct ccs_index_judge judge; /* beside now_ms */
    struct ccs_index_scanned scanned;
    char came[4096]; /* "stem " each */
    unsigned came_count;
    unsigned went_count;
    unsigned went_all;
    uint64_t went_hash;
};

static void *memory(size_t size)
{
    void *mem = aligned_alloc(64, (size + 63) & ~(size_t)63);

    assert_non_null(mem);
    memset(mem, 0xa5, size);
    return mem;
}

static struct fixture *fixture_new(size_t size)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->size = size;
    f->mem = memory(size);
    f->fake = fake_store_new();
    f->now = f->start = ccs_now_ms();
    f->judge = (struct ccs_index_judge){.apart_ms = APART, .stale_ms = STALE};
    assert_int_equal(ccs_index_format(f->mem, size, NULL), CCS_OK);
    assert_int_equal(ccs_index_attach(&f->index, f->mem, size, 7, &key, NULL), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&f->index, 1, &f->w, NULL), CCS_OK);
    return f;
}

static void fixture_free(struct fixture *f)
{
    ccs_index_writer_close(f->w);
    fake_store_free(f->fake);
    free(f->mem);
    free(f);
}

static int setup(void **state)
{
    *state = fixture_new((size_t)1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void on_came(const char *stem, uint64_t hash, void *arg)
{
    struct fixture *f = arg;

    assert_int_equal(hash, ccs_index_hash(&f->index, stem, strlen(stem)));
    f->came_count++;
    if (strlen(f->came) + strlen(stem) + 2 < sizeof(f->came)) {
        strcat(f->came, stem);
        strcat(f->came, " ");
    }
}

static void on_went(uint64_t hash, bool all, void *arg)
{
    struct fixture *f = arg;

    f->went_count++;
    f->went_all += all;
    f->went_hash = hash;
}

static void put(struct fixture *f, const char *file)
{
    fake_store_put(f->fake, file, "x", 1);
}

static int end(struct fixture *f)
{
    const struct ccs_index_told told = {on_came, on_went, f};
    struct ccs_index_judge judge = f->judge;

    judge.now_ms = f->now;
    f->came[0] = '\0';
    f->came_count = f->went_count = f->went_all = 0;
    return ccs_index_scan_end(f->w, &judge, &told, &f->scanned);
}

/* A listing `after` milliseconds later. */
static void scan(struct fixture *f, int64_t after)
{
    f->now += after;
    assert_int_equal(ccs_index_scan_list(f->w, fake_store_base(f->fake), f->now, NULL), CCS_OK);
    assert_int_equal(end(f), CCS_OK);
}

static uint64_t hash_of(struct fixture *f, const char *stem)
{
    return ccs_index_hash(&f->index, stem, strlen(stem));
}

static enum ccs_index_answer ask(struct fixture *f, const char *stem)
{
    return ccs_index_lookup(&f->index, hash_of(f, stem), NULL);
}

static struct ccs_index_name name_of(struct fixture *f, const char *stem)
{
    struct ccs_index_name name;

    assert_int_equal(ccs_index_lookup(&f->index, hash_of(f, stem), &name), CCS_INDEX_PRESENT);
    assert_int_not_equal(name.stamp, 0);
    return name;
}

static uint64_t stamp_of(struct fixture *f, const char *stem)
{
    return name_of(f, stem).stamp;
}

static struct ccs_index_status status_of(struct fixture *f)
{
    struct ccs_index_status status;

    ccs_index_status(&f->index, &status);
    return status;
}

static void numbered(char *out, size_t size, unsigned i)
{
    snprintf(out, size, "host%06u.shop-%03u.example.pfx", i, i % 997);
}

static uint64_t numbered_hash(struct fixture *f, unsigned i)
{
    char name[64];

    numbered(name, sizeof(name), i);
    return ccs_index_hash(&f->index, name, strlen(name) - 4);
}

/* A listing of host<from> to host<to - 1>. */
static int scan_numbered(struct fixture *f, unsigned from, unsigned to)
{
    char name[64];
    int rv = ccs_index_scan_begin(f->w, f->now);

    for (unsigned i = from; i < to && rv == CCS_OK; i++) {
        numbered(name, sizeof(name), i);
        rv = ccs_index_scan_add(f->w, name, strlen(name));
    }
    return rv == CCS_OK ? end(f) : rv;
}

/* -- memory -------------------------------------------------------------------------------- */

static void test_memory_is_checked(void **state)
{
    struct fixture *f = *state;
    struct ccs_index other;
    struct ccs_error err;
    char *mem = f->mem;

    assert_int_equal(ccs_index_format(NULL, f->size, &err), CCS_EINVAL);
    assert_int_equal(ccs_index_format(mem + 8, f->size - 64, &err), CCS_EINVAL);
    assert_int_equal(ccs_index_format(mem, CCS_INDEX_SIZE_MIN - 1, &err), CCS_EINVAL);
    assert_int_equal(ccs_index_attach(&other, mem, f->size - 64, 7, &key, &err), CCS_EINVAL);
    assert_int_equal(ccs_index_attach(&other, mem + 64, f->size - 64, 7, &key, &err), CCS_EINVAL);
    assert_int_equal(ccs_index_attach(&other, mem, f->size, 7, &key, &err), CCS_OK);
    memset(mem, 0, 64);
    assert_int_equal(ccs_index_attach(&other, mem, f->size, 7, &key, &err), CCS_EINVAL);
}

static void test_size_for(void **state)
{
    static const size_t names[] = {0, 1, 100, 2950, 3000, 10000, 123457};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(names); i++) {
        struct fixture *f = fixture_new(ccs_index_size_for(names[i]));

        assert_int_equal(scan_numbered(f, 0, (unsigned)names[i]), CCS_OK);
        assert_int_equal(f->scanned.names, names[i]);
        fixture_free(f);
    }
    assert_true(ccs_index_size_for(1000000) <= (size_t)27 * 1000000);
}

/* -- asking -------------------------------------------------------------------------------- */

static void test_unknown_until_listed(void **state)
{
    struct fixture *f = *state;
    struct ccs_index other;

    assert_int_equal(status_of(f).state, CCS_INDEX_EMPTY);
    assert_int_equal(ask(f, "www.example.com"), CCS_INDEX_UNKNOWN);
    assert_int_equal(ccs_index_stamp(&f->index, hash_of(f, "www.example.com")), 0);
    assert_int_equal(ccs_index_attach(&other, f->mem, f->size, 8, &key, NULL), CCS_OK);
    assert_int_equal(ccs_index_lookup(&other, 5, NULL), CCS_INDEX_UNKNOWN);

    /* A file noted, or listed by half, is no answer yet. */
    assert_int_equal(ccs_index_note_present(f->w, "www.example.com.pfx", 19), CCS_OK);
    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_OK);
    assert_int_equal(ccs_index_scan_add(f->w, "a.example.pfx", 13), CCS_OK);
    assert_int_equal(ask(f, "www.example.com"), CCS_INDEX_UNKNOWN);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_UNKNOWN);
    assert_int_equal(end(f), CCS_OK);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);
    assert_int_equal(ask(f, "b.example"), CCS_INDEX_ABSENT);
    assert_int_equal(status_of(f).listed_ms, f->now);
    assert_int_equal(ccs_index_lookup(&other, 5, NULL), CCS_INDEX_UNKNOWN);
}

static void test_empty_store(void **state)
{
    struct fixture *f = *state;

    scan(f, 0);
    assert_true(f->scanned.first);
    assert_false(f->scanned.suspect);
    assert_int_equal(f->scanned.names, 0);
    assert_int_equal(ask(f, "www.example.com"), CCS_INDEX_ABSENT);
    assert_int_equal(ccs_index_lookup(&f->index, 0, NULL), CCS_INDEX_ABSENT);
    assert_int_equal(ccs_index_lookup(&f->index, UINT64_MAX, NULL), CCS_INDEX_ABSENT);
}

static void test_names_and_kinds(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_name name;

    put(f, "www.example.com.pfx");
    put(f, "mail.example.com.rsa.pfx");
    put(f, "mail.example.com.ecdsa.pfx");
    put(f, "_.example.com.pfx");
    put(f, "API.example.com.pfx");
    put(f, "api.example.com.rsa.pfx");
    put(f, "xn--bcher-kva.example.pfx");
    put(f, "b\xc3\xbc"
           "cher.example.pfx");
    put(f, "not a host.pfx");
    put(f, "-.pfx.bak");
    put(f, "readme.txt");
    scan(f, 0);
    assert_int_equal(f->scanned.names, 5);
    assert_int_equal(f->scanned.files, 8);
    assert_int_equal(f->came_count, 0); /* everything is new */

    name = name_of(f, "www.example.com");
    assert_int_equal(name.kinds, 1u << CCS_FILE_ANY);
    assert_false(name.odd);
    assert_false(name.missing);
    assert_int_equal(ccs_index_stamp(&f->index, hash_of(f, "www.example.com")), name.stamp);
    name = name_of(f, "mail.example.com");
    assert_int_equal(name.kinds, 1u << CCS_FILE_RSA | 1u << CCS_FILE_ECDSA);
    name = name_of(f, "_.example.com");
    assert_int_equal(name.kinds, 1u << CCS_FILE_ANY);
    name = name_of(f, "api.example.com");
    assert_int_equal(name.kinds, 1u << CCS_FILE_ANY | 1u << CCS_FILE_RSA);
    assert_true(name.odd);
    name = name_of(f, "xn--bcher-kva.example");
    assert_int_equal(name.kinds, 1u << CCS_FILE_ANY);
    assert_false(name.odd);
    assert_int_equal(ask(f, "example.com"), CCS_INDEX_ABSENT);
    assert_int_equal(ask(f, "*.example.com"), CCS_INDEX_ABSENT);
    assert_int_equal(ask(f, ""), CCS_INDEX_ABSENT);
}

/* Milliseconds of work, so that other programs do not count. */
static double cpu_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void fill(struct fixture *f, unsigned n)
{
    double before = cpu_clock();
    double listed;
    double misses;
    double hits;
    struct ccs_index_status status;

    assert_int_equal(scan_numbered(f, 0, n), CCS_OK);
    listed = cpu_clock() - before;
    assert_int_equal(f->scanned.names, n);
    before = cpu_clock();
    for (unsigned i = 0; i < n; i++) {
        if (ccs_index_lookup(&f->index, numbered_hash(f, i), NULL) != CCS_INDEX_PRESENT)
            fail_msg("host %u is lost", i);
    }
    hits = cpu_clock() - before;
    before = cpu_clock();
    for (unsigned i = 0; i < n; i++) {
        if (ccs_index_lookup(&f->index, numbered_hash(f, i + n), NULL) != CCS_INDEX_ABSENT)
            fail_msg("host %u is a ghost", i + n);
    }
    misses = cpu_clock() - before;
    before = cpu_clock();
    f->now += APART * 2;
    assert_int_equal(scan_numbered(f, 0, n), CCS_OK);
    assert_int_equal(f->scanned.came, 0);
    assert_int_equal(f->scanned.went, 0);
    assert_int_equal(f->scanned.missing, 0);
    status = status_of(f);
    if (n >= 1000)
        print_message("%7u names: %4.1f octets each, listed in %.0f ms, again in %.0f ms, "
                      "hit %.0f ns, miss %.0f ns (with making the names)\n",
                      n, (double)status.octets / n, listed, cpu_clock() - before, hits * 1e6 / n,
                      misses * 1e6 / n);
    assert_true(n < 1000 || status.octets <= 32u * (uint64_t)n);
}

static void test_many_names(void **state)
{
    static const unsigned sizes[] = {
        1,       2, 191, 192, 193, 10000, 100000,
#ifndef __SANITIZE_THREAD__ /* takes minutes, and has one thread */
        1000000,
#endif
    };

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(sizes); i++) {
        struct fixture *f = fixture_new(ccs_index_size_for(sizes[i]));

        fill(f, sizes[i]);
        fixture_free(f);
        /* Memory for more than there are is not touched. */
        f = fixture_new(ccs_index_size_for(sizes[i] / 2 * 5 + 10000));
        fill(f, sizes[i]);
        fixture_free(f);
    }
}

/* Look-ups alone, with the hash at hand as the caller has it. */
static void test_cost_of_looking_up(void **state)
{
    enum { NAMES = 100000, ASKED = 1 << 16 };
    struct fixture *f = fixture_new(ccs_index_size_for(NAMES));
    uint64_t *hashes = calloc(2 * ASKED, sizeof(*hashes));
    double clock[3] = {0, 0, 0};
    unsigned found = 0;

    (void)state;
    assert_non_null(hashes);
    assert_int_equal(scan_numbered(f, 0, NAMES), CCS_OK);
    for (unsigned i = 0; i < 2 * ASKED; i++)
        hashes[i] = numbered_hash(f, i < ASKED ? i * 7919u % NAMES : i + NAMES);
    clock[0] = cpu_clock();
    for (unsigned i = 0; i < 2 * ASKED; i++) {
        if (i == ASKED)
            clock[1] = cpu_clock();
        found += ccs_index_lookup(&f->index, hashes[i], NULL) == CCS_INDEX_PRESENT;
    }
    clock[2] = cpu_clock();
    assert_int_equal(found, ASKED);
    print_message("100000 names: hit %.0f ns, miss %.0f ns\n", (clock[1] - clock[0]) * 1e6 / ASKED,
                  (clock[2] - clock[1]) * 1e6 / ASKED);
    free(hashes);
    fixture_free(f);
}

/* -- the table itself ---------------------------------------------------------------------- */

static struct ccs_index_word word_for(struct fixture *f, unsigned kinds)
{
    (void)f;
    return (struct ccs_index_word){.stamp = 5, .kinds = kinds, .place = 0};
}

static unsigned table_kinds(struct fixture *f, uint64_t hash)
{
    struct ccs_index_name name = {0};

    return ccs_index_lookup(&f->index, hash, &name) == CCS_INDEX_PRESENT ? name.kinds : 0;
}

static void test_collisions(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_word word;
    struct ccs_index_slot *slot;
    uint64_t hash;

    scan(f, 0);
    assert_int_equal(ccs_index_table_lock(&f->index), CCS_OK);
    /* All of them at home in the last slot, so that most go on at the first one. */
    for (unsigned i = 0; i < 100; i++) {
        word = word_for(f, 1 + i % 7);
        hash = UINT64_C(0xffffffff) << 32 | i;
        assert_null(ccs_index_table_find(&f->index, hash));
        assert_int_equal(ccs_index_table_insert(&f->index, hash, &word), CCS_OK);
    }
    /* 0 marks a free slot. */
    word = word_for(f, 3);
    assert_null(ccs_index_table_find(&f->index, 0));
    assert_int_equal(ccs_index_table_insert(&f->index, 0, &word), CCS_OK);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(table_kinds(f, UINT64_C(0xffffffff) << 32 | i), 1 + i % 7);
    assert_int_equal(table_kinds(f, 0), 3);
    assert_int_equal(table_kinds(f, UINT64_C(0xffffffff) << 32 | 100), 0);

    /* Gone ones do not hide those behind them, and come back in their own place. */
    memset(&word, 0, sizeof(word));
    for (unsigned i = 0; i < 100; i += 3) {
        slot = ccs_index_table_find(&f->index, UINT64_C(0xffffffff) << 32 | i);
        assert_non_null(slot);
        ccs_index_table_put(&f->index, slot, &word);
    }
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(table_kinds(f, UINT64_C(0xffffffff) << 32 | i), i % 3 ? 1 + i % 7 : 0);
    slot = ccs_index_table_find(&f->index, UINT64_C(0xffffffff) << 32 | 3);
    word = word_for(f, 2);
    ccs_index_table_put(&f->index, slot, &word);
    assert_int_equal(table_kinds(f, UINT64_C(0xffffffff) << 32 | 3), 2);
    assert_int_equal(f->index.head->names, 101 - 34 + 1);

    /* Enough of others make it grow, which keeps all that is there. */
    for (unsigned i = 0; i < 1000; i++) {
        word = word_for(f, 1);
        hash = (uint64_t)(i * 2654435761u) << 32 | i;
        if (ccs_index_table_find(&f->index, hash) == NULL)
            assert_int_equal(ccs_index_table_insert(&f->index, hash, &word), CCS_OK);
    }
    ccs_index_table_unlock(&f->index);
    assert_true(status_of(f).rebuilds > 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(table_kinds(f, UINT64_C(0xffffffff) << 32 | i), i == 3  ? 2
                                                                         : i % 3 ? 1 + i % 7
                                                                                 : 0);
}

/* Two stems of one hash are one name; two stores of one hash never hide each other's. */
static void test_same_hash_in_two_stores(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_judge judge = {.now_ms = f->now, .apart_ms = APART, .stale_ms = STALE};
    struct ccs_index_writer *w;
    struct ccs_index other;

    /* The same key on purpose. */
    assert_int_equal(ccs_index_attach(&other, f->mem, f->size, 8, &key, NULL), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&other, 1, &w, NULL), CCS_OK);
    put(f, "www.example.com.pfx");
    scan(f, 0);
    assert_int_equal(ccs_index_scan_list(w, fake_store_base(f->fake), f->now, NULL), CCS_OK);
    assert_int_equal(ccs_index_scan_end(w, &judge, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_index_lookup(&other, hash_of(f, "www.example.com"), NULL),
                     CCS_INDEX_PRESENT);
    assert_int_equal(ask(f, "www.example.com"), CCS_INDEX_PRESENT);
    ccs_index_writer_close(w);
}

static void test_churn_does_not_grow(void **state)
{
    struct fixture *f = *state;
    uint64_t octets = 0;
    char name[64];

    assert_int_equal(scan_numbered(f, 0, 1000), CCS_OK);
    f->judge.flush = true;
    for (unsigned i = 0; i < 20000; i++) {
        numbered(name, sizeof(name), i + 1000);
        assert_int_equal(ccs_index_note_present(f->w, name, strlen(name)), CCS_OK);
        assert_int_equal(
            ccs_index_note_gone(f->w, numbered_hash(f, i), CCS_FILE_ANY, &f->judge, NULL), CCS_OK);
        if (status_of(f).octets > octets)
            octets = status_of(f).octets;
    }
    assert_int_equal(status_of(f).names, 1000);
    assert_true(octets <= 40000);
    assert_in_range(status_of(f).rebuilds, 10, 200);
    for (unsigned i = 0; i < 22000; i++)
        assert_int_equal(ccs_index_lookup(&f->index, numbered_hash(f, i), NULL),
                         i >= 20000 && i < 21000 ? CCS_INDEX_PRESENT : CCS_INDEX_ABSENT);
}

/* -- what does not fit --------------------------------------------------------------------- */

static void test_does_not_fit(void **state)
{
    struct fixture *f = fixture_new(CCS_INDEX_SIZE_MIN);
    const unsigned most = (unsigned)(status_of(f).octets_max / 16 / 4 * 3);
    struct ccs_index_judge judge = {.now_ms = f->now, .apart_ms = APART, .stale_ms = STALE};
    struct ccs_index_writer *w;
    struct ccs_index other;

    (void)state;
    /* A neighbour that stays as it is. */
    assert_int_equal(ccs_index_attach(&other, f->mem, f->size, 8, &key, NULL), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&other, 1, &w, NULL), CCS_OK);
    assert_int_equal(ccs_index_scan_begin(w, f->now), CCS_OK);
    assert_int_equal(ccs_index_scan_add(w, "www.example.com.pfx", 19), CCS_OK);
    assert_int_equal(ccs_index_scan_end(w, &judge, NULL, NULL), CCS_OK);

    assert_int_equal(scan_numbered(f, 0, most - 1), CCS_OK);
    assert_int_equal(f->scanned.names, most - 1);
    assert_int_equal(scan_numbered(f, 0, most), CCS_ETOOBIG);
    assert_int_equal(f->scanned.files, most);
    assert_int_equal(status_of(f).state, CCS_INDEX_FULL);
    assert_int_equal(status_of(f).names, 0);
    assert_int_equal(ccs_index_lookup(&f->index, numbered_hash(f, 0), NULL), CCS_INDEX_UNKNOWN);
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_ETOOBIG);
    assert_int_equal(ccs_index_lookup(&other, hash_of(f, "www.example.com"), NULL),
                     CCS_INDEX_PRESENT);
    assert_int_equal(ccs_index_lookup(&other, hash_of(f, "a.example"), NULL), CCS_INDEX_ABSENT);

    /* It did fit, until one more came. */
    assert_int_equal(scan_numbered(f, 0, most - 1), CCS_OK);
    assert_true(f->scanned.first);
    assert_int_equal(status_of(f).state, CCS_INDEX_READY);
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_ETOOBIG);
    assert_int_equal(status_of(f).state, CCS_INDEX_FULL);
    assert_int_equal(ccs_index_lookup(&f->index, numbered_hash(f, 0), NULL), CCS_INDEX_UNKNOWN);

    /* What is noted while a listing is bringing it back belongs to it. */
    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_OK);
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_OK);
    assert_int_equal(end(f), CCS_OK);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);

    /* A neighbour that is not in use any more gives way. */
    assert_int_equal(ccs_index_beat(w, ccs_now_ms() - CCS_INDEX_FORGET_MS - 1), CCS_OK);
    f->now += 1;
    assert_int_equal(scan_numbered(f, 0, most - 1), CCS_OK);
    assert_int_equal(ccs_index_lookup(&other, hash_of(f, "www.example.com"), NULL),
                     CCS_INDEX_UNKNOWN);
    assert_int_equal(ccs_index_beat(w, ccs_now_ms()), CCS_ECANCELED);
    ccs_index_writer_close(w);
    fixture_free(f);
}

/* -- removal ------------------------------------------------------------------------------- */

static void test_suspect(void **state)
{
    (void)state;
    assert_false(ccs_suspect(0, 0, true));
    assert_false(ccs_suspect(100, 0, false));
    assert_true(ccs_suspect(1, 1, true));
    assert_false(ccs_suspect(10, 10, false));
    assert_true(ccs_suspect(11, 11, false));
    assert_false(ccs_suspect(100, 10, false));
    assert_true(ccs_suspect(100, 11, false));
    assert_false(ccs_suspect(1000, 100, false));
    assert_true(ccs_suspect(1000, 101, false));
    assert_true(ccs_suspect(SIZE_MAX, SIZE_MAX, false));
}

static void test_gone_after_two_looks(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "a.example.pfx");
    put(f, "b.example.pfx");
    put(f, "c.example.pfx");
    scan(f, 0);
    stamp = stamp_of(f, "a.example");
    fake_store_remove(f->fake, "b.example.pfx");
    scan(f, 10000);
    assert_int_equal(f->scanned.missing, 1);
    assert_int_equal(f->scanned.went, 0);
    assert_true(name_of(f, "b.example").missing);
    scan(f, APART - 1); /* too early to count as another look */
    assert_int_equal(f->scanned.went, 0);
    assert_true(name_of(f, "b.example").missing);
    scan(f, 129); /* with a tick of 64 ms on either side */
    assert_int_equal(f->scanned.went, 1);
    assert_int_equal(f->went_count, 1);
    assert_int_equal(f->went_all, 1);
    assert_int_equal(f->went_hash, hash_of(f, "b.example"));
    assert_int_equal(f->scanned.missing, 0);
    assert_int_equal(ask(f, "b.example"), CCS_INDEX_ABSENT);
    assert_int_equal(stamp_of(f, "a.example"), stamp);
    assert_false(name_of(f, "a.example").missing);

    /* It comes back, as something new. */
    put(f, "b.example.pfx");
    scan(f, 10);
    assert_string_equal(f->came, "b.example ");
    assert_int_not_equal(stamp_of(f, "b.example"), stamp);
}

static void test_missing_for_a_moment(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "a.example.pfx");
    put(f, "b.example.pfx");
    scan(f, 0);
    stamp = stamp_of(f, "b.example");
    fake_store_remove(f->fake, "b.example.pfx");
    scan(f, 10000);
    put(f, "b.example.pfx");
    scan(f, 10000);
    assert_string_equal(f->came, "b.example ");
    assert_false(name_of(f, "b.example").missing);
    assert_int_not_equal(stamp_of(f, "b.example"), stamp);
    fake_store_remove(f->fake, "b.example.pfx");
    scan(f, 10000);
    assert_int_equal(f->scanned.went, 0); /* the first look again */
    scan(f, 10000);
    assert_int_equal(f->scanned.went, 1);
}

static void test_one_kind_goes(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "a.example.pfx");
    put(f, "a.example.rsa.pfx");
    put(f, "a.example.ecdsa.pfx");
    scan(f, 0);
    assert_int_equal(name_of(f, "a.example").kinds, 7);
    stamp = stamp_of(f, "a.example");
    fake_store_remove(f->fake, "a.example.rsa.pfx");
    scan(f, 10000);
    assert_int_equal(name_of(f, "a.example").kinds, 7);
    assert_true(name_of(f, "a.example").missing);
    /* Another one: each has its own two looks. */
    fake_store_remove(f->fake, "a.example.pfx");
    scan(f, 10000);
    assert_int_equal(f->went_count, 1);
    assert_int_equal(f->went_all, 0);
    assert_int_equal(name_of(f, "a.example").kinds, 1u << CCS_FILE_ANY | 1u << CCS_FILE_ECDSA);
    assert_int_not_equal(stamp_of(f, "a.example"), stamp);
    scan(f, 10000);
    assert_int_equal(name_of(f, "a.example").kinds, 1u << CCS_FILE_ECDSA);
    assert_false(name_of(f, "a.example").missing);
    put(f, "a.example.rsa.pfx");
    scan(f, 10000);
    assert_string_equal(f->came, "a.example ");
    assert_int_equal(name_of(f, "a.example").kinds, 1u << CCS_FILE_RSA | 1u << CCS_FILE_ECDSA);
}

static void test_emptied_store_is_suspect(void **state)
{
    struct fixture *f = *state;

    put(f, "a.example.pfx");
    put(f, "B.example.pfx");
    scan(f, 0);
    fake_store_clear(f->fake);
    for (int i = 0; i < 20; i++) {
        scan(f, 10000);
        assert_true(f->scanned.suspect);
        assert_int_equal(f->scanned.went, 0);
        assert_int_equal(f->scanned.missing, 2);
        assert_int_equal(status_of(f).suspect_ms, f->start + 10000);
    }
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);
    assert_true(name_of(f, "a.example").missing);
    assert_int_equal(status_of(f).odd, 1);
    /* What comes counts. */
    put(f, "c.example.pfx");
    scan(f, 10000);
    assert_string_equal(f->came, "c.example ");
    assert_int_equal(ask(f, "c.example"), CCS_INDEX_PRESENT);
    /* Two of three is no more than may go at once. */
    assert_false(f->scanned.suspect);
    assert_int_equal(f->scanned.went, 2);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_ABSENT);
    assert_int_equal(status_of(f).odd, 0);
}

static void test_a_tenth_may_go(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(scan_numbered(f, 0, 1000), CCS_OK);
    f->now += 10000;
    assert_int_equal(scan_numbered(f, 101, 1010), CCS_OK);
    assert_int_equal(f->scanned.names, 1010);
    assert_int_equal(f->scanned.missing, 101);
    /* 10 of them came in the same listing. */
    assert_false(f->scanned.suspect);
    assert_int_equal(f->came_count, 10);
    f->now += 10000;
    assert_int_equal(scan_numbered(f, 102, 1010), CCS_OK);
    assert_true(f->scanned.suspect);
    assert_int_equal(f->scanned.went, 0);
    f->now += 10000;
    assert_int_equal(scan_numbered(f, 101, 1010), CCS_OK);
    assert_false(f->scanned.suspect);
    assert_int_equal(f->scanned.went, 101);
    assert_int_equal(f->went_count, 101);
    assert_int_equal(f->scanned.names, 909);
    for (unsigned i = 0; i < 1010; i++)
        assert_int_equal(ccs_index_lookup(&f->index, numbered_hash(f, i), NULL),
                         i < 101 ? CCS_INDEX_ABSENT : CCS_INDEX_PRESENT);
}

static void test_suspect_until_stale_or_flushed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(scan_numbered(f, 0, 100), CCS_OK);
    f->now += 10000;
    assert_int_equal(scan_numbered(f, 50, 100), CCS_OK);
    assert_true(f->scanned.suspect);
    f->now += STALE - 1;
    assert_int_equal(scan_numbered(f, 50, 100), CCS_OK);
    assert_int_equal(f->scanned.went, 0);
    f->now += 1;
    assert_int_equal(scan_numbered(f, 50, 100), CCS_OK);
    assert_int_equal(f->scanned.went, 50);
    f->now += 1;
    assert_int_equal(scan_numbered(f, 50, 100), CCS_OK);
    assert_false(f->scanned.suspect);
    f->now += 10000;
    f->judge.flush = true;
    assert_int_equal(scan_numbered(f, 99, 100), CCS_OK);
    assert_int_equal(f->scanned.went, 49);
    assert_false(f->scanned.suspect);
}

static void test_another_folder(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(scan_numbered(f, 0, 100), CCS_OK);
    f->judge.foreign = true;
    for (int i = 0; i < 3; i++) {
        f->now += 10000;
        assert_int_equal(scan_numbered(f, 1, 101), CCS_OK);
        assert_int_equal(f->scanned.went, 0);
        assert_true(f->scanned.suspect);
    }
    assert_int_equal(f->scanned.names, 101);
    f->judge.foreign = false;
    f->now += 10000;
    assert_int_equal(scan_numbered(f, 1, 101), CCS_OK);
    assert_int_equal(f->scanned.went, 1);
}

static void test_too_many_to_tell(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(scan_numbered(f, 0, 10), CCS_OK);
    assert_false(f->scanned.too_many);
    assert_int_equal(scan_numbered(f, 0, 10 + CCS_INDEX_TOLD_MAX), CCS_OK);
    assert_int_equal(f->came_count, CCS_INDEX_TOLD_MAX);
    assert_int_equal(f->scanned.came, CCS_INDEX_TOLD_MAX);
    assert_false(f->scanned.too_many);
    assert_int_equal(scan_numbered(f, 0, 20000), CCS_OK);
    assert_int_equal(f->came_count, CCS_INDEX_TOLD_MAX);
    assert_int_equal(f->scanned.came, 20000 - 10 - CCS_INDEX_TOLD_MAX);
    assert_true(f->scanned.too_many);
    f->judge.flush = true;
    assert_int_equal(scan_numbered(f, 0, 10), CCS_OK);
    assert_int_equal(f->went_count, CCS_INDEX_TOLD_MAX);
    assert_int_equal(f->scanned.went, 20000 - 10);
    assert_true(f->scanned.too_many);
    assert_int_equal(status_of(f).names, 10);
}

/* -- listings that fail -------------------------------------------------------------------- */

static void test_failed_listing_changes_little(void **state)
{
    struct fixture *f = *state;
    struct ccs_error err;

    put(f, "a.example.pfx");
    put(f, "b.example.pfx");
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    assert_int_equal(ccs_index_scan_list(f->w, fake_store_base(f->fake), f->now, &err),
                     CCS_EUNAVAIL);
    assert_int_equal(end(f), CCS_ECANCELED);
    assert_int_equal(status_of(f).state, CCS_INDEX_EMPTY);
    fake_store_set_error(f->fake, CCS_OK);
    scan(f, 10000);
    /* Never ended: many of them, more than there are epochs. */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ccs_index_scan_begin(f->w, f->now += 10000), CCS_OK);
        assert_int_equal(ccs_index_scan_add(f->w, "c.example.pfx", 13), CCS_OK);
    }
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);
    assert_int_equal(status_of(f).missing, 0);
    scan(f, 10000);
    assert_int_equal(status_of(f).missing, 0);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);
}

/* However many listings were not ended, what only they have met is not there. */
static void test_what_was_met_in_vain(void **state)
{
    struct fixture *f = *state;
    char name[64];

    f->judge.flush = true;
    put(f, "a.example.pfx");
    for (int vain = 0; vain < 20; vain++) {
        scan(f, 10000);
        assert_int_equal(ccs_index_scan_begin(f->w, f->now += 10000), CCS_OK);
        for (unsigned i = 0; i < 2 * CCS_INDEX_LOT; i++) {
            snprintf(name, sizeof(name), "Vain%u.example.pfx", i);
            assert_int_equal(ccs_index_scan_add(f->w, name, strlen(name)), CCS_OK);
        }
        for (int i = 0; i < vain; i++)
            assert_int_equal(ccs_index_scan_begin(f->w, f->now += 10000), CCS_OK);
        assert_int_equal(status_of(f).odd, 2 * CCS_INDEX_LOT);
        assert_int_equal(ask(f, "vain0.example"), CCS_INDEX_PRESENT);
        scan(f, 10000);
        assert_int_equal(ask(f, "vain0.example"), CCS_INDEX_ABSENT);
        assert_int_equal(status_of(f).names, 1);
        assert_int_equal(status_of(f).odd, 0);
    }
}

static void test_lost_while_listing(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "a.example.pfx");
    scan(f, 0);
    stamp = stamp_of(f, "a.example");
    assert_int_equal(ccs_index_scan_list(f->w, fake_store_base(f->fake), f->now, NULL), CCS_OK);
    assert_int_equal(ccs_index_table_lock(&f->index), CCS_OK);
    ccs_index_table_set_state(&f->index, 0, CCS_INDEX_EMPTY);
    ccs_index_table_reset(&f->index);
    ccs_index_table_unlock(&f->index);
    assert_int_equal(end(f), CCS_EBUSY);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_UNKNOWN);
    scan(f, 0);
    assert_true(f->scanned.first);
    assert_int_not_equal(stamp_of(f, "a.example"), stamp);
    /* Nobody knows what happened while it was unknown, even where names were not lost. */
    stamp = stamp_of(f, "a.example");
    assert_int_equal(ccs_index_table_lock(&f->index), CCS_OK);
    ccs_index_table_set_state(&f->index, 0, CCS_INDEX_EMPTY);
    ccs_index_table_unlock(&f->index);
    scan(f, 0);
    assert_int_not_equal(stamp_of(f, "a.example"), stamp);
    stamp = stamp_of(f, "a.example");
    scan(f, 0);
    assert_int_equal(stamp_of(f, "a.example"), stamp);
}

/* -- notifications ------------------------------------------------------------------------- */

static void test_notes(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;
    bool all = false;
    char tall[400];

    for (unsigned i = 0; i < 20; i++) {
        char name[64];

        numbered(name, sizeof(name), i);
        put(f, name);
    }
    scan(f, 0);
    assert_int_equal(ccs_index_note_present(f->w, "no host.pfx", 11), CCS_ENAME);
    assert_int_equal(ccs_index_note_present(f->w, "", 0), CCS_ENAME);
    memset(tall, 'a', sizeof(tall));
    assert_int_equal(ccs_index_note_present(f->w, tall, sizeof(tall)), CCS_ENAME);
    assert_int_equal(ccs_index_note_absent(f->w, tall, sizeof(tall), f->now), CCS_ENAME);

    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_OK);
    stamp = stamp_of(f, "a.example");
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_OK);
    assert_int_not_equal(stamp_of(f, "a.example"), stamp);
    stamp = stamp_of(f, "a.example");
    assert_int_equal(ccs_index_note_changed(f->w, hash_of(f, "a.example")), CCS_OK);
    assert_int_not_equal(stamp_of(f, "a.example"), stamp);
    assert_int_equal(ccs_index_note_changed(f->w, hash_of(f, "b.example")), CCS_ENOTFOUND);
    assert_int_equal(ccs_index_note_present(f->w, "a.example.rsa.pfx", 17), CCS_OK);
    assert_int_equal(name_of(f, "a.example").kinds, 3);

    /* Gone in two looks. */
    f->judge.now_ms = f->now;
    assert_int_equal(ccs_index_note_absent(f->w, "b.example.pfx", 13, f->now), CCS_OK);
    assert_int_equal(ask(f, "b.example"), CCS_INDEX_ABSENT);
    assert_int_equal(ccs_index_note_absent(f->w, "a.example.pfx", 13, f->now), CCS_OK);
    assert_true(name_of(f, "a.example").missing);
    assert_int_equal(status_of(f).missing, 1);
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ANY, &f->judge, &all),
        CCS_PENDING);
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ECDSA, &f->judge, &all),
        CCS_ENOTFOUND);
    f->judge.now_ms = f->now += APART + 129;
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ANY, &f->judge, &all), CCS_OK);
    assert_false(all);
    assert_int_equal(name_of(f, "a.example").kinds, 1u << CCS_FILE_RSA);
    assert_false(name_of(f, "a.example").missing);
    /* The first look by itself. */
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_RSA, &f->judge, &all),
        CCS_PENDING);
    f->judge.now_ms = f->now += APART + 129;
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_RSA, &f->judge, &all), CCS_OK);
    assert_true(all);
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_ABSENT);
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_RSA, &f->judge, &all),
        CCS_ENOTFOUND);

    /* And back before the second. */
    put(f, "a.example.pfx");
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_OK);
    assert_int_equal(ccs_index_note_absent(f->w, "a.example.pfx", 13, f->now), CCS_OK);
    assert_int_equal(ccs_index_note_present(f->w, "a.example.pfx", 13), CCS_OK);
    assert_false(name_of(f, "a.example").missing);
    scan(f, 10000);
    assert_int_equal(f->scanned.came, 0); /* it was known already */
    assert_int_equal(f->scanned.names, 21);
}

static void test_many_notes_make_it_suspect(void **state)
{
    struct fixture *f = *state;
    unsigned gone = 0;
    char name[64];

    assert_int_equal(scan_numbered(f, 0, 100), CCS_OK);
    for (unsigned i = 0; i < 11; i++) {
        numbered(name, sizeof(name), i);
        assert_int_equal(ccs_index_note_absent(f->w, name, strlen(name), f->now), CCS_OK);
    }
    f->judge.now_ms = f->now += 10000;
    for (unsigned i = 0; i < 11; i++)
        gone += ccs_index_note_gone(f->w, numbered_hash(f, i), CCS_FILE_ANY, &f->judge, NULL) ==
                CCS_OK;
    assert_int_equal(gone, 0);
    assert_int_not_equal(status_of(f).suspect_ms, 0);
    /* One is there again, but only a listing can say that it is over. */
    numbered(name, sizeof(name), 0);
    assert_int_equal(ccs_index_note_present(f->w, name, strlen(name)), CCS_OK);
    assert_int_equal(ccs_index_note_gone(f->w, numbered_hash(f, 1), CCS_FILE_ANY, &f->judge, NULL),
                     CCS_PENDING);
    f->now += 100;
    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_OK);
    for (unsigned i = 0; i < 100; i++) {
        numbered(name, sizeof(name), i);
        if (i == 0 || i > 10)
            assert_int_equal(ccs_index_scan_add(f->w, name, strlen(name)), CCS_OK);
    }
    assert_int_equal(end(f), CCS_OK);
    assert_int_equal(f->scanned.went, 10);
    assert_int_equal(status_of(f).suspect_ms, 0);
}

static void test_last_file_by_notes_is_suspect(void **state)
{
    struct fixture *f = *state;

    put(f, "a.example.pfx");
    scan(f, 0);
    assert_int_equal(ccs_index_note_absent(f->w, "a.example.pfx", 13, f->now), CCS_OK);
    f->judge.now_ms = f->now += 10000;
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ANY, &f->judge, NULL),
        CCS_PENDING);
    f->judge.flush = true;
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ANY, &f->judge, NULL), CCS_OK);
}

static void test_notes_during_a_listing(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "a.example.pfx");
    put(f, "b.example.pfx");
    put(f, "c.example.pfx");
    scan(f, 0);
    stamp = stamp_of(f, "c.example");
    assert_int_equal(ccs_index_scan_list(f->w, fake_store_base(f->fake), f->now += 10000, NULL),
                     CCS_OK);
    assert_int_equal(ccs_index_note_present(f->w, "new.example.pfx", 15), CCS_OK);
    assert_int_equal(ccs_index_note_present(f->w, "c.example.pfx", 13), CCS_OK);
    assert_int_equal(ccs_index_note_absent(f->w, "a.example.pfx", 13, f->now), CCS_OK);
    assert_int_equal(end(f), CCS_OK);
    assert_int_equal(ask(f, "new.example"), CCS_INDEX_PRESENT);
    assert_int_not_equal(stamp_of(f, "c.example"), stamp);
    /* Listed before it went, though kept back until after. */
    assert_int_equal(f->scanned.missing, 1);
    assert_true(name_of(f, "a.example").missing);
}

/* -- who may write ------------------------------------------------------------------------- */

static void test_fencing(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_writer *newer;
    struct ccs_index_writer *older;
    struct ccs_error err;

    put(f, "a.example.pfx");
    scan(f, 0);
    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&f->index, 5, &newer, &err), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&f->index, 4, &older, &err), CCS_ECANCELED);
    assert_int_equal(end(f), CCS_ECANCELED);
    assert_int_equal(ccs_index_beat(f->w, f->now), CCS_ECANCELED);
    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_ECANCELED);
    assert_int_equal(ccs_index_scan_add(f->w, "b.example.pfx", 13), CCS_ECANCELED);
    assert_int_equal(ccs_index_note_present(f->w, "b.example.pfx", 13), CCS_ECANCELED);
    assert_int_equal(ccs_index_note_absent(f->w, "a.example.pfx", 13, f->now), CCS_ECANCELED);
    assert_int_equal(ccs_index_note_changed(f->w, hash_of(f, "a.example")), CCS_ECANCELED);
    assert_int_equal(
        ccs_index_note_gone(f->w, hash_of(f, "a.example"), CCS_FILE_ANY, &f->judge, NULL),
        CCS_ECANCELED);
    /* What was known stays. */
    assert_int_equal(ask(f, "a.example"), CCS_INDEX_PRESENT);
    assert_int_equal(ask(f, "b.example"), CCS_INDEX_ABSENT);
    assert_int_equal(ccs_index_note_present(newer, "b.example.pfx", 13), CCS_OK);
    assert_int_equal(ask(f, "b.example"), CCS_INDEX_PRESENT);
    ccs_index_writer_close(newer);
    ccs_index_writer_close(NULL);
}

/* A refused writer that goes on adding all the same writes nowhere. */
static void test_refused_in_the_middle_of_a_listing(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_writer *newer;
    int refused = 0;
    char name[64];

    assert_int_equal(ccs_index_scan_begin(f->w, f->now), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&f->index, 5, &newer, NULL), CCS_OK);
    for (unsigned i = 0; i < 1000; i++) {
        numbered(name, sizeof(name), i);
        refused += ccs_index_scan_add(f->w, name, strlen(name)) == CCS_ECANCELED;
    }
    assert_true(refused > 800);
    assert_int_equal(status_of(f).names, 0);
    ccs_index_writer_close(newer);
}

static void test_many_stores(void **state)
{
    struct fixture *f = *state;
    struct ccs_index_writer *w[CCS_INDEX_STORES_MAX];
    struct ccs_index stores[CCS_INDEX_STORES_MAX + 1];
    struct ccs_index_writer *one_more = NULL;
    struct ccs_index_judge judge = f->judge;
    struct ccs_siphash_key k = key;
    struct ccs_error err;
    char name[64];

    judge.now_ms = f->now;
    for (unsigned i = 0; i <= CCS_INDEX_STORES_MAX; i++) {
        k.k0 += 77;
        assert_int_equal(ccs_index_attach(&stores[i], f->mem, f->size, 7 + i, &k, NULL), CCS_OK);
    }
    stores[0] = f->index;
    w[0] = f->w;
    for (unsigned i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        if (i > 0)
            assert_int_equal(ccs_index_writer_open(&stores[i], 1, &w[i], &err), CCS_OK);
        assert_int_equal(ccs_index_scan_begin(w[i], f->now), CCS_OK);
        snprintf(name, sizeof(name), "S%u.example.pfx", i);
        assert_int_equal(ccs_index_scan_add(w[i], name, strlen(name)), CCS_OK);
        assert_int_equal(ccs_index_scan_add(w[i], "all.example.pfx", 15), CCS_OK);
        assert_int_equal(ccs_index_scan_end(w[i], &judge, NULL, NULL), CCS_OK);
        assert_int_equal(ccs_index_beat(w[i], ccs_now_ms()), CCS_OK);
    }
    assert_int_equal(ccs_index_writer_open(&stores[CCS_INDEX_STORES_MAX], 1, &one_more, &err),
                     CCS_EBUSY);
    for (unsigned i = 0; i < CCS_INDEX_STORES_MAX; i++) {
        for (unsigned j = 0; j < CCS_INDEX_STORES_MAX; j++) {
            snprintf(name, sizeof(name), "s%u.example", j);
            assert_int_equal(
                ccs_index_lookup(&stores[i], ccs_index_hash(&stores[i], name, strlen(name)), NULL),
                i == j ? CCS_INDEX_PRESENT : CCS_INDEX_ABSENT);
        }
    }
    /* One that nobody uses any more goes, with all that it had. */
    assert_int_equal(ccs_index_beat(w[9], ccs_now_ms() - CCS_INDEX_FORGET_MS - 1), CCS_OK);
    assert_int_equal(ccs_index_writer_open(&stores[CCS_INDEX_STORES_MAX], 1, &one_more, &err),
                     CCS_OK);
    assert_int_equal(
        ccs_index_lookup(&stores[9], ccs_index_hash(&stores[9], "s9.example", 10), NULL),
        CCS_INDEX_UNKNOWN);
    assert_int_equal(ccs_index_note_present(w[9], "a.example.pfx", 13), CCS_ECANCELED);
    assert_int_equal(ccs_index_spelling(&stores[9], ccs_index_hash(&stores[9], "s9.example", 10),
                                        CCS_FILE_ANY, name, NULL),
                     CCS_ENOTFOUND);
    assert_int_equal(f->index.head->names, 2 * (CCS_INDEX_STORES_MAX - 1));
    for (unsigned i = 1; i < CCS_INDEX_STORES_MAX; i++)
        ccs_index_writer_close(w[i]);
    ccs_index_writer_close(one_more);
}

/* -- odd spellings ------------------------------------------------------------------------- */

static void assert_spelling(struct fixture *f, const char *stem, enum ccs_file_kind kind,
                            const char *file, bool unicode)
{
    char out[CCS_FILE_NAME_SIZE] = "untouched";
    bool u = !unicode;
    const int rv = ccs_index_spelling(&f->index, hash_of(f, stem), kind, out, &u);

    if (file == NULL) {
        assert_int_equal(rv, CCS_ENOTFOUND);
        assert_string_equal(out, "untouched");
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, file);
    assert_int_equal(u, unicode);
    assert_int_equal(ccs_index_spelling(&f->index, hash_of(f, stem), kind, out, NULL), CCS_OK);
}

static void test_spellings(void **state)
{
    struct fixture *f = *state;
    uint64_t stamp;

    put(f, "WWW.Example.com.pfx");
    put(f, "mail.example.com.PFX");
    put(f, "Api.example.com.RSA.pfx");
    put(f, "api.example.com.ecdsa.Pfx");
    put(f, "plain.example.com.pfx");
    put(f, "xn--bcher-kva.example.pfx");
    put(f, "b\xc3\xbc"
           "cher.example.pfx"); /* the plain Unicode spelling */
    scan(f, 0);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "WWW.Example.com.pfx", false);
    assert_spelling(f, "www.example.com", CCS_FILE_RSA, NULL, false);
    assert_spelling(f, "mail.example.com", CCS_FILE_ANY, "mail.example.com.PFX", false);
    assert_spelling(f, "api.example.com", CCS_FILE_RSA, "Api.example.com.RSA.pfx", false);
    assert_spelling(f, "api.example.com", CCS_FILE_ECDSA, "api.example.com.ecdsa.Pfx", false);
    assert_spelling(f, "api.example.com", CCS_FILE_ANY, NULL, false);
    assert_spelling(f, "plain.example.com", CCS_FILE_ANY, NULL, false);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY, NULL, false);
    assert_int_equal(status_of(f).odd, 4);
    assert_true(name_of(f, "www.example.com").odd);
    assert_false(name_of(f, "plain.example.com").odd);
    assert_false(name_of(f, "xn--bcher-kva.example").odd);

    /* Among several: Unicode first, whatever the octets say. */
    put(f, "www.example.com.PFX");
    put(f, "Www.example.com.pfx");
    put(f, "XN--BCHER-KVA.example.pfx");
    put(f, "b\xc3\xbc"
           "cher.EXAMPLE.pfx");
    put(f, "B\xc3\x9c"
           "CHER.example.pfx");
    scan(f, 100);
    assert_true(strstr(f->came, "www.example.com ") != NULL);
    assert_true(strstr(f->came, "xn--bcher-kva.example ") != NULL);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "WWW.Example.com.pfx", false);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY,
                    "B\xc3\x9c"
                    "CHER.example.pfx",
                    true);
    assert_true(name_of(f, "xn--bcher-kva.example").odd);
    assert_int_equal(ccs_index_note_absent(f->w,
                                           "B\xc3\x9c"
                                           "CHER.example.pfx",
                                           19, f->now),
                     CCS_OK);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY,
                    "b\xc3\xbc"
                    "cher.EXAMPLE.pfx",
                    true);
    /* Another file of the same kind is there: it does not go. */
    fake_store_remove(f->fake, "B\xc3\x9c"
                               "CHER.example.pfx");
    scan(f, 10000);
    assert_false(name_of(f, "xn--bcher-kva.example").missing);
    assert_int_equal(f->scanned.missing, 0);

    /* Renamed to what it should be called: looked at anew. */
    stamp = stamp_of(f, "mail.example.com");
    fake_store_remove(f->fake, "mail.example.com.PFX");
    put(f, "mail.example.com.pfx");
    scan(f, 10000);
    assert_int_equal(f->went_count, 1);
    assert_int_equal(f->went_all, 0);
    assert_int_equal(f->went_hash, hash_of(f, "mail.example.com"));
    assert_int_not_equal(stamp_of(f, "mail.example.com"), stamp);
    assert_false(name_of(f, "mail.example.com").missing);
    assert_spelling(f, "mail.example.com", CCS_FILE_ANY, NULL, false);
    assert_int_equal(ask(f, "mail.example.com"), CCS_INDEX_PRESENT);
    assert_int_equal(ccs_index_note_present(f->w, "Mail.example.com.pfx", 20), CCS_OK);
    assert_spelling(f, "mail.example.com", CCS_FILE_ANY, "Mail.example.com.pfx", false);
}

static void odd_name(char *out, size_t size, unsigned i)
{
    snprintf(out, size, "HOST%06u.shop.example.pfx", i);
}

static void scan_odd(struct fixture *f, unsigned from, unsigned to)
{
    char name[64];

    assert_int_equal(ccs_index_scan_begin(f->w, f->now += 10000), CCS_OK);
    for (unsigned i = from; i < to; i++) {
        odd_name(name, sizeof(name), i);
        assert_int_equal(ccs_index_scan_add(f->w, name, strlen(name)), CCS_OK);
    }
    assert_int_equal(end(f), CCS_OK);
}

static void assert_odd(struct fixture *f, unsigned i, bool there)
{
    char name[64];
    char stem[64];

    odd_name(name, sizeof(name), i);
    snprintf(stem, sizeof(stem), "host%06u.shop.example", i);
    assert_spelling(f, stem, CCS_FILE_ANY, there ? name : NULL, false);
}

static void test_many_spellings(void **state)
{
    struct fixture *f = *state;
    uint64_t most;
    char name[64];

    f->judge.flush = true;
    scan_odd(f, 0, 5000);
    most = status_of(f).odd;
    assert_in_range(most, 1000, 4999); /* 128 KB */
    assert_int_equal(f->scanned.odd_left_out, 5000 - most);
    assert_int_equal(status_of(f).odd_left_out, 5000 - most);
    for (unsigned i = 0; i < 5000; i++)
        assert_odd(f, i, i < most);
    /* Others in their place, once that is free. */
    scan_odd(f, 5000, 6000);
    assert_int_equal(f->scanned.odd_left_out, 1000);
    assert_int_equal(status_of(f).odd, 0);
    scan_odd(f, 5000, 6000);
    assert_int_equal(f->scanned.odd_left_out, 0);
    assert_int_equal(status_of(f).odd, 1000);
    for (unsigned i = 4000; i < 7000; i++)
        assert_odd(f, i, i >= 5000 && i < 6000);
    /* Room that was given back is used again, many times over. */
    for (unsigned i = 0; i < 20000; i++) {
        odd_name(name, sizeof(name), 5000 + i);
        assert_int_equal(ccs_index_note_absent(f->w, name, strlen(name), f->now), CCS_OK);
        odd_name(name, sizeof(name), 6000 + i);
        assert_int_equal(ccs_index_note_present(f->w, name, strlen(name)), CCS_OK);
    }
    assert_int_equal(status_of(f).odd, 1000);
    assert_odd(f, 24999, false);
    assert_odd(f, 25000, true);
    assert_odd(f, 25999, true);
    assert_odd(f, 26000, false);
}

/* -- several at once ----------------------------------------------------------------------- */

static void *wait_main(void *arg)
{
    return ccs_index_wait(arg, 60000) == CCS_INDEX_READY ? arg : NULL;
}

static void test_waiting(void **state)
{
    struct fixture *f = *state;
    struct ccs_index other;
    pthread_t waiters[3];
    double before = ccs_wait_clock();
    void *result;

    assert_int_equal(ccs_index_wait(&f->index, 30), CCS_INDEX_EMPTY);
    assert_true(ccs_wait_clock() - before >= 29);
    assert_int_equal(ccs_index_wait(&f->index, 0), CCS_INDEX_EMPTY);
    assert_int_equal(ccs_index_wait(&f->index, -5), CCS_INDEX_EMPTY);
    assert_int_equal(ccs_index_attach(&other, f->mem, f->size, 99, &key, NULL), CCS_OK);
    assert_int_equal(ccs_index_wait(&other, 15), CCS_INDEX_NONE);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, wait_main, &f->index), 0);
    ccs_wait_pass(20);
    scan(f, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(waiters[i], &result), 0);
        assert_ptr_equal(result, &f->index);
    }
}

#define FIXED 500

struct crowd {
    struct fixture *f;
    atomic_bool stop;
    _Atomic uint64_t asked, lost, ghosts, unknown, wrong_spelling;
};

static void *ask_main(void *arg)
{
    struct crowd *c = arg;
    struct fixture *f = c->f;
    char out[CCS_FILE_NAME_SIZE];

    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        const enum ccs_index_answer fixed = ccs_index_lookup(&f->index, numbered_hash(f, i % FIXED),
                                                             NULL);
        const enum ccs_index_answer none = ccs_index_lookup(
            &f->index, numbered_hash(f, 900000 + i % 1000), NULL);

        atomic_fetch_add(&c->asked, 2);
        atomic_fetch_add(&c->lost, fixed == CCS_INDEX_ABSENT);
        atomic_fetch_add(&c->ghosts, none == CCS_INDEX_PRESENT);
        atomic_fetch_add(&c->unknown, fixed == CCS_INDEX_UNKNOWN);
        if (ccs_index_spelling(&f->index, hash_of(f, "odd.example"), CCS_FILE_ANY, out, NULL) !=
                CCS_OK ||
            strcmp(out, "ODD.example.pfx") != 0)
            atomic_fetch_add(&c->wrong_spelling, 1);
    }
    return NULL;
}

/* Names come, go and make the table grow and shrink, while two threads ask for others. */
static void test_all_at_once(void **state)
{
    struct fixture *f = *state;
    struct crowd c = {.f = f};
    pthread_t threads[2];
    char name[64];

    f->judge.flush = true;
    assert_int_equal(scan_numbered(f, 0, FIXED), CCS_OK);
    assert_int_equal(ccs_index_note_present(f->w, "ODD.example.pfx", 15), CCS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_main, &c), 0);
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(ccs_index_scan_begin(f->w, f->now += 1000), CCS_OK);
        for (unsigned i = 0; i < FIXED + round % 7 * 400; i++) {
            numbered(name, sizeof(name), i < FIXED ? i : i + round * 100);
            assert_int_equal(ccs_index_scan_add(f->w, name, strlen(name)), CCS_OK);
        }
        assert_int_equal(ccs_index_scan_add(f->w, "ODD.example.pfx", 15), CCS_OK);
        snprintf(name, sizeof(name), "ODD%u.example.pfx", round);
        assert_int_equal(ccs_index_scan_add(f->w, name, strlen(name)), CCS_OK);
        assert_int_equal(end(f), CCS_OK);
    }
    atomic_store(&c.stop, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&c.lost), 0);
    assert_int_equal(atomic_load(&c.ghosts), 0);
    assert_int_equal(atomic_load(&c.wrong_spelling), 0);
    assert_true(atomic_load(&c.asked) > 0);
    assert_true(status_of(f).rebuilds > 2);
    assert_int_equal(status_of(f).lost, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_is_checked),
        cmocka_unit_test(test_size_for),
        TEST(unknown_until_listed),
        TEST(empty_store),
        TEST(names_and_kinds),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_cost_of_looking_up),
        TEST(collisions),
        TEST(same_hash_in_two_stores),
        TEST(churn_does_not_grow),
        cmocka_unit_test(test_does_not_fit),
        cmocka_unit_test(test_suspect),
        TEST(gone_after_two_looks),
        TEST(missing_for_a_moment),
        TEST(one_kind_goes),
        TEST(emptied_store_is_suspect),
        TEST(a_tenth_may_go),
        TEST(suspect_until_stale_or_flushed),
        TEST(another_folder),
        TEST(too_many_to_tell),
        TEST(failed_listing_changes_little),
        TEST(what_was_met_in_vain),
        TEST(lost_while_listing),
        TEST(notes),
        TEST(many_notes_make_it_suspect),
        TEST(last_file_by_notes_is_suspect),
        TEST(notes_during_a_listing),
        TEST(fencing),
        TEST(refused_in_the_middle_of_a_listing),
        TEST(many_stores),
        TEST(spellings),
        TEST(many_spellings),
        TEST(waiting),
        TEST(all_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
