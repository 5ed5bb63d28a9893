/* SPDX-License-Identifier: Apache-2.0 */
#include "apache_exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "place.h"
#include "tmp.h"

#define ARGS_MAX 40

static const char *from_environment(const char *name, const char *otherwise)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0' ? text : otherwise;
}

const char *ccs_apache_modules(void)
{
    return from_environment("CCS_TEST_APACHE_MODULES", CCS_TEST_APACHE_MODULES_DEFAULT);
}

const char *ccs_apache_own_modules(void)
{
    return CCS_TEST_MODULE_DIR;
}

struct command {
    const char *argv[ARGS_MAX];
    char *envp[5];
    char conf[512], log[512];
    char preload[1024], asan[700], ubsan[700], slow[600];
};

/* All of it is made before the fork: between fork and exec only simple calls are safe. */
static void prepare(struct command *c, const struct ccs_apache *apache, int test)
{
    const char *const *tool = test ? NULL : apache->spec.tool;
    size_t n = 0, e = 0;

    for (; tool != NULL && *tool != NULL; tool++) {
        assert_true(n < ARGS_MAX - 12);
        c->argv[n++] = *tool;
    }
    ccs_tmp_join(c->conf, sizeof(c->conf), apache->dir, "httpd.conf");
    ccs_tmp_join(c->log, sizeof(c->log), apache->dir, "error.log");
    c->argv[n++] = from_environment("CCS_TEST_APACHE", CCS_TEST_APACHE_DEFAULT);
    c->argv[n++] = "-d";
    c->argv[n++] = apache->dir;
    c->argv[n++] = "-f";
    c->argv[n++] = c->conf;
    if (test) {
        c->argv[n++] = "-t";
    } else {
        /* What goes wrong before the configuration is read belongs into the log as well. */
        c->argv[n++] = "-E";
        c->argv[n++] = c->log;
        c->argv[n++] = apache->spec.tool != NULL ? "-X" : "-DFOREGROUND";
    }
    c->argv[n] = NULL;

    snprintf(c->preload, sizeof(c->preload), "LD_PRELOAD=%s%s%s", CCS_TEST_ASAN_LIBRARY,
             apache->spec.slow ? " " : "", apache->spec.slow ? CCS_TEST_SLOW_LIBRARY : "");
    if (strcmp(c->preload, "LD_PRELOAD=") != 0) {
        c->envp[e++] = c->preload;
    }
    /* httpd leaves much to the end of its processes, so leaks are looked for by valgrind instead.
     */
    snprintf(c->asan, sizeof(c->asan), "ASAN_OPTIONS=detect_leaks=0:log_path=%s/reports/sanitizer",
             apache->dir);
    snprintf(c->ubsan, sizeof(c->ubsan),
             "UBSAN_OPTIONS=print_stacktrace=1:log_path=%s/reports/sanitizer", apache->dir);
    snprintf(c->slow, sizeof(c->slow), "CCS_TEST_SLOW_FILE=%s/slow", apache->dir);
    c->envp[e++] = c->asan;
    c->envp[e++] = c->ubsan;
    c->envp[e++] = c->slow;
    c->envp[e] = NULL;
}

pid_t ccs_apache_exec(const struct ccs_apache *apache, int test, const char *output)
{
    struct command command;

    memset(&command, 0, sizeof(command));
    prepare(&command, apache, test);
    /* httpd tells its children of a restart or its end by signals to its whole group. */
    return ccs_place_exec(apache->dir, command.argv, command.envp, output, 1);
}
