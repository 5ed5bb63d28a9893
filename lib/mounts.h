/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_MOUNTS_H
#define CCS_MOUNTS_H

/* Where on this machine a folder of an SMB server is mounted. */

#include "unc.h"

#define CCS_MOUNTS_PATH_SIZE 4096

/*
 * Looks into the mount table of this process; touches no mounted file system, because a dead one
 * would not let go. CCS_ENOTFOUND if nothing that can be reached now shows the folder,
 * CCS_EUNAVAIL if the table cannot be read, CCS_ENOMEM. out holds CCS_MOUNTS_PATH_SIZE octets and
 * is written on CCS_OK only.
 */
int ccs_mounts_find(const struct ccs_unc *unc, char *out, struct ccs_error *err);

/*
 * The same in a text like that of /proc/self/mountinfo. Server, share and path compare without case
 * (of ASCII letters); names and addresses of one server are different servers. Of several mounts
 * the one that needs the fewest folders below it is taken, of equal ones the latest.
 */
int ccs_mounts_find_in(const char *table, size_t len, const struct ccs_unc *unc, char *out,
                       struct ccs_error *err);

#endif
