/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up names, by the ten thousand: they cost no look at the store, no memory, and nobody's
 * certificate. */
#include "farm.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "figures.h"
#include "flood.h"
#include "process.h"

#define WORKERS  8
#define HOSTS    20
#define PARALLEL 32

/*
 * Memory grows with the most connections that a worker has ever had at a time, in steps that have
 * nothing to do with names. What is kept of each name shows in every round.
 */
#define ROUNDS          8
#define OCTETS_PER_NAME 32

/* Of the store that does not fit. */
#define NAMES      20000
#define PROBE_RATE 20
#define FOUND      100

struct known {
    struct ccs_farm *farm;
    char fingerprints[HOSTS][65];
    unsigned asked, wrong;
};

static unsigned flood_size(void)
{
    return ccs_nginx_sanitized() ? 10000 : 100000;
}

static void run(struct ccs_farm *farm, const char *http)
{
    struct ccs_nginx_spec spec = {.http = http, .workers = WORKERS, .slow = 1};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
}

static void host_name(char name[32], int i)
{
    snprintf(name, 32, "h%d.test", i);
}

static void put_hosts(struct known *known)
{
    char name[32], file[40];

    for (int i = 0; i < HOSTS; i++) {
        host_name(name, i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(known->farm, file, name, known->fingerprints[i]);
    }
}

/* All of them so often that every worker is likely to have every one. */
static void warm_up(struct known *known)
{
    char name[32];

    for (int i = 0; i < HOSTS * WORKERS; i++) {
        host_name(name, i % HOSTS);
        ccs_farm_wait_served(known->farm, name, known->fingerprints[i % HOSTS]);
    }
}

/* Asks for one of them, from memory. Fails no test, because the flood must be waited for. */
static void ask_known(struct known *known, unsigned number)
{
    struct ccs_tls_spec spec;
    struct ccs_tls_result r;
    char name[32];

    host_name(name, (int)(number % HOSTS));
    spec = ccs_farm_ask(known->farm, name);
    (void)ccs_tls_client_once(&spec, &r, NULL);
    known->asked++;
    if (!r.ok || strcmp(r.fingerprint, known->fingerprints[number % HOSTS]) != 0 ||
        (strncmp(r.body, "HIT ", 4) != 0 && strncmp(r.body, "SHARED ", 7) != 0)) {
        known->wrong++;
        print_error("%s: end %d, alert %d, \"%s\" %s\n", name, r.end, r.alert, r.body, r.error);
    }
}

struct flooder {
    struct ccs_flood *flood;
    pthread_mutex_t lock;
    int over;
};

static void *flooder_main(void *arg)
{
    struct flooder *f = arg;
    int rv = ccs_flood_run(f->flood);

    pthread_mutex_lock(&f->lock);
    f->over = rv == 0 ? 1 : -1;
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static int is_over(struct flooder *f)
{
    int over;

    pthread_mutex_lock(&f->lock);
    over = f->over;
    pthread_mutex_unlock(&f->lock);
    return over;
}

/* A flood, and known names all the time. */
static void flood(struct known *known, struct ccs_flood *flood)
{
    struct flooder f = {.flood = flood, .lock = PTHREAD_MUTEX_INITIALIZER};
    unsigned before = known->asked;
    pthread_t thread;

    flood->port = known->farm->nginx.port[0];
    flood->parallel = PARALLEL;
    flood->seed = (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
    assert_int_equal(pthread_create(&thread, NULL, flooder_main, &f), 0);
    while (!is_over(&f)) {
        ask_known(known, known->asked);
        ccs_wait_pass(5);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(f.over, 1);
    print_message("%u names under %s in %.1f s: %u refused, %u served, %u unavailable, %u other; "
                  "%u known ones asked for meanwhile\n",
                  flood->count, flood->domain, flood->ms / 1000, flood->refused, flood->served,
                  flood->unavailable, flood->other, known->asked - before);
    assert_int_equal(known->wrong, 0);
    assert_int_equal(flood->other, 0);
    assert_true(known->asked > before);
}

/* KiB of one kind of memory, shared equally by those who share it. */
static long kib_of(const char *text, const char *kind)
{
    const char *at = text != NULL ? strstr(text, kind) : NULL;

    assert_non_null(at);
    return strtol(at + strlen(kind), NULL, 10);
}

/* Of all workers together; what is mapped from files depends on who else runs the same program. */
static long workers_kib(const struct ccs_farm *farm)
{
    pid_t pids[CCS_NGINX_WORKERS];
    size_t n = ccs_nginx_workers(&farm->nginx, 0, pids);
    long sum = 0;

    assert_int_equal(n, WORKERS);
    for (size_t i = 0; i < n; i++) {
        char dir[32], *text;

        snprintf(dir, sizeof(dir), "/proc/%d", (int)pids[i]);
        text = ccs_tmp_read(dir, "smaps_rollup", NULL);
        sum += kib_of(text, "\nPss_Anon:") + kib_of(text, "\nPss_Shmem:");
        free(text);
    }
    return sum;
}

struct figures {
    unsigned long reads, decodes, probes, evictions, entries, failures, used;
    size_t opened;
    long kib;
};

static struct figures measure(const struct ccs_farm *farm)
{
    char text[CCS_FIGURES_SIZE];
    struct figures f;

    ccs_figures_read(farm, text);
    f.reads = ccs_figures_number(text, "loads", "store_reads");
    f.decodes = ccs_figures_number(text, "loads", "decodes");
    f.probes = ccs_figures_number(text, "loads", "probes");
    f.evictions = ccs_figures_number(text, "memory", "evictions");
    f.entries = ccs_figures_number(text, "memory", "entries");
    f.failures = ccs_figures_number(text, "memory", "failures");
    f.used = ccs_figures_number(text, "memory", "used");
    f.opened = ccs_nginx_opened(&farm->nginx, "");
    f.kib = workers_kib(farm);
    return f;
}

static void print_figures(const char *title, const struct figures *f)
{
    print_message(
        "%s: %lu reads, %zu openings, %lu probes, %lu decodes, %lu entries, %lu failures, "
        "%lu octets, %lu evictions, %ld KiB in all workers\n",
        title, f->reads, f->opened, f->probes, f->decodes, f->entries, f->failures, f->used,
        f->evictions, f->kib);
}

struct openings {
    const struct ccs_farm *farm;
    size_t first, last;
};

static int grew_and_rests(void *arg)
{
    struct openings *o = arg;
    const size_t now = ccs_nginx_opened(&o->farm->nginx, "");
    const int rests = now > o->first && now == o->last;

    o->last = now;
    return rests;
}

/*
 * A second after the store has come to be watched, the files in use are looked at once. That is no
 * flood's doing: it is waited for, unless it is over already.
 */
static void wait_looked(const struct ccs_farm *farm)
{
    const size_t now = ccs_nginx_opened(&farm->nginx, "");
    struct openings o = {farm, now, now};

    (void)ccs_wait_until(grew_and_rests, &o, ccs_wait_scaled(3000));
}

/* Fewer lines in the log: connections that fail are not what is looked for here. */
#define HTTP                                                                                       \
    CCS_FARM_TLS CCS_FARM_STORE "error_log @DIR@/http.log error; ccs_cache_size 4m;\n"             \
                                "ccs_refresh 1h;\n" CCS_FARM_SERVER CCS_FIGURES_SERVER

static void made_up_names_cost_nothing(void **state)
{
    struct ccs_farm *farm = *state;
    struct known known = {.farm = farm};
    struct ccs_pki_spec spec = {.names = "*.wild.test"};
    struct ccs_pki_leaf wild;
    struct ccs_flood plain = {.domain = "flood.test"}, under = {.domain = "wild.test"};
    struct figures before, after;
    long least_kib = LONG_MAX;

    ccs_pki_issue(farm->ca, &spec, &wild);
    ccs_farm_put_leaves(farm, "_.wild.test.pfx", &wild, 1, NULL);
    put_hosts(&known);
    run(farm, HTTP);
    ccs_figures_wait_index(farm, "ready");
    warm_up(&known);
    ccs_farm_wait_served(farm, "any.wild.test", wild.fingerprint);
    ccs_farm_wait_refused(farm, "any.flood.test");
    wait_looked(farm);
    before = measure(farm);
    print_figures("before", &before);
    assert_int_equal(before.reads, HOSTS + 1);
    assert_int_equal(before.entries, HOSTS + 1);
    under.leaf = wild.cert;
    plain.count = flood_size() / ROUNDS / 5 * 4;
    under.count = flood_size() / ROUNDS / 5;
    for (int i = 0; i < ROUNDS; i++) {
        long kib = workers_kib(farm);

        flood(&known, &plain);
        assert_int_equal(plain.refused, plain.count);
        flood(&known, &under);
        assert_int_equal(under.served, under.count);
        kib = workers_kib(farm) - kib;
        print_message("%ld KiB more\n", kib);
        least_kib = kib < least_kib ? kib : least_kib;
    }
    after = measure(farm);
    print_figures("after the floods", &after);
    assert_int_equal(after.reads, before.reads);
    assert_int_equal(after.opened, before.opened);
    assert_int_equal(after.probes, before.probes);
    assert_int_equal(after.decodes, before.decodes);
    assert_int_equal(after.entries, before.entries);
    assert_int_equal(after.failures, before.failures);
    assert_int_equal(after.used, before.used);
    assert_int_equal(after.evictions, 0);
    /* The sanitizer keeps back what was freed. */
    if (!ccs_nginx_sanitized())
        assert_true(least_kib * 1024 <= (long)(plain.count + under.count) * OCTETS_PER_NAME);
    ccs_pki_leaf_clear(&wild);
}

static void put_names(struct ccs_farm *farm)
{
    char from[300], to[300], file[40];

    /* One file under all these names: its certificate covers them. */
    ccs_farm_put(farm, "n0.big.test.pfx", "*.big.test", NULL);
    ccs_tmp_join(from, sizeof(from), farm->store, "n0.big.test.pfx");
    for (int i = 1; i < NAMES; i++) {
        snprintf(file, sizeof(file), "n%d.big.test.pfx", i);
        ccs_tmp_join(to, sizeof(to), farm->store, file);
        assert_int_equal(link(from, to), 0);
    }
}

#define HTTP_SMALL                                                                                 \
    CCS_FARM_TLS CCS_FARM_STORE "error_log @DIR@/http.log error; ccs_cache_size 1m;\n"             \
                                "ccs_refresh 1h; ccs_probe_rate 20/s; ccs_wait 1s;\n"              \
                                "ccs_negative 1ms;\n" CCS_FARM_SERVER CCS_FIGURES_SERVER

static void too_many_names_are_looked_for_slowly(void **state)
{
    struct ccs_farm *farm = *state;
    struct known known = {.farm = farm};
    struct ccs_flood made_up = {.domain = "flood.test", .count = 400};
    struct figures before, after;
    double start, seconds;
    char name[40];

    put_hosts(&known);
    put_names(farm);
    run(farm, HTTP_SMALL);
    ccs_figures_wait_index(farm, "full");
    ccs_farm_wait_log(farm, "do not fit into the shared memory");
    warm_up(&known);
    wait_looked(farm);

    start = ccs_wait_clock();
    before = measure(farm);
    flood(&known, &made_up);
    after = measure(farm);
    seconds = (ccs_wait_clock() - start) / 1000;
    print_figures("before", &before);
    print_figures("after", &after);
    print_message("%.1f probes a second\n", (double)(after.probes - before.probes) / seconds);
    assert_int_equal(made_up.refused + made_up.unavailable, made_up.count);
    assert_true(made_up.refused > 0);
    assert_true((double)(after.probes - before.probes) <= PROBE_RATE * (seconds + 1));
    /* A look opens each kind of file of a stem, and reads none. */
    assert_true(after.opened - before.opened <= 3 * (after.probes - before.probes));
    assert_int_equal(after.reads, before.reads);
    assert_int_equal(after.evictions, before.evictions);

    start = ccs_wait_clock();
    /* Whoever is there is found, in whatever order and however often. */
    for (int i = 0; i < NAMES; i += NAMES / FOUND) {
        snprintf(name, sizeof(name), "n%d.big.test", i);
        ccs_farm_wait_served(farm, name, NULL);
    }
    before = after;
    after = measure(farm);
    assert_int_equal(after.reads, before.reads + FOUND);
    /* Those who have left cost nothing any more. */
    assert_true(after.probes - before.probes <= FOUND + 2 * PROBE_RATE);
    print_message("%d names that are there in %.1f s\n", FOUND, (ccs_wait_clock() - start) / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(made_up_names_cost_nothing),
        CCS_FARM_TEST(too_many_names_are_looked_for_slowly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
