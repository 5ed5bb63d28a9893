/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "error.h"
#include "pages.h"

void ccs_wipe(void *p, size_t len)
{
    if (len > 0)
        OPENSSL_cleanse(p, len);
}

int ccs_secret_reserve(struct ccs_secret *s, size_t size)
{
    uint8_t *data;

    if (s->data && size <= s->size)
        return CCS_OK;
    if (size >= SIZE_MAX / 2)
        return CCS_ENOMEM;
    /* Never realloc: it may leave a copy behind in the memory that it gives back. */
    data = malloc(size + 1);
    if (!data)
        return CCS_ENOMEM;
    data[s->len] = '\0';
    if (s->data) {
        memcpy(data, s->data, s->len);
        ccs_wipe(s->data, s->size + 1);
        free(s->data);
    }
    s->data = data;
    s->size = size;
    return CCS_OK;
}

int ccs_secret_append(struct ccs_secret *s, const void *p, size_t len)
{
    int rv;

    if (len >= SIZE_MAX / 2 - s->len)
        return CCS_ENOMEM;
    if (!s->data || len > s->size - s->len) {
        size_t want = s->len + len;

        if (want < s->size * 2)
            want = s->size * 2;
        if (want < 64)
            want = 64;
        rv = ccs_secret_reserve(s, want);
        if (rv != CCS_OK)
            return rv;
    }
    if (len > 0)
        memcpy(s->data + s->len, p, len);
    s->len += len;
    s->data[s->len] = '\0';
    return CCS_OK;
}

void ccs_secret_free(struct ccs_secret *s)
{
    if (s->data) {
        ccs_wipe(s->data, s->size + 1);
        free(s->data);
    }
    *s = (struct ccs_secret){0};
}

struct password {
    uint32_t start;
    uint32_t len;
};

struct ccs_passwords {
    atomic_uint refs;
    size_t size; /* of all pages */
    size_t count;
    struct password list[CCS_PASSWORDS_MAX];
    char text[]; /* each followed by a NUL */
};

#define BOM_LEN  3
#define FILE_MAX ((size_t)CCS_PASSWORDS_MAX * (CCS_PASSWORD_LEN_MAX + 2) + BOM_LEN)

/* Adds one line without its end. where names the source for the error, which tells no contents. */
static int add_line(struct ccs_passwords *p, size_t *used, const char *line, size_t len,
                    size_t number, const char *where, struct ccs_error *err)
{
    if (len == 0)
        return CCS_OK;
    if (len > CCS_PASSWORD_LEN_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%s, line %zu: longer than %d octets", where, number,
                             CCS_PASSWORD_LEN_MAX);
    if (memchr(line, '\0', len))
        return ccs_error_set(err, CCS_EINVAL,
                             "%s, line %zu: a NUL octet cannot be part of a password", where,
                             number);
    if (p->count == CCS_PASSWORDS_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%s, line %zu: more than %d passwords", where, number,
                             CCS_PASSWORDS_MAX);
    p->list[p->count].start = (uint32_t)*used;
    p->list[p->count].len = (uint32_t)len;
    p->count++;
    memcpy(p->text + *used, line, len);
    *used += len;
    p->text[(*used)++] = '\0';
    return CCS_OK;
}

static int parse(const char *text, size_t len, const char *where, struct ccs_passwords **out,
                 struct ccs_error *err)
{
    struct ccs_passwords *p;
    const char *end;
    size_t used = 0, number = 0, size;
    int rv = CCS_OK;

    if (len > FILE_MAX)
        return ccs_error_set(err, CCS_EINVAL, "%s: larger than %zu octets, too large for passwords",
                             where, FILE_MAX);
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return ccs_error_set(err, CCS_EINVAL, "%s: encoded as UTF-16, save it as UTF-8", where);
    if (len >= BOM_LEN && memcmp(text, "\xef\xbb\xbf", BOM_LEN) == 0) {
        text += BOM_LEN;
        len -= BOM_LEN;
    }

    end = text + len;
    size = sizeof(*p) + len + 1;
    p = ccs_pages_new(size);
    if (!p)
        return ccs_error_set(err, CCS_ENOMEM, "%s: no memory for passwords", where);
    atomic_init(&p->refs, 1);
    p->size = size;
    while (rv == CCS_OK && text < end) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));
        const char *stop = eol ? eol : end;
        size_t n = (size_t)(stop - text);

        number++;
        if (eol && n > 0 && text[n - 1] == '\r')
            n--;
        rv = add_line(p, &used, text, n, number, where, err);
        text = eol ? eol + 1 : end;
    }
    if (rv != CCS_OK) {
        ccs_pages_free(p, size);
        return rv;
    }
    *out = p;
    return CCS_OK;
}

int ccs_passwords_parse(const void *text, size_t len, struct ccs_passwords **out,
                        struct ccs_error *err)
{
    return parse(len > 0 ? text : "", len, "the passwords", out, err);
}

int ccs_passwords_read(const char *path, struct ccs_passwords **out, struct ccs_error *err)
{
    char where[CCS_PAGES_WHERE_SIZE];
    char *buf;
    size_t len;
    int rv;

    rv = ccs_pages_read(path, "password file", FILE_MAX, &buf, &len, where, err);
    if (rv != CCS_OK)
        return rv;
    rv = parse(buf, len, where, out, err);
    ccs_pages_free(buf, FILE_MAX + 1);
    return rv;
}

struct ccs_passwords *ccs_passwords_ref(struct ccs_passwords *p)
{
    if (p)
        atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void ccs_passwords_unref(struct ccs_passwords *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        ccs_pages_free(p, p->size);
}

size_t ccs_passwords_count(const struct ccs_passwords *p)
{
    return p ? p->count : 0;
}

const char *ccs_passwords_get(const struct ccs_passwords *p, size_t i, size_t *len)
{
    if (len)
        *len = p->list[i].len;
    return p->text + p->list[i].start;
}

int ccs_passwords_equal(const struct ccs_passwords *a, const struct ccs_passwords *b)
{
    size_t n = ccs_passwords_count(a);

    if (a == b)
        return 1;
    if (n != ccs_passwords_count(b))
        return 0;
    for (size_t i = 0; i < n; i++) {
        size_t la, lb;
        const char *pa = ccs_passwords_get(a, i, &la);
        const char *pb = ccs_passwords_get(b, i, &lb);

        if (la != lb || CRYPTO_memcmp(pa, pb, la) != 0)
            return 0;
    }
    return 1;
}
