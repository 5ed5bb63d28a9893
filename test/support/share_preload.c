/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a server under test, this makes local folders look like those of other file
 * systems. The environment variable CCS_TEST_SHARE says how, in any of these words:
 *
 *   silent    a share: it can be watched, but nothing is told of what happens in it
 *   deaf      it is local, but cannot be watched: the system's limits are reached
 *   coarse    the times of files and folders are whole seconds
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define SMB_TYPE 0xfe534d42

#define VISIBLE __attribute__((visibility("default")))

static int (*real_add_watch)(int fd, const char *path, uint32_t mask);
static int (*real_fstatfs)(int fd, struct statfs *out);
static int (*real_fstat)(int fd, struct stat *out);
static int silent, deaf, coarse;

__attribute__((constructor)) static void share_start(void)
{
    const char *how = getenv("CCS_TEST_SHARE");

    *(void **)&real_add_watch = dlsym(RTLD_NEXT, "inotify_add_watch");
    *(void **)&real_fstatfs = dlsym(RTLD_NEXT, "fstatfs");
    *(void **)&real_fstat = dlsym(RTLD_NEXT, "fstat");
    if (how != NULL) {
        silent = strstr(how, "silent") != NULL;
        deaf = strstr(how, "deaf") != NULL;
        coarse = strstr(how, "coarse") != NULL;
    }
}

VISIBLE int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (deaf) {
        errno = ENOSPC;
        return -1;
    }
    /* The kernel wants to be asked for something. */
    return real_add_watch(fd, path, silent ? (mask & IN_ONLYDIR) | IN_MOVE_SELF : mask);
}

VISIBLE int fstatfs(int fd, struct statfs *out)
{
    const int rc = real_fstatfs(fd, out);

    if (rc == 0 && silent) {
        out->f_type = SMB_TYPE;
    }
    return rc;
}

VISIBLE int fstat(int fd, struct stat *out)
{
    const int rc = real_fstat(fd, out);

    if (rc == 0 && coarse) {
        out->st_mtim.tv_nsec = 0;
        out->st_ctim.tv_nsec = 0;
    }
    return rc;
}

/* What programs with 64-bit files call; here it is the same. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64) &&
                   sizeof(struct statfs) == sizeof(struct statfs64),
               "file offsets of 64 bits");

VISIBLE int fstatfs64(int fd, struct statfs64 *out)
{
    return fstatfs(fd, (struct statfs *)(void *)out);
}

VISIBLE int fstat64(int fd, struct stat64 *out)
{
    return fstat(fd, (struct stat *)(void *)out);
}
