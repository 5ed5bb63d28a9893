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

#define SIZE ((size_t)2 * 1024 * 1024)

static void formats_and_attaches(void **state)
{
    struct ccs_layout a, b;
    struct ccs_error err;
    void *mem;

    (void)state;
    assert_int_equal(ccs_arena_map(SIZE, &mem, &err), CCS_OK);
    assert_int_equal(ccs_layout_attach(mem, SIZE, &a, &err), CCS_EINVAL); /* not formatted */
    assert_int_equal(ccs_layout_format(mem, SIZE, 65536, &a, &err), CCS_OK);
    assert_int_equal(ccs_layout_attach(mem, SIZE, &b, &err), CCS_OK);
    assert_ptr_equal(a.vault.head, b.vault.head);
    assert_int_equal(ccs_arena_size(b.arena), SIZE);
    /* Other sizes are other arenas. */
    assert_int_equal(ccs_layout_attach(mem, SIZE - 64, &b, &err), CCS_EINVAL);
    ccs_layout_wipe(&a);
    assert_int_equal(ccs_layout_attach(mem, SIZE, &b, &err), CCS_EINVAL);
    ccs_arena_unmap(mem, SIZE);
}

static void refuses_what_cannot_be(void **state)
{
    struct ccs_layout l;
    struct ccs_error err;
    void *mem;

    (void)state;
    assert_int_equal(ccs_arena_map(1000, &mem, &err), CCS_EINVAL);
    assert_int_equal(ccs_arena_map(SIZE_MAX, &mem, &err), CCS_EINVAL);
    assert_int_equal(ccs_arena_map(SIZE, &mem, &err), CCS_OK);
    assert_int_equal(ccs_layout_format((uint8_t *)mem + 8, SIZE - 8, 0, &l, &err), CCS_EINVAL);
    assert_int_equal(ccs_layout_format(mem, 1000, 0, &l, &err), CCS_EINVAL);
    assert_int_equal(ccs_layout_format(mem, SIZE, SIZE / 2 + 1, &l, &err), CCS_EINVAL);
    assert_int_equal(ccs_layout_attach(mem, SIZE, &l, &err), CCS_EINVAL);
    assert_int_equal(ccs_layout_format(NULL, SIZE, 0, &l, &err), CCS_EINVAL);
    ccs_arena_unmap(mem, SIZE);
}

/* Every size works that is allowed, whatever was in the memory before; nothing is written beyond.
 */
static void any_size_and_place(void **state)
{
    static const size_t sizes[] = {CCS_ARENA_SIZE_MIN,      CCS_ARENA_SIZE_MIN + 1,
                                   1500 * 1024 + 37,        3 * 1024 * 1024 - 1,
                                   (size_t)9 * 1024 * 1024, (size_t)64 * 1024 * 1024};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(sizes); i++) {
        size_t size = sizes[i];
        struct ccs_layout l, again;
        struct ccs_error err;
        uint8_t *mem = NULL;
        size_t part;

        assert_int_equal(posix_memalign((void **)&mem, CCS_ARENA_ALIGN, size + 64), 0);
        memset(mem, 0xa5, size + 64);
        assert_int_equal(ccs_layout_format(mem, size, CCS_INDEX_SIZE_MIN, &l, &err), CCS_OK);
        assert_int_equal(ccs_layout_attach(mem, size, &again, &err), CCS_OK);
        assert_int_equal(ccs_vault_verify(&again.vault, &err), CCS_OK);
        for (size_t k = 0; k < 64; k++)
            assert_int_equal(mem[size + k], 0xa5);
        assert_non_null(ccs_arena_part(l.arena, CCS_ARENA_INDEX, &part));
        assert_int_equal(part, CCS_INDEX_SIZE_MIN);
        assert_true(l.vault.shard_count >= 1 && l.vault.shard_count <= CCS_VAULT_SHARDS_MAX);
        assert_true(l.vault.generation_mask + 1 >= l.vault.shard_count);
        assert_true(size < 64 * 1024 * 1024 ||
                    l.vault.generation_mask + 1 == CCS_VAULT_STRIPES_MAX);
        free(mem);
    }
}

/* What one process writes another one reads, although it sees the memory somewhere else. */
static void another_address(void **state)
{
    struct ccs_layout here, there;
    struct ccs_error err;
    struct ccs_claim claim;
    struct ccs_vault_entry e = {0};
    struct ccs_vault_key key = {.store = 3, .stem = "a.example", .len = 9};
    struct ccs_siphash_key k;
    struct ccs_vault_item item = {.data = (const uint8_t *)"octets", .len = 6};
    int fd = memfd_create("arena", MFD_CLOEXEC);
    void *a, *b;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
    a = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    b = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(a != MAP_FAILED && b != MAP_FAILED && a != b);
    assert_int_equal(ccs_layout_format(a, SIZE, 0, &here, &err), CCS_OK);
    assert_int_equal(ccs_layout_attach(b, SIZE, &there, &err), CCS_OK);
    k = ccs_arena_key(there.arena, 3);
    key.hash = ccs_siphash(&k, key.stem, key.len);
    assert_int_equal(
        ccs_vault_claim(&here.vault, &key, ccs_now_ms() + 10000, CCS_LOCK_WAIT, &claim, NULL),
        CCS_OK);
    assert_int_equal(ccs_vault_put(&here.vault, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL),
                     CCS_OK);
    assert_int_equal(ccs_vault_get(&there.vault, &key, 0, CCS_LOCK_WAIT, &e), CCS_OK);
    assert_memory_equal(e.data.data, "octets", 6);
    ccs_vault_entry_free(&e);
    munmap(a, SIZE);
    munmap(b, SIZE);
    close(fd);
}

static void keys_are_apart(void **state)
{
    struct ccs_siphash_key a, b, c;
    struct ccs_layout l;
    struct ccs_error err;
    void *mem;

    (void)state;
    assert_int_equal(ccs_arena_map(SIZE, &mem, &err), CCS_OK);
    assert_int_equal(ccs_layout_format(mem, SIZE, 0, &l, &err), CCS_OK);
    a = ccs_arena_key(l.arena, 1);
    b = ccs_arena_key(l.arena, 2);
    c = ccs_arena_key(l.arena, 1);
    assert_memory_equal(&a, &c, sizeof(a));
    assert_memory_not_equal(&a, &b, sizeof(a));
    assert_true(a.k0 != a.k1);
    assert_int_equal(ccs_layout_format(mem, SIZE, 0, &l, &err), CCS_OK);
    b = ccs_arena_key(l.arena, 1);
    assert_memory_not_equal(&a, &b, sizeof(a)); /* a new one each time */
    ccs_arena_unmap(mem, SIZE);
}

/* The pages are marked so in /proc/self/smaps. */
static void left_out_of_dumps(void **state)
{
    struct ccs_error err;
    char line[512], start[32];
    bool ours = false, found = false;
    FILE *f;
    void *mem;

    (void)state;
    assert_int_equal(ccs_arena_map(SIZE, &mem, &err), CCS_OK);
    snprintf(start, sizeof(start), "%08lx-", (unsigned long)(uintptr_t)mem);
    f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0)
            ours = true;
        else if (ours && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, " dd") != NULL;
            break;
        }
    }
    fclose(f);
    assert_true(found);
    ccs_arena_unmap(mem, SIZE);
}

/* Nothing secret is left behind in memory that goes back to its owner. */
static void wiped(void **state)
{
    static const char secret[] = "a private key, to all appearances";
    struct ccs_layout l;
    struct ccs_error err;
    struct ccs_claim claim;
    struct ccs_vault_key key = {.store = 1, .hash = 12345, .stem = "a.example", .len = 9};
    struct ccs_vault_item item = {.data = (const uint8_t *)secret, .len = sizeof(secret)};
    void *mem;

    (void)state;
    assert_int_equal(ccs_arena_map(SIZE, &mem, &err), CCS_OK);
    assert_int_equal(ccs_layout_format(mem, SIZE, 0, &l, &err), CCS_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            ccs_vault_claim(&l.vault, &key, ccs_now_ms() + 10000, CCS_LOCK_WAIT, &claim, NULL),
            CCS_OK);
        assert_int_equal(ccs_vault_put(&l.vault, &key, &claim, true, &item, CCS_LOCK_WAIT, NULL),
                         CCS_OK);
        assert_non_null(memmem(mem, SIZE, secret, sizeof(secret)));
        if (i == 0)
            assert_int_equal(ccs_vault_remove(&l.vault, &key, 0, CCS_LOCK_WAIT), CCS_OK);
        else
            ccs_layout_wipe(&l);
        assert_null(memmem(mem, SIZE, secret, sizeof(secret)));
    }
    ccs_arena_unmap(mem, SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_attaches),
        cmocka_unit_test(refuses_what_cannot_be),
        cmocka_unit_test(any_size_and_place),
        cmocka_unit_test(another_address),
        cmocka_unit_test(keys_are_apart),
        cmocka_unit_test(left_out_of_dumps),
        cmocka_unit_test(wiped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
