/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_REPORT_H
#define CCS_BENCH_REPORT_H

/* What a load has found, for people and for programs. Both sort the samples. */

#include <stdio.h>

#include "load.h"

void ccs_report_table(FILE *out, struct ccs_load_result *result);

/* One JSON object. 0, or -1 if it cannot be written. */
int ccs_report_json(FILE *out, struct ccs_load_result *result);

#endif
