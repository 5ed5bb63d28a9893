/* SPDX-License-Identifier: Apache-2.0 */
/* Instances and the index of names that they share, over a store of any number of files. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "credential.h"
#include "error.h"
#include "instance.h"
#include "pki.h"
#include "wait.h"

#define DEADLINE   30000
#define INSTANCES  3
#define INDEX_PART 8 /* one in so many octets of shared memory is for names */

/* -- a store ------------------------------------------------------------------------------- */

/*
 * Files n000000.example.pfx and so on, all with the same contents. It cannot be watched, and many
 * instances may use it.
 */
struct store {
    struct ccs_store base;
    _Atomic uint32_t count;
    _Atomic uint32_t without; /* the number of a file that is not there */
    _Atomic int64_t mtime_ns; /* of the folder */
    _Atomic int version;      /* of the contents: 0 or 1 */
    _Atomic int error;        /* of all calls */
    _Atomic int list_error;
    _Atomic unsigned lists, stats, reads, misses; /* reads are of files that are there */

    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool closed; /* listings wait */
    unsigned waiting;

    struct ccs_pki_bytes bytes[2];
    char fingerprint[2][65];
};

static struct store *store_of(struct ccs_store *base)
{
    return (struct store *)(void *)base; /* base is the first member */
}

static int fail_with(int code, struct ccs_error *err)
{
    return code == CCS_OK ? CCS_OK : ccs_error_set(err, code, "the store was told to fail");
}

static int store_list(struct ccs_store *base, ccs_store_name_cb cb, void *arg,
                      struct ccs_error *err)
{
    struct store *s = store_of(base);
    uint32_t count, without;
    char name[40];
    int rv;

    atomic_fetch_add(&s->lists, 1);
    pthread_mutex_lock(&s->lock);
    s->waiting++;
    while (s->closed)
        pthread_cond_wait(&s->moved, &s->lock);
    s->waiting--;
    pthread_mutex_unlock(&s->lock);
    rv = fail_with(atomic_load(&s->error), err);
    if (rv == CCS_OK)
        rv = fail_with(atomic_load(&s->list_error), err);
    count = atomic_load(&s->count);
    without = atomic_load(&s->without);
    for (uint32_t i = 0; i < count && rv == CCS_OK; i++) {
        snprintf(name, sizeof(name), "n%06u.example.pfx", i);
        if (i != without && cb(name, strlen(name), arg) != 0)
            break;
    }
    return rv;
}

static bool has_file(struct store *s, const char *file)
{
    char again[40];
    unsigned number;

    if (sscanf(file, "n%6u.", &number) != 1)
        return false;
    snprintf(again, sizeof(again), "n%06u.example.pfx", number);
    return strcmp(again, file) == 0 && number < atomic_load(&s->count) &&
           number != atomic_load(&s->without);
}

static int look_at(struct store *s, const char *file, struct ccs_stamp *out, struct ccs_error *err)
{
    int rv = fail_with(atomic_load(&s->error), err);

    if (rv == CCS_OK && !has_file(s, file))
        rv = ccs_error_set(err, CCS_ENOTFOUND, "no such file in the store");
    if (rv == CCS_OK)
        *out = (struct ccs_stamp){.size = 1, .mtime_ns = 2 + atomic_load(&s->version)};
    return rv;
}

static int store_stat(struct ccs_store *base, const char *file, struct ccs_stamp *out,
                      struct ccs_error *err)
{
    atomic_fetch_add(&store_of(base)->stats, 1);
    return look_at(store_of(base), file, out, err);
}

static int store_read(struct ccs_store *base, const char *file, size_t max, struct ccs_secret *data,
                      struct ccs_stamp *out, struct ccs_error *err)
{
    struct store *s = store_of(base);
    const struct ccs_pki_bytes *bytes;
    int rv;

    (void)max;
    memset(out, 0, sizeof(*out));
    rv = look_at(s, file, out, err);
    atomic_fetch_add(rv == CCS_OK ? &s->reads : &s->misses, 1);
    bytes = &s->bytes[rv == CCS_OK ? out->mtime_ns - 2 : 0];
    return rv == CCS_OK ? ccs_secret_append(data, bytes->data, bytes->len) : rv;
}

static int store_probe(struct ccs_store *base, struct ccs_root *out, struct ccs_error *err)
{
    struct store *s = store_of(base);
    int rv;

    rv = fail_with(atomic_load(&s->error), err);
    if (rv == CCS_OK)
        *out = (struct ccs_root){1, 2, 3, atomic_load(&s->mtime_ns), false};
    return rv;
}

static int store_watch_fd(struct ccs_store *base)
{
    (void)base;
    return -1;
}

static int store_watch_start(struct ccs_store *base, struct ccs_error *err)
{
    (void)base;
    return ccs_error_set(err, CCS_EINVAL, "it cannot be watched");
}

static void store_watch_read(struct ccs_store *base, ccs_store_event_cb cb, void *arg)
{
    (void)base;
    (void)cb;
    (void)arg;
}

static void store_close(struct ccs_store *base)
{
    (void)base;
}

static const struct ccs_store_ops store_ops = {
    .list = store_list,
    .stat = store_stat,
    .read = store_read,
    .probe = store_probe,
    .watch_fd = store_watch_fd,
    .watch_start = store_watch_start,
    .watch_read = store_watch_read,
    .close = store_close,
};

static void close_gate(struct store *s, bool closed)
{
    pthread_mutex_lock(&s->lock);
    s->closed = closed;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
}

static int list_waits(void *arg)
{
    struct store *s = arg;
    bool waits;

    pthread_mutex_lock(&s->lock);
    waits = s->closed && s->waiting > 0;
    pthread_mutex_unlock(&s->lock);
    return waits;
}

static void add_file(struct store *s)
{
    atomic_fetch_add(&s->count, 1);
    atomic_fetch_add(&s->mtime_ns, 1000);
}

static unsigned looks_at_files(struct store *s)
{
    return atomic_load(&s->stats) + atomic_load(&s->reads) + atomic_load(&s->misses);
}

/* Calls that a name may cost. */
static unsigned calls_of(struct store *s)
{
    return atomic_load(&s->lists) + looks_at_files(s);
}

/* -- instances ----------------------------------------------------------------------------- */

struct world {
    struct store store;
    struct ccs_shared *shared;
    struct ccs *ccs[INSTANCES];
    struct ccs_config *cfg; /* of instances opened from now on */
    pthread_mutex_t lock;
    char log[16384];
};

static void make_bytes(struct world *w)
{
    struct ccs_pki_ca *ca = ccs_pki_ca_new();
    struct ccs_pki_spec spec = {.names = "*.example"};
    struct ccs_pki_leaf leaf;

    for (int i = 0; i < 2; i++) {
        ccs_pki_issue(ca, &spec, &leaf);
        w->store.bytes[i] = ccs_pki_pfx_make(&leaf, 1, NULL);
        memcpy(w->store.fingerprint[i], leaf.fingerprint, 65);
        ccs_pki_leaf_clear(&leaf);
    }
    ccs_pki_ca_free(ca);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->store.lock, NULL);
    pthread_cond_init(&w->store.moved, NULL);
    w->store.base.ops = &store_ops;
    atomic_init(&w->store.without, UINT32_MAX);
    atomic_init(&w->store.mtime_ns, INT64_C(1700000000000000000));
    make_bytes(w);
    *state = w;
    return 0;
}

static void close_instance(struct world *w, int i)
{
    ccs_close(w->ccs[i]);
    w->ccs[i] = NULL;
}

static int teardown(void **state)
{
    struct world *w = *state;

    close_gate(&w->store, false);
    for (int i = 0; i < INSTANCES; i++)
        close_instance(w, i);
    ccs_config_free(w->cfg);
    ccs_shared_free(w->shared);
    ccs_pki_bytes_clear(&w->store.bytes[0]);
    ccs_pki_bytes_clear(&w->store.bytes[1]);
    pthread_cond_destroy(&w->store.moved);
    pthread_mutex_destroy(&w->store.lock);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}

static void keep_line(enum ccs_level level, const char *line, void *arg)
{
    struct world *w = arg;
    size_t used;

    (void)level;
    pthread_mutex_lock(&w->lock);
    used = strlen(w->log);
    snprintf(w->log + used, sizeof(w->log) - used, "%s\n", line);
    pthread_mutex_unlock(&w->lock);
}

struct line {
    struct world *w;
    const char *text;
};

static int is_logged(void *arg)
{
    const struct line *line = arg;
    int found;

    pthread_mutex_lock(&line->w->lock);
    found = strstr(line->w->log, line->text) != NULL;
    pthread_mutex_unlock(&line->w->lock);
    return found;
}

static void share(struct world *w, size_t names)
{
    const size_t size = ccs_index_size_for(names) * INDEX_PART + (size_t)2 * 1024 * 1024;

    assert_int_equal(ccs_shared_new(size, &w->shared, NULL), CCS_OK);
}

static void configure(struct world *w, const char *wait, const char *refresh)
{
    const char *const settings[] = {"store", "/scripted", "check_name", "off",
                                    "wait",  wait,        "refresh",    refresh};
    struct ccs_error err;

    if (w->shared == NULL)
        share(w, 1000);
    ccs_config_free(w->cfg);
    w->cfg = ccs_config_new();
    assert_non_null(w->cfg);
    ccs_config_set_log(w->cfg, CCS_LOG_DEBUG, keep_line, w, 0);
    for (size_t i = 0; i < CCS_ARRAY_LEN(settings); i += 2)
        assert_int_equal(ccs_config_set(w->cfg, settings[i], settings[i + 1], &err), CCS_OK);
    ccs_config_set_shared(w->cfg, w->shared);
}

static void open_instance(struct world *w, int i)
{
    struct ccs_error err;

    if (ccs_open_with(w->cfg, &w->store.base, &w->ccs[i], &err) != CCS_OK)
        fail_msg("ccs_open_with: %s", err.text);
}

static enum ccs_index_answer look_up(struct world *w, int i, unsigned number)
{
    struct ccs_index *index = &w->ccs[i]->index;
    char stem[40];

    snprintf(stem, sizeof(stem), "n%06u.example", number);
    return ccs_index_lookup(index, ccs_index_hash(index, stem, strlen(stem)), NULL);
}

struct wanted {
    struct world *w;
    int i;
    unsigned number;
    int what; /* an answer of the index, a state of it, or a code */
};

static int is_answer(void *arg)
{
    const struct wanted *wanted = arg;

    return (int)look_up(wanted->w, wanted->i, wanted->number) == wanted->what;
}

/* Waits until the index says so. */
static void await_answer(struct world *w, int i, unsigned number, enum ccs_index_answer answer)
{
    struct wanted wanted = {w, i, number, (int)answer};

    if (!ccs_wait_until(is_answer, &wanted, 0))
        fail_msg("n%06u is %d", number, (int)look_up(w, i, number));
}

static enum ccs_index_state state_of(struct world *w, int i)
{
    struct ccs_index_status status;

    ccs_index_status(&w->ccs[i]->index, &status);
    return status.state;
}

static int is_state(void *arg)
{
    const struct wanted *wanted = arg;

    return (int)state_of(wanted->w, wanted->i) == wanted->what;
}

static void await_state(struct world *w, int i, enum ccs_index_state state)
{
    struct wanted wanted = {w, i, 0, (int)state};

    if (!ccs_wait_until(is_state, &wanted, 0))
        fail_msg("state %d", (int)state_of(w, i));
}

/* Blocking look-up of a host; the outputs may be NULL. */
static int ask(struct world *w, int i, unsigned number, enum ccs_result *result,
               char fingerprint[65])
{
    struct ccs_answer answer;
    char name[40];

    snprintf(name, sizeof(name), "n%06u.example", number);
    (void)ccs_acquire(w->ccs[i], name, strlen(name), -1, &answer);
    if (result != NULL)
        *result = answer.result;
    if (answer.code == CCS_OK) {
        if (fingerprint != NULL)
            memcpy(fingerprint, ccs_cred_fingerprint(answer.cred), 65);
        ccs_cred_unref(answer.cred);
    }
    return answer.code;
}

static int is_code(void *arg)
{
    const struct wanted *wanted = arg;

    return ask(wanted->w, wanted->i, wanted->number, NULL, NULL) == wanted->what;
}

static void await_code(struct world *w, int i, unsigned number, int code)
{
    struct wanted wanted = {w, i, number, code};

    if (!ccs_wait_until(is_code, &wanted, 0))
        fail_msg("n%06u: %s", number, ccs_code_name(ask(w, i, number, NULL, NULL)));
}

/* -- listings ------------------------------------------------------------------------------ */

static void answer_for(struct world *w, uint32_t count)
{
    struct ccs_index_status status;
    unsigned calls;
    double began;

    atomic_store(&w->store.count, count);
    share(w, count);
    configure(w, "30s", "60s");
    open_instance(w, 0);
    began = ccs_wait_clock();
    await_answer(w, 0, count, CCS_INDEX_ABSENT);
    print_message("%u names known after %.0f ms\n", count, ccs_wait_clock() - began);
    ccs_index_status(&w->ccs[0]->index, &status);
    assert_int_equal(status.state, CCS_INDEX_READY);
    assert_int_equal(status.names, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(look_up(w, 0, i), CCS_INDEX_PRESENT);
    for (unsigned i = count; i < count + 10000; i++)
        assert_int_equal(look_up(w, 0, i), CCS_INDEX_ABSENT);

    calls = calls_of(&w->store);
    for (unsigned i = count; i < count + 1000; i++)
        assert_int_equal(ask(w, 0, i, NULL, NULL), CCS_ENOTFOUND);
    assert_int_equal(calls_of(&w->store), calls);
    if (count > 0) {
        assert_int_equal(ask(w, 0, count - 1, NULL, NULL), CCS_OK);
        assert_int_equal(atomic_load(&w->store.reads), 1);
    }
    assert_int_equal(atomic_load(&w->store.lists), 1);
}

static void no_names(void **state)
{
    answer_for(*state, 0);
}

static void one_name(void **state)
{
    answer_for(*state, 1);
}

static void ten_thousand_names(void **state)
{
    answer_for(*state, 10000);
}

static void hundred_thousand_names(void **state)
{
    answer_for(*state, 100000);
}

static void one_listing_for_all(void **state)
{
    struct world *w = *state;
    const double began = ccs_wait_clock();

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "60s");
    for (int i = 0; i < INSTANCES; i++)
        open_instance(w, i);
    for (int i = 0; i < INSTANCES; i++) {
        await_answer(w, i, 100, CCS_INDEX_ABSENT);
        assert_int_equal(look_up(w, i, 99), CCS_INDEX_PRESENT);
        assert_int_equal(ask(w, i, 100, NULL, NULL), CCS_ENOTFOUND);
    }
    /* After a standstill of five seconds another one may take over. */
    if (ccs_wait_clock() - began < 4000)
        assert_int_equal(atomic_load(&w->store.lists), 1);
    /* And one of them looks for what comes. */
    add_file(&w->store);
    for (int i = 0; i < INSTANCES; i++)
        await_code(w, i, 100, CCS_OK);
    assert_int_equal(atomic_load(&w->store.reads), 1);
}

/* The one that looks after the store ends, the next one sees all that happened meanwhile. */
static void next_one_takes_over(void **state)
{
    struct world *w = *state;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "60s");
    open_instance(w, 0);
    open_instance(w, 1);
    await_answer(w, 1, 100, CCS_INDEX_ABSENT);
    assert_int_equal(ask(w, 1, 7, NULL, NULL), CCS_OK);
    close_instance(w, 0);
    atomic_store(&w->store.without, 7);
    add_file(&w->store);
    await_code(w, 1, 100, CCS_OK);
    await_code(w, 1, 7, CCS_ENOTFOUND);
    await_answer(w, 1, 7, CCS_INDEX_ABSENT);
    /* Not by the time of the setting refresh, but by a listing. */
    assert_true(atomic_load(&w->store.lists) >= 2);
    assert_int_equal(ask(w, 1, 8, NULL, NULL), CCS_OK);
}

static int is_listed_again(void *arg)
{
    struct store *s = arg;

    return atomic_load(&s->lists) >= 2;
}

/* A newer configuration looks after the store while the processes of the older one still serve. */
static void newer_configuration_takes_over(void **state)
{
    struct world *w = *state;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "60s");
    open_instance(w, 0);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
    configure(w, "30s", "60s");
    open_instance(w, 1);
    open_instance(w, 2);
    assert_true(ccs_wait_until(is_listed_again, &w->store, 0));
    for (unsigned n = 100; n < 102; n++) {
        add_file(&w->store);
        await_code(w, 0, n, CCS_OK);
        await_code(w, 1, n, CCS_OK);
        await_answer(w, 0, n + 1, CCS_INDEX_ABSENT);
    }
    close_instance(w, 0);
    close_instance(w, 1);
    add_file(&w->store);
    await_code(w, 2, 102, CCS_OK);
    await_code(w, 2, 103, CCS_ENOTFOUND);
}

/* What the last one left is not believed before it is listed again. */
static void new_one_after_all_have_ended(void **state)
{
    struct world *w = *state;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "60s");
    open_instance(w, 0);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
    assert_int_equal(ask(w, 0, 7, NULL, NULL), CCS_OK);
    close_instance(w, 0);
    add_file(&w->store);
    close_gate(&w->store, true);
    open_instance(w, 1);
    assert_true(ccs_wait_until(list_waits, &w->store, 0));
    assert_int_equal(look_up(w, 1, 100), CCS_INDEX_UNKNOWN);
    assert_int_equal(look_up(w, 1, 7), CCS_INDEX_PRESENT);
    assert_int_equal(ask(w, 1, 7, NULL, NULL), CCS_OK);
    assert_int_equal(atomic_load(&w->store.reads), 1);
    assert_int_equal(ask(w, 1, 100, NULL, NULL), CCS_OK);
    close_gate(&w->store, false);
    await_answer(w, 1, 100, CCS_INDEX_PRESENT);
    await_answer(w, 1, 101, CCS_INDEX_ABSENT);
}

/* -- not known ----------------------------------------------------------------------------- */

static void names_are_asked_for_during_the_first_listing(void **state)
{
    struct world *w = *state;

    atomic_store(&w->store.count, 100);
    close_gate(&w->store, true);
    configure(w, "300ms", "60s");
    open_instance(w, 0);
    assert_true(ccs_wait_until(list_waits, &w->store, 0));
    assert_int_equal(look_up(w, 0, 7), CCS_INDEX_UNKNOWN);
    await_code(w, 0, 7, CCS_OK);
    /* It may be there in a spelling that only the listing knows. */
    assert_int_equal(ask(w, 0, 100, NULL, NULL), CCS_ETIMEDOUT);
    assert_int_equal(ask(w, 0, 100, NULL, NULL), CCS_ETIMEDOUT);
    close_gate(&w->store, false);
    await_code(w, 0, 100, CCS_ENOTFOUND);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
}

/* The folder has changed: until it is listed, a name that was not there may be. */
static void doubt_ends_with_a_listing(void **state)
{
    struct world *w = *state;
    unsigned calls;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "60s");
    open_instance(w, 0);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
    close_gate(&w->store, true);
    add_file(&w->store);
    /* Asking is what makes the folder be looked at. */
    for (int i = 0; !list_waits(&w->store); i++) {
        assert_true(i < 1500);
        assert_int_not_equal(ask(w, 0, 5000, NULL, NULL), CCS_OK);
        ccs_wait_pass(20);
    }
    assert_int_equal(look_up(w, 0, 100), CCS_INDEX_UNKNOWN);
    assert_int_equal(look_up(w, 0, 101), CCS_INDEX_UNKNOWN);
    assert_int_equal(look_up(w, 0, 99), CCS_INDEX_PRESENT);
    await_code(w, 0, 100, CCS_OK);
    await_code(w, 0, 101, CCS_ENOTFOUND);
    assert_int_equal(look_up(w, 0, 100), CCS_INDEX_UNKNOWN);
    close_gate(&w->store, false);
    await_answer(w, 0, 100, CCS_INDEX_PRESENT);
    await_answer(w, 0, 101, CCS_INDEX_ABSENT);
    await_answer(w, 0, 5000, CCS_INDEX_ABSENT);
    calls = calls_of(&w->store);
    for (unsigned i = 101; i < 1000; i++)
        assert_int_equal(ask(w, 0, i, NULL, NULL), CCS_ENOTFOUND);
    assert_int_equal(calls_of(&w->store), calls);
}

/* However many names are asked for that nobody can tell of, the store is not asked as often. */
static void expect_limited(struct world *w)
{
    const unsigned before = looks_at_files(&w->store);
    const double began = ccs_wait_clock();
    double seconds;
    unsigned looks;
    int code;

    for (unsigned i = 0; i < 20; i++) {
        code = ask(w, 0, 500000 + i, NULL, NULL);
        assert_true(code == CCS_ENOTFOUND || code == CCS_ETIMEDOUT);
    }
    looks = looks_at_files(&w->store) - before;
    seconds = (ccs_wait_clock() - began) / 1000;
    print_message("%u looks in %.1f s\n", looks, seconds);
    /* Five a second and five saved up, each for two names with three kinds of files. */
    assert_true(looks <= (5 * seconds + 5 + 1) * 3);
}

static void store_that_cannot_be_listed(void **state)
{
    struct world *w = *state;
    struct line line = {w, "cannot be listed"};

    atomic_store(&w->store.count, 100);
    atomic_store(&w->store.list_error, CCS_EACCESS);
    configure(w, "200ms", "60s");
    open_instance(w, 0);
    await_state(w, 0, CCS_INDEX_UNLISTED);
    ccs_dispatch(w->ccs[0], 0);
    assert_true(ccs_wait_until(is_logged, &line, 0));
    assert_int_equal(look_up(w, 0, 7), CCS_INDEX_UNKNOWN);
    await_code(w, 0, 7, CCS_OK);
    await_code(w, 0, 100, CCS_ENOTFOUND);
    expect_limited(w);
    /* What is known costs nothing, and what is there is not held up by what is not for long. */
    assert_int_equal(ask(w, 0, 7, NULL, NULL), CCS_OK);
    await_code(w, 0, 8, CCS_OK);
    atomic_store(&w->store.list_error, CCS_OK);
    await_state(w, 0, CCS_INDEX_READY);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
}

static void names_that_do_not_fit(void **state)
{
    struct world *w = *state;
    struct line line = {w, "do not fit"};

    atomic_store(&w->store.count, 100000);
    share(w, 1000);
    configure(w, "200ms", "60s");
    open_instance(w, 0);
    await_state(w, 0, CCS_INDEX_FULL);
    ccs_dispatch(w->ccs[0], 0);
    assert_true(ccs_wait_until(is_logged, &line, 0));
    assert_int_equal(look_up(w, 0, 7), CCS_INDEX_UNKNOWN);
    await_code(w, 0, 99999, CCS_OK);
    await_code(w, 0, 100000, CCS_ENOTFOUND);
    expect_limited(w);
    await_code(w, 0, 99998, CCS_OK);
}

/* -- looks at the store -------------------------------------------------------------------- */

struct probes {
    void *mem;
    struct ccs_index index;
    _Atomic unsigned taken;
    unsigned rate;
};

static int setup_probes(void **state)
{
    static const struct ccs_siphash_key key = {1, 2};
    struct probes *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    p->mem = aligned_alloc(64, CCS_INDEX_SIZE_MIN);
    assert_non_null(p->mem);
    assert_int_equal(ccs_index_format(p->mem, CCS_INDEX_SIZE_MIN, NULL), CCS_OK);
    assert_int_equal(ccs_index_attach(&p->index, p->mem, CCS_INDEX_SIZE_MIN, 7, &key, NULL),
                     CCS_OK);
    *state = p;
    return 0;
}

static int teardown_probes(void **state)
{
    struct probes *p = *state;

    free(p->mem);
    free(p);
    return 0;
}

static unsigned take_all(struct probes *p, unsigned rate, int64_t now_ms)
{
    unsigned n = 0;

    while (ccs_index_probe_take(&p->index, rate, now_ms))
        n++;
    return n;
}

static void probes_are_limited(void **state)
{
    struct probes *p = *state;

    assert_int_equal(take_all(p, 5, 10000), 5);
    assert_int_equal(take_all(p, 5, 10199), 0);
    assert_int_equal(take_all(p, 5, 10200), 1);
    assert_int_equal(take_all(p, 5, 10650), 2);
    assert_int_equal(take_all(p, 5, 11200), 3);
    /* No more than a second's worth is saved up. */
    assert_int_equal(take_all(p, 5, 1000000), 5);
    assert_int_equal(take_all(p, 1, 2000000), 1);
    assert_int_equal(take_all(p, 1, 2000999), 0);
    assert_int_equal(take_all(p, 1, 2001000), 1);
    assert_int_equal(take_all(p, 100000, 3000000), 100000);
}

static void probes_are_given_back(void **state)
{
    struct probes *p = *state;

    assert_int_equal(take_all(p, 5, 10000), 5);
    ccs_index_probe_give_back(&p->index, 5);
    ccs_index_probe_give_back(&p->index, 5);
    assert_int_equal(take_all(p, 5, 10000), 2);
    /* However often that happens, nothing is gained. */
    for (int i = 0; i < 1000; i++) {
        assert_true(ccs_index_probe_take(&p->index, 5, 20000));
        ccs_index_probe_give_back(&p->index, 5);
    }
    assert_int_equal(take_all(p, 5, 20000), 5);
}

static void *take_many(void *arg)
{
    struct probes *p = arg;

    for (int64_t now = 100000; now < 100100; now++) {
        for (unsigned i = 0; i < 100; i++) {
            if (ccs_index_probe_take(&p->index, p->rate, now))
                atomic_fetch_add(&p->taken, 1);
        }
    }
    return NULL;
}

static void probes_of_many_threads(void **state)
{
    struct probes *p = *state;
    pthread_t threads[8];

    p->rate = 1000;
    for (size_t i = 0; i < CCS_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, p), 0);
    for (size_t i = 0; i < CCS_ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    /* All that was saved up, and one for each millisecond but the first. */
    assert_int_equal(atomic_load(&p->taken), 1000 + 99);
}

/* -- what is in memory --------------------------------------------------------------------- */

struct served {
    struct world *w;
    int i;
    const char *fingerprint;
};

static int is_served(void *arg)
{
    const struct served *served = arg;
    char got[65];

    assert_int_equal(ask(served->w, served->i, 7, NULL, got), CCS_OK);
    return strcmp(got, served->fingerprint) == 0;
}

/* The file has changed, and nobody was told but the index: who takes it from memory notices. */
static void outdated_entry_is_loaded_again(void **state)
{
    struct world *w = *state;
    struct served fresh = {.w = w, .fingerprint = w->store.fingerprint[1]};
    static const char stem[] = "n000007.example";
    struct ccs_index *index;
    struct ccs_index_writer *writer;
    enum ccs_result result;
    char got[65];

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "1h");
    open_instance(w, 0);
    open_instance(w, 1);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
    assert_int_equal(ask(w, 0, 7, &result, got), CCS_OK);
    assert_int_equal(result, CCS_RESULT_LOADED);
    assert_string_equal(got, w->store.fingerprint[0]);

    atomic_store(&w->store.version, 1);
    index = &w->ccs[0]->index;
    assert_int_equal(ccs_index_writer_open(index, w->ccs[0]->lease.token, &writer, NULL), CCS_OK);
    assert_int_equal(ccs_index_note_changed(writer, ccs_index_hash(index, stem, strlen(stem))),
                     CCS_OK);
    ccs_index_writer_close(writer);

    /* What there is is served without delay. */
    assert_int_equal(ask(w, 1, 7, &result, got), CCS_OK);
    assert_int_equal(result, CCS_RESULT_SHARED);
    assert_string_equal(got, w->store.fingerprint[0]);
    fresh.i = 1;
    assert_true(ccs_wait_until(is_served, &fresh, 0));
    fresh.i = 0;
    assert_true(ccs_wait_until(is_served, &fresh, 0));
    assert_int_equal(atomic_load(&w->store.reads), 2);
}

struct down {
    struct world *w;
    int i;
};

static int is_down(void *arg)
{
    const struct down *down = arg;
    struct ccs_stats s;

    ccs_stats_get(down->w->ccs[down->i], &s, sizeof(s));
    return s.store_down != 0;
}

static void await_down(struct world *w, int i)
{
    struct down down = {w, i};

    assert_true(ccs_wait_until(is_down, &down, 0));
}

/* Names that this process has never served, and no call of the store for any. */
static void expect_from_memory(struct world *w, int i)
{
    const unsigned calls = calls_of(&w->store);
    enum ccs_result result;
    char got[65];

    for (int n = 0; n < 3; n++) {
        assert_int_equal(ask(w, i, 7, &result, got), CCS_OK);
        assert_true(result == CCS_RESULT_SHARED || result == CCS_RESULT_STALE);
        assert_string_equal(got, w->store.fingerprint[0]);
        assert_int_equal(ask(w, i, 8, NULL, NULL), CCS_EUNAVAIL);
        assert_int_equal(ask(w, i, 100, NULL, NULL), CCS_EUNAVAIL);
        assert_int_equal(ask(w, i, 101, NULL, NULL), CCS_EUNAVAIL);
    }
    assert_int_equal(calls_of(&w->store), calls);
}

static void memory_serves_while_the_store_is_down(void **state)
{
    struct world *w = *state;
    enum ccs_result result;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "1s");
    open_instance(w, 0);
    open_instance(w, 1);
    await_answer(w, 1, 100, CCS_INDEX_ABSENT);
    assert_int_equal(ask(w, 0, 7, NULL, NULL), CCS_OK);
    assert_int_equal(ask(w, 0, 100, NULL, NULL), CCS_ENOTFOUND);
    atomic_store(&w->store.error, CCS_EUNAVAIL);
    await_down(w, 0);
    await_down(w, 1);
    expect_from_memory(w, 1);
    expect_from_memory(w, 0);

    /* One that starts meanwhile has it as well, once it knows what it is about. */
    open_instance(w, 2);
    await_down(w, 2);
    expect_from_memory(w, 2);

    atomic_store(&w->store.error, CCS_OK);
    for (int i = 0; i < INSTANCES; i++) {
        await_code(w, i, 8, CCS_OK);
        await_code(w, i, 100, CCS_ENOTFOUND);
        assert_int_equal(ask(w, i, 7, &result, NULL), CCS_OK);
    }
}

static void memory_serves_who_starts_while_the_store_is_down(void **state)
{
    struct world *w = *state;

    atomic_store(&w->store.count, 100);
    configure(w, "30s", "1s");
    open_instance(w, 0);
    await_answer(w, 0, 100, CCS_INDEX_ABSENT);
    assert_int_equal(ask(w, 0, 7, NULL, NULL), CCS_OK);
    close_instance(w, 0);
    atomic_store(&w->store.error, CCS_EUNAVAIL);
    open_instance(w, 1);
    await_down(w, 1);
    expect_from_memory(w, 1);
    atomic_store(&w->store.error, CCS_OK);
    await_code(w, 1, 8, CCS_OK);
    await_code(w, 1, 100, CCS_ENOTFOUND);
}

#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
#define PROBES_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, setup_probes, teardown_probes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(no_names),
        WORLD_TEST(one_name),
        WORLD_TEST(ten_thousand_names),
        WORLD_TEST(hundred_thousand_names),
        WORLD_TEST(one_listing_for_all),
        WORLD_TEST(next_one_takes_over),
        WORLD_TEST(newer_configuration_takes_over),
        WORLD_TEST(new_one_after_all_have_ended),
        WORLD_TEST(names_are_asked_for_during_the_first_listing),
        WORLD_TEST(doubt_ends_with_a_listing),
        WORLD_TEST(store_that_cannot_be_listed),
        WORLD_TEST(names_that_do_not_fit),
        PROBES_TEST(probes_are_limited),
        PROBES_TEST(probes_are_given_back),
        PROBES_TEST(probes_of_many_threads),
        WORLD_TEST(outdated_entry_is_loaded_again),
        WORLD_TEST(memory_serves_while_the_store_is_down),
        WORLD_TEST(memory_serves_who_starts_while_the_store_is_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
