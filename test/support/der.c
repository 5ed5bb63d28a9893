/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/objects.h>

#include "der.h"

static void make_room(struct ccs_der *der, size_t more)
{
    uint8_t *data;

    if (der->size - der->len >= more)
        return;
    der->size = 2 * der->size + more + 256;
    data = realloc(der->data, der->size);
    if (!data)
        fail_msg("no memory for DER");
    der->data = data;
}

void ccs_der_raw(struct ccs_der *der, const void *data, size_t len)
{
    make_room(der, len);
    if (len > 0)
        memcpy(der->data + der->len, data, len);
    der->len += len;
}

static size_t put_length(uint8_t out[9], size_t len)
{
    size_t octets = 0, i, rest;

    if (len < 0x80) {
        out[0] = (uint8_t)len;
        return 1;
    }
    for (rest = len; rest > 0; rest >>= 8)
        octets++;
    out[0] = (uint8_t)(0x80 | octets);
    for (i = octets; i > 0; i--, len >>= 8)
        out[i] = (uint8_t)len;
    return octets + 1;
}

static void begin(struct ccs_der *der, uint8_t tag, int open)
{
    static const uint8_t indefinite = 0x80;

    if (der->depth == CCS_DER_DEPTH_MAX)
        fail_msg("DER nested too deeply");
    ccs_der_raw(der, &tag, 1);
    if (open)
        ccs_der_raw(der, &indefinite, 1);
    der->level[der->depth].start = der->len;
    der->level[der->depth++].open = open;
}

void ccs_der_begin(struct ccs_der *der, uint8_t tag)
{
    begin(der, tag, 0);
}

void ccs_der_begin_open(struct ccs_der *der, uint8_t tag)
{
    begin(der, tag, 1);
}

void ccs_der_end(struct ccs_der *der)
{
    static const uint8_t end[2] = {0, 0};
    uint8_t length[9];
    size_t start, n;

    if (der->depth == 0)
        fail_msg("DER ended too often");
    start = der->level[--der->depth].start;
    if (der->level[der->depth].open) {
        ccs_der_raw(der, end, sizeof(end));
        return;
    }
    n = put_length(length, der->len - start);
    make_room(der, n);
    memmove(der->data + start + n, der->data + start, der->len - start);
    memcpy(der->data + start, length, n);
    der->len += n;
}

void ccs_der_put(struct ccs_der *der, uint8_t tag, const void *data, size_t len)
{
    ccs_der_begin(der, tag);
    ccs_der_raw(der, data, len);
    ccs_der_end(der);
}

void ccs_der_add(struct ccs_der *der, const struct ccs_der *other)
{
    ccs_der_raw(der, other->data, other->len);
}

void ccs_der_int(struct ccs_der *der, int64_t value)
{
    uint8_t octets[8];
    size_t skip = 0, i;

    for (i = 0; i < 8; i++)
        octets[7 - i] = (uint8_t)((uint64_t)value >> 8 * i);
    while (skip < 7 && ((octets[skip] == 0x00 && octets[skip + 1] < 0x80) ||
                        (octets[skip] == 0xff && octets[skip + 1] >= 0x80)))
        skip++;
    ccs_der_put(der, CCS_DER_INTEGER, octets + skip, 8 - skip);
}

void ccs_der_oid(struct ccs_der *der, const char *dotted)
{
    ASN1_OBJECT *object = OBJ_txt2obj(dotted, 1);

    if (!object)
        fail_msg("no OID: %s", dotted);
    ccs_der_put(der, CCS_DER_OID, OBJ_get0_data(object), OBJ_length(object));
    ASN1_OBJECT_free(object);
}

void ccs_der_chunks(struct ccs_der *der, const void *data, size_t len, size_t piece)
{
    const uint8_t *p = data;
    size_t n;

    ccs_der_begin_open(der, CCS_DER_OCTETS | 0x20);
    for (; len > 0; p += n, len -= n) {
        n = len < piece ? len : piece;
        ccs_der_put(der, CCS_DER_OCTETS, p, n);
    }
    ccs_der_end(der);
}

void ccs_der_to_ber(struct ccs_der *ber, const uint8_t *der, size_t len)
{
    size_t pos = 0;

    while (pos < len) {
        uint8_t tag = der[pos++];
        size_t length = der[pos++], octets = 0;

        if (length >= 0x80) {
            octets = length & 0x7f;
            for (length = 0; octets > 0; octets--)
                length = length << 8 | der[pos++];
        }
        if (tag & 0x20) {
            ccs_der_begin_open(ber, tag);
            ccs_der_to_ber(ber, der + pos, length);
            ccs_der_end(ber);
        } else if (tag == CCS_DER_OCTETS && length > 16) {
            ccs_der_chunks(ber, der + pos, length, 100);
        } else {
            ccs_der_put(ber, tag, der + pos, length);
        }
        pos += length;
    }
}

void ccs_der_clear(struct ccs_der *der)
{
    free(der->data);
    memset(der, 0, sizeof(*der));
}
