/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_BENCH_MANY_H
#define CCS_BENCH_MANY_H

/*
 * A store of any number of hosts that is no folder: h0000000.bench.example.pfx and so on, and all
 * of its files hold the same. A name is as long in a small store as in a large one. It says that it
 * would notify, and never has anything to tell.
 */

#include <stdint.h>

#include "bench.h"
#include "index.h"

#define CCS_MANY_NAME_SIZE 64
#define CCS_MANY_MAX       10000000

/* New. The octets of its files are borrowed. */
struct ccs_store *ccs_many_open(uint64_t count, const struct ccs_pki_bytes *pfx);

/* The name of a host. Returns its length. */
size_t ccs_many_name(uint64_t number, char out[CCS_MANY_NAME_SIZE]);

/* The name of its file. */
size_t ccs_many_file(uint64_t number, char out[CCS_MANY_NAME_SIZE]);

#endif
