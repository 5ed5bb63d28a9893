/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_TMP_H
#define CCS_TEST_TMP_H

/*
 * Folders and files that a test makes and removes. What cannot be done fails the running test.
 */

#include <stddef.h>

#include "wait.h"

struct ccs_tmp {
    char path[200]; /* absolute; empty when there is none */
};

/* New empty folder under $TMPDIR or /tmp, mode 0755, so that a server under another user gets in.
 */
void ccs_tmp_make(struct ccs_tmp *tmp);

/* Removes it with all that is in it, whatever its mode. Safe to call twice or on a zeroed one. */
void ccs_tmp_remove(struct ccs_tmp *tmp);

/* New sub-folder, mode 0755. */
void ccs_tmp_mkdir(const char *dir, const char *name);

/* Writes "dir/name" into out; returns out. */
char *ccs_tmp_join(char *out, size_t size, const char *dir, const char *name);

/* Makes the file, mode 0644, or rewrites the one that is there in place, keeping its inode. */
void ccs_tmp_write(const char *dir, const char *name, const void *data, size_t len);

/* The same with a text. */
void ccs_tmp_print(const char *dir, const char *name, const char *text);

/* Writes beside it and renames over it, as careful programs do. */
void ccs_tmp_replace(const char *dir, const char *name, const void *data, size_t len);

/* Removes one file; it must exist. */
void ccs_tmp_unlink(const char *dir, const char *name);

/* New NUL-terminated contents, or NULL if there is no such file; len may be NULL. */
char *ccs_tmp_read(const char *dir, const char *name, size_t *len);

#endif
