/* SPDX-License-Identifier: Apache-2.0 */
#include "usage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "process.h"

#define CHILDREN_MAX 64
#define DEPTH_MAX    4

int64_t ccs_usage_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void add_ticks(pid_t pid, struct ccs_usage *out)
{
    char path[40], text[1024];
    unsigned long user, system;
    const char *at;
    size_t len;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    in = fopen(path, "re");
    if (in == NULL)
        return;
    len = fread(text, 1, sizeof(text) - 1, in);
    fclose(in);
    text[len] = '\0';
    /* The name in parentheses may hold anything; what follows it is numbers. */
    at = strrchr(text, ')');
    if (at != NULL && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                             &system) == 2) {
        out->user += (long)user;
        out->system += (long)system;
    }
}

static void add_tree(pid_t pid, int depth, struct ccs_usage *out)
{
    pid_t children[CHILDREN_MAX];
    struct timespec ts;
    clockid_t clock;
    size_t count;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return;
    out->cpu_ns += (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
    out->processes++;
    add_ticks(pid, out);
    if (depth >= DEPTH_MAX)
        return;
    count = ccs_process_children(pid, NULL, children, CHILDREN_MAX);
    for (size_t i = 0; i < count; i++)
        add_tree(children[i], depth + 1, out);
}

void ccs_usage_read(const pid_t *pids, size_t count, struct ccs_usage *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < count; i++)
        add_tree(pids[i], 0, out);
}

struct ccs_usage ccs_usage_since(const struct ccs_usage *later, const struct ccs_usage *earlier)
{
    struct ccs_usage out = *later;

    out.cpu_ns -= earlier->cpu_ns;
    out.user -= earlier->user;
    out.system -= earlier->system;
    return out;
}

long ccs_usage_pss_kib(pid_t pid)
{
    char path[40], line[128];
    long kib = 0;
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    in = fopen(path, "re");
    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (sscanf(line, "Pss: %ld", &kib) == 1)
            break;
    }
    if (in != NULL)
        fclose(in);
    return kib;
}

void ccs_usage_turns(pid_t pid, struct ccs_turns *out)
{
    char path[60];
    FILE *in;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", (int)pid, (int)pid);
    in = fopen(path, "re");
    if (in == NULL || fscanf(in, "%" SCNd64 " %" SCNd64, &out->run_ns, &out->wait_ns) != 2)
        out->run_ns = out->wait_ns = 0;
    if (in != NULL)
        fclose(in);
}
