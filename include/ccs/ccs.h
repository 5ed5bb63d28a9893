/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_CCS_H
#define CCS_CCS_H

/*
 * libccs: one folder of <host>.pfx files, served to TLS clients on demand.
 *
 * Three objects make up the library. A *config* is mutable and belongs to one thread; secrets are
 * read into it by whoever may read them, before any fork. An *instance* (struct ccs) is opened from
 * it in the process that serves, because it owns threads. A *credential* is an immutable, counted
 * certificate, key and chain; it may outlive the instance it came from.
 *
 * Conventions
 *  - Functions that can fail return 0 (CCS_OK) when done, CCS_PENDING (> 0) when the answer will
 *    come later, and a negative enum ccs_code otherwise. Outputs are written as each function says.
 *  - For each pointer the words new (the caller must release it), borrowed (valid as long as said)
 *    and consumed (the callee releases it) tell who owns it.
 *  - `struct ccs_error *` may always be NULL. It is written only on failure and never holds
 * secrets.
 *  - All calls on struct ccs may be made from any thread unless marked [owner]: those must all come
 *    from one thread, the one that runs ccs_dispatch().
 *  - No call leaves anything in the calling thread's OpenSSL error queue.
 *  - Functions that release accept NULL.
 */

#include <stddef.h>
#include <stdint.h>

#include <ccs/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- version ------------------------------------------------------------------------------- */

/* Version of the library at run time, "major.minor.patch". Borrowed, static. */
const char *ccs_version(void);

/* -- errors -------------------------------------------------------------------------------- */

enum ccs_code {
    CCS_OK = 0,
    CCS_PENDING = 1,

    CCS_ENOMEM = -1,    /* no memory */
    CCS_EINVAL = -2,    /* a call or a setting that makes no sense */
    CCS_ENAME = -3,     /* not a host name that a store could hold */
    CCS_ENOTFOUND = -4, /* the store answers, and has no file for this name */
    CCS_EUNAVAIL = -5,  /* the store does not answer */
    CCS_EACCESS = -6,   /* the file or the store may not be read */
    CCS_ETIMEDOUT = -7, /* not done within the time allowed */
    CCS_EBUSY = -8,     /* a queue is full */
    CCS_ECANCELED = -9, /* given up by the caller */
    CCS_ECLOSED = -10,  /* the instance is closing */
    CCS_ESSL = -11,     /* OpenSSL failed where it should not */

    /* Reasons to refuse one file; the text names the file and what to do. */
    CCS_EFILETYPE = -20,    /* not a regular file, or a link out of the store */
    CCS_ETOOBIG = -21,      /* larger than a PFX for a server can be */
    CCS_EINCOMPLETE = -22,  /* shorter than it says it is: still being written */
    CCS_ECHANGED = -23,     /* changed while it was read */
    CCS_EDAMAGED = -24,     /* PKCS#12, but broken */
    CCS_EFORMAT = -25,      /* not PKCS#12; the text says what it looks like */
    CCS_EPASSWORD = -26,    /* none of the passwords opens it */
    CCS_EKEYPASSWORD = -27, /* its key is protected by another password than the file */
    CCS_ELEGACY = -28,      /* needs OpenSSL's legacy provider, which is not installed */
    CCS_EUNSUPPORTED = -29, /* an algorithm or a PKCS#12 mode that cannot be read */
    CCS_ERECIPIENT = -30,   /* encrypted to a certificate or a directory account, not a password */
    CCS_EROUNDS = -31,      /* asks for more key derivation work than kdf_limit allows */
    CCS_ENOKEY = -32,       /* certificates only */
    CCS_ENOCERT = -33,      /* a key only */
    CCS_EMISMATCH = -34,    /* certificate and key do not belong together */
    CCS_EKEYUSE = -35,      /* key unusable for a TLS server, or too small for the security level */
    CCS_ENAMEMISMATCH = -36 /* the certificate does not cover its file's name (check_name refuse) */
};

struct ccs_error {
    int code;       /* enum ccs_code */
    int sys_errno;  /* errno behind it, or 0 */
    char text[512]; /* one sentence, NUL-terminated */
};

/* What a code means, in a few words. Borrowed, static; never NULL, whatever the code. */
const char *ccs_strerror(int code);

/* A code as one lower-case word with hyphens, for programs: "ok", "wrong-password". As above. */
const char *ccs_code_name(int code);

/* -- log ----------------------------------------------------------------------------------- */

enum ccs_level { CCS_LOG_ERROR, CCS_LOG_WARN, CCS_LOG_INFO, CCS_LOG_DEBUG };

/*
 * One line without a line end. Called with no lock held. Unless CCS_LOG_DISPATCHED was given it may
 * come from any thread and must not call into libccs; with it, lines written by the library's own
 * threads wait in a bounded queue and are delivered by ccs_dispatch() on the owner's thread.
 */
typedef void (*ccs_log_cb)(enum ccs_level level, const char *line, void *arg);
#define CCS_LOG_DISPATCHED 1u

/* -- configuration ------------------------------------------------------------------------- */

struct ccs_config;

/* New configuration in which nothing is set, so that every default applies. NULL: no memory. */
struct ccs_config *ccs_config_new(void);

/* Releases it and wipes its secrets. Allowed right after ccs_open(), which keeps a reference. */
void ccs_config_free(struct ccs_config *cfg);

/*
 * Sets one setting of <ccs/settings.def> by name from its text. The text is checked and copied now;
 * a file of secrets is read now, so call this where it is readable. A setting given twice: the last
 * one holds. CCS_EINVAL for an unknown name, a bad value, or a configuration already opened.
 */
int ccs_config_set(struct ccs_config *cfg, const char *name, const char *value,
                   struct ccs_error *err);

/* 1 if the setting was given to this very configuration, 0 if not (inherited does not count). */
int ccs_config_is_set(const struct ccs_config *cfg, const char *name);

/* The value in force as text, the default if not set, NULL if there is none. Borrowed from cfg. */
const char *ccs_config_get(const struct ccs_config *cfg, const char *name);

/*
 * What the value in force means: milliseconds, a count, octets, or the place of a choice; -1 for
 * settings that are texts, and for unknown names.
 */
int64_t ccs_config_number(const struct ccs_config *cfg, const char *name);

/* Every setting that cfg does not set itself is taken from parent, secrets included. */
int ccs_config_inherit(struct ccs_config *cfg, const struct ccs_config *parent,
                       struct ccs_error *err);

/* Whether ccs_open() would accept it: no I/O, no threads. For checks such as "nginx -t". */
int ccs_config_check(const struct ccs_config *cfg, struct ccs_error *err);

/* 1 if one instance can serve both: all settings that shape an instance are equal. */
int ccs_config_same_store(const struct ccs_config *a, const struct ccs_config *b);

/*
 * Memory that the instances of several processes share: what one of them has loaded, all have. It
 * outlives instances, so that a server that starts its processes anew starts warm. An instance
 * whose configuration names none has some of its own.
 */
struct ccs_shared;

/* Maps size octets (at least 1 MiB) that all children forked from now on share. *out is new. */
int ccs_shared_new(size_t size, struct ccs_shared **out, struct ccs_error *err);

/*
 * In memory of the host's, aligned to 64 octets and shared by all its processes, that must outlive
 * all handles: init makes it new, whatever it holds; attach takes it over as it is, from an older
 * configuration, or fails with CCS_EINVAL if it is not of this version and size. *out is new.
 */
int ccs_shared_init(void *mem, size_t size, struct ccs_shared **out, struct ccs_error *err);
int ccs_shared_attach(void *mem, size_t size, struct ccs_shared **out, struct ccs_error *err);

/* Releases a handle; configurations and instances that use it keep references of their own. */
void ccs_shared_free(struct ccs_shared *shared);

/* The memory for instances of cfg (NULL: none). cfg keeps a reference. */
void ccs_config_set_shared(struct ccs_config *cfg, struct ccs_shared *shared);

/*
 * ccs-agent: the process that reads the store for a server which cannot do so itself, because it is
 * a share that is not mounted or a folder that only another user may read (setting `agent`). It
 * ends when all processes that hold it, or were forked from one that does, have released it or
 * ended.
 */
struct ccs_agent;

/*
 * Starts the agent for cfg, unless one with the same settings and credentials, from the same
 * executable, is held in this process already: then it is that one, so that a configuration that is
 * read again keeps its agent. *out is new, and NULL if the store needs no agent to be started.
 * Takes some milliseconds, ten seconds at most.
 *
 * A server with several processes calls it in the one that may read the credentials, before it
 * gives up its rights and before it forks those that serve, and passes the result to
 * ccs_config_set_agent(). ccs_open() does it for a configuration that has none. If it fails, a
 * server that starts should refuse to; one that reads its configuration again can go on with
 * ccs_agent_previous().
 */
int ccs_agent_start(const struct ccs_config *cfg, struct ccs_agent **out, struct ccs_error *err);

/* A living agent for the store of cfg with other settings, of an older configuration of this
 * process; new, or NULL. */
struct ccs_agent *ccs_agent_previous(const struct ccs_config *cfg);

/* Whether ccs_agent_start() would find an executable, if it needs one. Starts nothing. */
int ccs_agent_check(const struct ccs_config *cfg, struct ccs_error *err);

/* Releases a handle; configurations and instances that use the agent keep references of their own.
 */
void ccs_agent_free(struct ccs_agent *agent);

/* The agent for instances of cfg (NULL: none). cfg keeps a reference. */
void ccs_config_set_agent(struct ccs_config *cfg, struct ccs_agent *agent);

/*
 * Forgets user and password of the file server, in cfg and all configurations that share them by
 * inheritance, also when cfg was opened: an agent that runs does not need them any more. Processes
 * that are forked never have them.
 */
void ccs_config_wipe_login(struct ccs_config *cfg);

/* Where log lines go, and the most detailed level wanted. cb NULL: nowhere. */
void ccs_config_set_log(struct ccs_config *cfg, enum ccs_level max, ccs_log_cb cb, void *arg,
                        unsigned flags);

/* -- instance ------------------------------------------------------------------------------ */

struct ccs;

/*
 * Has OpenSSL do what it puts off until the first certificate of a process: look up its algorithms,
 * load its legacy provider. For a parent, before it forks, so that none of its children has to; it
 * takes some milliseconds, once. May be left out. CCS_ESSL or CCS_ENOMEM: OpenSSL cannot serve a
 * certificate as it is installed here, which each load would find as well. Any thread;
 * its queue of OpenSSL errors is empty afterwards.
 */
int ccs_prepare(struct ccs_error *err);

/*
 * Opens an instance and starts its refresher thread; loader threads start with the first miss. Call
 * it in the process that serves, after its last fork. The store need not be reachable: that is
 * logged, and looked at again. *out is new and written on CCS_OK only.
 */
int ccs_open(struct ccs_config *cfg, struct ccs **out, struct ccs_error *err);

/*
 * [owner] Ends the instance: callbacks of waiting requests run now, on this thread, with
 * CCS_ECLOSED. Waits for its threads, but at most a few seconds: one that hangs in a dead file
 * system is left behind and ends by itself. Credentials stay valid.
 */
void ccs_close(struct ccs *ccs);

/* -- credentials --------------------------------------------------------------------------- */

struct ccs_cred;

struct ccs_cred *ccs_cred_ref(struct ccs_cred *cred); /* one more reference; returns its argument */
void ccs_cred_unref(struct ccs_cred *cred);           /* the last one frees and wipes */

const char *ccs_cred_file(const struct ccs_cred *cred); /* file name in the store; borrowed */
const char *ccs_cred_fingerprint(
    const struct ccs_cred *cred); /* SHA-256 of the leaf, lower-case hex; borrowed */
int64_t ccs_cred_not_before(const struct ccs_cred *cred); /* Unix seconds */
int64_t ccs_cred_not_after(const struct ccs_cred *cred);  /* Unix seconds */

/* -- acquiring ----------------------------------------------------------------------------- */

enum ccs_result {
    CCS_RESULT_NONE,    /* nothing was served from a store */
    CCS_RESULT_HIT,     /* from this process's memory */
    CCS_RESULT_SHARED,  /* from the memory that all processes share */
    CCS_RESULT_LOADED,  /* read from the store for this request, or for one it waited with */
    CCS_RESULT_STALE,   /* from memory, while the store does not answer */
    CCS_RESULT_FALLBACK /* the server's own certificate, by unknown_name fallback */
};

/* "HIT", "LOADED", …; "-" for CCS_RESULT_NONE. Borrowed, static. */
const char *ccs_result_name(enum ccs_result result);

struct ccs_answer {
    int code; /* CCS_OK, or why there is no credential */
    enum ccs_result result;
    struct ccs_cred *cred;  /* NULL unless code is CCS_OK */
    struct ccs_error error; /* filled when code is negative */
};

/*
 * What memory knows of a host name as a client sent it (any case, one trailing dot allowed, no NUL
 * needed). Never waits, never does I/O. CCS_OK: out->cred is a new reference. CCS_PENDING: memory
 * does not know, *out says nothing. Negative: a remembered failure, or CCS_ENAME.
 */
int ccs_lookup(struct ccs *ccs, const char *name, size_t len, struct ccs_answer *out);

/*
 * The same, loading what is missing: waits at most timeout_ms (negative: the setting `wait`; 0: not
 * at all, what is missing is loaded for the next one and the answer is CCS_EBUSY). CCS_OK:
 * out->cred is a new reference. Never CCS_PENDING. Not for event loops.
 */
int ccs_acquire(struct ccs *ccs, const char *name, size_t len, int timeout_ms,
                struct ccs_answer *out);

struct ccs_request;

/* The answer, its credential included, is borrowed for the call: take a reference to keep it. */
typedef void (*ccs_done_cb)(const struct ccs_answer *answer, void *arg);

/*
 * [owner] The same without waiting. CCS_OK or negative: *out is filled as by ccs_lookup() and
 * done will not run. CCS_PENDING: *req is set, and done runs exactly once, from ccs_dispatch() or
 * ccs_close(), at the latest when the setting `wait` has passed; *req is invalid from then on.
 */
int ccs_acquire_start(struct ccs *ccs, const char *name, size_t len, ccs_done_cb done, void *arg,
                      struct ccs_answer *out, struct ccs_request **req);

/* [owner] done will not run and req is invalid; the load itself goes on for whoever comes next. */
void ccs_cancel(struct ccs_request *req);

/* Readable while ccs_dispatch() has work. Borrowed, the same until ccs_close(); do not read it. */
int ccs_event_fd(const struct ccs *ccs);

/* [owner] Runs callbacks and delivers log lines, at most max of them (0: all); returns how many. */
int ccs_dispatch(struct ccs *ccs, unsigned max);

/* -- keeping an eye on it ------------------------------------------------------------------ */

/* Forgets what is known of a name (NULL: of all names), so that the next request reads the store.
 */
void ccs_invalidate(struct ccs *ccs, const char *name, size_t len);

/* Counters since ccs_open(). Fields may be appended; size tells which the caller knows. */
struct ccs_stats {
    uint64_t hits;        /* requests answered from memory */
    uint64_t misses;      /* requests that had to wait for the store */
    uint64_t not_found;   /* requests for names that the store does not have */
    uint64_t refused;     /* requests for names that cannot be in a store */
    uint64_t loads;       /* names loaded or reloaded with success */
    uint64_t load_errors; /* loads that failed, missing files not counted */
    uint64_t timeouts;    /* requests that gave up waiting */
    uint64_t busy;        /* requests turned away because no further one may wait */
    uint64_t store_reads; /* files read from the store */
    uint64_t decodes;     /* PKCS#12 files decoded */
    uint64_t evictions;   /* credentials dropped to make room */
    uint64_t cached;      /* credentials held now */
    uint64_t waiting;     /* requests waiting now */
    uint64_t store_down;  /* 1 while the store does not answer */
    uint64_t shared;      /* loads that the memory shared by all processes answered */
};
void ccs_stats_get(const struct ccs *ccs, struct ccs_stats *out, size_t size);

/*
 * The state of the store, and what all processes that share its memory have counted, as one JSON
 * object. Writes at most size octets, a NUL among them, and returns how many it takes without the
 * NUL, as snprintf() does; NULL with size 0 allowed. Does no I/O. Holds nothing secret.
 */
size_t ccs_status_json(const struct ccs *ccs, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
