/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_FILTER_H
#define CCS_AGENT_FILTER_H

/*
 * Looks at every frame before libsmbclient sends it. The library's own option for encryption is
 * not kept to: it goes on in plain text where the server does not encrypt. So frames that would
 * show names or contents are refused here, and logons are held back while they are bound to fail.
 * As a by-product it knows how far an operation got, which the library's errors do not tell.
 *
 * The library calls writev(), which this executable defines. Should a version of it send otherwise,
 * no encrypted frames would be counted, and callers must then believe no answer.
 *
 * For one thread, like the library.
 */

#include "logon.h"

enum agent_stage {
    AGENT_STAGE_NONE,      /* no connection */
    AGENT_STAGE_NEGOTIATE, /* the server was asked for protocol and encryption */
    AGENT_STAGE_LOGON,     /* the server was asked to accept user and password */
    AGENT_STAGE_SHARE,     /* it has accepted them, and was asked for the share */
    AGENT_STAGE_WORK       /* encrypted work */
};

struct agent_filter {
    enum agent_stage stage; /* the last one that a frame was sent in */
    unsigned encrypted;     /* encrypted frames sent */
    int plain;              /* a frame was refused because the connection is not encrypted */
    int held;               /* a logon was not tried */
    int logon;              /* this process is at a logon, agent_logon_finish() is due */
};

/* What logons are asked of; NULL (and before the first call): nothing is held back. */
void agent_filter_setup(struct agent_logon *logon);

/* Begins an operation: all counts at zero. */
void agent_filter_begin(void);

/* What was seen since. Borrowed. */
struct agent_filter *agent_filter(void);

#endif
