/* SPDX-License-Identifier: Apache-2.0 */

/* What ccs-agent reads when it starts, and what its starter reads then. */

#include <string.h>

#include "agent_wire.h"
#include "fuzz.h"

static void check_setup(const uint8_t *data, size_t size)
{
    static struct ccs_agent_setup setup; /* too big for the stack */
    static const struct ccs_agent_setup zero;
    uint8_t *again;
    size_t len;

    if (ccs_agent_setup_decode(data, size, &setup) != CCS_OK) {
        CHECK(memcmp(&setup, &zero, sizeof(zero)) == 0);
        return;
    }
    CHECK(setup.stores >= 1 && setup.stores <= CCS_AGENT_STORES_MAX);
    again = malloc(size);
    CHECK(again != NULL);
    CHECK(ccs_agent_setup_encode(&setup, again, size, &len) == CCS_OK && len == size);
    CHECK(memcmp(again, data, size) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ccs_error err;
    int32_t pid = 0;

    check_setup(data, size);
    if (ccs_agent_report_decode((const char *)data, size, &pid, &err) == CCS_OK)
        CHECK(pid > 0);
    else
        CHECK(pid == 0 && memchr(err.text, '\0', sizeof(err.text)) != NULL);
    return 0;
}
