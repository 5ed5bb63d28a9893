/* SPDX-License-Identifier: Apache-2.0 */
/* A look-up in a store of a million files against one in a store of a thousand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "callgrind.h"
#include "instance.h"
#include "many.h"
#include "wait.h"

static const char about[] =
    "Opens two instances of the library in one process, whose stores differ in nothing but the\n"
    "number of their files, loads the same hosts in both, and asks both for the same names in\n"
    "turn: for hosts that are in memory, and for names that have no file. Processor time of the\n"
    "thread that asks, in batches A B B A; and instructions, counted by callgrind.";

static double small = 1000, large = 1000000, hosts = 1000, batch = 5000, quads = 60, blocks = 8;
static double count = 1;

static const struct ccs_bench_option options[] = {
    {"small", &small, "files in the smaller store"},
    {"large", &large, "files in the larger store"},
    {"hosts", &hosts, "how many of them are loaded, and asked for in turn"},
    {"batch", &batch, "look-ups in a row in one store"},
    {"quads", &quads, "A B B A per block"},
    {"blocks", &blocks, "how often both are opened anew"},
    {"count", &count, "0: no counting of instructions"},
    {NULL, NULL, NULL},
};

#define LIMIT       1.05
#define COUNTED_MAX 100
#define READY_MS    540000 /* under callgrind, on a busy machine */
#define ROUNDS      10     /* at most, until all hosts are in memory */

/* -- an instance --------------------------------------------------------------------------- */

static struct ccs *open_store(uint64_t files, const struct ccs_pki_bytes *pfx)
{
    static const char *const settings[][2] = {
        {"store", "/bench"},   {"cache_size", "256m"}, {"parsed", "100000"},     {"refresh", "1h"},
        {"check_name", "off"}, {"wait", "60s"},        {"max_waiting", "100000"}};
    struct ccs_config *cfg = ccs_config_new();
    struct ccs *ccs = NULL;
    struct ccs_error err;

    for (size_t i = 0; i < CCS_ARRAY_LEN(settings); i++) {
        if (cfg == NULL || ccs_config_set(cfg, settings[i][0], settings[i][1], &err) != CCS_OK)
            ccs_bench_fail("no configuration");
    }
    if (ccs_open_with(cfg, ccs_many_open(files, pfx), &ccs, &err) != CCS_OK)
        ccs_bench_fail("no instance: %s", err.text);
    ccs_config_free(cfg);
    return ccs;
}

/* The listing is done, and nothing speaks against it. */
static int ready(void *arg)
{
    static const char stranger[] = "ready.flood.example";
    struct ccs_answer answer;

    return ccs_lookup(arg, stranger, sizeof(stranger) - 1, &answer) == CCS_ENOTFOUND;
}

/* Loads one, if memory does not have it; returns whether it had. */
static int load_host(struct ccs *ccs, uint64_t number)
{
    char name[CCS_MANY_NAME_SIZE];
    const size_t len = ccs_many_name(number, name);
    struct ccs_answer answer;
    const int known = ccs_lookup(ccs, name, len, &answer) == CCS_OK;

    if (!known && ccs_acquire(ccs, name, len, -1, &answer) != CCS_OK)
        ccs_bench_fail("%s cannot be loaded: %s", name, answer.error.text);
    ccs_cred_unref(answer.cred);
    return known;
}

static void load_hosts(struct ccs *ccs, uint64_t n)
{
    uint64_t known = 0;

    if (!ccs_wait_until(ready, ccs, READY_MS))
        ccs_bench_fail("the store was not listed in time");
    /* A host that is loaded makes the process look again at what it has of a few others. */
    for (int round = 0; round < ROUNDS && known < n; round++) {
        known = 0;
        for (uint64_t i = 0; i < n; i++)
            known += (uint64_t)load_host(ccs, i);
    }
}

/* -- what is measured ---------------------------------------------------------------------- */

struct names {
    size_t count;
    int expected; /* what a look-up says */
    struct {
        char text[CCS_MANY_NAME_SIZE];
        size_t len;
    } name[];
};

static struct names *names_new(size_t n)
{
    struct names *names = calloc(1, sizeof(*names) + n * sizeof(names->name[0]));

    if (names == NULL)
        ccs_bench_fail("no memory");
    names->count = n;
    return names;
}

/* Hosts in an order that is none. */
static void name_hosts(struct names *names)
{
    const uint64_t n = (uint64_t)hosts;

    names->expected = CCS_OK;
    for (size_t i = 0; i < names->count; i++)
        names->name[i].len = ccs_many_name(i * 7919 % n, names->name[i].text);
}

/* Names that nobody has, never the same twice. */
static void name_strangers(struct names *names)
{
    static unsigned long long next;

    names->expected = CCS_ENOTFOUND;
    for (size_t i = 0; i < names->count; i++)
        names->name[i].len = (size_t)snprintf(names->name[i].text, sizeof(names->name[i].text),
                                              "u%07llu.flood.example", next++);
}

/* Has a name of its own in the program, for callgrind. */
void ccs_bench_look_up(struct ccs *ccs, const struct names *names);

__attribute__((noinline)) void ccs_bench_look_up(struct ccs *ccs, const struct names *names)
{
    struct ccs_answer answer;

    for (size_t i = 0; i < names->count; i++) {
        if (ccs_lookup(ccs, names->name[i].text, names->name[i].len, &answer) != names->expected)
            ccs_bench_fail("%s is not known as it should be", names->name[i].text);
        if (answer.code == CCS_OK)
            ccs_cred_unref(answer.cred);
    }
}

/* -- processor time ------------------------------------------------------------------------ */

static double cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* What is asked for, and how long that took. */
struct question {
    const char *title;
    void (*fill)(struct names *);
    struct ccs_samples small_ns, large_ns; /* of a look-up, by batch */
    struct ccs_samples ratios;
};

static double measure(struct ccs *ccs, const struct names *names, struct ccs_samples *all)
{
    const double before = cpu_ns();
    double each;

    ccs_bench_look_up(ccs, names);
    each = (cpu_ns() - before) / (double)names->count;
    ccs_samples_add(all, each);
    return each;
}

static void ask(struct question *q, struct ccs *of_small, struct ccs *of_large, struct names *names)
{
    for (int i = 0; i < (int)quads; i++) {
        double a1, b1, b2, a2;

        q->fill(names);
        a1 = measure(of_small, names, &q->small_ns);
        b1 = measure(of_large, names, &q->large_ns);
        q->fill(names);
        b2 = measure(of_large, names, &q->large_ns);
        a2 = measure(of_small, names, &q->small_ns);
        ccs_samples_add(&q->ratios, b1 / a1);
        ccs_samples_add(&q->ratios, b2 / a2);
    }
}

/* Both stores are opened anew, so that where their objects came to lie in memory counts once. */
static void block(int number, const struct ccs_pki_bytes *pfx, struct names *names,
                  struct question *questions, size_t question_count)
{
    struct ccs *of_small = NULL, *of_large = NULL;

    for (int turn = 0; turn < 2; turn++) {
        const int is_large = (turn + number) % 2;
        struct ccs **ccs = is_large ? &of_large : &of_small;

        *ccs = open_store((uint64_t)(is_large ? large : small), pfx);
        load_hosts(*ccs, (uint64_t)hosts);
    }
    for (size_t i = 0; i < question_count; i++)
        ask(&questions[i], of_small, of_large, names);
    ccs_close(of_small);
    ccs_close(of_large);
}

/* Prints and clears it; the ratio of the larger store to the smaller one. */
static double answer(struct question *q)
{
    const struct ccs_estimate ratio = ccs_samples_estimate(&q->ratios, 2 * (size_t)quads);

    printf("%-20s %5.0f and %5.0f ns, ratio %.3f, 95 %% of the bootstrap from %.3f to %.3f\n",
           q->title, ccs_samples_median(&q->small_ns), ccs_samples_median(&q->large_ns),
           ratio.value, ratio.low, ratio.high);
    ccs_samples_clear(&q->small_ns);
    ccs_samples_clear(&q->large_ns);
    ccs_samples_clear(&q->ratios);
    return ratio.value;
}

/* -- instructions -------------------------------------------------------------------------- */

static struct ccs_pki_bytes make_pfx(const struct ccs_pki_ca *ca)
{
    const struct ccs_pki_spec spec = {.names = CCS_BENCH_COVER};
    const struct ccs_pki_pfx how = {.password = "", .iterations = 1};
    struct ccs_pki_bytes pfx;
    struct ccs_pki_leaf leaf;

    ccs_pki_issue(ca, &spec, &leaf);
    pfx = ccs_pki_pfx_make(&leaf, 1, &how);
    ccs_pki_leaf_clear(&leaf);
    return pfx;
}

/* The program that callgrind runs. */
static int look_up(const char *what, const char *files, const char *in_memory)
{
    struct ccs_pki_ca *ca = ccs_pki_ca_new();
    struct ccs_pki_bytes pfx = make_pfx(ca);
    struct ccs *ccs = open_store(strtoull(files, NULL, 10), &pfx);
    struct names *names;

    hosts = strtod(in_memory, NULL);
    names = names_new((size_t)hosts);
    load_hosts(ccs, (uint64_t)hosts);
    if (strcmp(what, "hosts") == 0)
        name_hosts(names);
    else
        name_strangers(names);
    ccs_bench_look_up(ccs, names);
    free(names);
    ccs_close(ccs);
    ccs_pki_bytes_clear(&pfx);
    ccs_pki_ca_free(ca);
    return 0;
}

/* Loading them is what takes callgrind long, and each costs the same. */
static double counted_hosts(void)
{
    return hosts < COUNTED_MAX ? hosts : COUNTED_MAX;
}

/* Instructions of one look-up. */
static double instructions(const struct ccs_bench *bench, const char *what, double files)
{
    char files_text[24], hosts_text[24];
    const char *const args[] = {"look-up", what, files_text, hosts_text, NULL};

    snprintf(files_text, sizeof(files_text), "%.0f", files);
    snprintf(hosts_text, sizeof(hosts_text), "%.0f", counted_hosts());
    return ccs_callgrind_self(bench, "ccs_bench_look_up", args) / counted_hosts();
}

static double compare_instructions(const struct ccs_bench *bench, const char *title,
                                   const char *what)
{
    const double a = instructions(bench, what, small), b = instructions(bench, what, large);

    printf("%-20s %5.0f and %5.0f instructions, ratio %.3f\n", title, a, b, b / a);
    return b / a;
}

int main(int argc, char **argv)
{
    struct question questions[] = {{.title = "hosts in memory", .fill = name_hosts},
                                   {.title = "names without a file", .fill = name_strangers}};
    struct ccs_bench *bench;
    struct ccs_pki_bytes pfx;
    struct names *names;
    double time, counted = 0;

    if (argc == 5 && strcmp(argv[1], "look-up") == 0)
        return look_up(argv[2], argv[3], argv[4]);
    bench = ccs_bench_open("lookup-1m", about, argc, argv, options);
    if (hosts < 1 || batch < 1 || quads < 1 || blocks < 1 || small < hosts || large < small ||
        large > CCS_MANY_MAX)
        ccs_bench_fail("--large may be %d, and not less than --small, nor that than --hosts",
                       CCS_MANY_MAX);
    pfx = make_pfx(bench->ca);
    names = names_new((size_t)batch);
    for (int i = 0; i < (int)blocks; i++)
        block(i, &pfx, names, questions, CCS_ARRAY_LEN(questions));
    free(names);
    ccs_pki_bytes_clear(&pfx);
    printf("%.0f and %.0f files:\n", small, large);
    time = answer(&questions[0]);
    (void)answer(&questions[1]);
    if (count > 0) {
        counted = compare_instructions(bench, questions[0].title, "hosts");
        (void)compare_instructions(bench, questions[1].title, "strangers");
    }
    return ccs_bench_budget("lookup-1m", time > counted ? time : counted, LIMIT);
}
