/* SPDX-License-Identifier: Apache-2.0 */
#include "tmp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* How deep a test may nest folders; bounds the recursion. */
#define DEPTH_MAX 16

char *ccs_tmp_join(char *out, size_t size, const char *dir, const char *name)
{
    int n = snprintf(out, size, "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= size) {
        fail_msg("path too long: %s/%s", dir, name);
    }
    return out;
}

void ccs_tmp_make(struct ccs_tmp *tmp)
{
    const char *base = getenv("TMPDIR");

    ccs_tmp_join(tmp->path, sizeof(tmp->path), base != NULL && *base == '/' ? base : "/tmp",
                 "ccs-test-XXXXXX");
    if (mkdtemp(tmp->path) == NULL || chmod(tmp->path, 0755) != 0) {
        fail_msg("%s: %s", tmp->path, strerror(errno));
    }
}

static void remove_entries(int dirfd, int depth)
{
    struct dirent *entry;
    DIR *dir;
    int fd;

    dir = fdopendir(dirfd);
    if (dir == NULL) {
        close(dirfd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dirfd, entry->d_name, 0) == 0 || depth >= DEPTH_MAX) {
            continue;
        }
        /* What unlink refuses is a folder; a test may have closed it. */
        (void)!fchmodat(dirfd, entry->d_name, 0700, 0);
        fd = openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            remove_entries(fd, depth + 1);
        }
        (void)unlinkat(dirfd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

void ccs_tmp_remove(struct ccs_tmp *tmp)
{
    int fd;

    if (tmp->path[0] == '\0') {
        return;
    }
    if (getenv("CCS_TEST_KEEP") != NULL) {
        fprintf(stderr, "kept: %s\n", tmp->path);
        tmp->path[0] = '\0';
        return;
    }
    (void)chmod(tmp->path, 0700);
    fd = open(tmp->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        remove_entries(fd, 0);
    }
    if (rmdir(tmp->path) != 0) {
        fprintf(stderr, "%s: %s\n", tmp->path, strerror(errno));
    }
    tmp->path[0] = '\0';
}

void ccs_tmp_mkdir(const char *dir, const char *name)
{
    char path[512];

    ccs_tmp_join(path, sizeof(path), dir, name);
    if (mkdir(path, 0755) != 0 || chmod(path, 0755) != 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
}

void ccs_tmp_write(const char *dir, const char *name, const void *data, size_t len)
{
    const char *p = data;
    size_t done = 0;
    char path[512];
    ssize_t n = 0;
    int fd;

    ccs_tmp_join(path, sizeof(path), dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    while (done < len) {
        n = write(fd, p + done, len - done);
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    if (done < len || fchmod(fd, 0644) != 0) {
        close(fd);
        fail_msg("%s: %s", path, strerror(errno));
    }
    close(fd);
}

void ccs_tmp_print(const char *dir, const char *name, const char *text)
{
    ccs_tmp_write(dir, name, text, strlen(text));
}

void ccs_tmp_replace(const char *dir, const char *name, const void *data, size_t len)
{
    char from[512], to[512], beside[300];

    snprintf(beside, sizeof(beside), ".%.255s.tmp~", name);
    ccs_tmp_write(dir, beside, data, len);
    ccs_tmp_join(from, sizeof(from), dir, beside);
    ccs_tmp_join(to, sizeof(to), dir, name);
    if (rename(from, to) != 0) {
        fail_msg("%s: %s", to, strerror(errno));
    }
}

void ccs_tmp_unlink(const char *dir, const char *name)
{
    char path[512];

    ccs_tmp_join(path, sizeof(path), dir, name);
    if (unlink(path) != 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
}

char *ccs_tmp_read(const char *dir, const char *name, size_t *len)
{
    size_t size = 4096, used = 0;
    char path[512], *data, *more;
    ssize_t n;
    int fd;

    ccs_tmp_join(path, sizeof(path), dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    data = malloc(size);
    assert_non_null(data);
    while ((n = read(fd, data + used, size - used - 1)) > 0) {
        used += (size_t)n;
        if (size - used < 2) {
            size *= 2;
            more = realloc(data, size);
            assert_non_null(more);
            data = more;
        }
    }
    close(fd);
    data[used] = '\0';
    if (len != NULL) {
        *len = used;
    }
    return data;
}
