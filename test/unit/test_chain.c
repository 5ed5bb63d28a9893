/* SPDX-License-Identifier: Apache-2.0 */
/* Which certificate is the leaf, and what goes above it. */
#include "pkcs12_kit.h"

#include "chain.h"
#include "issuers.h"

#define DAY 86400L

/* Certificates in an order, with ids, as bags and as a chain. Cleared by drop(). */
struct set {
    struct ccs_bags bags;
    struct ccs_chain chain;
};

struct item {
    X509 *cert;
    const char *id;
};

static struct set *gather(const struct item *items, size_t count)
{
    struct set *s = calloc(1, sizeof(*s));
    struct ccs_der bags = {0}, safe = {0};
    size_t i, bad;

    assert_non_null(s);
    for (i = 0; i < count; i++)
        ccs_pfxkit_cert(&bags, items[i].cert, items[i].id);
    ccs_der_put(&safe, CCS_DER_SEQUENCE, bags.data, bags.len);
    assert_int_equal(ccs_bags_add(&s->bags, safe.data, safe.len, NULL), CCS_OK);
    assert_int_equal(ccs_chain_init(&s->chain, &s->bags, &bad), CCS_OK);
    assert_int_equal(bad, 0);
    ccs_der_clear(&bags);
    ccs_der_clear(&safe);
    return s;
}

static void drop(struct set *s)
{
    ccs_chain_clear(&s->chain);
    ccs_bags_clear(&s->bags);
    free(s);
    /* Here it is left to the caller; the loader as a whole leaves nothing in the queue. */
    ERR_clear_error();
}

static X509 *make(const char *subject, EVP_PKEY *key, const char *issuer, EVP_PKEY *issuer_key,
                  int ca, long from, long until)
{
    return ccs_certkit_make(&(struct ccs_certkit){.subject = subject,
                                                  .key = key,
                                                  .issuer = issuer,
                                                  .issuer_key = issuer_key,
                                                  .ca = ca,
                                                  .not_before = from,
                                                  .not_after = until});
}

static size_t leaf_of(const struct item *items, size_t count, EVP_PKEY *key, const char *id)
{
    struct set *s = gather(items, count);
    struct ccs_bag_id bag_id = {{0}, 0};
    size_t found;

    if (id) {
        bag_id.len = strlen(id);
        memcpy(bag_id.data, id, bag_id.len);
    }
    found = ccs_chain_leaf(&s->chain, key, &bag_id);
    drop(s);
    return found;
}

static void test_leaf(void **state)
{
    const struct host *h = host();
    const struct item items[] = {
        {h->root, "1"}, {h->inter, "k"}, {h->leaf, "2"}, {h->stranger, NULL}};

    (void)state;
    assert_int_equal(leaf_of(items, 4, h->key, NULL), 2);
    assert_int_equal(leaf_of(items, 4, h->key, "1"), 2); /* another's id */
    assert_int_equal(leaf_of(items, 4, h->key, "k"), 2);
    assert_int_equal(leaf_of(items, 4, h->other_key, NULL), 3);
    assert_int_equal(leaf_of(items, 4, h->inter_key, NULL), 1); /* an authority, if nothing else */
    assert_true(leaf_of(items, 2, h->key, "k") == SIZE_MAX);
    assert_true(leaf_of(items, 0, h->key, NULL) == SIZE_MAX);
}

static void test_several_leaves(void **state)
{
    const struct host *h = host();
    X509 *old = make("a", h->key, "inter", h->inter_key, 0, -60 * DAY, -DAY);
    X509 *new = make("a", h->key, "inter", h->inter_key, 0, -2 * DAY, 60 * DAY);
    X509 *twin = make("b", h->key, "inter", h->inter_key, 0, -2 * DAY, 90 * DAY);
    X509 *future = make("a", h->key, "inter", h->inter_key, 0, 2 * DAY, 90 * DAY);
    X509 *far = make("a", h->key, "inter", h->inter_key, 0, 3 * DAY, 90 * DAY);
    X509 *ca = make("ca", h->key, "inter", h->inter_key, 1, -DAY, 90 * DAY);
    const struct item items[] = {{old, "o"},    {new, "n"}, {twin, "t"},
                                 {future, "f"}, {ca, "c"},  {far, "x"}};

    (void)state;
    assert_int_equal(leaf_of(items, 1, h->key, NULL), 0);
    assert_int_equal(leaf_of(items, 2, h->key, NULL), 1); /* renewed with the same key */
    assert_int_equal(leaf_of(items, 2, h->key, "o"), 1);  /* the id does not outweigh that */
    assert_int_equal(leaf_of(items, 6, h->key, NULL),
                     1);                                 /* nor do a CA's and those not yet valid */
    assert_int_equal(leaf_of(items, 6, h->key, "t"), 2); /* it breaks ties */
    assert_int_equal(leaf_of(items, 6, h->key, "c"), 1);
    assert_int_equal(leaf_of(items + 3, 1, h->key, NULL), 0);
    assert_int_equal(leaf_of(items + 3, 3, h->key, NULL), 2);
    /* Issued in the same second, without help from an id: the first. */
    assert_int_equal(leaf_of(items + 1, 2, h->key, NULL), 0);
    X509_free(old);
    X509_free(new);
    X509_free(twin);
    X509_free(future);
    X509_free(far);
    X509_free(ca);
}

/* Builds from items[0] and compares with the expected certificates, NULL-terminated. */
static void expect_path(const struct item *items, size_t count, bool complete,
                        X509 *const *expected)
{
    struct set *s = gather(items, count);
    size_t path[CCS_CHAIN_MAX], got, i;
    bool found;

    got = ccs_chain_build(&s->chain, 0, path, &found);
    assert_int_equal(found, complete);
    for (i = 0; expected[i]; i++) {
        assert_true(i < got);
        assert_int_equal(X509_cmp(s->chain.certs[path[i]].x509, expected[i]), 0);
        assert_true(s->chain.certs[path[i]].used);
    }
    assert_int_equal(got, i);
    drop(s);
}

static void test_path(void **state)
{
    const struct host *h = host();

    (void)state;
    expect_path((const struct item[]){{h->leaf, 0}, {h->inter, 0}}, 2, true,
                (X509 *const[]){h->inter, NULL});
    expect_path((const struct item[]){{h->leaf, 0}, {h->root, 0}, {h->stranger, 0}, {h->inter, 0}},
                4, true, (X509 *const[]){h->inter, NULL});
    expect_path((const struct item[]){{h->leaf, 0}, {h->root, 0}}, 2, false, (X509 *const[]){NULL});
    expect_path((const struct item[]){{h->leaf, 0}}, 1, false, (X509 *const[]){NULL});
    /* Straight from the root: nothing to send, and nothing is missing. */
    expect_path((const struct item[]){{h->inter, 0}, {h->root, 0}}, 2, true, (X509 *const[]){NULL});
    expect_path((const struct item[]){{h->stranger, 0}, {h->root, 0}}, 2, true,
                (X509 *const[]){NULL});
}

/* A server's own certificate that may not sign others is still no orphan. */
static void test_self_signed(void **state)
{
    X509 *own = ccs_certkit_make(
        &(struct ccs_certkit){.subject = "own", .key = host()->key, .no_sign = 1});

    (void)state;
    expect_path((const struct item[]){{own, 0}, {host()->root, 0}}, 2, true, (X509 *const[]){NULL});
    X509_free(own);
}

/* Two authorities of one name: only the one whose key signed counts. */
static void test_same_name(void **state)
{
    const struct host *h = host();
    X509 *namesake = make("inter", h->other_key, "root", h->root_key, 1, -DAY, 900 * DAY);

    (void)state;
    expect_path((const struct item[]){{h->leaf, 0}, {namesake, 0}, {h->inter, 0}}, 3, true,
                (X509 *const[]){h->inter, NULL});
    expect_path((const struct item[]){{h->leaf, 0}, {namesake, 0}}, 2, false,
                (X509 *const[]){NULL});
    X509_free(namesake);
}

/* A root, and the same root signed by an older one: what lasts longer. */
static void test_cross_signed(void **state)
{
    const struct host *h = host();
    X509 *root = make("root", h->root_key, NULL, NULL, 1, -DAY, 500 * DAY);
    X509 *brief = make("root", h->root_key, "older", h->other_key, 1, -DAY, 10 * DAY);
    X509 *lasting = make("root", h->root_key, "older", h->other_key, 1, -DAY, 900 * DAY);

    (void)state;
    expect_path((const struct item[]){{h->leaf, 0}, {brief, 0}, {h->inter, 0}, {root, 0}}, 4, true,
                (X509 *const[]){h->inter, NULL});
    expect_path((const struct item[]){{h->leaf, 0}, {root, 0}, {h->inter, 0}, {lasting, 0}}, 4,
                true, (X509 *const[]){h->inter, lasting, NULL});
    X509_free(root);
    X509_free(brief);
    X509_free(lasting);
}

/* Authorities that vouch for each other in a circle. */
static void test_circle(void **state)
{
    const struct host *h = host();
    X509 *a = make("a", h->inter_key, "b", h->other_key, 1, -DAY, 90 * DAY);
    X509 *b = make("b", h->other_key, "a", h->inter_key, 1, -DAY, 90 * DAY);
    X509 *leaf = make("leaf", h->key, "a", h->inter_key, 0, -DAY, 90 * DAY);

    (void)state;
    expect_path((const struct item[]){{leaf, 0}, {b, 0}, {a, 0}}, 3, true,
                (X509 *const[]){a, b, NULL});
    X509_free(a);
    X509_free(b);
    X509_free(leaf);
}

static void test_longest(void **state)
{
    X509 *certs[CCS_CHAIN_MAX + 4];
    struct item items[CCS_CHAIN_MAX + 4];
    X509 *expected[CCS_CHAIN_MAX + 1] = {NULL};
    char subject[12], issuer[12];
    const size_t count = CCS_CHAIN_MAX + 4;
    size_t i;

    (void)state;
    for (i = 0; i < count; i++) {
        snprintf(subject, sizeof(subject), "c%zu", i);
        snprintf(issuer, sizeof(issuer), "c%zu", i + 1);
        certs[i] = make(subject, i ? host()->inter_key : host()->key, issuer, host()->inter_key,
                        i > 0, -DAY, 90 * DAY);
        items[i] = (struct item){certs[i], NULL};
        if (i >= 1 && i <= CCS_CHAIN_MAX)
            expected[i - 1] = certs[i];
    }
    expect_path(items, count, true, expected);
    for (i = 0; i < count; i++)
        X509_free(certs[i]);
}

static void test_id(void **state)
{
    struct ccs_bag_id a = {"same", 4}, b = {"same", 4}, c = {"samex", 5}, none = {{0}, 0};

    (void)state;
    assert_true(ccs_bag_id_equal(&a, &b));
    assert_false(ccs_bag_id_equal(&a, &c));
    assert_false(ccs_bag_id_equal(&a, &none));
    assert_false(ccs_bag_id_equal(&none, &none));
}

/* No server has such a key, but an old authority may. */
static void test_other_kind_of_key(void **state)
{
    EVP_PKEY *dsa = ccs_certkit_key("DSA");
    X509 *authority = make("dsa", dsa, "root", host()->root_key, 1, -DAY, 90 * DAY);
    X509 *leaf = make("leaf", host()->key, "dsa", dsa, 0, -DAY, 90 * DAY);
    const struct item items[] = {{leaf, NULL}, {authority, NULL}};

    (void)state;
    expect_path(items, 2, true, (X509 *[]){authority, NULL});
    X509_free(authority);
    X509_free(leaf);
    EVP_PKEY_free(dsa);
}

/* Objects that others use are used here as well, and never given away. */
static void test_shared(void **state)
{
    const struct host *h = host();
    const struct item items[] = {{h->leaf, NULL}, {h->inter, NULL}};
    unsigned char *der = NULL;
    X509 *shared = NULL, *taken;
    int len = i2d_X509(h->inter, &der);
    struct set *s;

    (void)state;
    assert_true(len > 0);
    assert_null(ccs_issuers_find(der, (size_t)len));
    assert_int_equal(ccs_issuers_get(der, (size_t)len, &shared, NULL), CCS_OK);
    s = gather(items, 2);
    assert_ptr_equal(s->chain.certs[1].x509, shared);
    assert_null(ccs_chain_take(&s->chain, 1));
    taken = ccs_chain_take(&s->chain, 0);
    assert_ptr_equal(taken, s->chain.certs[0].x509);
    assert_null(ccs_chain_take(&s->chain, 0));
    drop(s);
    assert_int_equal(X509_cmp(taken, h->leaf), 0);
    assert_int_equal(ccs_issuers_count(), 1);
    ccs_issuers_release(shared);
    assert_int_equal(ccs_issuers_count(), 0);
    X509_free(taken);
    OPENSSL_free(der);
}

/* Several pairs and what belongs to none, through the whole loader. */
static void test_pairs(void **state)
{
    const struct host *h = host();
    EVP_PKEY *rsa = ccs_certkit_key("RSA:2048");
    X509 *rsa_leaf = make("leaf", rsa, "inter", h->inter_key, 0, -DAY, 90 * DAY);
    X509 *loose = make("loose", h->root_key, NULL, NULL, 1, -DAY, 90 * DAY);
    struct ccs_der bags = {0}, parts = {0}, file = {0};
    struct outcome o;

    (void)state;
    ccs_pfxkit_cert(&bags, loose, "1");
    ccs_pfxkit_cert(&bags, h->root, NULL);
    ccs_pfxkit_cert(&bags, rsa_leaf, "e"); /* ids exchanged */
    ccs_pfxkit_cert(&bags, h->inter, NULL);
    ccs_pfxkit_cert(&bags, h->inter, NULL);
    ccs_pfxkit_cert(&bags, h->leaf, "r");
    ccs_pfxkit_key(&bags, rsa, "r");
    ccs_pfxkit_key(&bags, h->key, "e");
    ccs_pfxkit_key(&bags, h->key, NULL); /* the same again */
    ccs_pfxkit_key(&bags, h->inter_key, NULL);
    ccs_pfxkit_key(&bags, h->other_key, NULL); /* of no certificate here */
    ccs_pfxkit_data(&parts, &bags);
    ccs_pfxkit_file(&file, &parts, NULL);
    o = load(&file, NULL);
    assert_int_equal(o.rv, CCS_OK);
    assert_int_equal(o.pfx->pair_count, 3);
    check_cert(&o.pfx->pairs[0].leaf, rsa_leaf);
    check_key(&o.pfx->pairs[0].key, rsa);
    check_cert(&o.pfx->pairs[1].leaf, h->leaf);
    check_key(&o.pfx->pairs[1].key, h->key);
    check_cert(&o.pfx->pairs[2].leaf, h->inter);
    assert_int_equal(o.pfx->pairs[0].chain_len, 1);
    assert_int_equal(o.pfx->pairs[1].chain_len, 1);
    assert_int_equal(o.pfx->pairs[2].chain_len, 0);
    assert_int_equal(o.pfx->warnings, CCS_PFX_NO_MAC | CCS_PFX_UNUSED_CERT | CCS_PFX_UNUSED_KEY);
    ccs_pfx_free(o.pfx);
    EVP_PKEY_free(rsa);
    X509_free(rsa_leaf);
    X509_free(loose);
    ccs_der_clear(&bags);
    ccs_der_clear(&parts);
    ccs_der_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf),      cmocka_unit_test(test_several_leaves),
        cmocka_unit_test(test_path),      cmocka_unit_test(test_self_signed),
        cmocka_unit_test(test_same_name), cmocka_unit_test(test_cross_signed),
        cmocka_unit_test(test_circle),    cmocka_unit_test(test_longest),
        cmocka_unit_test(test_id),        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_shared),    cmocka_unit_test(test_other_kind_of_key),
    };

    return cmocka_run_group_tests(tests, NULL, host_free);
}
