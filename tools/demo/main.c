/* SPDX-License-Identifier: Apache-2.0 */
/* ccs-demo: a store, a server and its visitors. Exit status 0 only if all was as it should be. */
#include "demo.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WARM_VISITS       9
#define RENEW_LIMIT_MS    10000
#define UNRECOGNIZED_NAME 112 /* RFC 6066 3 */
#define STRANGER          "stranger.test"

static volatile sig_atomic_t demo_stop;

struct demo {
    char dir[64];
    char ca[DEMO_PATH_SIZE];
    struct demo_server server;
    struct demo_share share; /* if server.share is not NULL */
    int failures;
};

static void demo_on_signal(int sig)
{
    demo_stop = sig;
}

static int demo_remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* printf's field widths count octets; people count letters. */
static void demo_column(const char *text, int width)
{
    const char *p;

    for (p = text; *p != '\0'; p++) {
        width -= (*p & 0xc0) != 0x80;
    }
    printf("%s%*s", text, width > 0 ? width : 1, "");
}

static int demo_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void demo_bad(struct demo *demo, const char *host, const char *what, const char *detail)
{
    demo->failures++;
    printf("      FAILED: %s: %s %s\n", host, what, detail);
}

/* Whether one visit saw the right certificate and heard the right result from the server. */
static int demo_judge(struct demo *demo, const struct demo_host *host, const char *fingerprint,
                      const char *result, const struct demo_visit *visit)
{
    char expected[256];

    snprintf(expected, sizeof(expected), "%s %s", result, host->file);
    if (!visit->verified) {
        demo_bad(demo, host->name, "no verified handshake:", visit->error);
    } else if (strcmp(visit->fingerprint, fingerprint) != 0) {
        demo_bad(demo, host->name, "another certificate was served:", visit->fingerprint);
    } else if (strcmp(visit->body, expected) != 0) {
        demo_bad(demo, host->name, "the server did not say", expected);
        printf("      but: %s\n", visit->body);
    } else {
        return 1;
    }
    return 0;
}

static void demo_host_row(struct demo *demo, const struct demo_host *host)
{
    struct demo_visit cold, warm;
    double ms[WARM_VISITS];
    char fingerprint[65];
    char results[64];
    int i, good;

    if (demo_store_fingerprint(demo->dir, host, fingerprint) != 0) {
        demo->failures++;
        return;
    }
    demo_visit(demo->server.port, host->name, demo->ca, &cold);
    good = demo_judge(demo, host, fingerprint, "LOADED", &cold);
    for (i = 0; i < WARM_VISITS && good; i++) {
        demo_visit(demo->server.port, host->name, demo->ca, &warm);
        good = demo_judge(demo, host, fingerprint, "HIT", &warm);
        ms[i] = warm.ms;
    }
    if (!good) {
        return;
    }
    qsort(ms, WARM_VISITS, sizeof(ms[0]), demo_compare);
    snprintf(results, sizeof(results), "%.*s, %.*s", (int)strcspn(cold.body, " "), cold.body,
             (int)strcspn(warm.body, " "), warm.body);
    demo_column(host->shown, 18);
    demo_column(strchr(cold.body, ' ') + 1, 24);
    demo_column(cold.key, 10);
    demo_column(results, 13);
    printf("%8.1f %8.1f   %s\n", cold.ms, ms[WARM_VISITS / 2], host->about);
    fflush(stdout);
}

static void demo_renewal(struct demo *demo, const struct demo_host *host)
{
    char before[65], after[65];
    struct demo_visit visit;
    double start;

    if (demo_store_fingerprint(demo->dir, host, before) != 0 ||
        demo_store_renew(demo->dir, host) != 0 ||
        demo_store_fingerprint(demo->dir, host, after) != 0) {
        demo->failures++;
        return;
    }
    start = demo_clock_ms();
    do {
        demo_visit(demo->server.port, host->name, demo->ca, &visit);
        if (!visit.verified) {
            demo_bad(demo, host->name, "no verified handshake after renewal:", visit.error);
            return;
        }
        if (strcmp(visit.fingerprint, after) == 0) {
            printf("renewed   %s: the new certificate was served %.0f ms after its file was "
                   "written, without a reload\n",
                   host->file, demo_clock_ms() - start);
            return;
        }
        if (strcmp(visit.fingerprint, before) != 0) {
            demo_bad(demo, host->name,
                     "neither the old nor the new certificate was served:", visit.fingerprint);
            return;
        }
        demo_pause_ms(5);
    } while (demo_clock_ms() - start < RENEW_LIMIT_MS && !demo_stop);
    demo_bad(demo, host->name, "the renewed certificate is not served", "");
}

static void demo_stranger(struct demo *demo)
{
    struct demo_visit visit;

    demo_visit(demo->server.port, STRANGER, demo->ca, &visit);
    if (visit.verified || visit.alert != UNRECOGNIZED_NAME) {
        demo_bad(demo, STRANGER, "not refused with alert unrecognized_name:", visit.error);
        return;
    }
    printf("stranger  %s: refused with alert %d, unrecognized_name\n", STRANGER, visit.alert);
}

static void demo_serve(struct demo *demo)
{
    const struct demo_host *host = &demo_hosts[0];

    printf("\nThe server goes on until Ctrl-C. Try it:\n\n"
           "  curl --resolve %s:%d:127.0.0.1 --cacert %s https://%s:%d/\n\n"
           "and put PFX files of your own into %s/store, which its configuration,\n"
           "%s/%s, does not mention by name.\n",
           host->name, demo->server.port, demo->ca, host->name, demo->server.port, demo->dir,
           demo->dir, demo->server.kind->conf);
    fflush(stdout);
    while (!demo_stop) {
        if (!demo_running(demo->server.pid)) {
            demo->server.pid = 0;
            demo->failures++;
            demo_fail("%s has ended:", demo->server.kind->title);
            demo_show_log(demo->server.log);
            return;
        }
        demo_pause_ms(200);
    }
}

static int demo_begin(struct demo *demo, int smb)
{
    if (demo_store_make(demo->dir) != 0) {
        return -1;
    }
    if (smb) {
        if (demo_share_make(&demo->share, demo->dir) != 0 || demo_share_start(&demo->share) != 0) {
            return -1;
        }
        demo->server.share = demo->share.location;
        printf("A private smbd shows it as %s, encrypted, to one user; it is mounted nowhere.\n",
               demo->share.location);
    }
    return demo_server_start(&demo->server, demo->dir);
}

static void demo_perform(struct demo *demo, int once, int smb)
{
    size_t i;

    printf("A store of %zu PFX files is being made in %s/store ...\n", demo_host_count, demo->dir);
    fflush(stdout);
    if (demo_begin(demo, smb) != 0) {
        demo->failures++;
        return;
    }
    printf("%s serves it on 127.0.0.1:%d, with no host in its configuration.\n\n",
           demo->server.kind->title, demo->server.port);
    demo_column("host", 18);
    demo_column("file served", 24);
    demo_column("key", 10);
    demo_column(demo->server.kind->result, 13);
    printf("%8s %8s   %s\n", "cold ms", "warm ms", "the file is");
    for (i = 0; i < demo_host_count && !demo_stop; i++) {
        demo_host_row(demo, &demo_hosts[i]);
    }
    printf("\n");
    if (!demo_stop) {
        demo_renewal(demo, &demo_hosts[1]);
        demo_stranger(demo);
    }
    if (smb && !demo_stop && demo->failures == 0) {
        demo->failures += demo_outage(&demo->share, &demo->server, demo->dir, demo->ca);
    }
    if (demo_stop && once) {
        demo->failures++;
    }
    if (demo->failures > 0) {
        printf("\n%d of these went wrong. What %s wrote:\n", demo->failures,
               demo->server.kind->title);
        fflush(stdout);
        demo_show_log(demo->server.log);
    } else if (!once) {
        demo_serve(demo);
    }
}

static void demo_usage(FILE *out)
{
    fprintf(out,
            "usage: ccs-demo [--once] [--apache | --smb] [--server FILE] [--modules DIR]\n"
            "\n"
            "  --once         end after the demonstration instead of serving on\n"
            "  --apache       show Apache httpd instead of nginx\n"
            "  --smb          read the files from an SMB share that is not mounted\n"
            "  --server FILE  its executable, default: the one in PATH\n"
            "  --modules DIR  where this project's modules are, default: %s\n",
            CCS_DEMO_MODULES);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"once", no_argument, NULL, 'o'},
        {"smb", no_argument, NULL, 'f'},
        {"apache", no_argument, NULL, 'a'},
        {"server", required_argument, NULL, 's'},
        {"modules", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    struct demo demo = {.server = {.kind = &demo_nginx, .modules = CCS_DEMO_MODULES}};
    struct sigaction action = {.sa_handler = demo_on_signal};
    int once = 0, smb = 0;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            demo_usage(stdout);
            return 0;
        case 'o':
            once = 1;
            break;
        case 'a':
            demo.server.kind = &demo_apache;
            break;
        case 'f':
            smb = 1;
            break;
        case 's':
            demo.server.program = optarg;
            break;
        case 'm':
            demo.server.modules = optarg;
            break;
        default:
            demo_usage(stderr);
            return 2;
        }
    }
    if (optind < argc || (smb && demo.server.kind == &demo_apache)) {
        demo_usage(stderr);
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    /* Servers drop to another user before they read the store, so the way there is open to all. The
     * password file is not: they read it before that. */
    umask(022);
    strcpy(demo.dir, "/tmp/ccs-demo.XXXXXX");
    if (mkdtemp(demo.dir) == NULL || chmod(demo.dir, 0755) != 0) {
        demo_fail("%s: %s", demo.dir, strerror(errno));
        return 1;
    }
    demo_path(demo.ca, demo.dir, "ca.pem");
    demo_perform(&demo, once, smb);
    demo_server_stop(&demo.server);
    demo_share_stop(&demo.share);
    nftw(demo.dir, demo_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (demo.failures > 0) {
        return 1;
    }
    printf("\n%s\n", once ? "All of it was as it should be." : "Ended; nothing is left behind.");
    return 0;
}
