/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_RECORD_H
#define CCS_RECORD_H

/*
 * All that was read for one stem, as octets: for each file its name, stamp and digest, and its
 * pairs of leaf and key. Chains refer to the table of intermediates; what is not there is inline.
 * The head of a record tells of the files and holds nothing secret.
 */

#include <ccs/ccs.h>

#include "intermediates.h"
#include "name.h"
#include "pkcs12.h"
#include "pool.h"
#include "secret.h"
#include "store.h"

#define CCS_RECORD_PARTS_MAX (CCS_FILE_KINDS * 2)

/* One file. */
struct ccs_record_part {
    char file[CCS_FILE_NAME_SIZE];
    enum ccs_file_kind kind;
    struct ccs_stamp stamp;
    uint8_t digest[32]; /* SHA-256 of the file */
    int password;       /* these three as in struct ccs_pfx */
    unsigned legacy, warnings;
    const struct ccs_pfx *pfx; /* to encode: the pairs, with the three above. Decoded: NULL */
};

/* What a decoded record says. All octets are borrowed: from the record, or from the arena. */
struct ccs_record {
    size_t part_count;
    struct ccs_record_part parts[CCS_RECORD_PARTS_MAX];
    struct ccs_pfx pfx[CCS_RECORD_PARTS_MAX]; /* never for ccs_pfx_free() */
};

/*
 * Appends a record of 1 to CCS_RECORD_PARTS_MAX parts to *out, which must be empty. *head_len: see
 * struct ccs_vault_item. content: a digest over the files' digests, kinds and names. CCS_EINVAL:
 * more than can be put down. CCS_ENOMEM, CCS_ESSL. table may be NULL: all chains are inline.
 */
int ccs_record_encode(const struct ccs_record_part *parts, size_t count,
                      struct ccs_intermediates *table, struct ccs_secret *out, size_t *head_len,
                      uint8_t content[CCS_POOL_CONTENT]);

/*
 * The whole record. out->parts[i].pfx points to out->pfx[i], which ccs_part_new() can take; data
 * and table must outlive its use. CCS_EDAMAGED for anything that the encoder did not write.
 */
int ccs_record_decode(const uint8_t *data, size_t len, const struct ccs_intermediates *table,
                      struct ccs_record *out);

/* The head alone: parts without pairs (pfx NULL). *count is written on CCS_OK only. */
int ccs_record_decode_head(const uint8_t *head, size_t len,
                           struct ccs_record_part parts[CCS_RECORD_PARTS_MAX], size_t *count);

#endif
