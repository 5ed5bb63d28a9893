/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator reads: one JSON object (RFC 8259) about a store and all its processes. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "instance.h"

/* Writes what fits and counts what would. */
struct writer {
    char *buf;
    size_t size, len;
    bool first; /* nothing yet in the object that is open */
};

static void put(struct writer *w, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++, w->len++) {
        if (w->len + 1 < w->size)
            w->buf[w->len] = text[i];
    }
}

static void put_string(struct writer *w, const char *text)
{
    char escaped[8];

    put(w, "\"", 1);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\' || *p < 0x20) {
            int n = snprintf(escaped, sizeof(escaped), "\\u%04x", *p);

            put(w, escaped, (size_t)n);
        } else {
            put(w, (const char *)p, 1);
        }
    }
    put(w, "\"", 1);
}

static void put_name(struct writer *w, const char *name)
{
    if (!w->first)
        put(w, ",", 1);
    w->first = false;
    put_string(w, name);
    put(w, ":", 1);
}

static void open_object(struct writer *w, const char *name)
{
    if (name != NULL)
        put_name(w, name);
    put(w, "{", 1);
    w->first = true;
}

static void close_object(struct writer *w)
{
    put(w, "}", 1);
    w->first = false;
}

static void put_number(struct writer *w, const char *name, uint64_t n)
{
    char text[24];

    put_name(w, name);
    put(w, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, n));
}

static void put_text(struct writer *w, const char *name, const char *text)
{
    put_name(w, name);
    put_string(w, text);
}

static void put_flag(struct writer *w, const char *name, bool flag)
{
    put_name(w, name);
    put(w, flag ? "true" : "false", flag ? 4 : 5);
}

static void put_memory(struct writer *w, const struct ccs *ccs)
{
    struct ccs_vault_stats v;

    ccs_vault_stats_get(&ccs->layout->vault, &v);
    open_object(w, "memory");
    put_number(w, "size", ccs_arena_size(ccs->layout->arena));
    put_number(w, "room", v.octets);
    put_number(w, "used", v.octets_used);
    put_number(w, "entries", v.entries);
    put_number(w, "failures", v.failures);
    put_number(w, "intermediates", ccs_intermediates_count(ccs->layout->intermediates));
    put_number(w, "evictions", v.evictions);
    put_number(w, "loading", v.claims);
    put_number(w, "recoveries", v.recoveries);
    put_number(w, "lost", v.dropped);
    close_object(w);
}

static void put_index(struct writer *w, const struct ccs *ccs)
{
    static const char *const states[] = {
        [CCS_INDEX_NONE] = "none", [CCS_INDEX_EMPTY] = "listing",     [CCS_INDEX_READY] = "ready",
        [CCS_INDEX_FULL] = "full", [CCS_INDEX_UNLISTED] = "unlisted",
    };
    /* Asking remembers where the store was found, which changes nothing of the instance. */
    struct ccs_index *index = (struct ccs_index *)(uintptr_t)&ccs->index;
    const int64_t now = ccs_now_ms();
    struct ccs_index_status s;

    ccs_index_status(index, &s);
    open_object(w, "index");
    put_text(w, "state", states[s.state]);
    put_number(w, "names", s.names);
    put_number(w, "missing", s.missing);
    put_number(w, "odd_spellings", s.odd);
    put_number(w, "left_out", s.odd_left_out);
    put_flag(w, "suspect", s.suspect_ms != 0);
    put_number(w, "listed_seconds_ago",
               s.listed_ms != 0 && now > s.listed_ms ? (uint64_t)(now - s.listed_ms) / 1000 : 0);
    put_number(w, "size", s.octets_max);
    put_number(w, "used", s.octets);
    put_number(w, "lost", s.lost);
    close_object(w);
}

static void put_latency(struct writer *w, const char *name, const struct ccs_counters_sum *sum,
                        unsigned first)
{
    static const unsigned per_cent[] = {50, 90, 99};
    char key[24];

    open_object(w, name);
    put_number(w, "count", ccs_latency_count(sum, first));
    for (size_t i = 0; i < CCS_ARRAY_LEN(per_cent); i++) {
        const int64_t ms = ccs_latency_percentile(sum, first, per_cent[i]);

        snprintf(key, sizeof(key), "p%u", per_cent[i]);
        if (ms >= 0)
            put_number(w, key, (uint64_t)ms);
        else
            put_text(w, key, "longer");
    }
    open_object(w, "up_to");
    for (unsigned i = 0; i < CCS_LATENCY_BUCKETS - 1; i++) {
        snprintf(key, sizeof(key), "%" PRId64, ccs_latency_bounds_ms[i]);
        put_number(w, key, sum->common[first + i]);
    }
    put_number(w, "longer", sum->common[first + CCS_LATENCY_BUCKETS - 1]);
    close_object(w);
    close_object(w);
}

static void put_counters(struct writer *w, const struct ccs_counters_sum *sum)
{
    static const struct {
        unsigned which;
        const char *name;
    } requests[] = {{CCS_COUNT_HITS, "hits"},           {CCS_COUNT_MISSES, "misses"},
                    {CCS_COUNT_NOT_FOUND, "not_found"}, {CCS_COUNT_REFUSED, "refused"},
                    {CCS_COUNT_TIMEOUTS, "timeouts"},   {CCS_COUNT_BUSY, "busy"}},
      loads[] = {{CCS_COUNT_LOADS, "loaded"},
                 {CCS_COUNT_SHARED, "shared"},
                 {CCS_COUNT_LOAD_ERRORS, "failed"},
                 {CCS_COUNT_READS, "store_reads"},
                 {CCS_COUNT_DECODES, "decodes"}};

    open_object(w, "requests");
    for (size_t i = 0; i < CCS_ARRAY_LEN(requests); i++)
        put_number(w, requests[i].name, sum->own[requests[i].which]);
    put_number(w, "waiting",
               sum->gauges[CCS_GAUGE_WAITING] > 0 ? (uint64_t)sum->gauges[CCS_GAUGE_WAITING] : 0);
    close_object(w);
    open_object(w, "loads");
    for (size_t i = 0; i < CCS_ARRAY_LEN(loads); i++)
        put_number(w, loads[i].name, sum->own[loads[i].which]);
    put_number(w, "probes", sum->common[CCS_COMMON_PROBES]);
    close_object(w);
    open_object(w, "failures");
    for (int code = 1; code < CCS_COMMON_PROBES; code++) {
        if (sum->common[code] > 0)
            put_number(w, ccs_code_name(-code), sum->common[code]);
    }
    close_object(w);
    open_object(w, "milliseconds");
    put_latency(w, "load", sum, CCS_COMMON_LOADS);
    put_latency(w, "wait", sum, CCS_COMMON_WAITS);
    close_object(w);
}

size_t ccs_status_json(const struct ccs *ccs, char *buf, size_t size)
{
    struct writer w = {.buf = buf, .size = size};
    struct ccs_counters_sum sum;

    ccs_counters_read(ccs->layout->counters, &sum);
    open_object(&w, NULL);
    put_text(&w, "version", ccs_version());
    put_text(&w, "store", ccs->settings.store);
    put_text(&w, "state", atomic_load(&ccs->store_down) ? "down" : "up");
    put_number(&w, "processes", sum.processes);
    put_number(&w, "processes_without_store",
               sum.gauges[CCS_GAUGE_STORE_DOWN] > 0 ? (uint64_t)sum.gauges[CCS_GAUGE_STORE_DOWN]
                                                    : 0);
    put_index(&w, ccs);
    put_memory(&w, ccs);
    put_counters(&w, &sum);
    close_object(&w);
    if (size > 0)
        buf[w.len < size ? w.len : size - 1] = '\0';
    return w.len;
}
