/* SPDX-License-Identifier: Apache-2.0 */
/* The state of all stores as JSON, by "SetHandler ccs-status" and as a part of mod_status. */
#include <string.h>

#include <mod_status.h>

#include "mod_ccs.h"

/* Numbers grow between measuring and writing. */
#define STATUS_SLACK 256

static const char *status_text(apr_pool_t *pool)
{
    size_t size = sizeof("[]"), used = 0;
    struct ccs *ccs;
    char *text;

    for (int i = 0; (ccs = mod_ccs_instance(i)) != NULL; i++)
        size += ccs_status_json(ccs, NULL, 0) + STATUS_SLACK;
    text = apr_palloc(pool, size);
    text[used++] = '[';
    for (int i = 0; (ccs = mod_ccs_instance(i)) != NULL; i++) {
        size_t room, len;

        if (i > 0)
            text[used++] = ',';
        room = size - used - 1;
        len = ccs_status_json(ccs, text + used, room);
        used += len < room ? len : room - 1;
    }
    text[used++] = ']';
    text[used] = '\0';
    return text;
}

static int status_handler(request_rec *r)
{
    if (r->handler == NULL || strcmp(r->handler, "ccs-status") != 0)
        return DECLINED;
    r->allowed = AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    ap_set_content_type(r, "application/json");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    ap_rvputs(r, status_text(r->pool), "\n", NULL);
    return OK;
}

static int status_part(request_rec *r, int flags)
{
    if (mod_ccs_instance(0) == NULL)
        return DECLINED;
    if (flags & AP_STATUS_SHORT)
        ap_rvputs(r, "CertificateStores: ", status_text(r->pool), "\n", NULL);
    else
        ap_rvputs(r, "<hr />\n<h2>Certificate stores</h2>\n<pre>",
                  ap_escape_html(r->pool, status_text(r->pool)), "</pre>\n", NULL);
    return OK;
}

void mod_ccs_status_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(status_handler, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ap, status_hook, status_part, NULL, NULL, APR_HOOK_MIDDLE);
}
