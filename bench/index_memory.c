/* SPDX-License-Identifier: Apache-2.0 */
/* What the index of names takes: while names are added one by one up to a million, and then. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "many.h"

static const char about[] =
    "Lists names into an index one after another, and looks at what they take at each step: the\n"
    "table in use divided by the names in it. What counts is the worst step from 1,000 names on,\n"
    "and at the end the pages of the whole piece of memory that the system has had to provide.";

static double names = 1000000;

static const struct ccs_bench_option options[] = {
    {"names", &names, "how many names"},
    {NULL, NULL, NULL},
};

#define FROM      1000 /* names: below that a page is more than they need */
#define LIMIT     32   /* octets */
#define RESIDENTS 65536

/* Octets of the pages that are there. */
static double resident(const uint8_t *mem, size_t size)
{
    static unsigned char there[RESIDENTS];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = 0;

    for (size_t at = 0; at < size; at += RESIDENTS * page) {
        const size_t len = size - at < RESIDENTS * page ? size - at : RESIDENTS * page;

        if (mincore((void *)(uintptr_t)(mem + at), len, there) != 0)
            ccs_bench_fail("mincore() does not work here");
        for (size_t i = 0; i < (len + page - 1) / page; i++)
            pages += there[i] & 1;
    }
    return (double)(pages * page);
}

/* Octets per name at the worst step. */
static double fill(struct ccs_index *index, uint64_t count)
{
    const struct ccs_index_judge judge = {.now_ms = ccs_now_ms(), .apart_ms = 2000};
    struct ccs_index_writer *writer = NULL;
    struct ccs_index_status status = {0};
    char file[CCS_MANY_NAME_SIZE];
    struct ccs_error err;
    double worst = 0, each;

    if (ccs_index_writer_open(index, 1, &writer, &err) != CCS_OK ||
        ccs_index_scan_begin(writer, ccs_now_ms()) != CCS_OK)
        ccs_bench_fail("the index cannot be written");
    for (uint64_t i = 0; i < count; i++) {
        if (ccs_index_scan_add(writer, file, ccs_many_file(i, file)) != CCS_OK)
            ccs_bench_fail("a name was not added");
        ccs_index_status(index, &status);
        each = status.names >= FROM ? (double)status.octets / (double)status.names : 0;
        if (each > worst)
            worst = each;
    }
    if (ccs_index_scan_end(writer, &judge, NULL, NULL) != CCS_OK)
        ccs_bench_fail("the listing did not end well");
    ccs_index_status(index, &status);
    if (status.state != CCS_INDEX_READY || status.names != count)
        ccs_bench_fail("%llu of %llu names are known", (unsigned long long)status.names,
                       (unsigned long long)count);
    printf("%-44s %6.2f octets per name\n", "the table in use, at the worst number", worst);
    printf("%-44s %6.2f octets per name\n", "the table in use, at the end",
           (double)status.octets / (double)count);
    ccs_index_writer_close(writer);
    return worst;
}

int main(int argc, char **argv)
{
    const struct ccs_siphash_key key = {1, 2};
    struct ccs_index index;
    struct ccs_error err;
    double worst, pages;
    uint64_t count;
    size_t size;
    void *mem;

    (void)ccs_bench_open("index-memory", about, argc, argv, options);
    if (names < FROM || names > CCS_MANY_MAX)
        ccs_bench_fail("--names must be from %d to %d", FROM, CCS_MANY_MAX);
    count = (uint64_t)names;
    size = ccs_index_size_for((size_t)count);
    mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED || ccs_index_format(mem, size, &err) != CCS_OK ||
        ccs_index_attach(&index, mem, size, 1, &key, &err) != CCS_OK)
        ccs_bench_fail("no memory for an index of %zu octets", size);
    worst = fill(&index, count);
    pages = resident(mem, size) / (double)count;
    printf("%-44s %6.2f octets per name\n", "pages in use, with everything beside it", pages);
    printf("%-44s %6.2f octets per name\n", "what has to be set aside, odd names included",
           (double)size / (double)count);
    munmap(mem, size);
    return ccs_bench_budget("index-memory", worst > pages ? worst : pages, LIMIT);
}
