/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two stores in one memory, each with one writer at a time that is killed again and again, at
 * chosen points and at random, while other processes ask. Nothing they are told may ever be wrong.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The rooms with their fault points in; the library's are not linked then. */
#define CCS_FAULT_POINTS
#include "../../lib/index.c"
#include "../../lib/index_scan.c"
#include "../../lib/index_spelling.c"
#include "../../lib/index_table.c"
#include "../../lib/index_writer.c"

#include "wait.h"

#define STORES  2
#define READERS 5
#ifdef __SANITIZE_THREAD__ /* all is slow, and processes have one thread */
#define KILLS   300
#define SCANS   10 /* a listing ends only if its writer lives for so long */
#define LIFE_US 32000u
#else
#define KILLS   800
#define SCANS   50
#define LIFE_US 4000u
#endif
#define FIXED 300  /* names that are always there */
#define CHURN 2000 /* names that come and go */
#define JUNK  300  /* of those that come and go at once, each with a name of its own */
#define SIZE  ((size_t)1024 * 1024)

/* The truth about a name, with the number of changes so far above it. */
enum truth { ABSENT, PRESENT, CHANGING };
#define TRUTH(word) ((enum truth)((word)&3u))

struct stage {
    _Atomic uint32_t truth[STORES][CHURN];
    _Atomic bool stop;
    _Atomic uint64_t asked, unknown, lost, ghosts, torn, spelling_lost;
    _Atomic uint64_t writes, scans, failures, junk;
};

static struct stage *stage;
static struct ccs_index indexes[STORES];
static void *mem;

/* -- dying --------------------------------------------------------------------------------- */

static const char *const points[] = {
    "index insert word",    "index insert hash",  "index word",           "index rebuild begin",
    "index rebuild middle", "index rebuild end",  "index sweep",          "index repair",
    "index spelling",       "index spelling end", "index spelling moved", "index spelling linked",
};

static const char *deadly_point;
static unsigned deadly_after;

void ccs_fault(const char *point)
{
    if (deadly_point != NULL && strcmp(point, deadly_point) == 0 && deadly_after-- == 0)
        kill(getpid(), SIGKILL);
}

/* -- names --------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *r)
{
    *r ^= *r << 13;
    *r ^= *r >> 7;
    *r ^= *r << 17;
    return *r;
}

static const char *const endings_of_kind[] = {".pfx", ".rsa.pfx", ".ecdsa.pfx"};

/* What kinds a name has follows from its number, so that halves of two names would show. */
static unsigned kinds_of(unsigned i)
{
    return i < FIXED ? 1 + i % 7 : 1u << i % 3;
}

static bool is_odd(unsigned i)
{
    return i % 5 == 0;
}

static void stem_of(unsigned i, char *out, size_t size)
{
    snprintf(out, size, "host%u.example", i);
}

static void file_of(unsigned i, unsigned kind, char *out, size_t size)
{
    snprintf(out, size, "%s%u.example%s", is_odd(i) ? "HOST" : "host", i, endings_of_kind[kind]);
}

static uint64_t hash_of_name(struct ccs_index *index, unsigned i)
{
    char stem[64];

    stem_of(i, stem, sizeof(stem));
    return ccs_index_hash(index, stem, strlen(stem));
}

static void set_truth(_Atomic uint32_t *truth, enum truth next)
{
    atomic_store(truth, (atomic_load(truth) | 3u) + 1 + (uint32_t)next);
}

/* -- writers ------------------------------------------------------------------------------- */

static int add_name(struct ccs_index_writer *w, unsigned i)
{
    char file[64];
    int rv = CCS_OK;

    for (unsigned kind = 0; kind < CCS_FILE_KINDS && rv == CCS_OK; kind++) {
        if (kinds_of(i) & 1u << kind) {
            file_of(i, kind, file, sizeof(file));
            rv = ccs_index_scan_add(w, file, strlen(file));
        }
    }
    return rv;
}

static struct ccs_index_judge judge_now(void)
{
    return (struct ccs_index_judge){
        .now_ms = ccs_now_ms(), .apart_ms = 2000, .stale_ms = 1000000, .flush = true};
}

/* A listing of everything, after which some names have come and some have gone. */
static int write_scan(struct ccs_index_writer *w, unsigned store, uint64_t *r)
{
    const struct ccs_index_judge judge = judge_now();
    _Atomic uint32_t *truth = stage->truth[store];
    const unsigned share = (unsigned)(next_random(r) % 8);
    static enum truth next[CHURN];
    int rv;

    for (unsigned i = 0; i < CHURN; i++) {
        next[i] = TRUTH(atomic_load(&truth[i]));
        if (next[i] == CHANGING || next_random(r) % 8 < share) {
            next[i] = next_random(r) % 8 < share ? PRESENT : ABSENT;
            set_truth(&truth[i], CHANGING);
        }
    }
    rv = ccs_index_scan_begin(w, ccs_now_ms());
    for (unsigned i = 0; i < FIXED && rv == CCS_OK; i++)
        rv = add_name(w, i);
    for (unsigned i = 0; i < CHURN && rv == CCS_OK; i++)
        rv = next[i] == PRESENT ? add_name(w, FIXED + i) : CCS_OK;
    if (rv == CCS_OK)
        rv = ccs_index_scan_end(w, &judge, NULL, NULL);
    for (unsigned i = 0; i < CHURN && rv == CCS_OK; i++) {
        if (TRUTH(atomic_load(&truth[i])) == CHANGING)
            set_truth(&truth[i], next[i]);
    }
    atomic_fetch_add(&stage->scans, rv == CCS_OK);
    return rv;
}

static int write_note(struct ccs_index_writer *w, unsigned store, uint64_t *r)
{
    const struct ccs_index_judge judge = judge_now();
    const unsigned i = (unsigned)(next_random(r) % CHURN);
    const unsigned kind = (FIXED + i) % 3;
    _Atomic uint32_t *truth = &stage->truth[store][i];
    enum truth next = ABSENT;
    char file[64];
    int rv;

    file_of(FIXED + i, kind, file, sizeof(file));
    set_truth(truth, CHANGING);
    if (next_random(r) % 2) {
        next = PRESENT;
        rv = ccs_index_note_present(w, file, strlen(file));
    } else {
        rv = ccs_index_note_absent(w, file, strlen(file), judge.now_ms);
        if (rv == CCS_OK)
            rv = ccs_index_note_gone(w, hash_of_name(w->index, FIXED + i), (enum ccs_file_kind)kind,
                                     &judge, NULL);
        if (rv == CCS_ENOTFOUND)
            rv = CCS_OK;
    }
    if (rv == CCS_OK)
        set_truth(truth, next);
    return rv;
}

/* Names that never were and never will be again, so that the table must be rebuilt now and then. */
static int write_junk(struct ccs_index_writer *w)
{
    const struct ccs_index_judge judge = judge_now();
    char file[64];
    char stem[48];
    int rv = CCS_OK;

    for (unsigned i = 0; i < JUNK && rv == CCS_OK; i++) {
        snprintf(stem, sizeof(stem), "junk%llu.example",
                 (unsigned long long)atomic_fetch_add(&stage->junk, 1));
        snprintf(file, sizeof(file), "J%s.pfx", stem + 1);
        rv = ccs_index_note_present(w, file, strlen(file));
        if (rv == CCS_OK)
            rv = ccs_index_note_absent(w, file, strlen(file), judge.now_ms);
        if (rv == CCS_OK)
            rv = ccs_index_note_gone(w, ccs_index_hash(w->index, stem, strlen(stem)), CCS_FILE_ANY,
                                     &judge, NULL);
        if (rv == CCS_ENOTFOUND)
            rv = CCS_OK;
    }
    return rv;
}

static void writer_main(unsigned store, uint64_t token, uint64_t seed)
{
    struct ccs_index *index = &indexes[store];
    struct ccs_index_writer *w;
    struct ccs_index_status status;
    uint64_t r = seed * 2654435761u + 1;
    int rv;

    next_random(&r);
    if (next_random(&r) % 2) {
        deadly_point = points[next_random(&r) % CCS_ARRAY_LEN(points)];
        deadly_after = (unsigned)(next_random(&r) % 3 ? next_random(&r) % 3
                                                      : next_random(&r) % 500);
    }
    if (ccs_index_writer_open(index, token, &w, NULL) != CCS_OK)
        _exit(1);
    for (;;) {
        ccs_index_status(index, &status);
        if (status.state != CCS_INDEX_READY || next_random(&r) % 64 == 0)
            rv = write_scan(w, store, &r);
        else if (next_random(&r) % 16 == 0)
            rv = write_junk(w);
        else
            rv = write_note(w, store, &r);
        /* Only that the other store's writer was killed may be in the way. */
        if (rv != CCS_OK && rv != CCS_EBUSY)
            atomic_fetch_add(&stage->failures, 1);
        atomic_fetch_add(&stage->writes, 1);
    }
}

/* -- readers ------------------------------------------------------------------------------- */

static void check_fixed(struct ccs_index *index, unsigned i)
{
    struct ccs_index_name name;
    const uint64_t hash = hash_of_name(index, i);
    const enum ccs_index_answer answer = ccs_index_lookup(index, hash, &name);

    atomic_fetch_add(&stage->asked, 1);
    if (answer == CCS_INDEX_UNKNOWN)
        atomic_fetch_add(&stage->unknown, 1);
    if (answer == CCS_INDEX_ABSENT)
        atomic_fetch_add(&stage->lost, 1);
    if (answer == CCS_INDEX_PRESENT &&
        (name.kinds != kinds_of(i) || name.odd != is_odd(i) || name.stamp == 0))
        atomic_fetch_add(&stage->torn, 1);
}

static void check_churn(struct ccs_index *index, unsigned store, unsigned i)
{
    const uint32_t before = atomic_load(&stage->truth[store][i]);
    struct ccs_index_name name;
    const uint64_t hash = hash_of_name(index, FIXED + i);
    const enum ccs_index_answer answer = ccs_index_lookup(index, hash, &name);
    const uint32_t after = atomic_load(&stage->truth[store][i]);

    atomic_fetch_add(&stage->asked, 1);
    if (answer == CCS_INDEX_PRESENT &&
        (name.kinds != kinds_of(FIXED + i) || name.odd != is_odd(FIXED + i) || name.stamp == 0))
        atomic_fetch_add(&stage->torn, 1);
    if (before != after)
        return;
    if (TRUTH(before) == PRESENT && answer == CCS_INDEX_ABSENT)
        atomic_fetch_add(&stage->lost, 1);
    if (TRUTH(before) == ABSENT && answer == CCS_INDEX_PRESENT)
        atomic_fetch_add(&stage->ghosts, 1);
}

static void check_spelling(struct ccs_index *index, unsigned i)
{
    struct ccs_index_status first;
    struct ccs_index_status before;
    struct ccs_index_status after;
    char wanted[64];
    char out[CCS_FILE_NAME_SIZE] = "";
    unsigned kind = 0;

    i -= i % 5;
    while ((kinds_of(i) & 1u << kind) == 0)
        kind++;
    file_of(i, kind, wanted, sizeof(wanted));
    ccs_index_status(index, &first);
    ccs_index_status(index, &before); /* its state is newer than the first one's losses */
    if (before.state != CCS_INDEX_READY)
        return;
    (void)ccs_index_spelling(index, hash_of_name(index, i), (enum ccs_file_kind)kind, out, NULL);
    ccs_index_status(index, &after);
    if (strcmp(out, wanted) != 0 && after.lost == first.lost && after.state == CCS_INDEX_READY)
        atomic_fetch_add(&stage->spelling_lost, 1);
}

static void reader_main(uint64_t seed)
{
    uint64_t r = seed * 88172645463325252u + 1;

    while (!atomic_load(&stage->stop)) {
        const unsigned store = (unsigned)(next_random(&r) % STORES);
        struct ccs_index *index = &indexes[store];

        check_fixed(index, (unsigned)(next_random(&r) % FIXED));
        check_churn(index, store, (unsigned)(next_random(&r) % CHURN));
        if (ccs_index_lookup(index, next_random(&r), NULL) == CCS_INDEX_PRESENT)
            atomic_fetch_add(&stage->ghosts, 1);
        if (r % 64 == 0)
            check_spelling(index, (unsigned)(next_random(&r) % FIXED));
    }
    _exit(0);
}

/* -- the test ------------------------------------------------------------------------------ */

static int setup(void **state)
{
    const struct ccs_siphash_key keys[STORES] = {{1, 2}, {3, 4}};

    (void)state;
    mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(mem != MAP_FAILED && (void *)stage != MAP_FAILED);
    assert_int_equal(ccs_index_format(mem, SIZE, NULL), CCS_OK);
    for (unsigned i = 0; i < STORES; i++) {
        assert_int_equal(ccs_index_attach(&indexes[i], mem, SIZE, 100 + i, &keys[i], NULL), CCS_OK);
        for (unsigned j = 0; j < CHURN; j++)
            set_truth(&stage->truth[i][j], CHANGING);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(mem, SIZE);
    munmap(stage, sizeof(*stage));
    return 0;
}

static pid_t start_writer(unsigned store, uint64_t token)
{
    const pid_t pid = fork();

    if (pid == 0)
        writer_main(store, token, token);
    return pid;
}

static int has_died(void *arg)
{
    pid_t *pid = arg;

    if (*pid > 0 && waitpid(*pid, NULL, WNOHANG) == *pid)
        *pid = 0;
    return *pid == 0;
}

static void end_process(pid_t *pid)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

/* The counts that are kept, against what the slots say. */
static void check_counts(void)
{
    const struct ccs_index_head *head = indexes[0].head;
    uint64_t names[CCS_INDEX_STORES_MAX] = {0};
    uint64_t used = 0;

    for (uint64_t i = 0; i < atomic_load(&head->capacity); i++) {
        const struct ccs_index_word w = ccs_index_unpack(atomic_load(&indexes[0].slots[i].word));

        used += atomic_load(&indexes[0].slots[i].hash) != 0;
        names[w.place] += w.kinds != 0;
    }
    assert_int_equal(used, head->used);
    for (unsigned i = 0; i < CCS_INDEX_STORES_MAX; i++)
        assert_int_equal(names[i], atomic_load(&head->places[i].names));
    assert_int_equal(head->names, names[0] + names[1]);
}

/* Whether everything that is to be tried has happened, however slow the machine is. */
static bool has_seen_enough(unsigned died)
{
    struct ccs_index_status status;

    ccs_index_status(&indexes[0], &status);
    return atomic_load(&stage->asked) > 1000 && atomic_load(&stage->scans) > SCANS && died > 30 &&
           status.lost > 10 && status.rebuilds > 50;
}

static void test_killed_writers(void **state)
{
    struct ccs_index_status status;
    struct ccs_index_writer *w;
    pid_t readers[READERS] = {0};
    pid_t writers[STORES] = {0};
    uint64_t token = 1;
    int64_t deadline, patience;
    unsigned killed = 0;
    unsigned died = 0;
    uint64_t r = 4711;

    (void)state;
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (readers[i] == 0)
            reader_main(i + 1);
    }
    deadline = ccs_now_ms() + ccs_wait_scaled(30000);
    patience = ccs_now_ms() + ccs_wait_scaled(240000);
    while ((ccs_now_ms() < deadline && killed + died < KILLS) ||
           (ccs_now_ms() < patience && !has_seen_enough(died))) {
        const unsigned store = (unsigned)(next_random(&r) % STORES);

        for (unsigned i = 0; i < STORES; i++) {
            if (has_died(&writers[i])) {
                died++;
                writers[i] = start_writer(i, token++);
            }
        }
        usleep((useconds_t)(next_random(&r) % (LIFE_US << next_random(&r) % 4)));
        if (!has_died(&writers[store])) {
            end_process(&writers[store]);
            killed++;
            writers[store] = start_writer(store, token++);
        }
    }
    for (unsigned i = 0; i < STORES; i++)
        end_process(&writers[i]);
    atomic_store(&stage->stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        /* A reader that waits for ever would be seen here. */
        if (!ccs_wait_until(has_died, &readers[i], 0)) {
            end_process(&readers[i]);
            fail_msg("a reader hangs");
        }
    }
    ccs_index_status(&indexes[0], &status);
    print_message("%u writers killed, %u more at chosen points: %llu look-ups (%.1f %% unknown), "
                  "%llu writes, %llu listings, %llu rebuilds, lost and listed anew %llu times\n",
                  killed, died, (unsigned long long)stage->asked,
                  100.0 * (double)stage->unknown / (double)stage->asked,
                  (unsigned long long)stage->writes, (unsigned long long)stage->scans,
                  (unsigned long long)status.rebuilds, (unsigned long long)status.lost);
    assert_int_equal(stage->lost, 0);
    assert_int_equal(stage->ghosts, 0);
    assert_int_equal(stage->torn, 0);
    assert_int_equal(stage->spelling_lost, 0);
    assert_int_equal(stage->failures, 0);
    assert_true(has_seen_enough(died));

    /* Whatever is left can be put right, and all counts are true then. */
    for (unsigned i = 0; i < STORES; i++) {
        assert_int_equal(ccs_index_writer_open(&indexes[i], token++, &w, NULL), CCS_OK);
        assert_int_equal(write_scan(w, i, &r), CCS_OK);
        ccs_index_writer_close(w);
    }
    check_counts();
    for (unsigned i = 0; i < STORES; i++) {
        uint64_t odd = 0;
        uint64_t names = FIXED;

        for (unsigned j = 0; j < FIXED; j++) {
            check_fixed(&indexes[i], j);
            odd += is_odd(j) ? (uint64_t)__builtin_popcount(kinds_of(j)) : 0;
        }
        for (unsigned j = 0; j < CHURN; j++) {
            check_churn(&indexes[i], i, j);
            names += TRUTH(atomic_load(&stage->truth[i][j])) == PRESENT;
            odd += TRUTH(atomic_load(&stage->truth[i][j])) == PRESENT && is_odd(FIXED + j);
        }
        ccs_index_status(&indexes[i], &status);
        assert_int_equal(status.state, CCS_INDEX_READY);
        assert_int_equal(status.names, names);
        assert_int_equal(status.missing, 0);
        assert_int_equal(status.odd, odd);
        assert_int_equal(status.odd_left_out, 0);
    }
    assert_int_equal(stage->lost + stage->ghosts + stage->torn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_writers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
