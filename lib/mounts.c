/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A line of the table, as proc(5) has it:
 *
 *   36 35 0:41 /sub /mnt/point rw,relatime shared:1 - cifs //server/share/prefix rw,vers=3.1.1,...
 *   id parent device root point options optional... - type source super options
 *
 * Octets that would disturb are written \ooo. A share that was mounted with a folder behind it
 * shows that folder in the source, in the root, or in both, depending on how the kernel did it.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define TABLE     "/proc/self/mountinfo"
#define TABLE_MAX (8u << 20)
#define READ_STEP (64u << 10)
#define PORT_SMB  445
#define FIELDS    6 /* before the optional ones */

struct mount {
    unsigned long id;
    unsigned long parent;
    const char *root;
    const char *point;
    const char *type;
    const char *source;
    const char *options;
};

struct table {
    char *text; /* a copy, cut into fields */
    struct mount *mount;
    size_t count;
    size_t room;
};

/* -- the table ------------------------------------------------------------------------------ */

static int is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* \ooo to octets, in place. A NUL is left as it is written: it would hide what follows. */
static void unescape(char *text)
{
    char *out = text;
    int value;

    while (*text != '\0') {
        value = 0;
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && is_octal(text[2]) &&
            is_octal(text[3]))
            value = (text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0');
        if (value != 0) {
            *out++ = (char)value;
            text += 4;
        } else {
            *out++ = *text++;
        }
    }
    *out = '\0';
}

/* The next field of the line, ended and unescaped; NULL at its end. */
static char *next_field(char **line)
{
    char *field = *line;
    size_t len;

    if (*field == '\0')
        return NULL;
    len = strcspn(field, " ");
    *line = field + len;
    if (field[len] != '\0') {
        field[len] = '\0';
        (*line)++;
    }
    unescape(field);
    return field;
}

static int parse_line(char *line, struct mount *out)
{
    char *field[FIELDS], *word;

    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = next_field(&line);
        if (field[i] == NULL)
            return 0;
    }
    do {
        word = next_field(&line);
        if (word == NULL)
            return 0;
    } while (strcmp(word, "-") != 0);
    out->id = strtoul(field[0], NULL, 10);
    out->parent = strtoul(field[1], NULL, 10);
    out->root = field[3];
    out->point = field[4];
    out->type = next_field(&line);
    out->source = next_field(&line);
    out->options = next_field(&line);
    return out->root[0] == '/' && out->point[0] == '/' && out->options != NULL;
}

static int add(struct table *table, const struct mount *mount)
{
    struct mount *more;

    if (table->count == table->room) {
        table->room = table->room == 0 ? 64 : table->room * 2;
        more = realloc(table->mount, table->room * sizeof(*more));
        if (more == NULL)
            return 0;
        table->mount = more;
    }
    table->mount[table->count++] = *mount;
    return 1;
}

/* Lines that are not understood are passed over. */
static int parse_table(struct table *table)
{
    char *line = table->text, *end;
    struct mount mount;

    while (*line != '\0') {
        end = line + strcspn(line, "\n");
        if (*end != '\0')
            *end++ = '\0';
        if (parse_line(line, &mount) && !add(table, &mount))
            return 0;
        line = end;
    }
    return 1;
}

static void free_table(struct table *table)
{
    free(table->text);
    free(table->mount);
}

/* -- paths on the server -------------------------------------------------------------------- */

static int is_separator(char c)
{
    return c == '/' || c == '\\';
}

static const char *skip_separators(const char *path)
{
    while (is_separator(*path))
        path++;
    return path;
}

static size_t component_len(const char *path)
{
    return strcspn(path, "/\\");
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static int equal_folded(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (fold(a[i]) != fold(b[i]))
            return 0;
    }
    return 1;
}

/* What of path is left behind base, or NULL if it does not lead through it. */
static const char *below(const char *path, const char *base)
{
    size_t len;

    for (;;) {
        path = skip_separators(path);
        base = skip_separators(base);
        len = component_len(base);
        if (len == 0)
            return path;
        if (component_len(path) != len || !equal_folded(path, base, len))
            return NULL;
        path += len;
        base += len;
    }
}

/* -- one mount ------------------------------------------------------------------------------ */

static int same_port(const struct mount *mount, uint16_t port)
{
    static const char word[] = "port=";
    unsigned long mounted = PORT_SMB;

    for (const char *p = mount->options; p != NULL; p = strchr(p, ',')) {
        if (*p == ',')
            p++;
        if (strncmp(p, word, sizeof(word) - 1) == 0)
            mounted = strtoul(p + sizeof(word) - 1, NULL, 10);
    }
    return mounted == (port != 0 ? port : PORT_SMB);
}

/* Whether a component of a mount's source is this name. */
static int is_name(const char *component, size_t len, const char *name)
{
    if (len >= 2 && component[0] == '[' && component[len - 1] == ']') {
        component++;
        len -= 2;
    }
    return strlen(name) == len && equal_folded(component, name, len);
}

/* The part of the folder's path that is below what the mount shows, or NULL if it shows others. */
static const char *path_below(const struct mount *mount, const struct ccs_unc *unc)
{
    const char *source = mount->source, *rest;
    size_t len;

    if ((strcmp(mount->type, "cifs") != 0 && strcmp(mount->type, "smb3") != 0) ||
        !is_separator(source[0]) || !is_separator(source[1]) || !same_port(mount, unc->port))
        return NULL;
    source += 2;
    len = component_len(source);
    if (!is_name(source, len, unc->server))
        return NULL;
    source = skip_separators(source + len);
    len = component_len(source);
    if (!is_name(source, len, unc->share))
        return NULL;
    source += len;
    if (below(mount->root, source) != NULL)
        return below(unc->path, mount->root);
    rest = below(unc->path, source);
    return rest != NULL ? below(rest, mount->root) : NULL;
}

/* -- what hides what ------------------------------------------------------------------------ */

static int is_listed(const struct table *table, unsigned long id)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->mount[i].id == id)
            return 1;
    }
    return 0;
}

/* Whether the mount sits on that one. The first one of a path sits on what the table does not show.
 */
static int sits_on(const struct table *table, const struct mount *mount, const struct mount *on)
{
    if (on != NULL)
        return mount->parent == on->id && mount != on;
    return mount->parent == mount->id || !is_listed(table, mount->parent);
}

/* The mount on top of `on` at this path, or `on` itself. */
static const struct mount *climb(const struct table *table, const char *path, size_t len,
                                 const struct mount *on)
{
    size_t steps = 0, i;

    do {
        for (i = 0; i < table->count; i++) {
            const struct mount *mount = &table->mount[i];

            if (strlen(mount->point) == len && memcmp(mount->point, path, len) == 0 &&
                sits_on(table, mount, on)) {
                on = mount;
                break;
            }
        }
    } while (i < table->count && steps++ < table->count);
    return on;
}

/* The mount that a look-up of this path ends in. */
static const struct mount *mount_of(const struct table *table, const char *path)
{
    const struct mount *mount = climb(table, "/", 1, NULL);
    size_t len = 1;

    while (path[len] != '\0') {
        len += strcspn(path + len, "/");
        mount = climb(table, path, len, mount);
        len += path[len] == '/';
    }
    return mount;
}

/* -- whole ---------------------------------------------------------------------------------- */

static int join(char *out, const char *point, const char *rest)
{
    const int separate = rest[0] != '\0' && strcmp(point, "/") != 0;
    const int n = snprintf(out, CCS_MOUNTS_PATH_SIZE, "%s%s%s", point, separate ? "/" : "", rest);

    return n > 0 && n < CCS_MOUNTS_PATH_SIZE;
}

static int find(const struct table *table, const struct ccs_unc *unc, char *out)
{
    char path[CCS_MOUNTS_PATH_SIZE];
    size_t best = SIZE_MAX, len;
    const char *rest;

    for (size_t i = 0; i < table->count; i++) {
        rest = path_below(&table->mount[i], unc);
        len = rest != NULL ? strlen(rest) : SIZE_MAX;
        if (rest == NULL || len > best || !join(path, table->mount[i].point, rest) ||
            mount_of(table, path) != &table->mount[i])
            continue;
        best = len;
        memcpy(out, path, strlen(path) + 1);
    }
    return best != SIZE_MAX;
}

int ccs_mounts_find_in(const char *table, size_t len, const struct ccs_unc *unc, char *out,
                       struct ccs_error *err)
{
    struct table parsed = {.text = strndup(table, len)};
    char text[CCS_UNC_TEXT_SIZE];
    int rv = CCS_OK;

    if (parsed.text == NULL || !parse_table(&parsed)) {
        rv = ccs_error_set(err, CCS_ENOMEM, "no memory for the mount table");
        goto out;
    }
    if (!find(&parsed, unc, out)) {
        rv = ccs_error_set(err, CCS_ENOTFOUND, "%s is not mounted on this machine",
                           ccs_unc_format(unc, text));
    }
out:
    free_table(&parsed);
    return rv;
}

/* The whole file, new in *out; errno otherwise. */
static int read_table(char **out, size_t *out_len)
{
    const int fd = open(TABLE, O_RDONLY | O_CLOEXEC);
    size_t len = 0, room = 0;
    char *text = NULL, *more;
    int errnum = 0;
    ssize_t n = 1;

    if (fd < 0)
        return errno;
    while (errnum == 0 && n > 0) {
        if (room - len < READ_STEP / 2) {
            more = room < TABLE_MAX ? realloc(text, room + READ_STEP) : NULL;
            if (more == NULL) {
                errnum = room < TABLE_MAX ? ENOMEM : EFBIG;
                break;
            }
            text = more;
            room += READ_STEP;
        }
        n = read(fd, text + len, room - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            errnum = errno;
        else if (n < 0)
            n = 1;
    }
    close(fd);
    if (errnum != 0) {
        free(text);
        return errnum;
    }
    *out = text;
    *out_len = len;
    return 0;
}

int ccs_mounts_find(const struct ccs_unc *unc, char *out, struct ccs_error *err)
{
    char *text = NULL;
    size_t len = 0;
    const int errnum = read_table(&text, &len);
    int rv;

    if (errnum != 0 || text == NULL)
        return ccs_error_sys(err, CCS_EUNAVAIL, errnum, "the mount table " TABLE " cannot be read");
    rv = ccs_mounts_find_in(text, len, unc, out, err);
    free(text);
    return rv;
}
