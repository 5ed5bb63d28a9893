/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include <stdint.h>
#include <string.h>

#define NBT_HEADER  4
#define SMB2_HEADER 64
#define PEEK        (NBT_HEADER + SMB2_HEADER)

#define COMMAND_NEGOTIATE       0
#define COMMAND_SESSION_SETUP   1
#define COMMAND_TREE_DISCONNECT 4
#define COMMAND_CANCEL          12
#define COMMAND_ECHO            13

static size_t frame_peek(const struct iovec *iov, int count, uint8_t *out, size_t size)
{
    size_t len = 0;

    for (int i = 0; i < count && len < size; i++) {
        const size_t n = iov[i].iov_len < size - len ? iov[i].iov_len : size - len;

        if (n > 0)
            memcpy(out + len, iov[i].iov_base, n);
        len += n;
    }
    return len;
}

static uint64_t frame_number(const uint8_t *p, size_t octets)
{
    uint64_t value = 0;

    while (octets-- > 0)
        value = value << 8 | p[octets];
    return value;
}

enum agent_frame agent_frame_of(const struct iovec *iov, int count)
{
    uint8_t octets[PEEK];
    const size_t len = frame_peek(iov, count, octets, sizeof(octets));
    const uint8_t *smb = octets + NBT_HEADER;
    uint64_t command;

    if (len < NBT_HEADER + 4 || octets[0] != 0 || memcmp(smb + 1, "SMB", 3) != 0)
        return AGENT_FRAME_OTHER;
    if (smb[0] == 0xfd)
        return AGENT_FRAME_ENCRYPTED;
    /* The oldest protocol, a compressed frame, or a header in pieces: nothing that may be sent. */
    if (smb[0] != 0xfe || len < PEEK)
        return AGENT_FRAME_PLAIN;
    command = frame_number(smb + 12, 2);
    if (command == COMMAND_CANCEL || command == COMMAND_ECHO)
        return AGENT_FRAME_ECHO;
    /* What is chained to a command could be any other one. */
    if (command > COMMAND_TREE_DISCONNECT || frame_number(smb + 20, 4) != 0)
        return AGENT_FRAME_PLAIN;
    if (command == COMMAND_NEGOTIATE)
        return AGENT_FRAME_NEGOTIATE;
    if (command != COMMAND_SESSION_SETUP)
        return AGENT_FRAME_SHARE;
    return frame_number(smb + 40, 8) == 0 ? AGENT_FRAME_LOGON : AGENT_FRAME_LOGON_ON;
}
