/* SPDX-License-Identifier: Apache-2.0 */
/* What ccs-agent is told when it is started, and what it reports then. Pure. */
#include "agent_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "secret.h"

#define SETUP_MAGIC 0x43435346u /* "CCSF" */

/* Writes as long as there is room; what did not fit shows in len. */
struct block {
    uint8_t *out;
    size_t size;
    size_t len;
};

static void put(struct block *b, const void *p, size_t len)
{
    if (b->len <= b->size && len <= b->size - b->len)
        memcpy(b->out + b->len, p, len);
    b->len += len;
}

static void put_number(struct block *b, uint32_t value)
{
    const uint8_t octets[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
                               (uint8_t)(value >> 8), (uint8_t)value};

    put(b, octets, sizeof(octets));
}

static int is_text(const char *text, size_t size)
{
    return strnlen(text, size) < size;
}

static void put_text(struct block *b, const char *text)
{
    const size_t len = strlen(text);

    put_number(b, (uint32_t)len);
    put(b, text, len);
}

static int is_sound(const struct ccs_agent_setup *s)
{
    if (s->stores == 0 || s->stores > CCS_AGENT_STORES_MAX || s->level > CCS_LOG_DEBUG ||
        !is_text(s->user, sizeof(s->user)))
        return 0;
    for (uint32_t i = 0; i < s->stores; i++) {
        const struct ccs_agent_store *t = &s->store[i];

        if (!is_text(t->location, sizeof(t->location)) || t->location[0] == '\0' ||
            !is_text(t->user, sizeof(t->user)) || !is_text(t->domain, sizeof(t->domain)) ||
            !is_text(t->password, sizeof(t->password)))
            return 0;
    }
    return 1;
}

int ccs_agent_setup_encode(const struct ccs_agent_setup *setup, uint8_t *out, size_t size,
                           size_t *len)
{
    struct block b = {out, size, 0};

    if (!is_sound(setup))
        return CCS_EINVAL;
    put_number(&b, SETUP_MAGIC);
    put_number(&b, CCS_WIRE_VERSION);
    put_text(&b, setup->user);
    put_number(&b, (uint32_t)setup->level);
    put_number(&b, setup->stores);
    for (uint32_t i = 0; i < setup->stores; i++) {
        const struct ccs_agent_store *t = &setup->store[i];

        put_text(&b, t->location);
        put_text(&b, t->user);
        put_text(&b, t->domain);
        put_text(&b, t->password);
        put_number(&b, t->wait_ms);
        put_number(&b, t->refresh_ms);
    }
    if (b.len > size) {
        ccs_wipe(out, size);
        return CCS_ENOMEM;
    }
    *len = b.len;
    return CCS_OK;
}

struct reader {
    const uint8_t *p;
    size_t left;
    int bad;
};

static uint32_t get_number(struct reader *r)
{
    uint32_t value;

    if (r->left < 4) {
        r->bad = 1;
        return 0;
    }
    value = (uint32_t)r->p[0] << 24 | (uint32_t)r->p[1] << 16 | (uint32_t)r->p[2] << 8 | r->p[3];
    r->p += 4;
    r->left -= 4;
    return value;
}

/* out is zero before. */
static void get_text(struct reader *r, char *out, size_t size)
{
    const size_t len = get_number(r);

    if (r->bad || len >= size || len > r->left || memchr(r->p, '\0', len) != NULL) {
        r->bad = 1;
        return;
    }
    memcpy(out, r->p, len);
    r->p += len;
    r->left -= len;
}

int ccs_agent_setup_decode(const uint8_t *p, size_t len, struct ccs_agent_setup *out)
{
    struct reader r = {p, len, 0};

    memset(out, 0, sizeof(*out));
    r.bad |= get_number(&r) != SETUP_MAGIC;
    r.bad |= get_number(&r) != CCS_WIRE_VERSION;
    get_text(&r, out->user, sizeof(out->user));
    out->level = (enum ccs_level)get_number(&r);
    out->stores = get_number(&r);
    if (out->stores > CCS_AGENT_STORES_MAX)
        r.bad = 1;
    for (uint32_t i = 0; !r.bad && i < out->stores; i++) {
        struct ccs_agent_store *t = &out->store[i];

        get_text(&r, t->location, sizeof(t->location));
        get_text(&r, t->user, sizeof(t->user));
        get_text(&r, t->domain, sizeof(t->domain));
        get_text(&r, t->password, sizeof(t->password));
        t->wait_ms = get_number(&r);
        t->refresh_ms = get_number(&r);
    }
    if (!r.bad && r.left == 0 && is_sound(out))
        return CCS_OK;
    ccs_wipe(out, sizeof(*out));
    return CCS_EINVAL;
}

size_t ccs_agent_report_encode(int32_t pid, const char *error, char out[CCS_AGENT_REPORT_MAX])
{
    char text[CCS_AGENT_REPORT_MAX - 8];
    int n;

    if (error == NULL) {
        n = snprintf(out, CCS_AGENT_REPORT_MAX, "OK %" PRId32 "\n", pid);
    } else {
        ccs_printable(text, sizeof(text), error, strlen(error));
        n = snprintf(out, CCS_AGENT_REPORT_MAX, "ERR %s\n", text);
    }
    return n > 0 ? (size_t)n : 0;
}

int ccs_agent_report_decode(const char *p, size_t len, int32_t *pid, struct ccs_error *err)
{
    char text[CCS_AGENT_REPORT_MAX];
    int64_t n = 0;
    size_t i = 3;

    if (len < 5 || len >= CCS_AGENT_REPORT_MAX || p[len - 1] != '\n')
        return ccs_error_set(err, CCS_EUNAVAIL, "ccs-agent ended without saying why");
    if (memcmp(p, "ERR ", 4) == 0) {
        return ccs_error_set(err, CCS_EUNAVAIL, "%s",
                             ccs_printable(text, sizeof(text), p + 4, len - 5));
    }
    if (memcmp(p, "OK ", 3) == 0) {
        for (; i < len - 1 && p[i] >= '0' && p[i] <= '9' && n <= INT32_MAX; i++)
            n = n * 10 + (p[i] - '0');
    }
    if (i == 3 || i != len - 1 || n < 1 || n > INT32_MAX)
        return ccs_error_set(err, CCS_EUNAVAIL, "ccs-agent said something that is no report");
    *pid = (int32_t)n;
    return CCS_OK;
}
