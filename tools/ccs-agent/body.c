/* SPDX-License-Identifier: Apache-2.0 */
#include "body.h"

#include <stdlib.h>
#include <string.h>

#include "secret.h"

static struct agent_body *body_of_size(size_t len)
{
    struct agent_body *body = malloc(sizeof(*body) + len);

    if (body != NULL) {
        body->refs = 1;
        body->len = len;
    }
    return body;
}

struct agent_body *agent_body_new(const struct ccs_wire_message *m)
{
    const size_t size = ccs_wire_size(m);
    struct agent_body *body = size > 0 ? body_of_size(size) : NULL;
    size_t len;

    if (body != NULL && ccs_wire_encode(m, body->octets, size, &len) != CCS_OK) {
        free(body);
        body = NULL;
    }
    return body;
}

struct agent_body *agent_body_copy(const uint8_t *octets, size_t len)
{
    struct agent_body *body = body_of_size(len);

    if (body != NULL)
        memcpy(body->octets, octets, len);
    return body;
}

struct agent_body *agent_body_ref(struct agent_body *body)
{
    body->refs++;
    return body;
}

void agent_body_unref(struct agent_body *body)
{
    if (body == NULL || --body->refs > 0)
        return;
    ccs_wipe(body->octets, body->len);
    free(body);
}
