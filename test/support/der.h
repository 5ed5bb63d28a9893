/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_DER_H
#define CCS_TEST_DER_H

/*
 * Writes DER and BER by hand, right or deliberately wrong. What cannot be done fails the running
 * test. Zero-initialised it is empty.
 */

#include <stddef.h>
#include <stdint.h>

#define CCS_DER_DEPTH_MAX 64

struct ccs_der {
    uint8_t *data; /* malloc'ed */
    size_t len;
    size_t size;
    unsigned depth;
    struct {
        size_t start; /* of the content */
        int open;     /* indefinite length */
    } level[CCS_DER_DEPTH_MAX];
};

#define CCS_DER_INTEGER  0x02
#define CCS_DER_BITS     0x03
#define CCS_DER_OCTETS   0x04
#define CCS_DER_NULL     0x05
#define CCS_DER_OID      0x06
#define CCS_DER_UTF8     0x0c
#define CCS_DER_BMP      0x1e
#define CCS_DER_SEQUENCE 0x30
#define CCS_DER_SET      0x31
#define CCS_DER_CONTEXT  0x80 /* + number, primitive */
#define CCS_DER_EXPLICIT 0xa0 /* + number, constructed */

/* Elements between begin and end become its contents. */
void ccs_der_begin(struct ccs_der *der, uint8_t tag);
void ccs_der_begin_open(struct ccs_der *der, uint8_t tag); /* indefinite length */
void ccs_der_end(struct ccs_der *der);

void ccs_der_put(struct ccs_der *der, uint8_t tag, const void *data, size_t len);
void ccs_der_raw(struct ccs_der *der, const void *data,
                 size_t len);                                       /* whole elements, or rubbish */
void ccs_der_add(struct ccs_der *der, const struct ccs_der *other); /* the same from another */
void ccs_der_int(struct ccs_der *der, int64_t value);
void ccs_der_oid(struct ccs_der *der, const char *dotted);

/* An octet string in BER: indefinite, in pieces of so many octets. */
void ccs_der_chunks(struct ccs_der *der, const void *data, size_t len, size_t piece);

/* The same element with every constructed length made indefinite and every octet string chunked. */
void ccs_der_to_ber(struct ccs_der *ber, const uint8_t *der, size_t len);

void ccs_der_clear(struct ccs_der *der);

#endif
