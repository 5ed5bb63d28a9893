/* SPDX-License-Identifier: Apache-2.0 */
/* A process is killed at every place inside the critical sections of the smaller rooms. */
#include "vault_fault_kit.h"

#define STORE 7

static const uint8_t der_a[] = "not really a certificate, but octets", der_b[] = "others";

static void victim_intermediate(void)
{
    uint32_t id;

    (void)ccs_intermediates_add(world.intermediates, der_b, sizeof(der_b), &id);
}

static void intermediates(void **state)
{
    bool died = true;

    (void)state;
    for (int at = 1; died; at++) {
        const uint8_t *der;
        uint32_t a, a2, b;
        size_t len;

        make_world();
        assert_int_equal(ccs_intermediates_add(world.intermediates, der_a, sizeof(der_a), &a),
                         CCS_OK);
        died = dies(victim_intermediate, at);
        assert_int_equal(ccs_intermediates_add(world.intermediates, der_b, sizeof(der_b), &b),
                         CCS_OK);
        assert_int_equal(ccs_intermediates_add(world.intermediates, der_a, sizeof(der_a), &a2),
                         CCS_OK);
        assert_int_equal(a, a2);
        assert_int_equal(ccs_intermediates_get(world.intermediates, a, &der, &len), CCS_OK);
        assert_int_equal(len, sizeof(der_a));
        assert_memory_equal(der, der_a, len);
        assert_int_equal(ccs_intermediates_get(world.intermediates, b, &der, &len), CCS_OK);
        assert_memory_equal(der, der_b, len);
        assert_int_equal(ccs_intermediates_count(world.intermediates), 2);
        end_world();
    }
}

static void victim_lease(void)
{
    struct ccs_lease lease;

    (void)ccs_lease_take(world.leases, STORE, 2, 10000, &lease);
}

static void leases(void **state)
{
    bool died = true;

    (void)state;
    for (int at = 1; died; at++) {
        struct ccs_lease old, lease, other;

        make_world();
        assert_int_equal(ccs_lease_take(world.leases, STORE, 1, 9000, &old), CCS_OK);
        assert_int_equal(ccs_lease_take(world.leases, STORE + 1, 1, 9000, &other), CCS_OK);
        died = dies(victim_lease, at);
        /* Whatever the newer one had come to, the old one has it no longer. */
        assert_false(ccs_lease_check(world.leases, &old));
        assert_true(ccs_lease_check(world.leases, &other));
        assert_int_equal(ccs_lease_take(world.leases, STORE, 2, 20000, &lease), CCS_OK);
        assert_true(ccs_lease_check(world.leases, &lease));
        assert_int_equal(ccs_lease_take(world.leases, STORE, 2, 20001, &old), CCS_PENDING);
        end_world();
    }
}

static struct ccs_counters_slot *leaver;
static uint64_t leaver_incarnation;

static void victim_leave(void)
{
    ccs_counters_leave(world.counters, leaver, leaver_incarnation);
}

static void victim_join(void)
{
    uint64_t incarnation;

    ccs_counters_gauge(ccs_counters_join(world.counters, &incarnation), 0, 5);
}

static void counters(void **state)
{
    void (*const victims[])(void) = {victim_leave, victim_join};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(victims); i++) {
        bool died = true;

        for (int at = 1; died; at++) {
            struct ccs_counters_sum sum;
            uint64_t incarnation;
            struct ccs_counters_slot *slot;

            make_world();
            leaver = ccs_counters_join(world.counters, &leaver_incarnation);
            ccs_counters_add(leaver, 0, 41);
            ccs_counters_gauge(leaver, 0, 3);
            died = dies(victims[i], at);
            ccs_counters_read(world.counters, &sum);
            assert_int_equal(sum.own[0], 41);
            assert_true(sum.gauges[0] == 3 || sum.gauges[0] == 0);
            slot = ccs_counters_join(world.counters, &incarnation);
            assert_int_not_equal(incarnation, 0);
            ccs_counters_add(slot, 0, 1);
            ccs_counters_read(world.counters, &sum);
            assert_int_equal(sum.own[0], 42);
            ccs_counters_leave(world.counters, slot, incarnation);
            ccs_counters_leave(world.counters, leaver, leaver_incarnation);
            ccs_counters_read(world.counters, &sum);
            assert_int_equal(sum.own[0], 42);
            assert_int_equal(sum.gauges[0], 0);
            assert_int_equal(sum.processes, 0);
            end_world();
        }
    }
}

/* Every fault point that is written down in lib/ was somebody's last. */
static void all_points_seen(void **state)
{
    static const char *const points[] = {
        "lease.void",         "lease.store",     "lease.filled",         "lease.taken",
        "counters.cleared",   "counters.folded", "counters.summed",      "counters.switched",
        "counters.joining",   "counters.joined", "intermediates.copied", "intermediates.described",
        "intermediates.added"};

    (void)state;
    for (size_t i = 0; i < CCS_ARRAY_LEN(points); i++) {
        size_t k = 0;

        while (k < seen->count && strcmp(seen->points[k], points[i]) != 0)
            k++;
        if (k == seen->count)
            fail_msg("nobody died at %s", points[i]);
    }
    assert_int_equal(seen->count, CCS_ARRAY_LEN(points));
    print_message("%zu places, %u deaths\n", seen->count, seen->deaths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intermediates),
        cmocka_unit_test(leases),
        cmocka_unit_test(counters),
        cmocka_unit_test(all_points_seen),
    };
    int rv;

    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (seen == MAP_FAILED)
        return 1;
    rv = cmocka_run_group_tests(tests, NULL, NULL);
    munmap(seen, sizeof(*seen));
    return rv;
}
