/* SPDX-License-Identifier: Apache-2.0 */
#include "callgrind.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "tmp.h"

#define VALGRIND "/usr/bin/valgrind"
#define WARM_UP  20 /* handshakes before the counted ones, in both runs of a pair */

struct running {
    const struct ccs_callgrind_server *server;
    pid_t pid;
};

static int ready(void *arg)
{
    const struct running *running = arg;
    struct ccs_load_result result;
    struct ccs_names names;
    const struct ccs_load_spec spec = {
        .port = running->server->port, .names = &names, .handshakes = 1, .timeout_ms = 60000};
    int served;

    if (ccs_process_ended(running->pid))
        ccs_bench_fail("the server has ended, see %s/output", running->server->dir);
    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 1) != 0 || ccs_load_run(&spec, &result) != 0)
        ccs_bench_fail("the load did not run");
    served = result.counts.ends[CCS_CONN_SERVED] == 1;
    ccs_load_result_clear(&result);
    return served;
}

static void keep_file(const char *dir, const char *file, const char *kept, int thread)
{
    char to[100];
    size_t len;
    char *data = ccs_tmp_read(dir, file, &len);

    if (data == NULL)
        return;
    snprintf(to, sizeof(to), "ccs-callgrind.%s.%d", kept, thread);
    ccs_tmp_write("/tmp", to, data, len);
    free(data);
}

/* Instructions of the thread that serves, and of all others. */
struct counted {
    double serving, others;
};

static void count_thread(struct counted *sum, double one)
{
    if (one > sum->serving) {
        sum->others += sum->serving;
        sum->serving = one;
    } else {
        sum->others += one;
    }
}

/* What callgrind says this server has done until its end: a file per thread. */
static struct counted total(const struct ccs_callgrind *how, const char *dir, const char *kept)
{
    struct counted sum = {0, 0};
    char pattern[300], line[256];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/callgrind.*", dir);
    if (glob(pattern, 0, NULL, &found) != 0)
        ccs_bench_fail("callgrind has left no file in %s", dir);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *in = fopen(found.gl_pathv[i], "re");
        int thread = 0;
        double one = 0;

        while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
            if (sscanf(line, "thread: %d", &thread) != 1 && sscanf(line, "totals: %lf", &one) == 1)
                count_thread(&sum, one);
        }
        if (in != NULL)
            fclose(in);
        if (how->keep > 0)
            keep_file(dir, strrchr(found.gl_pathv[i], '/') + 1, kept, thread);
        unlink(found.gl_pathv[i]);
    }
    globfree(&found);
    if (sum.serving <= 0)
        ccs_bench_fail("callgrind has counted nothing");
    return sum;
}

/* A signal that comes just before a server waits for events may not be seen until one comes: send
 * more. */
static int asked_to_end(void *arg)
{
    const struct running *running = arg;

    if (ccs_process_ended(running->pid))
        return 1;
    (void)kill(running->pid, SIGTERM);
    ccs_wait_pass(100);
    return 0;
}

static struct counted run(const struct ccs_callgrind *how,
                          const struct ccs_callgrind_server *server, double handshakes,
                          const char *run_name)
{
    struct running running = {.server = server};
    struct ccs_load_result result;
    struct ccs_load_spec spec = {.port = server->port,
                                 .handshakes = (uint64_t)handshakes + WARM_UP,
                                 .timeout_ms = 60000,
                                 .version = how->version < 13 ? TLS1_2_VERSION : TLS1_3_VERSION};
    struct ccs_names names;
    char out[300], kept[60];
    const char *tool[] = {VALGRIND, "-q", "--tool=callgrind", "--separate-threads=yes", out, NULL};

    snprintf(out, sizeof(out), "--callgrind-out-file=%s/callgrind.%%p", server->files);
    snprintf(kept, sizeof(kept), "%s.%s", server->kept, run_name);
    running.pid = server->start(server->server, tool);
    if (!ccs_wait_until(ready, &running, 120000))
        ccs_bench_fail("no service under callgrind, see %s/error.log", server->dir);
    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, 1) != 0)
        ccs_bench_fail("no names");
    spec.names = &names;
    ccs_bench_load(&spec, &result);
    ccs_load_result_clear(&result);
    /* httpd's exit status says nothing when it is one process; callgrind's file says that it ended.
     */
    if (!ccs_wait_until(asked_to_end, &running, 0) || ccs_process_wait(running.pid) < 0)
        ccs_bench_fail("the server does not end, see %s/error.log", server->dir);
    server->ended(server->server);
    return total(how, server->files, kept);
}

double ccs_callgrind_slope(const struct ccs_callgrind *how,
                           const struct ccs_callgrind_server *server)
{
    struct counted a, b;
    double each;

    if (access(VALGRIND, X_OK) != 0)
        ccs_bench_fail("this needs valgrind: apt-get install valgrind");
    if (how->many <= how->few)
        ccs_bench_fail("--many must be more than --few");
    a = run(how, server, how->few, "few");
    b = run(how, server, how->many, "many");
    each = (b.serving - a.serving) / (how->many - how->few);
    printf("%-32s %10.0f instructions per handshake, %.0f in other threads\n", server->title, each,
           (b.others - a.others) / (how->many - how->few));
    return each;
}
