/* SPDX-License-Identifier: Apache-2.0 */
#include "login.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "error.h"
#include "pages.h"
#include "secret.h"

#define FILE_MAX_SIZE 4096
#define BOM           "\xef\xbb\xbf"

/* In pages of their own that children do not get: what is forked later never knew a password. */
struct texts {
    uint32_t present; /* zero in a child, and when wiped */
    char user[CCS_LOGIN_NAME_MAX + 1];
    char domain[CCS_LOGIN_NAME_MAX + 1];
    char password[CCS_LOGIN_PASSWORD_MAX + 1];
};

struct ccs_login {
    atomic_uint refs;
    struct texts *texts;
    uint8_t digest[CCS_LOGIN_DIGEST_SIZE];
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static uint8_t key[32];
static int key_made;

static void make_key(void)
{
    key_made = RAND_bytes(key, sizeof(key)) == 1;
}

/* Children do not get them. */
static struct texts *texts_new(void)
{
    struct texts *texts = ccs_pages_new(sizeof(*texts));

    if (texts != NULL)
        (void)madvise(texts, sizeof(*texts), MADV_WIPEONFORK);
    return texts;
}

static void login_free(struct ccs_login *login)
{
    ccs_pages_free(login->texts, sizeof(*login->texts));
    free(login);
}

/* -- reading --------------------------------------------------------------------------------- */

/* Length of the word if line begins with it, in any case; else 0. */
static size_t begins(const char *line, size_t len, const char *word)
{
    const size_t n = strlen(word);

    return len >= n && strncasecmp(line, word, n) == 0 ? n : 0;
}

struct line {
    const char *text;
    size_t len;
    size_t number;
    const char *where;
};

static int take_value(const struct line *l, size_t from, const char *name, char *out, size_t max,
                      struct ccs_error *err)
{
    const size_t len = l->len - from;

    if (out[0] != '\0') {
        return ccs_error_set(err, CCS_EINVAL, "%s, line %zu: a second %s", l->where, l->number,
                             name);
    }
    if (len > max) {
        return ccs_error_set(err, CCS_EINVAL, "%s, line %zu: a %s of more than %zu octets",
                             l->where, l->number, name, max);
    }
    if (memchr(l->text, '\0', l->len) != NULL) {
        return ccs_error_set(err, CCS_EINVAL, "%s, line %zu: a NUL octet cannot be part of it",
                             l->where, l->number);
    }
    memcpy(out, l->text + from, len);
    out[len] = '\0';
    return CCS_OK;
}

static int take_line(struct texts *t, struct line l, struct ccs_error *err)
{
    const struct {
        const char *words[2];
        const char *name;
        char *out;
        size_t max;
    } keys[] = {
        {{"username=", "user="}, "user name", t->user, CCS_LOGIN_NAME_MAX},
        {{"password=", "pass="}, "password", t->password, CCS_LOGIN_PASSWORD_MAX},
        {{"domain=", "dom="}, "domain", t->domain, CCS_LOGIN_NAME_MAX},
    };

    while (l.len > 0 && (l.text[0] == ' ' || l.text[0] == '\t')) {
        l.text++;
        l.len--;
    }
    if (l.len == 0 || l.text[0] == '#')
        return CCS_OK;
    for (size_t i = 0; i < CCS_ARRAY_LEN(keys); i++) {
        for (size_t w = 0; w < CCS_ARRAY_LEN(keys[i].words); w++) {
            const size_t from = begins(l.text, l.len, keys[i].words[w]);

            if (from > 0)
                return take_value(&l, from, keys[i].name, keys[i].out, keys[i].max, err);
        }
    }
    return ccs_error_set(err, CCS_EINVAL,
                         "%s, line %zu: neither username=, password= nor domain=", l.where,
                         l.number);
}

static int split_user(struct texts *t, const char *where, struct ccs_error *err)
{
    char *mark = strpbrk(t->user, "\\/");

    if (mark != NULL && t->domain[0] != '\0') {
        return ccs_error_set(err, CCS_EINVAL,
                             "%s: the user name has a domain in front, and there is a domain= too: "
                             "leave one of them out",
                             where);
    }
    if (mark != NULL) {
        *mark = '\0';
        memcpy(t->domain, t->user, strlen(t->user) + 1);
        memmove(t->user, mark + 1, strlen(mark + 1) + 1);
    }
    if (t->user[0] == '\0')
        return ccs_error_set(err, CCS_EINVAL, "%s: there is no username= with a name", where);
    return CCS_OK;
}

static int make_digest(struct ccs_login *login)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok;

    /* The whole of it: what is behind the end of a text is zero. */
    ok = key_made && ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(ctx, key, sizeof(key)) == 1 &&
         EVP_DigestUpdate(ctx, login->texts, sizeof(*login->texts)) == 1 &&
         EVP_DigestFinal_ex(ctx, login->digest, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        ERR_clear_error();
    return ok;
}

static int parse_lines(struct texts *t, const char *text, size_t len, const char *where,
                       struct ccs_error *err)
{
    const char *const end = text + len;
    struct line l = {.where = where};
    int rv = CCS_OK;

    if (len >= strlen(BOM) && memcmp(text, BOM, strlen(BOM)) == 0)
        text += strlen(BOM);
    while (rv == CCS_OK && text < end) {
        const char *eol = memchr(text, '\n', (size_t)(end - text));

        l.text = text;
        l.len = (size_t)((eol != NULL ? eol : end) - text);
        l.number++;
        if (eol != NULL && l.len > 0 && text[l.len - 1] == '\r')
            l.len--;
        rv = take_line(t, l, err);
        text = eol != NULL ? eol + 1 : end;
    }
    return rv == CCS_OK ? split_user(t, where, err) : rv;
}

int ccs_login_parse(const void *text, size_t len, const char *where, struct ccs_login **out,
                    struct ccs_error *err)
{
    struct ccs_login *login;
    int rv;

    if (len > FILE_MAX_SIZE) {
        return ccs_error_set(err, CCS_EINVAL, "%s: larger than %d octets, too large for a login",
                             where, FILE_MAX_SIZE);
    }
    pthread_once(&key_once, make_key);
    login = calloc(1, sizeof(*login));
    if (login == NULL)
        return ccs_error_set(err, CCS_ENOMEM, "%s: no memory for a login", where);
    atomic_init(&login->refs, 1);
    login->texts = texts_new();
    if (login->texts == NULL) {
        free(login);
        return ccs_error_set(err, CCS_ENOMEM, "%s: no memory for a login", where);
    }
    rv = parse_lines(login->texts, len > 0 ? text : "", len, where, err);
    if (rv == CCS_OK && !make_digest(login))
        rv = ccs_error_set(err, CCS_ESSL, "%s: no digest can be made of a login", where);
    if (rv != CCS_OK) {
        login_free(login);
        return rv;
    }
    login->texts->present = 1;
    *out = login;
    return CCS_OK;
}

int ccs_login_read(const char *path, struct ccs_login **out, struct ccs_error *err)
{
    char where[CCS_PAGES_WHERE_SIZE];
    char *buf;
    size_t len;
    int rv;

    rv = ccs_pages_read(path, "credentials file", FILE_MAX_SIZE, &buf, &len, where, err);
    if (rv != CCS_OK)
        return rv;
    rv = ccs_login_parse(buf, len, where, out, err);
    ccs_pages_free(buf, FILE_MAX_SIZE + 1);
    return rv;
}

/* -- life ------------------------------------------------------------------------------------ */

struct ccs_login *ccs_login_ref(struct ccs_login *login)
{
    if (login != NULL)
        atomic_fetch_add_explicit(&login->refs, 1, memory_order_relaxed);
    return login;
}

void ccs_login_unref(struct ccs_login *login)
{
    if (login != NULL && atomic_fetch_sub_explicit(&login->refs, 1, memory_order_acq_rel) == 1)
        login_free(login);
}

void ccs_login_wipe(struct ccs_login *login)
{
    if (login != NULL)
        ccs_wipe(login->texts, sizeof(*login->texts));
}

int ccs_login_get(const struct ccs_login *login, struct ccs_login_texts *out)
{
    const struct texts *t = login->texts;

    if (t->present == 0)
        return 0;
    out->user = t->user;
    out->domain = t->domain;
    out->password = t->password;
    return 1;
}

const uint8_t *ccs_login_digest(const struct ccs_login *login)
{
    return login->digest;
}

int ccs_login_equal(const struct ccs_login *a, const struct ccs_login *b)
{
    if (a == b)
        return 1;
    return a != NULL && b != NULL && CRYPTO_memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}
