/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "error.h"

#define MAGIC UINT64_C(0x31616e6572614343)

struct part {
    uint64_t offset; /* 0: none */
    uint64_t size;
};

struct ccs_arena {
    _Atomic uint64_t magic; /* 0 until it is sealed */
    uint64_t abi;
    uint64_t size;
    uint64_t used; /* while it is being divided */
    struct ccs_siphash_key key;
    struct part parts[CCS_ARENA_PARTS];
};

/* What both sides must agree on: two builds may differ in more than the version of the layout. */
static uint64_t abi(void)
{
    return (uint64_t)CCS_ARENA_ABI << 32 | (uint64_t)sizeof(struct ccs_arena) << 16 |
           sizeof(pthread_mutex_t) << 8 | sizeof(void *);
}

/* Keys must not end up in core dumps. Only whole pages of ours: a host may have other things
 * beside. */
static void leave_out_of_dumps(void *mem, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)mem + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)mem + size) & ~(page - 1);

    if (to > from)
        (void)madvise((void *)from, to - from, MADV_DONTDUMP);
}

int ccs_arena_map(size_t size, void **out, struct ccs_error *err)
{
    void *mem;

    if (size < CCS_ARENA_SIZE_MIN || size > CCS_ARENA_SIZE_MAX)
        return ccs_error_set(err, CCS_EINVAL, "shared memory of %zu octets is too small or too big",
                             size);
    mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return ccs_error_sys(err, CCS_ENOMEM, errno, "no shared memory of %zu octets", size);
    leave_out_of_dumps(mem, size);
    *out = mem;
    return CCS_OK;
}

void ccs_arena_unmap(void *mem, size_t size)
{
    if (mem != NULL)
        (void)munmap(mem, size);
}

static int check_place(const void *mem, size_t size, struct ccs_error *err)
{
    if (mem == NULL || (uintptr_t)mem % CCS_ARENA_ALIGN != 0)
        return ccs_error_set(err, CCS_EINVAL, "shared memory must be aligned to %d octets",
                             CCS_ARENA_ALIGN);
    if (size < CCS_ARENA_SIZE_MIN || size > CCS_ARENA_SIZE_MAX)
        return ccs_error_set(err, CCS_EINVAL, "shared memory of %zu octets is too small or too big",
                             size);
    return CCS_OK;
}

int ccs_arena_format(void *mem, size_t size, struct ccs_arena **out, struct ccs_error *err)
{
    struct ccs_siphash_key key;
    struct ccs_arena *arena = mem;
    int rv;

    rv = check_place(mem, size, err);
    if (rv != CCS_OK)
        return rv;
    if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "no random numbers for shared memory");
    leave_out_of_dumps(mem, size);
    memset(arena, 0, sizeof(*arena));
    arena->abi = abi();
    arena->size = size;
    arena->used = ccs_arena_align(sizeof(*arena));
    arena->key = key;
    *out = arena;
    return CCS_OK;
}

void *ccs_arena_reserve(struct ccs_arena *arena, enum ccs_arena_part part, size_t size)
{
    struct part *p = &arena->parts[part];

    if (size == 0 || size > ccs_arena_left(arena) || p->offset != 0)
        return NULL;
    p->offset = arena->used;
    p->size = size;
    /* The end of the arena need not be aligned. */
    arena->used = ccs_arena_align(arena->used + size);
    if (arena->used > arena->size)
        arena->used = arena->size;
    return (uint8_t *)arena + p->offset;
}

size_t ccs_arena_left(const struct ccs_arena *arena)
{
    return (size_t)(arena->size - arena->used);
}

void ccs_arena_seal(struct ccs_arena *arena)
{
    /* Release: who sees the magic number sees everything that was made ready before. */
    atomic_store_explicit(&arena->magic, MAGIC, memory_order_release);
}

int ccs_arena_attach(void *mem, size_t size, struct ccs_arena **out, struct ccs_error *err)
{
    struct ccs_arena *arena = mem;
    int rv;

    rv = check_place(mem, size, err);
    if (rv != CCS_OK)
        return rv;
    if (atomic_load_explicit(&arena->magic, memory_order_acquire) != MAGIC)
        return ccs_error_set(err, CCS_EINVAL, "the shared memory is not ready for use");
    if (arena->abi != abi())
        return ccs_error_set(err, CCS_EINVAL,
                             "the shared memory belongs to another version of the library");
    if (arena->size != size)
        return ccs_error_set(err, CCS_EINVAL,
                             "the shared memory has %llu octets and is to have %zu",
                             (unsigned long long)arena->size, size);
    for (size_t i = 0; i < CCS_ARENA_PARTS; i++) {
        const struct part *p = &arena->parts[i];

        if (p->offset > size || p->size > size - p->offset || p->offset % CCS_ARENA_ALIGN != 0)
            return ccs_error_set(err, CCS_EINVAL, "the shared memory is damaged");
    }
    leave_out_of_dumps(mem, size);
    *out = arena;
    return CCS_OK;
}

void ccs_arena_break(struct ccs_arena *arena)
{
    atomic_store_explicit(&arena->magic, 0, memory_order_relaxed);
}

void *ccs_arena_part(const struct ccs_arena *arena, enum ccs_arena_part part, size_t *size)
{
    const struct part *p = &arena->parts[part];

    if (p->offset == 0)
        return NULL;
    *size = (size_t)p->size;
    return (void *)((uintptr_t)arena + p->offset);
}

size_t ccs_arena_size(const struct ccs_arena *arena)
{
    return (size_t)arena->size;
}

struct ccs_siphash_key ccs_arena_key(const struct ccs_arena *arena, uint64_t store)
{
    uint64_t in[2] = {store, 0};
    struct ccs_siphash_key key;

    /* The full number of rounds: what comes out is a key, and is made once per store. */
    key.k0 = ccs_siphash_rounds(&arena->key, in, sizeof(in), 2, 4);
    in[1] = 1;
    key.k1 = ccs_siphash_rounds(&arena->key, in, sizeof(in), 2, 4);
    return key;
}
