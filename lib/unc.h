/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_UNC_H
#define CCS_UNC_H

/* Names of folders on SMB servers. Pure functions, no I/O. */

#include <ccs/ccs.h>

#include "base.h"

#define CCS_UNC_SERVER_MAX 253
#define CCS_UNC_SHARE_MAX  240  /* octets of 80 characters, the most that the protocol allows */
#define CCS_UNC_PATH_MAX   1024 /* octets, all components and what separates them */
#define CCS_UNC_TEXT_SIZE  (CCS_UNC_SERVER_MAX + CCS_UNC_SHARE_MAX + CCS_UNC_PATH_MAX + 16)

struct ccs_unc {
    char server[CCS_UNC_SERVER_MAX + 1]; /* host name or address, in lower case; no brackets */
    char share[CCS_UNC_SHARE_MAX + 1];   /* as written */
    char path[CCS_UNC_PATH_MAX + 1];     /* below the share, "a/b", as written; "" for its root */
    uint16_t port;                       /* 0: not given */
};

/* Whether a location is meant to be one: begins with a backslash, "//x", "smb://" or "cifs://". */
int ccs_unc_is(const char *location);

/*
 * Takes \\server\share\dir, //server/share/dir (either may mix both kinds of separators behind the
 * first two) and smb://server/share/dir with percent-encoding; a port may follow the server in each
 * of them, an IPv6 address is put into brackets. Also takes what is left of the first form where a
 * configuration file was read by a parser that sees escapes in it: one backslash at the beginning
 * instead of two, and tab, newline and carriage return for \t, \n and \r.
 *
 * CCS_EINVAL for all else, components "." and ".." and characters that file names on servers cannot
 * have among it. A text with a user in it is refused without being repeated. *out is written on
 * CCS_OK only.
 */
int ccs_unc_parse(const char *location, struct ccs_unc *out, struct ccs_error *err);

/*
 * The one way to write it, //server:port/share/dir, which ccs_unc_parse() takes. out holds
 * CCS_UNC_TEXT_SIZE octets. Returns out.
 */
const char *ccs_unc_format(const struct ccs_unc *unc, char *out);

#endif
