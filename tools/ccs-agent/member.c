/* SPDX-License-Identifier: Apache-2.0 */
#include "member.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture.h"
#include "error.h"
#include "smb.h"

#define TIMEOUT_MIN_MS 1000
#define TIMEOUT_MAX_MS 20000
#define LISTING_MS     60000

void agent_member_send(struct agent_member *m, const struct ccs_wire_message *message)
{
    size_t len = 0;
    size_t sent = 0;
    ssize_t n;

    if (ccs_wire_encode(message, m->out, CCS_WIRE_MESSAGE_MAX, &len) != CCS_OK)
        return;
    while (sent < len) {
        n = send(m->fd, m->out + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        sent += (size_t)n;
    }
}

void agent_member_error(struct agent_member *m, uint32_t id, const struct ccs_error *err,
                        const struct ccs_stamp *stamp)
{
    struct ccs_wire_message e = {.type = CCS_WIRE_ERROR, .id = id, .code = err->code};

    e.sys_errno = err->sys_errno;
    if (stamp != NULL)
        e.stamp = *stamp;
    e.text.data = err->text;
    e.text.len = strlen(err->text);
    agent_member_send(m, &e);
}

void agent_member_log(struct agent_member *m, enum ccs_level level, const char *fmt, ...)
{
    char line[CCS_WIRE_LINE_MAX + 1];
    struct ccs_wire_message log = {.type = CCS_WIRE_LOG, .level = level};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    log.text.data = line;
    log.text.len = strlen(line);
    agent_member_send(m, &log);
}

static void member_line(const char *line, void *arg)
{
    agent_member_log(arg, CCS_LOG_DEBUG, "libsmbclient: %s", line);
}

void agent_member_library(struct agent_member *m)
{
    agent_capture_drain(member_line, m);
}

int agent_member_is_alone(const struct agent_member *m)
{
    struct pollfd p = {.fd = m->fd};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static int member_open_smb(struct agent_member *m, struct ccs_error *err)
{
    const struct ccs_agent_store *c = m->config;
    struct agent_smb_config smb = {
        .user = c->user, .domain = c->domain, .password = c->password, .logon = m->logon};
    int rv = ccs_unc_parse(c->location, &smb.unc, err);

    if (rv != CCS_OK)
        return rv;
    smb.timeout_ms = c->wait_ms / 2;
    if (smb.timeout_ms < TIMEOUT_MIN_MS)
        smb.timeout_ms = TIMEOUT_MIN_MS;
    if (smb.timeout_ms > TIMEOUT_MAX_MS)
        smb.timeout_ms = TIMEOUT_MAX_MS;
    /* A server may look at a whole large folder before it gives the first names. */
    if (m->patient)
        smb.timeout_ms = LISTING_MS;
    rv = agent_capture_start();
    if (rv != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, rv, "libsmbclient's output cannot be captured");
    return agent_smb_open(&smb, &m->store, err);
}

void agent_member_open(struct agent_member *m)
{
    struct ccs_error err;
    int rv;

    m->out = malloc(CCS_WIRE_MESSAGE_MAX);
    if (m->out == NULL)
        _exit(1);
    rv = ccs_unc_is(m->config->location) ? member_open_smb(m, &err)
                                         : ccs_store_dir_open(m->config->location, &m->store, &err);
    if (rv != CCS_OK) {
        agent_member_log(m, CCS_LOG_ERROR, "%s", err.text);
        _exit(1);
    }
}
