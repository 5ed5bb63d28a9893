/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An input is taken for the location of a store and, behind its first line, for a table of mounts.
 * What is accepted must be safe to hand on, and must survive being written and read again.
 */

#include <string.h>

#include "fuzz.h"
#include "mounts.h"
#include "unc.h"

static void check_component(const char *name, size_t len)
{
    CHECK(len > 0 && len <= 255);
    CHECK(name[len - 1] != '.' && name[len - 1] != ' ');
    for (size_t i = 0; i < len; i++)
        CHECK((unsigned char)name[i] >= 0x20 && strchr("\"*:<>?|\\/\177", name[i]) == NULL);
}

static void check_unc(const struct ccs_unc *unc)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.:";
    char text[CCS_UNC_TEXT_SIZE];
    struct ccs_unc again;
    const char *name;
    size_t len;

    CHECK(unc->server[0] != '\0' && strspn(unc->server, host) == strlen(unc->server));
    check_component(unc->share, strlen(unc->share));
    for (name = unc->path; *name != '\0'; name += len) {
        len = strcspn(name, "/");
        check_component(name, len);
        if (name[len] == '/') {
            len++;
            CHECK(name[len] != '\0');
        }
    }
    CHECK(strlen(ccs_unc_format(unc, text)) < sizeof(text));
    CHECK(ccs_unc_is(text));
    CHECK(ccs_unc_parse(text, &again, NULL) == CCS_OK);
    CHECK(memcmp(unc, &again, sizeof(again)) == 0);
}

static void check_mounts(const char *table, size_t len, const struct ccs_unc *unc)
{
    char out[CCS_MOUNTS_PATH_SIZE];
    const int rv = ccs_mounts_find_in(table, len, unc, out, NULL);

    CHECK(rv == CCS_OK || rv == CCS_ENOTFOUND);
    if (rv == CCS_OK)
        CHECK(out[0] == '/' && strnlen(out, sizeof(out)) < sizeof(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    const size_t len = end != NULL ? (size_t)(end - data) : size;
    char *location = malloc(len + 1);
    struct ccs_error err;
    struct ccs_unc unc;
    int rv;

    CHECK(location != NULL);
    if (len > 0)
        memcpy(location, data, len);
    location[len] = '\0';
    memset(&unc, 0x55, sizeof(unc));
    rv = ccs_unc_parse(location, &unc, &err);
    CHECK(rv == CCS_OK || rv == CCS_EINVAL);
    if (rv == CCS_OK) {
        CHECK(ccs_unc_is(location));
        check_unc(&unc);
        if (end != NULL)
            check_mounts((const char *)end + 1, size - len - 1, &unc);
    }
    free(location);
    return 0;
}
