/* SPDX-License-Identifier: Apache-2.0 */
#include "victim.h"

#include <inttypes.h>
#include <stdio.h>

#include "wait.h"

#define DISTINCT        16   /* files of a store of victims; the others are links */
#define OTHERS_AT_ONCE  4096 /* connections */
#define HEAD_START_MS   500
#define SETTLE_LIMIT_MS 60000

static char victim_list_name[] = CCS_VICTIM_NAME;
static char *victim_list[] = {victim_list_name};
static const struct ccs_names victim_names = {.list = victim_list, .count = 1};

char *ccs_victim_store(struct ccs_bench *bench, uint64_t count, int rounds, char out[220])
{
    const struct ccs_bench_store victim = {.dir = out, .names = &victim_names};

    ccs_bench_hosts(bench, "store", count, DISTINCT, rounds, out);
    ccs_bench_store_fill(&victim, bench->ca);
    return out;
}

struct settling {
    struct ccs_condition *condition;
    const struct ccs_names *names;
};

/* Whether the server loads and serves as if nothing had happened. */
static int settled(void *arg)
{
    const struct settling *s = arg;
    const struct ccs_load_spec spec = {.port = s->condition->server->port[0],
                                       .names = s->names,
                                       .first = s->condition->next++,
                                       .handshakes = 1,
                                       .timeout_ms = 2000};
    struct ccs_load_result result;
    int served;

    if (ccs_load_run(&spec, &result) != 0)
        ccs_bench_fail("the load did not run");
    served = result.counts.ends[CCS_CONN_SERVED] == 1;
    ccs_load_result_clear(&result);
    return served;
}

static void start_others(const struct ccs_victim_plan *plan, struct ccs_condition *c,
                         struct ccs_bench_background *others)
{
    const struct ccs_load_spec spec = {.port = c->server->port[0],
                                       .names = c->names,
                                       .first = c->fresh ? c->next : 0,
                                       .seconds = plan->seconds + 2 * HEAD_START_MS / 1e3,
                                       .concurrency = OTHERS_AT_ONCE,
                                       .rate = c->rate};

    ccs_bench_background_start(plan->bench, &spec, others);
    ccs_wait_pass(HEAD_START_MS);
}

static void end_others(struct ccs_condition *c, struct ccs_bench_background *others)
{
    struct settling settling = {c, c->names};
    struct ccs_load_counts counts;

    ccs_bench_background_wait(others, &counts);
    c->next += counts.begun;
    c->others.begun += counts.begun;
    c->others.skipped += counts.skipped;
    for (int i = 0; i < CCS_CONN_ENDS; i++)
        c->others.ends[i] += counts.ends[i];
    if (c->slow != NULL)
        ccs_nginx_slow(c->server, "");
    if (c->settle && !ccs_wait_until(settled, &settling, SETTLE_LIMIT_MS))
        ccs_bench_fail("%s: the server does not recover", c->title);
}

static void phase(const struct ccs_victim_plan *plan, struct ccs_condition *c)
{
    const struct ccs_load_spec spec = {.port = c->server->port[0],
                                       .names = &victim_names,
                                       .seconds = plan->seconds,
                                       .concurrency = 256,
                                       .rate = plan->rate};
    const pid_t worker = ccs_bench_worker(c->server);
    struct ccs_bench_background others;
    struct ccs_load_result result;
    struct ccs_turns before, after;

    ccs_bench_visit(c->server, &victim_names, 0, 20);
    if (c->names != NULL && !c->fresh)
        ccs_bench_visit(c->server, c->names, 0, c->names->count);
    if (c->slow != NULL)
        ccs_nginx_slow(c->server, c->slow);
    if (c->names != NULL)
        start_others(plan, c, &others);
    ccs_usage_turns(worker, &before);
    ccs_bench_load(&spec, &result);
    ccs_usage_turns(worker, &after);
    c->turns.run_ns += after.run_ns - before.run_ns;
    c->turns.wait_ns += after.wait_ns - before.wait_ns;
    c->seconds += result.counts.seconds;
    if (c->names != NULL)
        end_others(c, &others);
    ccs_samples_add_all(&c->all, &result.served_us);
    ccs_samples_add(&c->p50, ccs_samples_percentile(&result.served_us, 0.5));
    ccs_samples_add(&c->p99, ccs_samples_percentile(&result.served_us, 0.99));
    ccs_load_result_clear(&result);
}

static void show(const struct ccs_condition *c)
{
    struct ccs_samples p50 = {0}, p99 = {0}, all = {0};

    ccs_samples_add_all(&p50, &c->p50);
    ccs_samples_add_all(&p99, &c->p99);
    ccs_samples_add_all(&all, &c->all);
    printf("%-30s %7.2f %7.2f %7.2f %7.2f %5.1f%% %5.1f%%", c->title,
           ccs_samples_median(&p50) / 1e3, ccs_samples_median(&p99) / 1e3,
           ccs_samples_percentile(&all, 0.999) / 1e3, ccs_samples_percentile(&all, 1) / 1e3,
           (double)c->turns.run_ns / c->seconds / 1e7, (double)c->turns.wait_ns / c->seconds / 1e7);
    if (c->names != NULL)
        printf(" %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %6" PRIu64, c->others.begun,
               c->others.ends[CCS_CONN_SERVED], c->others.ends[CCS_CONN_ALERT],
               c->others.begun - c->others.ends[CCS_CONN_SERVED] - c->others.ends[CCS_CONN_ALERT]);
    printf("\n");
    ccs_samples_clear(&p50);
    ccs_samples_clear(&p99);
    ccs_samples_clear(&all);
}

static void show_noise(const struct ccs_condition *c)
{
    struct ccs_samples p99 = {0};

    ccs_samples_add_all(&p99, &c->p99);
    printf("p99 of the %zu phases of \"%s\": from %.2f to %.2f ms\n", p99.count, c->title,
           ccs_samples_percentile(&p99, 0) / 1e3, ccs_samples_percentile(&p99, 1) / 1e3);
    ccs_samples_clear(&p99);
}

void ccs_victim_run(const struct ccs_victim_plan *plan)
{
    for (int round = 0; round < plan->rounds; round++) {
        for (size_t i = 0; i < plan->count; i++)
            phase(plan, &plan->conditions[i]);
        for (size_t i = plan->count; i-- > 0;)
            phase(plan, &plan->conditions[i]);
    }
    printf("%-30s %7s %7s %7s %7s %6s %6s %8s %8s %8s %6s\n", "victim's times in ms", "p50", "p99",
           "p99.9", "max", "busy", "queued", "others", "served", "alert", "else");
    for (size_t i = 0; i < plan->count; i++)
        show(&plan->conditions[i]);
    show_noise(&plan->conditions[0]);
}

double ccs_victim_ratio(const struct ccs_condition *of, const struct ccs_condition *to)
{
    struct ccs_samples ratios = {0};
    struct ccs_estimate e;

    for (size_t i = 0; i < of->p99.count && i < to->p99.count; i++)
        ccs_samples_add(&ratios, of->p99.value[i] / to->p99.value[i]);
    e = ccs_samples_estimate(&ratios, 1);
    printf("p99 of \"%s\" to \"%s\": ratio %.3f (%.3f to %.3f), %zu pairs\n", of->title, to->title,
           e.value, e.low, e.high, ratios.count);
    ccs_samples_clear(&ratios);
    return e.value;
}
