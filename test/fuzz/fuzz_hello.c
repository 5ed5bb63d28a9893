/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The reader of hellos against a plain one that has all octets at hand, and against itself in other
 * pieces. An input is taken for a stream of records, and for a handshake message that is put into
 * records here.
 */

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hello.h"

/* -- the plain reader ------------------------------------------------------------------------ */

struct plain {
    uint8_t message[CCS_HELLO_LIMIT];
    size_t len;
    int after; /* verdict if the message is read to its end without an answer */
    size_t at;
    char name[CCS_HELLO_NAME_MAX + 1];
    size_t name_len;
};

/* Takes the message out of its records, as far as they are sound. */
static void gather(struct plain *p, const uint8_t *data, size_t size)
{
    size_t end = size < CCS_HELLO_LIMIT ? size : CCS_HELLO_LIMIT;
    size_t at = 0;
    size_t len;

    p->len = 0;
    p->after = size < CCS_HELLO_LIMIT ? CCS_PENDING : CCS_EINVAL;
    while (at < end) {
        if (data[at] != 22 || (end - at > 1 && data[at + 1] != 3)) {
            p->after = CCS_EINVAL;
            return;
        }
        if (end - at < 5) {
            return;
        }
        len = (size_t)data[at + 3] << 8 | data[at + 4];
        if (len > 16384) {
            p->after = CCS_EINVAL;
            return;
        }
        at += 5;
        len = len < end - at ? len : end - at;
        memcpy(p->message + p->len, data + at, len);
        p->len += len;
        at += len;
    }
}

/* Number of n octets, or -1 if they are not there. */
static int64_t number(struct plain *p, size_t n)
{
    int64_t value = 0;

    if (p->len - p->at < n) {
        p->at = p->len;
        return -1;
    }
    while (n-- > 0) {
        value = value << 8 | p->message[p->at++];
    }
    return value;
}

/* Whether so many octets are there; passes over them. */
static int skip(struct plain *p, int64_t n)
{
    if ((int64_t)(p->len - p->at) < n) {
        p->at = p->len;
        return 0;
    }
    p->at += (size_t)n;
    return 1;
}

static int read_names(struct plain *p, int64_t left)
{
    int64_t type;
    int64_t len;

    if (left < 2) {
        return CCS_EINVAL;
    }
    len = number(p, 2);
    if (len < 0) {
        return p->after;
    }
    left -= 2;
    if (len != left) {
        return CCS_EINVAL;
    }
    for (;;) {
        if (left < 3) {
            return CCS_EINVAL;
        }
        type = number(p, 3);
        if (type < 0) {
            return p->after;
        }
        left -= 3;
        len = type & 0xffff;
        type >>= 16;
        if (len > left) {
            return CCS_EINVAL;
        }
        if (type == 0) {
            break;
        }
        left -= len;
        if (left < 3) {
            return CCS_EINVAL;
        }
        if (!skip(p, len)) {
            return p->after;
        }
    }
    if (len > CCS_HELLO_NAME_MAX) {
        return CCS_EINVAL;
    }
    if (!skip(p, len)) {
        return p->after;
    }
    p->name_len = (size_t)len;
    memcpy(p->name, p->message + p->at - len, p->name_len);
    return CCS_OK;
}

static int read_extensions(struct plain *p, int64_t left)
{
    int64_t type;
    int64_t len;

    while (left > 0) {
        if (left < 4) {
            return CCS_EINVAL;
        }
        type = number(p, 2);
        len = type < 0 ? -1 : number(p, 2);
        if (len < 0) {
            return p->after;
        }
        left -= 4;
        if (len > left) {
            return CCS_EINVAL;
        }
        if (type == 0) {
            return read_names(p, len);
        }
        left -= len;
        if (left > 0 && left < 4) {
            return CCS_EINVAL;
        }
        if (!skip(p, len)) {
            return p->after;
        }
    }
    return CCS_OK;
}

static int plain_read(struct plain *p, const uint8_t *data, size_t size)
{
    static const struct {
        size_t octets; /* of the length */
        int64_t next;  /* octets that must come behind the field */
    } fields[] = {{1, 2}, {2, 1}, {1, 0}};
    int64_t left;
    int64_t len;
    size_t i;

    gather(p, data, size);
    p->at = 0;
    p->name_len = 0;
    left = number(p, 4);
    if (left < 0) {
        return p->after;
    }
    if (left >> 24 != 1) {
        return CCS_EINVAL;
    }
    left &= 0xffffff;
    if (left < 35) {
        return CCS_EINVAL;
    }
    left -= 34;
    if (!skip(p, 34)) {
        return p->after;
    }
    for (i = 0; i < CCS_ARRAY_LEN(fields); i++) {
        len = number(p, fields[i].octets);
        if (len < 0) {
            return p->after;
        }
        left -= (int64_t)fields[i].octets;
        if (len + fields[i].next > left) {
            return CCS_EINVAL;
        }
        left -= len;
        if (i == 2 && left == 1) {
            return CCS_EINVAL;
        }
        if (!skip(p, len)) {
            return p->after;
        }
    }
    if (left == 0) {
        return CCS_OK;
    }
    len = number(p, 2);
    if (len < 0) {
        return p->after;
    }
    left -= 2;
    return len == left ? read_extensions(p, left) : CCS_EINVAL;
}

/* -- comparing ------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Depends on the input only, so that a find can be repeated. */
static uint32_t seed_of(const uint8_t *data, size_t size)
{
    uint32_t hash = 2166136261u;
    size_t i;

    for (i = 0; i < size && i < 1000; i++) {
        hash = (hash ^ data[i]) * 16777619u;
    }
    return hash != 0 ? hash : 1;
}

static void check_same(const struct ccs_hello *h, int verdict, const struct plain *p, int expected)
{
    CHECK(verdict == expected);
    if (verdict == CCS_OK) {
        CHECK(h->name_len == p->name_len);
        CHECK(h->name_len <= CCS_HELLO_NAME_MAX);
        CHECK(h->name[h->name_len] == '\0');
        CHECK(memcmp(h->name, p->name, p->name_len) == 0);
    }
}

/* Feeds pieces of 1 to max octets. */
static void check_pieces(const struct plain *p, int expected, const uint8_t *data, size_t size,
                         uint32_t *seed, uint32_t max)
{
    struct ccs_hello h;
    int verdict = CCS_PENDING;
    int earlier;
    size_t at;
    size_t n;

    ccs_hello_init(&h);
    for (at = 0; at < size; at += n) {
        n = 1 + next_random(seed) % max;
        n = n < size - at ? n : size - at;
        earlier = verdict;
        verdict = ccs_hello_feed(&h, data + at, n);
        CHECK(earlier == CCS_PENDING || verdict == earlier);
    }
    check_same(&h, verdict, p, expected);
}

static int check_stream(const uint8_t *data, size_t size)
{
    static struct plain p; /* too big for the stack */
    struct ccs_hello h;
    uint32_t seed = seed_of(data, size);
    int expected = plain_read(&p, data, size);

    ccs_hello_init(&h);
    check_same(&h, ccs_hello_feed(&h, data, size), &p, expected);
    check_pieces(&p, expected, data, size, &seed, 1);
    check_pieces(&p, expected, data, size, &seed, 8);
    check_pieces(&p, expected, data, size, &seed, 300);
    return expected;
}

/* Puts a message into records of at most `piece` octets. */
static size_t wrap(uint8_t *out, const uint8_t *message, size_t size, size_t piece)
{
    size_t len = 0;
    size_t at;
    size_t n;

    for (at = 0; at < size; at += n) {
        n = size - at < piece ? size - at : piece;
        out[len++] = 22;
        out[len++] = 3;
        out[len++] = 1;
        out[len++] = (uint8_t)(n >> 8);
        out[len++] = (uint8_t)n;
        memcpy(out + len, message + at, n);
        len += n;
    }
    return len;
}

static void check_message(const uint8_t *data, size_t size)
{
    uint32_t seed = seed_of(data, size);
    uint8_t *records;
    int whole;

    /* Small enough to stay below the limit in any records. */
    if (size == 0 || size > CCS_HELLO_LIMIT / 6 - 1) {
        return;
    }
    records = malloc(size * 6);
    if (!records) {
        return;
    }
    whole = check_stream(records, wrap(records, data, size, 16384));
    CHECK(check_stream(records, wrap(records, data, size, 1)) == whole);
    CHECK(check_stream(records, wrap(records, data, size, 2 + next_random(&seed) % 100)) == whole);
    free(records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_stream(data, size);
    check_message(data, size);
    return 0;
}
