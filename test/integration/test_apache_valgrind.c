/* SPDX-License-Identifier: Apache-2.0 */
/* httpd as one process under valgrind: no access to what is not there, nothing lost. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apache_farm.h"
#include "stress.h"

/* Without what it says about system calls that it does not know. */
static void show(char *log)
{
    char *line;

    while ((line = strsep(&log, "\n")) != NULL) {
        if (strncmp(line, "==", 2) == 0) {
            fprintf(stderr, "%s\n", line);
        }
    }
}

/* What valgrind says at the end. */
static void expect_no_errors(const struct ccs_farm *farm)
{
    char *log = ccs_tmp_read(farm->tmp.path, "valgrind.log", NULL), *at;

    assert_non_null(log);
    at = strstr(log, "ERROR SUMMARY: ");
    if (at == NULL || strncmp(at, "ERROR SUMMARY: 0 errors", 23) != 0) {
        show(log);
        fail_msg("valgrind has found errors, or has not come to its end");
    }
    free(log);
}

static void life(struct ccs_farm *farm, enum ccs_apache_mpm mpm)
{
    struct ccs_stress stress = {.farm = farm, .connections = 120, .parallel = 4, .seed = 1};
    char log[300];
    const char *tool[] = {"/usr/bin/valgrind",
                          "-q",
                          "--verbose",
                          "--leak-check=full",
                          "--show-leak-kinds=definite",
                          "--errors-for-leak-kinds=definite",
                          log,
                          NULL};
    struct ccs_apache_spec spec = {
        .conf = CCS_APACHE_WITH("CCSWait 60s\nTimeout 600\n"
                                "SSLOpenSSLConfCmd Groups X25519:P-256\n"),
        .mpm = mpm,
        .tool = tool};

    if (access(tool[0], X_OK) != 0) {
        print_message("valgrind is not installed\n");
        skip();
    }
    setenv("CCS_TEST_SLOW", "5", 0);
    snprintf(log, sizeof(log), "--log-file=%s/valgrind.log", farm->tmp.path);
    ccs_stress_prepare(&stress);
    ccs_apache_run(&farm->apache, farm->tmp.path, &spec);
    ccs_farm_expect_refused(farm, "gone.test");
    ccs_stress_run(&stress);
    assert_int_equal(stress.wrong, 0);
    ccs_apache_signal(&farm->apache, SIGTERM);
    assert_int_equal(ccs_apache_wait(&farm->apache), 0);
    expect_no_errors(farm);
}

static void event(void **state)
{
    life(*state, CCS_APACHE_EVENT);
}

static void worker(void **state)
{
    life(*state, CCS_APACHE_WORKER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(event),
        CCS_FARM_TEST(worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
