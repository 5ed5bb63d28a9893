/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
    enum ccs_level level;
    char text[];
};

struct ccs_log {
    enum ccs_level max;
    ccs_log_cb cb;
    void *arg;
    unsigned flags;
    void (*wake)(void *arg);
    void *wake_arg;

    pthread_mutex_t lock; /* of all below; a leaf, held for a few instructions */
    size_t head, count;
    unsigned long dropped; /* since the last line that was queued */
    struct line *queue[CCS_LOG_QUEUE_MAX];
};

struct ccs_log *ccs_log_new(enum ccs_level max, ccs_log_cb cb, void *arg, unsigned flags,
                            void (*wake)(void *wake_arg), void *wake_arg)
{
    struct ccs_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    if (pthread_mutex_init(&log->lock, NULL) != 0) {
        free(log);
        return NULL;
    }
    log->max = max;
    log->cb = cb;
    log->arg = arg;
    log->flags = flags;
    log->wake = wake;
    log->wake_arg = wake_arg;
    return log;
}

static struct line *pop_locked(struct ccs_log *log)
{
    struct line *line = log->queue[log->head];

    log->queue[log->head] = NULL;
    log->head = (log->head + 1) % CCS_LOG_QUEUE_MAX;
    log->count--;
    return line;
}

static void push_locked(struct ccs_log *log, struct line *line)
{
    log->queue[(log->head + log->count) % CCS_LOG_QUEUE_MAX] = line;
    log->count++;
}

void ccs_log_free(struct ccs_log *log)
{
    if (!log)
        return;
    while (log->count > 0)
        free(pop_locked(log));
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

int ccs_log_wants(const struct ccs_log *log, enum ccs_level level)
{
    return log && log->cb && level <= log->max;
}

static struct line *line_new(enum ccs_level level, const char *text)
{
    size_t len = strlen(text);
    struct line *line = malloc(sizeof(*line) + len + 1);

    if (!line)
        return NULL;
    line->level = level;
    memcpy(line->text, text, len + 1);
    return line;
}

/* The line that stands for those that were lost; never more detailed than what is wanted. */
static enum ccs_level notice(const struct ccs_log *log, unsigned long dropped, char *out,
                             size_t size)
{
    (void)snprintf(out, size, "%lu log line%s lost, because they came faster than they were taken",
                   dropped, dropped == 1 ? " was" : "s were");
    return log->max < CCS_LOG_WARN ? log->max : CCS_LOG_WARN;
}

/* Takes the line, whatever becomes of it. */
static void enqueue(struct ccs_log *log, struct line *line)
{
    struct line *lost = NULL;
    char text[128];
    unsigned long dropped;
    int first = 0;

    (void)pthread_mutex_lock(&log->lock);
    dropped = log->dropped;
    (void)pthread_mutex_unlock(&log->lock);
    if (dropped > 0 && line) {
        enum ccs_level level = notice(log, dropped, text, sizeof(text));

        lost = line_new(level, text);
    }

    (void)pthread_mutex_lock(&log->lock);
    /* Lines that were lost are told of where they are missing, if their number is still right. */
    if (line && log->dropped == 0 && log->count < CCS_LOG_QUEUE_MAX) {
        first = log->count == 0;
        push_locked(log, line);
        line = NULL;
    } else if (line && lost && log->dropped == dropped && log->count + 2 <= CCS_LOG_QUEUE_MAX) {
        first = log->count == 0;
        push_locked(log, lost);
        push_locked(log, line);
        log->dropped = 0;
        lost = line = NULL;
    } else {
        first = log->count == 0 && log->dropped == 0;
        log->dropped++;
    }
    (void)pthread_mutex_unlock(&log->lock);

    free(line);
    free(lost);
    if (first && log->wake)
        log->wake(log->wake_arg);
}

void ccs_log(struct ccs_log *log, enum ccs_level level, const char *fmt, ...)
{
    char text[CCS_LOG_LINE_MAX];
    va_list ap;
    size_t len;
    int n;

    if (!ccs_log_wants(log, level))
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    len = (size_t)n;
    if (len >= sizeof(text)) {
        len = sizeof(text) - 4;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
        memcpy(text + len, "...", 4);
        len += 3;
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
    /* One call is one line, whatever an argument held. */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    }

    if ((log->flags & CCS_LOG_DISPATCHED) != 0)
        enqueue(log, line_new(level, text));
    else
        log->cb(level, text, log->arg);
}

unsigned ccs_log_deliver(struct ccs_log *log, unsigned max)
{
    unsigned done = 0;
    size_t left;
    int more;

    if (!log)
        return 0;
    (void)pthread_mutex_lock(&log->lock);
    /* A callback may log: only what is there now is delivered, so that this comes to an end. */
    left = log->count + (log->dropped > 0);
    (void)pthread_mutex_unlock(&log->lock);
    if (max > 0 && left > max)
        left = max;

    for (; left > 0; left--) {
        struct line *line = NULL;
        unsigned long dropped = 0;

        (void)pthread_mutex_lock(&log->lock);
        if (log->count > 0) {
            line = pop_locked(log);
        } else {
            dropped = log->dropped;
            log->dropped = 0;
        }
        (void)pthread_mutex_unlock(&log->lock);

        if (line) {
            log->cb(line->level, line->text, log->arg);
            free(line);
        } else if (dropped > 0) {
            char text[128];
            enum ccs_level level = notice(log, dropped, text, sizeof(text));

            log->cb(level, text, log->arg);
        } else {
            break;
        }
        done++;
    }

    (void)pthread_mutex_lock(&log->lock);
    more = log->count > 0 || log->dropped > 0;
    (void)pthread_mutex_unlock(&log->lock);
    if (more && log->wake)
        log->wake(log->wake_arg);
    return done;
}
