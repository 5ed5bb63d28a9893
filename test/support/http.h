/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_HTTP_H
#define CCS_TEST_HTTP_H

/* As much HTTP as it takes to ask a server one question, over HTTP/1.1 or HTTP/2. */

#include <stddef.h>

/* Writes a GET that asks for the connection to be closed; returns its length. */
size_t ccs_http_request(unsigned char *out, size_t size, int h2, const char *host,
                        const char *path);

/* Looks at what came so far: 1 if the response is complete. HTTP/1.1 is complete only when the
 * server has closed (eof). status and body are written then; body is cut to size. */
int ccs_http_response(const unsigned char *in, size_t len, int h2, int eof, int *status, char *body,
                      size_t size);

#endif
