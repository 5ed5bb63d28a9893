/* SPDX-License-Identifier: Apache-2.0 */
#include "callgrind.h"

#include <glob.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "tmp.h"
#include "wait.h"

#define VALGRIND  "/usr/bin/valgrind"
#define WARM_UP   20 /* handshakes before the counted ones, in both runs of a pair */
#define SELF_ARGS 16
#define SELF_MS   600000

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

static void need_valgrind(void)
{
    if (access(VALGRIND, X_OK) != 0)
        ccs_bench_fail("this needs valgrind: apt-get install valgrind");
}

double ccs_callgrind_slope(const struct ccs_callgrind *how,
                           const struct ccs_callgrind_server *server)
{
    struct counted a, b;
    double each;

    need_valgrind();
    if (how->many <= how->few)
        ccs_bench_fail("--many must be more than --few");
    a = run(how, server, how->few, "few");
    b = run(how, server, how->many, "many");
    each = (b.serving - a.serving) / (how->many - how->few);
    printf("%-32s %10.0f instructions per handshake, %.0f in other threads\n", server->title, each,
           (b.others - a.others) / (how->many - how->few));
    return each;
}

/* -- a program that is no server ----------------------------------------------------------- */

/* What callgrind says in a file, which goes. */
static double total_of(const char *file)
{
    FILE *in = fopen(file, "re");
    char line[256];
    double sum = 0;

    while (in != NULL && fgets(line, sizeof(line), in) != NULL)
        if (sscanf(line, "totals: %lf", &sum) == 1)
            break;
    if (in != NULL)
        fclose(in);
    unlink(file);
    if (sum <= 0)
        ccs_bench_fail("callgrind has counted nothing");
    return sum;
}

static int has_ended(void *arg)
{
    return ccs_process_ended(*(const pid_t *)arg);
}

double ccs_callgrind_self(const struct ccs_bench *bench, const char *function,
                          const char *const *args)
{
    char out[300], option[340], only[100], self[1000];
    const char *argv[SELF_ARGS] = {VALGRIND, "-q", "--tool=callgrind", option};
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    size_t n = 4;
    pid_t pid;

    need_valgrind();
    snprintf(out, sizeof(out), "%s/callgrind.out", bench->dir);
    snprintf(option, sizeof(option), "--callgrind-out-file=%s", out);
    if (function != NULL) {
        snprintf(only, sizeof(only), "--toggle-collect=%s", function);
        argv[n++] = "--collect-atstart=no";
        argv[n++] = only;
    }
    /* To a program under valgrind that link is valgrind. */
    if (len <= 0)
        ccs_bench_fail("the path of this program is not known");
    self[len] = '\0';
    argv[n++] = self;
    while (*args != NULL && n < SELF_ARGS - 1)
        argv[n++] = *args++;
    fflush(NULL);
    pid = fork();
    if (pid < 0)
        ccs_bench_fail("no process can be made");
    if (pid == 0) {
        execv(VALGRIND, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (!ccs_wait_until(has_ended, &pid, SELF_MS))
        ccs_process_end(pid);
    if (ccs_process_wait(pid) != 0)
        ccs_bench_fail("a run under callgrind did not end well");
    return total_of(out);
}
