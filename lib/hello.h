/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_HELLO_H
#define CCS_HELLO_H

/*
 * Incremental reader of the first TLS records of a connection, up to the server name of the
 * ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2, RFC 6066 3). Each octet is looked at once, in
 * whatever pieces it comes. It reads whatever OpenSSL reads, except hellos in SSLv2 format, which
 * carry no name, and those whose name comes later than CCS_HELLO_LIMIT; where it cannot go on it
 * says so and leaves the alert to OpenSSL.
 */

#include <ccs/ccs.h>

#include "base.h"

#define CCS_HELLO_NAME_MAX 255
#define CCS_HELLO_LIMIT    65536 /* octets of records, headers included, before it gives up */

struct ccs_hello {
    /* Results, valid once feed returned CCS_OK. */
    char name[CCS_HELLO_NAME_MAX + 1]; /* as sent, NUL-terminated; may contain NUL octets */
    size_t name_len;                   /* 0: no host_name was sent */

    /* State of the reader. */
    uint32_t total;       /* octets fed */
    uint32_t number;      /* field under construction */
    uint32_t left;        /* octets of the open structure that no field has claimed */
    uint32_t skip;        /* octets to pass over, or to copy, before the next field */
    uint16_t record_left; /* octets to come of the record's fragment */
    uint8_t record_count; /* octets to come of the record's header */
    uint8_t count;        /* octets to come of number */
    uint8_t step;         /* what number will be */
    int verdict;
};

void ccs_hello_init(struct ccs_hello *h);

/*
 * Feeds the next octets. CCS_PENDING: more is needed. CCS_OK: the server name, or its absence, is
 * known. CCS_EINVAL: not a ClientHello that can be read, or longer than CCS_HELLO_LIMIT. After the
 * last two the answer stays the same and nothing more is read.
 */
int ccs_hello_feed(struct ccs_hello *h, const uint8_t *buf, size_t len);

#endif
