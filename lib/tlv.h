/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TLV_H
#define CCS_TLV_H

/*
 * Where one BER element ends, found without decoding it: tells a file that is still being written
 * from one that is broken. Pure.
 */

#include "base.h"

enum ccs_tlv_state {
    CCS_TLV_WHOLE,    /* ends exactly where the data ends */
    CCS_TLV_TRAILING, /* ends before it */
    CCS_TLV_SHORT,    /* goes on beyond it */
    CCS_TLV_BAD       /* not BER, or nested too deeply */
};

#define CCS_TLV_DEPTH_MAX 32 /* nested elements of indefinite length */

struct ccs_tlv {
    uint32_t tag;     /* number without class */
    uint8_t class;    /* 0 universal … 3 private */
    uint8_t compound; /* constructed */
    uint8_t open;     /* length is indefinite */
    size_t header;    /* octets of tag and length */
    uint64_t length;  /* octets of content; 0 if open */
};

struct ccs_tlv_extent {
    enum ccs_tlv_state state;
    uint64_t size; /* WHOLE, TRAILING: of the element */
    uint64_t want; /* SHORT: the least number of octets it takes; 0 if it does not say */
};

/*
 * Reads one header. WHOLE: *out is filled, whether or not the content follows. SHORT: the header
 * itself is cut off. Takes at least what OpenSSL's ASN1_get_object() takes.
 */
enum ccs_tlv_state ccs_tlv_header(const uint8_t *p, size_t len, struct ccs_tlv *out);

/* The extent of the element that starts at p. Time is linear in len, whatever the data. */
struct ccs_tlv_extent ccs_tlv_scan(const uint8_t *p, size_t len);

#endif
