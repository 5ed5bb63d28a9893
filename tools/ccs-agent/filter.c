/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base.h"
#include "frame.h"

#define LOGON_WAIT_MS 3000
#define LOGON_STEP_MS 5

static struct agent_filter filter;
static struct agent_logon *filter_logon;

void agent_filter_setup(struct agent_logon *logon)
{
    filter_logon = logon;
}

void agent_filter_begin(void)
{
    filter = (struct agent_filter){0};
}

struct agent_filter *agent_filter(void)
{
    return &filter;
}

/* 1: go ahead. Another process's logon takes a moment, and then this one knows how it ended. */
static int filter_may_logon(void)
{
    const struct timespec step = {0, LOGON_STEP_MS * 1000000L};

    if (filter_logon == NULL || filter.logon)
        return 1;
    for (int waited = 0; waited < LOGON_WAIT_MS; waited += LOGON_STEP_MS) {
        switch (agent_logon_begin(filter_logon, getpid(), ccs_now_ms())) {
        case AGENT_LOGON_GO:
            filter.logon = 1;
            return 1;
        case AGENT_LOGON_HELD:
            return 0;
        case AGENT_LOGON_WAIT:
            nanosleep(&step, NULL);
            break;
        }
    }
    return 0;
}

/* 0, or the errno to fail with. */
static int filter_check(const struct iovec *iov, int count)
{
    switch (agent_frame_of(iov, count)) {
    case AGENT_FRAME_OTHER:
    case AGENT_FRAME_ECHO:
        return 0;
    case AGENT_FRAME_NEGOTIATE:
        if (!(filter.logon && filter.stage == AGENT_STAGE_LOGON))
            filter.stage = AGENT_STAGE_NEGOTIATE;
        return 0;
    case AGENT_FRAME_LOGON:
        /* A second logon that follows a first one at once would be a retry with what was refused.
         */
        if (filter.logon && filter.stage == AGENT_STAGE_LOGON)
            return EACCES;
        if (filter.held || !filter_may_logon()) {
            filter.held = 1;
            return EACCES;
        }
        filter.stage = AGENT_STAGE_LOGON;
        return 0;
    case AGENT_FRAME_LOGON_ON:
        filter.stage = AGENT_STAGE_LOGON;
        return 0;
    case AGENT_FRAME_SHARE:
        filter.stage = AGENT_STAGE_SHARE;
        return 0;
    case AGENT_FRAME_ENCRYPTED:
        filter.stage = AGENT_STAGE_WORK;
        filter.encrypted++;
        return 0;
    case AGENT_FRAME_PLAIN:
        filter.plain = 1;
        return EPROTO;
    }
    return EPROTO;
}

/* In place of the C library's writev(); it must be visible to the libraries of this process. */
__attribute__((visibility("default"))) ssize_t agent_filter_writev(int fd, const struct iovec *iov,
                                                                   int count) __asm__("writev");

ssize_t agent_filter_writev(int fd, const struct iovec *iov, int count)
{
    const int errnum = filter_check(iov, count);

    if (errnum != 0) {
        errno = errnum;
        return -1;
    }
    return (ssize_t)syscall(SYS_writev, fd, iov, count);
}
