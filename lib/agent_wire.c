/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_wire.h"

#include <string.h>
#include <strings.h>

#define STAMP_SIZE 32
#define ROOT_SIZE  33
#define ERRNO_MAX  4095 /* as far as the kernel's error numbers go */

/* -- octets ---------------------------------------------------------------------------------- */

/* Writes in the order of the fields; out NULL only counts. */
struct writer {
    uint8_t *out;
    size_t len;
};

static void put(struct writer *w, uint64_t value, unsigned octets)
{
    for (unsigned i = octets; i-- > 0; w->len++) {
        if (w->out != NULL)
            w->out[w->len] = (uint8_t)(value >> (8 * i));
    }
}

static void put_text(struct writer *w, struct ccs_wire_text text)
{
    if (w->out != NULL && text.len > 0)
        memcpy(w->out + w->len, text.data, text.len);
    w->len += text.len;
}

/* Reads them; asked for more than there is it gives zeros, and bad is set. */
struct reader {
    const uint8_t *p;
    size_t left;
    int bad;
};

static uint64_t get(struct reader *r, unsigned octets)
{
    uint64_t value = 0;

    if (r->left < octets) {
        r->bad = 1;
        r->left = 0;
        return 0;
    }
    for (unsigned i = 0; i < octets; i++)
        value = value << 8 | r->p[i];
    r->p += octets;
    r->left -= octets;
    return value;
}

/* All that is left. */
static struct ccs_wire_text get_text(struct reader *r)
{
    struct ccs_wire_text text = {(const char *)r->p, r->left};

    r->p += r->left;
    r->left = 0;
    return text;
}

static void put_stamp(struct writer *w, const struct ccs_stamp *stamp)
{
    put(w, stamp->size, 8);
    put(w, stamp->file_id, 8);
    put(w, (uint64_t)stamp->mtime_ns, 8);
    put(w, (uint64_t)stamp->ctime_ns, 8);
}

static void get_stamp(struct reader *r, struct ccs_stamp *stamp)
{
    stamp->size = get(r, 8);
    stamp->file_id = get(r, 8);
    stamp->mtime_ns = (int64_t)get(r, 8);
    stamp->ctime_ns = (int64_t)get(r, 8);
}

static void put_root(struct writer *w, const struct ccs_root *root)
{
    put(w, root->device, 8);
    put(w, root->file_id, 8);
    put(w, root->fs_type, 8);
    put(w, (uint64_t)root->mtime_ns, 8);
    put(w, root->notifies, 1);
}

static void get_root(struct reader *r, struct ccs_root *root)
{
    uint64_t notifies;

    root->device = get(r, 8);
    root->file_id = get(r, 8);
    root->fs_type = get(r, 8);
    root->mtime_ns = (int64_t)get(r, 8);
    notifies = get(r, 1);
    root->notifies = notifies == 1;
    r->bad |= notifies > 1;
}

/* -- names ----------------------------------------------------------------------------------- */

int ccs_wire_is_file(const char *name, size_t len)
{
    if (len <= 4 || len > CCS_FILE_NAME_MAX || strncasecmp(name + len - 4, ".pfx", 4) != 0)
        return 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)name[i];

        if (c < 0x20 || c == 0x7f || strchr("\"*/:<>?\\|", c) != NULL)
            return 0;
    }
    return 1;
}

int ccs_wire_names_add(char *buf, size_t size, size_t *used, const char *name, size_t len)
{
    if (!ccs_wire_is_file(name, len) || *used > size || len + 1 > size - *used)
        return 0;
    buf[*used] = (char)(unsigned char)len;
    memcpy(buf + *used + 1, name, len);
    *used += len + 1;
    return 1;
}

int ccs_wire_names_next(struct ccs_wire_text *names, struct ccs_wire_text *name)
{
    size_t len;

    if (names->len == 0)
        return 0;
    len = (unsigned char)names->data[0];
    if (len > names->len - 1 || !ccs_wire_is_file(names->data + 1, len))
        return 0;
    name->data = names->data + 1;
    name->len = len;
    names->data += len + 1;
    names->len -= len + 1;
    return 1;
}

static int are_names(struct ccs_wire_text names)
{
    struct ccs_wire_text name;

    if (names.len == 0 || names.len > CCS_WIRE_NAMES_MAX)
        return 0;
    while (ccs_wire_names_next(&names, &name))
        ;
    return names.len == 0;
}

/* -- messages -------------------------------------------------------------------------------- */

static int is_request(enum ccs_wire_type type)
{
    return type >= CCS_WIRE_HELLO && type <= CCS_WIRE_PING;
}

static int is_answer(enum ccs_wire_type type)
{
    return type >= CCS_WIRE_WELCOME && type <= CCS_WIRE_LOG;
}

/* The longest body of a type; it also bounds what a peer can make this side buffer. */
static size_t body_max(enum ccs_wire_type type)
{
    switch (type) {
    case CCS_WIRE_HELLO:
        return 8 + CCS_WIRE_LOCATION_MAX;
    case CCS_WIRE_PROBE:
    case CCS_WIRE_LIST:
    case CCS_WIRE_WATCH:
    case CCS_WIRE_LISTED:
        return 4;
    case CCS_WIRE_STAT:
        return 4 + CCS_FILE_NAME_MAX;
    case CCS_WIRE_READ:
        return 8 + CCS_FILE_NAME_MAX;
    case CCS_WIRE_CANCEL:
    case CCS_WIRE_STATUS:
    case CCS_WIRE_PING:
    case CCS_WIRE_WATCHING:
    case CCS_WIRE_PONG:
        return 0;
    case CCS_WIRE_WELCOME:
        return 10;
    case CCS_WIRE_ROOT:
        return ROOT_SIZE;
    case CCS_WIRE_STAMP:
        return STAMP_SIZE;
    case CCS_WIRE_CONTENTS:
        return STAMP_SIZE + CCS_WIRE_FILE_MAX;
    case CCS_WIRE_NAMES:
        return CCS_WIRE_NAMES_MAX;
    case CCS_WIRE_EVENT:
        return 1 + CCS_FILE_NAME_MAX;
    case CCS_WIRE_STATE:
        return CCS_WIRE_STATE_MAX;
    case CCS_WIRE_ERROR:
        return 8 + STAMP_SIZE + CCS_WIRE_TEXT_MAX;
    case CCS_WIRE_LOG:
        return 1 + CCS_WIRE_LINE_MAX;
    }
    return 0;
}

static int has_nul(struct ccs_wire_text text)
{
    return text.len > 0 && memchr(text.data, '\0', text.len) != NULL;
}

static int is_error_code(int code)
{
    return (code <= CCS_ENOMEM && code >= CCS_ESSL) ||
           (code <= CCS_EFILETYPE && code >= CCS_ENAMEMISMATCH);
}

static int is_event(const struct ccs_wire_message *m)
{
    switch (m->event) {
    case CCS_EVENT_ARRIVED:
    case CCS_EVENT_REMOVED:
        return ccs_wire_is_file(m->text.data, m->text.len);
    case CCS_EVENT_OVERFLOW:
    case CCS_EVENT_ROOT_GONE:
        return m->text.len == 0;
    }
    return 0;
}

/* Whether all fields of the type are within their bounds, for both directions. */
static int is_sound(const struct ccs_wire_message *m)
{
    switch (m->type) {
    case CCS_WIRE_HELLO:
        return m->version >= 1 && m->text.len > 0 && m->text.len <= CCS_WIRE_LOCATION_MAX &&
               !has_nul(m->text);
    case CCS_WIRE_WELCOME:
        return m->version >= 1;
    case CCS_WIRE_STAT:
        return ccs_wire_is_file(m->text.data, m->text.len);
    case CCS_WIRE_READ:
        return m->max <= CCS_WIRE_FILE_MAX && ccs_wire_is_file(m->text.data, m->text.len);
    case CCS_WIRE_CONTENTS:
        return m->text.len <= CCS_WIRE_FILE_MAX && m->text.len == m->stamp.size;
    case CCS_WIRE_NAMES:
        return are_names(m->text);
    case CCS_WIRE_EVENT:
        return is_event(m);
    case CCS_WIRE_STATE:
        return m->text.len <= CCS_WIRE_STATE_MAX && !has_nul(m->text);
    case CCS_WIRE_ERROR:
        return is_error_code(m->code) && m->sys_errno >= 0 && m->sys_errno <= ERRNO_MAX &&
               m->text.len > 0 && m->text.len <= CCS_WIRE_TEXT_MAX && !has_nul(m->text);
    case CCS_WIRE_LOG:
        return m->level <= CCS_LOG_DEBUG && m->text.len > 0 && m->text.len <= CCS_WIRE_LINE_MAX &&
               !has_nul(m->text);
    case CCS_WIRE_PROBE:
    case CCS_WIRE_LIST:
    case CCS_WIRE_WATCH:
    case CCS_WIRE_CANCEL:
    case CCS_WIRE_STATUS:
    case CCS_WIRE_PING:
    case CCS_WIRE_ROOT:
    case CCS_WIRE_STAMP:
    case CCS_WIRE_LISTED:
    case CCS_WIRE_WATCHING:
    case CCS_WIRE_PONG:
        return 1;
    }
    return 0;
}

static void put_body(struct writer *w, const struct ccs_wire_message *m)
{
    switch (m->type) {
    case CCS_WIRE_HELLO:
        put(w, CCS_WIRE_MAGIC, 4);
        put(w, m->version, 2);
        put(w, m->flags, 2);
        put_text(w, m->text);
        break;
    case CCS_WIRE_WELCOME:
        put(w, CCS_WIRE_MAGIC, 4);
        put(w, m->version, 2);
        put(w, m->pid, 4);
        break;
    case CCS_WIRE_PROBE:
    case CCS_WIRE_LIST:
    case CCS_WIRE_WATCH:
        put(w, m->timeout_ms, 4);
        break;
    case CCS_WIRE_STAT:
        put(w, m->timeout_ms, 4);
        put_text(w, m->text);
        break;
    case CCS_WIRE_READ:
        put(w, m->timeout_ms, 4);
        put(w, m->max, 4);
        put_text(w, m->text);
        break;
    case CCS_WIRE_LISTED:
        put(w, m->count, 4);
        break;
    case CCS_WIRE_ROOT:
        put_root(w, &m->root);
        break;
    case CCS_WIRE_STAMP:
        put_stamp(w, &m->stamp);
        break;
    case CCS_WIRE_CONTENTS:
        put_stamp(w, &m->stamp);
        put_text(w, m->text);
        break;
    case CCS_WIRE_EVENT:
        put(w, (uint64_t)m->event, 1);
        put_text(w, m->text);
        break;
    case CCS_WIRE_ERROR:
        put(w, (uint32_t)m->code, 4);
        put(w, (uint32_t)m->sys_errno, 4);
        put_stamp(w, &m->stamp);
        put_text(w, m->text);
        break;
    case CCS_WIRE_LOG:
        put(w, (uint64_t)m->level, 1);
        put_text(w, m->text);
        break;
    case CCS_WIRE_NAMES:
    case CCS_WIRE_STATE:
        put_text(w, m->text);
        break;
    case CCS_WIRE_CANCEL:
    case CCS_WIRE_STATUS:
    case CCS_WIRE_PING:
    case CCS_WIRE_WATCHING:
    case CCS_WIRE_PONG:
        break;
    }
}

static void put_message(struct writer *w, const struct ccs_wire_message *m, size_t body)
{
    put(w, body, 4);
    put(w, (uint64_t)m->type, 2);
    put(w, m->store, 2);
    put(w, m->id, 4);
    put_body(w, m);
}

size_t ccs_wire_size(const struct ccs_wire_message *m)
{
    struct writer w = {NULL, 0};

    if (!is_sound(m))
        return 0;
    put_message(&w, m, 0);
    return w.len;
}

int ccs_wire_encode(const struct ccs_wire_message *m, uint8_t *out, size_t size, size_t *len)
{
    const size_t need = ccs_wire_size(m);
    struct writer w = {out, 0};

    if (need == 0)
        return CCS_EINVAL;
    if (need > size)
        return CCS_ENOMEM;
    put_message(&w, m, need - CCS_WIRE_HEADER);
    *len = need;
    return CCS_OK;
}

static void get_body(struct reader *r, struct ccs_wire_message *m)
{
    switch (m->type) {
    case CCS_WIRE_HELLO:
        r->bad |= get(r, 4) != CCS_WIRE_MAGIC;
        m->version = (uint16_t)get(r, 2);
        m->flags = (uint16_t)get(r, 2);
        m->text = get_text(r);
        break;
    case CCS_WIRE_WELCOME:
        r->bad |= get(r, 4) != CCS_WIRE_MAGIC;
        m->version = (uint16_t)get(r, 2);
        m->pid = (uint32_t)get(r, 4);
        break;
    case CCS_WIRE_PROBE:
    case CCS_WIRE_LIST:
    case CCS_WIRE_WATCH:
        m->timeout_ms = (uint32_t)get(r, 4);
        break;
    case CCS_WIRE_STAT:
        m->timeout_ms = (uint32_t)get(r, 4);
        m->text = get_text(r);
        break;
    case CCS_WIRE_READ:
        m->timeout_ms = (uint32_t)get(r, 4);
        m->max = (uint32_t)get(r, 4);
        m->text = get_text(r);
        break;
    case CCS_WIRE_LISTED:
        m->count = (uint32_t)get(r, 4);
        break;
    case CCS_WIRE_ROOT:
        get_root(r, &m->root);
        break;
    case CCS_WIRE_STAMP:
        get_stamp(r, &m->stamp);
        break;
    case CCS_WIRE_CONTENTS:
        get_stamp(r, &m->stamp);
        m->text = get_text(r);
        break;
    case CCS_WIRE_EVENT:
        m->event = (enum ccs_event_kind)get(r, 1);
        m->text = get_text(r);
        break;
    case CCS_WIRE_ERROR:
        m->code = (int32_t)(uint32_t)get(r, 4);
        m->sys_errno = (int32_t)(uint32_t)get(r, 4);
        get_stamp(r, &m->stamp);
        m->text = get_text(r);
        break;
    case CCS_WIRE_LOG:
        m->level = (enum ccs_level)get(r, 1);
        m->text = get_text(r);
        break;
    case CCS_WIRE_NAMES:
    case CCS_WIRE_STATE:
        m->text = get_text(r);
        break;
    case CCS_WIRE_CANCEL:
    case CCS_WIRE_STATUS:
    case CCS_WIRE_PING:
    case CCS_WIRE_WATCHING:
    case CCS_WIRE_PONG:
        break;
    }
}

int ccs_wire_decode(enum ccs_wire_side side, const uint8_t *p, size_t len,
                    struct ccs_wire_message *out, size_t *used)
{
    struct reader r = {p, len, 0};
    struct ccs_wire_message m = {0};
    size_t body;

    if (len < CCS_WIRE_HEADER) {
        *used = CCS_WIRE_HEADER;
        return CCS_PENDING;
    }
    body = (size_t)get(&r, 4);
    m.type = (enum ccs_wire_type)get(&r, 2);
    m.store = (uint16_t)get(&r, 2);
    m.id = (uint32_t)get(&r, 4);
    /* Said before the body is waited for, so that nothing is buffered for what is none. */
    if (!(side == CCS_WIRE_TO_AGENT ? is_request(m.type) : is_answer(m.type)) ||
        body > body_max(m.type))
        return CCS_EINVAL;
    if (body > r.left) {
        *used = CCS_WIRE_HEADER + body;
        return CCS_PENDING;
    }
    r.left = body;
    get_body(&r, &m);
    if (r.bad || r.left > 0 || !is_sound(&m))
        return CCS_EINVAL;
    *out = m;
    *used = CCS_WIRE_HEADER + body;
    return CCS_OK;
}
