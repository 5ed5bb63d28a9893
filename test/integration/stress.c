/* SPDX-License-Identifier: Apache-2.0 */
#include "stress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_MAX 64
#define WILD_EVERY   10 /* every so many names is one under a wildcard */

enum fate { TO_BE_SERVED, TO_BE_REFUSED };

struct slot {
    struct ccs_tls_client *client;
    struct ccs_tls_spec spec;
    char sni[64];
    size_t name;
    enum fate fate;
    int leaves;   /* after so many steps; 0: never */
    double since; /* start */
};

struct state {
    struct ccs_stress *stress;
    struct slot slots[PARALLEL_MAX];
    SSL_SESSION *sessions[CCS_STRESS_NAMES];
    unsigned seed;
};

static unsigned chance(struct state *s, unsigned n)
{
    return (unsigned)rand_r(&s->seed) % n;
}

static int is_wild(size_t name)
{
    return name % WILD_EVERY == 0;
}

void ccs_stress_prepare(struct ccs_stress *stress)
{
    char file[64], name[64];
    size_t i;

    for (i = 0; i < CCS_STRESS_NAMES; i++) {
        if (is_wild(i)) {
            snprintf(file, sizeof(file), "_.n%zu.stress.test.pfx", i);
            snprintf(name, sizeof(name), "*.n%zu.stress.test", i);
        } else {
            snprintf(file, sizeof(file), "n%zu.stress.test.pfx", i);
            snprintf(name, sizeof(name), "n%zu.stress.test", i);
        }
        ccs_farm_put(stress->farm, file, name, stress->prints[i]);
    }
}

static void choose_name(struct state *s, struct slot *slot)
{
    slot->name = chance(s, CCS_STRESS_NAMES);
    slot->fate = chance(s, 10) == 0 ? TO_BE_REFUSED : TO_BE_SERVED;
    if (slot->fate == TO_BE_REFUSED) {
        snprintf(slot->sni, sizeof(slot->sni), "no%u.stress.test", chance(s, 1000000));
    } else if (is_wild(slot->name)) {
        snprintf(slot->sni, sizeof(slot->sni), "w%u.n%zu.stress.test", chance(s, 1000), slot->name);
    } else {
        snprintf(slot->sni, sizeof(slot->sni), "n%zu.stress.test", slot->name);
    }
}

static void open_slot(struct state *s, struct slot *slot)
{
    static const size_t sizes[] = {0, 0, 0, 1, 2, 7, 40, 100, 333};
    const size_t n = sizeof(sizes) / sizeof(sizes[0]);

    choose_name(s, slot);
    slot->spec = ccs_farm_ask(s->stress->farm, slot->sni);
    slot->spec.segment = sizes[chance(s, (unsigned)n)];
    slot->spec.record = sizes[chance(s, (unsigned)n)];
    if (slot->spec.segment == 0 || slot->spec.segment > 30) {
        slot->spec.padding = chance(s, 5) == 0 ? chance(s, 3000) : 0;
    }
    slot->spec.max_version = chance(s, 3) == 0 ? TLS1_2_VERSION : 0;
    slot->spec.groups = chance(s, 8) == 0 ? "P-521:X25519:P-256" : NULL;
    slot->spec.alpn = chance(s, 4) == 0 ? "h2,http/1.1" : NULL;
    /* A server hangs up on HTTP/2 connections that have asked nothing yet when it reloads. */
    slot->spec.path = slot->spec.alpn != NULL || chance(s, 3) == 0 ? NULL : "/";
    /* A session that was given to this very name, or to another one: then it must not count. */
    slot->spec.session =
        chance(s, 3) == 0
            ? s->sessions[chance(s, 2) == 0 ? slot->name : chance(s, CCS_STRESS_NAMES)]
            : NULL;
    slot->leaves = chance(s, 10) == 0 ? (int)chance(s, 30) + 1 : 0;
    if (slot->spec.session != NULL) {
        SSL_SESSION_up_ref(slot->spec.session);
    }
    slot->client = ccs_tls_client_start(&slot->spec);
    slot->since = ccs_wait_clock();
}

static void complain(struct state *s, const struct slot *slot, const struct ccs_tls_result *r)
{
    s->stress->wrong++;
    print_error("%s: end %d, alert %d, verify %ld, leaf %.8s, resumed %d, \"%s\" %s\n", slot->sni,
                r->end, r->alert, r->verify, r->fingerprint, r->resumed, r->body, r->error);
}

static void keep_session(struct state *s, const struct slot *slot)
{
    SSL_SESSION *session = ccs_tls_client_session(slot->client);

    if (session != NULL && slot->fate == TO_BE_SERVED && !is_wild(slot->name)) {
        SSL_SESSION_up_ref(session);
        SSL_SESSION_free(s->sessions[slot->name]);
        s->sessions[slot->name] = session;
    }
}

static void judge(struct state *s, struct slot *slot)
{
    const struct ccs_tls_result *r = ccs_tls_client_result(slot->client);
    const char *print = s->stress->prints[slot->name];

    if (r->fingerprint[0] != '\0' &&
        (slot->fate == TO_BE_REFUSED || strcmp(r->fingerprint, print) != 0)) {
        complain(s, slot, r);
    } else if (slot->leaves > 0) {
        s->stress->left++;
    } else if (slot->fate == TO_BE_REFUSED) {
        s->stress->refused++;
        if (r->alert != CCS_ALERT_UNRECOGNIZED_NAME) {
            complain(s, slot, r);
        }
    } else {
        s->stress->served++;
        s->stress->resumed += r->resumed != 0;
        if (!r->ok || r->end != CCS_TLS_DONE) {
            complain(s, slot, r);
        }
    }
    keep_session(s, slot);
}

static void close_slot(struct slot *slot)
{
    ccs_tls_client_free(slot->client);
    SSL_SESSION_free(slot->spec.session);
    slot->client = NULL;
}

/* One step of one connection; 1 if it is over. */
static int advance(struct state *s, struct slot *slot)
{
    static const enum ccs_tls_leave hows[] = {CCS_TLS_CLOSE, CCS_TLS_RESET};

    if (slot->leaves > 0 && --slot->leaves == 0) {
        slot->leaves = 1;
        ccs_tls_client_leave(slot->client, hows[chance(s, 2)]);
    } else if (ccs_wait_clock() - slot->since > ccs_wait_scaled(CCS_WAIT_DEFAULT)) {
        ccs_tls_client_give_up(slot->client);
    }
    return ccs_tls_client_step(slot->client) != CCS_TLS_RUNNING;
}

void ccs_stress_run(struct ccs_stress *stress)
{
    struct state *s = calloc(1, sizeof(*s));
    size_t opened = 0, over = 0, reloads = 0, i, moved;

    assert_non_null(s);
    assert_true(stress->parallel <= PARALLEL_MAX);
    s->stress = stress;
    s->seed = stress->seed;
    while (over < stress->connections) {
        moved = 0;
        for (i = 0; i < stress->parallel; i++) {
            struct slot *slot = &s->slots[i];

            if (slot->client == NULL && opened < stress->connections) {
                open_slot(s, slot);
                opened++;
            }
            if (slot->client != NULL && advance(s, slot)) {
                judge(s, slot);
                close_slot(slot);
                over++;
                moved++;
            }
        }
        if (reloads < stress->reloads &&
            opened > (reloads + 1) * stress->connections / (stress->reloads + 1)) {
            /* Connections are under way in the old processes. */
            stress->reload(stress->farm);
            reloads++;
        }
        if (moved == 0) {
            ccs_wait_pass(1);
        }
    }
    for (i = 0; i < CCS_STRESS_NAMES; i++) {
        SSL_SESSION_free(s->sessions[i]);
    }
    free(s);
}
