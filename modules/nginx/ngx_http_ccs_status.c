/* SPDX-License-Identifier: Apache-2.0 */
/* "ccs_status;" in a location answers with the state of all stores of http{}, as JSON. */
#include "ngx_ccs.h"

#include <ngx_http.h>

#include "ngx_http_ccs_status.h"

/* Numbers grow between measuring and writing. */
#define NGX_HTTP_CCS_STATUS_SLACK 256

static ngx_buf_t *ngx_http_ccs_status_text(ngx_pool_t *pool)
{
    struct ccs *ccs;
    size_t size = sizeof("[]\n");
    ngx_buf_t *b;

    for (ngx_uint_t i = 0; (ccs = ngx_ccs_instance(i)) != NULL; i++)
        size += ccs_status_json(ccs, NULL, 0) + NGX_HTTP_CCS_STATUS_SLACK;
    b = ngx_create_temp_buf(pool, size);
    if (b == NULL)
        return NULL;
    *b->last++ = '[';
    for (ngx_uint_t i = 0; (ccs = ngx_ccs_instance(i)) != NULL; i++) {
        size_t room = (size_t)(b->end - b->last), len;

        if (i > 0)
            *b->last++ = ',';
        len = ccs_status_json(ccs, (char *)b->last, room - 1);
        b->last += ngx_min(len, room - 2);
    }
    *b->last++ = ']';
    *b->last++ = '\n';
    return b;
}

static ngx_int_t ngx_http_ccs_status_handler(ngx_http_request_t *r)
{
    ngx_chain_t out;
    ngx_int_t rc;

    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)))
        return NGX_HTTP_NOT_ALLOWED;
    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK)
        return rc;
    out.buf = ngx_http_ccs_status_text(r->pool);
    out.next = NULL;
    if (out.buf == NULL)
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    out.buf->last_buf = r == r->main;
    out.buf->last_in_chain = 1;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = out.buf->last - out.buf->pos;
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only)
        return rc;
    return ngx_http_output_filter(r, &out);
}

char *ngx_http_ccs_set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    (void)cmd;
    (void)conf;
    if (core->handler == ngx_http_ccs_status_handler)
        return (char *)"is duplicate";
    core->handler = ngx_http_ccs_status_handler;
    return NGX_CONF_OK;
}
