/* SPDX-License-Identifier: Apache-2.0 */
#include "dir_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_SIZE 65536
#define WATCHED_KINDS                                                                              \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |    \
     IN_ATTRIB | IN_CREATE | IN_ONLYDIR | IN_EXCL_UNLINK)

void ccs_dir_watch_end(struct ccs_dir_watch *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        w->fd = -1;
    }
}

void ccs_dir_watch_free(struct ccs_dir_watch *w)
{
    ccs_dir_watch_end(w);
    free(w->events);
    w->events = NULL;
}

int ccs_dir_watch_start(struct ccs_dir_watch *w, const char *path)
{
    int rc;

    ccs_dir_watch_end(w);
    if (w->events == NULL) {
        w->events = malloc(EVENTS_SIZE);
        if (w->events == NULL)
            return ENOMEM;
    }
    /* A new descriptor each time: events of what was watched before are gone with the old one. */
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0)
        return errno;
    if (inotify_add_watch(w->fd, path, WATCHED_KINDS) < 0) {
        rc = errno;
        ccs_dir_watch_end(w);
        return rc;
    }
    return 0;
}

/*
 * A file that is created by writing it counts when it is closed. A link is complete at once, and
 * its creation is all that is ever told of it.
 */
static int watch_is_new_link(const char *path, const char *file)
{
    const int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    int rc;

    if (root < 0)
        return 0;
    rc = fstatat(root, file, &st, AT_SYMLINK_NOFOLLOW);
    close(root);
    return rc == 0 && (S_ISLNK(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink > 1));
}

/* One event of the kernel. 0 if it was the last one because the folder is gone. */
static int watch_event(const char *path, uint32_t mask, const char *file, ccs_store_event_cb cb,
                       void *arg)
{
    if (mask & IN_Q_OVERFLOW) {
        cb(CCS_EVENT_OVERFLOW, NULL, arg);
        return 1;
    }
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
        cb(CCS_EVENT_ROOT_GONE, NULL, arg);
        return 0;
    }
    if (file[0] == '\0') {
        /* Permissions of the folder itself: any file may have become readable. */
        if (mask & IN_ATTRIB)
            cb(CCS_EVENT_OVERFLOW, NULL, arg);
        return 1;
    }
    if ((mask & IN_ISDIR) || !ccs_dir_is_pfx(file, strlen(file)))
        return 1;
    if (mask & (IN_MOVED_FROM | IN_DELETE))
        cb(CCS_EVENT_REMOVED, file, arg);
    else if ((mask & (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB)) || watch_is_new_link(path, file))
        cb(CCS_EVENT_ARRIVED, file, arg);
    return 1;
}

void ccs_dir_watch_read(struct ccs_dir_watch *w, const char *path, ccs_store_event_cb cb, void *arg)
{
    struct inotify_event e;
    const char *file;
    size_t left;
    ssize_t n;

    if (w->fd < 0)
        return;
    n = read(w->fd, w->events, EVENTS_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        ccs_dir_watch_end(w);
        cb(CCS_EVENT_ROOT_GONE, NULL, arg);
        return;
    }
    left = (size_t)n;
    for (const char *p = w->events; left >= sizeof(e); p += e.len, left -= e.len) {
        memcpy(&e, p, sizeof(e));
        p += sizeof(e);
        left -= sizeof(e);
        if (e.len > left)
            break;
        file = e.len > 0 && memchr(p, '\0', e.len) != NULL ? p : "";
        if (!watch_event(path, e.mask, file, cb, arg)) {
            ccs_dir_watch_end(w);
            break;
        }
    }
}
