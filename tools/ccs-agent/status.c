/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the agent as JSON, for people who look after it. Nothing in it is secret. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "share.h"

struct text {
    char *buf;
    size_t size;
    size_t len;
};

static void put(struct text *t, const char *fmt, ...) CCS_PRINTF(2, 3);

static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->len += (size_t)n < t->size - t->len ? (size_t)n : t->size - t->len - 1;
}

/* What is shown is printable already, but for what JSON escapes. */
static void put_string(struct text *t, const char *name, const char *value)
{
    put(t, "\"%s\":\"", name);
    for (; *value != '\0' && t->len + 16 < t->size; value++) {
        if (*value == '"' || *value == '\\')
            put(t, "\\");
        put(t, "%c", (unsigned char)*value < 0x20 ? ' ' : *value);
    }
    put(t, "\",");
}

static void put_link(struct text *t, const struct agent_link *link)
{
    put(t, "\"%s\":{\"pid\":%d,\"starts\":%u},", agent_role_name(link->role), (int)link->pid,
        link->starts);
}

static void put_share(struct text *t, const struct agent_share *s, int64_t now)
{
    const struct agent_logon *logon = &s->broker->board->logon[s->store];

    put(t, "{");
    put_string(t, "store", s->shown);
    put(t, "\"answers\":%s,", s->down || s->asked_at == 0 ? "false" : "true");
    if (s->down) {
        put(t, "\"down_ms\":%lld,", (long long)(now - s->down_since));
        put_string(t, "reason", s->reason.text);
    }
    put_link(t, &s->worker);
    put_link(t, &s->watcher);
    put_link(t, &s->lister);
    put(t, "\"watched\":%s,", s->armed ? "true" : "false");
    put(t, "\"logons\":{\"accepted\":%u,\"refused\":%u,\"pause_ms\":%lld},",
        (unsigned)atomic_load(&logon->accepted), (unsigned)atomic_load(&logon->refused),
        (long long)agent_logon_pause(logon, now));
    put(t, "\"waiting\":%u,\"requests\":%llu,\"shared\":%llu,\"asked\":%llu,", s->job_count,
        (unsigned long long)s->count.requests, (unsigned long long)s->count.shared,
        (unsigned long long)s->count.asked);
    put(t, "\"rejected\":%llu,\"timeouts\":%llu,\"listings\":%llu,\"events\":%llu}",
        (unsigned long long)s->count.rejected, (unsigned long long)s->count.timeouts,
        (unsigned long long)s->count.listings, (unsigned long long)s->count.events);
}

size_t agent_status_json(const struct agent_broker *b, char *buf, size_t size)
{
    const int64_t now = ccs_now_ms();
    struct text t = {buf, size, 0};

    put(&t, "{");
    put_string(&t, "version", ccs_version());
    put(&t, "\"broker\":%d,\"supervisor\":%d,\"uptime_ms\":%lld,\"clients\":%u,\"stores\":[",
        (int)getpid(), (int)getppid(), (long long)(now - b->started_at), b->client_count);
    for (unsigned i = 0; i < b->setup->stores; i++) {
        put(&t, i > 0 ? "," : "");
        put_share(&t, b->share[i], now);
    }
    put(&t, "]}");
    return t.len;
}
