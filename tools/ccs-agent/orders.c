/* SPDX-License-Identifier: Apache-2.0 */
#include "orders.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ccs/ccs.h>

union one_fd {
    struct cmsghdr align;
    char octets[CMSG_SPACE(sizeof(int))];
};

const char *agent_role_name(enum agent_role role)
{
    static const char *const names[AGENT_ROLES] = {"broker", "worker", "watcher", "lister"};

    return role < AGENT_ROLES ? names[role] : "process";
}

int agent_order_send(int channel, const struct agent_order *order, int fd)
{
    union one_fd control;
    struct iovec iov = {(void *)(uintptr_t)order, sizeof(*order)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;
    ssize_t n;

    memset(&control, 0, sizeof(control));
    if (fd >= 0) {
        msg.msg_control = control.octets;
        msg.msg_controllen = sizeof(control.octets);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    do {
        n = sendmsg(channel, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(*order))
        return CCS_OK;
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? CCS_EBUSY : CCS_ECLOSED;
}

/* Room for one descriptor is, for alignment, room for two. Their number; one is kept in *fd. */
static size_t receive_all(const struct cmsghdr *c, int *fd)
{
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int next;

    for (size_t i = 0; i < count; i++) {
        memcpy(&next, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        if (*fd >= 0)
            close(*fd);
        *fd = next;
    }
    return count;
}

ssize_t agent_receive_fd(int channel, void *buf, size_t size, int *fd)
{
    union one_fd control;
    struct iovec iov = {buf, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.octets,
                         .msg_controllen = sizeof(control.octets)};
    struct cmsghdr *c;
    size_t count = 0;
    ssize_t n;

    *fd = -1;
    do {
        n = recvmsg(channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return n;
    for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            count += receive_all(c, fd);
    }
    /* There may be more of them, and the kernel closes what finds no room: all are unwanted. */
    if (*fd >= 0 && (count > 1 || (msg.msg_flags & MSG_CTRUNC) != 0)) {
        close(*fd);
        *fd = -1;
    }
    return n;
}

int agent_order_receive(int channel, struct agent_order *order, int *fd)
{
    const ssize_t n = agent_receive_fd(channel, order, sizeof(*order), fd);

    if (n == (ssize_t)sizeof(*order)) {
        order->text[sizeof(order->text) - 1] = '\0';
        return CCS_OK;
    }
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return n < 0 && errno == EAGAIN ? CCS_PENDING : CCS_ECLOSED;
}
