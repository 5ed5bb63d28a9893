/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SECRET_H
#define CCS_SECRET_H

#include <ccs/ccs.h>

#include "base.h"

/* Overwrites memory in a way the compiler may not leave out. NULL with len 0 allowed. */
void ccs_wipe(void *p, size_t len);

/* A buffer that is wiped whenever its memory is given back. Zero-initialised it is empty. */
struct ccs_secret {
    uint8_t *data; /* NULL while empty; one NUL follows the last byte */
    size_t len;
    size_t size; /* room in data, that NUL not counted */
};

int ccs_secret_reserve(struct ccs_secret *s,
                       size_t size); /* CCS_OK or CCS_ENOMEM; keeps contents */
int ccs_secret_append(struct ccs_secret *s, const void *p, size_t len);
void ccs_secret_free(struct ccs_secret *s); /* leaves it empty and usable */

/*
 * Passwords in the order in which they are tried. Immutable and counted. Their memory is locked
 * where the system allows it and left out of core dumps.
 */
struct ccs_passwords;

#define CCS_PASSWORDS_MAX    64
#define CCS_PASSWORD_LEN_MAX 1024

/*
 * Reads one password per line (LF or CRLF, a UTF-8 byte order mark is skipped, empty lines do not
 * count, anything else in a line belongs to the password). *out is new; a file may hold no password
 * at all. CCS_EACCESS, CCS_EUNAVAIL (cannot be read now) or CCS_EINVAL (no such regular file, or
 * not one of passwords) name the file and the line, and never its contents.
 */
int ccs_passwords_read(const char *path, struct ccs_passwords **out, struct ccs_error *err);

/* The same from memory that is copied. */
int ccs_passwords_parse(const void *text, size_t len, struct ccs_passwords **out,
                        struct ccs_error *err);

struct ccs_passwords *ccs_passwords_ref(struct ccs_passwords *p); /* NULL allowed */
void ccs_passwords_unref(struct ccs_passwords *p);

size_t ccs_passwords_count(const struct ccs_passwords *p); /* 0 for NULL */

/* Password i, UTF-8 as it was written, NUL-terminated; borrowed from p. */
const char *ccs_passwords_get(const struct ccs_passwords *p, size_t i, size_t *len);

/* 1 if both hold the same passwords in the same order. */
int ccs_passwords_equal(const struct ccs_passwords *a, const struct ccs_passwords *b);

#endif
