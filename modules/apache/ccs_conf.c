/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

struct setting {
    const char *name;
    const char *kind;
    const char *help;
};

static const struct setting settings[MOD_CCS_SETTINGS] = {
#define CCS_SETTING(name, kind, scope, def, min, max, choices, help) {#name, #kind, help},
#include <ccs/settings.def>
#undef CCS_SETTING
};

#define DIRECTIVE_SIZE 48

static char directive_names[MOD_CCS_SETTINGS][DIRECTIVE_SIZE];

const char *mod_ccs_setting_name(int setting)
{
    return settings[setting].name;
}

const char *mod_ccs_directive_name(int setting)
{
    return directive_names[setting];
}

int mod_ccs_is_secret(int setting)
{
    return strcmp(settings[setting].kind, "FILE") == 0;
}

/* Relative paths are below ServerRoot. Shares have names of their own: \\host\share,
 * smb://host/share. */
static int is_relative(int setting, const char *text)
{
    if (!mod_ccs_is_secret(setting) && strcmp(settings[setting].kind, "LOCATION") != 0)
        return 0;
    return text[0] != '/' && text[0] != '\\' && strstr(text, "://") == NULL;
}

/* -- directives ---------------------------------------------------------------------------- */

static struct mod_ccs_value value_here(const cmd_parms *cmd, const char *text)
{
    struct mod_ccs_value value = {
        .text = text, .file = cmd->directive->filename, .line = cmd->directive->line_num};

    return value;
}

/* A bad value: an error in a start, a message in a restart, which keeps what it was before. */
static const char *refuse(const cmd_parms *cmd, struct mod_ccs_value *value, const char *why)
{
    if (!mod_ccs_restarting())
        return why;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, cmd->server,
                 MOD_CCS_LOG "%s:%d: %s; what it was before the restart stays in force",
                 cmd->directive->filename, cmd->directive->line_num, why);
    value->refused = 1;
    return NULL;
}

static const char *set_engine(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mod_ccs_conf *conf = mod_ccs_conf_of(cmd->server);

    (void)dir;
    conf->engine = value_here(cmd, arg);
    conf->here = 1;
    if (strcasecmp(arg, "on") == 0)
        conf->enabled = 1;
    else if (strcasecmp(arg, "off") == 0)
        conf->enabled = 0;
    else
        return refuse(cmd, &conf->engine, "CCSEngine must be on or off");
    return NULL;
}

/* Files of secrets are looked at when all is read; their text is all right as it is. */
static const char *check_value(apr_pool_t *pool, int setting, const char *text)
{
    struct ccs_config *scratch;
    const char *why = NULL;
    struct ccs_error err;

    if (mod_ccs_is_secret(setting))
        return NULL;
    scratch = ccs_config_new();
    if (scratch == NULL)
        return "no memory";
    if (ccs_config_set(scratch, settings[setting].name, text, &err) != CCS_OK)
        why = apr_psprintf(pool, "%s: %s", directive_names[setting], err.text);
    ccs_config_free(scratch);
    return why;
}

static const char *set_value(cmd_parms *cmd, void *dir, const char *arg)
{
    struct mod_ccs_conf *conf = mod_ccs_conf_of(cmd->server);
    int setting = (int)(intptr_t)cmd->info;
    struct mod_ccs_value *value = &conf->values[setting];
    const char *text = arg, *why;

    (void)dir;
    *value = value_here(cmd, NULL);
    if (is_relative(setting, arg))
        text = ap_server_root_relative(cmd->pool, arg);
    if (text == NULL)
        why = apr_psprintf(cmd->pool, "%s: \"%s\" is not a path", directive_names[setting], arg);
    else
        why = check_value(cmd->pool, setting, text);
    if (why != NULL)
        return refuse(cmd, value, why);
    value->text = text;
    return NULL;
}

command_rec mod_ccs_commands[MOD_CCS_SETTINGS + 2];

/* password_file is CCSPasswordFile. */
static void name_directive(const char *setting, char *out)
{
    size_t n = 0;
    int upper = 1;

    memcpy(out, "CCS", 3);
    n = 3;
    for (const char *p = setting; *p && n < DIRECTIVE_SIZE - 1; p++) {
        if (*p != '_')
            out[n++] = (char)(upper ? toupper((unsigned char)*p) : *p);
        upper = *p == '_';
    }
    out[n] = '\0';
}

/* Runs when the module is loaded, before Apache reads the table. */
__attribute__((constructor)) static void name_directives(void)
{
    mod_ccs_commands[0] = (command_rec)AP_INIT_TAKE1(
        "CCSEngine", set_engine, NULL, RSRC_CONF,
        "Whether certificates come from a store: on or off.");
    for (int i = 0; i < MOD_CCS_SETTINGS; i++) {
        name_directive(settings[i].name, directive_names[i]);
        mod_ccs_commands[i + 1] = (command_rec)AP_INIT_TAKE1(
            directive_names[i], set_value, (void *)(intptr_t)i, RSRC_CONF, settings[i].help);
    }
}

/* -- per server ---------------------------------------------------------------------------- */

void *mod_ccs_conf_create(apr_pool_t *pool, server_rec *s)
{
    struct mod_ccs_conf *conf = apr_pcalloc(pool, sizeof(*conf));

    conf->server = s;
    return conf;
}

void *mod_ccs_conf_merge(apr_pool_t *pool, void *base, void *add)
{
    const struct mod_ccs_conf *outer = base, *inner = add;
    struct mod_ccs_conf *conf = apr_pmemdup(pool, inner, sizeof(*inner));

    if (conf->engine.text == NULL) {
        conf->engine = outer->engine;
        conf->enabled = outer->enabled;
    }
    for (int i = 0; i < MOD_CCS_SETTINGS; i++) {
        if (conf->values[i].file == NULL)
            conf->values[i] = outer->values[i];
    }
    return conf;
}

static apr_status_t config_free(void *config)
{
    ccs_config_free(config);
    return APR_SUCCESS;
}

static struct ccs_config *config_new(apr_pool_t *pool)
{
    struct ccs_config *config = ccs_config_new();

    if (config != NULL)
        apr_pool_cleanup_register(pool, config, config_free, apr_pool_cleanup_null);
    return config;
}

/* A restart without a store is a mistake as well; in a start it has been refused before. */
static const char *kept_store(const struct mod_ccs_conf *conf)
{
    const char *text = mod_ccs_kept_text(conf->server, MOD_CCS_SET_store);

    ap_log_error(APLOG_MARK, APLOG_ERR, 0, conf->server,
                 MOD_CCS_LOG "%s:%d: CCSEngine: there is no CCSStore for it%s", conf->engine.file,
                 conf->engine.line,
                 text != NULL ? "; the one of before the restart stays in force" : "");
    return text;
}

/* The texts of all settings but the secrets, bad ones replaced by what they were before. */
static int build_settings(struct mod_ccs_conf *conf, struct ccs_error *err)
{
    for (int i = 0; i < MOD_CCS_SETTINGS; i++) {
        const struct mod_ccs_value *value = &conf->values[i];
        const char *text = value->text;
        int rv;

        if (value->refused)
            text = mod_ccs_kept_text(conf->server, i);
        else if (i == MOD_CCS_SET_store && text == NULL && mod_ccs_restarting())
            text = kept_store(conf);
        if (text == NULL || mod_ccs_is_secret(i))
            continue;
        rv = ccs_config_set(conf->config, settings[i].name, text, err);
        if (rv != CCS_OK)
            return rv;
    }
    return CCS_OK;
}

/* Where one cannot be read, a restart keeps those of before. */
static int build_secrets(struct mod_ccs_conf *conf)
{
    const struct ccs_config *kept = mod_ccs_kept_secrets(conf->server);
    struct ccs_error err;
    int failed = 0;

    for (int i = 0; i < MOD_CCS_SETTINGS; i++) {
        const struct mod_ccs_value *value = &conf->values[i];

        if (!mod_ccs_is_secret(i) || value->text == NULL ||
            ccs_config_set(conf->secrets, settings[i].name, value->text, &err) == CCS_OK)
            continue;
        failed = 1;
        ap_log_error(APLOG_MARK, mod_ccs_restarting() ? APLOG_ERR : APLOG_EMERG, 0, conf->server,
                     MOD_CCS_LOG "%s:%d: %s: %s%s", value->file, value->line, directive_names[i],
                     err.text,
                     !mod_ccs_restarting() ? ""
                     : kept != NULL        ? "; what was read before the restart stays in force"
                                           : "; there is nothing from before the restart either");
    }
    if (!failed)
        return OK;
    if (!mod_ccs_restarting())
        return HTTP_INTERNAL_SERVER_ERROR;
    if (kept != NULL && ccs_config_inherit(conf->secrets, kept, &err) != CCS_OK)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, conf->server, MOD_CCS_LOG "%s", err.text);
    return OK;
}

int mod_ccs_conf_build(apr_pool_t *pool, struct mod_ccs_conf *conf, int secrets)
{
    struct ccs_error err;

    conf->config = config_new(pool);
    conf->secrets = config_new(pool);
    if (conf->config == NULL || conf->secrets == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, conf->server, MOD_CCS_LOG "no memory");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (secrets && build_secrets(conf) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    if (build_settings(conf, &err) != CCS_OK ||
        ccs_config_inherit(conf->config, conf->secrets, &err) != CCS_OK) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, conf->server, MOD_CCS_LOG "%s:%d: CCSEngine: %s",
                     conf->engine.file, conf->engine.line, err.text);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* -- the whole configuration ---------------------------------------------------------------- */

static int check_server(apr_pool_t *ptemp, struct mod_ccs_conf *conf)
{
    /* What is built here is only to be checked, with the files of secrets, by whoever starts it. */
    struct mod_ccs_conf trial = *conf;
    struct ccs_error err;
    const char *why = NULL;

    if (ap_find_linked_module("mod_ssl.c") == NULL) {
        why = "mod_ssl is not loaded: it is what speaks TLS";
    } else if (mod_ccs_conf_build(ptemp, &trial, 1) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    } else if (ccs_config_get(trial.config, "store") == NULL) {
        why = "there is no CCSStore for it, here or outside of virtual hosts";
    } else if (ccs_config_check(trial.config, &err) != CCS_OK ||
               ccs_agent_check(trial.config, &err) != CCS_OK) {
        why = err.text;
    }
    if (why == NULL)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, conf->server, MOD_CCS_LOG "%s:%d: CCSEngine: %s",
                 conf->engine.file, conf->engine.line, why);
    return HTTP_INTERNAL_SERVER_ERROR;
}

int mod_ccs_check(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int rv = OK;

    (void)pconf;
    (void)plog;
    if (mod_ccs_restarting())
        return OK;
    for (; s != NULL; s = s->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

        if (conf->enabled && check_server(ptemp, conf) != OK)
            rv = HTTP_INTERNAL_SERVER_ERROR;
    }
    return rv;
}
