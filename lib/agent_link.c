/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_link.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"

#define KEPT 16384 /* more room than this is not kept for the next message */

void ccs_agent_link_init(struct ccs_agent_link *link)
{
    memset(link, 0, sizeof(*link));
    link->fd = -1;
}

void ccs_agent_link_close(struct ccs_agent_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    ccs_secret_free(&link->in);
    ccs_agent_link_init(link);
}

static int closed(struct ccs_error *err, int errnum)
{
    if (errnum == 0)
        return ccs_error_set(err, CCS_ECLOSED, "ccs-agent has ended the connection");
    return ccs_error_sys(err, CCS_ECLOSED, errnum, "the connection to ccs-agent has broken");
}

static int wait_for(const struct ccs_agent_link *link, short events, int64_t deadline,
                    struct ccs_error *err)
{
    struct pollfd p = {.fd = link->fd, .events = events};
    int64_t left;
    int rc;

    for (;;) {
        left = deadline - ccs_now_ms();
        rc = poll(&p, 1, left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
        if (rc > 0)
            return CCS_OK;
        if (rc < 0 && errno != EINTR)
            return closed(err, errno);
        if (rc == 0 && left <= 0)
            return ccs_error_set(err, CCS_ETIMEDOUT, "ccs-agent did not answer in time");
    }
}

static int send_all(struct ccs_agent_link *link, const uint8_t *p, size_t len, int64_t deadline,
                    struct ccs_error *err)
{
    ssize_t n;
    int rv;

    while (len > 0) {
        n = send(link->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno != EAGAIN)
            return closed(err, n == 0 ? 0 : errno);
        rv = wait_for(link, POLLOUT, deadline, err);
        if (rv != CCS_OK)
            return rv;
    }
    return CCS_OK;
}

/* So much of the message as to have `want` octets of it. */
static int fill(struct ccs_agent_link *link, size_t want, int64_t deadline, struct ccs_error *err)
{
    struct ccs_secret *in = &link->in;
    ssize_t n;
    int rv;

    if (ccs_secret_reserve(in, want) != CCS_OK)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for what ccs-agent answers");
    while (in->len < want) {
        n = recv(link->fd, in->data + in->len, want - in->len, MSG_DONTWAIT);
        if (n > 0) {
            in->len += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno != EAGAIN)
            return closed(err, n == 0 ? 0 : errno);
        rv = wait_for(link, POLLIN, deadline, err);
        if (rv != CCS_OK)
            return rv;
    }
    return CCS_OK;
}

int ccs_agent_link_receive(struct ccs_agent_link *link, struct ccs_wire_message *out,
                           int64_t deadline, struct ccs_error *err)
{
    struct ccs_secret *in = &link->in;
    size_t used;
    int rv;

    /* What is whole was given out by the call before, and is not borrowed any more. */
    if (in->len > 0 && ccs_wire_decode(CCS_WIRE_TO_CLIENT, in->data, in->len, out, &used) == CCS_OK)
        in->len = 0;
    if (in->len == 0 && in->size > KEPT)
        ccs_secret_free(in);
    for (;;) {
        rv = ccs_wire_decode(CCS_WIRE_TO_CLIENT, in->data, in->len, out, &used);
        if (rv == CCS_OK)
            return rv;
        if (rv == CCS_EINVAL)
            return ccs_error_set(err, rv, "ccs-agent said something that is no answer");
        rv = fill(link, used, deadline, err);
        if (rv != CCS_OK)
            return rv;
    }
}

int ccs_agent_link_send(struct ccs_agent_link *link, struct ccs_wire_message *m, int64_t deadline,
                        struct ccs_error *err)
{
    uint8_t octets[CCS_WIRE_REQUEST_MAX];
    size_t len;

    m->store = link->store;
    m->id = ++link->last_id;
    if (ccs_wire_encode(m, octets, sizeof(octets), &len) != CCS_OK)
        return ccs_error_set(err, CCS_EINVAL, "this cannot be asked of ccs-agent");
    return send_all(link, octets, len, deadline, err);
}

int ccs_agent_link_greet(struct ccs_agent_link *link, int fd, const char *location, unsigned flags,
                         int64_t deadline, struct ccs_error *err)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_HELLO,
                                 .version = CCS_WIRE_VERSION,
                                 .flags = (uint16_t)flags,
                                 .text = {location, strlen(location)}};
    char text[CCS_WIRE_TEXT_MAX + 1];
    int rv;

    link->fd = fd;
    rv = ccs_agent_link_send(link, &m, deadline, err);
    if (rv == CCS_OK)
        rv = ccs_agent_link_receive(link, &m, deadline, err);
    if (rv != CCS_OK)
        goto out;
    if (m.type == CCS_WIRE_ERROR) {
        rv = ccs_error_set(err, CCS_EUNAVAIL, "%s",
                           ccs_printable(text, sizeof(text), m.text.data, m.text.len));
    } else if (m.type != CCS_WIRE_WELCOME || m.version != CCS_WIRE_VERSION) {
        rv = ccs_error_set(err, CCS_EUNAVAIL,
                           "ccs-agent is of another version than this library: restart the server");
    } else {
        link->store = m.store;
    }
out:
    if (rv != CCS_OK)
        ccs_agent_link_close(link);
    return rv;
}

int ccs_agent_link_is_idle(const struct ccs_agent_link *link)
{
    struct pollfd p = {.fd = link->fd, .events = POLLIN};

    return link->fd >= 0 && poll(&p, 1, 0) == 0;
}
