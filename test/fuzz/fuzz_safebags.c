/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An input is one SafeContents, as it lies in a file once that is decrypted. What its bags hold is
 * paired and chained.
 */

#include "bags.h"
#include "pfx.h"
#include "pfx_input.h"
#include "unlock.h"

static void check_bags(const struct ccs_bags *bags)
{
    size_t i;

    CHECK(bags->count <= CCS_BAGS_MAX);
    CHECK(bags->cert_count <= CCS_BAGS_CERTS_MAX && bags->key_count <= CCS_BAGS_KEYS_MAX);
    for (i = 0; i < bags->cert_count; i++)
        CHECK(bags->certs[i].der.data && bags->certs[i].id.len <= sizeof(bags->certs[i].id.data));
    for (i = 0; i < bags->key_count; i++) {
        CHECK(!bags->keys[i].shrouded != !bags->keys[i].plain.data);
        CHECK(bags->keys[i].id.len <= sizeof(bags->keys[i].id.data));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ccs_pfx_params params = {fuzz_passwords(), 1, FUZZ_LIMIT};
    struct ccs_bags *bags = calloc(1, sizeof(*bags));
    struct ccs_unlock unlock;
    struct ccs_pfx *pfx = NULL;
    struct ccs_error err = {0};
    int rv;

    CHECK(bags && ccs_libctx(NULL));
    ccs_unlock_init(&unlock, &params);
    rv = ccs_bags_add(bags, data, size, &err);
    check_bags(bags);
    if (rv == CCS_OK)
        rv = ccs_pfx_build(bags, &unlock, &pfx, &err);
    if (rv == CCS_OK)
        fuzz_check(pfx);
    else
        fuzz_check_refusal(rv, &err);
    ccs_pfx_free(pfx);
    ccs_bags_clear(bags);
    free(bags);
    ERR_clear_error();
    return 0;
}
