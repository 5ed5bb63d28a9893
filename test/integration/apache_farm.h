/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_APACHE_FARM_H
#define CCS_TEST_APACHE_FARM_H

/* The farm with httpd for a server. */

#include "farm.h"

/* What nearly every configuration is made of. */
#define CCS_APACHE_CACHE             "SSLSessionCache shmcb:@DIR@/run/sessions(512000)\n"
#define CCS_APACHE_STORE             "CCSStore @STORE@\n"
#define CCS_APACHE_ON                "SSLEngine on\nCCSEngine on\n"
#define CCS_APACHE_STATUS            "<Location /status>\nSetHandler ccs-status\n</Location>\n"
#define CCS_APACHE_VHOST(port, more) "<VirtualHost " port ">\n" more "</VirtualHost>\n"

/* A whole configuration: one virtual host for every name; what is given stands before it. */
#define CCS_APACHE_WITH(settings)                                                                  \
    CCS_APACHE_CACHE CCS_APACHE_STORE settings CCS_APACHE_VHOST("@PORT1@",                         \
                                                                CCS_APACHE_ON CCS_APACHE_STATUS)
#define CCS_APACHE_CONF CCS_APACHE_WITH("")

/* httpd with this configuration, one child of the event MPM. */
void ccs_apache_farm_run(struct ccs_farm *farm, const char *conf);

/* The same with a store that can be made slow, and so many threads. */
void ccs_apache_farm_run_slow(struct ccs_farm *farm, int threads, const char *conf);

/* A number of /status as an administrator would read it; the question is asked under this name. */
unsigned long ccs_apache_farm_status(struct ccs_farm *farm, const char *sni, const char *name);

/* Waits until it is this. */
void ccs_apache_farm_await_status(struct ccs_farm *farm, const char *sni, const char *name,
                                  unsigned long value);

/* Name of an MPM. */
const char *ccs_apache_farm_mpm(enum ccs_apache_mpm mpm);

#endif
