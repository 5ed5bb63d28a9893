/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An input is an ASN.1 element. Where OpenSSL decodes it, the scanner must have found the same end;
 * what is cut off from a whole element must look incomplete.
 */

#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>

#include "fuzz.h"
#include "pfx_asn1.h"
#include "sniff.h"
#include "tlv.h"

/* More octets that could open an indefinite length than the scanner nests. */
static int could_be_deep(const uint8_t *data, size_t size)
{
    size_t i, n = 0;

    for (i = 0; i < size; i++)
        n += data[i] == 0x80;
    return n > CCS_TLV_DEPTH_MAX;
}

static void compare(const ASN1_ITEM *item, const uint8_t *data, size_t size,
                    const struct ccs_tlv_extent *extent)
{
    const unsigned char *p = data;
    ASN1_VALUE *value = ASN1_item_d2i(NULL, &p, (long)size, item);

    if (value && !(extent->state == CCS_TLV_BAD && could_be_deep(data, size))) {
        CHECK(extent->state == CCS_TLV_WHOLE || extent->state == CCS_TLV_TRAILING);
        /* Where any element may stand OpenSSL takes an end of contents for one, and goes on. */
        CHECK(extent->size == (size_t)(p - data) ||
              (data[1] == 0x80 && extent->size < (size_t)(p - data)));
    }
    ASN1_item_free(value, item);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ccs_tlv_extent extent = ccs_tlv_scan(data, size), part;
    struct ccs_error err;
    struct ccs_tlv tlv;
    size_t cut;

    switch (extent.state) {
    case CCS_TLV_WHOLE:
        CHECK(extent.size == size);
        break;
    case CCS_TLV_TRAILING:
        CHECK(extent.size > 0 && extent.size < size);
        break;
    case CCS_TLV_SHORT:
        CHECK(extent.want == 0 || extent.want > size);
        break;
    case CCS_TLV_BAD:
        break;
    }
    if (extent.size > 0) {
        CHECK(ccs_tlv_header(data, size, &tlv) == CCS_TLV_WHOLE);
        CHECK(tlv.header >= 2 && tlv.header <= extent.size);
        for (cut = extent.size; cut > 0; cut /= 2) {
            part = ccs_tlv_scan(data, cut - 1);
            CHECK(part.state == CCS_TLV_SHORT && (part.want == 0 || part.want == extent.size));
        }
    }
    compare(ASN1_ITEM_rptr(ASN1_ANY), data, size, &extent);
    compare(ASN1_ITEM_rptr(CCS_ASN1_PFX), data, size, &extent);
    if (ccs_sniff(data, size, &err) == CCS_OK)
        CHECK(ccs_sniff_der(data, size, &err) != CCS_OK);
    return 0;
}
