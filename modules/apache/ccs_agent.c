/* SPDX-License-Identifier: Apache-2.0 */
/* ccs-agent, started by whoever starts Apache: before the processes that serve, and with rights. */
#include "mod_ccs.h"

APLOG_USE_MODULE(ccs);

/* A restart whose agent does not start goes on with the one that there was before. */
static int start_failed(struct mod_ccs_conf *conf, const struct ccs_error *err)
{
    int restarting = mod_ccs_restarting();

    if (restarting)
        conf->agent = ccs_agent_previous(conf->config);
    ap_log_error(APLOG_MARK, restarting ? APLOG_ERR : APLOG_EMERG, 0, conf->server,
                 MOD_CCS_LOG "%s:%d: CCSEngine: %s%s", conf->engine.file, conf->engine.line,
                 err->text,
                 !restarting           ? ""
                 : conf->agent != NULL ? "; the previous one goes on"
                                       : "; there is none from before the restart either");
    return restarting ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

int mod_ccs_agents_start(server_rec *main_server)
{
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(s);
        struct ccs_error err;

        if (conf->config == NULL || ccs_config_get(conf->config, "store") == NULL)
            continue;
        if (ccs_agent_start(conf->config, &conf->agent, &err) != CCS_OK &&
            start_failed(conf, &err) != OK)
            return HTTP_INTERNAL_SERVER_ERROR;
        ccs_config_set_agent(conf->config, conf->agent);
    }
    return OK;
}

void mod_ccs_agents_release(server_rec *main_server)
{
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        struct mod_ccs_conf *conf = mod_ccs_conf_of(s);

        ccs_agent_free(conf->agent);
        conf->agent = NULL;
    }
}
