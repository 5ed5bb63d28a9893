/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that asks the store: what it does, and when. */
#include "looker.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader.h"

#define RECENT_MS 60000

/* -- probing ------------------------------------------------------------------------------- */

void ccs_looker_forget_failures(struct ccs_refresh *r)
{
    if (ccs_refresh_enter_ops(r)) {
        r->ops.forget_failures(r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
}

int64_t ccs_looker_jitter(struct ccs_looker *l, int64_t ms)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return ms - ms / 10 + (int64_t)(l->random % (uint64_t)(ms / 5 + 1));
}

int64_t ccs_looker_back_off(int64_t *pause, int64_t first, int64_t most)
{
    *pause = *pause == 0 ? first : *pause * 2;
    *pause = ccs_earlier(*pause, ccs_later(first, most));
    return *pause;
}

/* Nothing that was seen so far needs to hold any more; what is in use is looked at after a delay.
 */
static void distrust_everything(struct ccs_refresh *r, int64_t now, int64_t delay)
{
    struct ccs_looker *l = &r->look;

    l->due_watch = now;
    l->due_list = ccs_earlier(l->due_list, ccs_later(now, l->list_allowed));
    l->due_look = ccs_earlier(l->due_look, ccs_later(now + delay, l->look_allowed));
    ccs_indexer_doubt(r);
    ccs_looker_forget_failures(r);
}

int ccs_looker_is_notified(struct ccs_refresh *r)
{
    return r->look.known && r->look.root.notifies && ccs_store_watch_fd(r->store) >= 0;
}

/*
 * The clocks of file servers are off now and then, and some know whole seconds only: what comes to
 * a folder that has changed so lately need not move its mtime again.
 */
static int is_recent(const struct ccs_root *root)
{
    struct timespec now;
    int64_t age;

    clock_gettime(CLOCK_REALTIME, &now);
    age = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - root->mtime_ns / 1000000;
    return age > -RECENT_MS && age < RECENT_MS;
}

static void found_root(struct ccs_refresh *r, const struct ccs_root *root, int was_up, int64_t now)
{
    struct ccs_looker *l = &r->look;

    if (!l->known) {
        l->known = 1;
        l->home = l->root = *root;
        if (!root->notifies && is_recent(root))
            l->moved_at = now;
    }
    if (!was_up || !ccs_same_root(root, &l->root)) {
        /* Files missed in another folder, or before a break, have been seen absent only once. */
        l->missing_count = 0;
        l->breaks++;
        l->moved_at = now;
        distrust_everything(r, now, 0);
    } else if (root->mtime_ns != l->root.mtime_ns) {
        l->moved_at = now;
        l->due_list = ccs_earlier(l->due_list, ccs_later(now, l->list_allowed));
        if (!ccs_looker_is_notified(r))
            ccs_indexer_doubt(r);
    }
    l->root = *root;
}

int ccs_looker_probe(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    struct ccs_root root;
    struct ccs_error err;
    const int was_up = ccs_refresh_is_up(r);
    int64_t now;
    int rv;

    ccs_refresh_enter_store(r, r->times.hang);
    rv = ccs_store_probe(r->store, &root, &err);
    if (!ccs_refresh_leave_store(r))
        return 0;
    now = ccs_now_ms();
    l->probed_at = now;
    if (rv != CCS_OK) {
        l->due_probe = now + ccs_looker_back_off(&l->down_pause, r->times.tick, r->times.down_max);
        if (rv != CCS_ENOMEM)
            ccs_refresh_set_up(r, 0, 0, &err);
        return 0;
    }
    l->down_pause = 0;
    l->due_probe = CCS_NEVER;
    ccs_refresh_set_up(r, 1, 0, NULL);
    found_root(r, &root, was_up, now);
    return ccs_refresh_is_up(r);
}

void ccs_looker_doubt(struct ccs_refresh *r)
{
    r->look.due_probe = ccs_earlier(r->look.due_probe, ccs_now_ms());
}

/* -- notification -------------------------------------------------------------------------- */

static void start_watch(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    struct ccs_error err;
    int64_t now;
    int rv;

    ccs_refresh_enter_store(r, r->times.hang);
    rv = ccs_store_watch_start(r->store, &err);
    if (!ccs_refresh_leave_store(r))
        return;
    now = ccs_now_ms();
    if (rv == CCS_OK) {
        /* What was read before the watch stood may have changed unseen. */
        l->due_look = ccs_earlier(l->due_look, ccs_later(now + r->times.tick, l->look_allowed));
        if (l->watch_pause != 0)
            l->due_list = ccs_earlier(l->due_list, ccs_later(now, l->list_allowed));
        l->watch_pause = 0;
        l->watch_warned = 0;
        l->due_watch = CCS_NEVER;
        return;
    }
    l->due_watch = now + ccs_looker_back_off(&l->watch_pause, r->times.tick, r->times.refresh);
    if (!l->watch_warned) {
        l->watch_warned = 1;
        ccs_log(r->log, CCS_LOG_WARN,
                "no notification of changes, they are found by looking at the store: %s", err.text);
    }
}

static void file_arrived(struct ccs_refresh *r, const char *file)
{
    struct ccs_looker *l = &r->look;
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind kind;
    int unicode;

    ccs_glance_arrived(l, file);
    ccs_indexer_arrived(r, file);
    if (ccs_name_from_file(file, strlen(file), stem, &kind, &unicode) != CCS_OK ||
        strcmp(stem, l->last_changed) == 0)
        return;
    memcpy(l->last_changed, stem, sizeof(stem));
    ccs_refresh_tell_changed(r, stem);
}

static void file_removed(struct ccs_refresh *r, const char *file)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    l->last_changed[0] = '\0';
    ccs_indexer_absent(r, file);
    /* Of files that nothing is cached of, only a listing says that they do not come again. */
    l->due_list = ccs_earlier(l->due_list, ccs_later(now + r->times.apart, l->list_allowed));
    if (l->gone_count < CCS_GONE_MAX) {
        memcpy(l->gone[l->gone_count], file, strlen(file) + 1);
        l->gone_count++;
        /* Not at once: what is being replaced comes again, and others go with it. */
        l->due_missing = ccs_earlier(l->due_missing, now + r->times.tick / 10);
    } else {
        l->due_look = ccs_earlier(l->due_look, ccs_later(now, l->look_allowed));
    }
}

static void on_event(enum ccs_event_kind kind, const char *file, void *arg)
{
    struct ccs_refresh *r = arg;

    if (!ccs_refresh_leave_store(r) || r->look.token == 0)
        return;
    switch (kind) {
    case CCS_EVENT_ARRIVED:
    case CCS_EVENT_REMOVED:
        if (file == NULL || strnlen(file, CCS_FILE_NAME_SIZE) > CCS_FILE_NAME_MAX)
            break;
        if (kind == CCS_EVENT_ARRIVED)
            file_arrived(r, file);
        else
            file_removed(r, file);
        break;
    case CCS_EVENT_OVERFLOW:
        distrust_everything(r, ccs_now_ms(), 0);
        break;
    case CCS_EVENT_ROOT_GONE:
        distrust_everything(r, ccs_now_ms(), 0);
        ccs_looker_doubt(r);
        break;
    }
    ccs_refresh_enter_store(r, r->times.hang);
}

static void read_events(struct ccs_refresh *r)
{
    r->look.last_changed[0] = '\0';
    ccs_refresh_enter_store(r, r->times.hang);
    ccs_store_watch_read(r->store, on_event, r);
    (void)ccs_refresh_leave_store(r);
}

/* -- its day ------------------------------------------------------------------------------- */

static size_t ask_failures(struct ccs_refresh *r)
{
    size_t n = 0;

    if (ccs_refresh_enter_ops(r)) {
        n = r->ops.failures(r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
    return n;
}

/* New files are found by the folder's mtime where nothing notifies. */
static void tick(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    const int64_t last = l->due_tick - r->times.tick;

    l->due_tick = ccs_now_ms() + r->times.tick;
    ccs_indexer_beat(r);
    if (ask_failures(r) == 0 || !ccs_looker_probe(r))
        return;
    /* A move since the last tick counts however long ago: a listing may have taken the time. */
    if (l->moved_at >= last || ccs_now_ms() - l->moved_at < r->times.apart)
        ccs_looker_forget_failures(r);
}

static void take_hint(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    int hinted, distrusted;

    pthread_mutex_lock(&r->lock);
    hinted = r->hinted;
    distrusted = r->distrusted;
    r->hinted = r->distrusted = 0;
    pthread_mutex_unlock(&r->lock);
    /*
     * The process has just been forked, as a rule, and has still to make from shared memory
     * whatever it is asked for: the look at everything that is in use waits for a moment.
     */
    if (distrusted)
        distrust_everything(r, ccs_now_ms(), r->times.tick);
    if (hinted)
        l->due_probe = ccs_earlier(l->due_probe, l->probed_at + r->times.tick / 4);
}

/* What the process knows that looks after the store is a reason to look for oneself. */
static void listen(struct ccs_refresh *r, int64_t now)
{
    if (now < r->look.due_tick)
        return;
    r->look.due_tick = now + r->times.tick;
    if (ccs_index_is_away(r->index) == (ccs_refresh_is_up(r) != 0))
        (void)ccs_looker_probe(r);
}

/*
 * Does what is due. While the store is down, or another process looks after it, nothing but a probe
 * is.
 */
static void run_due(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    ccs_indexer_lead(r);
    take_hint(r);
    if (now >= l->due_refresh) {
        l->due_refresh = now + ccs_looker_jitter(l, r->times.refresh);
        l->due_probe = ccs_earlier(l->due_probe, now);
        l->due_look = ccs_earlier(l->due_look, ccs_later(now, l->look_allowed));
    }
    if (now >= l->due_probe)
        (void)ccs_looker_probe(r);
    if (l->token == 0) {
        listen(r, now);
        return;
    }
    if (ccs_refresh_is_up(r) && now >= l->due_watch)
        start_watch(r);
    if (ccs_refresh_is_up(r) && now >= l->due_list)
        ccs_indexer_list(r);
    if (ccs_refresh_is_up(r) && (now >= l->due_look || now >= l->due_missing))
        ccs_glance(r, now >= l->due_look);
    if (ccs_refresh_is_up(r) && now >= l->due_tick)
        tick(r);
}

static int64_t next_due(struct ccs_refresh *r)
{
    const struct ccs_looker *l = &r->look;
    const int up = ccs_refresh_is_up(r);
    int64_t due;

    if (!up && l->due_probe == CCS_NEVER)
        ccs_looker_doubt(r); /* the clock says that it hung, and here it is back */
    due = ccs_earlier(l->due_probe, l->due_refresh);
    if (l->token == 0)
        return ccs_earlier(due, l->due_tick);
    if (up) {
        due = ccs_earlier(due, l->writer == NULL ? l->due_open : CCS_NEVER);
        due = ccs_earlier(due, ccs_earlier(l->due_watch, l->due_list));
        due = ccs_earlier(due, ccs_earlier(l->due_look, l->due_missing));
        due = ccs_earlier(due, l->due_tick);
    }
    return due;
}

static void wait_for_something(struct ccs_refresh *r)
{
    const int64_t wait = ccs_later(0, next_due(r) - ccs_now_ms());
    struct pollfd fds[2];
    eventfd_t value;

    fds[0] = (struct pollfd){.fd = r->wake_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = ccs_store_watch_fd(r->store), .events = POLLIN};
    if (poll(fds, 2, (int)ccs_earlier(wait, 60000)) <= 0)
        return;
    if (fds[0].revents != 0)
        (void)eventfd_read(r->wake_fd, &value);
    if (fds[1].revents != 0 && !ccs_refresh_is_stopping(r))
        read_events(r);
}

void *ccs_looker_main(void *arg)
{
    struct ccs_refresh *r = arg;
    int abandoned;

    /* Like loaders in a pressed pool: or it would take the processor from them, for which
     * handshakes wait, as long as a listing lasts. */
    (void)!setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), CCS_LOADER_NICE);
    while (!ccs_refresh_is_stopping(r)) {
        run_due(r);
        if (!ccs_refresh_is_stopping(r))
            wait_for_something(r);
    }
    pthread_mutex_lock(&r->lock);
    r->looker_ended = 1;
    abandoned = r->abandoned;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
    if (abandoned)
        ccs_refresh_release(r);
    return NULL;
}

void ccs_looker_init(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    l->random = (uint64_t)now * 2654435761u + (uint64_t)getpid() * 40503u + 1;
    l->due_refresh = now + ccs_looker_jitter(l, r->times.refresh);
    l->due_probe = now;
    l->due_watch = l->due_list = l->due_look = l->due_missing = CCS_NEVER;
    l->due_tick = now + r->times.tick;
    l->moved_at = now - r->times.apart;
}
