/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_HEADER 9
enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_SETTINGS = 4 };
enum { FLAG_END_STREAM = 1, FLAG_END_HEADERS = 4 };

static size_t put_frame(unsigned char *out, size_t len, int type, int flags, int stream)
{
    out[0] = (unsigned char)(len >> 16);
    out[1] = (unsigned char)(len >> 8);
    out[2] = (unsigned char)len;
    out[3] = (unsigned char)type;
    out[4] = (unsigned char)flags;
    out[5] = out[6] = out[7] = 0;
    out[8] = (unsigned char)stream;
    return FRAME_HEADER;
}

/* Literal header field without indexing, name from the static table (RFC 7541 6.2.2). */
static size_t put_field(unsigned char *out, unsigned name, const char *value)
{
    size_t len = strlen(value);

    assert_true(len < 127);
    out[0] = (unsigned char)name;
    out[1] = (unsigned char)len;
    memcpy(out + 2, value, len);
    return 2 + len;
}

static size_t h2_request(unsigned char *out, size_t size, const char *host, const char *path)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    unsigned char block[300];
    size_t used = 0, len = 0;

    assert_true(size >= 512 && strlen(host) < 127 && strlen(path) < 127);
    memcpy(out, preface, sizeof(preface) - 1);
    used = sizeof(preface) - 1;
    used += put_frame(out + used, 0, FRAME_SETTINGS, 0, 0);
    block[len++] = 0x82; /* :method GET */
    block[len++] = 0x87; /* :scheme https */
    len += put_field(block + len, 1, host);
    len += put_field(block + len, 4, path);
    used += put_frame(out + used, len, FRAME_HEADERS, FLAG_END_STREAM | FLAG_END_HEADERS, 1);
    memcpy(out + used, block, len);
    return used + len;
}

size_t ccs_http_request(unsigned char *out, size_t size, int h2, const char *host, const char *path)
{
    int n;

    if (h2) {
        return h2_request(out, size, host, path);
    }
    n = snprintf((char *)out, size, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 path, host);
    assert_true(n > 0 && (size_t)n < size);
    return (size_t)n;
}

static void add_body(char *body, size_t size, size_t *used, const unsigned char *data, size_t len)
{
    size_t n = len < size - 1 - *used ? len : size - 1 - *used;

    memcpy(body + *used, data, n);
    *used += n;
    body[*used] = '\0';
}

static int h2_response(const unsigned char *in, size_t len, int *status, char *body, size_t size)
{
    size_t at = 0, n, skip, used = 0;
    int type, end;

    body[0] = '\0';
    while (len - at >= FRAME_HEADER) {
        n = (size_t)in[at] << 16 | (size_t)in[at + 1] << 8 | in[at + 2];
        type = in[at + 3];
        end = type <= FRAME_HEADERS && (in[at + 4] & FLAG_END_STREAM) != 0;
        at += FRAME_HEADER;
        if (n > len - at) {
            return 0;
        }
        if (type == FRAME_HEADERS) {
            for (skip = 0; skip < n && (in[at + skip] & 0xe0) == 0x20; skip++) {
            }
            *status = skip < n && in[at + skip] == 0x88 ? 200 : -1;
        } else if (type == FRAME_DATA) {
            add_body(body, size, &used, in + at, n);
        }
        at += n;
        if (end) {
            return 1;
        }
    }
    return 0;
}

/* Body in chunks, each behind its length in hex. What does not look so ends it. */
static void add_chunks(char *body, size_t size, size_t *used, const unsigned char *in, size_t len)
{
    const unsigned char *data;
    unsigned long chunk;

    while ((data = memmem(in, len, "\r\n", 2)) != NULL) {
        /* The digits are followed by something that is none, so strtoul() stops in time. */
        chunk = strtoul((const char *)in, NULL, 16);
        data += 2;
        len -= (size_t)(data - in);
        in = data;
        if (chunk == 0 || chunk > len || len - chunk < 2) {
            return;
        }
        add_body(body, size, used, in, chunk);
        in += chunk + 2;
        len -= chunk + 2;
    }
}

static int is_chunked(const unsigned char *in, const unsigned char *end)
{
    static const char header[] = "\r\nTransfer-Encoding: chunked";

    return memmem(in, (size_t)(end - in), header, sizeof(header) - 1) != NULL;
}

int ccs_http_response(const unsigned char *in, size_t len, int h2, int eof, int *status, char *body,
                      size_t size)
{
    const unsigned char *end;
    size_t used = 0;

    if (h2) {
        return h2_response(in, len, status, body, size);
    }
    end = memmem(in, len, "\r\n\r\n", 4);
    if (!eof || end == NULL || len < 12 || memcmp(in, "HTTP/1.1 ", 9) != 0) {
        return 0;
    }
    *status = (in[9] - '0') * 100 + (in[10] - '0') * 10 + (in[11] - '0');
    body[0] = '\0';
    if (is_chunked(in, end)) {
        add_chunks(body, size, &used, end + 4, len - (size_t)(end + 4 - in));
    } else {
        add_body(body, size, &used, end + 4, len - (size_t)(end + 4 - in));
    }
    return 1;
}
