/* SPDX-License-Identifier: Apache-2.0 */
/* Driving one or many TLS clients by poll(). */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tls_client.h"
#include "wait.h"

static int ended(const struct ccs_tls_client *client)
{
    return ccs_tls_client_result(client)->end != CCS_TLS_RUNNING;
}

static int ended_or_waiting(const struct ccs_tls_client *client)
{
    return ended(client) || ccs_tls_client_waiting(client);
}

/* Steps all that have something to do until enough() is true of each, or the time is up. */
static int drive(struct ccs_tls_client *const *clients, size_t count, int max_ms,
                 int (*enough)(const struct ccs_tls_client *))
{
    double end = ccs_wait_clock() + ccs_wait_scaled(max_ms > 0 ? max_ms : CCS_WAIT_DEFAULT);
    struct pollfd *fds = calloc(count > 0 ? count : 1, sizeof(*fds));
    size_t i, open;

    assert_non_null(fds);
    do {
        open = 0;
        for (i = 0; i < count; i++) {
            fds[i].fd = -1;
            if (clients[i] == NULL) {
                continue;
            }
            if (!ended(clients[i])) {
                (void)ccs_tls_client_step(clients[i]);
            }
            if (!enough(clients[i])) {
                open++;
            }
            if (!ended(clients[i])) {
                fds[i].fd = ccs_tls_client_fd(clients[i]);
                fds[i].events = ccs_tls_client_events(clients[i]);
            }
        }
    } while (open > 0 && poll(fds, (nfds_t)count, 20) >= 0 && ccs_wait_clock() < end);
    free(fds);
    return open == 0;
}

size_t ccs_tls_client_run(struct ccs_tls_client *const *clients, size_t count, int max_ms)
{
    size_t i, done = 0;

    (void)drive(clients, count, max_ms, ended);
    for (i = 0; i < count; i++) {
        if (clients[i] != NULL && !ended(clients[i])) {
            ccs_tls_client_give_up(clients[i]);
        }
        if (clients[i] != NULL && ccs_tls_client_result(clients[i])->end == CCS_TLS_DONE) {
            done++;
        }
    }
    return done;
}

int ccs_tls_client_settle(struct ccs_tls_client *const *clients, size_t count, int max_ms)
{
    size_t i;

    (void)drive(clients, count, max_ms, ended_or_waiting);
    for (i = 0; i < count; i++) {
        if (clients[i] != NULL && !ccs_tls_client_waiting(clients[i])) {
            return 0;
        }
    }
    return 1;
}

int ccs_tls_client_once(const struct ccs_tls_spec *spec, struct ccs_tls_result *result,
                        SSL_SESSION **session)
{
    struct ccs_tls_client *client = ccs_tls_client_start(spec);

    (void)ccs_tls_client_run(&client, 1, 0);
    *result = *ccs_tls_client_result(client);
    if (session != NULL) {
        *session = ccs_tls_client_session(client);
        if (*session != NULL) {
            SSL_SESSION_up_ref(*session);
        }
    }
    ccs_tls_client_free(client);
    return result->ok;
}
