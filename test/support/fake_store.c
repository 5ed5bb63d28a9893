/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "name.h"

#define OPS 7

struct fake_file {
    char name[CCS_FILE_NAME_SIZE];
    uint8_t *data;
    size_t len;
    struct ccs_stamp stamp;
    int present;
    unsigned reads;
    unsigned fail_ops;
    int fail_code;
    int fail_times;
};

struct fake_event {
    enum ccs_event_kind kind;
    char name[CCS_FILE_NAME_SIZE];
};

struct fake_store {
    struct ccs_store base;
    pthread_mutex_t lock;
    pthread_cond_t moved; /* the gate, a counter */
    struct fake_file *files;
    size_t file_count;
    struct fake_event *events;
    size_t event_count;
    size_t telling; /* events that are handed over just now */
    size_t listing; /* names likewise */
    int event_fd;
    int watchable;
    int watched;
    int auto_events;
    struct ccs_root root;
    int64_t clock;
    uint64_t next_id;
    int errors[OPS];
    unsigned calls[OPS];
    unsigned gate; /* ops that wait */
    unsigned lets;
    unsigned blocked;
    unsigned reading;
    unsigned reading_most;
};

static void *fake_alloc(void *p, size_t size)
{
    void *q = realloc(p, size != 0 ? size : 1);

    if (q == NULL)
        abort();
    return q;
}

static struct fake_store *fake_of(struct ccs_store *store)
{
    return (struct fake_store *)store; /* base is the first member */
}

static struct fake_file *fake_find(struct fake_store *fake, const char *file)
{
    for (size_t i = 0; i < fake->file_count; i++)
        if (strcmp(fake->files[i].name, file) == 0)
            return &fake->files[i];
    return NULL;
}

static struct fake_file *fake_find_or_add(struct fake_store *fake, const char *file)
{
    struct fake_file *f = fake_find(fake, file);

    if (f != NULL)
        return f;
    if (strlen(file) >= CCS_FILE_NAME_SIZE)
        abort();
    fake->files = fake_alloc(fake->files, (fake->file_count + 1) * sizeof(*fake->files));
    f = &fake->files[fake->file_count++];
    memset(f, 0, sizeof(*f));
    strcpy(f->name, file);
    return f;
}

static void fake_queue(struct fake_store *fake, enum ccs_event_kind kind, const char *file)
{
    struct fake_event *e;
    const uint64_t one = 1;

    fake->events = fake_alloc(fake->events, (fake->event_count + 1) * sizeof(*fake->events));
    e = &fake->events[fake->event_count++];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    if (file != NULL)
        strncpy(e->name, file, sizeof(e->name) - 1);
    if (write(fake->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one) && errno != EAGAIN)
        abort();
}

static void fake_auto_event(struct fake_store *fake, enum ccs_event_kind kind, const char *file)
{
    if (fake->auto_events && fake->watched)
        fake_queue(fake, kind, file);
}

/* -- the vtable ---------------------------------------------------------------------------- */

static unsigned fake_op_number(unsigned op)
{
    return (unsigned)__builtin_ctz(op);
}

/* Called with the lock held: counts the call and waits at the gate. */
static void fake_enter(struct fake_store *fake, unsigned op)
{
    fake->calls[fake_op_number(op)]++;
    if (op == FAKE_READ && ++fake->reading > fake->reading_most)
        fake->reading_most = fake->reading;
    pthread_cond_broadcast(&fake->moved);
    if (!(fake->gate & op))
        return;
    fake->blocked++;
    while ((fake->gate & op) && fake->lets == 0)
        pthread_cond_wait(&fake->moved, &fake->lock);
    if ((fake->gate & op) && fake->lets > 0)
        fake->lets--;
    fake->blocked--;
}

static int fake_op_error(struct fake_store *fake, unsigned op, struct ccs_error *err)
{
    const int code = fake->errors[fake_op_number(op)];

    return code == CCS_OK ? CCS_OK : ccs_error_set(err, code, "the fake store was told to fail");
}

static int fake_file_error(struct fake_file *f, unsigned op, struct ccs_error *err)
{
    if (f == NULL || !(f->fail_ops & op) || f->fail_times == 0)
        return CCS_OK;
    if (f->fail_times > 0)
        f->fail_times--;
    return ccs_error_set(err, f->fail_code, "the fake store was told to fail");
}

static int fake_ends_in_pfx(const char *file)
{
    const size_t len = strlen(file);

    return len > 4 && strcasecmp(file + len - 4, ".pfx") == 0;
}

static int fake_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg,
                     struct ccs_error *err)
{
    struct fake_store *fake = fake_of(store);
    char(*names)[CCS_FILE_NAME_SIZE] = NULL;
    size_t count = 0;
    int rv;

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_LIST);
    rv = fake_op_error(fake, FAKE_LIST, err);
    if (rv == CCS_OK) {
        names = fake_alloc(NULL, fake->file_count * sizeof(*names));
        for (size_t i = 0; i < fake->file_count; i++)
            if (fake->files[i].present && fake_ends_in_pfx(fake->files[i].name))
                strcpy(names[count++], fake->files[i].name);
    }
    fake->listing += count;
    pthread_mutex_unlock(&fake->lock);
    for (size_t i = 0; i < count; i++)
        if (cb(names[i], strlen(names[i]), arg) != 0)
            break;
    free(names);
    /* Whoever calls afterwards comes after all that was done with the names. */
    pthread_mutex_lock(&fake->lock);
    fake->listing -= count;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

static int fake_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                     struct ccs_error *err)
{
    struct fake_store *fake = fake_of(store);
    struct fake_file *f;
    int rv;

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_STAT);
    f = fake_find(fake, file);
    rv = fake_op_error(fake, FAKE_STAT, err);
    if (rv == CCS_OK)
        rv = fake_file_error(f, FAKE_STAT, err);
    if (rv == CCS_OK && (f == NULL || !f->present))
        rv = ccs_error_sys(err, CCS_ENOTFOUND, ENOENT, "no such file in the store");
    if (rv == CCS_OK)
        *out = f->stamp;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

static int fake_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                     struct ccs_stamp *out, struct ccs_error *err)
{
    struct fake_store *fake = fake_of(store);
    struct fake_file *f;
    int rv;

    memset(out, 0, sizeof(*out));
    pthread_mutex_lock(&fake->lock);
    fake_find_or_add(fake, file)->reads++;
    fake_enter(fake, FAKE_READ);
    f = fake_find(fake, file); /* the table may have moved meanwhile */
    rv = fake_op_error(fake, FAKE_READ, err);
    if (rv != CCS_OK)
        goto out;
    if (f != NULL && f->present)
        *out = f->stamp;
    rv = fake_file_error(f, FAKE_READ, err);
    if (rv != CCS_OK)
        goto out;
    if (f == NULL || !f->present)
        rv = ccs_error_sys(err, CCS_ENOTFOUND, ENOENT, "no such file in the store");
    else if (f->len == 0)
        rv = ccs_error_set(err, CCS_EINCOMPLETE, "it is empty");
    else if (f->len > max)
        rv = ccs_error_set(err, CCS_ETOOBIG, "it has %zu octets, allowed are %zu", f->len, max);
    else
        rv = ccs_secret_append(data, f->data, f->len);
out:
    fake->reading--;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

static int fake_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    struct fake_store *fake = fake_of(store);
    int rv;

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_PROBE);
    rv = fake_op_error(fake, FAKE_PROBE, err);
    if (rv == CCS_OK)
        *out = fake->root;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

static int fake_watch_fd(struct ccs_store *store)
{
    struct fake_store *fake = fake_of(store);
    int fd;

    pthread_mutex_lock(&fake->lock);
    fd = fake->watchable && fake->watched ? fake->event_fd : -1;
    pthread_mutex_unlock(&fake->lock);
    return fd;
}

static int fake_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    struct fake_store *fake = fake_of(store);
    int rv;

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_WATCH_START);
    rv = fake_op_error(fake, FAKE_WATCH_START, err);
    if (rv == CCS_OK && !fake->watchable)
        rv = ccs_error_set(err, CCS_EINVAL, "the fake store cannot be watched");
    fake->watched = rv == CCS_OK;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

static void fake_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    struct fake_store *fake = fake_of(store);
    struct fake_event *events;
    size_t count;
    uint64_t sum;

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_WATCH_READ);
    if (read(fake->event_fd, &sum, sizeof(sum)) < 0 && errno != EAGAIN)
        abort();
    events = fake->events;
    count = fake->event_count;
    fake->events = NULL;
    fake->event_count = 0;
    fake->telling += count;
    for (size_t i = 0; i < count; i++)
        if (events[i].kind == CCS_EVENT_ROOT_GONE)
            fake->watched = 0;
    pthread_mutex_unlock(&fake->lock);
    for (size_t i = 0; i < count; i++)
        cb(events[i].kind, events[i].name[0] != '\0' ? events[i].name : NULL, arg);
    free(events);
    pthread_mutex_lock(&fake->lock);
    fake->telling -= count;
    pthread_mutex_unlock(&fake->lock);
}

static void fake_close(struct ccs_store *store)
{
    struct fake_store *fake = fake_of(store);

    pthread_mutex_lock(&fake->lock);
    fake_enter(fake, FAKE_CLOSE);
    pthread_mutex_unlock(&fake->lock);
}

static const struct ccs_store_ops fake_ops = {
    .list = fake_list,
    .stat = fake_stat,
    .read = fake_read,
    .probe = fake_probe,
    .watch_fd = fake_watch_fd,
    .watch_start = fake_watch_start,
    .watch_read = fake_watch_read,
    .close = fake_close,
};

/* -- for tests ----------------------------------------------------------------------------- */

struct fake_store *fake_store_new(void)
{
    struct fake_store *fake = fake_alloc(NULL, sizeof(*fake));
    pthread_condattr_t attr;

    memset(fake, 0, sizeof(*fake));
    fake->base.ops = &fake_ops;
    fake->watchable = 1;
    fake->clock = INT64_C(1700000000000000000);
    fake->next_id = 100;
    fake->root = (struct ccs_root){1, 2, 3, fake->clock, false};
    fake->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fake->event_fd < 0 || pthread_mutex_init(&fake->lock, NULL) != 0 ||
        pthread_condattr_init(&attr) != 0 ||
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&fake->moved, &attr) != 0)
        abort();
    pthread_condattr_destroy(&attr);
    return fake;
}

void fake_store_free(struct fake_store *fake)
{
    if (fake == NULL)
        return;
    for (size_t i = 0; i < fake->file_count; i++)
        free(fake->files[i].data);
    free(fake->files);
    free(fake->events);
    close(fake->event_fd);
    pthread_cond_destroy(&fake->moved);
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

struct ccs_store *fake_store_base(struct fake_store *fake)
{
    return &fake->base;
}

static void fake_write(struct fake_store *fake, const char *file, const void *data, size_t len,
                       int in_place)
{
    struct fake_file *f;

    pthread_mutex_lock(&fake->lock);
    f = fake_find_or_add(fake, file);
    f->data = fake_alloc(f->data, len);
    if (len > 0)
        memcpy(f->data, data, len);
    f->len = len;
    f->stamp.size = len;
    f->stamp.mtime_ns = f->stamp.ctime_ns = ++fake->clock;
    if (!in_place || !f->present) {
        f->stamp.file_id = fake->next_id++;
        fake->root.mtime_ns++;
    }
    f->present = 1;
    fake_auto_event(fake, CCS_EVENT_ARRIVED, file);
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_put(struct fake_store *fake, const char *file, const void *data, size_t len)
{
    fake_write(fake, file, data, len, 0);
}

void fake_store_overwrite(struct fake_store *fake, const char *file, const void *data, size_t len)
{
    fake_write(fake, file, data, len, 1);
}

void fake_store_touch(struct fake_store *fake, const char *file)
{
    struct fake_file *f;

    pthread_mutex_lock(&fake->lock);
    f = fake_find(fake, file);
    if (f != NULL && f->present) {
        f->stamp.mtime_ns = f->stamp.ctime_ns = ++fake->clock;
        fake_auto_event(fake, CCS_EVENT_ARRIVED, file);
    }
    pthread_mutex_unlock(&fake->lock);
}

static void fake_drop(struct fake_store *fake, struct fake_file *f)
{
    if (f == NULL || !f->present)
        return;
    f->present = 0;
    fake->root.mtime_ns++;
    fake_auto_event(fake, CCS_EVENT_REMOVED, f->name);
}

void fake_store_remove(struct fake_store *fake, const char *file)
{
    pthread_mutex_lock(&fake->lock);
    fake_drop(fake, fake_find(fake, file));
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_clear(struct fake_store *fake)
{
    pthread_mutex_lock(&fake->lock);
    for (size_t i = 0; i < fake->file_count; i++)
        fake_drop(fake, &fake->files[i]);
    pthread_mutex_unlock(&fake->lock);
}

int fake_store_stamp(struct fake_store *fake, const char *file, struct ccs_stamp *out)
{
    const struct fake_file *f;
    int present;

    pthread_mutex_lock(&fake->lock);
    f = fake_find(fake, file);
    present = f != NULL && f->present;
    if (present)
        *out = f->stamp;
    pthread_mutex_unlock(&fake->lock);
    return present;
}

void fake_store_get_root(struct fake_store *fake, struct ccs_root *out)
{
    pthread_mutex_lock(&fake->lock);
    *out = fake->root;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_set_root(struct fake_store *fake, const struct ccs_root *root)
{
    pthread_mutex_lock(&fake->lock);
    fake->root = *root;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_touch_root(struct fake_store *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->root.mtime_ns++;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_set_error(struct fake_store *fake, int code)
{
    fake_store_set_op_error(fake, FAKE_ALL, code);
}

void fake_store_set_op_error(struct fake_store *fake, unsigned ops, int code)
{
    pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < OPS; i++)
        if (ops & (1u << i))
            fake->errors[i] = code;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_fail_file(struct fake_store *fake, const char *file, unsigned ops, int code,
                          int times)
{
    struct fake_file *f;

    pthread_mutex_lock(&fake->lock);
    f = fake_find_or_add(fake, file);
    f->fail_ops = code == CCS_OK ? 0 : ops;
    f->fail_code = code;
    f->fail_times = times;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_block(struct fake_store *fake)
{
    fake_store_block_ops(fake, FAKE_READ);
}

void fake_store_block_ops(struct fake_store *fake, unsigned ops)
{
    pthread_mutex_lock(&fake->lock);
    fake->gate |= ops;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_unblock(struct fake_store *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->gate = 0;
    fake->lets = 0;
    pthread_cond_broadcast(&fake->moved);
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_let(struct fake_store *fake, unsigned n)
{
    pthread_mutex_lock(&fake->lock);
    fake->lets += n;
    pthread_cond_broadcast(&fake->moved);
    pthread_mutex_unlock(&fake->lock);
}

static unsigned fake_count_calls(const struct fake_store *fake, unsigned ops)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < OPS; i++)
        if (ops & (1u << i))
            sum += fake->calls[i];
    return sum;
}

/* Waits until blocked calls (ops 0) or begun ones reach n. */
static int fake_wait(struct fake_store *fake, unsigned ops, unsigned n, int timeout_ms)
{
    struct timespec until;
    int reached;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&fake->lock);
    for (;;) {
        reached = (ops != 0 ? fake_count_calls(fake, ops) : fake->blocked) >= n;
        if (reached || rc != 0)
            break;
        rc = pthread_cond_timedwait(&fake->moved, &fake->lock, &until);
    }
    pthread_mutex_unlock(&fake->lock);
    return reached;
}

int fake_store_wait_blocked(struct fake_store *fake, unsigned n, int timeout_ms)
{
    return fake_wait(fake, 0, n, timeout_ms);
}

int fake_store_wait_calls(struct fake_store *fake, unsigned ops, unsigned n, int timeout_ms)
{
    return fake_wait(fake, ops, n, timeout_ms);
}

unsigned fake_store_calls(struct fake_store *fake, unsigned ops)
{
    unsigned sum;

    pthread_mutex_lock(&fake->lock);
    sum = fake_count_calls(fake, ops);
    pthread_mutex_unlock(&fake->lock);
    return sum;
}

unsigned fake_store_reads(struct fake_store *fake)
{
    return fake_store_calls(fake, FAKE_READ);
}

unsigned fake_store_file_reads(struct fake_store *fake, const char *file)
{
    const struct fake_file *f;
    unsigned reads;

    pthread_mutex_lock(&fake->lock);
    f = fake_find(fake, file);
    reads = f != NULL ? f->reads : 0;
    pthread_mutex_unlock(&fake->lock);
    return reads;
}

unsigned fake_store_reads_at_once(struct fake_store *fake)
{
    unsigned most;

    pthread_mutex_lock(&fake->lock);
    most = fake->reading_most;
    pthread_mutex_unlock(&fake->lock);
    return most;
}

void fake_store_event(struct fake_store *fake, enum ccs_event_kind kind, const char *file)
{
    pthread_mutex_lock(&fake->lock);
    fake_queue(fake, kind, file);
    pthread_mutex_unlock(&fake->lock);
}

int fake_store_is_told(struct fake_store *fake)
{
    int told;

    pthread_mutex_lock(&fake->lock);
    told = fake->event_count == 0 && fake->telling == 0;
    pthread_mutex_unlock(&fake->lock);
    return told;
}

void fake_store_set_auto_events(struct fake_store *fake, int on)
{
    pthread_mutex_lock(&fake->lock);
    fake->auto_events = on;
    pthread_mutex_unlock(&fake->lock);
}

void fake_store_set_watchable(struct fake_store *fake, int on)
{
    pthread_mutex_lock(&fake->lock);
    fake->watchable = on;
    pthread_mutex_unlock(&fake->lock);
}
