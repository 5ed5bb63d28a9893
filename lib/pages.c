/* SPDX-License-Identifier: Apache-2.0 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "secret.h"

void *ccs_pages_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    /* A process without the right to lock that much serves all the same. */
    (void)mlock(p, size);
    (void)madvise(p, size, MADV_DONTDUMP);
    return p;
}

void ccs_pages_free(void *p, size_t size)
{
    if (p == NULL)
        return;
    ccs_wipe(p, size);
    (void)munmap(p, size);
}

static int failed(struct ccs_error *err, int errnum, const char *where)
{
    int code = CCS_EUNAVAIL;

    switch (errnum) {
    case EACCES:
    case EPERM:
        code = CCS_EACCESS;
        break;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
    case EISDIR:
        code = CCS_EINVAL;
        break;
    default:
        break;
    }
    return ccs_error_sys(err, code, errnum, "%s cannot be read", where);
}

/* Reads to the end of file, at most size octets. Returns an errno value. */
static int read_all(int fd, char *buf, size_t size, size_t *len)
{
    size_t have = 0;
    ssize_t n;

    while (have < size) {
        n = read(fd, buf + have, size - have);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        have += (size_t)n;
    }
    *len = have;
    return 0;
}

int ccs_pages_read(const char *path, const char *what, size_t max, char **buf, size_t *len,
                   char *where, struct ccs_error *err)
{
    const size_t size = max + 1; /* one octet more, so that a longer file shows */
    char shown[256];
    char *p = NULL;
    struct stat st;
    int errnum;
    int rv = CCS_OK;
    int fd;

    if (path == NULL || path[0] == '\0')
        return ccs_error_set(err, CCS_EINVAL, "the name of the %s is empty", what);
    (void)snprintf(where, CCS_PAGES_WHERE_SIZE, "%s \"%s\"", what,
                   ccs_printable(shown, sizeof(shown), path, strlen(path)));
    /* O_NONBLOCK: a FIFO in its place must not hang the server's start. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return failed(err, errno, where);
    if (fstat(fd, &st) != 0)
        rv = failed(err, errno, where);
    else if (!S_ISREG(st.st_mode))
        rv = ccs_error_set(err, CCS_EINVAL, "%s is not a regular file", where);
    if (rv != CCS_OK)
        goto out;
    p = ccs_pages_new(size);
    if (p == NULL) {
        rv = ccs_error_set(err, CCS_ENOMEM, "%s: no memory to read it", where);
        goto out;
    }
    errnum = read_all(fd, p, size, len);
    if (errnum != 0) {
        rv = failed(err, errnum, where);
        ccs_pages_free(p, size);
        goto out;
    }
    *buf = p;
out:
    (void)close(fd);
    return rv;
}
