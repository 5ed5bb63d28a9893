/* SPDX-License-Identifier: Apache-2.0 */
/* Names that no store can hold, and files that are no certificates: refused, for a reason that is
 * named, while everything else goes on. */
#include "farm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every hostile deed is followed by this. */
static void expect_unharmed(struct ccs_farm *farm, const char *fingerprint)
{
    ccs_farm_expect_name(farm, "good.test", "HIT good.test.pfx", fingerprint);
}

struct octets {
    const char *data;
    size_t len;
};

#define OCTETS(text)                                                                               \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static const struct octets names[] = {
    OCTETS("../x"),
    OCTETS("../../etc/passwd"),
    OCTETS("/etc/x"),
    OCTETS("a/b.test"),
    OCTETS("a\\b.test"),
    OCTETS("_.example.com"),
    OCTETS("_"),
    OCTETS("*.example.com"),
    OCTETS("good.test\0.example.com"),
    OCTETS("\0"),
    OCTETS(""),
    OCTETS("."),
    OCTETS(".."),
    OCTETS("..good.test"),
    OCTETS("good..test"),
    OCTETS(".good.test"),
    OCTETS("good.test.."),
    OCTETS("127.0.0.1"),
    OCTETS("::1"),
    OCTETS("[::1]"),
    OCTETS("0x7f.1"),
    OCTETS("a b.test"),
    OCTETS("a\nb.test"),
    OCTETS("a\"b.test"),
    OCTETS("b\xc3\xbc"
           "cher.test"),
    OCTETS("\xff\xfe.test"),
    OCTETS("good.test:443"),
    OCTETS("good.test.pfx/"),
    OCTETS("%2e%2e%2fx"),
    OCTETS("${jndi}.test"),
};

static void expect_octets_refused(struct ccs_farm *farm, const char *data, size_t len)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, NULL);
    struct ccs_tls_result result;

    spec.raw_sni = (const unsigned char *)data;
    spec.raw_sni_len = len;
    spec.max_version = TLS1_2_VERSION;
    (void)ccs_tls_client_once(&spec, &result, NULL);
    if (result.end != CCS_TLS_ALERT || result.fingerprint[0] != '\0') {
        fail_msg("%zu octets, \"%.40s\": end %d, alert %d, a certificate %.8s", len, data,
                 result.end, result.alert, result.fingerprint);
    }
    /* OpenSSL itself refuses some of these before anybody is asked, as a decoding error. */
    if (result.alert != CCS_ALERT_UNRECOGNIZED_NAME && result.alert != SSL_AD_DECODE_ERROR) {
        fail_msg("%zu octets, \"%.40s\": alert %d", len, data, result.alert);
    }
}

static void hostile_names(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP, .slow = 1};
    char good[65], text[400];
    size_t i, opened;

    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_put(farm, "_.example.com.pfx", "*.example.com", NULL);
    ccs_farm_put(farm, "127.0.0.1.pfx", "IP:127.0.0.1", NULL);
    ccs_pki_put(farm->ca, "x", farm->tmp.path, "x.pfx", NULL);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);
    opened = ccs_nginx_opened(&farm->nginx, "");
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        expect_octets_refused(farm, names[i].data, names[i].len);
        expect_unharmed(farm, good);
    }
    memset(text, 'a', sizeof(text));
    expect_octets_refused(farm, text, 300);
    expect_octets_refused(farm, text, 256);
    expect_octets_refused(farm, text, 255);
    for (i = 50; i < sizeof(text); i += 50) {
        text[i] = '.';
    }
    expect_octets_refused(farm, text, 254);
    expect_octets_refused(farm, text, 300);
    expect_unharmed(farm, good);
    /* None of this reached the file system. */
    assert_int_equal(ccs_nginx_opened(&farm->nginx, ""), opened);
}

/* The longest name there can be is a name like any other, although no file can be called so. */
static void longest_names(void **state)
{
    struct ccs_farm *farm = *state;
    char text[254], good[65];

    memset(text, 'a', sizeof(text));
    text[60] = text[120] = text[180] = '.';
    text[240] = '.';
    text[253] = '\0';
    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);
    ccs_farm_expect_refused(farm, text);
    ccs_farm_expect_refused(farm, text + 3);
    ccs_farm_expect_refused(farm, text + 10);
    expect_unharmed(farm, good);
}

/* The name is in the store, but what stands there cannot be served: alert 80 or 112, at once, and
 * the log says which file and why. */
static void expect_file_refused(struct ccs_farm *farm, const char *sni, const char *reason)
{
    struct ccs_tls_spec spec = ccs_farm_ask(farm, sni);
    struct ccs_tls_result result;
    char text[300];

    (void)ccs_tls_client_once(&spec, &result, NULL);
    if (result.end != CCS_TLS_ALERT ||
        (result.alert != CCS_ALERT_INTERNAL_ERROR && result.alert != CCS_ALERT_UNRECOGNIZED_NAME)) {
        fail_msg("%s: end %d, alert %d, \"%s\"", sni, result.end, result.alert, result.body);
    }
    /* At once: not when the setting wait has passed. */
    if (result.ms > ccs_wait_scaled(20000)) {
        fail_msg("%s: refused after %.0f ms only", sni, result.ms);
    }
    snprintf(text, sizeof(text), "\"%s.pfx\": %s", sni, reason);
    ccs_farm_wait_log(farm, text);
}

static void put_hole(struct ccs_farm *farm, const char *file, off_t size)
{
    char path[512];

    ccs_farm_put_bytes(farm, file, "", 0);
    ccs_tmp_join(path, sizeof(path), farm->store, file);
    assert_int_equal(truncate(path, size), 0);
}

static void put_link(struct ccs_farm *farm, const char *file, const char *target)
{
    char path[512];

    ccs_tmp_join(path, sizeof(path), farm->store, file);
    assert_int_equal(symlink(target, path), 0);
}

static void hostile_files(void **state)
{
    struct ccs_farm *farm = *state;
    char path[512], good[65];

    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_pki_put(farm->ca, "outside.test", farm->tmp.path, "outside.pfx", NULL);
    ccs_tmp_join(path, sizeof(path), farm->store, "fifo.test.pfx");
    assert_int_equal(mkfifo(path, 0666), 0);
    ccs_tmp_mkdir(farm->store, "folder.test.pfx");
    put_hole(farm, "huge.test.pfx", (off_t)1 << 30);
    ccs_farm_put_bytes(farm, "text.test.pfx", "hello world\n", 12);
    ccs_farm_put_bytes(farm, "pem.test.pfx", "-----BEGIN CERTIFICATE-----\nMIIB\n", 33);
    ccs_farm_put_bytes(farm, "empty.test.pfx", "", 0);
    put_link(farm, "link.test.pfx", "../outside.pfx");
    put_link(farm, "device.test.pfx", "/dev/zero");
    put_link(farm, "loop.test.pfx", "loop.test.pfx");
    ccs_farm_run(farm, CCS_FARM_HTTP "ccs_wait 30s;\n");
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);

    expect_file_refused(farm, "fifo.test", "it is not a regular file");
    expect_unharmed(farm, good);
    expect_file_refused(farm, "folder.test", "it is not a regular file");
    expect_file_refused(farm, "huge.test", "");
    expect_unharmed(farm, good);
    expect_file_refused(farm, "text.test", "");
    expect_file_refused(farm, "pem.test", "");
    expect_file_refused(farm, "empty.test", "");
    expect_file_refused(farm, "link.test", "it is a link");
    expect_file_refused(farm, "device.test", "it is a link");
    expect_file_refused(farm, "loop.test", "it is a link");
    expect_unharmed(farm, good);
}

/* A link within the store is a file of the store. */
static void link_inside(void **state)
{
    struct ccs_farm *farm = *state;
    char a[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test,b.test", a);
    put_link(farm, "b.test.pfx", "a.test.pfx");
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "b.test", "LOADED b.test.pfx", a);
}

static void broken_files(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_pki_pfx strange = {.password = "nobody knows"};
    struct ccs_pki_leaf leaf, half, other;
    struct ccs_pki_spec spec = {.names = "x.test"};
    struct ccs_pki_bytes bytes;
    char good[65];

    ccs_pki_issue(farm->ca, &spec, &leaf);
    ccs_pki_issue(farm->ca, &spec, &other);
    bytes = ccs_pki_pfx_make(&leaf, 1, NULL);
    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_put_bytes(farm, "torn.test.pfx", bytes.data, bytes.len - 10);
    bytes.data[bytes.len / 2] ^= 0x55;
    ccs_farm_put_bytes(farm, "flipped.test.pfx", bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    bytes = ccs_pki_pfx_make(&leaf, 1, &strange);
    ccs_farm_put_bytes(farm, "locked.test.pfx", bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    half = leaf;
    half.key = NULL;
    bytes = ccs_pki_pfx_make(&half, 1, NULL);
    ccs_farm_put_bytes(farm, "keyless.test.pfx", bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);
    half = leaf;
    half.key = other.key;
    bytes = ccs_pki_pfx_make(&half, 1, NULL);
    ccs_farm_put_bytes(farm, "mismatch.test.pfx", bytes.data, bytes.len);
    ccs_pki_bytes_clear(&bytes);

    ccs_farm_run(farm, CCS_FARM_HTTP "ccs_wait 30s;\n");
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);
    expect_file_refused(farm, "torn.test", "");
    expect_file_refused(farm, "flipped.test", "");
    expect_file_refused(farm, "locked.test", "");
    expect_file_refused(farm, "keyless.test", "");
    expect_file_refused(farm, "mismatch.test", "");
    expect_unharmed(farm, good);
    ccs_pki_leaf_clear(&leaf);
    ccs_pki_leaf_clear(&other);
}

/* A file of its own that cannot be served leaves the wildcard to serve. */
static void broken_file_under_wildcard(void **state)
{
    struct ccs_farm *farm = *state;
    char all[65];

    ccs_farm_put_bytes(farm, "a.shop.test.pfx", "garbage", 7);
    ccs_farm_put(farm, "_.shop.test.pfx", "*.shop.test", all);
    ccs_farm_run(farm, CCS_FARM_HTTP);
    ccs_farm_expect_name(farm, "a.shop.test", "LOADED _.shop.test.pfx", all);
    ccs_farm_wait_log(farm, "\"a.shop.test.pfx\": ");
}

/* Root may read everything, so the workers take another user for this. */
static void unreadable_file(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP "ccs_negative 1s; ccs_wait 30s;\n",
                                  .user = "nobody nogroup"};
    char path[512], good[65], secret[65];

    if (geteuid() == 0 && (getpwnam("nobody") == NULL || getgrnam("nogroup") == NULL)) {
        print_message("there is no user nobody of group nogroup\n");
        skip();
    }
    ccs_farm_put(farm, "good.test.pfx", "good.test", good);
    ccs_farm_put(farm, "secret.test.pfx", "secret.test", secret);
    ccs_tmp_join(path, sizeof(path), farm->store, "secret.test.pfx");
    assert_int_equal(chmod(path, 0), 0);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_farm_expect_name(farm, "good.test", "LOADED good.test.pfx", good);
    expect_file_refused(farm, "secret.test", "user id ");
    expect_unharmed(farm, good);
    /* Once it may be read it is, when the refusal has been believed for long enough. */
    assert_int_equal(chmod(path, 0644), 0);
    ccs_farm_wait_served(farm, "secret.test", secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(hostile_names),   CCS_FARM_TEST(longest_names),
        CCS_FARM_TEST(hostile_files),   CCS_FARM_TEST(link_inside),
        CCS_FARM_TEST(broken_files),    CCS_FARM_TEST(broken_file_under_wildcard),
        CCS_FARM_TEST(unreadable_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
