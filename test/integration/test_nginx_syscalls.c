/* SPDX-License-Identifier: Apache-2.0 */
/* A warm handshake makes no system call more than one with a certificate of nginx's own. */
#include "farm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

#define HANDSHAKES   100
#define ROUNDS_LEAST 3
#define ROUNDS_MOST  20

/* strace of one worker; the counts come when it ends. */
static pid_t attach(const struct ccs_farm *farm, pid_t worker, const char *output)
{
    char out[300], id[20];
    pid_t parent = getpid(), pid;

    ccs_tmp_join(out, sizeof(out), farm->tmp.path, output);
    snprintf(id, sizeof(id), "%d", (int)worker);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == parent) {
            execlp("strace", "strace", "-f", "-qq", "-o", out, "-p", id, (char *)NULL);
        }
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

struct traced {
    pid_t worker, strace;
};

/* TracerPid of the worker's main thread, which is the one that serves. */
static int is_traced(void *arg)
{
    struct traced *traced = arg;
    char dir[60], *status, *at;
    long tracer = 0;

    snprintf(dir, sizeof(dir), "/proc/%d", (int)traced->worker);
    status = ccs_tmp_read(dir, "status", NULL);
    at = status != NULL ? strstr(status, "TracerPid:") : NULL;
    if (at != NULL) {
        tracer = strtol(at + 10, NULL, 10);
    }
    free(status);
    return tracer == traced->strace || ccs_process_ended(traced->strace);
}

struct counts {
    size_t total; /* of all threads, during all handshakes */
    size_t least; /* of one connection: from one accept4() to the next */
    size_t middle;
};

static int compare(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

/* Lines are "<thread> call(arguments) = result"; only those that begin a call count. */
static struct counts count(char *trace)
{
    size_t each[HANDSHAKES + 2] = {0}, n = 0;
    struct counts counts = {0};
    char *line, *call, *rest = trace;

    while ((line = strsep(&rest, "\n")) != NULL) {
        call = line + strspn(line, "0123456789 ");
        if (*call < 'a' || *call > 'z') {
            continue;
        }
        counts.total++;
        if (strncmp(call, "accept4(", 8) == 0 && n < HANDSHAKES + 1) {
            n++;
        }
        each[n]++;
    }
    /* What comes before the first and behind the last belongs to no connection alone. */
    assert_in_range(n, 2, HANDSHAKES);
    qsort(each + 1, n - 1, sizeof(each[0]), compare);
    counts.least = each[1];
    counts.middle = each[1 + (n - 1) / 2];
    return counts;
}

/* System calls of the worker during so many handshakes; 0 if they cannot be seen. */
static int measure(struct ccs_farm *farm, struct ccs_tls_spec *spec, const char *output,
                   struct counts *counts)
{
    struct ccs_tls_result result;
    pid_t workers[CCS_NGINX_WORKERS];
    struct traced traced;
    char *trace;
    int i;

    assert_int_equal(ccs_nginx_workers(&farm->nginx, 0, workers), 1);
    for (i = 0; i < 20; i++) {
        ccs_farm_expect(spec, NULL, NULL);
    }
    traced.worker = workers[0];
    traced.strace = attach(farm, workers[0], output);
    assert_true(ccs_wait_until(is_traced, &traced, 0));
    if (ccs_process_ended(traced.strace)) {
        print_message("strace: exit status %d\n", ccs_process_wait(traced.strace));
        return 0;
    }
    for (i = 0; i < HANDSHAKES; i++) {
        assert_true(ccs_tls_client_once(spec, &result, NULL));
    }
    /* strace detaches from a process that lives on when it is asked to end. */
    assert_int_equal(kill(traced.strace, SIGINT), 0);
    (void)ccs_process_wait(traced.strace);
    trace = ccs_tmp_read(farm->tmp.path, output, NULL);
    assert_non_null(trace);
    *counts = count(trace);
    free(trace);
    print_message("%-6s %zu in all, %zu for one handshake and request at least, %zu half of them\n",
                  output, counts->total, counts->least, counts->middle);
    return 1;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/*
 * Packets that arrive apart cost the server a look more, so that handshakes, and on a busy machine
 * whole runs, differ by chance: what counts is the least that one took in several runs, and that
 * the runs in all differ by less than one call for each handshake.
 */
static void warm_handshakes(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_spec issue = {.names = "a.test"};
    size_t ours_least = SIZE_MAX, stock_least = SIZE_MAX;
    struct counts stock, ours;
    struct ccs_tls_spec spec;
    struct ccs_pki_leaf leaf;
    int round, even = 0;

    if (ccs_nginx_sanitized()) {
        print_message("sanitizers make system calls of their own\n");
        skip();
    }
    ccs_pki_issue(farm->ca, &issue, &leaf);
    ccs_pki_pem_file(&leaf, farm->tmp.path, "own.crt", "own.key");
    ccs_farm_put_leaves(farm, "a.test.pfx", &leaf, 1, NULL);
    ccs_pki_leaf_clear(&leaf);
    ccs_farm_run(farm, CCS_FARM_TLS "ccs_store @STORE@;\n"
                                    "server { listen @PORT1@ ssl; ccs on; return 200 same; }\n"
                                    "server { listen @PORT2@ ssl; ssl_certificate @DIR@/own.crt;\n"
                                    "ssl_certificate_key @DIR@/own.key; return 200 same; }\n");
    spec = ccs_farm_ask(farm, "a.test");
    for (round = 0; round < ROUNDS_LEAST || (!even && round < ROUNDS_MOST); round++) {
        spec.port = farm->nginx.port[1];
        if (!measure(farm, &spec, "stock", &stock)) {
            print_message("this needs strace and the right to use it\n");
            skip();
        }
        spec.port = farm->nginx.port[0];
        assert_true(measure(farm, &spec, "ours", &ours));
        stock_least = smaller(stock_least, stock.least);
        ours_least = smaller(ours_least, ours.least);
        even |= ours.total <= stock.total + HANDSHAKES / 2;
        even &= ours_least <= stock_least;
    }
    assert_true(even);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(warm_handshakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
