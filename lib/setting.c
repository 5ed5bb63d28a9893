/* SPDX-License-Identifier: Apache-2.0 */
#include "setting.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "error.h"
#include "name.h"

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help)                               \
    {#name, CCS_KIND_##kind, CCS_SCOPE_##scope, def, min, max, choices},
const struct ccs_setting ccs_setting_table[CCS_SETTINGS] = {
#include <ccs/settings.def>
};
#undef CCS_SETTING

/* Room for a value in a message; longer ones are cut. */
#define SHOWN_SIZE 128
#define USER_MAX   64

static const char *shown(char *buf, const char *text)
{
    return ccs_printable(buf, SHOWN_SIZE, text, strlen(text));
}

/* Digits at the start of text, at most INT64_MAX; NULL if there are none, else what follows. */
static const char *parse_digits(const char *text, int64_t *out)
{
    const char *p = text;
    int64_t n = 0;

    for (; *p >= '0' && *p <= '9'; p++) {
        int digit = *p - '0';

        n = n > (INT64_MAX - digit) / 10 ? INT64_MAX : n * 10 + digit;
    }
    if (p == text)
        return NULL;
    *out = n;
    return p;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first, for display; a bare number counts seconds. */
static const struct unit time_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1000},
};
static const struct unit count_units[] = {{"m", 1000000}, {"k", 1000}, {"", 1}};
static const struct unit rate_units[] = {{"/s", 1}, {"", 1}};
static const struct unit size_units[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};

/* Saturates, so that what is too large is out of range rather than nonsense. */
static int parse_units(const char *text, const struct unit *units, size_t count, int64_t *out)
{
    int64_t n = 0;
    const char *suffix = parse_digits(text, &n);

    if (!suffix)
        return CCS_EINVAL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(suffix, units[i].name) == 0) {
            *out = n > INT64_MAX / units[i].factor ? INT64_MAX : n * units[i].factor;
            return CCS_OK;
        }
    }
    return CCS_EINVAL;
}

static int parse_time(const char *text, int64_t *out)
{
    return parse_units(text, time_units, CCS_ARRAY_LEN(time_units), out);
}

static void show_time(char *buf, size_t size, int64_t ms)
{
    size_t i = 0;

    while (ms % time_units[i].factor != 0)
        i++;
    if (ms == 0)
        i = 3; /* "0s" */
    (void)snprintf(buf, size, "%" PRId64 "%s", ms / time_units[i].factor, time_units[i].name);
}

static int check_range(const struct ccs_setting *s, const char *text, int64_t n,
                       struct ccs_error *err)
{
    char buf[SHOWN_SIZE], min[32], max[32];

    if (n >= s->min && n <= s->max)
        return CCS_OK;
    if (s->kind == CCS_KIND_TIME) {
        show_time(min, sizeof(min), s->min);
        show_time(max, sizeof(max), s->max);
    } else {
        (void)snprintf(min, sizeof(min), "%" PRId64, s->min);
        (void)snprintf(max, sizeof(max), "%" PRId64, s->max);
    }
    return ccs_error_set(err, CCS_EINVAL, "\"%s\" is out of range: %s may be from %s to %s",
                         shown(buf, text), s->name, min, max);
}

/* Index of a choice among those separated by "|", or -1. */
static int find_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    int i = 0;

    for (const char *p = choices;; p++, i++) {
        size_t n = strcspn(p, "|");

        if (n == len && memcmp(p, text, n) == 0)
            return i;
        p += n;
        if (*p == '\0')
            return -1;
    }
}

/* "off|warn|refuse" -> "off, warn or refuse" */
static void show_choices(char *buf, size_t size, const char *choices)
{
    size_t pos = 0;

    for (const char *p = choices; *p && pos + 5 < size; p++) {
        if (*p != '|') {
            buf[pos++] = *p;
        } else {
            const char *glue = strchr(p + 1, '|') ? ", " : " or ";

            memcpy(buf + pos, glue, strlen(glue));
            pos += strlen(glue);
        }
    }
    buf[pos] = '\0';
}

static int parse_path(const struct ccs_setting *s, const char *text, char **out,
                      struct ccs_error *err)
{
    size_t len = strlen(text);
    char *kept;

    if (len == 0)
        return ccs_error_set(err, CCS_EINVAL, "%s must not be empty", s->name);
    if (len >= PATH_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%s is longer than the %d octets of a path", s->name,
                             PATH_MAX - 1);
    while (s->kind == CCS_KIND_LOCATION && len > 1 && text[len - 1] == '/')
        len--;
    kept = strndup(text, len);
    if (!kept)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the setting %s", s->name);
    *out = kept;
    return CCS_OK;
}

static int check_socket(const struct ccs_setting *s, const char *text, struct ccs_error *err)
{
    char buf[SHOWN_SIZE], list[SHOWN_SIZE];
    const struct sockaddr_un *address = NULL;

    if (find_choice(s->choices, text) >= 0 ||
        (text[0] == '/' && strlen(text) < sizeof(address->sun_path)))
        return CCS_OK;
    show_choices(list, sizeof(list), s->choices);
    return ccs_error_set(err, CCS_EINVAL,
                         "\"%s\" is neither %s nor the absolute path of a socket: write one of "
                         "them for %s",
                         shown(buf, text), list, s->name);
}

/* What login programs allow, and the numbers of users that have no name. */
static int check_user(const struct ccs_setting *s, const char *text, struct ccs_error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_.@\\-";
    char buf[SHOWN_SIZE];
    const size_t len = strlen(text);

    if (len > 0 && len <= USER_MAX && text[0] != '-' && strspn(text, letters) == len)
        return CCS_OK;
    return ccs_error_set(err, CCS_EINVAL, "\"%s\" cannot be the %s: write the name of a user",
                         shown(buf, text), s->name);
}

int ccs_setting_parse(const struct ccs_setting *s, const char *text, int64_t *number, char **copy,
                      struct ccs_error *err)
{
    char buf[SHOWN_SIZE], list[SHOWN_SIZE], host[CCS_STEM_SIZE];
    char *kept;
    int64_t n = 0;
    int rv = CCS_OK;

    switch (s->kind) {
    case CCS_KIND_LOCATION:
    case CCS_KIND_FILE:
        return parse_path(s, text, copy, err);
    case CCS_KIND_TIME:
        if (parse_time(text, &n) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL,
                                 "\"%s\" is not a time: write 500ms, 10s, 5m, 2h or 30d",
                                 shown(buf, text));
        rv = check_range(s, text, n, err);
        break;
    case CCS_KIND_COUNT:
        if (parse_units(text, count_units, CCS_ARRAY_LEN(count_units), &n) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a number: write 500, 10k or 2m",
                                 shown(buf, text));
        rv = check_range(s, text, n, err);
        break;
    case CCS_KIND_SIZE:
        if (parse_units(text, size_units, CCS_ARRAY_LEN(size_units), &n) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a size: write 512k, 64m or 1g",
                                 shown(buf, text));
        rv = check_range(s, text, n, err);
        break;
    case CCS_KIND_RATE:
        if (parse_units(text, rate_units, CCS_ARRAY_LEN(rate_units), &n) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a rate: write 5/s or 100/s",
                                 shown(buf, text));
        rv = check_range(s, text, n, err);
        break;
    case CCS_KIND_CHOICE:
        n = find_choice(s->choices, text);
        if (n < 0) {
            show_choices(list, sizeof(list), s->choices);
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a choice for %s: write %s",
                                 shown(buf, text), s->name, list);
        }
        break;
    case CCS_KIND_SOCKET:
        rv = check_socket(s, text, err);
        break;
    case CCS_KIND_USER:
        rv = check_user(s, text, err);
        break;
    case CCS_KIND_HOST:
        if (ccs_name_canonical(text, strlen(text), host, NULL) != CCS_OK)
            return ccs_error_set(
                err, CCS_EINVAL,
                "\"%s\" is not a host name: write www.example.com, international ones as xn--...",
                shown(buf, text));
        text = host;
        break;
    }
    if (rv != CCS_OK)
        return rv;
    kept = strdup(text);
    if (!kept)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the setting %s", s->name);
    *number = n;
    *copy = kept;
    return CCS_OK;
}

/* The number behind a default, which is known to be right. */
int64_t ccs_setting_default(const struct ccs_setting *s)
{
    int64_t n = 0;

    if (!s->def)
        return 0;
    if (s->kind == CCS_KIND_TIME)
        (void)parse_time(s->def, &n);
    else if (s->kind == CCS_KIND_COUNT)
        (void)parse_units(s->def, count_units, CCS_ARRAY_LEN(count_units), &n);
    else if (s->kind == CCS_KIND_SIZE)
        (void)parse_units(s->def, size_units, CCS_ARRAY_LEN(size_units), &n);
    else if (s->kind == CCS_KIND_RATE)
        (void)parse_units(s->def, rate_units, CCS_ARRAY_LEN(rate_units), &n);
    else if (s->kind == CCS_KIND_CHOICE)
        n = find_choice(s->choices, s->def);
    return n;
}

int ccs_setting_find(const char *name)
{
    for (int i = 0; i < CCS_SETTINGS; i++) {
        if (strcmp(ccs_setting_table[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* Single-letter changes from a to b (Levenshtein), for names of at most NAME_MAX_LEN letters. */
#define NAME_MAX_LEN 31
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_LEN + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
        return UINT_MAX;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

int ccs_setting_unknown(const char *name, struct ccs_error *err)
{
    const char *close = NULL;
    unsigned least = 3; /* two changes may be a slip; more are another word */
    char buf[SHOWN_SIZE];

    for (int i = 0; i < CCS_SETTINGS; i++) {
        unsigned d = distance(name, ccs_setting_table[i].name);

        if (d < least && d < strlen(ccs_setting_table[i].name) / 2) {
            least = d;
            close = ccs_setting_table[i].name;
        }
    }
    if (close)
        return ccs_error_set(err, CCS_EINVAL, "unknown setting \"%s\", did you mean \"%s\"?",
                             shown(buf, name), close);
    return ccs_error_set(err, CCS_EINVAL, "unknown setting \"%s\"", shown(buf, name));
}
