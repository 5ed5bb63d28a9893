/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base.h"
#include "secret.h"

#define FIRST_SIZE 4096

void agent_stream_init(struct agent_stream *s, int fd, enum ccs_wire_side side)
{
    memset(s, 0, sizeof(*s));
    s->fd = fd;
    s->side = side;
    s->moved_at = ccs_now_ms();
    STAILQ_INIT(&s->unsent);
}

static void stream_drop_first(struct agent_stream *s)
{
    struct agent_unsent *u = STAILQ_FIRST(&s->unsent);

    STAILQ_REMOVE_HEAD(&s->unsent, link);
    s->unsent_octets -= u->body->len;
    agent_body_unref(u->body);
    free(u);
}

void agent_stream_close(struct agent_stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    while (!STAILQ_EMPTY(&s->unsent))
        stream_drop_first(s);
    if (s->in != NULL)
        ccs_wipe(s->in, s->in_size);
    free(s->in);
    s->in = NULL;
    s->in_len = 0;
    s->in_size = 0;
}

/* -- out ----------------------------------------------------------------------------------- */

static void stream_put(uint8_t *out, uint32_t value, unsigned octets)
{
    for (unsigned i = octets; i-- > 0; value >>= 8)
        out[i] = (uint8_t)value;
}

int agent_stream_push(struct agent_stream *s, struct agent_body *body, uint16_t store, uint32_t id)
{
    struct agent_unsent *u = malloc(sizeof(*u));

    if (u == NULL)
        return CCS_ENOMEM;
    u->body = agent_body_ref(body);
    u->sent = 0;
    memcpy(u->header, body->octets, CCS_WIRE_HEADER);
    stream_put(u->header + 6, store, 2);
    stream_put(u->header + 8, id, 4);
    if (STAILQ_EMPTY(&s->unsent))
        s->moved_at = ccs_now_ms();
    STAILQ_INSERT_TAIL(&s->unsent, u, link);
    s->unsent_octets += body->len;
    return CCS_OK;
}

int agent_stream_send(struct agent_stream *s, const struct ccs_wire_message *m)
{
    struct agent_body *body = agent_body_new(m);
    int rv;

    if (body == NULL)
        return CCS_ENOMEM;
    rv = agent_stream_push(s, body, m->store, m->id);
    agent_body_unref(body);
    return rv;
}

static ssize_t stream_write(const struct agent_stream *s, struct agent_unsent *u)
{
    struct iovec iov[2];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    const size_t head = u->sent < CCS_WIRE_HEADER ? CCS_WIRE_HEADER - u->sent : 0;
    const size_t from = u->sent > CCS_WIRE_HEADER ? u->sent : CCS_WIRE_HEADER;

    iov[0].iov_base = u->header + CCS_WIRE_HEADER - head;
    iov[0].iov_len = head;
    iov[1].iov_base = u->body->octets + from;
    iov[1].iov_len = u->body->len - from;
    return sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int agent_stream_flush(struct agent_stream *s)
{
    struct agent_unsent *u;
    ssize_t n;

    while ((u = STAILQ_FIRST(&s->unsent)) != NULL) {
        n = stream_write(s, u);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? CCS_OK : CCS_ECLOSED;
        s->moved_at = ccs_now_ms();
        u->sent += (size_t)n;
        if (u->sent < u->body->len)
            return CCS_OK;
        stream_drop_first(s);
    }
    return CCS_OK;
}

/* -- in ------------------------------------------------------------------------------------ */

static int stream_reserve(struct agent_stream *s, size_t size)
{
    uint8_t *in;

    if (size <= s->in_size)
        return CCS_OK;
    in = malloc(size);
    if (in == NULL)
        return CCS_ENOMEM;
    if (s->in_len > 0)
        memcpy(in, s->in, s->in_len);
    if (s->in != NULL)
        ccs_wipe(s->in, s->in_size);
    free(s->in);
    s->in = in;
    s->in_size = size;
    return CCS_OK;
}

int agent_stream_fill(struct agent_stream *s)
{
    ssize_t n;

    if (stream_reserve(s, FIRST_SIZE) != CCS_OK)
        return CCS_ECLOSED;
    while (s->in_len < s->in_size) {
        n = recv(s->fd, s->in + s->in_len, s->in_size - s->in_len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return CCS_OK;
        if (n <= 0)
            return CCS_ECLOSED;
        s->in_len += (size_t)n;
        return CCS_OK;
    }
    return CCS_OK;
}

int agent_stream_next(struct agent_stream *s, struct ccs_wire_message *out, const uint8_t **octets,
                      size_t *len)
{
    size_t used = 0;
    const int rv = ccs_wire_decode(s->side, s->in, s->in_len, out, &used);

    /* Room for the whole message: what a side may announce is bounded. */
    if (rv == CCS_PENDING)
        return stream_reserve(s, used) == CCS_OK ? CCS_PENDING : CCS_ENOMEM;
    if (rv != CCS_OK)
        return rv;
    *octets = s->in;
    *len = used;
    return CCS_OK;
}

void agent_stream_done(struct agent_stream *s, size_t len)
{
    memmove(s->in, s->in + len, s->in_len - len);
    s->in_len -= len;
    /* It may have been a file with keys in it. */
    ccs_wipe(s->in + s->in_len, len);
}
