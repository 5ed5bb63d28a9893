/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

/* -- processes ------------------------------------------------------------------------------ */

/* What the process calls itself, cut to fifteen octets by the kernel; new, or NULL. */
static char *comm_of(pid_t pid)
{
    char dir[40];

    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    return ccs_tmp_read(dir, "comm", NULL);
}

static int is_supervisor(pid_t pid)
{
    char *comm = comm_of(pid);
    const int is = comm != NULL && strcmp(comm, "ccs-agent\n") == 0;

    free(comm);
    return is;
}

/* Its role is in its name, if perhaps cut. */
static int has_role(pid_t pid, const char *role)
{
    char *comm = comm_of(pid), start[6];
    int has;

    snprintf(start, sizeof(start), "%s", role);
    has = comm != NULL && strncmp(comm, "ccs-", 4) == 0 && strstr(comm, start) != NULL;
    free(comm);
    return has;
}

size_t ccs_share_agents(pid_t *out)
{
    pid_t children[CCS_SHARE_PIDS];
    const size_t all = ccs_process_children(getpid(), NULL, children, CCS_SHARE_PIDS);
    size_t count = 0;

    for (size_t i = 0; i < all; i++) {
        if (is_supervisor(children[i]))
            out[count++] = children[i];
    }
    return count;
}

static int have_agents(void *arg)
{
    pid_t pids[CCS_SHARE_PIDS];

    return ccs_share_agents(pids) == *(const size_t *)arg;
}

void ccs_share_wait_agents(size_t count)
{
    pid_t pids[CCS_SHARE_PIDS];

    if (!ccs_wait_until(have_agents, &count, 0))
        fail_msg("%zu agents run instead of %zu", ccs_share_agents(pids), count);
}

pid_t ccs_share_agent(void)
{
    pid_t pids[CCS_SHARE_PIDS];
    const size_t count = ccs_share_agents(pids);

    if (count != 1)
        fail_msg("%zu agents run instead of one", count);
    return pids[0];
}

/* Below a process, itself not included, however deep. */
static size_t descendants(pid_t pid, pid_t *out, size_t max)
{
    size_t count = ccs_process_children(pid, NULL, out, max);

    for (size_t i = 0; i < count && count < max; i++)
        count += ccs_process_children(out[i], NULL, out + count, max - count);
    return count;
}

size_t ccs_share_family(pid_t agent, pid_t *out)
{
    out[0] = agent;
    return 1 + descendants(agent, out + 1, CCS_SHARE_PIDS - 1);
}

pid_t ccs_share_find(pid_t agent, const char *role)
{
    pid_t pids[CCS_SHARE_PIDS];
    const size_t count = ccs_share_family(agent, pids);

    for (size_t i = 1; i < count; i++) {
        if (has_role(pids[i], role))
            return pids[i];
    }
    return 0;
}

struct wanted {
    pid_t agent;
    const char *role;
    pid_t except;
    pid_t found;
};

static int is_found(void *arg)
{
    struct wanted *wanted = arg;

    wanted->found = ccs_share_find(wanted->agent, wanted->role);
    return wanted->found != 0 && wanted->found != wanted->except;
}

pid_t ccs_share_process(pid_t agent, const char *role, pid_t except)
{
    struct wanted wanted = {.agent = agent, .role = role, .except = except};

    if (!ccs_wait_until(is_found, &wanted, 0))
        fail_msg("the agent has no %s%s", role, except != 0 ? " but the old one" : "");
    return wanted.found;
}

static int is_gone(void *arg)
{
    const pid_t pid = *(const pid_t *)arg;
    char dir[40], *text, *at;
    int gone;

    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    text = ccs_tmp_read(dir, "stat", NULL);
    at = text != NULL ? strrchr(text, ')') : NULL;
    gone = at == NULL || strncmp(at, ") Z", 3) == 0;
    free(text);
    return gone;
}

void ccs_share_wait_gone(pid_t pid)
{
    if (!ccs_wait_until(is_gone, &pid, 0))
        fail_msg("process %d goes on living", (int)pid);
}

/* -- setup and teardown --------------------------------------------------------------------- */

int ccs_share_setup(void **state)
{
    struct ccs_share *share = calloc(1, sizeof(*share));
    void *farm = NULL;

    assert_non_null(share);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    ccs_farm_setup(&farm);
    share->farm = farm;
    if (geteuid() == 0)
        snprintf(share->user, sizeof(share->user), "nobody");
    *state = share;
    return 0;
}

static int none_left(void *arg)
{
    pid_t pids[CCS_SHARE_PIDS];

    (void)arg;
    return descendants(getpid(), pids, CCS_SHARE_PIDS) == 0;
}

static void reap_all(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

/* Everything below this process should have ended with its server. */
static int end_orphans(void)
{
    pid_t pids[CCS_SHARE_PIDS];
    size_t count;

    if (ccs_wait_until(none_left, NULL, 0)) {
        reap_all();
        return 0;
    }
    count = descendants(getpid(), pids, CCS_SHARE_PIDS);
    for (size_t i = 0; i < count; i++) {
        char *comm = comm_of(pids[i]);

        fprintf(stderr, "outlives its server: %d %s", (int)pids[i], comm != NULL ? comm : "\n");
        free(comm);
        (void)kill(pids[i], SIGKILL);
    }
    (void)ccs_wait_until(none_left, NULL, 0);
    reap_all();
    return -1;
}

/* The agent writes to what was nginx's standard error when it was started. */
static int agent_reports(const char *dir)
{
    static const char *const files[] = {"output", "error.log"};
    static const char *const words[] = {"Sanitizer", "runtime error:"};
    int bad = 0;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *text = ccs_tmp_read(dir, files[i], NULL);

        for (size_t j = 0; text != NULL && j < sizeof(words) / sizeof(words[0]); j++) {
            if (strstr(text, words[j]) != NULL) {
                fprintf(stderr, "%s\n", text);
                bad = 1;
                break;
            }
        }
        free(text);
    }
    return bad;
}

int ccs_share_teardown(void **state)
{
    struct ccs_share *share = *state;
    void *farm = share->farm;
    struct ccs_nginx *nginx = &share->farm->nginx;
    int bad = 0;

    ccs_smbd_stop(&share->smbd);
    /* Before its folder goes. */
    if (nginx->pid > 0) {
        ccs_process_end(nginx->pid);
        nginx->pid = 0;
    }
    bad |= end_orphans();
    bad |= agent_reports(share->farm->tmp.path);
    free(share);
    bad |= ccs_farm_teardown(&farm);
    *state = NULL;
    return bad ? -1 : 0;
}

/* -- configuration -------------------------------------------------------------------------- */

void ccs_share_start(struct ccs_share *share, const struct ccs_smbd_spec *spec)
{
    struct ccs_smbd_spec own = {.folder = share->farm->store};

    if (spec != NULL) {
        own = *spec;
        own.folder = share->farm->store;
    }
    ccs_smbd_start(&share->smbd, &own);
    ccs_smbd_unc(&share->smbd, "certs", share->location, sizeof(share->location));
    ccs_smbd_credentials(&share->smbd, share->farm->tmp.path, "credentials", NULL);
}

const char *ccs_share_conf(struct ccs_share *share, const char *location, const char *more)
{
    int n = snprintf(share->http, sizeof(share->http),
                     CCS_FARM_TLS "ccs on; ccs_store %s; ccs_credentials_file @DIR@/credentials;\n"
                                  "%s%s%s%s" CCS_FARM_SERVER,
                     location != NULL ? location : share->location,
                     share->user[0] != '\0' ? "ccs_agent_user " : "", share->user,
                     share->user[0] != '\0' ? ";\n" : "", more);

    assert_true(n > 0 && (size_t)n < sizeof(share->http));
    return share->http;
}

void ccs_share_run(struct ccs_share *share, const char *more, int workers)
{
    struct ccs_nginx_spec spec = {.http = ccs_share_conf(share, NULL, more), .workers = workers};

    ccs_nginx_run(&share->farm->nginx, share->farm->tmp.path, &spec);
}

void ccs_share_start_run(struct ccs_share *share, const char *more)
{
    ccs_share_start(share, NULL);
    ccs_share_run(share, more, 1);
}

/* -- answers -------------------------------------------------------------------------------- */

void ccs_share_expect_error(const struct ccs_share *share, const char *sni)
{
    struct ccs_tls_spec spec = ccs_farm_ask(share->farm, sni);

    ccs_farm_expect_alert(&spec, CCS_ALERT_INTERNAL_ERROR);
}

struct hope {
    struct ccs_tls_spec spec;
    struct ccs_tls_result result;
};

static int is_error(void *arg)
{
    struct hope *hope = arg;

    (void)ccs_tls_client_once(&hope->spec, &hope->result, NULL);
    return hope->result.alert == CCS_ALERT_INTERNAL_ERROR;
}

void ccs_share_wait_error(const struct ccs_share *share, const char *sni)
{
    struct hope hope = {.spec = ccs_farm_ask(share->farm, sni)};

    if (!ccs_wait_until(is_error, &hope, 0))
        fail_msg("%s: end %d, alert %d, \"%s\"", sni, hope.result.end, hope.result.alert,
                 hope.result.body);
}
