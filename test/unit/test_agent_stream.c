/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's connections: messages whole and in order, whatever the pieces, and orders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "orders.h"
#include "stream.h"

static void pair_of(int type, int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

/* One large answer to several requests, kept once, read in whatever pieces come. */
static void test_messages(void **state)
{
    struct ccs_wire_message m = {.type = CCS_WIRE_CONTENTS, .id = 1};
    struct agent_stream out;
    struct agent_stream in;
    struct agent_body *body;
    struct ccs_wire_message got;
    const uint8_t *octets;
    size_t len;
    char *data = calloc(1, 300000);
    uint32_t next = 1;
    int fd[2];

    (void)state;
    assert_non_null(data);
    memset(data, 'k', 300000);
    m.text.data = data;
    m.text.len = 300000;
    m.stamp.size = 300000;
    pair_of(SOCK_STREAM, fd);
    agent_stream_init(&out, fd[0], CCS_WIRE_TO_AGENT);
    agent_stream_init(&in, fd[1], CCS_WIRE_TO_CLIENT);
    body = agent_body_new(&m);
    assert_non_null(body);
    for (uint32_t id = 1; id <= 5; id++)
        assert_int_equal(agent_stream_push(&out, body, 3, id), CCS_OK);
    assert_int_equal(body->refs, 6);
    assert_int_equal(out.unsent_octets, 5 * body->len);
    while (next <= 5) {
        int rv;

        assert_int_equal(agent_stream_flush(&out), CCS_OK);
        assert_int_equal(agent_stream_fill(&in), CCS_OK);
        rv = agent_stream_next(&in, &got, &octets, &len);
        if (rv == CCS_PENDING)
            continue;
        assert_int_equal(rv, CCS_OK);
        assert_int_equal(len, body->len);
        assert_int_equal(got.id, next);
        assert_int_equal(got.store, 3);
        assert_int_equal(got.text.len, 300000);
        assert_memory_equal(got.text.data, data, 300000);
        agent_stream_done(&in, len);
        next++;
    }
    assert_int_equal(body->refs, 1);
    assert_int_equal(out.unsent_octets, 0);
    assert_int_equal(agent_stream_push(&out, body, 3, 9), CCS_OK);
    agent_stream_close(&out);
    assert_int_equal(body->refs, 1);
    agent_body_unref(body);
    assert_int_equal(agent_stream_fill(&in), CCS_ECLOSED);
    agent_stream_close(&in);
    agent_stream_close(&in);
    free(data);
}

static void test_bad_messages(void **state)
{
    static const uint8_t bad[CCS_WIRE_HEADER] = {0xff, 0xff, 0xff, 0xff, 0, 2};
    struct ccs_wire_message got;
    struct agent_stream in;
    const uint8_t *octets;
    size_t len;
    int fd[2];

    (void)state;
    pair_of(SOCK_STREAM, fd);
    agent_stream_init(&in, fd[1], CCS_WIRE_TO_AGENT);
    assert_int_equal(send(fd[0], bad, sizeof(bad), 0), sizeof(bad));
    assert_int_equal(agent_stream_fill(&in), CCS_OK);
    assert_int_equal(agent_stream_next(&in, &got, &octets, &len), CCS_EINVAL);
    /* What was announced took no memory. */
    assert_true(in.in_size < 65536);
    agent_stream_close(&in);
    close(fd[0]);
}

static void test_orders(void **state)
{
    struct agent_order order = {.kind = AGENT_ORDER_STARTED, .role = AGENT_LISTER, .pid = 12};
    struct agent_order got;
    int fd[2];
    int file;

    (void)state;
    pair_of(SOCK_SEQPACKET, fd);
    assert_int_equal(agent_order_receive(fd[1], &got, &file), CCS_PENDING);
    assert_int_equal(agent_order_send(fd[0], &order, -1), CCS_OK);
    assert_int_equal(agent_order_receive(fd[1], &got, &file), CCS_OK);
    assert_int_equal(file, -1);
    assert_int_equal(got.pid, 12);
    assert_int_equal(agent_order_send(fd[0], &order, fd[0]), CCS_OK);
    assert_int_equal(agent_order_receive(fd[1], &got, &file), CCS_OK);
    assert_true(file >= 0);
    assert_true((fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
    close(file);
    assert_int_equal(send(fd[0], "x", 1, 0), 1);
    assert_int_equal(agent_order_receive(fd[1], &got, &file), CCS_ECLOSED);
    close(fd[0]);
    assert_int_equal(agent_order_receive(fd[1], &got, &file), CCS_ECLOSED);
    close(fd[1]);
}

static size_t open_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Of what comes with too many descriptors none is kept, and none left open. */
static void test_descriptors(void **state)
{
    union {
        struct cmsghdr align;
        char octets[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct cmsghdr *c;
    char octet = 'C';
    size_t before;
    int fd[2];
    int file;

    (void)state;
    pair_of(SOCK_SEQPACKET, fd);
    before = open_descriptors();
    for (size_t count = 1; count <= 3; count++) {
        struct iovec iov = {&octet, 1};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.octets};

        memset(&control, 0, sizeof(control));
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (size_t i = 0; i < count; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &fd[0], sizeof(int));
        assert_int_equal(sendmsg(fd[0], &msg, 0), 1);
        assert_int_equal(agent_receive_fd(fd[1], &octet, 1, &file), 1);
        assert_int_equal(file >= 0, count == 1);
        if (file >= 0)
            close(file);
        assert_int_equal(open_descriptors(), before);
    }
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_bad_messages),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
