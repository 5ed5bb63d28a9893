/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base.h"
#include "digest.h"
#include "error.h"
#include "site.h"

/* The length in front of each text keeps ("ab", "c") and ("a", "bc") apart. */
static uint8_t *site_put(uint8_t *to, const char *text, size_t len)
{
    uint64_t size = len;

    for (int i = 0; i < 8; i++)
        *to++ = (uint8_t)(size >> (8 * i));
    memcpy(to, text, len);
    return to + len;
}

static int site_identify(struct ccs_site *site, const char *session_id, const char *store)
{
    size_t id_len = strlen(session_id), store_len = strlen(store);
    uint8_t *text = malloc(id_len + store_len + 16), *end;
    int rv;

    if (text == NULL)
        return CCS_ENOMEM;
    end = site_put(text, session_id, id_len);
    end = site_put(end, store, store_len);
    rv = ccs_digest(text, (size_t)(end - text), site->identity);
    free(text);
    return rv;
}

struct ccs_site *ccs_site_new(const struct ccs_config *cfg, const char *session_id,
                              struct ccs_error *err)
{
    struct ccs_settings settings;
    struct ccs_site *site;
    int rv;

    if (cfg == NULL || session_id == NULL) {
        ccs_error_set(err, CCS_EINVAL, "a site needs a configuration and a session_id text");
        return NULL;
    }
    ccs_config_values(cfg, &settings);
    site = calloc(1, sizeof(*site));
    if (site == NULL) {
        ccs_error_set(err, CCS_ENOMEM, "no memory for a site");
        return NULL;
    }
    site->unknown_name = settings.unknown_name;
    if (settings.default_name != NULL) {
        rv = ccs_name_canonical(settings.default_name, strlen(settings.default_name),
                                site->default_name, &site->default_len);
        if (rv != CCS_OK) {
            ccs_error_set(err, CCS_EINVAL, "default_name \"%.253s\" is not a host name",
                          settings.default_name);
            goto fail;
        }
    }
    rv = site_identify(site, session_id, settings.store != NULL ? settings.store : "");
    if (rv != CCS_OK) {
        ccs_error_set(err, rv,
                      rv == CCS_ENOMEM ? "no memory for a site"
                                       : "OpenSSL offers no SHA-256: check its configuration");
        goto fail;
    }
    return site;

fail:
    ccs_site_free(site);
    return NULL;
}

void ccs_site_free(struct ccs_site *site)
{
    free(site);
}

void ccs_site_bind(struct ccs_site *site, struct ccs *ccs)
{
    site->ccs = ccs;
}

/*
 * Both halves are digests of texts that nobody can choose at will for a given result, so that two
 * different pairs of site and name do not come to the same context.
 */
CCS_WARM void ccs_site_session_id_of(const struct ccs_site *site, const uint8_t *name_digest,
                                     uint8_t *out)
{
    for (size_t i = 0; i < CCS_SITE_SESSION_ID_SIZE; i++)
        out[i] = site->identity[i] ^ name_digest[i];
}

int ccs_site_session_id(const struct ccs_site *site, int own, const char *name, size_t len,
                        uint8_t *out)
{
    uint8_t digest[CCS_DIGEST_SIZE];
    int rv = ccs_name_digest(own, name, len, digest);

    if (rv == CCS_OK)
        ccs_site_session_id_of(site, digest, out);
    return rv;
}
