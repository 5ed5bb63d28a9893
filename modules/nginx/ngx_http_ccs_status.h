/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NGX_HTTP_CCS_STATUS_H
#define NGX_HTTP_CCS_STATUS_H

#pragma GCC visibility push(hidden)

/* The directive "ccs_status", which has no arguments. */
char *ngx_http_ccs_set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

#pragma GCC visibility pop

#endif
