/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads that change what the memory belongs to, while the old worker has connections to finish:
 * each process serves what its own configuration says, and shares what the other one may have too.
 */
#include "farm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

#define HOSTS 12

#define SETTINGS "ccs_refresh 1h; ccs_negative 1h; ccs_wait 30s;\n"
#define SMALL    "ccs_cache_size 4m;\n"
#define HTTP     CCS_FARM_TLS CCS_FARM_STORE SETTINGS SMALL CCS_FARM_SERVER CCS_FIGURES_SERVER

static void run(struct ccs_farm *farm, const char *http, int workers)
{
    struct ccs_nginx_spec spec = {.http = http, .workers = workers};

    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_figures_wait_index(farm, "ready");
}

static void reload(struct ccs_farm *farm, const char *http)
{
    ccs_nginx_rewrite(&farm->nginx, http, 0);
    assert_true(ccs_nginx_reload(&farm->nginx));
}

static void host_name(char name[32], int i)
{
    snprintf(name, 32, "h%d.test", i);
}

static void put_hosts(struct ccs_farm *farm, char fingerprints[HOSTS][65])
{
    char name[32], file[40];

    for (int i = 0; i < HOSTS; i++) {
        host_name(name, i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_farm_put(farm, file, name, fingerprints[i]);
    }
}

static void ask_hosts(struct ccs_farm *farm, char fingerprints[HOSTS][65], int times)
{
    char name[32];

    for (int i = 0; i < HOSTS * times; i++) {
        host_name(name, i % HOSTS);
        ccs_farm_expect_name(farm, name, NULL, fingerprints[i % HOSTS]);
    }
}

static void expect_loads(struct ccs_farm *farm, unsigned long reads)
{
    char text[CCS_FIGURES_SIZE];

    ccs_figures_read(farm, text);
    assert_int_equal(ccs_figures_number(text, "loads", "store_reads"), reads);
    assert_int_equal(ccs_figures_number(text, "loads", "decodes"), reads);
}

/* -- clients that have said half of their hello to a worker that will be an old one --------- */

#define PIECE  20
#define PIECES 3

struct half {
    struct ccs_tls_spec spec;
    struct ccs_tls_client *client;
};

static int first_pieces_are_out(void *arg)
{
    struct half *half = arg;

    for (int i = 0; i < PIECES; i++)
        assert_int_equal(ccs_tls_client_step(half->client), CCS_TLS_RUNNING);
    return 1;
}

/* Connections are accepted in their order, so one that is served has all before it accepted. */
static void begin_half(struct ccs_farm *farm, struct half *half, const char *sni, const char *known)
{
    half->spec = ccs_farm_ask(farm, sni);
    half->spec.segment = PIECE;
    half->client = ccs_tls_client_start(&half->spec);
    (void)ccs_wait_until(first_pieces_are_out, half, 0);
    ccs_farm_expect_name(farm, known, NULL, NULL);
}

struct drain {
    struct ccs_farm *farm;
    size_t count;
};

static int is_draining(void *arg)
{
    const struct drain *drain = arg;
    pid_t old[CCS_NGINX_WORKERS];

    return ccs_nginx_workers(&drain->farm->nginx, 1, old) == drain->count;
}

/* Old workers with nothing to finish end soon. */
static void expect_draining(struct ccs_farm *farm, size_t count)
{
    struct drain drain = {farm, count};

    assert_true(ccs_wait_until(is_draining, &drain, 0));
}

static void finish_half(struct half *half, const char *fingerprint)
{
    const struct ccs_tls_result *r = ccs_tls_client_result(half->client);

    (void)ccs_tls_client_run(&half->client, 1, 0);
    if (!r->ok || r->end != CCS_TLS_DONE || strcmp(r->fingerprint, fingerprint) != 0)
        fail_msg("%s: end %d, alert %d, leaf %.8s instead of %.8s, \"%s\" %s", half->spec.sni,
                 r->end, r->alert, r->fingerprint, fingerprint, r->body, r->error);
    print_message("%s from an old worker: \"%s\"\n", half->spec.sni, r->body);
    ccs_tls_client_free(half->client);
}

/* -- the same configuration again ---------------------------------------------------------- */

static void nothing_is_read_again(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65];
    struct half half;

    put_hosts(farm, fingerprints);
    run(farm, HTTP, 1);
    ask_hosts(farm, fingerprints, 2);
    expect_loads(farm, HOSTS);
    begin_half(farm, &half, "h3.test", "h0.test");
    for (int i = 0; i < 3; i++) {
        reload(farm, NULL);
        ask_hosts(farm, fingerprints, 2);
        expect_loads(farm, HOSTS);
    }
    expect_draining(farm, 1);
    finish_half(&half, fingerprints[3]);
    expect_loads(farm, HOSTS);
}

static void many_workers_start_warm(void **state)
{
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65];

    put_hosts(farm, fingerprints);
    run(farm, HTTP, 4);
    ask_hosts(farm, fingerprints, 6);
    for (int i = 0; i < 4; i++) {
        reload(farm, NULL);
        ask_hosts(farm, fingerprints, 4);
    }
    expect_loads(farm, HOSTS);
    assert_int_equal(ccs_figures_get(farm, "memory", "entries"), HOSTS);
}

/* An old worker that cannot end keeps nobody from looking after the store. */
static void old_worker_gives_way(void **state)
{
    struct ccs_farm *farm = *state;
    char old[65], fresh[65], late[65];
    struct half first, second;

    ccs_farm_put(farm, "a.test.pfx", "a.test", old);
    ccs_farm_put(farm, "b.test.pfx", "b.test", NULL);
    run(farm, HTTP, 1);
    ccs_farm_expect_name(farm, "a.test", NULL, old);
    begin_half(farm, &first, "a.test", "b.test");
    begin_half(farm, &second, "c.test", "b.test");
    reload(farm, NULL);
    ccs_farm_expect_name(farm, "a.test", NULL, old);
    expect_draining(farm, 1);

    ccs_farm_put(farm, "a.test.pfx", "a.test", fresh);
    print_message("renewed for the new worker after %.0f ms\n",
                  ccs_farm_wait_served(farm, "a.test", fresh));
    ccs_farm_put(farm, "c.test.pfx", "c.test", late);
    print_message("a new file served by it after %.0f ms\n",
                  ccs_farm_wait_served(farm, "c.test", late));
    /* And the old one has heard of both. */
    expect_draining(farm, 1);
    finish_half(&first, fresh);
    finish_half(&second, late);
    expect_loads(farm, 4);
}

/* -- other settings ------------------------------------------------------------------------ */

#define HTTP_PASSWORDS HTTP "ccs_password_file @DIR@/passwords;\n"

static void other_passwords_mend_at_once(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx how = {.password = "the new one"};
    struct ccs_pki_spec spec = {.names = "a.test"};
    struct ccs_tls_spec ask;
    struct ccs_pki_leaf leaf;
    struct half locked, good;
    char b[65];

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_farm_put_leaves(farm, "a.test.pfx", &leaf, 1, &how);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_tmp_print(farm->tmp.path, "passwords", "the old one\n");
    run(farm, HTTP_PASSWORDS, 1);
    ask = ccs_farm_ask(farm, "a.test");
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    for (int i = 0; i < 3; i++)
        ccs_farm_expect_alert(&ask, CCS_ALERT_INTERNAL_ERROR);
    begin_half(farm, &locked, "a.test", "b.test");
    begin_half(farm, &good, "b.test", "b.test");

    ccs_tmp_print(farm->tmp.path, "passwords", "the old one\nthe new one\n");
    reload(farm, NULL);
    ccs_farm_expect_name(farm, "a.test", "LOADED a.test.pfx", leaf.fingerprint);
    ccs_farm_expect_name(farm, "b.test", NULL, b);
    expect_draining(farm, 1);
    /* What one process could open the others need not. */
    finish_half(&locked, leaf.fingerprint);
    finish_half(&good, b);

    /* Nor is it forgotten when the password is. */
    ccs_tmp_print(farm->tmp.path, "passwords", "the old one\n");
    reload(farm, NULL);
    ccs_farm_expect_name(farm, "a.test", "SHARED a.test.pfx", leaf.fingerprint);
    ccs_pki_leaf_clear(&leaf);
}

/* The memory of another size is a new one: it is filled again, and works as the old one did. */
static void other_size_starts_cold(void **state)
{
    static const char *const sizes[] = {"ccs_cache_size 6m;\n", "ccs_cache_size 2m;\n"};
    struct ccs_farm *farm = *state;
    char fingerprints[HOSTS][65], fresh[65], http[1024];
    struct half known, unknown;

    put_hosts(farm, fingerprints);
    ccs_farm_put(farm, "new.test.pfx", "new.test", fresh);
    run(farm, HTTP, 1);
    for (int i = 0; i < 2; i++) {
        ask_hosts(farm, fingerprints, 2);
        begin_half(farm, &known, "h5.test", "h0.test");
        begin_half(farm, &unknown, "new.test", "h0.test");
        snprintf(http, sizeof(http), "%s%s%s", CCS_FARM_TLS CCS_FARM_STORE SETTINGS, sizes[i],
                 CCS_FARM_SERVER CCS_FIGURES_SERVER);
        reload(farm, http);
        ask_hosts(farm, fingerprints, 2);
        expect_loads(farm, HOSTS);
        expect_draining(farm, 1);
        finish_half(&known, fingerprints[5]);
        finish_half(&unknown, fresh);
        expect_loads(farm, HOSTS);
    }
    /* The new memory has somebody who looks after the store, too. */
    ccs_farm_put(farm, "h1.test.pfx", "h1.test", fingerprints[1]);
    ccs_farm_wait_served(farm, "h1.test", fingerprints[1]);
    ask_hosts(farm, fingerprints, 1);
    expect_loads(farm, HOSTS + 1);
    /* What http points to does not outlive this function. */
    farm->nginx.spec.http = NULL;
}

#define HTTP_OTHER                                                                                 \
    CCS_FARM_TLS                                                                                   \
    "ccs on; ccs_store @DIR@/other;\n" SETTINGS SMALL CCS_FARM_SERVER CCS_FIGURES_SERVER

static void other_store_has_its_own(void **state)
{
    struct ccs_farm *farm = *state;
    char here[HOSTS][65], there[HOSTS][65], only[65], folder[300];
    struct half half, gone;

    put_hosts(farm, here);
    ccs_farm_put(farm, "only.test.pfx", "only.test", only);
    ccs_tmp_mkdir(farm->tmp.path, "other");
    ccs_tmp_join(folder, sizeof(folder), farm->tmp.path, "other");
    for (int i = 0; i < HOSTS; i++) {
        char name[32], file[40];

        host_name(name, i);
        snprintf(file, sizeof(file), "%s.pfx", name);
        ccs_pki_put(farm->ca, name, folder, file, there[i]);
    }
    run(farm, HTTP, 1);
    ask_hosts(farm, here, 1);
    begin_half(farm, &half, "h7.test", "h0.test");
    begin_half(farm, &gone, "only.test", "h0.test");

    reload(farm, HTTP_OTHER);
    ask_hosts(farm, there, 2);
    expect_loads(farm, 2 * HOSTS);
    ccs_farm_expect_refused(farm, "only.test");
    expect_draining(farm, 1);
    finish_half(&half, here[7]);
    finish_half(&gone, only);
    expect_loads(farm, 2 * HOSTS + 1);

    /* Back again, to what is still in memory. */
    begin_half(farm, &half, "h2.test", "h0.test");
    reload(farm, HTTP);
    ask_hosts(farm, here, 2);
    ccs_farm_expect_name(farm, "only.test", NULL, only);
    expect_loads(farm, 2 * HOSTS + 1);
    expect_draining(farm, 1);
    finish_half(&half, there[2]);
}

/* -- several configurations at once -------------------------------------------------------- */

/* The second differs in what does not matter to others, the third in what does. */
#define HTTP_THREE                                                                                 \
    CCS_FARM_TLS CCS_FARM_STORE SETTINGS SMALL CCS_FARM_SERVER CCS_FIGURES_SERVER                  \
        "server { listen @PORT3@ ssl; ccs_threads 4; " CCS_FARM_ANSWER "}\n"                       \
        "server { listen @PORT4@ ssl; ccs_check_name refuse; " CCS_FARM_ANSWER "}\n"

#define SAME   2 /* of the ports */
#define STRICT 3

static void expect_at(struct ccs_farm *farm, int port, const char *sni, const char *fingerprint)
{
    struct ccs_tls_spec ask = ccs_farm_ask(farm, sni);

    ask.port = farm->nginx.port[port];
    /* What does not cover the name would be refused by the client. */
    ask.root = NULL;
    if (fingerprint != NULL)
        ccs_farm_expect(&ask, NULL, fingerprint);
    else
        ccs_farm_expect_alert(&ask, CCS_ALERT_INTERNAL_ERROR);
}

struct renewal {
    struct ccs_farm *farm;
    int port;
    const char *fingerprint;
};

static int is_renewed(void *arg)
{
    const struct renewal *r = arg;
    struct ccs_tls_spec ask = ccs_farm_ask(r->farm, "good.test");
    struct ccs_tls_result result;

    ask.port = r->farm->nginx.port[r->port];
    (void)ccs_tls_client_once(&ask, &result, NULL);
    return result.ok && strcmp(result.fingerprint, r->fingerprint) == 0;
}

static void some_share_and_some_do_not(void **state)
{
    static const int ports[] = {0, SAME, STRICT};
    struct ccs_farm *farm = *state;
    char good[65], wrong[65];
    struct half half;

    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_put(farm, "wrong.test.pfx", "another.test", wrong);
    run(farm, HTTP_THREE, 1);
    for (int round = 0; round < 3; round++) {
        expect_at(farm, 0, "good.test", good);
        expect_at(farm, SAME, "good.test", good);
        expect_at(farm, STRICT, "good.test", good);
        expect_at(farm, 0, "wrong.test", wrong);
        expect_at(farm, SAME, "wrong.test", wrong);
        expect_at(farm, STRICT, "wrong.test", NULL);
        /* Both once for the first two, and both once for the third. */
        assert_int_equal(ccs_figures_get(farm, "loads", "store_reads"), 4);
        assert_int_equal(ccs_figures_get(farm, "memory", "entries"), 3);
        if (round == 0)
            begin_half(farm, &half, "good.test", "good.test");
        reload(farm, NULL);
        expect_draining(farm, 1);
    }
    /* Renewed for all of them, and the old worker knows of it too. */
    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        struct renewal renewal = {farm, ports[i], good};

        assert_true(ccs_wait_until(is_renewed, &renewal, 0));
    }
    assert_int_equal(ccs_figures_get(farm, "loads", "store_reads"), 6);
    finish_half(&half, good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(nothing_is_read_again),      CCS_FARM_TEST(many_workers_start_warm),
        CCS_FARM_TEST(old_worker_gives_way),       CCS_FARM_TEST(other_passwords_mend_at_once),
        CCS_FARM_TEST(other_size_starts_cold),     CCS_FARM_TEST(other_store_has_its_own),
        CCS_FARM_TEST(some_share_and_some_do_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
