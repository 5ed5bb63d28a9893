/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>

#include <jansson.h>

/* In the order of enum ccs_conn_end. */
static const char *const ends[CCS_CONN_ENDS] = {NULL,     "served",  "wrong",  "alert",
                                                "closed", "refused", "failed", "timeout"};

static const struct {
    const char *name;
    double share;
} points[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}};

#define POINTS (sizeof(points) / sizeof(points[0]))

static double cpu_us_each(const struct ccs_load_counts *c)
{
    return c->begun > 0 ? (double)c->usage.cpu_ns / 1e3 / (double)c->begun : 0;
}

/* The clocks of processes know no difference; ticks do, roughly. */
static double user_share(const struct ccs_load_counts *c)
{
    long all = c->usage.user + c->usage.system;

    return all > 0 ? (double)c->usage.user / (double)all : 0;
}

static double per_second(const struct ccs_load_counts *c)
{
    return c->seconds > 0 ? (double)c->begun / c->seconds : 0;
}

static void table_latency(FILE *out, const char *title, struct ccs_samples *samples)
{
    if (samples->count == 0)
        return;
    fprintf(out, "%-12s", title);
    for (size_t i = 0; i < POINTS; i++)
        fprintf(out, "  %s %.3f", points[i].name,
                ccs_samples_percentile(samples, points[i].share) / 1e3);
    fprintf(out, "  ms\n");
}

void ccs_report_table(FILE *out, struct ccs_load_result *result)
{
    const struct ccs_load_counts *c = &result->counts;

    fprintf(out, "%-12s  %" PRIu64 " in %.2f s, %.0f/s\n", "handshakes", c->begun, c->seconds,
            per_second(c));
    for (int i = CCS_CONN_SERVED; i < CCS_CONN_ENDS; i++) {
        if (c->ends[i] > 0)
            fprintf(out, "%-12s  %" PRIu64 "\n", ends[i], c->ends[i]);
    }
    for (int i = 0; i < 256; i++) {
        if (c->alerts[i] > 0)
            fprintf(out, "  alert %-4d  %" PRIu64 "  %s\n", i, c->alerts[i],
                    SSL_alert_desc_string_long(i));
    }
    if (result->wrong_name[0] != '\0')
        fprintf(out, "%-12s  %s\n", "wrong for", result->wrong_name);
    if (c->skipped > 0)
        fprintf(out, "%-12s  %" PRIu64 ": more connections at once would be needed\n", "skipped",
                c->skipped);
    table_latency(out, "served", &result->served_us);
    table_latency(out, "refused", &result->refused_us);
    if (c->late_max_us > 0)
        fprintf(out, "%-12s  %.3f ms: latest begin against its time\n", "late",
                c->late_max_us / 1e3);
    if (c->usage.processes > 0)
        fprintf(out, "%-12s  %.1f us each, %.0f %% of it in user space, %zu processes\n",
                "server CPU", cpu_us_each(c), 100 * user_share(c), c->usage.processes);
}

static json_t *json_latency(struct ccs_samples *samples)
{
    json_t *object = json_object();

    json_object_set_new(object, "count", json_integer((json_int_t)samples->count));
    for (size_t i = 0; samples->count > 0 && i < POINTS; i++)
        json_object_set_new(object, points[i].name,
                            json_real(ccs_samples_percentile(samples, points[i].share)));
    return object;
}

int ccs_report_json(FILE *out, struct ccs_load_result *result)
{
    const struct ccs_load_counts *c = &result->counts;
    json_t *all = json_object(), *alerts = json_object();
    char number[8];
    int rv;

    json_object_set_new(all, "handshakes", json_integer((json_int_t)c->begun));
    json_object_set_new(all, "seconds", json_real(c->seconds));
    for (int i = CCS_CONN_SERVED; i < CCS_CONN_ENDS; i++)
        json_object_set_new(all, ends[i], json_integer((json_int_t)c->ends[i]));
    for (int i = 0; i < 256; i++) {
        snprintf(number, sizeof(number), "%d", i);
        if (c->alerts[i] > 0)
            json_object_set_new(alerts, number, json_integer((json_int_t)c->alerts[i]));
    }
    json_object_set_new(all, "alerts", alerts);
    json_object_set_new(all, "skipped", json_integer((json_int_t)c->skipped));
    json_object_set_new(all, "late_max_us", json_real(c->late_max_us));
    json_object_set_new(all, "served_us", json_latency(&result->served_us));
    json_object_set_new(all, "refused_us", json_latency(&result->refused_us));
    if (c->usage.processes > 0) {
        json_object_set_new(all, "cpu_us_per_handshake", json_real(cpu_us_each(c)));
        json_object_set_new(all, "cpu_user_share", json_real(user_share(c)));
    }
    rv = json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(all);
    return rv == 0 && fputc('\n', out) != EOF && fflush(out) == 0 ? 0 : -1;
}
