/* SPDX-License-Identifier: Apache-2.0 */
/* A look-up in a store of a million files against one in a store of a thousand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "instance.h"
#include "many.h"
#include "process.h"
#include "wait.h"

#define VALGRIND "/usr/bin/valgrind"
#define COUNTED  "ccs_bench_look_up" /* what callgrind counts */

static const char about[] =
    "Opens two instances of the library in one process, whose stores differ in nothing but the\n"
    "number of their files, loads the same hosts in both, and asks both for the same names in\n"
    "turn: for hosts that are in memory, and for names that have no file. Processor time of the\n"
    "thread that asks, in batches A B B A; and instructions, counted by callgrind.";

static double small = 1000, large = 1000000, hosts = 1000, batch = 5000, quads = 200, count = 1;

static const struct ccs_bench_option options[] = {
    {"small", &small, "files in the smaller store"},
    {"large", &large, "files in the larger store"},
    {"hosts", &hosts, "how many of them are loaded, and asked for in turn"},
    {"batch", &batch, "look-ups in a row in one store"},
    {"quads", &quads, "A B B A"},
    {"count", &count, "0: no counting of instructions"},
    {NULL, NULL, NULL},
};

#define LIMIT    1.05
#define READY_MS 120000

/* -- an instance --------------------------------------------------------------------------- */

static struct ccs *open_store(uint64_t files, const struct ccs_pki_bytes *pfx)
{
    static const char *const settings[][2] = {{"store", "/bench"},      {"cache_size", "256m"},
                                              {"parsed", "100000"},     {"refresh", "1h"},
                                              {"check_name", "off"},    {"wait", "60s"},
                                              {"max_waiting", "100000"}};
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

static void load_hosts(struct ccs *ccs, uint64_t n)
{
    char name[CCS_MANY_NAME_SIZE];
    struct ccs_answer answer;
    size_t len;

    if (!ccs_wait_until(ready, ccs, READY_MS))
        ccs_bench_fail("the store was not listed in time");
    for (uint64_t i = 0; i < n; i++) {
        len = ccs_many_name(i, name);
        if (ccs_acquire(ccs, name, len, -1, &answer) != CCS_OK)
            ccs_bench_fail("%s cannot be loaded: %s", name, answer.error.text);
        ccs_cred_unref(answer.cred);
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

struct side {
    struct ccs *ccs;
    struct ccs_samples each; /* nanoseconds of a look-up, by batch */
};

static double measure(struct side *side, const struct names *names)
{
    const double before = cpu_ns();
    double each;

    ccs_bench_look_up(side->ccs, names);
    each = (cpu_ns() - before) / (double)names->count;
    ccs_samples_add(&side->each, each);
    return each;
}

/* Ratio of the larger store to the smaller one. */
static double compare(const char *title, struct ccs *of_small, struct ccs *of_large,
                      struct names *names, void (*fill)(struct names *))
{
    struct side a = {.ccs = of_small}, b = {.ccs = of_large};
    struct ccs_samples ratios = {0};
    struct ccs_estimate ratio;

    for (int i = 0; i < (int)quads; i++) {
        double a1, b1, b2, a2;

        fill(names);
        a1 = measure(&a, names);
        b1 = measure(&b, names);
        fill(names);
        b2 = measure(&b, names);
        a2 = measure(&a, names);
        ccs_samples_add(&ratios, b1 / a1);
        ccs_samples_add(&ratios, b2 / a2);
    }
    ratio = ccs_samples_estimate(&ratios, 2);
    printf("%-26s %7.0f ns and %7.0f ns, ratio %.3f, 95 %% of the bootstrap from %.3f to %.3f\n",
           title, ccs_samples_median(&a.each), ccs_samples_median(&b.each), ratio.value, ratio.low,
           ratio.high);
    ccs_samples_clear(&ratios);
    ccs_samples_clear(&a.each);
    ccs_samples_clear(&b.each);
    return ratio.value;
}

/* -- instructions -------------------------------------------------------------------------- */

/* The program that callgrind runs. */
static int look_up(const char *what, uint64_t files, const struct ccs_pki_bytes *pfx)
{
    struct ccs *ccs = open_store(files, pfx);
    struct names *names = names_new((size_t)hosts * 4);

    load_hosts(ccs, (uint64_t)hosts);
    if (strcmp(what, "hosts") == 0)
        name_hosts(names);
    else
        name_strangers(names);
    ccs_bench_look_up(ccs, names);
    free(names);
    ccs_close(ccs);
    return 0;
}

static double total(const char *file)
{
    FILE *in = fopen(file, "re");
    char line[256];
    double sum = 0;

    while (in != NULL && fgets(line, sizeof(line), in) != NULL)
        if (sscanf(line, "totals: %lf", &sum) == 1)
            break;
    if (in != NULL)
        fclose(in);
    unlink(file);
    if (sum <= 0)
        ccs_bench_fail("callgrind has counted nothing");
    return sum;
}

/* Instructions of one look-up. */
static double instructions(const struct ccs_bench *bench, const char *what, double files,
                           const struct ccs_pki_bytes *pfx)
{
    static const char only[] = "--toggle-collect=" COUNTED;
    char out[300], option[340];
    pid_t pid;

    snprintf(out, sizeof(out), "%s/callgrind.out", bench->dir);
    snprintf(option, sizeof(option), "--callgrind-out-file=%s", out);
    (void)pfx;
    (void)files;
    (void)what;
    pid = fork();
    if (pid == 0) {
        execl(VALGRIND, VALGRIND, "-q", "--tool=callgrind", "--collect-atstart=no", only, option,
              (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || ccs_process_wait(pid) != 0)
        ccs_bench_fail("looking up under callgrind did not end well");
    return total(out) / (hosts * 4);
}
