/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_VAULT_KIT_H
#define CCS_TEST_VAULT_KIT_H

/* What the tests of the vault have in common: one arena, and short ways to put and get. */

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

static inline int setup_size(size_t size)
{
    v = &l.vault;
    return ccs_arena_map(size, &memory, NULL) != CCS_OK ||
           ccs_layout_format(memory, size, 0, &l, NULL) != CCS_OK;
}

static inline int setup(void **state)
{
    (void)state;
    return setup_size(SIZE);
}

static inline int teardown(void **state)
{
    (void)state;
    ccs_arena_unmap(memory, SIZE);
    return 0;
}

static inline struct ccs_vault_key key_in(uint64_t store, const char *stem)
{
    struct ccs_siphash_key k = ccs_arena_key(l.arena, store);

    return (struct ccs_vault_key){store, ccs_siphash(&k, stem, strlen(stem)), stem, strlen(stem)};
}

static inline struct ccs_claim claim_key(const struct ccs_vault_key *key)
{
    struct ccs_claim claim = {0};

    assert_int_equal(ccs_vault_claim(v, key, LATER, CCS_LOCK_WAIT, &claim, NULL), CCS_OK);
    return claim;
}

static inline struct ccs_vault_published put_key(const struct ccs_vault_key *key, const void *data,
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

static inline struct ccs_vault_published put(const char *stem, const char *text, uint8_t content)
{
    struct ccs_vault_key key = key_in(STORE, stem);

    return put_key(&key, text, strlen(text), content);
}

static inline int get(const char *stem, uint64_t known, struct ccs_vault_entry *e)
{
    struct ccs_vault_key key = key_in(STORE, stem);

    return ccs_vault_get(v, &key, known, CCS_LOCK_WAIT, e);
}

static inline bool has(const char *stem, const char *text)
{
    struct ccs_vault_entry e = {0};
    bool yes = get(stem, 0, &e) == CCS_OK && e.data.len == strlen(text) &&
               memcmp(e.data.data, text, e.data.len) == 0;

    ccs_vault_entry_free(&e);
    return yes;
}

static inline void assert_sound(void)
{
    struct ccs_error err;

    if (ccs_vault_verify(v, &err) != CCS_OK)
        fail_msg("%s", err.text);
}

#endif
