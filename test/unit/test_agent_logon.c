/* SPDX-License-Identifier: Apache-2.0 */
/* At most one wrong logon a minute, whoever asks and whoever dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logon.h"

#define NOW 5000000

static void test_one_at_a_time(void **state)
{
    struct agent_logon l = {0};

    (void)state;
    assert_int_equal(agent_logon_begin(&l, 1, NOW), AGENT_LOGON_GO);
    assert_int_equal(agent_logon_begin(&l, 2, NOW), AGENT_LOGON_WAIT);
    agent_logon_finish(&l, AGENT_LOGON_ACCEPTED, NOW);
    assert_int_equal(agent_logon_begin(&l, 2, NOW), AGENT_LOGON_GO);
    agent_logon_finish(&l, AGENT_LOGON_UNKNOWN, NOW);
    assert_int_equal(agent_logon_begin(&l, 3, NOW), AGENT_LOGON_GO);
    assert_int_equal(l.accepted, 1);
}

static void test_refused(void **state)
{
    struct agent_logon l = {0};

    (void)state;
    assert_int_equal(agent_logon_begin(&l, 1, NOW), AGENT_LOGON_GO);
    agent_logon_finish(&l, AGENT_LOGON_REFUSED, NOW);
    assert_int_equal(agent_logon_pause(&l, NOW), AGENT_LOGON_PAUSE_MS);
    assert_int_equal(agent_logon_begin(&l, 2, NOW + AGENT_LOGON_PAUSE_MS - 1), AGENT_LOGON_HELD);
    assert_int_equal(agent_logon_begin(&l, 2, NOW + AGENT_LOGON_PAUSE_MS), AGENT_LOGON_GO);
    /* What is not known does not end the pause of before. */
    agent_logon_finish(&l, AGENT_LOGON_UNKNOWN, NOW + AGENT_LOGON_PAUSE_MS);
    assert_int_equal(agent_logon_begin(&l, 2, NOW + AGENT_LOGON_PAUSE_MS), AGENT_LOGON_GO);
    agent_logon_finish(&l, AGENT_LOGON_ACCEPTED, NOW + AGENT_LOGON_PAUSE_MS);
    assert_int_equal(agent_logon_pause(&l, NOW), 0);
    assert_int_equal(l.refused, 1);
}

static void test_death(void **state)
{
    struct agent_logon l = {0};

    (void)state;
    assert_int_equal(agent_logon_begin(&l, 7, NOW), AGENT_LOGON_GO);
    agent_logon_release(&l, 8);
    assert_int_equal(agent_logon_begin(&l, 9, NOW), AGENT_LOGON_WAIT);
    agent_logon_release(&l, 7);
    assert_int_equal(agent_logon_begin(&l, 9, NOW), AGENT_LOGON_GO);
    /* Nobody said that 9 has ended. */
    assert_int_equal(agent_logon_begin(&l, 1, NOW + AGENT_LOGON_LEASE_MS - 1), AGENT_LOGON_WAIT);
    assert_int_equal(agent_logon_begin(&l, 1, NOW + AGENT_LOGON_LEASE_MS), AGENT_LOGON_GO);
    agent_logon_release(&l, 9);
    assert_int_equal(agent_logon_begin(&l, 2, NOW + AGENT_LOGON_LEASE_MS), AGENT_LOGON_WAIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_death),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
