/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "report.h"
#include "tmp.h"

#define HTTP_MAX 16384

static struct ccs_bench the_bench;
static struct ccs_tmp the_tmp;
static char the_http[CCS_BENCH_SERVERS][HTTP_MAX];

static void close_bench(void)
{
    if (the_bench.child)
        return;
    for (size_t i = 0; i < the_bench.server_count; i++)
        (void)ccs_nginx_stop(&the_bench.server[i]);
    the_bench.server_count = 0;
    ccs_pki_ca_free(the_bench.ca);
    the_bench.ca = NULL;
    ccs_tmp_remove(&the_tmp);
}

void ccs_bench_fail(const char *format, ...)
{
    va_list ap;

    fflush(stdout);
    /* A run of the program under callgrind has none. */
    fprintf(stderr, "%s: ", the_bench.name != NULL ? the_bench.name : "run under callgrind");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}

static void usage(FILE *out, const char *about, const struct ccs_bench_option *options)
{
    fprintf(out, "usage: %s [--option number] ...\n\n%s\n\n", the_bench.name, about);
    for (; options->name != NULL; options++)
        fprintf(out, "  --%-12s %s (%g)\n", options->name, options->help, *options->value);
}

static void read_options(const char *about, int argc, char **argv,
                         const struct ccs_bench_option *options)
{
    for (int i = 1; i < argc; i += 2) {
        const struct ccs_bench_option *o = options;
        char *end = NULL;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout, about, options);
            exit(0);
        }
        while (o->name != NULL &&
               (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, o->name) != 0))
            o++;
        if (o->name != NULL && i + 1 < argc)
            *o->value = strtod(argv[i + 1], &end);
        if (end == NULL || end == argv[i + 1] || *end != '\0' || !(*o->value >= 0)) {
            usage(stderr, about, options);
            exit(2);
        }
    }
}

static void on_signal(int sig)
{
    (void)sig;
    /* Servers end with their parent; the folder is left to whoever set TMPDIR. */
    _exit(130);
}

struct ccs_bench *ccs_bench_open(const char *name, const char *about, int argc, char **argv,
                                 const struct ccs_bench_option *options)
{
    struct sigaction action = {.sa_handler = on_signal};

    the_bench.name = name;
    read_options(about, argc, argv, options);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    ccs_load_raise_limits();
    ccs_tmp_make(&the_tmp);
    snprintf(the_bench.dir, sizeof(the_bench.dir), "%s", the_tmp.path);
    if (atexit(close_bench) != 0)
        ccs_bench_fail("no memory");
    the_bench.ca = ccs_pki_ca_new();
    return &the_bench;
}

char *ccs_bench_mkdir(struct ccs_bench *bench, const char *name, char out[220])
{
    ccs_tmp_mkdir(bench->dir, name);
    return ccs_tmp_join(out, 220, bench->dir, name);
}

char *ccs_bench_hosts(struct ccs_bench *bench, const char *name, uint64_t count, uint64_t distinct,
                      int rounds, char out[220])
{
    struct ccs_names names;
    struct ccs_bench_store store = {
        .names = &names, .covering = CCS_BENCH_COVER, .distinct = distinct, .rounds = rounds};

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, count) != 0)
        ccs_bench_fail("a store needs at least one host");
    store.dir = ccs_bench_mkdir(bench, name, out);
    ccs_bench_store_fill(&store, bench->ca);
    return out;
}

/* -- servers ------------------------------------------------------------------------------- */

struct ccs_nginx *ccs_bench_server(struct ccs_bench *bench, const char *http, int stock)
{
    const struct ccs_pki_spec cover = {.names = CCS_BENCH_COVER};
    size_t i = bench->server_count;
    struct ccs_nginx_spec spec = {.no_module = stock};
    struct ccs_pki_leaf leaf;
    char name[20], dir[220];

    if (i == CCS_BENCH_SERVERS || strlen(http) >= HTTP_MAX)
        ccs_bench_fail("too many servers, or too long a configuration");
    strcpy(the_http[i], http);
    spec.http = the_http[i];
    snprintf(name, sizeof(name), "nginx%zu", i);
    ccs_bench_mkdir(bench, name, dir);
    bench->server_count++;
    ccs_nginx_prepare(&bench->server[i], dir, &spec);
    ccs_pki_issue(bench->ca, &cover, &leaf);
    ccs_pki_pem_file(&leaf, dir, "static.crt", "static.key");
    ccs_pki_leaf_clear(&leaf);
    return &bench->server[i];
}

#define HTTP_HEAD                                                                                  \
    "error_log @DIR@/http.log error;\n"                                                            \
    "ssl_protocols TLSv1.2 TLSv1.3;\n"

struct ccs_nginx *ccs_bench_stock_server(struct ccs_bench *bench)
{
    return ccs_bench_server(bench,
                            HTTP_HEAD "server { listen @PORT1@ ssl; return 204;\n"
                                      "ssl_certificate @DIR@/static.crt;\n"
                                      "ssl_certificate_key @DIR@/static.key; }\n",
                            1);
}

struct ccs_nginx *ccs_bench_store_server(struct ccs_bench *bench, const char *store,
                                         const char *more)
{
    char http[HTTP_MAX];
    int len = snprintf(http, sizeof(http),
                       HTTP_HEAD "ccs on; ccs_store %s;\n%s\n"
                                 "server { listen @PORT1@ ssl; return 204; }\n",
                       store, more);

    if (len < 0 || (size_t)len >= sizeof(http))
        ccs_bench_fail("too long a configuration");
    return ccs_bench_server(bench, http, 0);
}

void ccs_bench_restart(struct ccs_nginx *server)
{
    ccs_nginx_signal(server, SIGTERM);
    if (ccs_nginx_wait(server) != 0)
        ccs_bench_fail("nginx did not end well, see %s/error.log", server->dir);
    ccs_nginx_start(server);
}

pid_t ccs_bench_worker(const struct ccs_nginx *server)
{
    pid_t workers[CCS_NGINX_WORKERS];

    if (ccs_nginx_workers(server, 0, workers) != 1)
        ccs_bench_fail("nginx does not have one worker");
    return workers[0];
}

/* -- loads --------------------------------------------------------------------------------- */

void ccs_bench_load(const struct ccs_load_spec *spec, struct ccs_load_result *result)
{
    const struct ccs_load_counts *c = &result->counts;

    if (ccs_load_run(spec, result) != 0)
        ccs_bench_fail("the load did not run");
    if (c->ends[CCS_CONN_SERVED] == c->begun && c->begun > 0)
        return;
    ccs_report_table(stderr, result);
    ccs_bench_fail("not all of the handshakes on port %d were served", spec->port);
}

void ccs_bench_visit(const struct ccs_nginx *server, const struct ccs_names *names, uint64_t first,
                     uint64_t count)
{
    const struct ccs_load_spec spec = {.port = server->port[0],
                                       .names = names,
                                       .first = first,
                                       .handshakes = count,
                                       .concurrency = 8,
                                       .timeout_ms = 60000};
    struct ccs_load_result result;

    ccs_bench_load(&spec, &result);
    ccs_load_result_clear(&result);
}

void ccs_bench_background_start(struct ccs_bench *bench, const struct ccs_load_spec *spec,
                                struct ccs_bench_background *out)
{
    pid_t parent = getpid();

    out->counts = mmap(NULL, sizeof(*out->counts), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (out->counts == MAP_FAILED)
        ccs_bench_fail("no memory");
    fflush(NULL);
    out->pid = fork();
    if (out->pid < 0)
        ccs_bench_fail("fork: %s", strerror(errno));
    if (out->pid == 0) {
        struct ccs_load_result result;
        int rv;

        bench->child = 1;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        rv = ccs_load_run(spec, &result);
        *out->counts = result.counts;
        _exit(rv != 0);
    }
}

void ccs_bench_background_wait(struct ccs_bench_background *background,
                               struct ccs_load_counts *counts)
{
    int status = 0;

    while (waitpid(background->pid, &status, 0) < 0) {
        if (errno != EINTR)
            ccs_bench_fail("waitpid: %s", strerror(errno));
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        ccs_bench_fail("the load in the background did not run");
    *counts = *background->counts;
    munmap(background->counts, sizeof(*background->counts));
}

int ccs_bench_budget(const char *name, double value, double limit)
{
    int bad = !(value <= limit);
    double load[3];

    /* Times mean little on a machine that does much else. */
    if (getloadavg(load, 3) == 3)
        printf("load average %.1f over the last minute, %.1f over five, on %ld processors\n",
               load[0], load[1], sysconf(_SC_NPROCESSORS_ONLN));
    printf("budget %s %.4g %g %s\n", name, value, limit, bad ? "FAIL" : "PASS");
    return bad;
}
