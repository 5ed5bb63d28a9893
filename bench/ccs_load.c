/* SPDX-License-Identifier: Apache-2.0 */
/* ccs-load: many TLS handshakes under many names, with a look at each certificate. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "report.h"

static volatile sig_atomic_t stop;

struct arguments {
    struct ccs_load_spec spec;
    struct ccs_names names;
    const char *pattern, *list, *json;
    char *name; /* --name */
    uint64_t count;
    char address[64];
};

static void on_signal(int sig)
{
    stop = sig;
}

static void usage(FILE *out)
{
    fputs(
        "usage: ccs-load --connect [ADDRESS:]PORT NAMES [OPTION]...\n"
        "\n"
        "names to ask for, one of\n"
        "  --name NAME          one name\n"
        "  --names FILE         one per line\n"
        "  --pattern P          such as h%d.bench.example, with --count N: h0 ... \n"
        "\n"
        "how much\n"
        "  --handshakes N       end after so many (1000 if --seconds is not given)\n"
        "  --seconds S          end after so long\n"
        "  --concurrency N      most at once (16)\n"
        "  --rate R             begin so many per second, whatever the server does\n"
        "\n"
        "how\n"
        "  --first N            number of the first name (0)\n"
        "  --random             names at random instead of in turn\n"
        "  --tls 1.2|1.3        only this version\n"
        "  --groups LIST        key exchange groups, such as P-256:X25519\n"
        "  --timeout MS         for each handshake (10000)\n"
        "  --no-check           any certificate counts as served\n"
        "\n"
        "what to tell\n"
        "  --pid PID            count processor time of this server and its children; repeatable\n"
        "  --json FILE          write the result there as well; - for standard output, alone\n"
        "\n"
        "Ends with 0 if every handshake was served with a certificate for its name, else with 1.\n",
        out);
}

static double number(const char *text, double min, double max)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        fprintf(stderr, "ccs-load: \"%s\" is not a number from %g to %g\n", text, min, max);
        exit(2);
    }
    return value;
}

static void read_address(struct arguments *a, const char *text)
{
    const char *colon = strrchr(text, ':');

    if (colon != NULL && (size_t)(colon - text) < sizeof(a->address)) {
        memcpy(a->address, text, (size_t)(colon - text));
        a->spec.address = a->address;
        text = colon + 1;
    }
    a->spec.port = (int)number(text, 1, 65535);
}

static void read_version(struct arguments *a, const char *text)
{
    if (strcmp(text, "1.2") == 0) {
        a->spec.version = TLS1_2_VERSION;
    } else if (strcmp(text, "1.3") == 0) {
        a->spec.version = TLS1_3_VERSION;
    } else {
        usage(stderr);
        exit(2);
    }
}

static void read_option(struct arguments *a, int option, const char *value)
{
    struct ccs_load_spec *spec = &a->spec;

    switch (option) {
    case 'C':
        read_address(a, value);
        break;
    case 'N':
        a->names.list = &a->name;
        a->name = optarg;
        a->names.count = 1;
        break;
    case 'l':
        a->list = value;
        break;
    case 'P':
        a->pattern = value;
        break;
    case 'n':
        a->count = (uint64_t)number(value, 1, 1e15);
        break;
    case 'H':
        spec->handshakes = (uint64_t)number(value, 1, 1e15);
        break;
    case 's':
        spec->seconds = number(value, 0.001, 1e9);
        break;
    case 'c':
        spec->concurrency = (unsigned)number(value, 1, CCS_LOAD_CONCURRENCY_MAX);
        break;
    case 'r':
        spec->rate = number(value, 0.001, 1e6);
        break;
    case 'f':
        spec->first = (uint64_t)number(value, 0, 1e15);
        break;
    case 'R':
        spec->shuffled = 1;
        break;
    case 't':
        read_version(a, value);
        break;
    case 'g':
        spec->groups = value;
        break;
    case 'T':
        spec->timeout_ms = (int)number(value, 1, 3600000);
        break;
    case 'u':
        spec->unchecked = 1;
        break;
    case 'p':
        if (spec->pid_count < CCS_LOAD_PIDS_MAX)
            spec->pids[spec->pid_count++] = (pid_t)number(value, 1, 4194304);
        break;
    case 'j':
        a->json = value;
        break;
    case 'h':
        usage(stdout);
        exit(0);
    default:
        usage(stderr);
        exit(2);
    }
}

static void read_arguments(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'C'},
        {"name", required_argument, NULL, 'N'},
        {"names", required_argument, NULL, 'l'},
        {"pattern", required_argument, NULL, 'P'},
        {"count", required_argument, NULL, 'n'},
        {"handshakes", required_argument, NULL, 'H'},
        {"seconds", required_argument, NULL, 's'},
        {"concurrency", required_argument, NULL, 'c'},
        {"rate", required_argument, NULL, 'r'},
        {"first", required_argument, NULL, 'f'},
        {"random", no_argument, NULL, 'R'},
        {"tls", required_argument, NULL, 't'},
        {"groups", required_argument, NULL, 'g'},
        {"timeout", required_argument, NULL, 'T'},
        {"no-check", no_argument, NULL, 'u'},
        {"pid", required_argument, NULL, 'p'},
        {"json", required_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option, sources;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        read_option(a, option, optarg);
    sources = (a->name != NULL) + (a->list != NULL) + (a->pattern != NULL);
    if (optind < argc || a->spec.port == 0 || sources != 1) {
        usage(stderr);
        exit(2);
    }
    if (a->list != NULL && ccs_names_read(&a->names, a->list) != 0)
        exit(2);
    if (a->pattern != NULL && ccs_names_pattern(&a->names, a->pattern, a->count) != 0) {
        fputs("ccs-load: a pattern has one %d, and needs --count\n", stderr);
        exit(2);
    }
    if (a->spec.handshakes == 0 && a->spec.seconds <= 0)
        a->spec.handshakes = 1000;
}

static int write_json(const char *path, struct ccs_load_result *result)
{
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    int rv;

    if (out == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    rv = ccs_report_json(out, result);
    if (out != stdout && fclose(out) != 0)
        rv = -1;
    return rv;
}

int main(int argc, char **argv)
{
    struct arguments a = {.spec = {.concurrency = 16, .stop = &stop}, .count = 0};
    struct sigaction action = {.sa_handler = on_signal};
    struct ccs_load_result result;
    int rv;

    read_arguments(&a, argc, argv);
    a.spec.names = &a.names;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    ccs_load_raise_limits();
    rv = ccs_load_run(&a.spec, &result) == 0 &&
                 result.counts.ends[CCS_CONN_SERVED] == result.counts.begun
             ? 0
             : 1;
    if (a.json == NULL || strcmp(a.json, "-") != 0)
        ccs_report_table(stdout, &result);
    if (a.json != NULL && write_json(a.json, &result) != 0)
        rv = 1;
    ccs_load_result_clear(&result);
    if (a.name == NULL)
        ccs_names_clear(&a.names);
    return rv;
}
