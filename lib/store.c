/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "name.h"

#define SHOWN 256 /* how much of a location or a name an error text shows */

/* "smb://…", "C:\…": what people paste that a Linux file system does not know. */
static int store_has_scheme(const char *location)
{
    size_t n = 0;

    while (isalnum((unsigned char)location[n]))
        n++;
    return (n > 1 && strncmp(location + n, "://", 3) == 0) ||
           (n == 1 && location[1] == ':' && (location[2] == '\\' || location[2] == '/'));
}

static int store_is_unc(const char *location)
{
    return strncmp(location, "\\\\", 2) == 0 ||
           (location[0] == '/' && location[1] == '/' && location[2] != '/' &&
            location[2] != '\0') ||
           strncasecmp(location, "smb://", 6) == 0 || strncasecmp(location, "cifs://", 7) == 0;
}

int ccs_store_open(const char *location, struct ccs_store **out, struct ccs_error *err)
{
    char shown[SHOWN];

    if (location == NULL || location[0] == '\0') {
        return ccs_error_set(err, CCS_EINVAL,
                             "no store is set: give the folder with the PFX files");
    }
    ccs_printable(shown, sizeof(shown), location, strlen(location));
    if (store_is_unc(location)) {
        return ccs_error_set(err, CCS_EINVAL,
                             "store %s: a share must be mounted first (mount.cifs), and the folder "
                             "where it is mounted be given",
                             shown);
    }
    if (store_has_scheme(location))
        return ccs_error_set(err, CCS_EINVAL, "store %s: give the path of a folder", shown);
    return ccs_store_dir_open(location, out, err);
}

void ccs_store_close(struct ccs_store *store)
{
    if (store != NULL)
        store->ops->close(store);
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
