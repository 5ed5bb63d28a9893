/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a share, read through ccs-agent and by libsmbclient in this process. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libsmbclient.h>

#include <ccs/ccs.h>

#include "../lib/store.h" /* not the one of this folder */
#include "bench.h"
#include "smbd.h"
#include "tmp.h"

static const char about[] =
    "Reads files of a share again and again: through ccs-agent, and by libsmbclient in this "
    "process,\n"
    "which a server could not have in it. Both have their connection, and it is encrypted.";

#define FILES    64
#define FILE_MAX 65536

static double blocks = 60, reads = 100;

static const struct ccs_bench_option options[] = {
    {"blocks", &blocks, "blocks of each kind"},
    {"reads", &reads, "reads in a block"},
    {NULL, NULL, NULL},
};

static struct ccs_smbd smbd;

static void stop_smbd(void)
{
    ccs_smbd_stop(&smbd);
}

/* -- libsmbclient --------------------------------------------------------------------------- */

static void on_logon(SMBCCTX *ctx, const char *server, const char *share, char *domain,
                     int domain_size, char *user, int user_size, char *password, int password_size)
{
    (void)ctx;
    (void)server;
    (void)share;
    (void)domain;
    (void)domain_size;
    snprintf(user, (size_t)user_size, "%s", smbd.user);
    snprintf(password, (size_t)password_size, "%s", smbd.password);
}

static SMBCCTX *open_library(void)
{
    SMBCCTX *ctx = smbc_new_context();

    if (ctx == NULL)
        ccs_bench_fail("libsmbclient gives no context");
    smbc_setDebug(ctx, 0);
    smbc_setFunctionAuthDataWithContext(ctx, on_logon);
    smbc_setOptionSmbEncryptionLevel(ctx, SMBC_ENCRYPTLEVEL_REQUIRE);
    if (smbc_init_context(ctx) == NULL)
        ccs_bench_fail("libsmbclient does not start: %s", strerror(errno));
    return ctx;
}

/* What it takes to read a file that may change: its stamp before and after, and all between. */
static size_t read_by_library(SMBCCTX *ctx, const char *file)
{
    static char data[FILE_MAX];
    struct stat before, after;
    size_t len = 0;
    char url[200];
    ssize_t n;
    SMBCFILE *f;

    snprintf(url, sizeof(url), "smb://127.0.0.1:%d/certs/%s", smbd.port, file);
    f = smbc_getFunctionOpen(ctx)(ctx, url, O_RDONLY, 0);
    if (f == NULL || smbc_getFunctionFstat(ctx)(ctx, f, &before) != 0)
        ccs_bench_fail("%s: %s", url, strerror(errno));
    /* Up to the size, as the agent does: a read at the end would be one more request. */
    do {
        n = smbc_getFunctionRead(ctx)(ctx, f, data + len, sizeof(data) - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && (off_t)len < before.st_size && len < sizeof(data));
    if (n < 0 || smbc_getFunctionFstat(ctx)(ctx, f, &after) != 0 || after.st_size != before.st_size)
        ccs_bench_fail("%s: %s", url, strerror(errno));
    smbc_getFunctionClose(ctx)(ctx, f);
    return len;
}

/* -- ccs-agent ------------------------------------------------------------------------------ */

static void set(struct ccs_config *cfg, const char *name, const char *value)
{
    struct ccs_error err;

    if (ccs_config_set(cfg, name, value, &err) != CCS_OK)
        ccs_bench_fail("%s: %s", name, err.text);
}

static struct ccs_store *open_agent(const struct ccs_bench *bench)
{
    struct ccs_config *cfg = ccs_config_new();
    struct ccs_store *store = NULL;
    struct ccs_error err;
    char text[300];

    if (cfg == NULL)
        ccs_bench_fail("no memory");
    set(cfg, "store", ccs_smbd_unc(&smbd, "certs", text, sizeof(text)));
    ccs_smbd_credentials(&smbd, bench->dir, "credentials", NULL);
    set(cfg, "credentials_file", ccs_tmp_join(text, sizeof(text), bench->dir, "credentials"));
    if (geteuid() == 0)
        set(cfg, "agent_user", "nobody");
    if (ccs_store_open_config(cfg, &store, &err) != CCS_OK)
        ccs_bench_fail("%s", err.text);
    ccs_config_free(cfg);
    return store;
}

static size_t read_by_agent(struct ccs_store *store, const char *file)
{
    struct ccs_secret data = {.data = NULL};
    struct ccs_stamp stamp;
    struct ccs_error err;
    size_t len;

    if (ccs_store_read(store, file, FILE_MAX, &data, &stamp, &err) != CCS_OK)
        ccs_bench_fail("%s: %s", file, err.text);
    len = data.len;
    ccs_secret_free(&data);
    return len;
}

/* -- both ----------------------------------------------------------------------------------- */

struct subject {
    SMBCCTX *library; /* or */
    struct ccs_store *store;
    char (*file)[CCS_NAMES_SIZE + 4];
};

/* Microseconds of the median read: what else the machine does makes a few of them long. */
static double block(const struct subject *subject, unsigned count)
{
    struct ccs_samples us = {0};
    double median;
    size_t len;

    for (unsigned i = 0; i < count; i++) {
        const char *file = subject->file[i % FILES];
        const int64_t begin = ccs_usage_clock_ns();

        len = subject->store != NULL ? read_by_agent(subject->store, file)
                                     : read_by_library(subject->library, file);
        if (len < 100)
            ccs_bench_fail("%s is too short", file);
        ccs_samples_add(&us, (double)(ccs_usage_clock_ns() - begin) / 1e3);
    }
    median = ccs_samples_median(&us);
    ccs_samples_clear(&us);
    return median;
}

int main(int argc, char **argv)
{
    static char file[FILES][CCS_NAMES_SIZE + 4];
    struct ccs_bench *bench = ccs_bench_open("agent-read", about, argc, argv, options);
    struct ccs_smbd_spec spec = {.encryption = CCS_SMBD_REQUIRED};
    struct ccs_samples agent = {0}, library = {0}, ratio = {0};
    struct subject by_agent = {.file = file}, by_library = {.file = file};
    struct ccs_estimate estimate;
    struct ccs_names names;
    char folder[220], name[CCS_NAMES_SIZE];

    if (ccs_names_pattern(&names, CCS_BENCH_HOSTS, FILES) != 0)
        ccs_bench_fail("no names");
    for (uint64_t i = 0; i < FILES; i++)
        snprintf(file[i], sizeof(file[i]), "%s.pfx", ccs_names_get(&names, i, name));
    spec.folder = ccs_bench_hosts(bench, "store", FILES, 1, 0, folder);
    if (atexit(stop_smbd) != 0)
        ccs_bench_fail("no memory");
    ccs_smbd_start(&smbd, &spec);
    by_library.library = open_library();
    by_agent.store = open_agent(bench);
    (void)block(&by_library, FILES);
    (void)block(&by_agent, FILES);
    for (unsigned i = 0; i < (unsigned)blocks; i++) {
        const double a = block(&by_agent, (unsigned)reads);
        const double l = block(&by_library, (unsigned)reads);

        ccs_samples_add(&agent, a);
        ccs_samples_add(&library, l);
        ccs_samples_add(&ratio, a / l);
    }
    estimate = ccs_samples_estimate(&ratio, 1);
    printf("medians of medians in us: through ccs-agent %.0f, by libsmbclient in process %.0f\n",
           ccs_samples_median(&agent), ccs_samples_median(&library));
    printf("ratio of blocks beside each other: %.2f (%.2f to %.2f)\n", estimate.value, estimate.low,
           estimate.high);
    ccs_store_close(by_agent.store);
    smbc_free_context(by_library.library, 1);
    return ccs_bench_budget("agent-read", estimate.value, 1.2);
}
