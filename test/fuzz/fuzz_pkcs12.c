/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An input is a PFX file behind one octet that says which password is tried first. The MAC is not
 * checked, because a fuzzer cannot compute one: so the room under test is compiled in here, where
 * that check is left out, instead of being taken from the library.
 */

#define CCS_FUZZING 1
#include "../../lib/pkcs12.c"

#include "pfx_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ccs_pfx_params params = {fuzz_passwords(), CCS_PASSWORD_UNKNOWN, FUZZ_LIMIT};
    struct ccs_pfx *pfx = NULL;
    struct ccs_error err = {0};
    int rv;

    if (size == 0)
        return 0;
    params.password = data[0] % 5 - 2;
    rv = ccs_pkcs12_decode(data + 1, size - 1, &params, &pfx, &err);
    if (rv == CCS_OK) {
        fuzz_check(pfx);
        CHECK(pfx->password >= CCS_PASSWORD_UNKNOWN && pfx->password < 3);
    } else {
        fuzz_check_refusal(rv, &err);
        CHECK(!pfx);
    }
    CHECK(ERR_peek_error() == 0);
    ccs_pfx_free(pfx);
    return 0;
}
