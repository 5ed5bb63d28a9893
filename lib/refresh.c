/* SPDX-License-Identifier: Apache-2.0 */
/* The refresher's life, its clock, and how its threads keep out of each other's way. */
#include "refresh.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "looker.h"

#define STOP_STEP_MS 50

/* -- between the threads ------------------------------------------------------------------- */

int ccs_refresh_is_stopping(struct ccs_refresh *r)
{
    int stop;

    pthread_mutex_lock(&r->lock);
    stop = r->stop;
    pthread_mutex_unlock(&r->lock);
    return stop;
}

int ccs_refresh_is_up(struct ccs_refresh *r)
{
    int up;

    pthread_mutex_lock(&r->lock);
    up = r->up && !r->stop;
    pthread_mutex_unlock(&r->lock);
    return up;
}

int ccs_refresh_enter_ops(struct ccs_refresh *r)
{
    int ok;

    pthread_mutex_lock(&r->lock);
    while (r->in_ops && !r->stop)
        pthread_cond_wait(&r->turn, &r->lock);
    ok = !r->stop;
    if (ok)
        r->in_ops = 1;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void ccs_refresh_leave_ops(struct ccs_refresh *r)
{
    pthread_mutex_lock(&r->lock);
    r->in_ops = 0;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
}

void ccs_refresh_enter_store(struct ccs_refresh *r, int64_t limit_ms)
{
    const int64_t now = ccs_now_ms();

    pthread_mutex_lock(&r->lock);
    r->busy_since = now;
    r->busy_until = now + limit_ms;
    pthread_mutex_unlock(&r->lock);
}

int ccs_refresh_leave_store(struct ccs_refresh *r)
{
    int ok;

    pthread_mutex_lock(&r->lock);
    r->busy_until = 0;
    ok = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void ccs_refresh_set_up(struct ccs_refresh *r, int up, int hung, const struct ccs_error *why)
{
    int tell;

    if (!ccs_refresh_enter_ops(r))
        return;
    pthread_mutex_lock(&r->lock);
    tell = r->up != up && (!hung || (r->busy_until != 0 && r->busy_until <= ccs_now_ms()));
    if (tell) {
        r->up = up;
        r->expired = 0;
        r->down_since = ccs_now_ms();
        pthread_cond_signal(&r->hurry);
    }
    pthread_mutex_unlock(&r->lock);
    if (tell)
        r->ops.store_state(up, why, r->ops.arg);
    ccs_refresh_leave_ops(r);
}

void ccs_refresh_tell_changed(struct ccs_refresh *r, const char *stem)
{
    if (ccs_refresh_enter_ops(r)) {
        r->ops.changed(stem, r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
}

/* -- the clock ----------------------------------------------------------------------------- */

static void wait_until(struct ccs_refresh *r, pthread_cond_t *cond, int64_t when_ms)
{
    struct timespec until;

    if (when_ms == CCS_NEVER) {
        pthread_cond_wait(cond, &r->lock);
        return;
    }
    until.tv_sec = (time_t)(when_ms / 1000);
    until.tv_nsec = (long)(when_ms % 1000) * 1000000;
    (void)pthread_cond_timedwait(cond, &r->lock, &until);
}

static int64_t run_timers(struct ccs_refresh *r)
{
    int64_t next = CCS_NEVER;

    if (ccs_refresh_enter_ops(r)) {
        next = r->ops.timers(ccs_now_ms(), r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
    return next;
}

static void tell_hung(struct ccs_refresh *r, int64_t ms)
{
    struct ccs_error err;

    ccs_error_set(&err, CCS_EUNAVAIL, "no answer for %lld ms", (long long)ms);
    ccs_refresh_set_up(r, 0, 1, &err);
}

static void tell_expired(struct ccs_refresh *r)
{
    int tell;

    if (!ccs_refresh_enter_ops(r))
        return;
    pthread_mutex_lock(&r->lock);
    tell = !r->up && !r->expired && ccs_now_ms() - r->down_since >= r->times.stale;
    r->expired = r->expired || tell;
    pthread_mutex_unlock(&r->lock);
    if (tell)
        r->ops.expired(r->ops.arg);
    ccs_refresh_leave_ops(r);
}

static void *clock_main(void *arg)
{
    struct ccs_refresh *r = arg;
    int64_t timer = 0;
    int64_t hung;
    int64_t stale;
    int64_t now;
    int64_t busy;

    pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        now = ccs_now_ms();
        hung = r->up && r->busy_until != 0 ? r->busy_until : CCS_NEVER;
        stale = !r->up && !r->expired ? r->down_since + r->times.stale : CCS_NEVER;
        busy = now - r->busy_since;
        if (!r->woken && now < ccs_earlier(timer, ccs_earlier(hung, stale))) {
            /* Nobody tells when the looker enters the store, or goes on from a call that may take
             * long to one that may not, so a look now and then must do. */
            wait_until(r, &r->hurry,
                       ccs_earlier(ccs_earlier(timer, r->up ? now + r->times.hang : CCS_NEVER),
                                   ccs_earlier(hung, stale)));
            continue;
        }
        if (r->woken || now >= timer) {
            r->woken = 0;
            pthread_mutex_unlock(&r->lock);
            timer = run_timers(r);
        } else if (now >= hung) {
            pthread_mutex_unlock(&r->lock);
            tell_hung(r, busy);
        } else {
            pthread_mutex_unlock(&r->lock);
            tell_expired(r);
        }
        pthread_mutex_lock(&r->lock);
    }
    r->clock_ended = 1;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* -- life ---------------------------------------------------------------------------------- */

void ccs_refresh_times_default(const struct ccs_settings *settings, struct ccs_refresh_times *out)
{
    out->refresh = settings->refresh_ms;
    out->stale = settings->stale_ms;
    out->tick = 1000;
    out->apart = 2000;
    out->down_max = 5000;
    out->hang = 5000;
    out->hang_list = 120000;
    out->list_rest = 50;
}

void ccs_refresh_release(struct ccs_refresh *r)
{
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    ccs_index_writer_close(r->look.writer);
    free(r->look.missing);
    free(r->look.gone);
    pthread_cond_destroy(&r->turn);
    pthread_cond_destroy(&r->hurry);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static int make_lock(struct ccs_refresh *r)
{
    pthread_condattr_t attr;
    int made = 0;

    if (pthread_condattr_init(&attr) != 0)
        return CCS_ENOMEM;
    if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
        pthread_mutex_init(&r->lock, NULL) == 0) {
        made++;
        made += pthread_cond_init(&r->turn, &attr) == 0;
        made += made == 2 && pthread_cond_init(&r->hurry, &attr) == 0;
    }
    pthread_condattr_destroy(&attr);
    if (made == 2)
        pthread_cond_destroy(&r->turn);
    if (made == 1 || made == 2)
        pthread_mutex_destroy(&r->lock);
    return made == 3 ? CCS_OK : CCS_ENOMEM;
}

/* The server's signals are the server's: our threads take none but those of their own faults. */
static int start_thread(pthread_t *thread, void *(*main)(void *), struct ccs_refresh *r,
                        const char *name)
{
    sigset_t all;
    sigset_t old;
    int rc;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(thread, NULL, main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        (void)pthread_setname_np(*thread, name);
    return rc;
}

static void tell_to_stop(struct ccs_refresh *r)
{
    pthread_mutex_lock(&r->lock);
    r->stop = 1;
    pthread_cond_broadcast(&r->turn);
    pthread_cond_broadcast(&r->hurry);
    pthread_mutex_unlock(&r->lock);
    (void)eventfd_write(r->wake_fd, 1);
}

int ccs_refresh_start_timed(struct ccs_store *store, struct ccs_index *index, struct ccs_log *log,
                            const struct ccs_refresh_times *times,
                            const struct ccs_refresh_ops *ops, struct ccs_refresh **out,
                            struct ccs_error *err)
{
    struct ccs_refresh *r = calloc(1, sizeof(*r));
    int rc;

    if (r == NULL || make_lock(r) != CCS_OK) {
        free(r);
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the refresher");
    }
    r->store = store;
    r->index = index;
    r->log = log;
    r->ops = *ops;
    r->times = *times;
    r->up = 1;
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = r->wake_fd < 0 ? errno : 0;
    r->look.gone = calloc(CCS_GONE_MAX, sizeof(*r->look.gone));
    if (rc != 0 || r->look.gone == NULL) {
        ccs_refresh_release(r);
        return ccs_error_sys(err, CCS_ENOMEM, rc != 0 ? rc : ENOMEM,
                             "the refresher cannot be started");
    }
    ccs_looker_init(r);
    /* What ops do may lead to ccs_refresh_wake() at once, from any thread. */
    *out = r;
    rc = start_thread(&r->clock_thread, clock_main, r, "ccs-clock");
    if (rc == 0) {
        rc = start_thread(&r->looker_thread, ccs_looker_main, r, "ccs-refresh");
        if (rc != 0) {
            tell_to_stop(r);
            pthread_join(r->clock_thread, NULL);
        }
    }
    if (rc != 0) {
        *out = NULL;
        ccs_refresh_release(r);
        return ccs_error_sys(err, CCS_ENOMEM, rc, "the refresher's threads cannot be started");
    }
    return CCS_OK;
}

int ccs_refresh_start(struct ccs_store *store, struct ccs_index *index, struct ccs_log *log,
                      const struct ccs_settings *settings, const struct ccs_refresh_ops *ops,
                      struct ccs_refresh **out, struct ccs_error *err)
{
    struct ccs_refresh_times times;

    ccs_refresh_times_default(settings, &times);
    return ccs_refresh_start_timed(store, index, log, &times, ops, out, err);
}

void ccs_refresh_wake(struct ccs_refresh *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->woken = 1;
    pthread_cond_signal(&r->hurry);
    pthread_mutex_unlock(&r->lock);
}

void ccs_refresh_distrust(struct ccs_refresh *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->distrusted = 1;
    pthread_mutex_unlock(&r->lock);
    (void)eventfd_write(r->wake_fd, 1);
}

void ccs_refresh_hint(struct ccs_refresh *r, int code)
{
    int news;

    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    news = !r->hinted && (code == CCS_OK) != r->up;
    r->hinted = r->hinted || news;
    pthread_mutex_unlock(&r->lock);
    if (news)
        (void)eventfd_write(r->wake_fd, 1);
}

int ccs_refresh_stop(struct ccs_refresh *r, int64_t timeout_ms)
{
    int64_t waited = 0;
    int64_t began;
    int ended;

    if (r == NULL)
        return 1;
    tell_to_stop(r);
    pthread_mutex_lock(&r->lock);
    /* No step counts for more than its length: while the process stands still, nothing can end. */
    while (!r->looker_ended && waited < timeout_ms) {
        began = ccs_now_ms();
        wait_until(r, &r->turn, began + ccs_earlier(STOP_STEP_MS, timeout_ms - waited));
        waited += ccs_earlier(STOP_STEP_MS, ccs_now_ms() - began);
    }
    /* Calls of ops end by themselves, and none begins any more. */
    while (r->in_ops || !r->clock_ended)
        pthread_cond_wait(&r->turn, &r->lock);
    ended = r->looker_ended;
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->clock_thread, NULL);
    if (ended) {
        pthread_join(r->looker_thread, NULL);
        ccs_refresh_release(r);
        return 1;
    }
    pthread_detach(r->looker_thread);
    pthread_mutex_lock(&r->lock);
    r->abandoned = 1;
    ended = r->looker_ended;
    pthread_mutex_unlock(&r->lock);
    if (ended)
        ccs_refresh_release(r);
    return ended;
}
