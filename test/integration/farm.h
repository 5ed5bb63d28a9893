/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_FARM_H
#define CCS_TEST_FARM_H

/* What every test of a server needs: a folder, a certification authority, a store and a server. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apache.h"
#include "nginx.h"
#include "pki.h"
#include "tls_client.h"
#include "tmp.h"

struct ccs_farm {
    struct ccs_tmp tmp;
    struct ccs_pki_ca *ca;
    struct ccs_nginx nginx;   /* prepared or started by the test, */
    struct ccs_apache apache; /* or this one; both in the folder tmp */
    char store[220];          /* the folder; it exists from the beginning */
};

/* What nearly every configuration begins with, and the answer that tests look at. */
#define CCS_FARM_TLS    "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:TLS:1m;\n"
#define CCS_FARM_STORE  "ccs on; ccs_store @STORE@;\n"
#define CCS_FARM_ANSWER "return 200 \"$ccs_result $ccs_file\";\n"
#define CCS_FARM_SERVER "server { listen @PORT1@ ssl; " CCS_FARM_ANSWER "}\n"

/* A whole configuration: one server for every name. */
#define CCS_FARM_HTTP CCS_FARM_TLS CCS_FARM_STORE CCS_FARM_SERVER

#define CCS_ALERT_INTERNAL_ERROR    80
#define CCS_ALERT_UNRECOGNIZED_NAME 112

/* Setup and teardown of one test; *state is the farm. */
int ccs_farm_setup(void **state);
int ccs_farm_teardown(void **state);

#define CCS_FARM_TEST(function)                                                                    \
    cmocka_unit_test_setup_teardown(function, ccs_farm_setup, ccs_farm_teardown)

/* nginx with this inside http {}, one worker. */
void ccs_farm_run(struct ccs_farm *farm, const char *http);

/* A P-256 certificate for names as a file of the store, renamed into place. */
void ccs_farm_put(struct ccs_farm *farm, const char *file, const char *names, char fingerprint[65]);

/* One file of the store with several leaves, or one of another kind. */
void ccs_farm_put_leaves(struct ccs_farm *farm, const char *file, const struct ccs_pki_leaf *leaves,
                         size_t count, const struct ccs_pki_pfx *how);

/* Any octets as a file of the store, written long ago, so that nobody waits for its end. */
void ccs_farm_put_bytes(struct ccs_farm *farm, const char *file, const void *data, size_t len);

/* A question to the first port that verifies the certificate and asks for "/". */
struct ccs_tls_spec ccs_farm_ask(const struct ccs_farm *farm, const char *sni);

/* Asks and insists: verified, this body ("HIT a.test.pfx"), and unless NULL this leaf. */
void ccs_farm_expect(const struct ccs_tls_spec *spec, const char *body, const char *fingerprint);
void ccs_farm_expect_name(const struct ccs_farm *farm, const char *sni, const char *body,
                          const char *fingerprint);

/* The same for a refusal by this alert. */
void ccs_farm_expect_alert(const struct ccs_tls_spec *spec, int alert);
void ccs_farm_expect_refused(const struct ccs_farm *farm, const char *sni);

/* Asks again and again until the leaf is this one (NULL: any); returns milliseconds, fails after
 * the default deadline. */
double ccs_farm_wait_served(const struct ccs_farm *farm, const char *sni, const char *fingerprint);

/* The same until the name is refused. */
double ccs_farm_wait_refused(const struct ccs_farm *farm, const char *sni);

/* For a store made slow: waits until a load has begun to open files that begin so. */
void ccs_farm_wait_opened(const struct ccs_farm *farm, const char *prefix);

/* Waits until the log says so. */
void ccs_farm_wait_log(const struct ccs_farm *farm, const char *text);

#endif
