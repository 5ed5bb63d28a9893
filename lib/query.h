/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_QUERY_H
#define CCS_QUERY_H

/*
 * A host name, the two stems that may answer for it, and what memory knows of them: this process's
 * credentials and failures, and the index of what is in the store. Nothing here waits.
 */

#include <stdbool.h>

#include <ccs/ccs.h>

#include "name.h"

struct ccs_query {
    char exact[CCS_STEM_SIZE];
    char wildcard[CCS_STEM_SIZE]; /* "" if the name can have none, or until it is needed */
    size_t exact_len, wildcard_len;
    uint64_t exact_hash, wildcard_hash;
};

/* Of a name as a client sent it, or of a canonical one, which is taken as it is. CCS_ENAME. */
int ccs_query_init(const struct ccs *ccs, const char *name, size_t len, struct ccs_query *q);
void ccs_query_init_canonical(const struct ccs *ccs, const char *name, size_t len,
                              struct ccs_query *q);

enum ccs_stage { CCS_STAGE_EXACT, CCS_STAGE_WILDCARD };

/* What is to be loaded, because memory does not know. */
struct ccs_missing {
    enum ccs_stage stage;
    struct ccs_error exact; /* why the exact stem does not serve; unless the stage is that */
    bool unsure;            /* nobody knows whether there is a file */
};

/* The answer from memory: *out is filled. CCS_PENDING: there is none, *missing is filled. */
int ccs_query_look_up(struct ccs *ccs, struct ccs_query *q, struct ccs_answer *out,
                      struct ccs_missing *missing);

/*
 * The same of the wildcard alone, the exact stem not serving for that reason. While the store is
 * away that may be one which other processes have; it is not read from the store then.
 */
int ccs_query_look_up_wildcard(struct ccs *ccs, struct ccs_query *q, struct ccs_answer *out,
                               const struct ccs_error *exact, bool *unsure);

/* The more telling of two failures: "not found" only if neither stem has a file. */
const struct ccs_error *ccs_query_worse(const struct ccs_error *exact,
                                        const struct ccs_error *wildcard);

/* Fill an answer without a credential; they return the code. */
int ccs_answer_failure(struct ccs_answer *out, const struct ccs_error *error);
int ccs_answer_code(struct ccs_answer *out, int code, const char *text);

#endif
