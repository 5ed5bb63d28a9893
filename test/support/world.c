/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "instance.h"
#include "name.h"
#include "wait.h"

static void keep_line(enum ccs_level level, const char *line, void *arg)
{
    struct ccs_world *w = arg;
    size_t used;

    (void)level;
    pthread_mutex_lock(&w->log_lock);
    used = strlen(w->log);
    snprintf(w->log + used, sizeof(w->log) - used, "%s\n", line);
    pthread_mutex_unlock(&w->log_lock);
}

struct ccs_world *ccs_world_new(const char *const *settings)
{
    return ccs_world_new_in(NULL, settings);
}

struct ccs_world *ccs_world_new_in(struct ccs_shared *shared, const char *const *settings)
{
    struct ccs_world *w = calloc(1, sizeof(*w));
    struct ccs_error err;

    assert_non_null(w);
    pthread_mutex_init(&w->log_lock, NULL);
    w->ca = ccs_pki_ca_new();
    w->fake = fake_store_new();
    fake_store_set_auto_events(w->fake, 1);
    w->cfg = ccs_config_new();
    assert_non_null(w->cfg);
    ccs_config_set_log(w->cfg, CCS_LOG_DEBUG, keep_line, w, 0);
    assert_int_equal(ccs_config_set(w->cfg, "store", "/scripted", &err), CCS_OK);
    assert_int_equal(ccs_config_set(w->cfg, "wait", "30s", &err), CCS_OK);
    for (; settings != NULL && *settings != NULL; settings += 2) {
        if (ccs_config_set(w->cfg, settings[0], settings[1], &err) != CCS_OK)
            fail_msg("%s %s: %s", settings[0], settings[1], err.text);
    }
    ccs_config_set_shared(w->cfg, shared);
    if (ccs_open_with(w->cfg, fake_store_base(w->fake), &w->ccs, &err) != CCS_OK)
        fail_msg("ccs_open_with: %s", err.text);
    return w;
}

void ccs_world_free(struct ccs_world *w)
{
    if (w == NULL)
        return;
    fake_store_unblock(w->fake);
    ccs_close(w->ccs);
    fake_store_free(w->fake);
    ccs_config_free(w->cfg);
    ccs_pki_ca_free(w->ca);
    pthread_mutex_destroy(&w->log_lock);
    free(w);
}

void ccs_world_put(struct ccs_world *w, const char *names, const char *file, char fingerprint[65])
{
    struct ccs_pki_spec spec = {.names = names};
    struct ccs_pki_leaf leaf = {0};
    struct ccs_pki_bytes bytes;

    ccs_pki_issue(w->ca, &spec, &leaf);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    if (fingerprint != NULL)
        memcpy(fingerprint, leaf.fingerprint, 65);
    ccs_world_put_bytes(w, file, bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    ccs_pki_leaf_clear(&leaf);
}

struct put {
    struct ccs_world *w;
    uint64_t hash;
    unsigned kinds;
};

static int has_heard(void *arg)
{
    struct put *put = arg;
    struct ccs *ccs = put->w->ccs;
    struct ccs_index_name name;

    return !ccs_lease_check(ccs->layout->leases, &ccs->lease) || atomic_load(&ccs->store_down) ||
           (ccs_index_lookup(&ccs->index, put->hash, &name) == CCS_INDEX_PRESENT &&
            (name.kinds & put->kinds) != 0 && fake_store_is_told(put->w->fake));
}

void ccs_world_put_bytes(struct ccs_world *w, const char *file, const void *data, size_t len)
{
    struct put put = {.w = w};
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind kind;
    int unicode;

    fake_store_put(w->fake, file, data, len);
    if (ccs_name_from_file(file, strlen(file), stem, &kind, &unicode) != CCS_OK)
        return;
    put.hash = ccs_index_hash(&w->ccs->index, stem, strlen(stem));
    put.kinds = 1u << kind;
    (void)ccs_wait_until(has_heard, &put, 10000);
}

static int take(struct ccs_answer *answer, enum ccs_result *result, char fingerprint[65])
{
    if (result != NULL)
        *result = answer->result;
    if (fingerprint != NULL)
        snprintf(fingerprint, 65, "%s",
                 answer->code == CCS_OK ? ccs_cred_fingerprint(answer->cred) : "");
    if (answer->code == CCS_OK)
        ccs_cred_unref(answer->cred);
    return answer->code;
}

int ccs_world_ask(struct ccs_world *w, const char *name, enum ccs_result *result,
                  char fingerprint[65])
{
    struct ccs_answer answer;

    (void)ccs_acquire(w->ccs, name, strlen(name), -1, &answer);
    return take(&answer, result, fingerprint);
}

struct awaited {
    struct ccs_world *w;
    const char *name, *text;
};

static int has_answer(void *arg)
{
    struct awaited *a = arg;
    struct ccs_answer answer;
    char fingerprint[65];
    int rv = ccs_lookup(a->w->ccs, a->name, strlen(a->name), &answer);

    if (rv == CCS_PENDING)
        return 0;
    take(&answer, NULL, fingerprint);
    return strcmp(fingerprint, a->text) == 0;
}

int ccs_world_await(struct ccs_world *w, const char *name, const char *fingerprint)
{
    struct awaited a = {w, name, fingerprint};

    return ccs_wait_until(has_answer, &a, 0);
}

struct expected {
    struct ccs_world *w;
    const char *name;
    int code;
};

static int has_code(void *arg)
{
    struct expected *e = arg;

    return ccs_world_ask(e->w, e->name, NULL, NULL) == e->code;
}

int ccs_world_await_code(struct ccs_world *w, const char *name, int code)
{
    struct expected e = {w, name, code};

    return ccs_wait_until(has_code, &e, 0);
}

int ccs_world_logged(struct ccs_world *w, const char *text)
{
    int n = 0;

    pthread_mutex_lock(&w->log_lock);
    for (const char *at = w->log; (at = strstr(at, text)) != NULL; at++)
        n++;
    pthread_mutex_unlock(&w->log_lock);
    return n;
}

static int has_line(void *arg)
{
    struct awaited *a = arg;

    return ccs_world_logged(a->w, a->text) > 0;
}

int ccs_world_await_log(struct ccs_world *w, const char *text)
{
    struct awaited a = {w, NULL, text};

    return ccs_wait_until(has_line, &a, 0);
}
