/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_FRAME_H
#define CCS_AGENT_FRAME_H

/* What an SMB client is about to send, told from the first octets of it. Pure. */

#include <stddef.h>
#include <sys/uio.h>

enum agent_frame {
    AGENT_FRAME_OTHER,     /* not SMB, or the rest of a frame that was begun before */
    AGENT_FRAME_ECHO,      /* keep-alive and cancellation, which carry nothing */
    AGENT_FRAME_NEGOTIATE, /* the first of a connection */
    AGENT_FRAME_LOGON,     /* the first of a logon */
    AGENT_FRAME_LOGON_ON,  /* further ones of the same logon */
    AGENT_FRAME_SHARE,     /* opens or leaves a share, ends a logon */
    AGENT_FRAME_ENCRYPTED,
    AGENT_FRAME_PLAIN /* would show names or contents to whoever listens */
};

enum agent_frame agent_frame_of(const struct iovec *iov, int count);

#endif
