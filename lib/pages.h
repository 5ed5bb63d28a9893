/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_PAGES_H
#define CCS_PAGES_H

/* Memory of its own pages for secrets that live long, and files of secrets read into it. */

#include <ccs/ccs.h>

/* Zeroed, locked where the system allows it, left out of core dumps. NULL: no memory. */
void *ccs_pages_new(size_t size);
void ccs_pages_free(void *p, size_t size); /* wipes; NULL allowed */

/* Room for the words that name a file in errors. */
#define CCS_PAGES_WHERE_SIZE 320

/*
 * Reads a regular file of secrets. *buf is new, of max + 1 octets, for ccs_pages_free(); *len is
 * max + 1 if the file is longer than max. what: "password file" or the like; where (may not be
 * NULL, CCS_PAGES_WHERE_SIZE octets) is written with CCS_OK and names it with its path.
 * CCS_EACCESS, CCS_EUNAVAIL (cannot be read now), CCS_EINVAL (no such regular file), CCS_ENOMEM.
 */
int ccs_pages_read(const char *path, const char *what, size_t max, char **buf, size_t *len,
                   char *where, struct ccs_error *err);

#endif
