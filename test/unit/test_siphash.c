/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "siphash.h"

/* Key and inputs of the vectors that its authors published: octets 00 01 02 … in little-endian. */
static const struct ccs_siphash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static void published_vectors_of_2_4(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
        {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5},
    };
    uint8_t in[64];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < CCS_ARRAY_LEN(vectors); i++)
        assert_int_equal(ccs_siphash_rounds(&key, in, vectors[i].len, 2, 4), vectors[i].hash);
}

static void short_form_is_1_3(void **state)
{
    (void)state;
    assert_int_equal(ccs_siphash(&key, "www.example.com", 15),
                     ccs_siphash_rounds(&key, "www.example.com", 15, 1, 3));
    assert_int_not_equal(ccs_siphash(&key, "www.example.com", 15),
                         ccs_siphash_rounds(&key, "www.example.com", 15, 2, 4));
}

static void key_and_length_matter(void **state)
{
    struct ccs_siphash_key other = key;

    (void)state;
    other.k1 ^= 1;
    assert_int_not_equal(ccs_siphash(&key, "a", 1), ccs_siphash(&other, "a", 1));
    assert_int_not_equal(ccs_siphash(&key, "\0\0", 1), ccs_siphash(&key, "\0\0", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_of_2_4),
        cmocka_unit_test(short_form_is_1_3),
        cmocka_unit_test(key_and_length_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
