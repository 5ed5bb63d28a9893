/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that is a folder of this machine's file systems, mounted shares included.
 *
 * The folder is opened by its path for every call and never kept open: a share that is mounted
 * there can be unmounted, and a folder that was replaced is noticed. Files are opened relative to
 * it, so that one call never mixes two folders.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dir_watch.h"
#include "error.h"

#define SHOWN        200 /* how much of a path or a name an error text shows */
#define OPEN_RETRIES 4

struct store_dir {
    struct ccs_store base;
    char *path;
    char shown[SHOWN]; /* path for messages */

    pthread_mutex_t lock; /* a leaf: guards the three below */
    int known;
    dev_t device;
    ino_t inode;

    struct ccs_dir_watch watch; /* the watch functions' thread only */
};

static struct store_dir *dir_of(struct ccs_store *store)
{
    return (struct store_dir *)(void *)store; /* base is the first member */
}

/* -- the folder ---------------------------------------------------------------------------- */

static int dir_root_error(const struct store_dir *dir, int errnum, struct ccs_error *err)
{
    switch (errnum) {
    case EACCES:
    case EPERM:
        return ccs_error_sys(err, CCS_EACCESS, errnum,
                             "user id %u may not use the store folder %s: give it the right to "
                             "read and search this folder and to search those above it",
                             (unsigned)geteuid(), dir->shown);
    case ENOENT:
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum, "the store folder %s does not exist",
                             dir->shown);
    case ENOTDIR:
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum, "the store %s is not a folder", dir->shown);
    default:
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum, "the store folder %s does not answer",
                             dir->shown);
    }
}

static DIR *dir_open_listing(int root)
{
    const int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d;
    int saved;

    if (fd < 0)
        return NULL;
    d = fdopendir(fd);
    if (d == NULL) {
        saved = errno;
        close(fd);
        errno = saved;
    }
    return d;
}

/* 1 if it holds a file of a store, 0 if not or if nobody can tell. */
static int dir_holds_pfx(int root)
{
    DIR *d = dir_open_listing(root);
    const struct dirent *e;
    int found = 0;

    if (d == NULL)
        return 0;
    while (!found && (e = readdir(d)) != NULL)
        found = ccs_dir_is_pfx(e->d_name, strlen(e->d_name));
    closedir(d);
    return found;
}

/*
 * A mount point without its share is an empty folder that answers every question with "no such
 * file". So another folder than the one before is believed only if it holds files of a store.
 */
static int dir_accept_root(struct store_dir *dir, int root, const struct stat *st,
                           struct ccs_error *err)
{
    int same;

    pthread_mutex_lock(&dir->lock);
    if (!dir->known) {
        dir->known = 1;
        dir->device = st->st_dev;
        dir->inode = st->st_ino;
    }
    same = dir->device == st->st_dev && dir->inode == st->st_ino;
    pthread_mutex_unlock(&dir->lock);
    if (same)
        return CCS_OK;
    if (!dir_holds_pfx(root)) {
        return ccs_error_set(err, CCS_EUNAVAIL,
                             "the store folder %s is empty and is not the folder that was there "
                             "before: is its file system still mounted?",
                             dir->shown);
    }
    pthread_mutex_lock(&dir->lock);
    dir->device = st->st_dev;
    dir->inode = st->st_ino;
    pthread_mutex_unlock(&dir->lock);
    return CCS_OK;
}

/* The folder's descriptor (O_PATH), or -1 with *rv and *err set. */
static int dir_open_root(struct store_dir *dir, struct stat *st, int *rv, struct ccs_error *err)
{
    const int root = open(dir->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0) {
        *rv = dir_root_error(dir, errno, err);
        return -1;
    }
    if (fstat(root, st) != 0) {
        *rv = dir_root_error(dir, errno, err);
        goto fail;
    }
    *rv = dir_accept_root(dir, root, st, err);
    if (*rv != CCS_OK)
        goto fail;
    return root;
fail:
    close(root);
    return -1;
}

/*
 * Whether the folder answers and may be used. statfs asks the server of a share where fstat may
 * be answered from a cache; a link count of 0 is a folder removed since it was opened.
 */
static int dir_check_root(const struct store_dir *dir, int root, struct statfs *fs,
                          struct ccs_error *err)
{
    struct stat st;

    if (fstatfs(root, fs) != 0 || fstat(root, &st) != 0 ||
        faccessat(root, ".", R_OK | X_OK, AT_EACCESS) != 0)
        return dir_root_error(dir, errno, err);
    return st.st_nlink == 0 ? dir_root_error(dir, ENOENT, err) : CCS_OK;
}

/* File systems that only this machine changes, and whose inotify tells of all that. */
static bool dir_is_local(uint64_t fs_type)
{
    static const uint64_t local[] = {
        0xef53,     /* ext2, ext3, ext4 */
        0x58465342, /* xfs */
        0x9123683e, /* btrfs */
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x2fc12fc1, /* zfs */
        0x794c7630, /* overlayfs */
        0xf2f52010, /* f2fs */
        0xca451a4e, /* bcachefs */
        0x3153464a, /* jfs */
    };

    for (size_t i = 0; i < CCS_ARRAY_LEN(local); i++) {
        if (fs_type == local[i])
            return true;
    }
    return false;
}

static int dir_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    struct store_dir *dir = dir_of(store);
    struct statfs fs;
    struct stat st;
    int rv;
    const int root = dir_open_root(dir, &st, &rv, err);

    if (root < 0)
        return rv;
    rv = dir_check_root(dir, root, &fs, err);
    close(root);
    if (rv == CCS_OK) {
        out->device = (uint64_t)st.st_dev;
        out->file_id = (uint64_t)st.st_ino;
        out->fs_type = (uint64_t)fs.f_type;
        out->notifies = dir_is_local(out->fs_type);
        out->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    return rv;
}

static int dir_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg, struct ccs_error *err)
{
    struct store_dir *dir = dir_of(store);
    const struct dirent *e;
    struct stat st;
    size_t len;
    int rv;
    DIR *d;
    const int root = dir_open_root(dir, &st, &rv, err);

    if (root < 0)
        return rv;
    d = dir_open_listing(root);
    if (d == NULL) {
        rv = dir_root_error(dir, errno, err);
        goto out;
    }
    for (;;) {
        errno = 0;
        e = readdir(d);
        if (e == NULL) {
            rv = errno != 0 ? dir_root_error(dir, errno, err) : CCS_OK;
            break;
        }
        len = strlen(e->d_name);
        if (ccs_dir_is_pfx(e->d_name, len) && cb(e->d_name, len, arg) != 0)
            break;
    }
    closedir(d);
out:
    close(root);
    return rv;
}

/* -- files --------------------------------------------------------------------------------- */

/* The folder cannot be used, so that nothing is known of any file in it. */
static int dir_unavailable(int code, struct ccs_error *err)
{
    if (code != CCS_EACCESS)
        return code;
    if (err != NULL)
        err->code = CCS_EUNAVAIL;
    return CCS_EUNAVAIL;
}

static int dir_open_beneath(int root, const char *file, int flags)
{
    struct open_how how;
    long fd = -1;

    memset(&how, 0, sizeof(how));
    how.flags = (uint64_t)(unsigned)flags;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    /* A link with ".." in it fails with EAGAIN when something was renamed at the same moment. */
    for (int i = 0; i < OPEN_RETRIES; i++) {
        fd = syscall(SYS_openat2, root, file, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return (int)fd;
    /* Kernels and system call filters without openat2: no links at all are safe. */
    return openat(root, file, flags | O_NOFOLLOW);
}

/* What went wrong with a file, after looking whether it is rather the folder that is to blame. */
static int dir_file_error(const struct store_dir *dir, int root, const char *file, int errnum,
                          struct ccs_error *err)
{
    struct statfs fs;
    char shown[SHOWN];
    int rv;

    switch (errnum) {
    case ENOENT:
    case ENAMETOOLONG:
    case EILSEQ:
    case EACCES:
    case EPERM:
        rv = dir_check_root(dir, root, &fs, err);
        if (rv != CCS_OK)
            return dir_unavailable(rv, err);
        if (errnum == EACCES || errnum == EPERM) {
            return ccs_error_sys(err, CCS_EACCESS, errnum,
                                 "user id %u may not read it, give it read permission",
                                 (unsigned)geteuid());
        }
        return ccs_error_sys(err, CCS_ENOTFOUND, errnum, "no such file in the store %s",
                             dir->shown);
    case EXDEV:
    case ELOOP:
    case ENOTDIR:
        return ccs_error_sys(err, CCS_EFILETYPE, errnum,
                             "it is a link that leads out of the store or nowhere, put the file "
                             "itself there");
    case ENXIO:
    case ENODEV:
    case EISDIR:
        return ccs_error_sys(err, CCS_EFILETYPE, errnum, "it is not a regular file");
    case EBUSY:
    case ETXTBSY:
    case EAGAIN:
        return ccs_error_sys(err, CCS_ECHANGED, errnum,
                             "another program holds it and may still be writing");
    case ENOMEM:
        return ccs_error_sys(err, CCS_ENOMEM, errnum, "it cannot be read");
    default:
        ccs_printable(shown, sizeof(shown), file, strlen(file));
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum,
                             "the store folder %s does not answer when asked for %s", dir->shown,
                             shown);
    }
}

static void dir_stamp(const struct stat *st, struct ccs_stamp *out)
{
    out->size = (uint64_t)st->st_size;
    out->file_id = (uint64_t)st->st_ino;
    out->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    out->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

/*
 * Opens the folder and the regular file in it. On CCS_OK *root and *fd are the caller's and *st is
 * the file's; otherwise nothing is open.
 */
static int dir_open_file(struct store_dir *dir, const char *file, int flags, int *root, int *fd,
                         struct stat *st, struct ccs_error *err)
{
    int rv;

    *fd = -1;
    *root = dir_open_root(dir, st, &rv, err);
    if (*root < 0)
        return dir_unavailable(rv, err);
    *fd = dir_open_beneath(*root, file, flags);
    if (*fd < 0 || fstat(*fd, st) != 0) {
        rv = dir_file_error(dir, *root, file, errno, err);
        goto fail;
    }
    if (!S_ISREG(st->st_mode)) {
        rv = ccs_error_set(err, CCS_EFILETYPE, "it is not a regular file");
        goto fail;
    }
    return CCS_OK;
fail:
    if (*fd >= 0)
        close(*fd);
    close(*root);
    return rv;
}

static int dir_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                    struct ccs_error *err)
{
    struct stat st;
    int root;
    int fd;
    const int rv = dir_open_file(dir_of(store), file, O_PATH | O_CLOEXEC, &root, &fd, &st, err);

    if (rv == CCS_OK) {
        dir_stamp(&st, out);
        close(fd);
        close(root);
    }
    return rv;
}

/* Reads size octets into data; 0, or an errno. A file that ends earlier gives fewer. */
static int dir_read_all(int fd, size_t size, struct ccs_secret *data)
{
    ssize_t n;

    if (ccs_secret_reserve(data, size) != CCS_OK)
        return ENOMEM;
    while (data->len < size) {
        n = pread(fd, data->data + data->len, size - data->len, (off_t)data->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        data->len += (size_t)n;
    }
    data->data[data->len] = '\0';
    return 0;
}

static int dir_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                    struct ccs_stamp *out, struct ccs_error *err)
{
    struct store_dir *dir = dir_of(store);
    struct ccs_stamp after;
    struct stat st;
    int errnum;
    int root;
    int fd;
    int rv;

    /* O_NONBLOCK: a FIFO or a lease of another program must not hold the thread. */
    rv = dir_open_file(dir, file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, &root, &fd, &st,
                       err);
    if (rv != CCS_OK)
        return rv;
    dir_stamp(&st, out);
    if (st.st_size == 0) {
        rv = ccs_error_set(err, CCS_EINCOMPLETE, "it is empty");
        goto out;
    }
    if (out->size > max) {
        rv = ccs_error_set(err, CCS_ETOOBIG, "it has %llu octets, but at most %zu are read",
                           (unsigned long long)out->size, max);
        goto out;
    }
    errnum = dir_read_all(fd, (size_t)st.st_size, data);
    if (errnum == 0 && fstat(fd, &st) != 0)
        errnum = errno;
    if (errnum != 0) {
        rv = dir_file_error(dir, root, file, errnum, err);
        goto out;
    }
    dir_stamp(&st, &after);
    if (data->len != out->size || !ccs_stamp_equal(out, &after))
        rv = ccs_error_set(err, CCS_ECHANGED, "it changed while it was read");
out:
    if (rv != CCS_OK)
        ccs_secret_free(data);
    close(fd);
    close(root);
    return rv;
}

/* -- watching ------------------------------------------------------------------------------ */

static int dir_watch_fd(struct ccs_store *store)
{
    return dir_of(store)->watch.fd;
}

static int dir_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    struct store_dir *dir = dir_of(store);
    struct stat st;
    int root;
    int rv;

    ccs_dir_watch_end(&dir->watch);
    root = dir_open_root(dir, &st, &rv, err);
    if (root < 0)
        return rv;
    close(root);
    rv = ccs_dir_watch_start(&dir->watch, dir->path);
    switch (rv) {
    case 0:
        return CCS_OK;
    case ENOMEM:
        return ccs_error_sys(err, CCS_ENOMEM, rv, "the store %s cannot be watched", dir->shown);
    case EMFILE:
    case ENOSPC:
        return ccs_error_sys(err, CCS_EUNAVAIL, rv,
                             "the store %s cannot be watched, the system's limits "
                             "fs.inotify.max_user_instances or max_user_watches are too low",
                             dir->shown);
    default:
        return dir_root_error(dir, rv, err);
    }
}

static void dir_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    struct store_dir *dir = dir_of(store);

    ccs_dir_watch_read(&dir->watch, dir->path, cb, arg);
}

/* -- life ---------------------------------------------------------------------------------- */

static void dir_close(struct ccs_store *store)
{
    struct store_dir *dir = dir_of(store);

    ccs_dir_watch_free(&dir->watch);
    pthread_mutex_destroy(&dir->lock);
    free(dir->path);
    free(dir);
}

static const struct ccs_store_ops dir_ops = {
    .list = dir_list,
    .stat = dir_stat,
    .read = dir_read,
    .probe = dir_probe,
    .watch_fd = dir_watch_fd,
    .watch_start = dir_watch_start,
    .watch_read = dir_watch_read,
    .close = dir_close,
};

/* An absolute path, so that a server that changes its working directory keeps its store. */
static char *dir_absolute(const char *path)
{
    char *cwd = path[0] != '/' ? getcwd(NULL, 0) : NULL;
    char *abs = NULL;

    if (cwd == NULL)
        return strdup(path);
    if (asprintf(&abs, "%s/%s", cwd, path) < 0)
        abs = NULL;
    free(cwd);
    return abs;
}

int ccs_store_dir_open(const char *path, struct ccs_store **out, struct ccs_error *err)
{
    struct store_dir *dir;
    char shown[SHOWN];

    if (path == NULL || path[0] == '\0' || strlen(path) >= PATH_MAX) {
        return ccs_error_set(
            err, CCS_EINVAL, "\"%s\" is not the path of a folder",
            path == NULL ? "" : ccs_printable(shown, sizeof(shown), path, strlen(path)));
    }
    dir = calloc(1, sizeof(*dir));
    if (dir == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    dir->path = dir_absolute(path);
    if (dir->path == NULL || pthread_mutex_init(&dir->lock, NULL) != 0) {
        free(dir->path);
        free(dir);
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    }
    ccs_printable(dir->shown, sizeof(dir->shown), path, strlen(path));
    dir->base.ops = &dir_ops;
    dir->watch.fd = -1;
    *out = &dir->base;
    return CCS_OK;
}
