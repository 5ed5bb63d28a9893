/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RECORD_HEADER 5
#define RECORD_MAX    16384

static size_t get16(const unsigned char *p)
{
    return (size_t)p[0] << 8 | p[1];
}

static void put16(unsigned char *p, size_t value)
{
    assert_true(value <= 0xffff);
    p[0] = (unsigned char)(value >> 8);
    p[1] = (unsigned char)value;
}

static void put24(unsigned char *p, size_t value)
{
    assert_true(value <= 0xffffff);
    p[0] = (unsigned char)(value >> 16);
    put16(p + 1, value & 0xffff);
}

/* Gathers the handshake message from its records; returns how many octets of in those took. */
static size_t unwrap(const unsigned char *in, size_t len, unsigned char *message, size_t *out)
{
    size_t used = 0, at = 0, n;

    do {
        assert_true(len - at > RECORD_HEADER && in[at] == 22);
        n = get16(in + at + 3);
        assert_true(n <= len - at - RECORD_HEADER);
        memcpy(message + used, in + at + RECORD_HEADER, n);
        used += n;
        at += RECORD_HEADER + n;
    } while (used < 4 ||
             used < 4 + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]));
    *out = used;
    return at;
}

static size_t extensions_at(const unsigned char *m)
{
    size_t at = 4 + 2 + 32;

    at += 1 + m[at];
    at += 2 + get16(m + at);
    return at + 1 + m[at];
}

/* Puts other octets in place of the host_name; message has room for them. */
static size_t replace_name(unsigned char *m, size_t len, const unsigned char *name, size_t name_len)
{
    size_t list = extensions_at(m), at = list + 2, old, fresh = name_len + 5;

    while (get16(m + at) != 0) {
        at += 4 + get16(m + at + 2);
        assert_true(at + 4 <= len);
    }
    old = get16(m + at + 2);
    memmove(m + at + 4 + fresh, m + at + 4 + old, len - (at + 4 + old));
    put16(m + at + 2, fresh);
    put16(m + at + 4, fresh - 2);
    m[at + 6] = 0;
    put16(m + at + 7, name_len);
    if (name_len > 0) {
        memcpy(m + at + 9, name, name_len);
    }
    len = len - old + fresh;
    put16(m + list, len - list - 2);
    put24(m + 1, len - 4);
    return len;
}

unsigned char *ccs_tls_hello_rewrite(const struct ccs_tls_spec *spec, const unsigned char *in,
                                     size_t len, size_t *out_len)
{
    size_t message_len, taken, at, n, used = 0;
    size_t piece = spec->record > 0 ? spec->record : RECORD_MAX;
    unsigned char *message, *out;

    message = malloc(len + spec->raw_sni_len + 16);
    assert_non_null(message);
    taken = unwrap(in, len, message, &message_len);
    if (spec->raw_sni != NULL) {
        message_len = replace_name(message, message_len, spec->raw_sni, spec->raw_sni_len);
    }
    out = malloc(message_len + (message_len / piece + 1) * RECORD_HEADER + (len - taken));
    assert_non_null(out);
    for (at = 0; at < message_len; at += n) {
        n = message_len - at < piece ? message_len - at : piece;
        out[used] = 22;
        out[used + 1] = 3;
        out[used + 2] = 1;
        put16(out + used + 3, n);
        memcpy(out + used + RECORD_HEADER, message + at, n);
        used += RECORD_HEADER + n;
    }
    memcpy(out + used, in + taken, len - taken);
    free(message);
    *out_len = used + len - taken;
    return out;
}
