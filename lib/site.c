/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "site.h"

#define SITE_IDS 1024 /* a power of two */

struct site_id {
    uint8_t id[CCS_SITE_SESSION_ID_SIZE];
    size_t len;
    char name[];
};

/*
 * Each place is filled once and never changes after that, so that handshakes on any thread read it
 * without a lock. A name whose place is another's is computed each time.
 */
struct ccs_site_ids {
    _Atomic(struct site_id *) places[SITE_IDS];
};

/*
 * Fetched once, because a fetch costs more than the digest of a name. It is never given back: a
 * process keeps its sites to the end, and OpenSSL's own clean-up may run before theirs.
 */
static pthread_once_t site_once = PTHREAD_ONCE_INIT;
static EVP_MD *site_sha256;

static void site_init(void)
{
    ERR_set_mark();
    site_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ERR_pop_to_mark();
}

static int site_digest(const void *data, size_t len, uint8_t *out)
{
    int ok;

    if (pthread_once(&site_once, site_init) != 0 || site_sha256 == NULL)
        return CCS_ESSL;
    ERR_set_mark();
    ok = EVP_Digest(data, len, out, NULL, site_sha256, NULL);
    ERR_pop_to_mark();
    return ok == 1 ? CCS_OK : CCS_ESSL;
}

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
    rv = site_digest(text, (size_t)(end - text), site->identity);
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
    if (site == NULL || (site->ids = calloc(1, sizeof(*site->ids))) == NULL) {
        ccs_error_set(err, CCS_ENOMEM, "no memory for a site");
        free(site);
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
    if (site == NULL)
        return;
    for (size_t i = 0; i < SITE_IDS; i++)
        free(atomic_load_explicit(&site->ids->places[i], memory_order_relaxed));
    free(site->ids);
    free(site);
}

void ccs_site_bind(struct ccs_site *site, struct ccs *ccs)
{
    site->ccs = ccs;
}

int ccs_site_session_id(const struct ccs_site *site, int own, const char *name, size_t len,
                        uint8_t *out)
{
    uint8_t text[CCS_SITE_SESSION_ID_SIZE + 1 + CCS_STEM_SIZE];

    if (len > CCS_STEM_SIZE)
        return CCS_EINVAL;
    /* What comes before the name has a fixed length, so that the name needs no frame. */
    memcpy(text, site->identity, CCS_SITE_SESSION_ID_SIZE);
    text[CCS_SITE_SESSION_ID_SIZE] = own != 0;
    memcpy(text + CCS_SITE_SESSION_ID_SIZE + 1, name, len);
    return site_digest(text, CCS_SITE_SESSION_ID_SIZE + 1 + len, out);
}

/* FNV-1a. Whose place a name takes matters to nobody but itself. */
static size_t site_place(const char *name, size_t len)
{
    uint32_t hash = 2166136261;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)name[i]) * 16777619;
    return (hash ^ hash >> 16) % SITE_IDS;
}

static void site_remember(_Atomic(struct site_id *) *place, const char *name, size_t len,
                          const uint8_t *id)
{
    struct site_id *known = malloc(sizeof(*known) + len), *before = NULL;

    if (known == NULL)
        return;
    memcpy(known->id, id, sizeof(known->id));
    known->len = len;
    memcpy(known->name, name, len);
    if (!atomic_compare_exchange_strong(place, &before, known))
        free(known);
}

int ccs_site_session_id_of_file(const struct ccs_site *site, const char *name, size_t len,
                                uint8_t *out)
{
    _Atomic(struct site_id *) *place = &site->ids->places[site_place(name, len)];
    const struct site_id *known = atomic_load_explicit(place, memory_order_acquire);
    int rv;

    if (known != NULL && known->len == len && memcmp(known->name, name, len) == 0) {
        memcpy(out, known->id, sizeof(known->id));
        return CCS_OK;
    }
    rv = ccs_site_session_id(site, 0, name, len, out);
    if (rv == CCS_OK && known == NULL)
        site_remember(place, name, len, out);
    return rv;
}
