/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 1000000

int ccs_names_pattern(struct ccs_names *names, const char *pattern, uint64_t count)
{
    const char *at = strstr(pattern, "%d");

    if (at == NULL || strchr(at + 1, '%') != NULL || strchr(pattern, '%') != at || count == 0 ||
        strlen(pattern) + 20 > CCS_NAMES_SIZE)
        return -1;
    memset(names, 0, sizeof(*names));
    names->pattern = pattern;
    names->count = count;
    return 0;
}

static int add(struct ccs_names *names, const char *line)
{
    char **more;

    if (names->count >= LIST_MAX)
        return -1;
    /* Grown by doubling, at powers of two. */
    if ((names->count & (names->count - 1)) == 0) {
        more = realloc(names->list,
                       (names->count == 0 ? 1 : names->count * 2) * sizeof(*names->list));
        if (more == NULL)
            return -1;
        names->list = more;
    }
    names->list[names->count] = strdup(line);
    if (names->list[names->count] == NULL)
        return -1;
    names->count++;
    return 0;
}

int ccs_names_read(struct ccs_names *names, const char *path)
{
    FILE *in = fopen(path, "re");
    char line[CCS_NAMES_SIZE];
    int rv = 0;

    memset(names, 0, sizeof(*names));
    if (in == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    while (rv == 0 && fgets(line, sizeof(line), in) != NULL) {
        if (strchr(line, '\n') == NULL && !feof(in)) {
            fprintf(stderr, "%s: a line is too long for a host name\n", path);
            rv = -1;
            break;
        }
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] != '\0')
            rv = add(names, line);
        if (rv != 0)
            fprintf(stderr, "%s: too many names\n", path);
    }
    fclose(in);
    if (rv == 0 && names->count == 0) {
        fprintf(stderr, "%s: no names in it\n", path);
        rv = -1;
    }
    if (rv != 0)
        ccs_names_clear(names);
    return rv;
}

void ccs_names_clear(struct ccs_names *names)
{
    for (uint64_t i = 0; names->list != NULL && i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    memset(names, 0, sizeof(*names));
}

const char *ccs_names_get(const struct ccs_names *names, uint64_t number, char out[CCS_NAMES_SIZE])
{
    const char *at;

    number %= names->count;
    if (names->pattern == NULL) {
        snprintf(out, CCS_NAMES_SIZE, "%s", names->list[number]);
        return out;
    }
    at = strstr(names->pattern, "%d");
    snprintf(out, CCS_NAMES_SIZE, "%.*s%" PRIu64 "%s", (int)(at - names->pattern), names->pattern,
             number, at + 2);
    return out;
}
