/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SETTINGS_H
#define CCS_SETTINGS_H

#include <ccs/ccs.h>

#include "login.h"
#include "secret.h"

enum ccs_check_name { CCS_CHECK_NAME_OFF, CCS_CHECK_NAME_WARN, CCS_CHECK_NAME_REFUSE };
enum ccs_unknown_name { CCS_UNKNOWN_REJECT, CCS_UNKNOWN_FALLBACK };

/* Typed values of all settings, defaults applied. Strings are borrowed from the config, NULL: not
 * set. */
struct ccs_settings {
    const char *store;
    const char *password_file;
    struct ccs_passwords *passwords; /* borrowed; NULL without a password_file */
    struct ccs_login *login;         /* borrowed; NULL without a credentials_file */
    struct ccs_agent *agent;         /* borrowed; NULL: none was given */
    const char *agent_mode;          /* "auto", "on", "off", or the path of a socket */
    const char *agent_user;
    enum ccs_level log_max;
    struct ccs_shared *shared; /* borrowed; NULL: none was given */
    uint64_t configuration;    /* which configuration of shared this is; 0: none */
    size_t cache_size;
    uint32_t parsed;
    int64_t refresh_ms;
    int64_t wait_ms;
    int64_t stale_ms;
    int64_t negative_ms;
    uint32_t probe_rate;      /* a second */
    const char *default_name; /* canonical */
    enum ccs_unknown_name unknown_name;
    enum ccs_check_name check_name;
    uint32_t threads;
    uint32_t max_waiting;
    uint64_t kdf_limit;
};

void ccs_config_values(const struct ccs_config *cfg, struct ccs_settings *out);

/* One more reference; a config that was opened must not change any more. */
struct ccs_config *ccs_config_freeze(struct ccs_config *cfg);

struct ccs_log;

/* New log after ccs_config_set_log(), or NULL: no memory. See log.h for wake. */
struct ccs_log *ccs_config_make_log(const struct ccs_config *cfg, void (*wake)(void *), void *arg);

#endif
