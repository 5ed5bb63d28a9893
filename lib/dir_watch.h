/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_DIR_WATCH_H
#define CCS_DIR_WATCH_H

/* Notification of changes in one folder, by inotify. For one thread. */

#include <string.h>
#include <strings.h>

#include "name.h"
#include "store.h"

struct ccs_dir_watch {
    int fd;       /* -1: watches nothing, which is how to begin */
    char *events; /* room for one read */
};

/* Watches the folder that path names now, in place of what was watched. 0, or an errno value. */
int ccs_dir_watch_start(struct ccs_dir_watch *w, const char *path);

/* Tells what happened since, without waiting. After CCS_EVENT_ROOT_GONE nothing is watched. */
void ccs_dir_watch_read(struct ccs_dir_watch *w, const char *path, ccs_store_event_cb cb,
                        void *arg);

void ccs_dir_watch_end(struct ccs_dir_watch *w);
void ccs_dir_watch_free(struct ccs_dir_watch *w); /* what it holds, not *w */

/* Whether a directory entry's name is that of a file of a store. */
static inline int ccs_dir_is_pfx(const char *name, size_t len)
{
    return len > 4 && len <= CCS_FILE_NAME_MAX && strcasecmp(name + len - 4, ".pfx") == 0;
}

#endif
