/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection was served with: %{result}^CC and the like in logs, CCS_RESULT for
 * applications. */
#include <string.h>

#include <mod_log_config.h>

#include "mod_ccs.h"

static const char *not_after(apr_pool_t *pool, const struct ccs_cred *cred)
{
    apr_time_exp_t t;

    if (apr_time_exp_gmt(&t, apr_time_from_sec(ccs_cred_not_after(cred))) != APR_SUCCESS)
        return NULL;
    return apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02dZ", t.tm_year + 1900, t.tm_mon + 1,
                        t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

/* NULL: there is nothing to say. */
static const char *variable(const conn_rec *c, apr_pool_t *pool, const char *name)
{
    const struct mod_ccs_served *served = mod_ccs_served(c);

    if (served == NULL)
        return NULL;
    if (strcmp(name, "result") == 0)
        return ccs_result_name(served->result);
    if (served->cred == NULL)
        return NULL;
    if (strcmp(name, "file") == 0)
        return ccs_cred_file(served->cred);
    return strcmp(name, "not_after") == 0 ? not_after(pool, served->cred) : NULL;
}

static const char *log_item(request_rec *r, char *name)
{
    return variable(r->connection, r->pool, name);
}

static int set_environment(request_rec *r)
{
    static const char *const names[][2] = {
        {"result", "CCS_RESULT"}, {"file", "CCS_FILE"}, {"not_after", "CCS_NOT_AFTER"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = variable(r->connection, r->pool, names[i][0]);

        if (value != NULL)
            apr_table_setn(r->subprocess_env, names[i][1], apr_pstrdup(r->pool, value));
    }
    return DECLINED;
}

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) * add;

    (void)plog, (void)ptemp;
    add = APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);
    if (add != NULL)
        add(pconf, (char *)"^CC", log_item, 0);
    return OK;
}

void mod_ccs_vars_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    /* As early as any other module may ask; and again behind an internal redirect. */
    ap_hook_post_read_request(set_environment, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(set_environment, NULL, NULL, APR_HOOK_FIRST);
}
