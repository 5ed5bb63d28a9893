/* SPDX-License-Identifier: Apache-2.0 */
/* What the looker writes into the index of names: listings, arrivals, removals. */
#include <inttypes.h>
#include <string.h>

#include "looker.h"

/* -- being the one who writes -------------------------------------------------------------- */

static void stop_writing(struct ccs_looker *l)
{
    ccs_index_writer_close(l->writer);
    l->writer = NULL;
    l->due_list = CCS_NEVER;
}

static uint64_t ask_token(struct ccs_refresh *r)
{
    uint64_t token = 0;

    if (ccs_refresh_enter_ops(r)) {
        token = r->ops.token(r->ops.arg);
        ccs_refresh_leave_ops(r);
    }
    return token;
}

int ccs_indexer_leads(struct ccs_refresh *r)
{
    return ask_token(r) == r->look.token;
}

static void start_writing(struct ccs_refresh *r, int64_t now)
{
    struct ccs_looker *l = &r->look;
    struct ccs_error err;

    if (ccs_index_writer_open(r->index, l->token, &l->writer, &err) != CCS_OK) {
        l->due_open = now + r->times.tick;
        if (!l->open_warned)
            ccs_log(r->log, CCS_LOG_WARN, "names are looked for in the store one by one: %s",
                    err.text);
        l->open_warned = 1;
        return;
    }
    l->open_warned = 0;
    ccs_index_set_away(r->index, !ccs_refresh_is_up(r));
    /* What the index says may be what an earlier process has left. */
    ccs_index_note_doubt(l->writer, true);
    l->due_watch = now;
    l->due_list = ccs_later(now, l->list_allowed);
}

void ccs_indexer_lead(struct ccs_refresh *r)
{
    struct ccs_looker *l = &r->look;
    const uint64_t token = ask_token(r);
    const int64_t now = ccs_now_ms();

    if (token != l->token) {
        stop_writing(l);
        l->missing_count = l->gone_count = 0;
        l->went_count = 0;
        l->due_missing = CCS_NEVER;
        if (token == 0)
            l->due_look = CCS_NEVER;
        l->due_watch = l->due_open = now;
        l->token = token;
    }
    if (token != 0 && l->writer == NULL && now >= l->due_open)
        start_writing(r, now);
}

/* What could not be written is found by a listing, if anybody may write at all. */
static void take_result(struct ccs_refresh *r, int rv)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    switch (rv) {
    case CCS_ECANCELED:
    case CCS_EUNAVAIL:
        stop_writing(l);
        l->due_open = now + r->times.tick;
        break;
    case CCS_ENOMEM:
    case CCS_EBUSY:
        l->due_list = ccs_earlier(l->due_list, ccs_later(now + r->times.tick, l->list_allowed));
        break;
    default:
        break;
    }
}

void ccs_indexer_beat(struct ccs_refresh *r)
{
    if (r->look.writer != NULL)
        take_result(r, ccs_index_beat(r->look.writer, ccs_now_ms()));
}

void ccs_indexer_doubt(struct ccs_refresh *r)
{
    if (r->look.writer != NULL)
        ccs_index_note_doubt(r->look.writer, true);
}

/* -- one file ------------------------------------------------------------------------------ */

void ccs_indexer_arrived(struct ccs_refresh *r, const char *file)
{
    if (r->look.writer != NULL)
        take_result(r, ccs_index_note_present(r->look.writer, file, strlen(file)));
}

void ccs_indexer_absent(struct ccs_refresh *r, const char *file)
{
    if (r->look.writer != NULL)
        take_result(r, ccs_index_note_absent(r->look.writer, file, strlen(file), ccs_now_ms()));
}

void ccs_indexer_changed(struct ccs_refresh *r, const char *stem)
{
    if (r->look.writer != NULL)
        take_result(r, ccs_index_note_changed(r->look.writer,
                                              ccs_index_hash(r->index, stem, strlen(stem))));
}

static struct ccs_index_judge judge_of(const struct ccs_refresh *r)
{
    return (struct ccs_index_judge){
        .now_ms = ccs_now_ms(),
        .apart_ms = r->times.apart,
        .stale_ms = r->times.stale,
        .foreign = !ccs_same_root(&r->look.root, &r->look.home),
    };
}

int ccs_indexer_may_go(struct ccs_refresh *r, const char *file)
{
    const struct ccs_index_judge judge = judge_of(r);
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind kind;
    int unicode, rv;

    if (r->look.writer == NULL ||
        ccs_name_from_file(file, strlen(file), stem, &kind, &unicode) != CCS_OK)
        return 1;
    rv = ccs_index_note_gone(r->look.writer, ccs_index_hash(r->index, stem, strlen(stem)), kind,
                             &judge, NULL);
    take_result(r, rv);
    return rv != CCS_PENDING;
}

/* -- a listing ----------------------------------------------------------------------------- */

static void on_came(const char *stem, uint64_t hash, void *arg)
{
    (void)hash;
    ccs_refresh_tell_changed(arg, stem);
}

static void on_went(uint64_t hash, bool all, void *arg)
{
    struct ccs_refresh *r = arg;
    struct ccs_looker *l = &r->look;

    (void)all;
    if (l->went_count < CCS_GONE_MAX)
        l->went[l->went_count] = hash;
    l->went_count++;
}

/* Nothing can be said of the names; whoever waits for a listing goes on without. */
static void listing_failed(struct ccs_refresh *r, int rv, const struct ccs_error *err)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    take_result(r, rv == CCS_ECANCELED ? rv : CCS_OK);
    l->due_list = l->writer == NULL
                      ? CCS_NEVER
                      : now + ccs_looker_back_off(&l->list_pause, r->times.tick, r->times.refresh);
    if (l->writer == NULL)
        return;
    ccs_index_scan_failed(l->writer);
    ccs_looker_doubt(r);
    if (!l->list_warned)
        ccs_log(r->log, CCS_LOG_WARN,
                "the store cannot be listed, files in upper case or in Unicode may not be found: "
                "%s",
                err->text);
    l->list_warned = 1;
}

static void warn_of_names(struct ccs_refresh *r, const struct ccs_index_scanned *s, int full)
{
    struct ccs_looker *l = &r->look;

    if (full && !l->full_warned)
        ccs_log(r->log, CCS_LOG_WARN,
                "the names of the %" PRIu64
                " files in the store do not fit into the shared memory, so that unknown names are "
                "looked for there: make cache_size larger",
                s->files);
    l->full_warned = full;
    if (s->odd_left_out > 0 && !l->left_out_warned)
        ccs_log(r->log, CCS_LOG_WARN,
                "too many files are not called in lower case ASCII: %" PRIu64
                " of them are not found; make cache_size larger",
                s->odd_left_out);
    l->left_out_warned = s->odd_left_out > 0;
    if (ccs_looker_suspect(l, CCS_SUSPECT_LISTING, s->suspect))
        ccs_log(r->log, CCS_LOG_WARN,
                "%s%" PRIu64 " of the %" PRIu64
                " names in the store are missing at once: they stay known until that is over, or "
                "for the time of the setting stale",
                ccs_same_root(&l->root, &l->home) ? ""
                                                  : "the store is another folder than before, and ",
                s->missing, s->names);
}

static void listed(struct ccs_refresh *r, const struct ccs_index_scanned *s, int64_t began)
{
    struct ccs_looker *l = &r->look;
    const int64_t now = ccs_now_ms();

    l->list_pause = 0;
    l->list_warned = 0;
    l->list_allowed = now + (now - began) * r->times.list_rest;
    l->due_list = now + ccs_looker_jitter(l, r->times.refresh * 10);
    if (s->missing > 0 && !s->suspect)
        l->due_list = ccs_earlier(l->due_list, now + r->times.apart + r->times.apart / 2);
    /* A file that came at the tick of the clock at which the listing passed its place moves no
     * mtime any more, so one listing follows when that tick is over. */
    if (began - l->moved_at < r->times.apart)
        l->due_list = ccs_earlier(l->due_list, now + r->times.apart);
    if (ccs_looker_is_notified(r) || began - l->moved_at >= r->times.apart)
        ccs_index_note_doubt(l->writer, false);
    l->due_list = ccs_later(l->due_list, l->list_allowed);
    if (l->went_count > 0)
        l->due_missing = now;
    if (s->too_many)
        l->due_look = ccs_later(now, l->look_allowed);
    /* What was not found before may be there in a spelling that only the listing knows. */
    if (s->too_many || s->first)
        ccs_looker_forget_failures(r);
}

void ccs_indexer_list(struct ccs_refresh *r)
{
    const struct ccs_index_told told = {.came = on_came, .went = on_went, .arg = r};
    struct ccs_looker *l = &r->look;
    const int64_t began = ccs_now_ms();
    const unsigned breaks = l->breaks;
    struct ccs_index_judge judge;
    struct ccs_index_scanned scanned;
    struct ccs_error err;
    int rv;

    l->due_list = CCS_NEVER;
    if (l->writer == NULL)
        return;
    ccs_refresh_enter_store(r, r->times.hang_list);
    rv = ccs_index_scan_list(l->writer, r->store, began, &err);
    if (!ccs_refresh_leave_store(r))
        return;
    if (rv != CCS_OK) {
        listing_failed(r, rv, &err);
        return;
    }
    l->due_list = ccs_now_ms() + r->times.tick;
    /* A listing of a folder that was exchanged meanwhile says nothing of either. */
    if (!ccs_looker_probe(r) || breaks != l->breaks)
        return;
    judge = judge_of(r);
    rv = ccs_index_scan_end(l->writer, &judge, &told, &scanned);
    take_result(r, rv);
    if (rv != CCS_OK && rv != CCS_ETOOBIG)
        return;
    listed(r, &scanned, began);
    warn_of_names(r, &scanned, rv == CCS_ETOOBIG);
}
