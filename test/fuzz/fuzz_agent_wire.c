/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Octets as a peer of ccs-agent's connections could send them, to both sides: what is taken for a
 * message is within its bounds, and is written again as the same octets.
 */

#include <string.h>

#include "agent_wire.h"
#include "fuzz.h"

static void check_bounds(const struct ccs_wire_message *m, const uint8_t *data, size_t used)
{
    const uint8_t *text = (const uint8_t *)m->text.data;
    struct ccs_wire_text names = m->text;
    struct ccs_wire_text name;

    CHECK(used >= CCS_WIRE_HEADER && used <= CCS_WIRE_MESSAGE_MAX);
    CHECK(m->text.len == 0 || (text > data && text + m->text.len <= data + used));
    switch (m->type) {
    case CCS_WIRE_STAT:
    case CCS_WIRE_READ:
        CHECK(ccs_wire_is_file(m->text.data, m->text.len));
        CHECK(memchr(m->text.data, '/', m->text.len) == NULL);
        CHECK(m->max <= CCS_WIRE_FILE_MAX);
        break;
    case CCS_WIRE_NAMES:
        while (ccs_wire_names_next(&names, &name))
            CHECK(name.len <= CCS_FILE_NAME_MAX);
        CHECK(names.len == 0);
        break;
    case CCS_WIRE_EVENT:
        CHECK(m->text.len <= CCS_FILE_NAME_MAX);
        break;
    case CCS_WIRE_ERROR:
        CHECK(m->code < 0 && m->text.len <= CCS_WIRE_TEXT_MAX);
        break;
    case CCS_WIRE_CONTENTS:
        CHECK(m->text.len == m->stamp.size);
        break;
    default:
        break;
    }
}

/* Whether the octets are those of a request decides nothing else than which side takes them. */
static void check_side(enum ccs_wire_side side, const uint8_t *data, size_t size)
{
    struct ccs_wire_message m;
    uint8_t *again;
    size_t used;
    size_t len;
    int rv;

    for (;;) {
        rv = ccs_wire_decode(side, data, size, &m, &used);
        if (rv == CCS_PENDING)
            CHECK(used > size && used <= CCS_WIRE_MESSAGE_MAX);
        if (rv != CCS_OK)
            return;
        CHECK(used <= size);
        CHECK(side == CCS_WIRE_TO_CLIENT || used <= CCS_WIRE_REQUEST_MAX);
        check_bounds(&m, data, used);
        CHECK(ccs_wire_size(&m) == used);
        again = malloc(used);
        CHECK(again != NULL);
        CHECK(ccs_wire_encode(&m, again, used, &len) == CCS_OK && len == used);
        CHECK(memcmp(again, data, used) == 0);
        free(again);
        data += used;
        size -= used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_side(CCS_WIRE_TO_AGENT, data, size);
    check_side(CCS_WIRE_TO_CLIENT, data, size);
    return 0;
}
