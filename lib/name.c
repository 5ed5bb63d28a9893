/* SPDX-License-Identifier: Apache-2.0 */

/*
 * International names are converted label by label, and only labels that need it: libidn2 is
 * stricter about what a host name is than the servers, clients and file names out there, which use
 * underscores for one.
 */

#include "name.h"
#include "base.h"

#include <idn2.h>
#include <string.h>

#define LABEL_MAX  63
#define ACE_PREFIX "xn--"

/*
 * No IDN2_USE_STD3_ASCII_RULES: with it libidn2 drops underscores and slashes instead of refusing
 * them. What comes out is checked here anyway.
 */
#define IDN_FLAGS (IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL)

static const char *const endings[CCS_FILE_KINDS] = {
    [CCS_FILE_ANY] = ".pfx",
    [CCS_FILE_RSA] = ".rsa.pfx",
    [CCS_FILE_ECDSA] = ".ecdsa.pfx",
};

/* tolower() would follow the host's locale. */
static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Of folded octets. */
static int is_host_octet(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static int has_ending(const char *text, size_t len, const char *ending)
{
    size_t ending_len = strlen(ending);
    size_t i;

    if (len < ending_len)
        return 0;
    text += len - ending_len;
    for (i = 0; i < ending_len; i++)
        if (fold(text[i]) != ending[i])
            return 0;
    return 1;
}

static int is_ascii(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7f)
            return 0;
    return 1;
}

static size_t label_len(const char *text, size_t len)
{
    const char *dot = memchr(text, '.', len);

    return dot ? (size_t)(dot - text) : len;
}

static int is_lone_underscore(const char *name, size_t len)
{
    return len > 0 && name[0] == '_' && label_len(name, len) == 1;
}

/* Whether a name that ends in this label would be read as an IPv4 address. */
static int is_number(const char *label, size_t len)
{
    size_t i = 0;
    int hex = len >= 2 && label[0] == '0' && label[1] == 'x';

    for (i = hex ? 2 : 0; i < len; i++)
        if (!is_digit(label[i]) && !(hex && label[i] >= 'a' && label[i] <= 'f'))
            return 0;
    return 1;
}

static int is_key_type(const char *label, size_t len)
{
    return (len == 3 && memcmp(label, "rsa", 3) == 0) ||
           (len == 5 && memcmp(label, "ecdsa", 5) == 0);
}

/* Folds name into out, len octets without NUL, if that is a canonical name. */
static CCS_WARM int fold_name(const char *name, size_t len, char *out)
{
    size_t label = 0;
    size_t i;

    if (len == 0 || len > CCS_NAME_MAX || is_lone_underscore(name, len))
        return CCS_ENAME;
    for (i = 0; i < len; i++) {
        out[i] = fold(name[i]);
        if (is_host_octet(out[i]))
            continue;
        if (out[i] != '.' || i == label || i - label > LABEL_MAX)
            return CCS_ENAME;
        label = i + 1;
    }
    len -= label;
    if (len == 0 || len > LABEL_MAX || is_number(out + label, len) || is_key_type(out + label, len))
        return CCS_ENAME;
    return CCS_OK;
}

static void put(char *out, size_t *out_len, const char *text, size_t len)
{
    memcpy(out, text, len);
    out[len] = '\0';
    if (out_len)
        *out_len = len;
}

CCS_WARM int ccs_name_canonical(const char *name, size_t len, char *out, size_t *out_len)
{
    char folded[CCS_STEM_SIZE];

    if (len > 0 && name[len - 1] == '.')
        len--;
    if (fold_name(name, len, folded) != CCS_OK)
        return CCS_ENAME;
    put(out, out_len, folded, len);
    return CCS_OK;
}

int ccs_name_wildcard(const char *canonical, size_t len, char *out, size_t *out_len)
{
    size_t first = label_len(canonical, len);
    const char *rest = canonical + first;
    size_t rest_len = len - first; /* dot included */
    char stem[CCS_STEM_SIZE];

    if (rest_len < 2 || rest_len > CCS_NAME_MAX + 1 || is_lone_underscore(rest + 1, rest_len - 1))
        return CCS_ENAME;
    stem[0] = '_';
    memcpy(stem + 1, rest, rest_len);
    put(out, out_len, stem, rest_len + 1);
    return CCS_OK;
}

/* Base and kind -> file name. */
static int join(const char *base, size_t len, enum ccs_file_kind kind, char *out)
{
    size_t ending_len;

    if ((unsigned)kind >= CCS_FILE_KINDS)
        return CCS_ENAME;
    ending_len = strlen(endings[kind]);
    if (len == 0 || len > CCS_FILE_NAME_MAX - ending_len)
        return CCS_ENAME;
    memcpy(out, base, len);
    memcpy(out + len, endings[kind], ending_len + 1);
    return CCS_OK;
}

int ccs_name_file(const char *stem, enum ccs_file_kind kind, char *out)
{
    return join(stem, strnlen(stem, CCS_STEM_SIZE), kind, out);
}

/* Label with octets above ASCII -> A-label; out holds LABEL_MAX + 1 octets. */
static int to_ascii(const char *label, size_t len, char *out)
{
    char text[CCS_FILE_NAME_SIZE];
    uint8_t *ascii = NULL;
    size_t ascii_len;
    int rv = CCS_ENAME;
    int status;

    if (len > CCS_FILE_NAME_MAX || memchr(label, '\0', len))
        return CCS_ENAME;
    memcpy(text, label, len);
    text[len] = '\0';
    status = idn2_lookup_u8((const uint8_t *)text, &ascii, IDN_FLAGS);
    if (status != IDN2_OK)
        return status == IDN2_MALLOC ? CCS_ENOMEM : CCS_ENAME;
    /* Look-alikes of ASCII letters and dots are mapped to them: those are not host names. */
    ascii_len = strlen((const char *)ascii);
    if (ascii_len <= LABEL_MAX && !memchr(ascii, '.', ascii_len) &&
        strncmp((const char *)ascii, ACE_PREFIX, sizeof(ACE_PREFIX) - 1) == 0) {
        memcpy(out, ascii, ascii_len + 1);
        rv = CCS_OK;
    }
    idn2_free(ascii);
    return rv;
}

/*
 * A-label -> U-label, a string to free with idn2_free(). An A-label that its U-label does not lead
 * back to is none (RFC 5891 5.4): CCS_ENOTFOUND.
 */
static int to_unicode(const char *label, size_t len, char **out)
{
    char text[LABEL_MAX + 1];
    char back[LABEL_MAX + 1];
    char *unicode = NULL;
    int status;
    int rv;

    if (len > LABEL_MAX)
        return CCS_ENOTFOUND;
    memcpy(text, label, len);
    text[len] = '\0';
    status = idn2_to_unicode_8z8z(text, &unicode, 0);
    if (status != IDN2_OK)
        return status == IDN2_MALLOC ? CCS_ENOMEM : CCS_ENOTFOUND;
    rv = to_ascii(unicode, strlen(unicode), back);
    if (rv == CCS_OK && strcmp(back, text) == 0) {
        *out = unicode;
        return CCS_OK;
    }
    idn2_free(unicode);
    return rv == CCS_ENOMEM ? CCS_ENOMEM : CCS_ENOTFOUND;
}

/* A name under construction. */
struct builder {
    char text[CCS_FILE_NAME_MAX];
    size_t len;
    unsigned converted; /* labels that are not what they were */
};

static int append(struct builder *b, const char *text, size_t len)
{
    if (len > sizeof(b->text) - b->len)
        return CCS_ENAME;
    memcpy(b->text + b->len, text, len);
    b->len += len;
    return CCS_OK;
}

/* Appends a label of a stem, an A-label as a U-label. */
static int append_unicode(struct builder *b, const char *label, size_t len)
{
    char *unicode = NULL;
    int rv;

    if (len < sizeof(ACE_PREFIX) - 1 || memcmp(label, ACE_PREFIX, sizeof(ACE_PREFIX) - 1) != 0)
        return append(b, label, len);
    rv = to_unicode(label, len, &unicode);
    if (rv != CCS_OK)
        return rv;
    b->converted++;
    rv = append(b, unicode, strlen(unicode));
    idn2_free(unicode);
    return rv;
}

/* Appends a label of a file name, a U-label as an A-label. */
static int append_ascii(struct builder *b, const char *label, size_t len)
{
    char ascii[LABEL_MAX + 1];
    char *unicode = NULL;
    int rv;

    if (is_ascii(label, len))
        return append(b, label, len);
    rv = to_ascii(label, len, ascii);
    if (rv != CCS_OK)
        return rv;
    /* A label that is an A-label but for octets which mapping drops comes out unexamined. */
    rv = to_unicode(ascii, strlen(ascii), &unicode);
    if (rv != CCS_OK)
        return rv == CCS_ENOMEM ? CCS_ENOMEM : CCS_ENAME;
    idn2_free(unicode);
    b->converted++;
    return append(b, ascii, strlen(ascii));
}

/* Builds a name from another's labels. */
static int convert(struct builder *b, const char *text, size_t len,
                   int (*append_label)(struct builder *b, const char *label, size_t len))
{
    size_t at = 0;
    size_t label;
    int rv;

    b->len = 0;
    b->converted = 0;
    for (;;) {
        label = label_len(text + at, len - at);
        rv = append_label(b, text + at, label);
        at += label;
        if (rv != CCS_OK || at == len)
            return rv;
        rv = append(b, ".", 1);
        if (rv != CCS_OK)
            return rv;
        at++;
    }
}

int ccs_name_file_unicode(const char *stem, enum ccs_file_kind kind, char *out)
{
    struct builder base;
    int rv = convert(&base, stem, strnlen(stem, CCS_STEM_SIZE), append_unicode);

    if (rv != CCS_OK)
        return rv;
    return base.converted > 0 ? join(base.text, base.len, kind, out) : CCS_ENOTFOUND;
}

int ccs_name_from_file(const char *file, size_t len, char *out, enum ccs_file_kind *kind,
                       int *unicode)
{
    struct builder base;
    char stem[CCS_STEM_SIZE];
    enum ccs_file_kind k = CCS_FILE_ANY;
    size_t prefix;
    int rv;

    if (len > CCS_FILE_NAME_MAX || !has_ending(file, len, endings[CCS_FILE_ANY]))
        return CCS_ENAME;
    if (has_ending(file, len, endings[CCS_FILE_RSA]))
        k = CCS_FILE_RSA;
    else if (has_ending(file, len, endings[CCS_FILE_ECDSA]))
        k = CCS_FILE_ECDSA;
    rv = convert(&base, file, len - strlen(endings[k]), append_ascii);
    if (rv != CCS_OK)
        return rv;
    prefix = base.len > 2 && memcmp(base.text, "_.", 2) == 0 ? 2 : 0;
    memcpy(stem, base.text, prefix);
    if (fold_name(base.text + prefix, base.len - prefix, stem + prefix) != CCS_OK)
        return CCS_ENAME;
    put(out, NULL, stem, base.len);
    *kind = k;
    *unicode = base.converted > 0;
    return CCS_OK;
}

int ccs_name_digest(int own, const char *name, size_t len, uint8_t *out)
{
    uint8_t text[1 + CCS_STEM_SIZE];

    if (len > CCS_STEM_SIZE)
        return CCS_EINVAL;
    text[0] = own != 0;
    memcpy(text + 1, name, len);
    return ccs_digest(text, 1 + len, out);
}
