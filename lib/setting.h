/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SETTING_H
#define CCS_SETTING_H

/* One setting of <ccs/settings.def>: what it is called, and what its text means. No I/O. */

#include <ccs/ccs.h>

#include "base.h"

enum ccs_setting_kind {
    CCS_KIND_LOCATION,
    CCS_KIND_FILE,
    CCS_KIND_TIME,
    CCS_KIND_COUNT,
    CCS_KIND_SIZE,
    CCS_KIND_RATE,
    CCS_KIND_CHOICE,
    CCS_KIND_HOST,
    CCS_KIND_SOCKET,
    CCS_KIND_USER
};
enum ccs_setting_scope { CCS_SCOPE_STORE, CCS_SCOPE_SITE };

struct ccs_setting {
    const char *name;
    enum ccs_setting_kind kind;
    enum ccs_setting_scope scope;
    const char *def;
    int64_t min, max;
    const char *choices;
};

/* CCS_SET_<name> is a setting's place in the table. */
#define CCS_SETTING(name, kind, scope, def, min, max, choices, help) CCS_SET_##name,
enum {
#include <ccs/settings.def>
    CCS_SETTINGS
};
#undef CCS_SETTING

extern const struct ccs_setting ccs_setting_table[CCS_SETTINGS];

/* Place of a setting in the table, or -1. */
int ccs_setting_find(const char *name);

/* Says that there is none of this name, and which may have been meant. Returns CCS_EINVAL. */
int ccs_setting_unknown(const char *name, struct ccs_error *err);

/*
 * Checks text. *number is what it means (milliseconds, a count, how often a second, the index of a
 * choice), *copy (new) the text to show, cleaned up. Both are written on CCS_OK only, *number only
 * where it means one.
 */
int ccs_setting_parse(const struct ccs_setting *s, const char *text, int64_t *number, char **copy,
                      struct ccs_error *err);

/* The number behind a setting's default; 0 if it has none. */
int64_t ccs_setting_default(const struct ccs_setting *s);

#endif
