/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_NGINX_EXEC_H
#define CCS_TEST_NGINX_EXEC_H

#include "nginx.h"

/* Path of the nginx executable. */
const char *ccs_nginx_binary(void);

/*
 * Starts nginx with nginx.conf of its folder, with -t if test is set. Standard output and error go
 * to dir/<output>. It ends when the calling thread does. Returns its pid.
 */
pid_t ccs_nginx_exec(const struct ccs_nginx *nginx, int test, const char *output);

#endif
