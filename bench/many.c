/* SPDX-License-Identifier: Apache-2.0 */
#include "many.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "secret.h"

#define AGE_NS INT64_C(1000000000000000000) /* any time long ago */

struct many {
    struct ccs_store base;
    uint64_t count;
    const struct ccs_pki_bytes *pfx;
    int watch; /* an fd that is never readable */
};

size_t ccs_many_name(uint64_t number, char out[CCS_MANY_NAME_SIZE])
{
    return (size_t)snprintf(out, CCS_MANY_NAME_SIZE, "h%07llu.bench.example",
                            (unsigned long long)number);
}

size_t ccs_many_file(uint64_t number, char out[CCS_MANY_NAME_SIZE])
{
    return (size_t)snprintf(out, CCS_MANY_NAME_SIZE, "h%07llu.bench.example.pfx",
                            (unsigned long long)number);
}

static int many_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg,
                     struct ccs_error *err)
{
    const struct many *many = (const struct many *)store;
    char file[CCS_MANY_NAME_SIZE];
    size_t len;

    (void)err;
    for (uint64_t i = 0; i < many->count; i++) {
        len = ccs_many_file(i, file);
        if (cb(file, len, arg) != 0)
            break;
    }
    return CCS_OK;
}

/* What a file of this name looks like; zero and CCS_ENOTFOUND if there is none. */
static int look(const struct many *many, const char *file, struct ccs_stamp *out)
{
    char wanted[CCS_MANY_NAME_SIZE];
    const uint64_t number = file[0] == 'h' ? strtoull(file + 1, NULL, 10) : CCS_MANY_MAX;

    memset(out, 0, sizeof(*out));
    (void)ccs_many_file(number, wanted);
    if (number >= many->count || strcmp(file, wanted) != 0)
        return CCS_ENOTFOUND;
    *out = (struct ccs_stamp){
        .size = many->pfx->len, .file_id = number + 1, .mtime_ns = AGE_NS, .ctime_ns = AGE_NS};
    return CCS_OK;
}

static int not_found(struct ccs_error *err)
{
    *err = (struct ccs_error){.code = CCS_ENOTFOUND};
    strcpy(err->text, "there is no such file");
    return CCS_ENOTFOUND;
}

static int many_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                     struct ccs_error *err)
{
    return look((const struct many *)store, file, out) == CCS_OK ? CCS_OK : not_found(err);
}

static int many_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                     struct ccs_stamp *out, struct ccs_error *err)
{
    const struct many *many = (const struct many *)store;

    (void)max;
    if (look(many, file, out) != CCS_OK)
        return not_found(err);
    if (ccs_secret_append(data, many->pfx->data, many->pfx->len) != CCS_OK)
        ccs_bench_fail("no memory");
    return CCS_OK;
}

static int many_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    (void)store;
    (void)err;
    *out = (struct ccs_root){
        .device = 1, .file_id = 1, .fs_type = 1, .mtime_ns = AGE_NS, .notifies = true};
    return CCS_OK;
}

static int many_watch_fd(struct ccs_store *store)
{
    return ((const struct many *)store)->watch;
}

static int many_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    (void)store;
    (void)err;
    return CCS_OK;
}

static void many_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    (void)store;
    (void)cb;
    (void)arg;
}

static void many_close(struct ccs_store *store)
{
    struct many *many = (struct many *)store;

    close(many->watch);
    free(many);
}

struct ccs_store *ccs_many_open(uint64_t count, const struct ccs_pki_bytes *pfx)
{
    static const struct ccs_store_ops ops = {.list = many_list,
                                             .stat = many_stat,
                                             .read = many_read,
                                             .probe = many_probe,
                                             .watch_fd = many_watch_fd,
                                             .watch_start = many_watch_start,
                                             .watch_read = many_watch_read,
                                             .close = many_close};
    struct many *many = calloc(1, sizeof(*many));

    if (many == NULL)
        ccs_bench_fail("no memory");
    many->base.ops = &ops;
    many->count = count;
    many->pfx = pfx;
    many->watch = eventfd(0, EFD_CLOEXEC);
    if (many->watch < 0)
        ccs_bench_fail("no eventfd");
    return &many->base;
}
