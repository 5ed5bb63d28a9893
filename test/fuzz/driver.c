/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Stands in for libFuzzer where there is none: every file that is named, or lies in a folder that
 * is named, goes through the target once. No input at all is a failure, so that a corpus cannot get
 * lost without notice.
 */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

#define INPUT_MAX (1 << 20)

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return -1;
}

/* Contents of a file, new; a copy of the right length, for the sanitizer's sake. */
static uint8_t *read_file(const char *path, size_t *len)
{
    uint8_t *data = malloc(INPUT_MAX);
    FILE *file = fopen(path, "rb");
    uint8_t *exact = NULL;

    if (!data || !file) {
        fail(path, strerror(errno));
        goto out;
    }
    *len = fread(data, 1, INPUT_MAX, file);
    if (ferror(file) || !feof(file)) {
        fail(path, "cannot be read, or is longer than any input should be");
        goto out;
    }
    exact = malloc(*len > 0 ? *len : 1);
    if (exact) {
        memcpy(exact, data, *len);
    }
out:
    if (file) {
        fclose(file);
    }
    free(data);
    return exact;
}

static int run_file(const char *path)
{
    size_t len = 0;
    uint8_t *data = read_file(path, &len);

    if (!data) {
        return -1;
    }
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    return 1;
}

/* Number of inputs that were run, or -1. */
static int run_folder(const char *path)
{
    struct dirent **entries = NULL;
    char file[PATH_MAX];
    int count = scandir(path, &entries, NULL, alphasort);
    int done = 0;
    int i;

    if (count < 0) {
        return fail(path, strerror(errno));
    }
    for (i = 0; i < count; i++) {
        if (done >= 0 && entries[i]->d_name[0] != '.') {
            if (snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name) >=
                (int)sizeof(file)) {
                done = fail(path, "path too long");
            } else {
                done = run_file(file) < 0 ? -1 : done + 1;
            }
        }
        free(entries[i]);
    }
    free(entries);
    return done;
}

int main(int argc, char **argv)
{
    struct stat st;
    int total = 0;
    int done;
    int i;

    for (i = 1; i < argc; i++) {
        if (stat(argv[i], &st) != 0) {
            fail(argv[i], strerror(errno));
            return EXIT_FAILURE;
        }
        done = S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
        if (done < 0) {
            return EXIT_FAILURE;
        }
        total += done;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
