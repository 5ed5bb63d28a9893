/* SPDX-License-Identifier: Apache-2.0 */
#include "spelling.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define NOTES_MAX 4096 /* kept while a listing is under way */

/* A file that is not called as its stem says. */
struct spelling {
    enum ccs_file_kind kind;
    int unicode;
    size_t file_at;
    char text[]; /* stem, NUL, file, NUL */
};

/* Sorted: by stem, kind, Unicode ones first, file. */
struct table {
    struct spelling **items;
    size_t count;
    size_t size;
    size_t left_out;
};

struct note {
    int present;
    struct spelling *spelling;
};

/* Strings one after another. */
struct texts {
    char *p;
    size_t len;
    size_t size;
};

struct ccs_spellings {
    pthread_mutex_t lock; /* a leaf: guards all below */
    pthread_cond_t became_ready;
    struct table table;
    size_t max;
    int ready;
    int scanning;
    struct note *notes; /* of a listing under way */
    size_t note_count;
    int notes_lost;
};

/* -- spellings ----------------------------------------------------------------------------- */

static int spelling_order_stem(const struct spelling *a, const struct spelling *b)
{
    const int order = strcmp(a->text, b->text);

    return order != 0 ? order : (int)a->kind - (int)b->kind;
}

static int spelling_order(const struct spelling *a, const struct spelling *b)
{
    const int order = spelling_order_stem(a, b);

    if (order != 0) {
        return order;
    }
    return a->unicode != b->unicode ? b->unicode - a->unicode
                                    : strcmp(a->text + a->file_at, b->text + b->file_at);
}

static int spelling_compare(const void *a, const void *b)
{
    return spelling_order(*(struct spelling *const *)a, *(struct spelling *const *)b);
}

/* CCS_OK with *out new, CCS_ENAME for a file that is no odd spelling, CCS_ENOMEM. */
static int spelling_new(const char *file, size_t len, struct spelling **out)
{
    char name[CCS_FILE_NAME_SIZE];
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind kind;
    struct spelling *s;
    size_t stem_len;
    int unicode;
    int rv = ccs_name_from_file(file, len, stem, &kind, &unicode);

    if (rv != CCS_OK) {
        return rv;
    }
    rv = unicode ? ccs_name_file_unicode(stem, kind, name) : ccs_name_file(stem, kind, name);
    if (rv == CCS_ENOMEM) {
        return rv;
    }
    if (rv == CCS_OK && strlen(name) == len && memcmp(name, file, len) == 0) {
        return CCS_ENAME;
    }
    stem_len = strlen(stem);
    s = malloc(sizeof(*s) + stem_len + len + 2);
    if (s == NULL) {
        return CCS_ENOMEM;
    }
    s->kind = kind;
    s->unicode = unicode;
    s->file_at = stem_len + 1;
    memcpy(s->text, stem, stem_len + 1);
    memcpy(s->text + s->file_at, file, len);
    s->text[s->file_at + len] = '\0';
    *out = s;
    return CCS_OK;
}

static struct spelling *spelling_copy(const struct spelling *s)
{
    const size_t size = sizeof(*s) + s->file_at + strlen(s->text + s->file_at) + 1;
    struct spelling *copy = malloc(size);

    if (copy != NULL) {
        memcpy(copy, s, size);
    }
    return copy;
}

/* -- tables -------------------------------------------------------------------------------- */

static void table_free(struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->items[i]);
    }
    free(t->items);
    memset(t, 0, sizeof(*t));
}

static int table_make_room(struct table *t)
{
    const size_t size = t->size != 0 ? t->size * 2 : 16;
    struct spelling **items;

    if (t->count < t->size) {
        return CCS_OK;
    }
    items = realloc(t->items, size * sizeof(struct spelling *));
    if (items == NULL) {
        return CCS_ENOMEM;
    }
    t->items = items;
    t->size = size;
    return CCS_OK;
}

/* Where s is, or belongs; *found tells which. */
static size_t table_find(const struct table *t, const struct spelling *s, int *found)
{
    size_t low = 0;
    size_t high = t->count;
    size_t middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (spelling_order(t->items[middle], s) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < t->count && spelling_order(t->items[low], s) == 0;
    return low;
}

/* Takes s over. */
static int table_insert(struct table *t, struct spelling *s, size_t max)
{
    int found;
    const size_t at = table_find(t, s, &found);
    int rv = CCS_OK;

    if (!found && t->count < max) {
        rv = table_make_room(t);
    }
    if (found || t->count >= max || rv != CCS_OK) {
        t->left_out += found ? 0 : 1;
        free(s);
        return rv;
    }
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof(struct spelling *));
    t->items[at] = s;
    t->count++;
    return CCS_OK;
}

/* Takes s over. */
static void table_remove(struct table *t, struct spelling *s)
{
    int found;
    const size_t at = table_find(t, s, &found);

    free(s);
    if (!found) {
        return;
    }
    free(t->items[at]);
    t->count--;
    memmove(t->items + at, t->items + at + 1, (t->count - at) * sizeof(struct spelling *));
}

/* Listings may name a file twice when it is renamed meanwhile. */
static void table_sort(struct table *t)
{
    size_t kept = 0;

    if (t->count == 0) {
        return;
    }
    qsort(t->items, t->count, sizeof(struct spelling *), spelling_compare);
    for (size_t i = 1; i < t->count; i++) {
        if (spelling_order(t->items[kept], t->items[i]) == 0) {
            free(t->items[i]);
        } else {
            t->items[++kept] = t->items[i];
        }
    }
    t->count = kept + 1;
}

/* -- differences --------------------------------------------------------------------------- */

static int texts_add(struct texts *texts, const char *s)
{
    const size_t len = strlen(s) + 1;
    size_t size;
    char *p;

    if (len > texts->size - texts->len) {
        size = texts->size * 2 + CCS_STEM_SIZE;
        p = realloc(texts->p, size);
        if (p == NULL) {
            return CCS_ENOMEM;
        }
        texts->p = p;
        texts->size = size;
    }
    memcpy(texts->p + texts->len, s, len);
    texts->len += len;
    return CCS_OK;
}

/* The stems of all spellings that only one of the tables holds, each stem once. */
static int table_diff(const struct table *a, const struct table *b, struct texts *stems)
{
    const char *last = NULL;
    const char *stem;
    size_t i = 0;
    size_t j = 0;
    int order;

    while (i < a->count || j < b->count) {
        if (i == a->count || j == b->count) {
            order = i == a->count ? 1 : -1;
        } else {
            order = spelling_order(a->items[i], b->items[j]);
        }
        stem = order <= 0 ? a->items[i]->text : b->items[j]->text;
        i += order <= 0;
        j += order >= 0;
        if (order == 0 || (last != NULL && strcmp(last, stem) == 0)) {
            continue;
        }
        if (texts_add(stems, stem) != CCS_OK) {
            return CCS_ENOMEM;
        }
        last = stem;
    }
    return CCS_OK;
}

/* -- listing ------------------------------------------------------------------------------- */

struct scan {
    struct table table;
    size_t max;
    int rv;
};

static int spellings_listed(const char *file, size_t len, void *arg)
{
    struct scan *scan = arg;
    struct spelling *s;
    const int rv = spelling_new(file, len, &s);

    if (rv == CCS_ENOMEM) {
        scan->rv = rv;
    }
    if (rv != CCS_OK) {
        return scan->rv != CCS_OK;
    }
    if (scan->table.count >= scan->max) {
        scan->table.left_out++;
        free(s);
        return 0;
    }
    if (table_make_room(&scan->table) != CCS_OK) {
        free(s);
        scan->rv = CCS_ENOMEM;
        return 1;
    }
    scan->table.items[scan->table.count++] = s;
    return 0;
}

static int spellings_scan_begin(struct ccs_spellings *spellings, struct scan *scan,
                                struct ccs_error *err)
{
    int busy;

    memset(scan, 0, sizeof(*scan));
    pthread_mutex_lock(&spellings->lock);
    busy = spellings->scanning;
    spellings->scanning = 1;
    scan->max = spellings->max;
    pthread_mutex_unlock(&spellings->lock);
    return busy ? ccs_error_set(err, CCS_EBUSY, "the store is being listed already") : CCS_OK;
}

static void spellings_drop_notes(struct ccs_spellings *spellings)
{
    for (size_t i = 0; i < spellings->note_count; i++) {
        free(spellings->notes[i].spelling);
    }
    free(spellings->notes);
    spellings->notes = NULL;
    spellings->note_count = 0;
    spellings->notes_lost = 0;
}

/* Takes the new table into service; what is in *scan afterwards is the old one. Lock held. */
static int spellings_adopt(struct ccs_spellings *spellings, struct scan *scan, struct texts *stems,
                           struct ccs_error *err)
{
    struct table old;
    int rv = CCS_OK;

    if (spellings->notes_lost) {
        return ccs_error_set(err, CCS_EBUSY, "too much changed while the store was listed");
    }
    for (size_t i = 0; i < spellings->note_count && rv == CCS_OK; i++) {
        if (spellings->notes[i].present) {
            rv = table_insert(&scan->table, spellings->notes[i].spelling, scan->max);
        } else {
            table_remove(&scan->table, spellings->notes[i].spelling);
        }
        spellings->notes[i].spelling = NULL;
    }
    if (rv == CCS_OK) {
        rv = table_diff(&spellings->table, &scan->table, stems);
    }
    if (rv != CCS_OK) {
        return ccs_error_set(err, rv, "no memory for the names in the store");
    }
    old = spellings->table;
    spellings->table = scan->table;
    scan->table = old;
    spellings->ready = 1;
    pthread_cond_broadcast(&spellings->became_ready);
    return CCS_OK;
}

int ccs_spelling_scan(struct ccs_spellings *spellings, struct ccs_store *store,
                      void (*changed)(const char *stem, void *arg), void *arg,
                      struct ccs_error *err)
{
    struct texts stems = {NULL, 0, 0};
    struct scan scan;
    int rv = spellings_scan_begin(spellings, &scan, err);

    if (rv != CCS_OK) {
        return rv;
    }
    rv = ccs_store_list(store, spellings_listed, &scan, err);
    if (rv == CCS_OK && scan.rv != CCS_OK) {
        rv = ccs_error_set(err, scan.rv, "no memory for the names in the store");
    }
    table_sort(&scan.table);

    pthread_mutex_lock(&spellings->lock);
    if (rv == CCS_OK) {
        rv = spellings_adopt(spellings, &scan, &stems, err);
    }
    spellings->scanning = 0;
    spellings_drop_notes(spellings);
    pthread_mutex_unlock(&spellings->lock);

    table_free(&scan.table);
    for (size_t at = 0; rv == CCS_OK && changed != NULL && at < stems.len;
         at += strlen(stems.p + at) + 1) {
        changed(stems.p + at, arg);
    }
    free(stems.p);
    return rv;
}

/* Lock held: a listing under way may or may not have seen this, so it is done again afterwards. */
static void spellings_keep_note(struct ccs_spellings *spellings, const struct spelling *s,
                                int present)
{
    struct note *note;

    if (spellings->notes == NULL) {
        spellings->notes = calloc(NOTES_MAX, sizeof(*spellings->notes));
    }
    if (spellings->notes == NULL || spellings->note_count >= NOTES_MAX) {
        spellings->notes_lost = 1;
        return;
    }
    note = &spellings->notes[spellings->note_count];
    note->present = present;
    note->spelling = spelling_copy(s);
    if (note->spelling == NULL) {
        spellings->notes_lost = 1;
        return;
    }
    spellings->note_count++;
}

void ccs_spelling_note(struct ccs_spellings *spellings, const char *file, int present)
{
    struct spelling *s;

    if (spelling_new(file, strnlen(file, CCS_FILE_NAME_SIZE), &s) != CCS_OK) {
        return;
    }
    pthread_mutex_lock(&spellings->lock);
    if (spellings->scanning) {
        spellings_keep_note(spellings, s, present);
    }
    if (present) {
        /* Out of memory: the spelling is counted as left out until the next listing. */
        (void)table_insert(&spellings->table, s, spellings->max);
    } else {
        table_remove(&spellings->table, s);
    }
    pthread_mutex_unlock(&spellings->lock);
}

/* -- asking -------------------------------------------------------------------------------- */

int ccs_spelling_ready(struct ccs_spellings *spellings)
{
    return ccs_spelling_wait_ready(spellings, 0);
}

int ccs_spelling_wait_ready(struct ccs_spellings *spellings, int64_t timeout_ms)
{
    const int64_t wait_ms = timeout_ms > 0 ? timeout_ms : 0;
    struct timespec until;
    int ready;
    int rc = wait_ms > 0 ? 0 : -1;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&spellings->lock);
    while (!spellings->ready && rc == 0) {
        rc = pthread_cond_timedwait(&spellings->became_ready, &spellings->lock, &until);
    }
    ready = spellings->ready;
    pthread_mutex_unlock(&spellings->lock);
    return ready;
}

int ccs_spelling_find(struct ccs_spellings *spellings, const char *stem, enum ccs_file_kind kind,
                      char *out, int *unicode)
{
    const struct spelling *s;
    size_t low = 0;
    size_t high;
    size_t middle;
    int order;
    int rv = CCS_ENOTFOUND;

    pthread_mutex_lock(&spellings->lock);
    high = spellings->table.count;
    while (low < high) {
        middle = low + (high - low) / 2;
        s = spellings->table.items[middle];
        order = strcmp(s->text, stem);
        if (order < 0 || (order == 0 && s->kind < kind)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    s = low < spellings->table.count ? spellings->table.items[low] : NULL;
    if (s != NULL && s->kind == kind && strcmp(s->text, stem) == 0) {
        strcpy(out, s->text + s->file_at); /* both hold CCS_FILE_NAME_SIZE */
        if (unicode != NULL) {
            *unicode = s->unicode;
        }
        rv = CCS_OK;
    }
    pthread_mutex_unlock(&spellings->lock);
    return rv;
}

void ccs_spelling_counts(struct ccs_spellings *spellings, size_t *held, size_t *left_out)
{
    pthread_mutex_lock(&spellings->lock);
    *held = spellings->table.count;
    *left_out = spellings->table.left_out;
    pthread_mutex_unlock(&spellings->lock);
}

/* -- life ---------------------------------------------------------------------------------- */

struct ccs_spellings *ccs_spelling_new(void)
{
    struct ccs_spellings *spellings = calloc(1, sizeof(*spellings));
    pthread_condattr_t attr;

    if (spellings == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&spellings->lock, NULL) != 0) {
        goto fail;
    }
    if (pthread_condattr_init(&attr) != 0) {
        goto fail_lock;
    }
    if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&spellings->became_ready, &attr) != 0) {
        pthread_condattr_destroy(&attr);
        goto fail_lock;
    }
    pthread_condattr_destroy(&attr);
    spellings->max = CCS_SPELLINGS_MAX;
    return spellings;
fail_lock:
    pthread_mutex_destroy(&spellings->lock);
fail:
    free(spellings);
    return NULL;
}

void ccs_spelling_free(struct ccs_spellings *spellings)
{
    if (spellings == NULL) {
        return;
    }
    table_free(&spellings->table);
    spellings_drop_notes(spellings);
    pthread_cond_destroy(&spellings->became_ready);
    pthread_mutex_destroy(&spellings->lock);
    free(spellings);
}

void ccs_spelling_set_limit(struct ccs_spellings *spellings, size_t max)
{
    pthread_mutex_lock(&spellings->lock);
    spellings->max = max;
    pthread_mutex_unlock(&spellings->lock);
}
