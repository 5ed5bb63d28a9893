/* SPDX-License-Identifier: Apache-2.0 */
/* nginx under valgrind: no access to what is not there, nothing lost. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

/* nginx gives up the environment of a process that is about to end. */
static const char known[] = "{\n"
                            "   environment of nginx\n"
                            "   Memcheck:Leak\n"
                            "   ...\n"
                            "   fun:ngx_set_environment\n"
                            "   ...\n"
                            "}\n";

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

/* What valgrind says at the end of each process that it watched. */
static void expect_no_errors(const struct ccs_farm *farm)
{
    char *log = ccs_tmp_read(farm->tmp.path, "valgrind.log", NULL), *at;
    size_t summaries = 0;

    assert_non_null(log);
    for (at = log; (at = strstr(at, "ERROR SUMMARY: ")) != NULL; summaries++) {
        at += strlen("ERROR SUMMARY: ");
        if (strncmp(at, "0 errors", 8) != 0) {
            show(log);
            fail_msg("valgrind has found errors");
        }
    }
    free(log);
    /* Master, workers before and after the reload. */
    assert_true(summaries >= 3);
}

static void reload(struct ccs_farm *farm)
{
    ccs_nginx_signal(&farm->nginx, SIGHUP);
}

static void life(void **state)
{
    struct ccs_farm *farm = *state;
    struct ccs_stress stress = {
        .farm = farm, .connections = 150, .parallel = 4, .reloads = 1, .reload = reload, .seed = 1};
    char log[300], suppressions[300];
    const char *tool[] = {"/usr/bin/valgrind",
                          "-q",
                          "--verbose",
                          "--leak-check=full",
                          "--show-leak-kinds=definite",
                          "--errors-for-leak-kinds=definite",
                          suppressions,
                          log,
                          NULL};
    struct ccs_nginx_spec spec = {.http = CCS_FARM_HTTP
                                  "ccs_wait 60s; client_header_timeout 600s;\n"
                                  "ssl_ecdh_curve X25519:P-256;\n",
                                  .tool = tool};

    if (access(tool[0], X_OK) != 0) {
        print_message("valgrind is not installed\n");
        skip();
    }
    setenv("CCS_TEST_SLOW", "5", 0);
    ccs_tmp_print(farm->tmp.path, "known", known);
    snprintf(suppressions, sizeof(suppressions), "--suppressions=%s/known", farm->tmp.path);
    snprintf(log, sizeof(log), "--log-file=%s/valgrind.log", farm->tmp.path);
    ccs_stress_prepare(&stress);
    ccs_nginx_run(&farm->nginx, farm->tmp.path, &spec);
    ccs_farm_expect_refused(farm, "gone.test");
    ccs_stress_run(&stress);
    assert_int_equal(stress.wrong, 0);
    ccs_nginx_signal(&farm->nginx, SIGQUIT);
    assert_int_equal(ccs_nginx_wait(&farm->nginx), 0);
    expect_no_errors(farm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CCS_FARM_TEST(life),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
