/* SPDX-License-Identifier: Apache-2.0 */
/* The file server goes away and comes back, while the web server goes on. */
#include "demo.h"

#include <stdio.h>
#include <string.h>

#define BACK_LIMIT_MS  30000
#define KNOWN_VISITS   20
#define INTERNAL_ERROR 80 /* RFC 8446 6.2 */

/* Nobody asks for it before the file server has gone. */
static const struct demo_host outage_host = {
    "later.ccs.test", "later.ccs.test", "later.ccs.test.pfx", "later.ccs.test", "ec", "modern", ""};

static int outage_bad(const char *what, const char *detail)
{
    printf("      FAILED: %s %s\n", what, detail);
    return 1;
}

/* What was served before is served on. */
static int outage_known(const struct demo_server *server, const char *dir, const char *ca)
{
    struct demo_visit visit;
    char fingerprint[65];

    for (int i = 0; i < KNOWN_VISITS; i++) {
        const struct demo_host *host = &demo_hosts[(size_t)i % demo_host_count];

        demo_visit(server->port, host->name, ca, &visit);
        if (!visit.verified || demo_store_fingerprint(dir, host, fingerprint) != 0 ||
            strcmp(visit.fingerprint, fingerprint) != 0) {
            return outage_bad("a known host is not served without the file server:", visit.error);
        }
    }
    printf("outage    the file server is stopped: %d handshakes with known hosts, all good (%s)\n",
           KNOWN_VISITS, visit.body);
    return 0;
}

/* What nobody knows is not said to be absent. */
static int outage_unknown(const struct demo_server *server, const char *ca)
{
    const double start = demo_clock_ms();
    struct demo_visit visit;

    /* Names that were not there when the file server was last heard of are refused until the web
     * server has noticed. */
    do {
        demo_pause_ms(20);
        demo_visit(server->port, outage_host.name, ca, &visit);
    } while (!visit.verified && visit.alert != INTERNAL_ERROR &&
             demo_clock_ms() - start < BACK_LIMIT_MS);
    if (visit.alert != INTERNAL_ERROR) {
        return outage_bad("a new host is not refused with alert internal_error:", visit.error);
    }
    printf("          %s, which nobody has asked for yet: alert %d, internal_error\n",
           outage_host.name, visit.alert);
    return 0;
}

static int outage_over(const struct demo_server *server, const char *dir, const char *ca)
{
    const double start = demo_clock_ms();
    struct demo_visit visit;
    char fingerprint[65];

    if (demo_store_fingerprint(dir, &outage_host, fingerprint) != 0) {
        return 1;
    }
    do {
        demo_visit(server->port, outage_host.name, ca, &visit);
        if (visit.verified && strcmp(visit.fingerprint, fingerprint) == 0) {
            printf("          the file server is back: %s is served after %.0f ms\n",
                   outage_host.name, demo_clock_ms() - start);
            return 0;
        }
        demo_pause_ms(20);
    } while (demo_clock_ms() - start < BACK_LIMIT_MS);
    return outage_bad("a new host is not served after the file server is back:", visit.error);
}

int demo_outage(struct demo_share *share, const struct demo_server *server, const char *dir,
                const char *ca)
{
    int failures = 0;

    demo_share_stop(share);
    if (demo_store_renew(dir, &outage_host) != 0) {
        return 1;
    }
    failures += outage_known(server, dir, ca);
    failures += outage_unknown(server, ca);
    fflush(stdout);
    if (demo_share_start(share) != 0) {
        return failures + 1;
    }
    return failures + outage_over(server, dir, ca);
}
