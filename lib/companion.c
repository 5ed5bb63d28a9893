/* SPDX-License-Identifier: Apache-2.0 */
#include "companion.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "error.h"

/*
 * One of the two threads works at a time, and hands over to the other by a semaphore: nothing is
 * held meanwhile that the one that wakes up would have to wait for once more.
 */
struct ccs_companion {
    pthread_t thread;
    sem_t called;
    sem_t answered; /* also once the thread has begun */
    struct ccs_thread_priority priority;
    int (*fn)(void *arg); /* NULL: the thread ends */
    void *arg;
    int result;
    bool no_memory; /* in OpenSSL, for the last call */
};

static _Thread_local struct ccs_companion *in_use;
static _Thread_local bool is_companion;

static void await(sem_t *sem)
{
    while (sem_wait(sem) != 0 && errno == EINTR)
        ;
}

static void *companion_main(void *arg)
{
    struct ccs_companion *c = arg;

    is_companion = true;
    pthread_setname_np(pthread_self(), "ccs-derive");
    /* What OpenSSL keeps for each thread is made under locks of everybody's, so it is made now. */
    ERR_clear_error();
    ccs_priority_describe(&c->priority);
    sem_post(&c->answered);
    /* Not before: whoever waits for it to begin does so at another priority. */
    ccs_priority_lower();

    for (;;) {
        await(&c->called);
        if (c->fn == NULL)
            return NULL;
        c->result = c->fn(c->arg);
        c->no_memory = ccs_error_queue_says_no_memory() != 0;
        sem_post(&c->answered);
    }
}

static void release(struct ccs_companion *c)
{
    sem_destroy(&c->answered);
    sem_destroy(&c->called);
    free(c);
}

struct ccs_companion *ccs_companion_start(struct ccs_thread_priority *priority)
{
    struct ccs_companion *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    sem_init(&c->called, 0, 0);
    sem_init(&c->answered, 0, 0);
    if (pthread_create(&c->thread, NULL, companion_main, c) != 0) {
        release(c);
        return NULL;
    }
    await(&c->answered);
    *priority = c->priority;
    return c;
}

void ccs_companion_end(struct ccs_companion *c)
{
    if (c == NULL)
        return;
    c->fn = NULL;
    sem_post(&c->called);
    pthread_join(c->thread, NULL);
    release(c);
}

void ccs_companion_use(struct ccs_companion *c)
{
    in_use = c;
}

void ccs_companion_yield(void)
{
    if (in_use != NULL || is_companion)
        (void)sched_yield();
}

int ccs_companion_call(int (*fn)(void *arg), void *arg)
{
    struct ccs_companion *c = in_use;

    if (c == NULL)
        return fn(arg);
    c->fn = fn;
    c->arg = arg;
    sem_post(&c->called);
    await(&c->answered);
    if (c->no_memory)
        ERR_raise(ERR_LIB_CRYPTO, ERR_R_MALLOC_FAILURE);
    return c->result;
}
