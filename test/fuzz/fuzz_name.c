/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An input is taken for a host name that a client sent, and for the name of a directory entry. What
 * comes out must be safe to open, and must lead back to where it came from.
 */

#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "name.h"

/* Nothing that a file system would read as more than one name, or hide. */
static void check_file(const char *file)
{
    size_t len = strnlen(file, CCS_FILE_NAME_SIZE);

    CHECK(len > 4 && len <= CCS_FILE_NAME_MAX);
    CHECK(file[0] != '.');
    CHECK(strcmp(file + len - 4, ".pfx") == 0);
    CHECK(!strchr(file, '/') && !strchr(file, '\\') && !strstr(file, ".."));
}

/* What any stem must be, seen from outside. */
static void check_stem(const char *stem)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t len = strnlen(stem, CCS_STEM_SIZE);
    const char *name = strncmp(stem, "_.", 2) == 0 ? stem + 2 : stem;
    const char *dot;

    CHECK(len > 0 && len < CCS_STEM_SIZE);
    CHECK(strspn(stem, allowed) == len);
    CHECK(strlen(name) <= CCS_NAME_MAX);
    CHECK(strncmp(name, "_.", 2) != 0 && strcmp(name, "_") != 0);
    for (; (dot = strchr(name, '.')) != NULL; name = dot + 1) {
        CHECK(dot > name && dot - name <= 63);
    }
    len = strlen(name);
    CHECK(len > 0 && len <= 63);
    CHECK(strspn(name, "0123456789") != len);
    CHECK(strcmp(name, "rsa") != 0 && strcmp(name, "ecdsa") != 0);
}

/* A stem's files must lead back to it. */
static void check_files(const char *stem)
{
    char file[CCS_FILE_NAME_SIZE];
    char back[CCS_STEM_SIZE];
    enum ccs_file_kind back_kind;
    int unicode;
    int kind;
    int rv;

    for (kind = 0; kind < CCS_FILE_KINDS; kind++) {
        rv = ccs_name_file(stem, (enum ccs_file_kind)kind, file);
        CHECK(rv == CCS_OK || (rv == CCS_ENAME && strlen(stem) > CCS_FILE_NAME_MAX - 10));
        if (rv == CCS_OK) {
            check_file(file);
            CHECK(ccs_name_from_file(file, strlen(file), back, &back_kind, &unicode) == CCS_OK);
            CHECK(strcmp(back, stem) == 0 && (int)back_kind == kind && !unicode);
        }
        rv = ccs_name_file_unicode(stem, (enum ccs_file_kind)kind, file);
        CHECK(rv == CCS_OK || rv == CCS_ENOTFOUND || rv == CCS_ENAME);
        if (rv == CCS_OK) {
            check_file(file);
            CHECK(ccs_name_from_file(file, strlen(file), back, &back_kind, &unicode) == CCS_OK);
            CHECK(strcmp(back, stem) == 0 && (int)back_kind == kind && unicode);
        }
    }
}

static void check_host(const char *name, size_t len)
{
    char canonical[CCS_STEM_SIZE];
    char again[CCS_STEM_SIZE];
    size_t canonical_len;
    size_t again_len;
    int rv = ccs_name_canonical(name, len, canonical, &canonical_len);

    CHECK(rv == CCS_OK || rv == CCS_ENAME);
    if (rv != CCS_OK) {
        return;
    }
    check_stem(canonical);
    CHECK(strlen(canonical) == canonical_len);
    CHECK(strncmp(canonical, "_.", 2) != 0);
    CHECK(ccs_name_canonical(canonical, canonical_len, again, &again_len) == CCS_OK);
    CHECK(again_len == canonical_len && strcmp(again, canonical) == 0);
    check_files(canonical);

    rv = ccs_name_wildcard(canonical, canonical_len, again, &again_len);
    CHECK(rv == CCS_OK || rv == CCS_ENAME);
    if (rv == CCS_OK) {
        check_stem(again);
        CHECK(strlen(again) == again_len);
        CHECK(strcmp(again + 1, strchr(canonical, '.')) == 0);
        check_files(again);
    }
}

static int contains_folded(const char *text, size_t len, const char *word)
{
    size_t i;

    for (i = 0; i + strlen(word) <= len; i++) {
        if (strncasecmp(text + i, word, strlen(word)) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_entry(const char *file, size_t len)
{
    char stem[CCS_STEM_SIZE];
    char normal[CCS_FILE_NAME_SIZE];
    enum ccs_file_kind kind;
    int unicode;
    int rv = ccs_name_from_file(file, len, stem, &kind, &unicode);

    CHECK(rv == CCS_OK || rv == CCS_ENAME);
    if (rv != CCS_OK) {
        return;
    }
    CHECK(kind < CCS_FILE_KINDS);
    check_stem(stem);
    check_files(stem);
    /* Unless it brings A-labels of its own, which may be fake, its normal spelling exists. */
    if (unicode && !contains_folded(file, len, "xn--")) {
        rv = ccs_name_file_unicode(stem, kind, normal);
        CHECK(rv == CCS_OK || (rv == CCS_ENAME && len > 100));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char entry[CCS_FILE_NAME_SIZE + 8];

    check_host((const char *)data, size);
    check_entry((const char *)data, size);
    if (size > 0 && size < CCS_FILE_NAME_SIZE) {
        /* So that the search need not find the ending each time. */
        memcpy(entry, data, size);
        memcpy(entry + size, ".pfx", 4);
        check_entry(entry, size + 4);
    }
    return 0;
}
