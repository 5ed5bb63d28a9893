/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SMB_URL_H
#define CCS_AGENT_SMB_URL_H

/* Names as libsmbclient takes them. Pure. */

#include "name.h"
#include "unc.h"

/* Every octet of server, share, folder and file may take three. */
#define AGENT_SMB_URL_SIZE (3 * (CCS_UNC_TEXT_SIZE + CCS_FILE_NAME_SIZE) + 32)

/*
 * smb://server:port/share/folder/file; file NULL: the folder; folders 0: the share itself.
 * CCS_EINVAL for a file name that is not UTF-8, which no share can have.
 */
int agent_smb_url(const struct ccs_unc *unc, int folders, const char *file, char *out, size_t size);

#endif
