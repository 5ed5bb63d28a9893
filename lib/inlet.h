/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_INLET_H
#define CCS_INLET_H

/*
 * Where an SSL reads from, listened to until its owner has heard enough, and held back for as long
 * as the owner wants. For one connection; on the thread that runs its handshake.
 *
 * Listening is a callback of the BIO that the SSL has: it costs a few calls, and no memory. Only
 * what is held back needs a filter BIO in front of that one, and so does a BIO that has a callback
 * of the application's own.
 */

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum ccs_inlet_state {
    CCS_INLET_LISTEN, /* octets go through, and are heard */
    CCS_INLET_HOLD,   /* the last ones heard are kept, and all that follow */
    CCS_INLET_PASS    /* what is kept goes out again, the rest goes through unheard */
};

struct ccs_inlet;

struct ccs_inlet_owner {
    /* Hears len > 0 octets, borrowed, and says how to go on. */
    enum ccs_inlet_state (*heard)(struct ccs_inlet *inlet, const uint8_t *data, size_t len);

    /*
     * Before the state is CCS_INLET_PASS without the owner's doing: the client has gone, the
     * application took the BIO away, or there was no memory to hold anything.
     */
    void (*lost)(struct ccs_inlet *inlet);
};

struct ccs_inlet {
    const struct ccs_inlet_owner *owner;
    SSL *ssl;
    enum ccs_inlet_state state;
    BIO *tap;    /* borrowed: whose callback listens; or NULL */
    BIO *filter; /* borrowed from ssl; or NULL */
    uint8_t *held;
    size_t held_size, held_len, held_taken;
};

/* Nothing is listened to yet, and ccs_inlet_clear() need not be called. owner must outlive it. */
void ccs_inlet_init(struct ccs_inlet *inlet, SSL *ssl, const struct ccs_inlet_owner *owner);

/*
 * Begins to listen. Does nothing where it does already, and leaves the state at CCS_INLET_PASS
 * where there is no memory for it.
 */
void ccs_inlet_listen(struct ccs_inlet *inlet);

/* The owner wants nothing held any more. */
void ccs_inlet_pass(struct ccs_inlet *inlet);

/* Whether something stands between the SSL and its BIO, or listens there. */
int ccs_inlet_present(const struct ccs_inlet *inlet);

/*
 * Gives the SSL its own BIO back once there is nothing more to hold, so that kernel TLS and all
 * later reads see that one. Not from within a read.
 */
void ccs_inlet_leave(struct ccs_inlet *inlet);

/* What was kept is forgotten; the BIOs stay. */
void ccs_inlet_drop(struct ccs_inlet *inlet);

/* Before the inlet's memory goes: the BIOs forget it. */
void ccs_inlet_clear(struct ccs_inlet *inlet);

#endif
