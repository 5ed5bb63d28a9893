/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccs-agent: reads a store for servers that must not do it themselves. docs/agent-protocol.md says
 * how it is started and spoken to.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ccs/ccs.h>

#include "config.h"
#include "error.h"
#include "harden.h"
#include "inherited.h"
#include "pages.h"
#include "secret.h"
#include "supervisor.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  64 /* never 2, which nginx takes for something that a child of its own says */

static void usage(FILE *out)
{
    fprintf(out, "usage: ccs-agent                 as servers start it\n"
                 "       ccs-agent --config=FILE   as systemd starts it, with a listening socket\n"
                 "       ccs-agent --help | --version\n");
}

/* Nothing secret is read before nobody else can look at it. */
static int agent_settings(struct agent_family *f, const char *config, struct ccs_error *err)
{
    const int rv = agent_harden_secrets(err);

    if (rv != CCS_OK)
        return rv;
    f->setup = ccs_pages_new(sizeof(*f->setup));
    if (f->setup == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for ccs-agent");
    return config != NULL ? agent_config_read(config, f->setup, err)
                          : agent_inherited_setup(f->setup, err);
}

static int agent_serve(struct agent_family *f, int report, struct ccs_error *err)
{
    int rv = agent_harden_process(err);

    if (rv == CCS_OK)
        rv = agent_harden_user(f->setup->user, err);
    if (rv == CCS_OK && agent_family_init(f) != 0)
        rv = ccs_error_set(err, CCS_ENOMEM, "no memory for ccs-agent");
    if (rv == CCS_OK)
        rv = agent_supervisor_begin(f, err);
    if (report >= 0)
        agent_inherited_report(report, rv == CCS_OK ? NULL : err->text);
    if (rv != CCS_OK)
        return rv;
    if (report >= 0)
        agent_harden_leave_log();
    agent_supervisor_run(f);
    return CCS_OK;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    struct agent_family f = {.control = CCS_AGENT_FD_CONTROL};
    const char *config = NULL;
    struct ccs_error err = {0};
    int report = -1;
    int rv;
    int c;

    while ((c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            config = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            printf("ccs-agent %s\n", ccs_version());
            return 0;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || (config == NULL && !agent_inherited_is_there())) {
        usage(stderr);
        return EXIT_USAGE;
    }
    f.started_at = ccs_now_ms();
    f.listening = config != NULL;
    if (config == NULL)
        report = CCS_AGENT_FD_REPORT;
    rv = agent_settings(&f, config, &err);
    if (rv != CCS_OK && report >= 0)
        agent_inherited_report(report, err.text);
    if (rv == CCS_OK)
        rv = agent_serve(&f, report, &err);
    if (f.setup != NULL)
        ccs_wipe(f.setup, sizeof(*f.setup));
    if (rv != CCS_OK)
        fprintf(stderr, "ccs-agent: %s\n", err.text);
    return rv == CCS_OK ? 0 : EXIT_FAILED;
}
