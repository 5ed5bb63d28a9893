/* SPDX-License-Identifier: Apache-2.0 */
/* ccs-agent, which whoever starts nginx starts for the workers: before they are, and with rights.
 */
#include "ngx_ccs.h"

/*
 * Nothing may fail here any more once nginx serves: it would end. So a new configuration whose
 * agent does not start goes on with the one that the old configuration has.
 */
static ngx_int_t ngx_ccs_agent_failed(ngx_cycle_t *cycle, const ngx_ccs_conf_t *conf,
                                      const struct ccs_error *err, struct ccs_agent **agent)
{
    if (ngx_is_init_cycle(cycle->old_cycle)) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "ccs: %s; it is needed for the \"ccs\" directive in %s:%ui", err->text,
                      conf->file, conf->line);
        return NGX_ERROR;
    }
    *agent = ccs_agent_previous(conf->config);
    ngx_log_error(NGX_LOG_ALERT, cycle->log, 0, "ccs: %s; %s for the \"ccs\" directive in %s:%ui",
                  err->text, *agent != NULL ? "the previous one goes on" : "there is none",
                  conf->file, conf->line);
    return NGX_OK;
}

ngx_int_t ngx_ccs_agents_start(ngx_cycle_t *cycle, ngx_array_t *sites)
{
    ngx_ccs_conf_t **conf = sites->elts;

    for (ngx_uint_t i = 0; i < sites->nelts; i++) {
        struct ccs_agent *agent = NULL;
        struct ccs_error err;

        if (ccs_agent_start(conf[i]->config, &agent, &err) != CCS_OK &&
            ngx_ccs_agent_failed(cycle, conf[i], &err, &agent) != NGX_OK)
            return NGX_ERROR;
        ccs_config_set_agent(conf[i]->config, agent);
        conf[i]->agent = agent != NULL;
        ccs_agent_free(agent);
    }
    return NGX_OK;
}

ngx_int_t ngx_ccs_agent_check(ngx_conf_t *cf, const ngx_ccs_conf_t *conf)
{
    struct ccs_error err;

    if (ccs_agent_check(conf->config, &err) == CCS_OK)
        return NGX_OK;
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "ccs: %s; it is needed for the \"ccs\" directive in %s:%ui", err.text, conf->file,
                  conf->line);
    return NGX_ERROR;
}
