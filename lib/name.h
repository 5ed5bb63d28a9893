/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_NAME_H
#define CCS_NAME_H

/*
 * Host names and the names of their files. Pure functions, no I/O.
 *
 * A *canonical name* is a host name as the store may hold it: lower-case letters, digits, hyphens
 * and underscores, labels of 1 to 63 octets, 253 in all, A-labels for international names (RFC
 * 5890), no dot at the end. A *stem* is a canonical name, or "_." and a canonical name for a
 * wildcard; it is what a file is called without ".pfx" and without a key type.
 */

#include <ccs/ccs.h>

#include "base.h"
#include "digest.h"

#define CCS_NAME_MAX       253
#define CCS_STEM_SIZE      (2 + CCS_NAME_MAX + 1) /* "_.", a canonical name, NUL */
#define CCS_FILE_NAME_MAX  255 /* longest file name that is considered, in octets */
#define CCS_FILE_NAME_SIZE (CCS_FILE_NAME_MAX + 1)

/*
 * Host name as a client sent it -> canonical name: upper case folded, one trailing dot dropped.
 * CCS_ENAME for anything else that is not canonical, for IP literals (last label all digits, or
 * 0x…), a first label of just "_", and a last label "rsa" or "ecdsa", which file names use for key
 * types. out holds CCS_STEM_SIZE octets; written on CCS_OK only; *out_len may be NULL.
 */
int ccs_name_canonical(const char *name, size_t len, char *out, size_t *out_len);

/*
 * Stem of the wildcard that covers a canonical name: first label replaced by "_". CCS_ENAME for a
 * name of one label, or one too long for it. out as above.
 */
int ccs_name_wildcard(const char *canonical, size_t len, char *out, size_t *out_len);

/*
 * Digest of a canonical name or stem ("" too), another one with own than without. out holds
 * CCS_DIGEST_SIZE octets. CCS_EINVAL if it is too long, CCS_ESSL.
 */
int ccs_name_digest(int own, const char *name, size_t len, uint8_t *out);

/* Kinds of files that a stem can have. */
enum ccs_file_kind { CCS_FILE_ANY, CCS_FILE_RSA, CCS_FILE_ECDSA, CCS_FILE_KINDS };

/*
 * Name of a stem's file: "<stem>.pfx", "<stem>.rsa.pfx", "<stem>.ecdsa.pfx". CCS_ENAME if longer
 * than CCS_FILE_NAME_MAX. out holds CCS_FILE_NAME_SIZE octets.
 */
int ccs_name_file(const char *stem, enum ccs_file_kind kind, char *out);

/*
 * The same with the stem's A-labels written as U-labels (UTF-8, NFC). CCS_ENOTFOUND if the stem has
 * none, or one that is not the A-label of its own U-label. CCS_ENOMEM.
 */
int ccs_name_file_unicode(const char *stem, enum ccs_file_kind kind, char *out);

/*
 * Name of a directory entry -> its stem and kind. Letters compare without case, U-labels become
 * A-labels (non-transitional IDNA 2008, libidn2), in NFC or not. *unicode tells whether there were
 * any. CCS_ENAME if such a file cannot belong to a store: other ending, not a stem. CCS_ENOMEM. out
 * holds CCS_STEM_SIZE octets; outputs are written on CCS_OK only.
 */
int ccs_name_from_file(const char *file, size_t len, char *out, enum ccs_file_kind *kind,
                       int *unicode);

#endif
