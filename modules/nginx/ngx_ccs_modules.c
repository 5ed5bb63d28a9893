/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The three names that nginx looks up in a module file. A build with --add-dynamic-module makes its
 * own, so this file belongs to the CMake build only.
 */

#include <ngx_config.h>

#include <ngx_core.h>

#define NGX_CCS_TEXT_OF(x) #x
#define NGX_CCS_TEXT(x)    NGX_CCS_TEXT_OF(x)

#define NGX_CCS_EXPORT __attribute__((visibility("default")))

extern ngx_module_t NGX_CCS_MODULE;

extern NGX_CCS_EXPORT ngx_module_t *ngx_modules[];
extern NGX_CCS_EXPORT char *ngx_module_names[];
extern NGX_CCS_EXPORT char *ngx_module_order[];

ngx_module_t *ngx_modules[] = {&NGX_CCS_MODULE, NULL};

char *ngx_module_names[] = {(char *)NGX_CCS_TEXT(NGX_CCS_MODULE), NULL};

/* Earlier in nginx's list than the TLS module, so that our part of a server is merged before its.
 */
char *ngx_module_order[] = {(char *)NGX_CCS_TEXT(NGX_CCS_MODULE), (char *)NGX_CCS_BEFORE, NULL};
