/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A ClientHello is read as a chain of numbers: message type and length, lengths of the fields, then
 * type and length of each extension. A number's octets are collected across record and packet
 * borders; what lies between two numbers is passed over in runs as long as the input at hand.
 *
 * Room is claimed from the enclosing structure before it is read: `left` is what nobody has claimed
 * yet, so a length that points outside is found as soon as it is known.
 */

#include "hello.h"
#include "base.h"

#include <limits.h>
#include <string.h>

#define RECORD_HEADER_LEN   5
#define RECORD_FRAGMENT_MAX 16384
#define RECORD_HANDSHAKE    22
#define RECORD_MAJOR        3
#define CLIENT_HELLO        1
#define EXTENSION_SNI       0
#define NAME_TYPE_HOST      0

#define HEADER_LEN           4        /* message type, 24-bit length */
#define VERSION_RANDOM_LEN   (2 + 32) /* legacy_version and random */
#define EXTENSION_HEADER_LEN 4        /* type, length */
#define NAME_HEADER_LEN      3        /* type, length */

/* Meaning of the number that is collected; the last two come without one. */
enum step {
    STEP_HEADER,
    STEP_SESSION,
    STEP_CIPHERS,
    STEP_COMPRESSION,
    STEP_EXTENSIONS,
    STEP_EXTENSION,
    STEP_NAMES,
    STEP_NAME_ENTRY,
    STEP_NAME, /* `skip` octets are copied instead of passed over */
    STEP_NONE
};

CCS_WARM void ccs_hello_init(struct ccs_hello *h)
{
    memset(h, 0, sizeof(*h));
    h->record_count = RECORD_HEADER_LEN;
    h->count = HEADER_LEN;
    h->step = STEP_HEADER;
    h->verdict = CCS_PENDING;
}

/* Claims `skip` octets to pass over and `count` octets of the number that follows them. */
static CCS_WARM int expect(struct ccs_hello *h, enum step step, uint32_t skip, uint8_t count)
{
    if (skip > h->left || count > h->left - skip)
        return CCS_EINVAL;
    h->left -= skip + count;
    h->skip = skip;
    h->count = count;
    h->step = (uint8_t)step;
    return CCS_PENDING;
}

static CCS_WARM int expect_extension(struct ccs_hello *h, uint32_t skip)
{
    if (skip == h->left)
        return expect(h, STEP_NONE, skip, 0);
    return expect(h, STEP_EXTENSION, skip, EXTENSION_HEADER_LEN);
}

static int take_extension(struct ccs_hello *h, uint32_t type, uint32_t len)
{
    if (type != EXTENSION_SNI)
        return expect_extension(h, len);
    if (len > h->left)
        return CCS_EINVAL;
    /* There is one server_name extension at most, so nothing behind it matters any more. */
    h->left = len;
    return expect(h, STEP_NAMES, 0, 2);
}

static int take_name_entry(struct ccs_hello *h, uint32_t type, uint32_t len)
{
    if (type != NAME_TYPE_HOST)
        return expect(h, STEP_NAME_ENTRY, len, NAME_HEADER_LEN);
    if (len > CCS_HELLO_NAME_MAX)
        return CCS_EINVAL;
    return expect(h, STEP_NAME, len, 0);
}

/* Acts on a number that is complete, and says what comes next. */
static int take_number(struct ccs_hello *h)
{
    uint32_t number = h->number;

    h->number = 0;
    switch ((enum step)h->step) {
    case STEP_HEADER:
        if (number >> 24 != CLIENT_HELLO)
            return CCS_EINVAL;
        h->left = number & 0xffffff;
        return expect(h, STEP_SESSION, VERSION_RANDOM_LEN, 1);
    case STEP_SESSION:
        return expect(h, STEP_CIPHERS, number, 2);
    case STEP_CIPHERS:
        return expect(h, STEP_COMPRESSION, number, 1);
    case STEP_COMPRESSION:
        /* A hello may end here: that is how clients spoke before extensions were invented. */
        if (number == h->left)
            return expect(h, STEP_NONE, number, 0);
        return expect(h, STEP_EXTENSIONS, number, 2);
    case STEP_EXTENSIONS:
        return number == h->left ? expect_extension(h, 0) : CCS_EINVAL;
    case STEP_EXTENSION:
        return take_extension(h, number >> 16, number & 0xffff);
    case STEP_NAMES:
        /* An empty list, or one without a host_name, does not pass: room for an entry is claimed.
         */
        return number == h->left ? expect(h, STEP_NAME_ENTRY, 0, NAME_HEADER_LEN) : CCS_EINVAL;
    case STEP_NAME_ENTRY:
        return take_name_entry(h, number >> 16, number & 0xffff);
    case STEP_NAME:
    case STEP_NONE:
        break;
    }
    return CCS_EINVAL;
}

/* Passes over, or copies, what of `skip` is at hand; returns how many octets that was. */
static size_t pass(struct ccs_hello *h, const uint8_t *buf, size_t len)
{
    size_t run = h->skip < len ? h->skip : len;

    if (h->step == STEP_NAME) {
        memcpy(h->name + h->name_len, buf, run);
        h->name_len += run;
    }
    h->skip -= (uint32_t)run;
    return run;
}

/*
 * Passes over extensions at hand that are whole, not ours and not the last. It changes nothing that
 * read_message() would not, but most of a hello is this, and every handshake pays for it.
 */
static const uint8_t *pass_extensions(struct ccs_hello *h, const uint8_t *buf, const uint8_t *end)
{
    uint32_t left = h->left;
    uint32_t type;
    uint32_t whole;

    while (end - buf >= EXTENSION_HEADER_LEN) {
        type = (uint32_t)buf[0] << CHAR_BIT | buf[1];
        whole = EXTENSION_HEADER_LEN + ((uint32_t)buf[2] << CHAR_BIT | buf[3]);
        if (type == EXTENSION_SNI || whole > left || whole > (size_t)(end - buf))
            break;
        left -= whole;
        buf += whole;
    }
    h->left = left;
    return buf;
}

/* Collects octets of the number; returns how many it took. */
static size_t collect(struct ccs_hello *h, const uint8_t *buf, size_t len)
{
    size_t take = h->count < len ? h->count : len;
    uint32_t number = h->number;
    size_t i;

    for (i = 0; i < take; i++)
        number = number << CHAR_BIT | buf[i];
    h->number = number;
    h->count = (uint8_t)(h->count - take);
    return take;
}

/* Reads octets of the handshake message. */
static int read_message(struct ccs_hello *h, const uint8_t *buf, size_t len)
{
    const uint8_t *end = buf + len;
    int rv = CCS_PENDING;

    while (rv == CCS_PENDING) {
        if (h->skip > 0) {
            buf += pass(h, buf, (size_t)(end - buf));
            if (h->skip > 0)
                break;
        }
        if (h->count == 0)
            return CCS_OK; /* STEP_NAME or STEP_NONE is done */
        if (h->step == STEP_EXTENSION && h->count == EXTENSION_HEADER_LEN)
            buf = pass_extensions(h, buf, end);
        if (buf == end)
            break;
        buf += collect(h, buf, (size_t)(end - buf));
        if (h->count == 0)
            rv = take_number(h);
    }
    return rv;
}

/* Reads one octet of a record's header. The version's second octet may be anything (RFC 8446 5.1).
 */
static int read_header(struct ccs_hello *h, uint8_t octet)
{
    switch (h->record_count--) {
    case 5:
        return octet == RECORD_HANDSHAKE ? CCS_PENDING : CCS_EINVAL;
    case 4:
        return octet == RECORD_MAJOR ? CCS_PENDING : CCS_EINVAL;
    case 3:
        return CCS_PENDING;
    case 2:
        h->record_left = (uint16_t)(octet << CHAR_BIT);
        return CCS_PENDING;
    default:
        h->record_left = (uint16_t)(h->record_left | octet);
        return h->record_left <= RECORD_FRAGMENT_MAX ? CCS_PENDING : CCS_EINVAL;
    }
}

CCS_WARM int ccs_hello_feed(struct ccs_hello *h, const uint8_t *buf, size_t len)
{
    int rv = h->verdict;
    size_t room = CCS_HELLO_LIMIT - h->total;
    size_t run;

    if (rv != CCS_PENDING || len == 0)
        return rv;
    if (len > room)
        len = room;
    h->total += (uint32_t)len;
    while (len > 0 && rv == CCS_PENDING) {
        if (h->record_count > 0) {
            rv = read_header(h, *buf);
            run = 1;
        } else {
            run = h->record_left < len ? h->record_left : len;
            rv = read_message(h, buf, run);
            h->record_left = (uint16_t)(h->record_left - run);
            /* Empty records are skipped, as OpenSSL does; CCS_HELLO_LIMIT bounds them. */
            if (h->record_left == 0)
                h->record_count = RECORD_HEADER_LEN;
        }
        buf += run;
        len -= run;
    }
    if (rv == CCS_PENDING && h->total == CCS_HELLO_LIMIT)
        rv = CCS_EINVAL;
    h->verdict = rv;
    return rv;
}
