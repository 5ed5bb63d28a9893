/* SPDX-License-Identifier: Apache-2.0 */
#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "secret.h"

int agent_inherited_is_there(void)
{
    socklen_t len = sizeof(int);
    struct stat st;
    int type = 0;

    return getsockopt(CCS_AGENT_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           type == SOCK_SEQPACKET && fstat(CCS_AGENT_FD_SETUP, &st) == 0 && S_ISFIFO(st.st_mode) &&
           fstat(CCS_AGENT_FD_REPORT, &st) == 0 && S_ISFIFO(st.st_mode);
}

int agent_inherited_setup(struct ccs_agent_setup *out, struct ccs_error *err)
{
    static uint8_t block[CCS_AGENT_SETUP_MAX];
    size_t len = 0;
    ssize_t n;
    int rv;

    (void)fcntl(CCS_AGENT_FD_CONTROL, F_SETFD, FD_CLOEXEC);
    (void)fcntl(CCS_AGENT_FD_REPORT, F_SETFD, FD_CLOEXEC);
    for (;;) {
        n = read(CCS_AGENT_FD_SETUP, block + len, sizeof(block) - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(CCS_AGENT_FD_SETUP);
    rv = n < 0 ? CCS_EINVAL : ccs_agent_setup_decode(block, len, out);
    ccs_wipe(block, sizeof(block));
    if (rv == CCS_OK)
        return CCS_OK;
    return ccs_error_set(err, CCS_EINVAL,
                         "it was not told what to do, or by another version of libccs");
}

void agent_inherited_report(int fd, const char *error)
{
    char text[CCS_AGENT_REPORT_MAX];
    const size_t len = ccs_agent_report_encode((int32_t)getpid(), error, text);
    size_t sent = 0;
    ssize_t n;

    while (sent < len) {
        n = write(fd, text + sent, len - sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    close(fd);
}
