/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "name.h"

enum kind { KIND_LOCATION, KIND_FILE, KIND_TIME, KIND_COUNT, KIND_CHOICE, KIND_HOST };
enum scope { STORE, SITE };

struct setting {
    const char *name;
    enum kind kind;
    enum scope scope;
    const char *def;
    int64_t min, max;
    const char *choices;
};

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help)                               \
    {#name, KIND_##kind, scope, def, min, max, choices},
static const struct setting table[] = {
#include <ccs/settings.def>
};
#undef CCS_SETTING

#define CCS_SETTING(name, kind, scope, def, min, max, choices, help) SET_##name,
enum {
#include <ccs/settings.def>
    SETTINGS
};
#undef CCS_SETTING

enum origin { UNSET, INHERITED, OWN };

struct value {
    enum origin origin;
    char *text;     /* for display; NULL if there is none */
    int64_t number; /* milliseconds, count, index of the choice */
};

struct ccs_config {
    atomic_uint refs;
    atomic_int frozen;
    struct value values[SETTINGS];
    struct ccs_passwords *passwords; /* of password_file, of the same origin */

    enum origin log_origin;
    enum ccs_level log_max;
    ccs_log_cb log_cb;
    void *log_arg;
    unsigned log_flags;
};

/* Room for a value in a message; longer ones are cut. */
#define SHOWN_SIZE 128

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

static int check_range(const struct setting *s, const char *text, int64_t n, struct ccs_error *err)
{
    char buf[SHOWN_SIZE], min[32], max[32];

    if (n >= s->min && n <= s->max)
        return CCS_OK;
    if (s->kind == KIND_TIME) {
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

static int parse_path(const struct setting *s, const char *text, char **out, struct ccs_error *err)
{
    size_t len = strlen(text);

    if (len == 0)
        return ccs_error_set(err, CCS_EINVAL, "%s must not be empty", s->name);
    if (len >= PATH_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%s is longer than the %d octets of a path", s->name,
                             PATH_MAX - 1);
    while (s->kind == KIND_LOCATION && len > 1 && text[len - 1] == '/')
        len--;
    *out = strndup(text, len);
    return *out ? CCS_OK : ccs_error_set(err, CCS_ENOMEM, "no memory for the setting %s", s->name);
}

/* Checks text; *number and *copy (new) are what to keep of it. */
static int parse_value(const struct setting *s, const char *text, int64_t *number, char **copy,
                       struct ccs_error *err)
{
    char buf[SHOWN_SIZE], list[SHOWN_SIZE], host[CCS_STEM_SIZE];
    int rv = CCS_OK;

    switch (s->kind) {
    case KIND_LOCATION:
    case KIND_FILE:
        return parse_path(s, text, copy, err);
    case KIND_TIME:
        if (parse_time(text, number) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL,
                                 "\"%s\" is not a time: write 500ms, 10s, 5m, 2h or 30d",
                                 shown(buf, text));
        rv = check_range(s, text, *number, err);
        break;
    case KIND_COUNT:
        if (parse_units(text, count_units, CCS_ARRAY_LEN(count_units), number) != CCS_OK)
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a number: write 500, 10k or 2m",
                                 shown(buf, text));
        rv = check_range(s, text, *number, err);
        break;
    case KIND_CHOICE:
        *number = find_choice(s->choices, text);
        if (*number < 0) {
            show_choices(list, sizeof(list), s->choices);
            return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not a choice for %s: write %s",
                                 shown(buf, text), s->name, list);
        }
        break;
    case KIND_HOST:
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
    *copy = strdup(text);
    return *copy ? CCS_OK : ccs_error_set(err, CCS_ENOMEM, "no memory for the setting %s", s->name);
}

/* The number behind a default, which is known to be right. */
static int64_t default_number(const struct setting *s)
{
    int64_t n = 0;

    if (!s->def)
        return 0;
    if (s->kind == KIND_TIME)
        (void)parse_time(s->def, &n);
    else if (s->kind == KIND_COUNT)
        (void)parse_units(s->def, count_units, CCS_ARRAY_LEN(count_units), &n);
    else if (s->kind == KIND_CHOICE)
        n = find_choice(s->choices, s->def);
    return n;
}

static int find_setting(const char *name)
{
    for (int i = 0; i < SETTINGS; i++) {
        if (strcmp(table[i].name, name) == 0)
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

static int unknown_setting(const char *name, struct ccs_error *err)
{
    const char *close = NULL;
    unsigned least = 3; /* two changes may be a slip; more are another word */
    char buf[SHOWN_SIZE];

    for (int i = 0; i < SETTINGS; i++) {
        unsigned d = distance(name, table[i].name);

        if (d < least && d < strlen(table[i].name) / 2) {
            least = d;
            close = table[i].name;
        }
    }
    if (close)
        return ccs_error_set(err, CCS_EINVAL, "unknown setting \"%s\", did you mean \"%s\"?",
                             shown(buf, name), close);
    return ccs_error_set(err, CCS_EINVAL, "unknown setting \"%s\"", shown(buf, name));
}

struct ccs_config *ccs_config_new(void)
{
    struct ccs_config *cfg = calloc(1, sizeof(*cfg));

    if (!cfg)
        return NULL;
    atomic_init(&cfg->refs, 1);
    atomic_init(&cfg->frozen, 0);
    cfg->log_max = CCS_LOG_INFO;
    return cfg;
}

struct ccs_config *ccs_config_freeze(struct ccs_config *cfg)
{
    atomic_store(&cfg->frozen, 1);
    atomic_fetch_add_explicit(&cfg->refs, 1, memory_order_relaxed);
    return cfg;
}

void ccs_config_free(struct ccs_config *cfg)
{
    if (!cfg || atomic_fetch_sub_explicit(&cfg->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < SETTINGS; i++)
        free(cfg->values[i].text);
    ccs_passwords_unref(cfg->passwords);
    free(cfg);
}

static int check_mutable(const struct ccs_config *cfg, struct ccs_error *err)
{
    if (!atomic_load(&cfg->frozen))
        return CCS_OK;
    return ccs_error_set(err, CCS_EINVAL,
                         "an instance was opened from this configuration, so it cannot change any "
                         "more: make a new one");
}

int ccs_config_set(struct ccs_config *cfg, const char *name, const char *value,
                   struct ccs_error *err)
{
    struct ccs_passwords *passwords = NULL;
    char *copy = NULL;
    int64_t number = 0;
    int i, rv;

    if (!cfg || !name || !value)
        return ccs_error_set(err, CCS_EINVAL,
                             "a setting needs a configuration, a name and a value");
    rv = check_mutable(cfg, err);
    if (rv != CCS_OK)
        return rv;
    i = find_setting(name);
    if (i < 0)
        return unknown_setting(name, err);
    rv = parse_value(&table[i], value, &number, &copy, err);
    if (rv != CCS_OK)
        return rv;
    if (i == SET_password_file) {
        rv = ccs_passwords_read(copy, &passwords, err);
        if (rv != CCS_OK) {
            free(copy);
            return rv;
        }
        ccs_passwords_unref(cfg->passwords);
        cfg->passwords = passwords;
    }
    free(cfg->values[i].text);
    cfg->values[i] = (struct value){.origin = OWN, .text = copy, .number = number};
    return CCS_OK;
}

int ccs_config_is_set(const struct ccs_config *cfg, const char *name)
{
    int i = cfg && name ? find_setting(name) : -1;

    return i >= 0 && cfg->values[i].origin == OWN;
}

static const char *text_of(const struct ccs_config *cfg, int i)
{
    return cfg->values[i].origin == UNSET ? table[i].def : cfg->values[i].text;
}

static int64_t number_of(const struct ccs_config *cfg, int i)
{
    return cfg->values[i].origin == UNSET ? default_number(&table[i]) : cfg->values[i].number;
}

const char *ccs_config_get(const struct ccs_config *cfg, const char *name)
{
    int i = cfg && name ? find_setting(name) : -1;

    return i < 0 ? NULL : text_of(cfg, i);
}

int ccs_config_inherit(struct ccs_config *cfg, const struct ccs_config *parent,
                       struct ccs_error *err)
{
    char *copies[SETTINGS] = {NULL};
    int rv;

    if (!cfg || !parent)
        return ccs_error_set(err, CCS_EINVAL, "inheriting needs two configurations");
    rv = check_mutable(cfg, err);
    if (rv != CCS_OK || cfg == parent)
        return rv;
    for (int i = 0; i < SETTINGS; i++) {
        if (cfg->values[i].origin == OWN || parent->values[i].origin == UNSET)
            continue;
        copies[i] = strdup(parent->values[i].text);
        if (!copies[i]) {
            while (i-- > 0)
                free(copies[i]);
            return ccs_error_set(err, CCS_ENOMEM, "no memory to inherit settings");
        }
    }
    for (int i = 0; i < SETTINGS; i++) {
        if (cfg->values[i].origin == OWN)
            continue;
        free(cfg->values[i].text);
        cfg->values[i] = (struct value){.origin = copies[i] ? INHERITED : UNSET,
                                        .text = copies[i],
                                        .number = parent->values[i].number};
    }
    if (cfg->values[SET_password_file].origin != OWN) {
        struct ccs_passwords *passwords = ccs_passwords_ref(parent->passwords);

        ccs_passwords_unref(cfg->passwords);
        cfg->passwords = passwords;
    }
    if (cfg->log_origin != OWN) {
        cfg->log_origin = parent->log_origin == UNSET ? UNSET : INHERITED;
        cfg->log_max = parent->log_max;
        cfg->log_cb = parent->log_cb;
        cfg->log_arg = parent->log_arg;
        cfg->log_flags = parent->log_flags;
    }
    return CCS_OK;
}

int ccs_config_check(const struct ccs_config *cfg, struct ccs_error *err)
{
    int64_t stale, refresh;

    if (!cfg)
        return ccs_error_set(err, CCS_EINVAL, "there is no configuration to check");
    if (!text_of(cfg, SET_store))
        return ccs_error_set(err, CCS_EINVAL,
                             "no store is set: name the folder of the PFX files with the setting "
                             "\"store\"");
    /* Contact is made once per refresh, so less would drop certificates while all is well. */
    stale = number_of(cfg, SET_stale);
    refresh = number_of(cfg, SET_refresh);
    if (stale != 0 && stale < refresh)
        return ccs_error_set(err, CCS_EINVAL,
                             "stale (%s) is shorter than refresh (%s): certificates would be "
                             "dropped between two looks at the store",
                             text_of(cfg, SET_stale), text_of(cfg, SET_refresh));
    return CCS_OK;
}

static int same_value(const struct ccs_config *a, const struct ccs_config *b, int i)
{
    const char *ta = text_of(a, i), *tb = text_of(b, i);

    switch (table[i].kind) {
    case KIND_TIME:
    case KIND_COUNT:
    case KIND_CHOICE:
        return number_of(a, i) == number_of(b, i);
    case KIND_LOCATION:
    case KIND_FILE:
    case KIND_HOST:
        break;
    }
    return ta == tb || (ta && tb && strcmp(ta, tb) == 0);
}

int ccs_config_same_store(const struct ccs_config *a, const struct ccs_config *b)
{
    for (int i = 0; i < SETTINGS; i++) {
        if (table[i].scope == STORE && !same_value(a, b, i))
            return 0;
    }
    return ccs_passwords_equal(a->passwords, b->passwords) && a->log_max == b->log_max &&
           a->log_cb == b->log_cb && a->log_arg == b->log_arg && a->log_flags == b->log_flags;
}

void ccs_config_set_log(struct ccs_config *cfg, enum ccs_level max, ccs_log_cb cb, void *arg,
                        unsigned flags)
{
    if (!cfg || atomic_load(&cfg->frozen))
        return;
    cfg->log_origin = OWN;
    cfg->log_max = max;
    cfg->log_cb = cb;
    cfg->log_arg = arg;
    cfg->log_flags = flags;
}

struct ccs_log *ccs_config_make_log(const struct ccs_config *cfg, void (*wake)(void *), void *arg)
{
    return ccs_log_new(cfg->log_max, cfg->log_cb, cfg->log_arg, cfg->log_flags, wake, arg);
}

void ccs_config_values(const struct ccs_config *cfg, struct ccs_settings *out)
{
    *out = (struct ccs_settings){
        .store = text_of(cfg, SET_store),
        .password_file = text_of(cfg, SET_password_file),
        .passwords = cfg->passwords,
        .parsed = (uint32_t)number_of(cfg, SET_parsed),
        .refresh_ms = number_of(cfg, SET_refresh),
        .wait_ms = number_of(cfg, SET_wait),
        .stale_ms = number_of(cfg, SET_stale),
        .negative_ms = number_of(cfg, SET_negative),
        .default_name = text_of(cfg, SET_default_name),
        .unknown_name = (enum ccs_unknown_name)number_of(cfg, SET_unknown_name),
        .check_name = (enum ccs_check_name)number_of(cfg, SET_check_name),
        .threads = (uint32_t)number_of(cfg, SET_threads),
        .max_waiting = (uint32_t)number_of(cfg, SET_max_waiting),
        .kdf_limit = (uint64_t)number_of(cfg, SET_kdf_limit),
    };
}
