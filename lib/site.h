/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SITE_H
#define CCS_SITE_H

/*
 * What one virtual server wants of a store. Immutable but for the instance it is bound to, and for
 * what it remembers.
 */

#include <ccs/openssl.h>

#include "name.h"
#include "settings.h"

#define CCS_SITE_SESSION_ID_SIZE 32 /* the most that OpenSSL takes as a session id context */

struct ccs_site_ids;

struct ccs_site {
    struct ccs *ccs; /* borrowed; NULL: not bound */
    enum ccs_unknown_name unknown_name;
    size_t default_len;
    char default_name[CCS_STEM_SIZE];           /* canonical; "" if there is none */
    uint8_t identity[CCS_SITE_SESSION_ID_SIZE]; /* digest of the session_id text and the store */
    struct ccs_site_ids *ids;                   /* session id contexts of names with a file */
};

/*
 * The session id context of handshakes for one name (canonical, or "") of a site: a digest that
 * differs for every other name, site text or store, and for sessions that were made with the
 * server's own certificate (own 1). out holds CCS_SITE_SESSION_ID_SIZE octets.
 */
int ccs_site_session_id(const struct ccs_site *site, int own, const char *name, size_t len,
                        uint8_t *out);

/*
 * The same with own 0, remembered for as many names as there is room for, because it is the
 * dearest part of a warm handshake that is the library's own. For names that have a file: those
 * that any client can make up would use the room up. Any thread, several at once.
 */
int ccs_site_session_id_of_file(const struct ccs_site *site, const char *name, size_t len,
                                uint8_t *out);

#endif
