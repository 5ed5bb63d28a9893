/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_STORE_H
#define CCS_STORE_H

/*
 * Where the files are. Callers see the functions below; what stands behind them fills a vtable.
 * Every call but the watch ones may come from any thread, and may take as long as a file system
 * takes: never call them from an event loop or with a lock held.
 *
 * Errors: CCS_ENOTFOUND and CCS_EACCESS are said of a file only while the store itself answers;
 * otherwise it is CCS_EUNAVAIL. A text about the store names the store; one about a file is to
 * follow the file's name ("it is empty").
 */

#include <stdbool.h>

#include <ccs/ccs.h>

#include "secret.h"

/* Tells one version of a file from another. Compare stamps of the same source only. */
struct ccs_stamp {
    uint64_t size;
    uint64_t file_id;
    int64_t mtime_ns;
    int64_t ctime_ns;
};

static inline int ccs_stamp_equal(const struct ccs_stamp *a, const struct ccs_stamp *b)
{
    return a->size == b->size && a->file_id == b->file_id && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

/* The folder itself. */
struct ccs_root {
    uint64_t device;
    uint64_t file_id;
    uint64_t fs_type;
    int64_t mtime_ns;
    bool notifies; /* a watch is told of whatever changes it, by this machine or another */
};

enum ccs_event_kind {
    CCS_EVENT_ARRIVED,  /* a file of this name is there now and complete as far as one can tell */
    CCS_EVENT_REMOVED,  /* there is none any more */
    CCS_EVENT_OVERFLOW, /* events were lost: anything may have changed */
    CCS_EVENT_ROOT_GONE /* the folder was removed, moved or unmounted: no more events will come */
};

typedef int (*ccs_store_name_cb)(const char *file, size_t len, void *arg); /* non-zero: stop */
typedef void (*ccs_store_event_cb)(enum ccs_event_kind kind, const char *file, void *arg);

struct ccs_store;
struct ccs_log;

struct ccs_store_ops {
    int (*list)(struct ccs_store *store, ccs_store_name_cb cb, void *arg, struct ccs_error *err);
    int (*stat)(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                struct ccs_error *err);
    int (*read)(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                struct ccs_stamp *out, struct ccs_error *err);
    int (*probe)(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err);
    int (*watch_fd)(struct ccs_store *store);
    int (*watch_start)(struct ccs_store *store, struct ccs_error *err);
    void (*watch_read)(struct ccs_store *store, ccs_store_event_cb cb, void *arg);
    void (*set_log)(struct ccs_store *store, struct ccs_log *log); /* NULL: it has nothing to say */
    void (*close)(struct ccs_store *store);
};

struct ccs_store {
    const struct ccs_store_ops *ops;
};

/* How the files of a location are reached. */
enum ccs_store_way { CCS_STORE_DIR, CCS_STORE_AGENT };

#define CCS_STORE_PATH_SIZE 4096

struct ccs_store_place {
    enum ccs_store_way way;
    char path[CCS_STORE_PATH_SIZE]; /* of the folder here; or its location as the agent knows it */
};

/*
 * Decides it, after the settings `store` and `agent`. A share is looked for in the table of mounts,
 * no file system is touched. CCS_EINVAL for a location of no known kind, and for a share that is
 * neither mounted nor to be left to an agent. *out is written on CCS_OK only.
 */
int ccs_store_find(const char *location, const char *agent_mode, struct ccs_store_place *out,
                   struct ccs_error *err);

/* Whether the two settings make sense, whatever is mounted. No I/O. */
int ccs_store_check(const char *location, const char *agent_mode, struct ccs_error *err);

/*
 * New store for an instance. If it takes an agent, that is the one given with
 * ccs_config_set_agent(), or one that is started now.
 */
int ccs_store_open_config(const struct ccs_config *cfg, struct ccs_store **out,
                          struct ccs_error *err);

/* New store without an agent: a folder, or a share that is mounted. CCS_EINVAL for any other. */
int ccs_store_open(const char *location, struct ccs_store **out, struct ccs_error *err);
void ccs_store_close(struct ccs_store *store);

/* Where the store says what it cannot say with an error. Before any other call; log outlives it. */
void ccs_store_set_log(struct ccs_store *store, struct ccs_log *log);

/* Names of all directory entries that end in .pfx, in no order. A cb that stops is not an error. */
int ccs_store_list(struct ccs_store *store, ccs_store_name_cb cb, void *arg, struct ccs_error *err);

/* CCS_EFILETYPE for what is not a regular file, or leads out of the store. */
int ccs_store_stat(struct ccs_store *store, const char *file, struct ccs_stamp *out,
                   struct ccs_error *err);

/*
 * Reads a whole regular file of at most max octets. *data must be empty. CCS_ECHANGED if it changed
 * meanwhile, CCS_ETOOBIG, CCS_EFILETYPE, CCS_EINCOMPLETE for an empty one. *out (the stamp) is also
 * written with those errors if the file could be opened, else zero.
 */
int ccs_store_read(struct ccs_store *store, const char *file, size_t max, struct ccs_secret *data,
                   struct ccs_stamp *out, struct ccs_error *err);

/* Whether the store answers, and as what. CCS_EUNAVAIL or CCS_EACCESS if not. */
int ccs_store_probe(struct ccs_store *store, struct ccs_root *out, struct ccs_error *err);

/*
 * Change notification; these three come from one thread. The fd is borrowed until the next call of
 * the other two, readable when watch_read has something to say, -1 while nothing is watched: before
 * watch_start succeeded, after CCS_EVENT_ROOT_GONE, and where the kind of store cannot watch.
 * watch_start (again) watches the folder as it is now. watch_read does not wait.
 */
int ccs_store_watch_fd(struct ccs_store *store);
int ccs_store_watch_start(struct ccs_store *store, struct ccs_error *err);
void ccs_store_watch_read(struct ccs_store *store, ccs_store_event_cb cb, void *arg);

/* For ccs_store_open(): a folder of this machine's file systems. */
int ccs_store_dir_open(const char *path, struct ccs_store **out, struct ccs_error *err);

#endif
