/* SPDX-License-Identifier: Apache-2.0 */
#include "tlv.h"

static enum ccs_tlv_state read_tag(const uint8_t *p, size_t len, size_t *pos, struct ccs_tlv *out)
{
    uint32_t number = p[0] & 0x1fu;
    size_t i = 1;

    out->class = (uint8_t)(p[0] >> 6);
    out->compound = (p[0] >> 5) & 1u;
    if (number == 0x1f) {
        number = 0;
        do {
            if (i == len)
                return CCS_TLV_SHORT;
            if (number > INT32_MAX >> 7)
                return CCS_TLV_BAD;
            number = number << 7 | (p[i] & 0x7fu);
        } while (p[i++] & 0x80);
    }
    out->tag = number;
    *pos = i;
    return CCS_TLV_WHOLE;
}

static enum ccs_tlv_state read_length(const uint8_t *p, size_t len, size_t *pos,
                                      struct ccs_tlv *out)
{
    size_t i = *pos, octets;
    uint64_t length = 0;

    if (i == len)
        return CCS_TLV_SHORT;
    out->open = p[i] == 0x80;
    octets = p[i] & 0x80 ? p[i] & 0x7fu : 0;
    if (octets == 0 && !out->open)
        length = p[i];
    i++;
    for (; octets > 0; octets--) {
        if (i == len)
            return CCS_TLV_SHORT;
        if (length > INT64_MAX >> 8)
            return CCS_TLV_BAD;
        length = length << 8 | p[i++];
    }
    out->length = length;
    *pos = i;
    return out->open && !out->compound ? CCS_TLV_BAD : CCS_TLV_WHOLE;
}

enum ccs_tlv_state ccs_tlv_header(const uint8_t *p, size_t len, struct ccs_tlv *out)
{
    struct ccs_tlv tlv = {0};
    enum ccs_tlv_state state;

    if (len == 0)
        return CCS_TLV_SHORT;
    state = read_tag(p, len, &tlv.header, &tlv);
    if (state == CCS_TLV_WHOLE)
        state = read_length(p, len, &tlv.header, &tlv);
    if (state == CCS_TLV_WHOLE)
        *out = tlv;
    return state;
}

struct ccs_tlv_extent ccs_tlv_scan(const uint8_t *p, size_t len)
{
    struct ccs_tlv_extent extent = {CCS_TLV_BAD, 0, 0};
    struct ccs_tlv tlv;
    unsigned depth = 0;
    size_t pos = 0;

    do {
        if (depth > 0 && len - pos >= 2 && p[pos] == 0 && p[pos + 1] == 0) {
            pos += 2;
            depth--;
            continue;
        }
        extent.state = ccs_tlv_header(p + pos, len - pos, &tlv);
        if (extent.state != CCS_TLV_WHOLE)
            return extent;
        pos += tlv.header;
        if (tlv.open) {
            if (++depth > CCS_TLV_DEPTH_MAX) {
                extent.state = CCS_TLV_BAD;
                return extent;
            }
        } else if (tlv.length > len - pos) {
            /* Only an outermost element of definite length says how long the whole is. */
            extent.state = CCS_TLV_SHORT;
            extent.want = depth == 0 ? pos + tlv.length : 0;
            return extent;
        } else {
            pos += (size_t)tlv.length;
        }
    } while (depth > 0);
    extent.state = pos == len ? CCS_TLV_WHOLE : CCS_TLV_TRAILING;
    extent.size = pos;
    return extent;
}
