/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_APACHE_EXEC_H
#define CCS_TEST_APACHE_EXEC_H

#include "apache.h"

/* Folder of httpd's own modules, and of mod_ccs.so. */
const char *ccs_apache_modules(void);
const char *ccs_apache_own_modules(void);

/*
 * Starts httpd with httpd.conf of its folder, with -t if test is set. Standard output and error go
 * to dir/<output>. It ends when the calling thread does. Returns its pid.
 */
pid_t ccs_apache_exec(const struct ccs_apache *apache, int test, const char *output);

#endif
