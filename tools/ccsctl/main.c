/* SPDX-License-Identifier: Apache-2.0 */
/* ccsctl: the command line of libccs. */
#include <getopt.h>
#include <string.h>

#include <ccs/ccs.h>

#include "base.h"
#include "cmd.h"

static const struct ctl_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} ctl_commands[] = {
    {"show", ctl_cmd_show, "say what PFX files hold, or why they cannot be served"},
};

static void ctl_usage(FILE *out)
{
    size_t i;

    fprintf(out, "usage: ccsctl COMMAND [OPTION...] [ARGUMENT...]\n"
                 "       ccsctl COMMAND --help\n"
                 "       ccsctl --help | --version\n"
                 "\n"
                 "Commands:\n");
    for (i = 0; i < CCS_ARRAY_LEN(ctl_commands); i++) {
        fprintf(out, "  %-8s %s\n", ctl_commands[i].name, ctl_commands[i].help);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    size_t i;
    int c;

    while ((c = getopt_long(argc, argv, "+hV", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            ctl_usage(stdout);
            return CTL_OK;
        case 'V':
            printf("ccsctl %s\n", ccs_version());
            return CTL_OK;
        default:
            ctl_usage(stderr);
            return CTL_USAGE;
        }
    }
    if (optind >= argc) {
        ctl_usage(stderr);
        return CTL_USAGE;
    }
    argc -= optind;
    argv += optind;
    for (i = 0; i < CCS_ARRAY_LEN(ctl_commands); i++) {
        if (strcmp(argv[0], ctl_commands[i].name) == 0) {
            /* Zero makes glibc's getopt start afresh, with the command's own way of ordering. */
            optind = 0;
            return ctl_commands[i].run(argc, argv);
        }
    }
    fprintf(stderr, "ccsctl: there is no command \"%s\"\n", argv[0]);
    ctl_usage(stderr);
    return CTL_USAGE;
}
