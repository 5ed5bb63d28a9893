/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_SITE_H
#define CCS_SITE_H

/* What one virtual server wants of a store. Immutable but for the instance it is bound to. */

#include <ccs/openssl.h>

#include "name.h"
#include "settings.h"

#define CCS_SITE_SESSION_ID_SIZE CCS_DIGEST_SIZE /* as much as OpenSSL takes */

struct ccs_site {
    struct ccs *ccs; /* borrowed; NULL: not bound */
    enum ccs_unknown_name unknown_name;
    size_t default_len;
    char default_name[CCS_STEM_SIZE];           /* canonical; "" if there is none */
    uint8_t identity[CCS_SITE_SESSION_ID_SIZE]; /* digest of the session_id text and the store */
};

/*
 * The session id context of handshakes for one name (canonical, or "") of a site: a digest that
 * differs for every other name, site text or store, and for sessions that were made with the
 * server's own certificate (own 1). out holds CCS_SITE_SESSION_ID_SIZE octets.
 */
int ccs_site_session_id(const struct ccs_site *site, int own, const char *name, size_t len,
                        uint8_t *out);

/*
 * The same with own 0 for a name whose ccs_name_digest() is known, as that of a credential is: of a
 * warm handshake's own work a digest would be the dearest part.
 */
void ccs_site_session_id_of(const struct ccs_site *site, const uint8_t *name_digest, uint8_t *out);

#endif
