/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the files behind what is cached, and telling which are gone for good. */
#include <stdlib.h>
#include <string.h>

#include "looker.h"
#include "suspect.h"

#define UNANSWERED_MAX 3
#define LOOK_REST      10 /* times its own duration that pass between two looks at everything */

/* -- what is missing ----------------------------------------------------------------------- */

static int missing_compare(const void *a, const void *b)
{
    const struct ccs_missing *m = a;
    const struct ccs_missing *n = b;

    return strcmp(m->file, n->file);
}

static struct ccs_missing *find_missing(struct ccs_looker *l, const char *file)
{
    size_t low = 0;
    size_t high = l->missing_count;
    size_t middle;
    int order;

    while (low < high) {
        middle = low + (high - low) / 2;
        order = strcmp(l->missing[middle].file, file);
        if (order == 0)
            return &l->missing[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void ccs_glance_arrived(struct ccs_looker *l, const char *file)
{
    struct ccs_missing *m = find_missing(l, file);

    if (m != NULL) {
        l->missing_count--;
        memmove(m, m + 1, (size_t)(l->missing + l->missing_count - m) * sizeof(*m));
    }
}

/* -- looking ------------------------------------------------------------------------------- */

static void tell_removed(struct ccs_refresh *r, const char *stem)
{
    if (ccs_refresh_enter_ops(r)) {
        r->ops.removed(stem, r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
}

static size_t ask_cached(struct ccs_refresh *r, struct ccs_cached_file **out)
{
    size_t n = 0;

    *out = NULL;
    if (ccs_refresh_enter_ops(r)) {
        n = r->ops.cached(out, r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
    return n;
}

/* One look at what is cached. */
struct glance {
    struct ccs_missing *missing; /* room for one more than cached */
    size_t missing_count;
    size_t respelled; /* of them */
    size_t found;
    size_t total;
    unsigned unanswered;
};

static int is_gone(const struct ccs_looker *l, const char *file)
{
    for (size_t i = 0; i < l->gone_count; i++)
        if (strcmp(l->gone[i], file) == 0)
            return 1;
    return 0;
}

/* Whether something came or changed since that nobody has taken care of. */
static int is_outdated(struct ccs_refresh *r, const struct ccs_cached_file *c)
{
    return ccs_index_is_outdated(r->index, ccs_index_hash(r->index, c->stem, strlen(c->stem)),
                                 c->loaded_for);
}

/* Whether a listing has found that a stem lacks a file. */
static int is_lacking(const struct ccs_refresh *r, const char *stem)
{
    const struct ccs_looker *l = &r->look;
    uint64_t hash;

    if (l->went_count > CCS_GONE_MAX)
        return 1;
    hash = l->went_count > 0 ? ccs_index_hash(r->index, stem, strlen(stem)) : 0;
    for (size_t i = 0; i < l->went_count; i++) {
        if (l->went[i] == hash)
            return 1;
    }
    return 0;
}

/*
 * Whether a file that is missing is there by another of its names; *answered is 0 if nothing can be
 * said.
 */
static int is_respelled(struct ccs_refresh *r, const struct ccs_cached_file *c, int *answered)
{
    const uint64_t hash = ccs_index_hash(r->index, c->stem, strlen(c->stem));
    char stem[CCS_STEM_SIZE];
    char file[3][CCS_FILE_NAME_SIZE];
    struct ccs_stamp stamp;
    enum ccs_file_kind kind;
    int unicode;
    int rv = CCS_ENOTFOUND;

    *answered = 1;
    if (ccs_name_from_file(c->file, strlen(c->file), stem, &kind, &unicode) != CCS_OK)
        return 0;
    if (ccs_name_file(stem, kind, file[0]) != CCS_OK)
        file[0][0] = '\0';
    if (ccs_name_file_unicode(stem, kind, file[1]) != CCS_OK)
        file[1][0] = '\0';
    if (ccs_index_spelling(r->index, hash, kind, file[2], NULL) != CCS_OK)
        file[2][0] = '\0';
    for (size_t i = 0; i < CCS_ARRAY_LEN(file) && rv != CCS_OK && *answered; i++) {
        if (file[i][0] == '\0' || strcmp(file[i], c->file) == 0)
            continue;
        ccs_refresh_enter_store(r, r->times.hang);
        rv = ccs_store_stat(r->store, file[i], &stamp, NULL);
        *answered = ccs_refresh_leave_store(r) && ccs_refresh_is_up(r);
    }
    return rv == CCS_OK;
}

/* 0 if nothing can be said because the store does not answer. */
static int glance_at(struct ccs_refresh *r, const struct ccs_cached_file *c, struct glance *g)
{
    const struct ccs_missing *before = find_missing(&r->look, c->file);
    struct ccs_missing *m = &g->missing[g->missing_count];
    struct ccs_stamp stamp;
    int respelled = 0;
    int answered = 1;
    int rv;

    ccs_refresh_enter_store(r, r->times.hang);
    rv = ccs_store_stat(r->store, c->file, &stamp, NULL);
    if (!ccs_refresh_leave_store(r) || !ccs_refresh_is_up(r))
        return 0;
    /* One file that cannot be read is its own trouble, several are the store's. */
    if (rv == CCS_EUNAVAIL && (!ccs_looker_probe(r) || ++g->unanswered > UNANSWERED_MAX))
        return 0;
    if (rv == CCS_OK && before != NULL)
        ccs_indexer_arrived(r, c->file);
    if (rv == CCS_OK && !ccs_stamp_equal(&stamp, &c->stamp)) {
        ccs_indexer_changed(r, c->stem);
        ccs_refresh_tell_changed(r, c->stem);
    } else if (rv == CCS_OK && is_outdated(r, c)) {
        ccs_refresh_tell_changed(r, c->stem);
    }
    if (rv == CCS_ENOTFOUND)
        respelled = is_respelled(r, c, &answered);
    if (!answered)
        return 0;
    if (rv == CCS_ENOTFOUND && !respelled)
        ccs_indexer_absent(r, c->file);
    if (rv != CCS_ENOTFOUND && (rv != CCS_EUNAVAIL || before == NULL)) {
        g->found++;
        return 1;
    }
    memcpy(m->stem, c->stem, sizeof(m->stem));
    memcpy(m->file, c->file, sizeof(m->file));
    /* Only looks that found it absent count: without an answer they begin anew. */
    m->since = rv == CCS_ENOTFOUND && before != NULL ? before->since : ccs_now_ms();
    m->respelled = respelled;
    g->respelled += (size_t)respelled;
    g->missing_count++;
    return 1;
}

static void warn_suspect(struct ccs_refresh *r, const struct glance *g, int suspect, int homely)
{
    if (!ccs_looker_suspect(&r->look, CCS_SUSPECT_GLANCE,
                            suspect || (!homely && g->missing_count > 0)))
        return;
    if (suspect) {
        ccs_log(r->log, CCS_LOG_WARN,
                "%zu of the %zu files in use are missing in the store at once: they stay in "
                "service until that is over, or for the time of the setting stale",
                g->missing_count, g->total);
    } else {
        ccs_log(r->log, CCS_LOG_WARN,
                "the store is another folder than before and %zu of the %zu files in use are "
                "missing in it: they stay in service for the time of the setting stale",
                g->missing_count, g->total);
    }
}

static int stop_at_first(const char *file, size_t len, void *arg)
{
    (void)file;
    (void)len;
    *(int *)arg = 0;
    return 1;
}

/*
 * An empty folder looks like one whose contents were lost, or whose share is not mounted, far more
 * often than like one that somebody has cleared on purpose.
 */
static int is_empty(struct ccs_refresh *r)
{
    int empty = 1;
    int rv;

    ccs_refresh_enter_store(r, r->times.hang_list);
    rv = ccs_store_list(r->store, stop_at_first, &empty, NULL);
    return ccs_refresh_leave_store(r) && rv == CCS_OK && empty;
}

/* Tells of files that are gone for good and keeps the others for another look. */
static void judge_missing(struct ccs_refresh *r, const struct glance *g)
{
    struct ccs_looker *l = &r->look;
    const int homely = ccs_same_root(&l->root, &l->home);
    const int suspect = ccs_suspect(g->total, g->missing_count, false) ||
                        (g->missing_count > 0 &&
                         ccs_suspect(g->total, g->missing_count, is_empty(r)));
    const int64_t now = ccs_now_ms();
    const int64_t wait = ccs_later(suspect || !homely ? r->times.stale : 0, r->times.apart);
    struct ccs_missing m;
    int64_t apart;
    size_t kept = 0;

    warn_suspect(r, g, suspect, homely);
    l->due_missing = CCS_NEVER;
    for (size_t i = 0; i < l->missing_count; i++) {
        m = l->missing[i];
        apart = m.respelled ? r->times.apart : wait;
        if (now - m.since >= apart && (m.respelled || ccs_indexer_may_go(r, m.file))) {
            tell_removed(r, m.stem);
            continue;
        }
        l->due_missing = ccs_earlier(l->due_missing,
                                     ccs_later(m.since + apart, now + r->times.tick));
        l->missing[kept++] = m;
    }
    l->missing_count = kept;
}

void ccs_glance(struct ccs_refresh *r, int all)
{
    struct ccs_looker *l = &r->look;
    const int64_t began = ccs_now_ms();
    struct ccs_cached_file *cached = NULL;
    struct glance g = {NULL, 0, 0, 0, 0, 0};
    unsigned breaks;
    int leads = 1;
    int ok = 1;

    l->due_look = all ? began + r->times.refresh : l->due_look;
    l->due_missing = began + r->times.tick;
    if (!ccs_looker_probe(r))
        return;
    breaks = l->breaks;
    g.total = ask_cached(r, &cached);
    g.missing = calloc(g.total + 1, sizeof(*g.missing));
    if (g.missing == NULL) {
        free(cached);
        return;
    }
    for (size_t i = 0; i < g.total && ok && leads; i++) {
        if (!all && !is_gone(l, cached[i].file) && find_missing(l, cached[i].file) == NULL &&
            !is_lacking(r, cached[i].stem))
            continue;
        leads = ccs_indexer_leads(r);
        if (leads)
            ok = glance_at(r, &cached[i], &g);
    }
    free(cached);
    /* Who looks after the store from now on looks at all of them. */
    if (!leads || ccs_refresh_is_stopping(r))
        goto out;
    if (all) {
        l->look_allowed = ccs_now_ms() +
                          ccs_earlier((ccs_now_ms() - began) * LOOK_REST, r->times.refresh);
    }
    if (!ok) {
        ccs_looker_doubt(r);
        goto out;
    }
    l->gone_count = l->went_count = 0;
    if ((g.missing_count > 0 && !ccs_looker_probe(r)) || breaks != l->breaks)
        goto out;
    /* A folder that holds most of what is cached is the store, wherever it came from. */
    if (all && (g.total == 0 || (g.found > 0 && g.found * 2 >= g.total)))
        l->home = l->root;
    qsort(g.missing, g.missing_count, sizeof(*g.missing), missing_compare);
    free(l->missing);
    l->missing = g.missing;
    l->missing_count = g.missing_count;
    g.missing = NULL;
    g.missing_count -= g.respelled;
    judge_missing(r, &g);
out:
    free(g.missing);
}
