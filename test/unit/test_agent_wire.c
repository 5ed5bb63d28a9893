/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

/* One of each kind, with every field in use that it has. */
static const struct {
    enum ccs_wire_side side;
    struct ccs_wire_message m;
} all[] = {
    {CCS_WIRE_TO_AGENT,
     {.type = CCS_WIRE_HELLO,
      .version = 1,
      .flags = CCS_WIRE_WANT_LOG,
      .text = TEXT("//server/share")}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_PROBE, .store = 3, .id = 7, .timeout_ms = 5000}},
    {CCS_WIRE_TO_AGENT,
     {.type = CCS_WIRE_STAT, .id = UINT32_MAX, .timeout_ms = 1, .text = TEXT("a.pfx")}},
    {CCS_WIRE_TO_AGENT,
     {.type = CCS_WIRE_READ, .timeout_ms = 1, .max = CCS_WIRE_FILE_MAX, .text = TEXT("a.PFX")}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_LIST, .timeout_ms = UINT32_MAX}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_WATCH, .store = UINT16_MAX, .timeout_ms = 9}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_CANCEL, .id = 4}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_STATUS, .id = 4}},
    {CCS_WIRE_TO_AGENT, {.type = CCS_WIRE_PING, .id = 4}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_WELCOME, .version = 1, .pid = 4711}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_ROOT, .id = 1, .root = {1, 2, 3, -5, true}}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_STAMP, .stamp = {3, UINT64_MAX, INT64_MIN, INT64_MAX}}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_CONTENTS, .stamp = {3, 4, 5, 6}, .text = TEXT("a\0b")}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_NAMES, .text = TEXT("\005a.pfx\006bb.Pfx")}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_LISTED, .count = 100000}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_WATCHING, .id = 2}},
    {CCS_WIRE_TO_CLIENT,
     {.type = CCS_WIRE_EVENT, .event = CCS_EVENT_REMOVED, .text = TEXT("a.pfx")}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_EVENT, .event = CCS_EVENT_ROOT_GONE}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_STATE, .text = TEXT("{}")}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_PONG, .id = 9}},
    {CCS_WIRE_TO_CLIENT,
     {.type = CCS_WIRE_ERROR,
      .code = CCS_EUNAVAIL,
      .sys_errno = 110,
      .stamp = {1, 2, 3, 4},
      .text = TEXT("no answer")}},
    {CCS_WIRE_TO_CLIENT, {.type = CCS_WIRE_LOG, .level = CCS_LOG_WARN, .text = TEXT("a line")}},
};

static void assert_same(const struct ccs_wire_message *a, const struct ccs_wire_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->store, b->store);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->timeout_ms, b->timeout_ms);
    assert_int_equal(a->max, b->max);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->event, b->event);
    assert_int_equal(a->level, b->level);
    assert_true(ccs_stamp_equal(&a->stamp, &b->stamp));
    assert_int_equal(a->root.device, b->root.device);
    assert_int_equal(a->root.file_id, b->root.file_id);
    assert_int_equal(a->root.fs_type, b->root.fs_type);
    assert_int_equal(a->root.mtime_ns, b->root.mtime_ns);
    assert_int_equal(a->root.notifies, b->root.notifies);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->sys_errno, b->sys_errno);
    assert_int_equal(a->text.len, b->text.len);
    if (a->text.len > 0)
        assert_memory_equal(a->text.data, b->text.data, a->text.len);
}

static void what_is_written_is_read(void **state)
{
    struct ccs_wire_message m;
    uint8_t octets[512];
    size_t len;
    size_t used;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
        const enum ccs_wire_side other = all[i].side == CCS_WIRE_TO_AGENT ? CCS_WIRE_TO_CLIENT
                                                                          : CCS_WIRE_TO_AGENT;
        uint8_t *exact;

        assert_int_equal(ccs_wire_encode(&all[i].m, octets, sizeof(octets), &len), CCS_OK);
        assert_int_equal(len, ccs_wire_size(&all[i].m));
        assert_int_equal(ccs_wire_encode(&all[i].m, octets, len - 1, &used), CCS_ENOMEM);
        exact = malloc(len); /* of the very length, so that reading too far shows */
        assert_non_null(exact);
        memcpy(exact, octets, len);
        assert_int_equal(ccs_wire_decode(all[i].side, exact, len, &m, &used), CCS_OK);
        assert_int_equal(used, len);
        assert_same(&m, &all[i].m);
        assert_int_equal(ccs_wire_decode(other, exact, len, &m, &used), CCS_EINVAL);
        free(exact);
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(ccs_wire_decode(all[i].side, octets, cut, &m, &used), CCS_PENDING);
            assert_int_equal(used, cut < CCS_WIRE_HEADER ? CCS_WIRE_HEADER : len);
        }
    }
}

/* The octets that docs/agent-protocol.md describes. */
static void octets_are_as_documented(void **state)
{
    const struct ccs_wire_message read = {.type = CCS_WIRE_READ,
                                          .store = 2,
                                          .id = 0x01020304,
                                          .timeout_ms = 256,
                                          .max = 65536,
                                          .text = TEXT("x.pfx")};
    const struct ccs_wire_message error = {
        .type = CCS_WIRE_ERROR, .id = 1, .code = CCS_ENOTFOUND, .sys_errno = 2, .text = TEXT("e")};
    uint8_t out[128];
    size_t len;

    (void)state;
    assert_int_equal(ccs_wire_encode(&read, out, sizeof(out), &len), CCS_OK);
    assert_int_equal(len, 25);
    assert_memory_equal(out,
                        "\0\0\0\015\0\004\0\002\001\002\003\004"
                        "\0\0\001\0\0\001\0\0x.pfx",
                        25);
    assert_int_equal(ccs_wire_encode(&error, out, sizeof(out), &len), CCS_OK);
    assert_int_equal(len, 12 + 8 + 32 + 1);
    assert_memory_equal(out + 12, "\377\377\377\374\0\0\0\002", 8);
}

static void the_sides_have_their_own(void **state)
{
    struct ccs_wire_message m;
    uint8_t head[CCS_WIRE_HEADER] = {0};
    size_t used;

    (void)state;
    for (unsigned type = 0; type < 300; type++) {
        int known = 0;

        head[4] = (uint8_t)(type >> 8);
        head[5] = (uint8_t)type;
        memset(head, 0xff, 4); /* far too long, whatever it is */
        assert_int_equal(ccs_wire_decode(CCS_WIRE_TO_AGENT, head, sizeof(head), &m, &used),
                         CCS_EINVAL);
        assert_int_equal(ccs_wire_decode(CCS_WIRE_TO_CLIENT, head, sizeof(head), &m, &used),
                         CCS_EINVAL);
        for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++)
            known |= all[i].m.type == type;
        memset(head, 0, 4);
        if (!known) {
            assert_int_equal(ccs_wire_decode(CCS_WIRE_TO_AGENT, head, sizeof(head), &m, &used),
                             CCS_EINVAL);
            assert_int_equal(ccs_wire_decode(CCS_WIRE_TO_CLIENT, head, sizeof(head), &m, &used),
                             CCS_EINVAL);
        }
    }
}

static void what_makes_no_sense_is_not_sent(void **state)
{
    static const char long_name[300] = {0};
    const struct ccs_wire_message bad[] = {
        {.type = CCS_WIRE_HELLO, .version = 1},
        {.type = CCS_WIRE_HELLO, .text = TEXT("/x")},
        {.type = CCS_WIRE_HELLO, .version = 1, .text = TEXT("/x\0y")},
        {.type = CCS_WIRE_STAT, .text = TEXT("a.txt")},
        {.type = CCS_WIRE_STAT, .text = {long_name, sizeof(long_name)}},
        {.type = CCS_WIRE_READ, .max = CCS_WIRE_FILE_MAX + 1, .text = TEXT("a.pfx")},
        {.type = CCS_WIRE_CONTENTS, .stamp = {4, 0, 0, 0}, .text = TEXT("abc")},
        {.type = CCS_WIRE_NAMES},
        {.type = CCS_WIRE_NAMES, .text = TEXT("\005a.pf")},
        {.type = CCS_WIRE_NAMES, .text = TEXT("\005a.pfx\001")},
        {.type = CCS_WIRE_NAMES, .text = TEXT("\0")},
        {.type = CCS_WIRE_EVENT, .event = CCS_EVENT_ARRIVED},
        {.type = CCS_WIRE_EVENT, .event = CCS_EVENT_OVERFLOW, .text = TEXT("a.pfx")},
        {.type = CCS_WIRE_EVENT, .event = (enum ccs_event_kind)4},
        {.type = CCS_WIRE_ERROR, .code = CCS_OK, .text = TEXT("x")},
        {.type = CCS_WIRE_ERROR, .code = -12, .text = TEXT("x")},
        {.type = CCS_WIRE_ERROR, .code = -37, .text = TEXT("x")},
        {.type = CCS_WIRE_ERROR, .code = CCS_ENOMEM},
        {.type = CCS_WIRE_ERROR, .code = CCS_ENOMEM, .sys_errno = -1, .text = TEXT("x")},
        {.type = CCS_WIRE_LOG, .level = (enum ccs_level)4, .text = TEXT("x")},
        {.type = (enum ccs_wire_type)0},
        {.type = (enum ccs_wire_type)1000},
    };
    uint8_t out[512];
    size_t len;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(bad); i++) {
        assert_int_equal(ccs_wire_size(&bad[i]), 0);
        assert_int_equal(ccs_wire_encode(&bad[i], out, sizeof(out), &len), CCS_EINVAL);
    }
}

/* Every octet of a message changed to every value: it is read within bounds, or refused. */
static void damaged_octets_are_harmless(void **state)
{
    struct ccs_wire_message m;
    uint8_t octets[512];
    uint8_t again[512];
    size_t len;
    size_t used;

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(all); i++) {
        assert_int_equal(ccs_wire_encode(&all[i].m, octets, sizeof(octets), &len), CCS_OK);
        for (size_t at = 0; at < len; at++) {
            const uint8_t good = octets[at];

            for (unsigned value = 0; value < 256; value++) {
                octets[at] = (uint8_t)value;
                if (ccs_wire_decode(all[i].side, octets, len, &m, &used) != CCS_OK)
                    continue;
                assert_true(used <= len);
                assert_int_equal(ccs_wire_encode(&m, again, sizeof(again), &used), CCS_OK);
                assert_memory_equal(again, octets, used);
            }
            octets[at] = good;
        }
    }
}

static void the_largest_file_fits(void **state)
{
    uint8_t *octets = malloc(CCS_WIRE_MESSAGE_MAX);
    char *file = calloc(1, CCS_WIRE_FILE_MAX + 1);
    struct ccs_wire_message m = {.type = CCS_WIRE_CONTENTS,
                                 .stamp = {CCS_WIRE_FILE_MAX, 1, 2, 3},
                                 .text = {file, CCS_WIRE_FILE_MAX}};
    struct ccs_wire_message back;
    size_t len;
    size_t used;

    (void)state;
    assert_non_null(octets);
    assert_non_null(file);
    assert_int_equal(ccs_wire_encode(&m, octets, CCS_WIRE_MESSAGE_MAX, &len), CCS_OK);
    assert_int_equal(ccs_wire_decode(CCS_WIRE_TO_CLIENT, octets, len, &back, &used), CCS_OK);
    assert_int_equal(back.text.len, CCS_WIRE_FILE_MAX);
    m.text.len++;
    m.stamp.size++;
    assert_int_equal(ccs_wire_size(&m), 0);
    free(octets);
    free(file);
}

static void names_of_files(void **state)
{
    static const char *const good[] = {"a.pfx", "_.example.com.pfx",
                                       "b\xc3\xbc"
                                       "cher.pfx",
                                       "A.PFX", "....pfx"};
    static const char *const bad[] = {"",        ".pfx",     "a.pfx ",  "../a.pfx",  "a\\b.pfx",
                                      "a:b.pfx", "a\nb.pfx", "a*.pfx",  "a?.pfx",    "a|b.pfx",
                                      "a<.pfx",  "\x7f.pfx", "a\".pfx", "a.pfx.lock"};
    char name[CCS_FILE_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(good); i++)
        assert_true(ccs_wire_is_file(good[i], strlen(good[i])));
    for (size_t i = 0; i < CCS_ARRAY_LEN(bad); i++)
        assert_false(ccs_wire_is_file(bad[i], strlen(bad[i])));
    assert_false(ccs_wire_is_file("a\0b.pfx", 7));
    memset(name, 'a', sizeof(name));
    memcpy(name + CCS_FILE_NAME_MAX - 4, ".pfx", 4);
    assert_true(ccs_wire_is_file(name, CCS_FILE_NAME_MAX));
    memcpy(name + CCS_FILE_NAME_MAX - 3, ".pfx", 4);
    assert_false(ccs_wire_is_file(name, CCS_FILE_NAME_MAX + 1));
}

static void pieces_of_a_listing(void **state)
{
    char buf[13];
    size_t used = 0;
    struct ccs_wire_text names;
    struct ccs_wire_text name;

    (void)state;
    assert_true(ccs_wire_names_add(buf, sizeof(buf), &used, "a.pfx", 5));
    assert_false(ccs_wire_names_add(buf, sizeof(buf), &used, "a.txt", 5));
    assert_true(ccs_wire_names_add(buf, sizeof(buf), &used, "bb.pfx", 6));
    assert_false(ccs_wire_names_add(buf, sizeof(buf), &used, "c.pfx", 5));
    assert_int_equal(used, sizeof(buf));
    names.data = buf;
    names.len = used;
    assert_true(ccs_wire_names_next(&names, &name));
    assert_int_equal(name.len, 5);
    assert_memory_equal(name.data, "a.pfx", 5);
    assert_true(ccs_wire_names_next(&names, &name));
    assert_memory_equal(name.data, "bb.pfx", 6);
    assert_false(ccs_wire_names_next(&names, &name));
}

/* -- setup and report ------------------------------------------------------------------------ */

static struct ccs_agent_setup *make_setup(void)
{
    struct ccs_agent_setup *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    strcpy(s->user, "ccs");
    s->level = CCS_LOG_DEBUG;
    s->stores = 2;
    strcpy(s->store[0].location, "//server/share/dir");
    strcpy(s->store[0].user, "svc");
    strcpy(s->store[0].domain, "DOM");
    strcpy(s->store[0].password, " p=\xc3\xa4 ");
    s->store[0].wait_ms = 5000;
    s->store[0].refresh_ms = 60000;
    strcpy(s->store[1].location, "/srv/certs");
    return s;
}

static void setup_survives(void **state)
{
    struct ccs_agent_setup *s = make_setup();
    struct ccs_agent_setup *back = malloc(sizeof(*back));
    uint8_t block[1024];
    size_t len;

    (void)state;
    assert_non_null(back);
    assert_int_equal(ccs_agent_setup_encode(s, block, sizeof(block), &len), CCS_OK);
    assert_int_equal(ccs_agent_setup_decode(block, len, back), CCS_OK);
    assert_memory_equal(s, back, sizeof(*s));
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(ccs_agent_setup_decode(block, cut, back), CCS_EINVAL);
        assert_int_equal(back->store[0].password[0], 0);
    }
    block[len] = 0;
    assert_int_equal(ccs_agent_setup_decode(block, len + 1, back), CCS_EINVAL);
    for (size_t at = 0; at < len; at++) {
        const uint8_t good = block[at];

        for (unsigned value = 0; value < 256; value++) {
            block[at] = (uint8_t)value;
            (void)ccs_agent_setup_decode(block, len, back);
        }
        block[at] = good;
    }
    free(back);
    free(s);
}

static void setup_has_bounds(void **state)
{
    struct ccs_agent_setup *s = make_setup();
    uint8_t *block = malloc(CCS_AGENT_SETUP_MAX);
    size_t len;

    (void)state;
    assert_non_null(block);
    assert_int_equal(ccs_agent_setup_encode(s, block, 100, &len), CCS_ENOMEM);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(block[i], 0); /* nothing of a password stays behind */
    s->stores = 0;
    assert_int_equal(ccs_agent_setup_encode(s, block, CCS_AGENT_SETUP_MAX, &len), CCS_EINVAL);
    s->stores = CCS_AGENT_STORES_MAX + 1;
    assert_int_equal(ccs_agent_setup_encode(s, block, CCS_AGENT_SETUP_MAX, &len), CCS_EINVAL);
    s->stores = CCS_AGENT_STORES_MAX;
    assert_int_equal(ccs_agent_setup_encode(s, block, CCS_AGENT_SETUP_MAX, &len), CCS_EINVAL);
    for (size_t i = 0; i < CCS_AGENT_STORES_MAX; i++) {
        memset(s->store[i].location, 'l', sizeof(s->store[i].location) - 1);
        memset(s->store[i].user, 'u', sizeof(s->store[i].user) - 1);
        memset(s->store[i].domain, 'd', sizeof(s->store[i].domain) - 1);
        memset(s->store[i].password, 'p', sizeof(s->store[i].password) - 1);
    }
    assert_int_equal(ccs_agent_setup_encode(s, block, CCS_AGENT_SETUP_MAX, &len), CCS_OK);
    s->store[1].password[sizeof(s->store[1].password) - 1] = 'p';
    assert_int_equal(ccs_agent_setup_encode(s, block, CCS_AGENT_SETUP_MAX, &len), CCS_EINVAL);
    free(block);
    free(s);
}

static void reports(void **state)
{
    static const char *const bad[] = {"",       "OK\n",     "OK \n",   "OK 1",
                                      "OK 0\n", "OK -1\n",  "OK 1x\n", "OK 4294967297\n",
                                      "ok 1\n", "nothing\n"};
    char text[CCS_AGENT_REPORT_MAX];
    char long_text[2000];
    struct ccs_error err;
    int32_t pid = 0;
    size_t len;

    (void)state;
    len = ccs_agent_report_encode(12345, NULL, text);
    assert_string_equal(text, "OK 12345\n");
    assert_int_equal(ccs_agent_report_decode(text, len, &pid, &err), CCS_OK);
    assert_int_equal(pid, 12345);
    len = ccs_agent_report_encode(0, "no user \"ccs\"\n", text);
    assert_int_equal(ccs_agent_report_decode(text, len, &pid, &err), CCS_EUNAVAIL);
    assert_string_equal(err.text, "no user \"ccs\"\\x0a");
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    len = ccs_agent_report_encode(0, long_text, text);
    assert_true(len < CCS_AGENT_REPORT_MAX);
    assert_int_equal(text[len - 1], '\n');
    assert_int_equal(ccs_agent_report_decode(text, len, &pid, &err), CCS_EUNAVAIL);
    pid = 7;
    for (size_t i = 0; i < CCS_ARRAY_LEN(bad); i++) {
        assert_int_equal(ccs_agent_report_decode(bad[i], strlen(bad[i]), &pid, &err), CCS_EUNAVAIL);
        assert_true(strlen(err.text) > 0);
    }
    assert_int_equal(pid, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(octets_are_as_documented),
        cmocka_unit_test(the_sides_have_their_own),
        cmocka_unit_test(what_makes_no_sense_is_not_sent),
        cmocka_unit_test(damaged_octets_are_harmless),
        cmocka_unit_test(the_largest_file_fits),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(pieces_of_a_listing),
        cmocka_unit_test(setup_survives),
        cmocka_unit_test(setup_has_bounds),
        cmocka_unit_test(reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
