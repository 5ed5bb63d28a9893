/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tmp.h"

#define AGE_S      3600
#define SHARED_MAX 4096

static void give_up(const char *dir, const char *file)
{
    fprintf(stderr, "%s/%s: %s\n", dir, file, strerror(errno));
    exit(1);
}

static struct ccs_pki_bytes make(const struct ccs_bench_store *store, const struct ccs_pki_ca *ca,
                                 const char *covered)
{
    const struct ccs_pki_pfx how = {.password = "",
                                    .iterations = store->rounds > 0 ? store->rounds : 1};
    const struct ccs_pki_spec spec = {.names = covered};
    struct ccs_pki_bytes bytes;
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, &how);
    ccs_pki_leaf_clear(&leaf);
    return bytes;
}

static void put(const struct ccs_bench_store *store, int dirfd, const char *file,
                const struct ccs_pki_bytes *bytes)
{
    struct timespec past[2] = {{.tv_sec = time(NULL) - AGE_S}, {.tv_sec = time(NULL) - AGE_S}};

    ccs_tmp_write(store->dir, file, bytes->data, bytes->len);
    if (utimensat(dirfd, file, past, 0) != 0)
        give_up(store->dir, file);
}

/* The files that are shared: their octets, and the name of the newest copy of each on disk. */
struct shared {
    struct ccs_pki_bytes bytes;
    char file[CCS_NAMES_SIZE + 4];
};

/* A file system allows so and so many links to one file; then the next copy is linked to. */
static void put_shared(const struct ccs_bench_store *store, int dirfd, const char *file,
                       struct shared *shared)
{
    if (shared->file[0] != '\0' && linkat(dirfd, shared->file, dirfd, file, 0) == 0)
        return;
    if (shared->file[0] != '\0' && errno != EMLINK && errno != EPERM && errno != ENOTSUP)
        give_up(store->dir, file);
    put(store, dirfd, file, &shared->bytes);
    strcpy(shared->file, file);
}

void ccs_bench_store_fill(const struct ccs_bench_store *store, const struct ccs_pki_ca *ca)
{
    size_t distinct = store->distinct < SHARED_MAX ? (size_t)store->distinct : SHARED_MAX;
    char name[CCS_NAMES_SIZE], file[CCS_NAMES_SIZE + 4];
    struct shared *shared = NULL;
    int dirfd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dirfd < 0)
        give_up(store->dir, "");
    if (distinct > 0) {
        shared = calloc(distinct, sizeof(*shared));
        if (shared == NULL)
            give_up(store->dir, "");
    }
    for (size_t i = 0; i < distinct; i++)
        shared[i].bytes = make(store, ca, store->covering);
    for (uint64_t i = 0; i < store->names->count; i++) {
        snprintf(file, sizeof(file), "%s.pfx", ccs_names_get(store->names, i, name));
        if (shared != NULL) {
            put_shared(store, dirfd, file, &shared[i % distinct]);
        } else {
            struct ccs_pki_bytes bytes = make(store, ca, name);

            put(store, dirfd, file, &bytes);
            ccs_pki_bytes_clear(&bytes);
        }
    }
    for (size_t i = 0; i < distinct; i++)
        ccs_pki_bytes_clear(&shared[i].bytes);
    free(shared);
    close(dirfd);
}
