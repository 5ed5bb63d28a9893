/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "error.h"
#include "log.h"
#include "setting.h"
#include "shared.h"
#include "store.h"

enum origin { UNSET, INHERITED, OWN };

struct value {
    enum origin origin;
    char *text;     /* for display; NULL if there is none */
    int64_t number; /* milliseconds, count, index of the choice */
};

struct ccs_config {
    atomic_uint refs;
    atomic_int frozen;
    struct value values[CCS_SETTINGS];
    struct ccs_passwords *passwords; /* of password_file, of the same origin */
    struct ccs_login *login;         /* of credentials_file, of the same origin */
    struct ccs_agent *agent;         /* a reference */

    enum origin log_origin;
    enum ccs_level log_max;
    ccs_log_cb log_cb;
    void *log_arg;
    unsigned log_flags;

    struct ccs_shared *shared; /* a reference */
    uint64_t configuration;
};

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
    for (int i = 0; i < CCS_SETTINGS; i++)
        free(cfg->values[i].text);
    ccs_passwords_unref(cfg->passwords);
    ccs_login_unref(cfg->login);
    ccs_agent_free(cfg->agent);
    ccs_shared_free(cfg->shared);
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
    struct ccs_login *login = NULL;
    char *copy = NULL;
    int64_t number = 0;
    int i, rv;

    if (!cfg || !name || !value)
        return ccs_error_set(err, CCS_EINVAL,
                             "a setting needs a configuration, a name and a value");
    rv = check_mutable(cfg, err);
    if (rv != CCS_OK)
        return rv;
    i = ccs_setting_find(name);
    if (i < 0)
        return ccs_setting_unknown(name, err);
    rv = ccs_setting_parse(&ccs_setting_table[i], value, &number, &copy, err);
    if (rv != CCS_OK)
        return rv;
    if (i == CCS_SET_password_file) {
        rv = ccs_passwords_read(copy, &passwords, err);
        if (rv != CCS_OK) {
            free(copy);
            return rv;
        }
        ccs_passwords_unref(cfg->passwords);
        cfg->passwords = passwords;
    }
    if (i == CCS_SET_credentials_file) {
        rv = ccs_login_read(copy, &login, err);
        if (rv != CCS_OK) {
            free(copy);
            return rv;
        }
        ccs_login_unref(cfg->login);
        cfg->login = login;
    }
    free(cfg->values[i].text);
    cfg->values[i] = (struct value){.origin = OWN, .text = copy, .number = number};
    return CCS_OK;
}

int ccs_config_is_set(const struct ccs_config *cfg, const char *name)
{
    int i = cfg && name ? ccs_setting_find(name) : -1;

    return i >= 0 && cfg->values[i].origin == OWN;
}

static const char *text_of(const struct ccs_config *cfg, int i)
{
    return cfg->values[i].origin == UNSET ? ccs_setting_table[i].def : cfg->values[i].text;
}

static int64_t number_of(const struct ccs_config *cfg, int i)
{
    return cfg->values[i].origin == UNSET ? ccs_setting_default(&ccs_setting_table[i])
                                          : cfg->values[i].number;
}

const char *ccs_config_get(const struct ccs_config *cfg, const char *name)
{
    int i = cfg && name ? ccs_setting_find(name) : -1;

    return i < 0 ? NULL : text_of(cfg, i);
}

int64_t ccs_config_number(const struct ccs_config *cfg, const char *name)
{
    int i = ccs_setting_find(name);

    if (i < 0)
        return -1;
    switch (ccs_setting_table[i].kind) {
    case CCS_KIND_TIME:
    case CCS_KIND_COUNT:
    case CCS_KIND_SIZE:
    case CCS_KIND_RATE:
    case CCS_KIND_CHOICE:
        return number_of(cfg, i);
    case CCS_KIND_LOCATION:
    case CCS_KIND_FILE:
    case CCS_KIND_HOST:
    case CCS_KIND_SOCKET:
    case CCS_KIND_USER:
        break;
    }
    return -1;
}

int ccs_config_inherit(struct ccs_config *cfg, const struct ccs_config *parent,
                       struct ccs_error *err)
{
    char *copies[CCS_SETTINGS] = {NULL};
    int rv;

    if (!cfg || !parent)
        return ccs_error_set(err, CCS_EINVAL, "inheriting needs two configurations");
    rv = check_mutable(cfg, err);
    if (rv != CCS_OK || cfg == parent)
        return rv;
    for (int i = 0; i < CCS_SETTINGS; i++) {
        if (cfg->values[i].origin == OWN || parent->values[i].origin == UNSET)
            continue;
        copies[i] = strdup(parent->values[i].text);
        if (!copies[i]) {
            while (i-- > 0)
                free(copies[i]);
            return ccs_error_set(err, CCS_ENOMEM, "no memory to inherit settings");
        }
    }
    for (int i = 0; i < CCS_SETTINGS; i++) {
        if (cfg->values[i].origin == OWN)
            continue;
        free(cfg->values[i].text);
        cfg->values[i] = (struct value){.origin = copies[i] ? INHERITED : UNSET,
                                        .text = copies[i],
                                        .number = parent->values[i].number};
    }
    if (cfg->values[CCS_SET_password_file].origin != OWN) {
        struct ccs_passwords *passwords = ccs_passwords_ref(parent->passwords);

        ccs_passwords_unref(cfg->passwords);
        cfg->passwords = passwords;
    }
    if (cfg->values[CCS_SET_credentials_file].origin != OWN) {
        struct ccs_login *login = ccs_login_ref(parent->login);

        ccs_login_unref(cfg->login);
        cfg->login = login;
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
    int rv;

    if (!cfg)
        return ccs_error_set(err, CCS_EINVAL, "there is no configuration to check");
    if (!text_of(cfg, CCS_SET_store))
        return ccs_error_set(err, CCS_EINVAL,
                             "no store is set: name the folder of the PFX files with the setting "
                             "\"store\"");
    rv = ccs_store_check(text_of(cfg, CCS_SET_store), text_of(cfg, CCS_SET_agent), err);
    if (rv != CCS_OK)
        return rv;
    /* Contact is made once per refresh, so less would drop certificates while all is well. */
    stale = number_of(cfg, CCS_SET_stale);
    refresh = number_of(cfg, CCS_SET_refresh);
    if (stale != 0 && stale < refresh)
        return ccs_error_set(err, CCS_EINVAL,
                             "stale (%s) is shorter than refresh (%s): certificates would be "
                             "dropped between two looks at the store",
                             text_of(cfg, CCS_SET_stale), text_of(cfg, CCS_SET_refresh));
    return CCS_OK;
}

static int same_value(const struct ccs_config *a, const struct ccs_config *b, int i)
{
    const char *ta = text_of(a, i), *tb = text_of(b, i);

    switch (ccs_setting_table[i].kind) {
    case CCS_KIND_TIME:
    case CCS_KIND_COUNT:
    case CCS_KIND_SIZE:
    case CCS_KIND_RATE:
    case CCS_KIND_CHOICE:
        return number_of(a, i) == number_of(b, i);
    case CCS_KIND_LOCATION:
    case CCS_KIND_FILE:
    case CCS_KIND_HOST:
    case CCS_KIND_SOCKET:
    case CCS_KIND_USER:
        break;
    }
    return ta == tb || (ta && tb && strcmp(ta, tb) == 0);
}

int ccs_config_same_store(const struct ccs_config *a, const struct ccs_config *b)
{
    for (int i = 0; i < CCS_SETTINGS; i++) {
        if (ccs_setting_table[i].scope == CCS_SCOPE_STORE && !same_value(a, b, i))
            return 0;
    }
    return ccs_passwords_equal(a->passwords, b->passwords) && ccs_login_equal(a->login, b->login) &&
           a->agent == b->agent && a->log_max == b->log_max && a->log_cb == b->log_cb &&
           a->log_arg == b->log_arg && a->log_flags == b->log_flags;
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

void ccs_config_set_shared(struct ccs_config *cfg, struct ccs_shared *shared)
{
    if (!cfg || atomic_load(&cfg->frozen))
        return;
    ccs_shared_free(cfg->shared);
    cfg->shared = shared ? ccs_shared_ref(shared) : NULL;
    cfg->configuration = shared ? ccs_leases_configuration(shared->layout.leases) : 0;
}

void ccs_config_set_agent(struct ccs_config *cfg, struct ccs_agent *agent)
{
    if (cfg == NULL || atomic_load(&cfg->frozen))
        return;
    ccs_agent_free(cfg->agent);
    cfg->agent = agent != NULL ? ccs_agent_ref(agent) : NULL;
}

void ccs_config_wipe_login(struct ccs_config *cfg)
{
    if (cfg != NULL)
        ccs_login_wipe(cfg->login);
}

struct ccs_log *ccs_config_make_log(const struct ccs_config *cfg, void (*wake)(void *), void *arg)
{
    return ccs_log_new(cfg->log_max, cfg->log_cb, cfg->log_arg, cfg->log_flags, wake, arg);
}

void ccs_config_values(const struct ccs_config *cfg, struct ccs_settings *out)
{
    *out = (struct ccs_settings){
        .store = text_of(cfg, CCS_SET_store),
        .password_file = text_of(cfg, CCS_SET_password_file),
        .passwords = cfg->passwords,
        .login = cfg->login,
        .agent = cfg->agent,
        .agent_mode = text_of(cfg, CCS_SET_agent),
        .agent_user = text_of(cfg, CCS_SET_agent_user),
        .log_max = cfg->log_max,
        .shared = cfg->shared,
        .configuration = cfg->configuration,
        .cache_size = (size_t)number_of(cfg, CCS_SET_cache_size),
        .parsed = (uint32_t)number_of(cfg, CCS_SET_parsed),
        .refresh_ms = number_of(cfg, CCS_SET_refresh),
        .wait_ms = number_of(cfg, CCS_SET_wait),
        .stale_ms = number_of(cfg, CCS_SET_stale),
        .negative_ms = number_of(cfg, CCS_SET_negative),
        .probe_rate = (uint32_t)number_of(cfg, CCS_SET_probe_rate),
        .default_name = text_of(cfg, CCS_SET_default_name),
        .unknown_name = (enum ccs_unknown_name)number_of(cfg, CCS_SET_unknown_name),
        .check_name = (enum ccs_check_name)number_of(cfg, CCS_SET_check_name),
        .threads = (uint32_t)number_of(cfg, CCS_SET_threads),
        .max_waiting = (uint32_t)number_of(cfg, CCS_SET_max_waiting),
        .kdf_limit = (uint64_t)number_of(cfg, CCS_SET_kdf_limit),
    };
}
