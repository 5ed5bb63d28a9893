/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_store.h"
#include "spelling.h"
#include "wait.h"

struct fixture {
    struct fake_store *fake;
    struct ccs_store *store;
    struct ccs_spellings *spellings;
    char changed[4096]; /* "stem " each */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->fake = fake_store_new();
    f->store = fake_store_base(f->fake);
    f->spellings = ccs_spelling_new();
    assert_non_null(f->spellings);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    ccs_spelling_free(f->spellings);
    fake_store_free(f->fake);
    free(f);
    return 0;
}

static void put(struct fixture *f, const char *file)
{
    fake_store_put(f->fake, file, "x", 1);
}

static void on_changed(const char *stem, void *arg)
{
    struct fixture *f = arg;

    assert_true(strlen(f->changed) + strlen(stem) + 2 < sizeof(f->changed));
    strcat(f->changed, stem);
    strcat(f->changed, " ");
}

static void scan(struct fixture *f, const char *changed)
{
    f->changed[0] = '\0';
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, on_changed, f, NULL), CCS_OK);
    assert_string_equal(f->changed, changed);
}

static void assert_spelling(struct fixture *f, const char *stem, enum ccs_file_kind kind,
                            const char *file, int unicode)
{
    char out[CCS_FILE_NAME_SIZE] = "untouched";
    int u = -1;
    const int rv = ccs_spelling_find(f->spellings, stem, kind, out, &u);

    if (file == NULL) {
        assert_int_equal(rv, CCS_ENOTFOUND);
        assert_string_equal(out, "untouched");
        assert_int_equal(u, -1);
        return;
    }
    assert_int_equal(rv, CCS_OK);
    assert_string_equal(out, file);
    assert_int_equal(u, unicode);
    assert_int_equal(ccs_spelling_find(f->spellings, stem, kind, out, NULL), CCS_OK);
}

static void assert_counts(struct fixture *f, size_t held, size_t left_out)
{
    size_t h = 99;
    size_t l = 99;

    ccs_spelling_counts(f->spellings, &h, &l);
    assert_int_equal(h, held);
    assert_int_equal(l, left_out);
}

static void test_plain_files_take_no_room(void **state)
{
    struct fixture *f = *state;

    put(f, "www.example.com.pfx");
    put(f, "www.example.com.rsa.pfx");
    put(f, "_.example.com.pfx");
    put(f, "xn--bcher-kva.example.pfx");
    put(f, "b\xc3\xbc"
           "cher.example.pfx"); /* the plain Unicode spelling */
    put(f, "not a host.pfx");
    put(f, "-.pfx");
    put(f, "readme.txt");
    scan(f, "");
    assert_counts(f, 0, 0);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, NULL, 0);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY, NULL, 0);
}

static void test_upper_case(void **state)
{
    struct fixture *f = *state;

    put(f, "WWW.Example.com.pfx");
    put(f, "mail.example.com.PFX");
    put(f, "Api.example.com.RSA.pfx");
    put(f, "api.example.com.ecdsa.Pfx");
    put(f, "_.Example.org.pfx");
    scan(f, "_.example.org api.example.com mail.example.com www.example.com ");
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "WWW.Example.com.pfx", 0);
    assert_spelling(f, "www.example.com", CCS_FILE_RSA, NULL, 0);
    assert_spelling(f, "mail.example.com", CCS_FILE_ANY, "mail.example.com.PFX", 0);
    assert_spelling(f, "api.example.com", CCS_FILE_RSA, "Api.example.com.RSA.pfx", 0);
    assert_spelling(f, "api.example.com", CCS_FILE_ECDSA, "api.example.com.ecdsa.Pfx", 0);
    assert_spelling(f, "api.example.com", CCS_FILE_ANY, NULL, 0);
    assert_spelling(f, "_.example.org", CCS_FILE_ANY, "_.Example.org.pfx", 0);
    assert_spelling(f, "zzz", CCS_FILE_ANY, NULL, 0);
    assert_spelling(f, "", CCS_FILE_ANY, NULL, 0);
    assert_counts(f, 5, 0);
}

static void test_order_of_duplicates(void **state)
{
    struct fixture *f = *state;

    put(f, "www.example.com.PFX");
    put(f, "Www.example.com.pfx");
    put(f, "WWW.example.com.pfx");
    scan(f, "www.example.com ");
    assert_counts(f, 3, 0);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "WWW.example.com.pfx", 0);
    ccs_spelling_note(f->spellings, "WWW.example.com.pfx", 0);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "Www.example.com.pfx", 0);
    ccs_spelling_note(f->spellings, "Www.example.com.pfx", 0);
    assert_spelling(f, "www.example.com", CCS_FILE_ANY, "www.example.com.PFX", 0);

    /* Unicode comes first, whatever the bytes say. */
    put(f, "XN--BCHER-KVA.example.pfx");
    put(f, "b\xc3\xbc"
           "cher.EXAMPLE.pfx");
    put(f, "B\xc3\x9c"
           "CHER.example.pfx");
    scan(f, "www.example.com xn--bcher-kva.example ");
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY,
                    "B\xc3\x9c"
                    "CHER.example.pfx",
                    1);
    ccs_spelling_note(f->spellings,
                      "B\xc3\x9c"
                      "CHER.example.pfx",
                      0);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY,
                    "b\xc3\xbc"
                    "cher.EXAMPLE.pfx",
                    1);
    ccs_spelling_note(f->spellings,
                      "b\xc3\xbc"
                      "cher.EXAMPLE.pfx",
                      0);
    assert_spelling(f, "xn--bcher-kva.example", CCS_FILE_ANY, "XN--BCHER-KVA.example.pfx", 0);
}

static void test_notes(void **state)
{
    struct fixture *f = *state;
    char tall[400];

    ccs_spelling_note(f->spellings, "A.example.pfx", 0);
    ccs_spelling_note(f->spellings, "A.example.pfx", 1);
    ccs_spelling_note(f->spellings, "A.example.pfx", 1);
    assert_counts(f, 1, 0);
    assert_spelling(f, "a.example", CCS_FILE_ANY, "A.example.pfx", 0);
    assert_int_equal(ccs_spelling_ready(f->spellings), 0); /* only a listing makes it so */
    ccs_spelling_note(f->spellings, "a.example.pfx", 1);
    ccs_spelling_note(f->spellings, "", 1);
    ccs_spelling_note(f->spellings, "No good.pfx", 1);
    memset(tall, 'A', sizeof(tall));
    tall[399] = '\0';
    ccs_spelling_note(f->spellings, tall, 1);
    assert_counts(f, 1, 0);
    ccs_spelling_note(f->spellings, "A.example.pfx", 0);
    ccs_spelling_note(f->spellings, "A.example.pfx", 0);
    assert_counts(f, 0, 0);
}

static void test_differences(void **state)
{
    struct fixture *f = *state;

    put(f, "A.example.pfx");
    put(f, "B.example.pfx");
    put(f, "C.example.pfx");
    scan(f, "a.example b.example c.example ");
    scan(f, "");
    put(f, "D.example.pfx");
    put(f, "C.EXAMPLE.pfx");
    put(f, "C.Example.pfx");
    fake_store_remove(f->fake, "A.example.pfx");
    put(f, "B.example.pfx"); /* other contents: none of its business */
    scan(f, "a.example c.example d.example ");
    fake_store_remove(f->fake, "C.EXAMPLE.pfx");
    scan(f, "c.example ");
    /* What was noted is known already. */
    put(f, "E.example.pfx");
    ccs_spelling_note(f->spellings, "E.example.pfx", 1);
    scan(f, "");
    /* Noted wrongly: the listing has the last word. */
    ccs_spelling_note(f->spellings, "F.example.pfx", 1);
    ccs_spelling_note(f->spellings, "E.example.pfx", 0);
    scan(f, "e.example f.example ");
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_OK);
}

static void test_failed_listing_keeps_what_was(void **state)
{
    struct fixture *f = *state;
    struct ccs_error err;

    put(f, "A.example.pfx");
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, on_changed, f, &err), CCS_EUNAVAIL);
    assert_int_equal(err.code, CCS_EUNAVAIL);
    assert_int_equal(ccs_spelling_ready(f->spellings), 0);
    fake_store_set_error(f->fake, CCS_OK);
    scan(f, "a.example ");
    assert_int_equal(ccs_spelling_ready(f->spellings), 1);
    fake_store_remove(f->fake, "A.example.pfx");
    fake_store_set_error(f->fake, CCS_EUNAVAIL);
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, on_changed, f, &err), CCS_EUNAVAIL);
    assert_int_equal(ccs_spelling_ready(f->spellings), 1);
    assert_spelling(f, "a.example", CCS_FILE_ANY, "A.example.pfx", 0);
}

static void test_limit(void **state)
{
    struct fixture *f = *state;
    char name[64];

    ccs_spelling_set_limit(f->spellings, 10);
    for (int i = 0; i < 25; i++) {
        snprintf(name, sizeof(name), "H%d.example.pfx", i);
        put(f, name);
    }
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_OK);
    assert_counts(f, 10, 15);
    ccs_spelling_note(f->spellings, "One.more.example.pfx", 1);
    assert_counts(f, 10, 16);
    fake_store_clear(f->fake);
    put(f, "A.example.pfx");
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_OK);
    assert_counts(f, 1, 0);
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    char file[64];
    char stem[64];

    for (int i = 0; i < 5000; i++) {
        snprintf(file, sizeof(file), "Host%d.example.pfx", i * 7919 % 5000);
        ccs_spelling_note(f->spellings, file, 1);
    }
    assert_counts(f, 5000, 0);
    for (int i = 0; i < 5000; i++) {
        snprintf(file, sizeof(file), "Host%d.example.pfx", i);
        snprintf(stem, sizeof(stem), "host%d.example", i);
        assert_spelling(f, stem, CCS_FILE_ANY, file, 0);
        if (i % 2) {
            ccs_spelling_note(f->spellings, file, 0);
        }
    }
    assert_counts(f, 2500, 0);
    assert_spelling(f, "host4998.example", CCS_FILE_ANY, "Host4998.example.pfx", 0);
    assert_spelling(f, "host4999.example", CCS_FILE_ANY, NULL, 0);
}

/* -- threads ------------------------------------------------------------------------------- */

struct scanner {
    struct fixture *f;
    pthread_t thread;
    int rv;
};

static void *scan_main(void *arg)
{
    struct scanner *s = arg;

    s->rv = ccs_spelling_scan(s->f->spellings, s->f->store, NULL, NULL, NULL);
    return NULL;
}

static void start_blocked_scan(struct fixture *f, struct scanner *s)
{
    fake_store_block_ops(f->fake, FAKE_LIST);
    s->f = f;
    s->rv = 99;
    assert_int_equal(pthread_create(&s->thread, NULL, scan_main, s), 0);
    assert_int_equal(fake_store_wait_blocked(f->fake, 1, ccs_wait_scaled(10000)), 1);
}

static void end_scan(struct fixture *f, struct scanner *s)
{
    fake_store_unblock(f->fake);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
}

static void test_notes_during_a_listing(void **state)
{
    struct fixture *f = *state;
    struct scanner s;

    put(f, "A.example.pfx");
    put(f, "B.example.pfx");
    start_blocked_scan(f, &s);
    /* Noted, but the listing passed their place before: it shows them the other way round. */
    ccs_spelling_note(f->spellings, "A.example.pfx", 0);
    ccs_spelling_note(f->spellings, "New.example.pfx", 1);
    ccs_spelling_note(f->spellings, "Gone.example.pfx", 1);
    ccs_spelling_note(f->spellings, "Gone.example.pfx", 0);
    /* What is known can be asked for all the time. */
    assert_spelling(f, "new.example", CCS_FILE_ANY, "New.example.pfx", 0);
    assert_int_equal(ccs_spelling_ready(f->spellings), 0);
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_EBUSY);
    end_scan(f, &s);
    assert_int_equal(s.rv, CCS_OK);
    assert_spelling(f, "a.example", CCS_FILE_ANY, NULL, 0);
    assert_spelling(f, "b.example", CCS_FILE_ANY, "B.example.pfx", 0);
    assert_spelling(f, "new.example", CCS_FILE_ANY, "New.example.pfx", 0);
    assert_spelling(f, "gone.example", CCS_FILE_ANY, NULL, 0);
    assert_counts(f, 2, 0);
}

static void test_too_many_notes_during_a_listing(void **state)
{
    struct fixture *f = *state;
    struct scanner s;
    char file[64];

    start_blocked_scan(f, &s);
    for (int i = 0; i < 10000; i++) {
        snprintf(file, sizeof(file), "Host%d.example.pfx", i);
        ccs_spelling_note(f->spellings, file, 1);
    }
    end_scan(f, &s);
    assert_int_equal(s.rv, CCS_EBUSY);
    assert_int_equal(ccs_spelling_ready(f->spellings), 0);
    assert_counts(f, 10000, 0); /* what was noted still holds */
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_OK);
    assert_int_equal(ccs_spelling_ready(f->spellings), 1);
    assert_counts(f, 0, 0);
}

static void *wait_main(void *arg)
{
    return ccs_spelling_wait_ready(arg, 60000) ? arg : NULL;
}

static void test_waiting(void **state)
{
    struct fixture *f = *state;
    struct scanner s;
    pthread_t waiter[3];
    void *result;
    double before;

    before = ccs_wait_clock();
    assert_int_equal(ccs_spelling_wait_ready(f->spellings, 30), 0);
    assert_true(ccs_wait_clock() - before >= 29);
    assert_int_equal(ccs_spelling_wait_ready(f->spellings, 0), 0);
    assert_int_equal(ccs_spelling_wait_ready(f->spellings, -5), 0);
    start_blocked_scan(f, &s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&waiter[i], NULL, wait_main, f->spellings), 0);
    }
    end_scan(f, &s);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(waiter[i], &result), 0);
        assert_ptr_equal(result, f->spellings);
    }
    assert_int_equal(ccs_spelling_wait_ready(f->spellings, 0), 1);
}

struct crowd {
    struct fixture *f;
    atomic_int stop;
    atomic_int torn;
};

static void *ask_main(void *arg)
{
    struct crowd *c = arg;
    char out[CCS_FILE_NAME_SIZE];

    while (!atomic_load(&c->stop)) {
        if (ccs_spelling_find(c->f->spellings, "fixed.example", CCS_FILE_ANY, out, NULL) !=
                CCS_OK ||
            strcmp(out, "FIXED.example.pfx") != 0) {
            atomic_fetch_add(&c->torn, 1);
        }
    }
    return NULL;
}

static void *note_main(void *arg)
{
    struct crowd *c = arg;
    char file[64];

    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        snprintf(file, sizeof(file), "Host%u.example.pfx", i % 50);
        ccs_spelling_note(c->f->spellings, file, (int)(i / 50 % 2));
    }
    return NULL;
}

/* Whatever goes on at the same time, a file that is always there is always found. */
static void test_all_at_once(void **state)
{
    struct fixture *f = *state;
    struct crowd c = {.f = f, .stop = 0, .torn = 0};
    pthread_t threads[3];
    unsigned done = 0;

    put(f, "FIXED.example.pfx");
    for (int i = 0; i < 30; i++) {
        char file[64];

        snprintf(file, sizeof(file), "HOST%d.example.pfx", i);
        put(f, file);
    }
    assert_int_equal(ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL), CCS_OK);
    assert_int_equal(pthread_create(&threads[0], NULL, ask_main, &c), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, ask_main, &c), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, note_main, &c), 0);
    while (done < 200) {
        const int rv = ccs_spelling_scan(f->spellings, f->store, NULL, NULL, NULL);

        assert_true(rv == CCS_OK || rv == CCS_EBUSY);
        done++;
    }
    atomic_store(&c.stop, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&c.torn), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_files_take_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upper_case, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_of_duplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_differences, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_listing_keeps_what_was, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notes_during_a_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_notes_during_a_listing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_at_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
