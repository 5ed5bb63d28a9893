/* SPDX-License-Identifier: Apache-2.0 */
#include "smb_url.h"

#include <stdio.h>
#include <string.h>

struct url {
    char *out;
    size_t size;
    size_t len; /* beyond size - 1: it did not fit */
};

static void url_put(struct url *u, char c)
{
    if (u->len + 1 < u->size) {
        u->out[u->len] = c;
        u->out[u->len + 1] = '\0';
    }
    u->len++;
}

static int url_is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* All but slashes, which separate, and what is the same in every encoding. */
static void url_put_encoded(struct url *u, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;

        if (url_is_plain(c) || c == '/') {
            url_put(u, (char)c);
            continue;
        }
        url_put(u, '%');
        url_put(u, digits[c >> 4]);
        url_put(u, digits[c & 15]);
    }
}

static void url_put_text(struct url *u, const char *text)
{
    while (*text != '\0')
        url_put(u, *text++);
}

/* Length of the UTF-8 sequence at p; 0 if it is none. */
static size_t utf8_sequence(const unsigned char *p)
{
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        n = 2;
    else if ((p[0] & 0xf0) == 0xe0)
        n = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        n = 4;
    else
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static int is_utf8(const char *text)
{
    size_t n = 1;

    for (; *text != '\0' && n > 0; text += n)
        n = utf8_sequence((const unsigned char *)text);
    return n > 0;
}

int agent_smb_url(const struct ccs_unc *unc, int folders, const char *file, char *out, size_t size)
{
    struct url u = {out, size, 0};
    char port[8] = "";
    const int is_v6 = strchr(unc->server, ':') != NULL;

    if (size == 0 || (file != NULL && !is_utf8(file)))
        return CCS_EINVAL;
    if (unc->port != 0)
        snprintf(port, sizeof(port), ":%u", (unsigned)unc->port);
    url_put_text(&u, is_v6 ? "smb://[" : "smb://");
    url_put_text(&u, unc->server);
    url_put_text(&u, is_v6 ? "]" : "");
    url_put_text(&u, port);
    url_put(&u, '/');
    url_put_encoded(&u, unc->share);
    url_put(&u, '/');
    if (folders && unc->path[0] != '\0') {
        url_put_encoded(&u, unc->path);
        if (file != NULL)
            url_put(&u, '/');
    }
    if (file != NULL)
        url_put_encoded(&u, file);
    return u.len < size ? CCS_OK : CCS_EINVAL;
}
