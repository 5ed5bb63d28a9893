/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "error.h"
#include "mounts.h"
#include "name.h"
#include "settings.h"
#include "store_agent.h"

#define SHOWN 256 /* how much of a location or a name an error text shows */

/* "http://…", "C:\…": what people paste that a Linux file system does not know. */
static int store_has_scheme(const char *location)
{
    size_t n = 0;

    while (isalnum((unsigned char)location[n]))
        n++;
    return (n > 1 && strncmp(location + n, "://", 3) == 0) ||
           (n == 1 && location[1] == ':' && (location[2] == '\\' || location[2] == '/'));
}

/* What the location says itself. unc is written if it names a share. */
static int store_read_location(const char *location, struct ccs_unc *unc, int *is_share,
                               struct ccs_error *err)
{
    char shown[SHOWN];

    if (location == NULL || location[0] == '\0') {
        return ccs_error_set(err, CCS_EINVAL,
                             "no store is set: give the folder with the PFX files");
    }
    *is_share = ccs_unc_is(location);
    if (*is_share)
        return ccs_unc_parse(location, unc, err);
    if (!store_has_scheme(location))
        return CCS_OK;
    ccs_printable(shown, sizeof(shown), location, strlen(location));
    return ccs_error_set(err, CCS_EINVAL, "store %s: give the path of a folder", shown);
}

static int store_copy(const char *path, struct ccs_store_place *out, enum ccs_store_way way,
                      struct ccs_error *err)
{
    const size_t len = strlen(path);

    if (len >= sizeof(out->path))
        return ccs_error_set(err, CCS_EINVAL, "the path of the store is too long");
    out->way = way;
    memcpy(out->path, path, len + 1);
    return CCS_OK;
}

/* A folder that an agent is to read, which knows nothing of this process's current folder. */
static int store_place_folder(const char *location, struct ccs_store_place *out,
                              struct ccs_error *err)
{
    char shown[SHOWN];

    if (location[0] == '/')
        return store_copy(location, out, CCS_STORE_AGENT, err);
    ccs_printable(shown, sizeof(shown), location, strlen(location));
    return ccs_error_set(err, CCS_EINVAL,
                         "store %s: give the whole path of a folder that an agent is to read",
                         shown);
}

static int store_place_share(const struct ccs_unc *unc, const char *location, const char *mode,
                             struct ccs_store_place *out, struct ccs_error *err)
{
    char path[CCS_MOUNTS_PATH_SIZE];
    char text[CCS_UNC_TEXT_SIZE];
    char shown[SHOWN];
    int rv;

    ccs_unc_format(unc, text);
    if (strcmp(mode, "auto") != 0 && strcmp(mode, "off") != 0)
        return store_copy(text, out, CCS_STORE_AGENT, err);
    rv = ccs_mounts_find(unc, path, err);
    if (rv == CCS_OK)
        return store_copy(path, out, CCS_STORE_DIR, err);
    if (rv == CCS_ENOMEM || strcmp(mode, "auto") == 0)
        return rv == CCS_ENOMEM ? rv : store_copy(text, out, CCS_STORE_AGENT, err);
    ccs_printable(shown, sizeof(shown), location, strlen(location));
    return ccs_error_set(err, CCS_EINVAL,
                         "store %s: the share is not mounted here, so mount it (mount.cifs), or "
                         "let ccs-agent read it",
                         shown);
}

int ccs_store_find(const char *location, const char *agent_mode, struct ccs_store_place *out,
                   struct ccs_error *err)
{
    struct ccs_unc unc;
    int is_share = 0;
    const int rv = store_read_location(location, &unc, &is_share, err);

    if (rv != CCS_OK)
        return rv;
    if (is_share)
        return store_place_share(&unc, location, agent_mode, out, err);
    if (strcmp(agent_mode, "auto") != 0 && strcmp(agent_mode, "off") != 0)
        return store_place_folder(location, out, err);
    return store_copy(location, out, CCS_STORE_DIR, err);
}

int ccs_store_check(const char *location, const char *agent_mode, struct ccs_error *err)
{
    struct ccs_store_place *place;
    struct ccs_unc unc;
    int is_share = 0;
    int rv = store_read_location(location, &unc, &is_share, err);

    if (rv != CCS_OK || is_share)
        return rv;
    place = malloc(sizeof(*place));
    if (place == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to look at the settings of the store");
    rv = ccs_store_find(location, agent_mode, place, err);
    free(place);
    return rv;
}

int ccs_store_open(const char *location, struct ccs_store **out, struct ccs_error *err)
{
    struct ccs_store_place *place = malloc(sizeof(*place));
    int rv;

    if (place == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    rv = ccs_store_find(location, "off", place, err);
    if (rv == CCS_OK)
        rv = ccs_store_dir_open(place->path, out, err);
    free(place);
    return rv;
}

/* The path of a socket, or an agent that was started from this process or one before it. */
static int store_open_agent(const struct ccs_config *cfg, const struct ccs_settings *s,
                            const char *location, struct ccs_store **out, struct ccs_error *err)
{
    struct ccs_agent *agent = NULL;
    const char *path = NULL;
    int rv = CCS_OK;

    if (s->agent_mode[0] == '/')
        path = s->agent_mode;
    else if (s->agent != NULL)
        agent = ccs_agent_ref(s->agent);
    else
        rv = ccs_agent_start(cfg, &agent, err);
    if (rv == CCS_OK)
        rv = ccs_store_agent_open(agent, path, location, out, err);
    ccs_agent_free(agent);
    return rv;
}

int ccs_store_open_config(const struct ccs_config *cfg, struct ccs_store **out,
                          struct ccs_error *err)
{
    struct ccs_store_place *place = malloc(sizeof(*place));
    struct ccs_settings s;
    int rv;

    if (place == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the store");
    ccs_config_values(cfg, &s);
    /* An agent that was started for it reads it, also if the share has been mounted since. */
    rv = ccs_store_find(s.store, s.agent != NULL ? "on" : s.agent_mode, place, err);
    if (rv == CCS_OK && place->way == CCS_STORE_DIR)
        rv = ccs_store_dir_open(place->path, out, err);
    else if (rv == CCS_OK)
        rv = store_open_agent(cfg, &s, place->path, out, err);
    free(place);
    return rv;
}

void ccs_store_close(struct ccs_store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

void ccs_store_set_log(struct ccs_store *store, struct ccs_log *log)
{
    if (store->ops->set_log != NULL)
        store->ops->set_log(store, log);
}

int ccs_store_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg, struct ccs_error *err)
{
    return store->ops->list(store, cb, arg, err);
}

/* Whatever a caller passes, it names an entry of the folder itself and nothing else. */
static int store_check_name(const char *file, struct ccs_error *err)
{
    const size_t len = file != NULL ? strnlen(file, CCS_FILE_NAME_SIZE) : 0;
    char shown[SHOWN];

    if (len > 0 && len <= CCS_FILE_NAME_MAX && memchr(file, '/', len) == NULL &&
        strcmp(file, ".") != 0 && strcmp(file, "..") != 0)
        return CCS_OK;
    return ccs_error_set(err, CCS_EINVAL, "\"%s\" is not the name of a file in a store",
                         ccs_printable(shown, sizeof(shown), file != NULL ? file : "", len));
}

int ccs_store_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                   struct ccs_error *err)
{
    const int rv = store_check_name(file, err);

    return rv != CCS_OK ? rv : store->ops->stat(store, file, out, err);
}

int ccs_store_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                   struct ccs_stamp *out, struct ccs_error *err)
{
    const int rv = store_check_name(file, err);

    memset(out, 0, sizeof(*out));
    return rv != CCS_OK ? rv : store->ops->read(store, file, max, data, out, err);
}

int ccs_store_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err)
{
    return store->ops->probe(store, out, err);
}

int ccs_store_watch_fd(struct ccs_store *store)
{
    return store->ops->watch_fd(store);
}

int ccs_store_watch_start(struct ccs_store *store, struct ccs_error *err)
{
    return store->ops->watch_start(store, err);
}

void ccs_store_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg)
{
    store->ops->watch_read(store, cb, arg);
}
