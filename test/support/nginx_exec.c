/* SPDX-License-Identifier: Apache-2.0 */
#include "nginx_exec.h"

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

int ccs_nginx_sanitized(void)
{
    return CCS_TEST_ASAN_LIBRARY[0] != '\0';
}

const char *ccs_nginx_binary(void)
{
    const char *path = getenv("CCS_TEST_NGINX");

    return path != NULL && *path != '\0' ? path : CCS_TEST_NGINX_DEFAULT;
}

struct command {
    const char *argv[ARGS_MAX];
    char *envp[6];
    char conf[512], log[512], prefix[512];
    char preload[1536], asan[700], ubsan[700], slow[600], share[60];
};

/* All of it is made before the fork: between fork and exec only simple calls are safe. */
static void prepare(struct command *c, const struct ccs_nginx *nginx, int test)
{
    const char *const *tool;
    size_t n = 0, e = 0;

    for (tool = nginx->spec.tool; !test && tool != NULL && *tool != NULL; tool++) {
        assert_true(n < ARGS_MAX - 12);
        c->argv[n++] = *tool;
    }
    snprintf(c->prefix, sizeof(c->prefix), "%s/", nginx->dir);
    ccs_tmp_join(c->conf, sizeof(c->conf), nginx->dir, "nginx.conf");
    ccs_tmp_join(c->log, sizeof(c->log), nginx->dir, "error.log");
    c->argv[n++] = ccs_nginx_binary();
    c->argv[n++] = "-p";
    c->argv[n++] = c->prefix;
    c->argv[n++] = "-c";
    c->argv[n++] = c->conf;
    c->argv[n++] = "-e";
    c->argv[n++] = test ? "stderr" : c->log;
    if (test) {
        c->argv[n++] = "-t";
    }
    c->argv[n] = NULL;

    snprintf(c->preload, sizeof(c->preload), "LD_PRELOAD=%s%s%s", CCS_TEST_ASAN_LIBRARY,
             nginx->spec.slow ? " " CCS_TEST_SLOW_LIBRARY : "",
             nginx->spec.share != NULL ? " " CCS_TEST_SHARE_LIBRARY : "");
    if (strcmp(c->preload, "LD_PRELOAD=") != 0) {
        c->envp[e++] = c->preload;
    }
    /* nginx itself frees little when it ends, so leaks are looked for by valgrind instead. */
    snprintf(c->asan, sizeof(c->asan), "ASAN_OPTIONS=detect_leaks=0:log_path=%s/sanitizer",
             nginx->dir);
    snprintf(c->ubsan, sizeof(c->ubsan), "UBSAN_OPTIONS=print_stacktrace=1:log_path=%s/sanitizer",
             nginx->dir);
    snprintf(c->slow, sizeof(c->slow), "CCS_TEST_SLOW_FILE=%s/slow", nginx->dir);
    c->envp[e++] = c->asan;
    c->envp[e++] = c->ubsan;
    c->envp[e++] = c->slow;
    if (nginx->spec.share != NULL) {
        snprintf(c->share, sizeof(c->share), "CCS_TEST_SHARE=%s", nginx->spec.share);
        c->envp[e++] = c->share;
    }
    c->envp[e] = NULL;
}

pid_t ccs_nginx_exec(const struct ccs_nginx *nginx, int test, const char *output)
{
    struct command command;

    memset(&command, 0, sizeof(command));
    prepare(&command, nginx, test);
    return ccs_place_exec(nginx->dir, command.argv, command.envp, output, 0);
}
