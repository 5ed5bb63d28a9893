/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "der.h"
#include "tlv.h"

struct row {
    const char *octets;
    size_t len;
    enum ccs_tlv_state state;
    uint64_t size; /* or what it wants */
};

#define ROW(octets, state, size)                                                                   \
    {                                                                                              \
        octets, sizeof(octets) - 1, state, size                                                    \
    }

static const struct row rows[] = {
    ROW("", CCS_TLV_SHORT, 0),
    ROW("\x30", CCS_TLV_SHORT, 0),
    ROW("\x30\x00", CCS_TLV_WHOLE, 2),
    ROW("\x30\x00\x00", CCS_TLV_TRAILING, 2),
    ROW("\x30\x03\x02\x01\x05", CCS_TLV_WHOLE, 5),
    ROW("\x30\x03\x02\x01", CCS_TLV_SHORT, 5),
    ROW("\x30\x81", CCS_TLV_SHORT, 0),
    ROW("\x30\x81\x01\x00", CCS_TLV_WHOLE, 4), /* not the shortest length: BER allows it */
    ROW("\x30\x82\x01\x00", CCS_TLV_SHORT, 260),
    ROW("\x30\x84\xff\xff\xff\xff", CCS_TLV_SHORT, UINT64_C(0x100000005)),
    ROW("\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff", CCS_TLV_SHORT,
        UINT64_C(0x7fffffffffffffff) + 10),
    ROW("\x30\x88\x80\x00\x00\x00\x00\x00\x00\x00", CCS_TLV_BAD, 0),
    ROW("\x30\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00", CCS_TLV_BAD, 0),
    ROW("\x30\x89\x00\x00\x00\x00\x00\x00\x00\x00\x00", CCS_TLV_WHOLE, 11),
    ROW("\x30\xff", CCS_TLV_SHORT, 0),
    ROW("\x30\x80\x00\x00", CCS_TLV_WHOLE, 4),
    ROW("\x30\x80\x00\x00\x00", CCS_TLV_TRAILING, 4),
    ROW("\x30\x80\x00", CCS_TLV_SHORT, 0),
    ROW("\x30\x80", CCS_TLV_SHORT, 0),
    ROW("\x30\x80\x02\x01\x05\x00\x00", CCS_TLV_WHOLE, 7),
    ROW("\x30\x80\x02\x02\x05", CCS_TLV_SHORT, 0),
    ROW("\x30\x80\x24\x80\x04\x01x\x00\x00\x00\x00", CCS_TLV_WHOLE, 11),
    ROW("\x30\x80\x24\x80\x04\x01x\x00\x00\x00", CCS_TLV_SHORT, 0),
    ROW("\x30\x80\x30\x02\x00\x00\x00\x00", CCS_TLV_WHOLE,
        8),                                             /* what looks like an end is content */
    ROW("\x30\x80\x00\x01x\x00\x00", CCS_TLV_WHOLE, 7), /* tag 0, but no end */
    ROW("\x04\x80", CCS_TLV_BAD, 0),                    /* primitive, and of no length */
    ROW("\x3f\x81\x01\x00", CCS_TLV_WHOLE, 4),          /* tag number 129 */
    ROW("\x3f\x81", CCS_TLV_SHORT, 0),
    ROW("\x3f\x87\xff\xff\xff\x7f\x00", CCS_TLV_WHOLE, 7),
    ROW("\x3f\x88\x80\x80\x80\x00\x00", CCS_TLV_BAD, 0),
};

static void test_rows(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *copy = malloc(rows[i].len ? rows[i].len : 1);
        struct ccs_tlv_extent extent;

        assert_non_null(copy);
        memcpy(copy, rows[i].octets, rows[i].len);
        extent = ccs_tlv_scan(copy, rows[i].len);
        if (extent.state != rows[i].state)
            fail_msg("row %zu: state %d", i, (int)extent.state);
        if (extent.state == CCS_TLV_SHORT)
            assert_int_equal(extent.want, rows[i].size);
        else if (extent.state != CCS_TLV_BAD)
            assert_int_equal(extent.size, rows[i].size);
        free(copy);
    }
}

static void test_header(void **state)
{
    struct ccs_tlv tlv = {0};

    (void)state;
    assert_int_equal(ccs_tlv_header((const uint8_t *)"\xbf\x81\x02\x82\x01\x02", 6, &tlv),
                     CCS_TLV_WHOLE);
    assert_int_equal(tlv.class, 2);
    assert_int_equal(tlv.compound, 1);
    assert_int_equal(tlv.open, 0);
    assert_int_equal(tlv.tag, 130);
    assert_int_equal(tlv.header, 6);
    assert_int_equal(tlv.length, 258);
    /* Nothing is written for a header that is cut off. */
    tlv.tag = 77;
    assert_int_equal(ccs_tlv_header((const uint8_t *)"\x30\x82\x01", 3, &tlv), CCS_TLV_SHORT);
    assert_int_equal(tlv.tag, 77);
}

static void make_deep(struct ccs_der *der, unsigned depth)
{
    unsigned i;

    for (i = 0; i < depth; i++)
        ccs_der_begin_open(der, CCS_DER_SEQUENCE);
    for (i = 0; i < depth; i++)
        ccs_der_end(der);
}

static void test_depth(void **state)
{
    struct ccs_der der = {0};

    (void)state;
    make_deep(&der, CCS_TLV_DEPTH_MAX);
    assert_int_equal(ccs_tlv_scan(der.data, der.len).state, CCS_TLV_WHOLE);
    der.len = 0;
    make_deep(&der, CCS_TLV_DEPTH_MAX + 1);
    assert_int_equal(ccs_tlv_scan(der.data, der.len).state, CCS_TLV_BAD);
    ccs_der_clear(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
