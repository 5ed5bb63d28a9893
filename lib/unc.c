/* SPDX-License-Identifier: Apache-2.0 */
#include "unc.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "error.h"

#define SHOWN         256
#define LABEL_MAX     63
#define COMPONENT_MAX 255
#define PORT_MAX      65535
#define TEXT_MAX      (3 * (CCS_UNC_SHARE_MAX + CCS_UNC_PATH_MAX) + CCS_UNC_SERVER_MAX + 64)

/* Characters that no name on an SMB server has, and those that its shares do not have besides. */
static const char path_forbidden[] = "\"*:<>?|";
static const char share_forbidden[] = "\"*:<>?|[]+=;,";

/* A text that is being taken apart. */
struct cursor {
    const char *at;
    const char *end;
    int url;
};

static int is_separator(char c, int url)
{
    return c == '/' || (!url && c == '\\');
}

/* Octets of "smb://" and the like in front, or 0. */
static size_t scheme_len(const char *location)
{
    static const char *const schemes[] = {"smb://", "cifs://"};

    for (size_t i = 0; i < CCS_ARRAY_LEN(schemes); i++) {
        if (strncasecmp(location, schemes[i], strlen(schemes[i])) == 0)
            return strlen(schemes[i]);
    }
    return 0;
}

int ccs_unc_is(const char *location)
{
    return location[0] == '\\' || scheme_len(location) > 0 ||
           (location[0] == '/' && location[1] == '/' && location[2] != '/' && location[2] != '\0');
}

/* -- octets --------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One octet of a share or a folder, decoded. 0 if there is none that may be. */
static int next_octet(struct cursor *c, char *out)
{
    int high, low;

    if (c->url && *c->at == '%') {
        if (c->end - c->at < 3)
            return 0;
        high = hex_value(c->at[1]);
        low = hex_value(c->at[2]);
        if (high < 0 || low < 0)
            return 0;
        *out = (char)(high * 16 + low);
        c->at += 3;
        return *out != '/';
    }
    if (c->url && *c->at == '#')
        return 0;
    *out = *c->at++;
    return 1;
}

/* Octets of the UTF-8 character at p, or 0 if it is none, or one in a roundabout way. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = p[0] < 0x80             ? 1
                     : (p[0] & 0xe0) == 0xc0 ? 2
                     : (p[0] & 0xf0) == 0xe0 ? 3
                     : (p[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    uint32_t value;

    if (n < 2 || n > len)
        return n == 1 ? 1 : 0;
    value = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3fu);
    }
    return value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? 0 : n;
}

/* Whether it is text without control characters and without any of these. */
static int is_plain(const char *text, size_t len, const char *forbidden)
{
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        n = utf8_len((const unsigned char *)text + i, len - i);
        if (n == 0 || (unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\' ||
            strchr(forbidden, text[i]) != NULL)
            return 0;
    }
    return 1;
}

/* -- server --------------------------------------------------------------------------------- */

/* Letters, digits, hyphens and underscores in labels, folded to lower case. */
static int take_host(const char *text, size_t len, char *out)
{
    size_t label = 0;

    if (len == 0 || len > CCS_UNC_SERVER_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];

        if (c == '.') {
            if (label == 0 || i + 1 == len)
                return 0;
            label = 0;
        } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                   (c == '-' && label > 0)) {
            if (++label > LABEL_MAX)
                return 0;
        } else {
            return 0;
        }
        out[i] = c;
    }
    out[len] = '\0';
    return 1;
}

static int take_address(const char *text, size_t len, char *out)
{
    unsigned char binary[sizeof(struct in6_addr)];
    char copy[INET6_ADDRSTRLEN];

    if (len >= sizeof(copy))
        return 0;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return inet_pton(AF_INET6, copy, binary) == 1 &&
           inet_ntop(AF_INET6, binary, out, CCS_UNC_SERVER_MAX + 1) != NULL;
}

static int take_port(const char *text, size_t len, uint16_t *out)
{
    unsigned long port = 0;

    if (len == 0 || len > 5)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    if (port == 0 || port > PORT_MAX)
        return 0;
    *out = (uint16_t)port;
    return 1;
}

/* Everything before the first separator. */
static int take_server(struct cursor *c, struct ccs_unc *out)
{
    const char *start = c->at, *host_end, *rest;
    int ok;

    while (c->at < c->end && !is_separator(*c->at, c->url))
        c->at++;
    if (start < c->at && *start == '[') {
        host_end = memchr(start, ']', (size_t)(c->at - start));
        if (host_end == NULL)
            return 0;
        ok = take_address(start + 1, (size_t)(host_end - start - 1), out->server);
        rest = host_end + 1;
    } else {
        host_end = memchr(start, ':', (size_t)(c->at - start));
        if (host_end == NULL)
            host_end = c->at;
        ok = take_host(start, (size_t)(host_end - start), out->server);
        rest = host_end;
    }
    if (!ok || rest == c->at)
        return ok;
    return *rest == ':' && take_port(rest + 1, (size_t)(c->at - rest - 1), &out->port);
}

/* -- share and folders ---------------------------------------------------------------------- */

/*
 * Decodes up to the next separator, which is passed over. The length, or 0 for what cannot be a
 * name. Windows would drop a dot or a blank at the end, so that two names were one.
 */
static size_t take_component(struct cursor *c, size_t max, const char *forbidden, char *out)
{
    size_t len = 0;

    while (c->at < c->end && !is_separator(*c->at, c->url)) {
        if (len == max || !next_octet(c, &out[len]) || out[len] == '\0')
            return 0;
        len++;
    }
    if (c->at < c->end)
        c->at++;
    if (len == 0 || out[len - 1] == '.' || out[len - 1] == ' ' || !is_plain(out, len, forbidden))
        return 0;
    out[len] = '\0';
    return len;
}

static int take_path(struct cursor *c, struct ccs_unc *out)
{
    char name[COMPONENT_MAX + 1];
    size_t used = 0, len;

    while (c->at < c->end) {
        len = take_component(c, COMPONENT_MAX, path_forbidden, name);
        if (len == 0 || used + (used > 0) + len > CCS_UNC_PATH_MAX)
            return 0;
        if (used > 0)
            out->path[used++] = '/';
        memcpy(out->path + used, name, len + 1);
        used += len;
    }
    return 1;
}

/* -- whole ---------------------------------------------------------------------------------- */

/* What an escape stands for that a configuration file's parser has put into the text, or NUL. */
static char escape_of(char c)
{
    switch (c) {
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    default:
        return '\0';
    }
}

/* Puts back what such a parser has taken out. The length, or 0 if it is too long. */
static size_t restore(const char *location, char *out, size_t size)
{
    size_t len = 0;

    if (location[1] != '\\' && location[1] != '/')
        out[len++] = '\\';
    for (const char *p = location; *p != '\0'; p++) {
        const char escape = escape_of(*p);

        if (len + 3 > size)
            return 0;
        if (escape != '\0')
            out[len++] = '\\';
        out[len++] = escape != '\0' ? escape : *p;
    }
    out[len] = '\0';
    return len;
}

static int parse(struct cursor *c, struct ccs_unc *out, const char **what)
{
    *what = "its server is not a host name or an address";
    if (!take_server(c, out))
        return CCS_EINVAL;
    *what = "it names no share, as in \\\\server\\share";
    if (c->end - c->at < 2)
        return CCS_EINVAL;
    c->at++;
    *what = "its share is not a name that a share can have";
    if (take_component(c, CCS_UNC_SHARE_MAX, share_forbidden, out->share) == 0)
        return CCS_EINVAL;
    *what = "its folder is not a path that a share can have";
    return take_path(c, out) ? CCS_OK : CCS_EINVAL;
}

/* Into unc, which is cleared; *what tells why not. */
static int parse_location(const char *location, struct ccs_unc *unc, const char **what)
{
    struct cursor c = {.at = location, .url = scheme_len(location) > 0};
    size_t len = strnlen(location, TEXT_MAX);
    char restored[TEXT_MAX];

    memset(unc, 0, sizeof(*unc));
    *what = "it is not like \\\\server\\share";
    if (!ccs_unc_is(location))
        return CCS_EINVAL;
    *what = "it is too long";
    if (len == TEXT_MAX)
        return CCS_EINVAL;
    if (location[0] == '\\') {
        len = restore(location, restored, sizeof(restored));
        if (len == 0)
            return CCS_EINVAL;
        c.at = restored;
    }
    c.end = c.at + len;
    c.at += c.url ? scheme_len(location) : 2;
    return parse(&c, unc, what);
}

int ccs_unc_parse(const char *location, struct ccs_unc *out, struct ccs_error *err)
{
    const int at = strchr(location, '@') != NULL;
    char shown[SHOWN];
    struct ccs_unc unc;
    const char *what;
    const int rv = parse_location(location, &unc, &what);

    /* Before an "@" there may be a password, which must not get into a message. */
    if (at && (rv != CCS_OK || scheme_len(location) > 0)) {
        return ccs_error_set(err, CCS_EINVAL,
                             "the location of the store has an \"@\" where none can be: user and "
                             "password of a share go into the file that credentials_file names");
    }
    if (rv != CCS_OK) {
        return ccs_error_set(
            err, rv, "\"%s\" is not a folder of an SMB server: %s",
            ccs_printable(shown, sizeof(shown), location, strnlen(location, SHOWN)), what);
    }
    *out = unc;
    return CCS_OK;
}

const char *ccs_unc_format(const struct ccs_unc *unc, char *out)
{
    const int address = strchr(unc->server, ':') != NULL;
    char port[8] = "";

    if (unc->port != 0)
        snprintf(port, sizeof(port), ":%u", (unsigned)unc->port);
    snprintf(out, CCS_UNC_TEXT_SIZE, "//%s%s%s%s/%s%s%s", address ? "[" : "", unc->server,
             address ? "]" : "", port, unc->share, unc->path[0] != '\0' ? "/" : "", unc->path);
    return out;
}
