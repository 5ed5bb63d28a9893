/* SPDX-License-Identifier: Apache-2.0 */
#include "mod_ccs.h"

#if !AP_MODULE_MAGIC_AT_LEAST(20120211, 105)
#error "mod_ccs needs Apache httpd 2.4.48 or later"
#endif

static void mod_ccs_hooks(apr_pool_t *pool)
{
    ap_hook_check_config(mod_ccs_check, NULL, NULL, APR_HOOK_MIDDLE);
    mod_ccs_handshake_hooks(pool);
    mod_ccs_process_hooks(pool);
    mod_ccs_park_hooks(pool);
    mod_ccs_status_hooks(pool);
    mod_ccs_vars_hooks(pool);
}

module ccs_module = {
    STANDARD20_MODULE_STUFF,
    NULL,                       /* create per-directory configuration */
    NULL,                       /* merge per-directory configurations */
    mod_ccs_conf_create,        /* create per-server configuration */
    mod_ccs_conf_merge,         /* merge per-server configurations */
    mod_ccs_commands,           /* directives */
    mod_ccs_hooks,              /* hooks */
    AP_MODULE_FLAG_ALWAYS_MERGE /* each server is a site of its own */
};
