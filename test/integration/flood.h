/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_FLOOD_H
#define CCS_TEST_FLOOD_H

/*
 * Very many clients that say hello with a made-up name, look at the first answer and go. Only TLS
 * 1.2 is offered, so that the certificate comes in the clear. From one thread, which may be another
 * one than that of the test: nothing here fails a test.
 */

#include <stdint.h>

#include <openssl/x509.h>

#define CCS_FLOOD_PARALLEL_MAX 256

struct ccs_flood {
    int port;
    unsigned count;     /* connections */
    unsigned parallel;  /* of them at a time */
    const char *domain; /* names are 16 random hexadecimal digits, a dot and this */
    const X509 *leaf;   /* the answer that counts as served; NULL: none does */
    uint64_t seed;      /* not 0 */

    /* What became of them. */
    unsigned served;      /* with that leaf */
    unsigned refused;     /* with the alert unrecognized_name */
    unsigned unavailable; /* with the alert internal_error */
    unsigned other;       /* anything else, no answer in time included */
    double ms;
};

/* 0, or -1 if not even the first hello can be made. */
int ccs_flood_run(struct ccs_flood *flood);

#endif
