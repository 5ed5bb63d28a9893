/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <stdbool.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ccs/ccs.h>

int ccs_notify_init(struct ccs_notify *n)
{
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&n->raised, false);
    return n->fd >= 0 ? CCS_OK : CCS_ENOMEM;
}

void ccs_notify_close(struct ccs_notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void ccs_notify_raise(struct ccs_notify *n)
{
    /* A full counter (EAGAIN) cannot happen with one write per clearing, and would be readable. */
    if (!atomic_exchange(&n->raised, true))
        (void)!eventfd_write(n->fd, 1);
}

void ccs_notify_clear(struct ccs_notify *n)
{
    eventfd_t value;

    /*
     * The flag goes down last. A raise in between finds it up and does nothing, but its work was
     * queued before, and whoever clears looks for work next. The other way round its write could be
     * read away here while the flag stays up, and the fd would never be readable again.
     */
    (void)!eventfd_read(n->fd, &value);
    atomic_store(&n->raised, false);
}
