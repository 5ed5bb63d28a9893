/* SPDX-License-Identifier: Apache-2.0 */
/* The password of the share is in no process but the agent's. */
#include "share.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define CHUNK     (1u << 20)
#define RANGE_MAX (1ul << 30) /* what a sanitizer keeps for itself is larger */
#define PROCESSES 32

/* How often a process has the text in a piece of its memory; -1 if it cannot be read. */
static int count_in_range(int mem, unsigned long start, unsigned long end, const char *text)
{
    const size_t len = strlen(text);
    char *buffer = malloc(CHUNK + len), *at;
    unsigned long pos = start;
    size_t kept = 0;
    int count = 0;
    ssize_t n;

    assert_non_null(buffer);
    while (pos < end) {
        const size_t want = end - pos < CHUNK ? end - pos : CHUNK;

        n = pread(mem, buffer + kept, want, (off_t)pos);
        if (n <= 0)
            break; /* a hole, or nothing of this process */
        pos += (unsigned long)n;
        n += (ssize_t)kept;
        at = buffer;
        while ((at = memmem(at, (size_t)(buffer + n - at), text, len)) != NULL) {
            count++;
            at++;
        }
        kept = (size_t)n < len - 1 ? (size_t)n : len - 1;
        memmove(buffer, buffer + n - kept, kept);
    }
    free(buffer);
    return count;
}

static int count_in_memory(pid_t pid, const char *text)
{
    char dir[40], path[60], *maps, *rest, *line, access[5];
    unsigned long start, end;
    int mem, count = 0;

    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    snprintf(path, sizeof(path), "%s/mem", dir);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    if (mem < 0)
        return -1;
    maps = rest = ccs_tmp_read(dir, "maps", NULL);
    assert_non_null(maps);
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &start, &end, access) == 3 && access[0] == 'r' &&
            end - start <= RANGE_MAX && strstr(line, "[vvar") == NULL &&
            strstr(line, "[vsyscall]") == NULL)
            count += count_in_range(mem, start, end, text);
    }
    free(maps);
    close(mem);
    return count;
}

static int in_file(pid_t pid, const char *file, const char *text)
{
    char dir[40], *data;
    size_t len = 0;
    int found;

    snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
    data = ccs_tmp_read(dir, file, &len);
    found = data != NULL && memmem(data, len, text, strlen(text)) != NULL;
    free(data);
    return found;
}

/* nginx's master and workers; returns how many could be searched. */
static size_t expect_none_in_nginx(const struct ccs_share *share)
{
    const pid_t master = share->farm->nginx.pid;
    pid_t pids[PROCESSES];
    size_t count = 1 + ccs_process_children(master, NULL, pids + 1, PROCESSES - 1), searched = 0;
    int found;

    pids[0] = master;
    assert_true(count >= 2);
    for (size_t i = 0; i < count; i++) {
        found = count_in_memory(pids[i], share->smbd.password);
        if (found > 0)
            fail_msg("nginx's process %d has the password %d times", (int)pids[i], found);
        searched += found == 0;
        assert_false(in_file(pids[i], "cmdline", share->smbd.password));
        assert_false(in_file(pids[i], "environ", share->smbd.password));
    }
    return searched;
}

static void expect_some_in_agent(const struct ccs_share *share)
{
    pid_t family[CCS_SHARE_PIDS];
    const size_t count = ccs_share_family(ccs_share_agent(), family);
    int found = 0;

    for (size_t i = 0; i < count; i++) {
        found += count_in_memory(family[i], share->smbd.password) > 0;
        assert_false(in_file(family[i], "cmdline", share->smbd.password));
        assert_false(in_file(family[i], "environ", share->smbd.password));
    }
    /* Else the search would find it nowhere, whatever had it. */
    if (geteuid() == 0)
        assert_true(found > 0);
}

static void password(void **state)
{
    struct ccs_share *share = *state;
    struct ccs_farm *farm = share->farm;
    char a[65], b[65];

    ccs_farm_put(farm, "a.test.pfx", "a.test", a);
    ccs_share_start(share, NULL);
    ccs_share_run(share, "ccs_refresh 1h;\n", 2);
    ccs_farm_expect_name(farm, "a.test", NULL, a);
    assert_true(expect_none_in_nginx(share) >= 1);
    expect_some_in_agent(share);

    /* Read again, compared and forgotten. */
    assert_true(ccs_nginx_reload(&farm->nginx));
    assert_true(expect_none_in_nginx(share) >= 1);

    /* With an agent that has to be started anew. */
    ccs_nginx_rewrite(&farm->nginx, ccs_share_conf(share, NULL, "ccs_refresh 2h;\n"), 0);
    assert_true(ccs_nginx_reload(&farm->nginx));
    ccs_share_wait_agents(1);
    ccs_farm_put(farm, "b.test.pfx", "b.test", b);
    ccs_farm_wait_served(farm, "b.test", b);
    assert_true(expect_none_in_nginx(share) >= 1);
    expect_some_in_agent(share);
    assert_int_equal(ccs_nginx_logged(&farm->nginx, share->smbd.password), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {CCS_SHARE_TEST(password)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
