/* SPDX-License-Identifier: Apache-2.0 */
/* ccs-store: makes a store with as many hosts as one likes. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store.h"
#include "tmp.h"

static void usage(FILE *out)
{
    fputs("usage: ccs-store --count N [OPTION]... FOLDER\n"
          "\n"
          "  --count N      how many hosts\n"
          "  --pattern P    their names (h%d.bench.example)\n"
          "  --rounds N     of the key derivation (1; OpenSSL and Windows write 2048 and 2000)\n"
          "  --distinct N   make only N files, for a wildcard, and link all others to them: for\n"
          "                 stores of which little more than the listing matters\n"
          "  --ca FILE      write the root certificate there, as PEM\n"
          "\n"
          "The folder is made if it is not there. The files have no password, P-256 keys and a "
          "chain\n"
          "of one intermediate. All of a run come from one authority, whose keys are not kept.\n",
          out);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value == 0 || value > 100000000) {
        fprintf(stderr, "ccs-store: \"%s\" is not a number from 1 to 100000000\n", text);
        exit(2);
    }
    return value;
}

/* "*.bench.example" for "h%d.bench.example". */
static void cover(const char *pattern, char out[CCS_NAMES_SIZE])
{
    const char *dot = strchr(pattern, '.');

    snprintf(out, CCS_NAMES_SIZE, "*%s", dot != NULL ? dot : "");
}

static void write_root(const struct ccs_pki_ca *ca, const char *path)
{
    char dir[512];
    char *slash;

    snprintf(dir, sizeof(dir), "%s", path);
    slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    ccs_pki_pem_cert(ca->root,
                     slash == NULL  ? "."
                     : slash == dir ? "/"
                                    : dir,
                     slash != NULL ? slash + 1 : path);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'n'},
        {"pattern", required_argument, NULL, 'P'},
        {"rounds", required_argument, NULL, 'r'},
        {"distinct", required_argument, NULL, 'd'},
        {"ca", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct ccs_names names;
    char covering[CCS_NAMES_SIZE];
    struct ccs_bench_store store = {.names = &names, .covering = covering, .rounds = 1};
    const char *pattern = "h%d.bench.example", *root = NULL;
    struct ccs_pki_ca *ca;
    uint64_t count = 0;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'n':
            count = number(optarg);
            break;
        case 'P':
            pattern = optarg;
            break;
        case 'r':
            store.rounds = (int)number(optarg);
            break;
        case 'd':
            store.distinct = number(optarg);
            break;
        case 'c':
            root = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind + 1 != argc || ccs_names_pattern(&names, pattern, count) != 0) {
        usage(stderr);
        return 2;
    }
    store.dir = argv[optind];
    if (mkdir(store.dir, 0755) != 0 && errno != EEXIST) {
        fprintf(stderr, "%s: %s\n", store.dir, strerror(errno));
        return 1;
    }
    cover(pattern, covering);
    ca = ccs_pki_ca_new();
    ccs_bench_store_fill(&store, ca);
    if (root != NULL)
        write_root(ca, root);
    ccs_pki_ca_free(ca);
    printf("%" PRIu64 " hosts in %s\n", count, store.dir);
    return 0;
}
