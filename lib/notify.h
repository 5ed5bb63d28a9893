/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_NOTIFY_H
#define CCS_NOTIFY_H

#include <stdatomic.h>

#include "base.h"

/* One eventfd that is readable while there is work, written at most once until it is cleared. */
struct ccs_notify {
    int fd;
    atomic_bool raised;
};

int ccs_notify_init(struct ccs_notify *n); /* CCS_OK, or CCS_ENOMEM with errno */
void ccs_notify_close(struct ccs_notify *n);
void ccs_notify_raise(struct ccs_notify *n); /* any thread; never blocks */
void ccs_notify_clear(struct ccs_notify *n); /* call before looking for work, not after */

#endif
