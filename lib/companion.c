/* SPDX-License-Identifier: Apache-2.0 */
#include "companion.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "error.h"

enum companion_state {
    COMPANION_BEGINS,
    COMPANION_READY, /* for a call; or its last one has returned */
    COMPANION_CALLED,
    COMPANION_ENDS
};

struct ccs_companion {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum companion_state state;
    struct ccs_thread_priority priority;
    int (*fn)(void *arg);
    void *arg;
    int result;
    bool no_memory; /* in OpenSSL, for the last call */
};

static _Thread_local struct ccs_companion *in_use;

static void change_locked(struct ccs_companion *c, enum companion_state state)
{
    c->state = state;
    pthread_cond_broadcast(&c->changed);
}

static void await_locked(struct ccs_companion *c, enum companion_state not_this)
{
    while (c->state == not_this)
        pthread_cond_wait(&c->changed, &c->lock);
}

static void *companion_main(void *arg)
{
    struct ccs_companion *c = arg;

    pthread_setname_np(pthread_self(), "ccs-derive");
    /* What OpenSSL keeps for each thread is made under locks of everybody's, so it is made now. */
    ERR_clear_error();
    pthread_mutex_lock(&c->lock);
    ccs_priority_describe(&c->priority);
    change_locked(c, COMPANION_READY);
    pthread_mutex_unlock(&c->lock);
    /* Not before: whoever waits for it to begin does so at another priority. */
    ccs_priority_lower();

    pthread_mutex_lock(&c->lock);
    for (;;) {
        await_locked(c, COMPANION_READY);
        if (c->state == COMPANION_ENDS)
            break;
        pthread_mutex_unlock(&c->lock);
        c->result = c->fn(c->arg);
        c->no_memory = ccs_error_queue_says_no_memory() != 0;
        pthread_mutex_lock(&c->lock);
        change_locked(c, COMPANION_READY);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void release(struct ccs_companion *c)
{
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

struct ccs_companion *ccs_companion_start(struct ccs_thread_priority *priority)
{
    struct ccs_companion *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (pthread_create(&c->thread, NULL, companion_main, c) != 0) {
        release(c);
        return NULL;
    }
    pthread_mutex_lock(&c->lock);
    await_locked(c, COMPANION_BEGINS);
    *priority = c->priority;
    pthread_mutex_unlock(&c->lock);
    return c;
}

void ccs_companion_end(struct ccs_companion *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    change_locked(c, COMPANION_ENDS);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    release(c);
}

void ccs_companion_use(struct ccs_companion *c)
{
    in_use = c;
}

void ccs_companion_yield(void)
{
    if (in_use != NULL)
        (void)sched_yield();
}

int ccs_companion_call(int (*fn)(void *arg), void *arg)
{
    struct ccs_companion *c = in_use;
    bool no_memory;
    int result;

    if (c == NULL)
        return fn(arg);
    pthread_mutex_lock(&c->lock);
    c->fn = fn;
    c->arg = arg;
    change_locked(c, COMPANION_CALLED);
    await_locked(c, COMPANION_CALLED);
    result = c->result;
    no_memory = c->no_memory;
    pthread_mutex_unlock(&c->lock);
    if (no_memory)
        ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
    return result;
}
