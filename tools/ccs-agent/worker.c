/* SPDX-License-Identifier: Apache-2.0 */
/* Answers requests for files and for the folder, one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "member.h"

static void worker_probe(struct agent_member *m, const struct ccs_wire_message *q)
{
    struct ccs_wire_message a = {.type = CCS_WIRE_ROOT, .id = q->id};
    struct ccs_error err = {0};

    if (ccs_store_probe(m->store, &a.root, &err) != CCS_OK)
        agent_member_error(m, q->id, &err, NULL);
    else
        agent_member_send(m, &a);
}

static void worker_stat(struct agent_member *m, const struct ccs_wire_message *q, const char *file)
{
    struct ccs_wire_message a = {.type = CCS_WIRE_STAMP, .id = q->id};
    struct ccs_error err = {0};

    if (ccs_store_stat(m->store, file, &a.stamp, &err) != CCS_OK)
        agent_member_error(m, q->id, &err, NULL);
    else
        agent_member_send(m, &a);
}

static void worker_read(struct agent_member *m, const struct ccs_wire_message *q, const char *file)
{
    struct ccs_wire_message a = {.type = CCS_WIRE_CONTENTS, .id = q->id};
    struct ccs_secret data = {0};
    struct ccs_error err = {0};

    if (ccs_store_read(m->store, file, q->max, &data, &a.stamp, &err) != CCS_OK) {
        agent_member_error(m, q->id, &err, &a.stamp);
        return;
    }
    a.text.data = (const char *)data.data;
    a.text.len = data.len;
    agent_member_send(m, &a);
    ccs_wipe(m->out, data.len + 64 + CCS_WIRE_HEADER);
    ccs_secret_free(&data);
}

static void worker_answer(struct agent_member *m, const struct ccs_wire_message *q)
{
    char file[CCS_FILE_NAME_SIZE] = "";

    if (q->text.len < sizeof(file) && q->text.len > 0)
        memcpy(file, q->text.data, q->text.len);
    switch (q->type) {
    case CCS_WIRE_PROBE:
        worker_probe(m, q);
        break;
    case CCS_WIRE_STAT:
        worker_stat(m, q, file);
        break;
    case CCS_WIRE_READ:
        worker_read(m, q, file);
        break;
    default:
        _exit(1);
    }
    agent_member_library(m);
}

void agent_worker_run(struct agent_member *m)
{
    static uint8_t in[CCS_WIRE_REQUEST_MAX];
    struct ccs_wire_message q;
    size_t len = 0;
    size_t used;
    ssize_t n;
    int rv;

    for (;;) {
        rv = ccs_wire_decode(CCS_WIRE_TO_AGENT, in, len, &q, &used);
        if (rv == CCS_OK) {
            worker_answer(m, &q);
            memmove(in, in + used, len - used);
            len -= used;
            continue;
        }
        if (rv != CCS_PENDING || used > sizeof(in))
            return;
        n = recv(m->fd, in + len, sizeof(in) - len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        len += (size_t)n;
    }
}
