/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers are killed at random while clients are served, files are renewed and new ones come: not
 * one client may get another host's certificate, none may wait for ever, and the others go on with
 * what they share. The environment variable CCS_TEST_KILLS says how often, CCS_TEST_SEED repeats a
 * run as far as that can be.
 */
#include "farm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"
#include "process.h"

#define WORKERS  4
#define PARALLEL 24
#define NAMES    60
#define AT_FIRST 50 /* of them; the others come later */
#define VERSIONS 100
#define WILD     0 /* this one is a wildcard */

#define KILLS           150
#define KILLS_SANITIZED 60
#define PAUSE_MIN_MS    20
#define PAUSE_MAX_MS    180
#define CHANGE_EVERY    2 /* kills */

/* How long who dies may still take connections. */
#define DYING_MS 2000

struct name {
    size_t versions; /* 0: not there yet */
    char prints[VERSIONS][65];
};

struct slot {
    struct ccs_tls_client *client;
    struct ccs_tls_spec spec;
    char sni[64];
    size_t name; /* NAMES: one that is not there */
    int was_there;
    double since;
};

struct storm {
    struct ccs_farm *farm;
    unsigned seed;
    struct name names[NAMES];
    struct slot slots[PARALLEL];
    double last_kill;
    size_t kills, changes;
    /* What became of the clients. */
    size_t served, refused, broken, unavailable, wrong, hung;
    double longest_ms;
};

/* nginx's own session cache does not outlive such deaths. So few are kept parsed that most come
 * from the memory that all share. */
#define HTTP                                                                                       \
    "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off;\n" CCS_FARM_STORE                       \
    "ccs_cache_size 4m; ccs_refresh 1h; ccs_wait 20s; ccs_parsed 16;\n" CCS_FARM_SERVER            \
        CCS_FIGURES_SERVER

static unsigned chance(struct storm *s, unsigned n)
{
    return (unsigned)rand_r(&s->seed) % n;
}

static void file_of(size_t name, char file[64])
{
    snprintf(file, 64, name == WILD ? "_.k%zu.test.pfx" : "k%zu.test.pfx", name);
}

static void put_name(struct storm *s, size_t name)
{
    struct name *n = &s->names[name];
    char file[64], host[64];

    if (n->versions == VERSIONS)
        return;
    file_of(name, file);
    snprintf(host, sizeof(host), name == WILD ? "*.k%zu.test" : "k%zu.test", name);
    ccs_farm_put(s->farm, file, host, n->prints[n->versions]);
    n->versions++;
}

static const char *newest(const struct storm *s, size_t name)
{
    return s->names[name].prints[s->names[name].versions - 1];
}

/* -- clients ------------------------------------------------------------------------------- */

static void choose_sni(struct storm *s, size_t name, char sni[64])
{
    if (name == NAMES)
        snprintf(sni, 64, "no%u.test", chance(s, 1000000));
    else if (name == WILD)
        snprintf(sni, 64, "w%u.k%zu.test", chance(s, 1000), name);
    else
        snprintf(sni, 64, "k%zu.test", name);
}

static void open_slot(struct storm *s, struct slot *slot)
{
    slot->name = chance(s, 10) == 0 ? NAMES : chance(s, NAMES);
    slot->was_there = slot->name < NAMES && s->names[slot->name].versions > 0;
    choose_sni(s, slot->name, slot->sni);
    slot->spec = ccs_farm_ask(s->farm, slot->sni);
    if (chance(s, 2) == 0)
        slot->spec.path = NULL;
    if (chance(s, 3) == 0)
        slot->spec.max_version = TLS1_2_VERSION;
    slot->since = ccs_wait_clock();
    slot->client = ccs_tls_client_start(&slot->spec);
}

/* Whether the name has or had this certificate. */
static int is_its_own(const struct storm *s, size_t name, const char *print)
{
    for (size_t i = 0; name < NAMES && i < s->names[name].versions; i++) {
        if (strcmp(s->names[name].prints[i], print) == 0)
            return 1;
    }
    return 0;
}

static void complain(const struct slot *slot, const struct ccs_tls_result *r, const char *what)
{
    print_error("%s: %s: end %d, alert %d, leaf %.8s, verify %ld, \"%s\" %s after %.0f ms\n",
                slot->sni, what, r->end, r->alert, r->fingerprint, r->verify, r->body, r->error,
                ccs_wait_clock() - slot->since);
}

static void judge(struct storm *s, const struct slot *slot)
{
    const struct ccs_tls_result *r = ccs_tls_client_result(slot->client);
    const double ms = ccs_wait_clock() - slot->since;
    /* New files are found when somebody looks after the store, which may take its time here. */
    const int may_be_refused = slot->name == NAMES || slot->name >= AT_FIRST;

    if (ms > s->longest_ms)
        s->longest_ms = ms;
    if (r->fingerprint[0] != '\0' && !is_its_own(s, slot->name, r->fingerprint)) {
        s->wrong++;
        complain(slot, r, "another certificate");
    } else if (r->end == CCS_TLS_TIMEOUT) {
        s->hung++;
        complain(slot, r, "no answer");
    } else if (r->end == CCS_TLS_DONE && r->ok) {
        s->served++;
    } else if (r->end == CCS_TLS_ALERT && r->alert == CCS_ALERT_UNRECOGNIZED_NAME &&
               may_be_refused) {
        s->refused++;
    } else if (r->end != CCS_TLS_ALERT && r->end != CCS_TLS_DONE &&
               s->last_kill > slot->since - DYING_MS) {
        s->broken++;
    } else if (r->end == CCS_TLS_ALERT && r->alert == CCS_ALERT_INTERNAL_ERROR) {
        s->unavailable++;
        complain(slot, r, "unavailable");
    } else {
        s->wrong++;
        complain(slot, r, "not served as it should be");
    }
}

/* One step of each; returns how many have ended. */
static size_t step_all(struct storm *s, int reopen)
{
    size_t ended = 0, open = 0;

    for (size_t i = 0; i < PARALLEL; i++) {
        struct slot *slot = &s->slots[i];

        if (slot->client == NULL) {
            if (!reopen)
                continue;
            open_slot(s, slot);
        }
        open++;
        if (ccs_wait_clock() - slot->since > ccs_wait_scaled(2 * CCS_WAIT_DEFAULT))
            ccs_tls_client_give_up(slot->client);
        if (ccs_tls_client_step(slot->client) == CCS_TLS_RUNNING)
            continue;
        judge(s, slot);
        ccs_tls_client_free(slot->client);
        slot->client = NULL;
        ended++;
    }
    if (ended == 0 && open > 0)
        ccs_wait_pass(1);
    return open;
}

/* -- death --------------------------------------------------------------------------------- */

/* Any child of the master's: one that has only just begun as well. */
static void kill_one(struct storm *s)
{
    pid_t pids[CCS_NGINX_WORKERS];
    size_t n = ccs_process_children(s->farm->nginx.pid, NULL, pids, CCS_NGINX_WORKERS);

    if (n == 0)
        return;
    if (kill(pids[chance(s, (unsigned)n)], SIGKILL) == 0)
        s->kills++;
    s->last_kill = ccs_wait_clock();
}

static void change_one(struct storm *s)
{
    const size_t late = AT_FIRST + s->changes;
    size_t name = chance(s, AT_FIRST);

    if (late < NAMES && s->changes % 2 == 0)
        name = late;
    put_name(s, name);
    s->changes++;
}

static int workers_are_back(void *arg)
{
    struct ccs_farm *farm = arg;
    pid_t pids[CCS_NGINX_WORKERS];

    return ccs_nginx_workers(&farm->nginx, 0, pids) == WORKERS;
}

static void storm(struct storm *s, size_t kills, int changing)
{
    const size_t until = s->kills + kills;
    double next = ccs_wait_clock();
    size_t changed_at = s->kills;

    while (s->kills < until) {
        if (ccs_wait_clock() >= next) {
            kill_one(s);
            next = ccs_wait_clock() + PAUSE_MIN_MS + chance(s, PAUSE_MAX_MS - PAUSE_MIN_MS);
        }
        if (changing && s->kills >= changed_at + CHANGE_EVERY) {
            change_one(s);
            changed_at = s->kills;
        }
        step_all(s, 1);
    }
    while (step_all(s, 0) > 0)
        ;
    print_message("%zu kills, %zu changes: %zu served, %zu refused, %zu broken, %zu unavailable, "
                  "%zu wrong, %zu hung; the longest took %.0f ms\n",
                  s->kills, s->changes, s->served, s->refused, s->broken, s->unavailable, s->wrong,
                  s->hung, s->longest_ms);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(s->hung, 0);
    assert_int_equal(s->unavailable, 0);
    assert_true(s->served > 0);
    assert_true(ccs_wait_until(workers_are_back, s->farm, 0));
}

/* -- before and after ---------------------------------------------------------------------- */

static void serve_all(struct storm *s, int times)
{
    for (size_t i = 0; i < (size_t)times * NAMES; i++) {
        char sni[64];

        if (s->names[i % NAMES].versions == 0)
            continue;
        choose_sni(s, i % NAMES, sni);
        ccs_farm_wait_served(s->farm, sni, newest(s, i % NAMES));
    }
}

/* The log has their deaths, and nothing else that is as bad. */
static void check_log(struct ccs_farm *farm)
{
    static const char *const expected[] = {"exited on signal 9", "sendmsg() failed", "kill("};
    char *log = ccs_tmp_read(farm->nginx.dir, "error.log", NULL), *rest = NULL;
    size_t bad = 0;

    assert_non_null(log);
    for (char *line = strtok_r(log, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        int known = 0;

        if (strstr(line, "[alert]") == NULL && strstr(line, "exited on signal") == NULL &&
            strstr(line, "[emerg]") == NULL && strstr(line, "[crit]") == NULL)
            continue;
        for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
            known = known || strstr(line, expected[i]) != NULL;
        if (!known) {
            print_error("%s\n", line);
            bad++;
        }
    }
    free(log);
    assert_int_equal(bad, 0);
    /* The teardown would take the deaths for crashes. */
    ccs_tmp_print(farm->nginx.dir, "error.log", "");
}

/* What the dead were loading counts as being loaded until somebody asks for it, or its time is up.
 */
static int nothing_is_under_way(void *arg)
{
    char now[CCS_FIGURES_SIZE];

    ccs_figures_read(arg, now);
    return ccs_figures_number(now, "memory", "loading") == 0 &&
           ccs_figures_number(now, "requests", "waiting") == 0;
}

static void check_memory(struct storm *s, const char *before)
{
    char now[CCS_FIGURES_SIZE];
    unsigned long there = 0;

    for (size_t i = 0; i < NAMES; i++)
        there += s->names[i].versions > 0;
    assert_true(ccs_wait_until(nothing_is_under_way, s->farm, 0));
    ccs_figures_read(s->farm, now);
    print_message("%lu reads of %lu names and %zu changes, %lu recoveries, %lu entries lost, %lu "
                  "listings lost\n",
                  ccs_figures_number(now, "loads", "store_reads"), there, s->changes,
                  ccs_figures_number(now, "memory", "recoveries"),
                  ccs_figures_number(now, "memory", "lost"),
                  ccs_figures_number(now, "index", "lost"));
    assert_int_equal(ccs_figures_number(now, "memory", "entries"), there);
    assert_int_equal(ccs_figures_number(now, "memory", "evictions"), 0);
    assert_int_equal(ccs_figures_number(now, "memory", "room"),
                     ccs_figures_number(before, "memory", "room"));
    assert_int_equal(ccs_figures_number(now, "index", "names"), there);
}

static size_t kills_wanted(void)
{
    const char *text = getenv("CCS_TEST_KILLS");

    return text != NULL ? strtoul(text, NULL, 10) : ccs_nginx_sanitized() ? KILLS_SANITIZED : KILLS;
}

static void killed_at_random(void **state)
{
    const char *seed = getenv("CCS_TEST_SEED");
    struct ccs_nginx_spec spec = {.http = HTTP, .workers = WORKERS};
    struct storm *s = calloc(1, sizeof(*s));
    char before[CCS_FIGURES_SIZE], now[CCS_FIGURES_SIZE];
    unsigned long reads;

    assert_non_null(s);
    s->farm = *state;
    s->seed = seed != NULL ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL);
    print_message("CCS_TEST_SEED=%u\n", s->seed);
    for (size_t i = 0; i < AT_FIRST; i++)
        put_name(s, i);
    ccs_nginx_run(&s->farm->nginx, s->farm->tmp.path, &spec);
    ccs_figures_wait_index(s->farm, "ready");
    serve_all(s, 1);
    ccs_figures_read(s->farm, before);
    assert_int_equal(ccs_figures_number(before, "loads", "store_reads"), AT_FIRST);

    /* With nothing new in the store nothing is read again, whoever dies. */
    storm(s, kills_wanted() / 2, 0);
    serve_all(s, WORKERS);
    ccs_figures_read(s->farm, now);
    assert_int_equal(ccs_figures_number(now, "loads", "store_reads"), AT_FIRST);
    assert_int_equal(ccs_figures_number(now, "loads", "decodes"), AT_FIRST);

    /* What changes is read once, or once more if its reader dies. */
    storm(s, kills_wanted() - kills_wanted() / 2, 1);
    serve_all(s, 1);
    ccs_figures_wait_index(s->farm, "ready");
    reads = ccs_figures_get(s->farm, "loads", "store_reads");
    assert_true(reads <= AT_FIRST + s->changes + s->kills / 2);
    serve_all(s, WORKERS);
    assert_int_equal(ccs_figures_get(s->farm, "loads", "store_reads"), reads);
    check_memory(s, before);
    check_log(s->farm);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(killed_at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
