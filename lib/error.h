/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_ERROR_H
#define CCS_ERROR_H

#include <ccs/ccs.h>

#include "base.h"

/*
 * Each fills *err (NULL allowed) and returns code, so that callers can return the call itself. An
 * argument may be err's own text. What does not fit is cut with "...".
 */
CCS_COLD int ccs_error_set(struct ccs_error *err, int code, const char *fmt, ...) CCS_PRINTF(3, 4);

/* The same; appends ": " and the text of errno value errnum, and keeps errnum. */
int ccs_error_sys(struct ccs_error *err, int code, int errnum, const char *fmt, ...)
    CCS_PRINTF(4, 5);

/* The same; appends ": " and the most telling entry of OpenSSL's error queue, which it empties. */
int ccs_error_ssl(struct ccs_error *err, int code, const char *fmt, ...) CCS_PRINTF(3, 4);

/* Empties OpenSSL's error queue; 1 if it speaks of a lack of memory, else 0. */
int ccs_error_queue_says_no_memory(void);

/*
 * Copies text that came from outside (file names, certificate names) into dst for a message:
 * control characters (those of writing direction too), and bytes that are not valid UTF-8, become
 * \xHH; ends with "..." if cut. Always NUL-terminated unless size is 0. Returns dst.
 */
const char *ccs_printable(char *dst, size_t size, const char *src, size_t len);

#endif
