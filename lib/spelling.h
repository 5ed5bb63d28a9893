/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SPELLING_H
#define CCS_SPELLING_H

/*
 * What one listing of the store tells: which files are spelled otherwise than their stem (upper
 * case, other Unicode spellings), so that they are found on a file system that tells case apart.
 * Files in plain spelling, as ccs_name_file() and ccs_name_file_unicode() give it, are asked for by
 * name and take no room here.
 */

#include <ccs/ccs.h>

#include "name.h"
#include "store.h"

struct ccs_spellings;

#define CCS_SPELLINGS_MAX 1000000 /* odd spellings kept; further ones are counted and not found */

struct ccs_spellings *ccs_spelling_new(void);
void ccs_spelling_free(struct ccs_spellings *spellings);

/*
 * Lists the store and takes the result in place of what was known, which stays if that fails. Any
 * thread; the listing runs with no lock held. changed (may be NULL) is called, with no lock held,
 * for every stem whose odd spellings came, went or changed since the last listing. CCS_EBUSY if
 * another thread is listing, or if more notes than can be kept came meanwhile.
 */
int ccs_spelling_scan(struct ccs_spellings *spellings, struct ccs_store *store,
                      void (*changed)(const char *stem, void *arg), void *arg,
                      struct ccs_error *err);

/* 1 once a listing has succeeded. */
int ccs_spelling_ready(struct ccs_spellings *spellings);

/* Waits until then, at most timeout_ms; 1 if it has. */
int ccs_spelling_wait_ready(struct ccs_spellings *spellings, int64_t timeout_ms);

/* One directory entry came (present 1) or went (0). Counts also while a listing is under way. */
void ccs_spelling_note(struct ccs_spellings *spellings, const char *file, int present);

/*
 * The odd spelling of a stem's file of this kind, if there is one: Unicode ones first, then in
 * byte order. out holds CCS_FILE_NAME_SIZE octets. CCS_OK or CCS_ENOTFOUND. *unicode (may be NULL)
 * tells whether it has U-labels.
 */
int ccs_spelling_find(struct ccs_spellings *spellings, const char *stem, enum ccs_file_kind kind,
                      char *out, int *unicode);

/* How many odd spellings it holds, and how many did not fit. */
void ccs_spelling_counts(struct ccs_spellings *spellings, size_t *held, size_t *left_out);

/* For tests: another bound than CCS_SPELLINGS_MAX. */
void ccs_spelling_set_limit(struct ccs_spellings *spellings, size_t max);

#endif
