/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that get, put, remove, fail and claim at random, each with an L1 of its own, while they
 * are killed and replaced: at any moment from outside, and inside critical sections by themselves.
 * Nobody may ever be served what belongs to another name (foreign), what was never published as a
 * whole (torn), or a version older than the last one whose publication had ended (stale).
 * CCS_STRESS_SECONDS sets for how long; see also the summary.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "vault_rooms.h"
#include "wait.h"

#define SIZE       ((size_t)1024 * 1024) /* holds about half of it all */
#define WORKERS    8
#define NAMES      700
#define STORES     2
#define STEM_SIZE  256
#define BLOB_MAX   6000
#define CLAIM_MS   30
#define HANG_MS    60000
#define MEND_KINDS 3

/* What all workers share beside the arena. */
static struct shared {
    _Atomic uint64_t source[STORES][NAMES]; /* version of the "file" */
    _Atomic uint64_t truth[STORES][NAMES];  /* newest version whose publication has ended */
    _Atomic uint64_t foreign, torn, stale, odd;
    _Atomic uint64_t l1_hits, l2_hits, same, puts, loads, takeovers, canceled, removes, failures,
        waits, busy, counted, leases;
    _Atomic int64_t longest_ms;
    _Atomic bool stop;
    _Atomic uint32_t beats[WORKERS];
    char what[200]; /* went wrong first, more or less */
} * shared;

/* One of so many fault points is a process's last; 0: none is. */
#define DEATH_RATE 5000
static unsigned death_rate;
static uint64_t death_dice;

void ccs_fault(const char *point)
{
    (void)point;
    if (death_rate == 0)
        return;
    death_dice = death_dice * 6364136223846793005u + 1442695040888963407u;
    if ((death_dice >> 33) % death_rate == 0)
        raise(SIGKILL);
}

static struct ccs_layout layout;
static char stems[NAMES][STEM_SIZE];

struct cached {
    bool valid;
    uint64_t generation, version, seq;
    uint32_t slot;
};

struct worker {
    int number;
    uint64_t random;
    struct ccs_counters_slot *counters;
    uint64_t incarnation;
    struct ccs_vault_entry entry;
    struct cached l1[STORES][NAMES];
};

static uint64_t roll(struct worker *w, uint64_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}

static void wrong(_Atomic uint64_t *which, const char *what, uint64_t a, uint64_t b)
{
    if (atomic_fetch_add(which, 1) == 0)
        snprintf(shared->what, sizeof(shared->what), "%s: %llu, %llu", what, (unsigned long long)a,
                 (unsigned long long)b);
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void raise_to(_Atomic uint64_t *at, uint64_t value)
{
    uint64_t seen = atomic_load(at);

    while (seen < value && !atomic_compare_exchange_weak(at, &seen, value))
        ;
}

static void make_stems(void)
{
    for (size_t i = 0; i < NAMES; i++) {
        /* Some as long as they come: they end where a block does. */
        size_t pad = i % 10 == 0 ? 253 - 20 : i % 30;
        int n = snprintf(stems[i], sizeof(stems[i]), "n%zu.", i);

        memset(stems[i] + n, 'a', pad);
        snprintf(stems[i] + n + pad, sizeof(stems[i]) - (size_t)n - pad, ".example");
    }
}

static struct ccs_vault_key key_of(unsigned store, unsigned name)
{
    struct ccs_siphash_key k = ccs_arena_key(layout.arena, store);
    size_t len = strlen(stems[name]);

    return (struct ccs_vault_key){store, ccs_siphash(&k, stems[name], len), stems[name], len};
}

/* Octets that tell what they are from beginning to end. */
static size_t make_blob(unsigned store, unsigned name, uint64_t seq, uint8_t *out)
{
    size_t len = 24 + (seq * 977 + name * 131) % (seq % 50 == 0 ? BLOB_MAX - 24 : 2500);
    const uint64_t head[3] = {store, name, seq};

    memcpy(out, head, sizeof(head));
    for (size_t i = sizeof(head); i < len; i++)
        out[i] = (uint8_t)(seq * 7 + i * 13 + name);
    return len;
}

/* The version in what was got, after a look at all of it; 0 if it is not what it should be. */
static uint64_t check_blob(const struct ccs_vault_entry *e, unsigned store, unsigned name)
{
    uint8_t expected[BLOB_MAX + 24];
    uint64_t head[3];
    size_t len;

    if (e->data.len < sizeof(head)) {
        wrong(&shared->torn, "too short", e->data.len, name);
        return 0;
    }
    memcpy(head, e->data.data, sizeof(head));
    if (head[0] != store || head[1] != name) {
        wrong(&shared->foreign, "foreign", head[1], name);
        return 0;
    }
    len = make_blob(store, name, head[2], expected);
    if (len != e->data.len || memcmp(expected, e->data.data, len) != 0) {
        wrong(&shared->torn, "torn", len, e->data.len);
        return 0;
    }
    return head[2];
}

/* What the store has becomes what the vault has; the claim is ours. */
static void publish(struct worker *w, unsigned store, unsigned name, const struct ccs_claim *claim)
{
    uint8_t blob[BLOB_MAX + 24];
    struct ccs_vault_key key = key_of(store, name);
    struct ccs_vault_published out;
    uint64_t seq = atomic_fetch_add(&shared->source[store][name], 1) + 1;
    struct ccs_vault_item item = {.data = blob, .head_len = 24, .loaded_for = seq};
    bool done = roll(w, 2) == 0;
    int rv;

    item.len = make_blob(store, name, seq, blob);
    memcpy(item.content, &seq, sizeof(seq));
    if (roll(w, 1000) == 0) {
        struct timespec ts = {.tv_nsec = (long)roll(w, 2 * CLAIM_MS) * 1000000};

        nanosleep(&ts, NULL); /* a slow one, which may find its claim taken over */
    }
    rv = ccs_vault_put(&layout.vault, &key, claim, done, &item, CCS_LOCK_WAIT, &out);
    if (rv == CCS_OK) {
        raise_to(&shared->truth[store][name], seq);
        w->l1[store][name] = (struct cached){true, out.generation, out.version, seq, out.slot};
        count(&shared->puts);
    } else if (rv == CCS_ECANCELED) {
        count(&shared->canceled);
    } else {
        wrong(&shared->odd, "put", (uint64_t)-rv, name);
    }
    if (!done || rv != CCS_OK)
        (void)ccs_vault_release(&layout.vault, claim, CCS_LOCK_WAIT);
}

static void load(struct worker *w, unsigned store, unsigned name)
{
    struct ccs_vault_key key = key_of(store, name);
    uint32_t seen = ccs_vault_ended(&layout.vault);
    int64_t now = ccs_now_ms(), waited;
    struct ccs_claim claim;
    int rv;

    rv = ccs_vault_claim(&layout.vault, &key, now + CLAIM_MS, CCS_LOCK_WAIT, &claim, NULL);
    if (rv == CCS_OK) {
        count(&shared->loads);
        publish(w, store, name, &claim);
        return;
    }
    if (rv != CCS_PENDING) {
        if (rv != CCS_EBUSY)
            wrong(&shared->odd, "claim", (uint64_t)-rv, name);
        return;
    }
    count(&shared->waits);
    (void)ccs_vault_wait(&layout.vault, seen, 10);
    waited = ccs_now_ms() - now;
    if (waited > atomic_load(&shared->longest_ms))
        atomic_store(&shared->longest_ms, waited);
}

static void serve(struct worker *w, unsigned store, unsigned name)
{
    struct ccs_vault_key key = key_of(store, name);
    struct cached *l1 = &w->l1[store][name];
    /* What is true before we look must be seen by our look. */
    uint64_t truth = atomic_load(&shared->truth[store][name]);
    enum ccs_lock_mode mode = roll(w, 2) == 0 ? CCS_LOCK_TRY : CCS_LOCK_WAIT;
    int rv;

    if (l1->valid && ccs_vault_generation(&layout.vault, key.hash) == l1->generation) {
        count(&shared->l1_hits);
        ccs_vault_touch(&layout.vault, l1->slot);
        if (l1->seq < truth)
            wrong(&shared->stale, "stale in L1", l1->seq, truth);
        return;
    }
    rv = ccs_vault_get(&layout.vault, &key, l1->valid ? l1->version : 0, mode, &w->entry);
    if (rv == CCS_EBUSY) {
        count(&shared->busy);
        return;
    }
    if (rv == CCS_ENOTFOUND) {
        l1->valid = false;
        load(w, store, name);
        return;
    }
    if (rv != CCS_OK) {
        wrong(&shared->odd, "get", (uint64_t)-rv, name);
        return;
    }
    if (w->entry.same) {
        count(&shared->same);
    } else {
        count(&shared->l2_hits);
        l1->seq = check_blob(&w->entry, store, name);
    }
    l1->valid = true;
    l1->generation = w->entry.generation;
    l1->version = w->entry.version;
    l1->slot = w->entry.slot;
    if (l1->seq != w->entry.loaded_for)
        wrong(&shared->torn, "version of another", l1->seq, w->entry.loaded_for);
    if (l1->seq < truth)
        wrong(&shared->stale, "stale in L2", l1->seq, truth);
}

/* The file is gone. With the claim, so that no slow loader publishes what was there before. */
static void take_away(struct worker *w, unsigned store, unsigned name)
{
    struct ccs_vault_key key = key_of(store, name);
    struct ccs_claim claim;
    uint64_t seq;
    int rv;

    (void)w;
    if (ccs_vault_claim(&layout.vault, &key, ccs_now_ms() + CLAIM_MS, CCS_LOCK_WAIT, &claim,
                        NULL) != CCS_OK)
        return;
    seq = atomic_fetch_add(&shared->source[store][name], 1) + 1;
    rv = ccs_vault_remove(&layout.vault, &key, 0, CCS_LOCK_WAIT);
    if (rv != CCS_OK)
        wrong(&shared->odd, "remove", (uint64_t)-rv, name);
    /* Whoever took the claim over from one so slow may publish what was there before. */
    if (ccs_vault_extend(&layout.vault, &claim, ccs_now_ms() + CLAIM_MS, CCS_LOCK_WAIT) == CCS_OK)
        raise_to(&shared->truth[store][name], seq);
    (void)ccs_vault_release(&layout.vault, &claim, CCS_LOCK_WAIT);
    count(&shared->removes);
}

static void fail_name(struct worker *w, unsigned store, unsigned name)
{
    struct ccs_vault_key key = key_of(store, name);
    uint64_t mend = roll(w, MEND_KINDS);
    struct ccs_vault_failure f = {.until_ms = ccs_now_ms() + 100};
    struct ccs_claim claim;
    char text[400];

    snprintf(text, sizeof(text), "%u %u %llu %0*d", store, name, (unsigned long long)mend,
             (int)(name % 300), 1);
    if (ccs_vault_get_failure(&layout.vault, &key, mend, CCS_LOCK_TRY, &f) == CCS_OK &&
        (strcmp(f.error.text, text) != 0 || f.stamp.size != name || f.stamp.file_id != mend))
        wrong(&shared->torn, "failure", name, mend);
    f.stamp = (struct ccs_stamp){.size = name, .file_id = mend};
    ccs_error_set(&f.error, CCS_EPASSWORD, "%s", text);
    if (ccs_vault_claim(&layout.vault, &key, ccs_now_ms() + CLAIM_MS, CCS_LOCK_WAIT, &claim,
                        NULL) != CCS_OK)
        return;
    if (ccs_vault_put_failure(&layout.vault, &key, mend, &claim, true, &f, CCS_LOCK_WAIT) == CCS_OK)
        count(&shared->failures);
    else
        (void)ccs_vault_release(&layout.vault, &claim, CCS_LOCK_WAIT);
}

static int visit(const struct ccs_vault_visit *v, void *arg)
{
    uint64_t head[3];
    const unsigned *store = arg;

    if (v->head_len != sizeof(head)) {
        wrong(&shared->torn, "head", v->head_len, 0);
        return 1;
    }
    memcpy(head, v->head, sizeof(head));
    if (head[0] != *store || head[1] >= NAMES || strcmp(stems[head[1]], v->stem) != 0 ||
        head[2] != v->loaded_for)
        wrong(&shared->torn, "visit", head[1], head[2]);
    return 0;
}

static void lease(struct worker *w)
{
    struct ccs_lease l;

    (void)w;
    if (ccs_lease_take(layout.leases, 1, 1, ccs_now_ms(), &l) != CCS_OK)
        return;
    count(&shared->leases);
    if (!ccs_lease_check(layout.leases, &l))
        wrong(&shared->odd, "a lease was taken from a living one", l.token, 0);
    ccs_lease_give(layout.leases, &l);
}

static void step(struct worker *w)
{
    /* Names are popular in different degrees. */
    unsigned store = (unsigned)roll(w, STORES);
    unsigned name = (unsigned)roll(w, roll(w, 2) == 0 ? NAMES / 20 : NAMES);
    uint64_t what = roll(w, 1000);
    struct ccs_vault_key key = key_of(store, name);

    count(&shared->counted);
    ccs_counters_add(w->counters, 0, 1);
    if (what < 800) {
        serve(w, store, name);
    } else if (what < 900) {
        load(w, store, name);
    } else if (what < 930) {
        take_away(w, store, name);
    } else if (what < 970) {
        fail_name(w, store, name);
    } else if (what < 990) {
        ccs_vault_arrived(&layout.vault, key.hash);
        (void)ccs_vault_expire_failure(&layout.vault, &key, CCS_LOCK_TRY);
    } else if (what < 994) {
        lease(w);
    } else if (what < 996) {
        (void)ccs_vault_enumerate(&layout.vault, store, visit, &store);
    } else if (what < 998) {
        (void)ccs_vault_failure_count(&layout.vault, store, ccs_now_ms());
    } else {
        /* A claim that nobody ends. */
        struct ccs_claim claim;

        if (ccs_vault_claim(&layout.vault, &key, ccs_now_ms() + CLAIM_MS, CCS_LOCK_WAIT, &claim,
                            NULL) == CCS_OK)
            count(&shared->takeovers);
    }
}

static void *work(void *arg)
{
    int number = *(int *)arg;
    struct worker *w = calloc(1, sizeof(*w));
    struct timespec ts;

    if (w == NULL)
        abort();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    w->number = number;
    w->random = (uint64_t)ts.tv_nsec * 2654435761u + (uint64_t)getpid() * 97 + (uint64_t)number + 1;
    w->counters = ccs_counters_join(layout.counters, &w->incarnation);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        step(w);
        atomic_fetch_add_explicit(&shared->beats[number], 1, memory_order_relaxed);
    }
    ccs_counters_leave(layout.counters, w->counters, w->incarnation);
    ccs_vault_entry_free(&w->entry);
    free(w);
    return NULL;
}

/* -- setting and summing up ---------------------------------------------------------------- */

static void *memory;

static int begin(void **state)
{
    struct ccs_error err;

    (void)state;
    make_stems();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || ccs_arena_map(SIZE, &memory, &err) != CCS_OK ||
           ccs_layout_format(memory, SIZE, 0, &layout, &err) != CCS_OK;
}

static int end(void **state)
{
    (void)state;
    ccs_layout_wipe(&layout);
    ccs_arena_unmap(memory, SIZE);
    munmap(shared, sizeof(*shared));
    return 0;
}

static unsigned seconds(unsigned fallback)
{
    const char *text = getenv("CCS_STRESS_SECONDS");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : 0;

    return n > 0 && n < 100000 ? (unsigned)n : fallback;
}

static void sum_up(uint64_t kills)
{
    struct ccs_counters_sum sum;
    struct ccs_vault_stats stats;
    struct ccs_error err = {0};
    uint64_t counted = atomic_load(&shared->counted);

    if (ccs_vault_verify(&layout.vault, &err) != CCS_OK)
        fail_msg("%s", err.text);
    ccs_vault_stats_get(&layout.vault, &stats);
    ccs_counters_read(layout.counters, &sum);
    print_message("steps %llu, kills %llu, recoveries %llu, entries dropped %llu, evictions %llu\n",
                  (unsigned long long)counted, (unsigned long long)kills,
                  (unsigned long long)stats.recoveries, (unsigned long long)stats.dropped,
                  (unsigned long long)stats.evictions);
    print_message("L1 %llu, L2 %llu, same %llu, busy %llu, loads %llu, published %llu, taken over "
                  "from %llu, waits %llu (longest %lld ms), removed %llu, failures %llu, leases "
                  "%llu\n",
                  (unsigned long long)shared->l1_hits, (unsigned long long)shared->l2_hits,
                  (unsigned long long)shared->same, (unsigned long long)shared->busy,
                  (unsigned long long)shared->loads, (unsigned long long)shared->puts,
                  (unsigned long long)shared->canceled, (unsigned long long)shared->waits,
                  (long long)shared->longest_ms, (unsigned long long)shared->removes,
                  (unsigned long long)shared->failures, (unsigned long long)shared->leases);
    print_message("foreign %llu, torn %llu, stale %llu, odd %llu %s\n",
                  (unsigned long long)shared->foreign, (unsigned long long)shared->torn,
                  (unsigned long long)shared->stale, (unsigned long long)shared->odd, shared->what);
    assert_int_equal(shared->foreign, 0);
    assert_int_equal(shared->torn, 0);
    assert_int_equal(shared->stale, 0);
    assert_int_equal(shared->odd, 0);
    assert_true(shared->l1_hits > 0 && shared->l2_hits > 0 && shared->puts > 0);
    /* A process counts for us first and for itself then; a kill may come between the two. */
    assert_true(sum.own[0] <= counted && sum.own[0] + kills >= counted);
}

static pid_t start(int number)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        /* A failed assertion leaves nobody behind. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() == 1)
            _exit(1);
        death_rate = DEATH_RATE;
        death_dice = (uint64_t)getpid() * 2654435761u;
        work(&number);
        _exit(0);
    }
    return pid;
}

static void nap(long us)
{
    struct timespec ts = {.tv_nsec = us * 1000};

    nanosleep(&ts, NULL);
}

/* Begins another one for each that has died; returns how many. Whoever ended had to be killed. */
static uint64_t replace_dead(pid_t *pids)
{
    uint64_t dead = 0;

    for (int i = 0; i < WORKERS; i++) {
        int status;

        if (waitpid(pids[i], &status, WNOHANG) != pids[i])
            continue;
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pids[i] = start(i);
        dead++;
    }
    return dead;
}

/* Waits until a worker has taken some steps more; false if it does not. */
static bool gets_on(int number, pid_t *pids, uint64_t *kills)
{
    uint32_t before = atomic_load(&shared->beats[number]);
    int64_t limit = ccs_now_ms() + HANG_MS;

    while (atomic_load(&shared->beats[number]) - before < 20) {
        if (ccs_now_ms() > limit)
            return false;
        *kills += replace_dead(pids);
        nap(1000);
    }
    return true;
}

/* Waits for a child that is to end, or to die, by itself. */
static bool ends(pid_t pid, uint64_t *kills)
{
    int status;

    for (int ms = 0; ms < HANG_MS; ms++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            *kills += WIFSIGNALED(status);
            return WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0;
        }
        nap(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return false;
}

/* Everything that is to be tried was tried, however slow the machine is. */
static int has_worked(void *arg)
{
    (void)arg;
    return atomic_load(&shared->l1_hits) > 0 && atomic_load(&shared->l2_hits) > 0 &&
           atomic_load(&shared->puts) > 0;
}

static void processes(void **state)
{
    int64_t until = ccs_now_ms() + seconds(5) * 1000;
    pid_t pids[WORKERS];
    uint64_t kills = 0, hung = 0;

    (void)state;
    for (int i = 0; i < WORKERS; i++)
        pids[i] = start(i);
    srand((unsigned)getpid());
    while (ccs_now_ms() < until || (!has_worked(NULL) && ccs_now_ms() < until + HANG_MS)) {
        nap(200 + rand() % 5000);
        kill(pids[rand() % WORKERS], SIGKILL);
        kills += replace_dead(pids);
    }
    /* Whatever the dead left behind, everybody gets on. */
    for (int i = 0; i < WORKERS; i++)
        hung += !gets_on(i, pids, &kills);
    atomic_store(&shared->stop, true);
    for (int i = 0; i < WORKERS; i++)
        hung += !ends(pids[i], &kills);
    assert_int_equal(hung, 0);
    sum_up(kills);
}

static void threads(void **state)
{
    struct timespec ts = {.tv_sec = seconds(2)};
    pthread_t ids[WORKERS];
    int numbers[WORKERS];

    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&ids[i], NULL, work, &numbers[i]), 0);
    }
    nanosleep(&ts, NULL);
    (void)ccs_wait_until(has_worked, NULL, 0);
    atomic_store(&shared->stop, true);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    sum_up(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(processes, begin, end),
        cmocka_unit_test_setup_teardown(threads, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
