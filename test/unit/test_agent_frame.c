/* SPDX-License-Identifier: Apache-2.0 */
/* Telling what an SMB client is about to send: nothing readable may pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "filter.h"
#include "frame.h"

#define SIZE 68

/* A frame with NetBIOS header: protocol's first octet, command, chain offset, session id. */
static void make(uint8_t *f, uint8_t protocol, unsigned command, uint8_t next, uint8_t session)
{
    memset(f, 0, SIZE);
    f[3] = 64;
    f[4] = protocol;
    memcpy(f + 5, "SMB", 3);
    f[16] = (uint8_t)command;
    f[17] = (uint8_t)(command >> 8);
    f[24] = next;
    f[44] = session;
}

static enum agent_frame kind(uint8_t *f, size_t len)
{
    const struct iovec iov = {f, len};

    return agent_frame_of(&iov, 1);
}

static void test_commands(void **state)
{
    uint8_t f[SIZE];

    (void)state;
    for (unsigned command = 0; command < 300; command++) {
        enum agent_frame want = AGENT_FRAME_PLAIN;

        make(f, 0xfe, command, 0, 0);
        if (command == 0)
            want = AGENT_FRAME_NEGOTIATE;
        else if (command == 1)
            want = AGENT_FRAME_LOGON;
        else if (command <= 4)
            want = AGENT_FRAME_SHARE;
        else if (command == 12 || command == 13)
            want = AGENT_FRAME_ECHO;
        assert_int_equal(kind(f, SIZE), want);
        make(f, 0xfd, command, 0, 0);
        assert_int_equal(kind(f, SIZE), AGENT_FRAME_ENCRYPTED);
        make(f, 0xff, command, 0, 0);
        assert_int_equal(kind(f, SIZE), AGENT_FRAME_PLAIN);
    }
    make(f, 0xfe, 1, 0, 9);
    assert_int_equal(kind(f, SIZE), AGENT_FRAME_LOGON_ON);
}

static void test_chained_and_cut(void **state)
{
    uint8_t f[SIZE];

    (void)state;
    make(f, 0xfe, 3, 8, 0);
    assert_int_equal(kind(f, SIZE), AGENT_FRAME_PLAIN);
    for (size_t len = 0; len < SIZE; len++) {
        make(f, 0xfe, 0, 0, 0);
        assert_int_equal(kind(f, len), len < 8 ? AGENT_FRAME_OTHER : AGENT_FRAME_PLAIN);
    }
    memset(f, 'x', sizeof(f));
    assert_int_equal(kind(f, SIZE), AGENT_FRAME_OTHER);
}

static void test_pieces(void **state)
{
    uint8_t f[SIZE];
    struct iovec iov[SIZE + 1];

    (void)state;
    make(f, 0xfe, 8, 0, 3);
    for (size_t i = 0; i < SIZE; i++)
        iov[i] = (struct iovec){f + i, 1};
    iov[SIZE] = (struct iovec){NULL, 0};
    assert_int_equal(agent_frame_of(iov, SIZE + 1), AGENT_FRAME_PLAIN);
    f[16] = 0;
    assert_int_equal(agent_frame_of(iov, SIZE + 1), AGENT_FRAME_NEGOTIATE);
}

static ssize_t pass(int fd, uint8_t *f)
{
    const struct iovec iov = {f, SIZE};

    errno = 0;
    return writev(fd, &iov, 1);
}

/* The filter stands in place of the C library's function. */
static void test_filter(void **state)
{
    struct agent_logon logon = {0};
    uint8_t f[SIZE];
    int fd[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    agent_filter_setup(&logon);
    agent_filter_begin();
    assert_int_equal(agent_filter()->stage, AGENT_STAGE_NONE);
    make(f, 0xfe, 0, 0, 0);
    assert_int_equal(pass(fd[0], f), SIZE);
    assert_int_equal(agent_filter()->stage, AGENT_STAGE_NEGOTIATE);
    make(f, 0xfe, 1, 0, 0);
    assert_int_equal(pass(fd[0], f), SIZE);
    assert_int_equal(agent_filter()->stage, AGENT_STAGE_LOGON);
    assert_int_equal(agent_filter()->logon, 1);
    /* The same again would be the refused password once more. */
    assert_int_equal(pass(fd[0], f), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(agent_filter()->held, 0);
    make(f, 0xfe, 3, 0, 1);
    assert_int_equal(pass(fd[0], f), SIZE);
    make(f, 0xfd, 0, 0, 0);
    assert_int_equal(pass(fd[0], f), SIZE);
    assert_int_equal(agent_filter()->encrypted, 1);
    assert_int_equal(agent_filter()->stage, AGENT_STAGE_WORK);
    make(f, 0xfe, 5, 0, 1);
    assert_int_equal(pass(fd[0], f), -1);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(agent_filter()->plain, 1);
    agent_logon_finish(&logon, AGENT_LOGON_REFUSED, 1000000000000);
    agent_filter_begin();
    make(f, 0xfe, 1, 0, 0);
    assert_int_equal(pass(fd[0], f), -1);
    assert_int_equal(agent_filter()->held, 1);
    agent_filter_setup(NULL);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_chained_and_cut),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_filter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
