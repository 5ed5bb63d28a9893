/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles of running agents. All that a process holds are on one list, so that a configuration
 * which is read again, or one of another module of the same server, finds the agent that is there.
 */
#include "agent.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "error.h"
#include "login.h"
#include "secret.h"
#include "settings.h"

#define SHOWN       200
#define DIGEST_SIZE 32

/* Where the executable is installed: seen from the library, and by itself. */
#ifndef CCS_AGENT_FROM_LIB
#define CCS_AGENT_FROM_LIB "../libexec"
#define CCS_AGENT_DIR      "/usr/local/libexec"
#endif

struct ccs_agent {
    LIST_ENTRY(ccs_agent) entry;
    unsigned refs;
    int control;
    int32_t pid;
    uint8_t fingerprint[DIGEST_SIZE];
    char location[CCS_WIRE_LOCATION_MAX + 1];
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: the list and all refs */
static LIST_HEAD(, ccs_agent) list = LIST_HEAD_INITIALIZER(list);

struct ccs_agent *ccs_agent_ref(struct ccs_agent *agent)
{
    pthread_mutex_lock(&list_lock);
    agent->refs++;
    pthread_mutex_unlock(&list_lock);
    return agent;
}

void ccs_agent_free(struct ccs_agent *agent)
{
    int last;

    if (agent == NULL)
        return;
    pthread_mutex_lock(&list_lock);
    last = --agent->refs == 0;
    if (last)
        LIST_REMOVE(agent, entry);
    pthread_mutex_unlock(&list_lock);
    if (!last)
        return;
    close(agent->control);
    free(agent);
}

int ccs_agent_is_alive(const struct ccs_agent *agent)
{
    struct pollfd p = {.fd = agent->control};

    return poll(&p, 1, 0) == 0;
}

int32_t ccs_agent_pid(const struct ccs_agent *agent)
{
    return agent->pid;
}

/* With the lock held: one that is alive, by its fingerprint, or if that is NULL by its location. */
static struct ccs_agent *find_locked(const uint8_t *fingerprint, const char *location)
{
    struct ccs_agent *a;
    int same;

    LIST_FOREACH(a, &list, entry)
    {
        same = fingerprint != NULL ? memcmp(a->fingerprint, fingerprint, DIGEST_SIZE) == 0
                                   : strcmp(a->location, location) == 0;
        if (same && ccs_agent_is_alive(a)) {
            a->refs++;
            break;
        }
    }
    return a;
}

/* The same; a reference, or NULL. */
static struct ccs_agent *find(const uint8_t *fingerprint, const char *location)
{
    struct ccs_agent *agent;

    pthread_mutex_lock(&list_lock);
    agent = find_locked(fingerprint, location);
    pthread_mutex_unlock(&list_lock);
    return agent;
}

/* -- the executable ---------------------------------------------------------------------------- */

/*
 * Beside the library, whether that is installed below some prefix or lies in a build tree; else
 * where this build is going to be installed.
 */
static int find_executable(char *out, size_t size, struct ccs_error *err)
{
    static const char here[] = "here";
    static const char *const places[] = {CCS_AGENT_FROM_LIB, "../bin"};
    const char *slash;
    Dl_info info;

    if (dladdr(here, &info) != 0 && info.dli_fname != NULL) {
        slash = strrchr(info.dli_fname, '/');
        for (size_t i = 0; slash != NULL && i < CCS_ARRAY_LEN(places); i++) {
            const int n = snprintf(out, size, "%.*s/%s/ccs-agent", (int)(slash - info.dli_fname),
                                   info.dli_fname, places[i]);

            if (n > 0 && (size_t)n < size && access(out, X_OK) == 0)
                return CCS_OK;
        }
    }
    (void)snprintf(out, size, "%s/ccs-agent", CCS_AGENT_DIR);
    if (access(out, X_OK) == 0)
        return CCS_OK;
    return ccs_error_sys(err, CCS_EUNAVAIL, errno,
                         "the store needs ccs-agent, and %s cannot be executed: install it, or "
                         "mount the share",
                         out);
}

/* -- starting ---------------------------------------------------------------------------------- */

/* One that listens on a path is somebody else's. */
static int is_to_start(const struct ccs_settings *s, const struct ccs_store_place *place)
{
    return place->way == CCS_STORE_AGENT && s->agent_mode[0] != '/';
}

static void fill_setup(const struct ccs_settings *s, const struct ccs_store_place *place,
                       struct ccs_agent_setup *out)
{
    struct ccs_agent_store *t = &out->store[0];

    memset(out, 0, sizeof(*out));
    /* Nobody but root can become somebody else. */
    if (geteuid() == 0)
        (void)snprintf(out->user, sizeof(out->user), "%s", s->agent_user);
    out->level = s->log_max;
    out->stores = 1;
    (void)snprintf(t->location, sizeof(t->location), "%s", place->path);
    t->wait_ms = (uint32_t)s->wait_ms;
    t->refresh_ms = (uint32_t)s->refresh_ms;
}

/* Of a setup without login, of the login, and of the very file that is executed. */
static int fingerprint(const struct ccs_agent_setup *setup, const struct ccs_login *login,
                       const char *executable, uint8_t out[DIGEST_SIZE], struct ccs_error *err)
{
    EVP_MD_CTX *ctx = NULL;
    uint64_t file[5];
    struct stat st;
    int ok;

    if (stat(executable, &st) != 0) {
        char shown[SHOWN];

        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "%s cannot be executed",
                             ccs_printable(shown, sizeof(shown), executable, strlen(executable)));
    }
    file[0] = (uint64_t)st.st_dev;
    file[1] = (uint64_t)st.st_ino;
    file[2] = (uint64_t)st.st_size;
    file[3] = (uint64_t)st.st_mtim.tv_sec;
    file[4] = (uint64_t)st.st_mtim.tv_nsec;
    ctx = EVP_MD_CTX_new();
    ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(ctx, executable, strlen(executable) + 1) == 1 &&
         EVP_DigestUpdate(ctx, file, sizeof(file)) == 1 &&
         EVP_DigestUpdate(ctx, setup, sizeof(*setup)) == 1 &&
         (login == NULL ||
          EVP_DigestUpdate(ctx, ccs_login_digest(login), CCS_LOGIN_DIGEST_SIZE) == 1) &&
         EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok ? CCS_OK : ccs_error_ssl(err, CCS_ESSL, "no digest can be made for ccs-agent");
}

static int add_login(const struct ccs_login *login, struct ccs_agent_store *t,
                     struct ccs_error *err)
{
    struct ccs_login_texts texts;

    if (login == NULL)
        return CCS_OK;
    if (!ccs_login_get(login, &texts)) {
        return ccs_error_set(err, CCS_EUNAVAIL,
                             "ccs-agent cannot be started here, because the credentials of the "
                             "store are kept from processes that serve: start it before they are "
                             "made, or reload the configuration");
    }
    (void)snprintf(t->user, sizeof(t->user), "%s", texts.user);
    (void)snprintf(t->domain, sizeof(t->domain), "%s", texts.domain);
    (void)snprintf(t->password, sizeof(t->password), "%s", texts.password);
    return CCS_OK;
}

/* Puts it on the list, unless another thread has started the same one meanwhile. */
static struct ccs_agent *enter(struct ccs_agent *agent)
{
    struct ccs_agent *same;

    pthread_mutex_lock(&list_lock);
    same = find_locked(agent->fingerprint, agent->location);
    if (same == NULL)
        LIST_INSERT_HEAD(&list, agent, entry);
    pthread_mutex_unlock(&list_lock);
    if (same == NULL)
        return agent;
    close(agent->control);
    free(agent);
    return same;
}

static int start(const struct ccs_login *login, const char *executable,
                 struct ccs_agent_setup *setup, struct ccs_agent **out, struct ccs_error *err)
{
    struct ccs_agent *agent = calloc(1, sizeof(*agent));
    int rv;

    if (agent == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to start ccs-agent");
    agent->refs = 1;
    rv = fingerprint(setup, login, executable, agent->fingerprint, err);
    if (rv != CCS_OK)
        goto fail;
    *out = find(agent->fingerprint, setup->store[0].location);
    if (*out != NULL)
        goto fail; /* nothing failed, but this one is not needed */
    memcpy(agent->location, setup->store[0].location, sizeof(agent->location));
    rv = add_login(login, &setup->store[0], err);
    if (rv == CCS_OK)
        rv = ccs_agent_spawn(executable, setup, &agent->control, &agent->pid, err);
    if (rv != CCS_OK)
        goto fail;
    *out = enter(agent);
    return CCS_OK;
fail:
    free(agent);
    return rv;
}

int ccs_agent_start_as(const struct ccs_config *cfg, const char *executable, struct ccs_agent **out,
                       struct ccs_error *err)
{
    char found[PATH_MAX];
    struct ccs_store_place *place;
    struct ccs_agent_setup *setup;
    struct ccs_agent *agent = NULL;
    struct ccs_settings s;
    int rv;

    if (cfg == NULL)
        return ccs_error_set(err, CCS_EINVAL, "an agent needs a configuration");
    ccs_config_values(cfg, &s);
    place = malloc(sizeof(*place));
    setup = malloc(sizeof(*setup));
    if (place == NULL || setup == NULL) {
        rv = ccs_error_set(err, CCS_ENOMEM, "no memory to start ccs-agent");
        goto out;
    }
    rv = ccs_store_find(s.store, s.agent_mode, place, err);
    if (rv != CCS_OK || !is_to_start(&s, place))
        goto out;
    if (executable == NULL) {
        rv = find_executable(found, sizeof(found), err);
        executable = found;
    }
    if (rv != CCS_OK)
        goto out;
    fill_setup(&s, place, setup);
    rv = start(s.login, executable, setup, &agent, err);
out:
    if (setup != NULL)
        ccs_wipe(setup, sizeof(*setup));
    free(setup);
    free(place);
    if (rv == CCS_OK)
        *out = agent;
    return rv;
}

int ccs_agent_start(const struct ccs_config *cfg, struct ccs_agent **out, struct ccs_error *err)
{
    return ccs_agent_start_as(cfg, NULL, out, err);
}

int ccs_agent_check(const struct ccs_config *cfg, struct ccs_error *err)
{
    char found[PATH_MAX];
    struct ccs_store_place *place;
    struct ccs_settings s;
    int rv;

    if (cfg == NULL)
        return ccs_error_set(err, CCS_EINVAL, "an agent needs a configuration");
    ccs_config_values(cfg, &s);
    place = malloc(sizeof(*place));
    if (place == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "no memory to look for ccs-agent");
    rv = ccs_store_find(s.store, s.agent_mode, place, err);
    if (rv == CCS_OK && is_to_start(&s, place))
        rv = find_executable(found, sizeof(found), err);
    free(place);
    return rv;
}

struct ccs_agent *ccs_agent_previous(const struct ccs_config *cfg)
{
    struct ccs_store_place *place = malloc(sizeof(*place));
    struct ccs_agent *agent = NULL;
    struct ccs_settings s;

    if (place == NULL || cfg == NULL)
        goto out;
    ccs_config_values(cfg, &s);
    if (ccs_store_find(s.store, s.agent_mode, place, NULL) == CCS_OK &&
        place->way == CCS_STORE_AGENT)
        agent = find(NULL, place->path);
out:
    free(place);
    return agent;
}

/* -- connecting -------------------------------------------------------------------------------- */

int ccs_agent_connect(const struct ccs_agent *agent, int *fd, struct ccs_error *err)
{
    char what = CCS_AGENT_CONNECT;
    struct iovec iov = {.iov_base = &what, .iov_len = 1};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    int pair[2];
    ssize_t n;
    int errnum;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "no connection to ccs-agent can be made");
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
    do
        n = sendmsg(agent->control, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    errnum = n < 0 ? errno : 0;
    close(pair[1]);
    if (errnum == 0) {
        *fd = pair[0];
        return CCS_OK;
    }
    close(pair[0]);
    if (errnum == EAGAIN || errnum == ETOOMANYREFS || errnum == ENOBUFS)
        return ccs_error_sys(err, CCS_EBUSY, errnum, "ccs-agent does not take connections");
    return ccs_error_set(err, CCS_EUNAVAIL,
                         "ccs-agent has ended: reload or restart the server to start it anew");
}

int ccs_agent_connect_path(const char *path, int *fd, struct ccs_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char shown[SHOWN];
    int errnum;
    int s;

    if (strlen(path) >= sizeof(address.sun_path))
        return ccs_error_set(err, CCS_EINVAL, "the path of the agent's socket is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "no connection to ccs-agent can be made");
    if (connect(s, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        *fd = s;
        return CCS_OK;
    }
    errnum = errno;
    close(s);
    ccs_printable(shown, sizeof(shown), path, strlen(path));
    if (errnum == EAGAIN || errnum == EINTR)
        return ccs_error_sys(err, CCS_EBUSY, errnum, "ccs-agent at %s does not take connections",
                             shown);
    return ccs_error_sys(err, CCS_EUNAVAIL, errnum,
                         "no ccs-agent can be reached at %s: start it, or let this user connect",
                         shown);
}
