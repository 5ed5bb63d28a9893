/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

struct code_entry {
    int code;
    const char *name;
    const char *text;
};

static const struct code_entry codes[] = {
    {CCS_OK, "ok", "done"},
    {CCS_PENDING, "pending", "the answer will come later"},
    {CCS_ENOMEM, "no-memory", "no memory"},
    {CCS_EINVAL, "invalid", "a call or a setting that makes no sense"},
    {CCS_ENAME, "bad-name", "not a host name that a store could hold"},
    {CCS_ENOTFOUND, "not-found", "no file for this name in the store"},
    {CCS_EUNAVAIL, "unavailable", "the store does not answer"},
    {CCS_EACCESS, "access-denied", "the file or the store may not be read"},
    {CCS_ETIMEDOUT, "timed-out", "not done within the time allowed"},
    {CCS_EBUSY, "busy", "too many requests are waiting already"},
    {CCS_ECANCELED, "canceled", "given up by the caller"},
    {CCS_ECLOSED, "closed", "the instance is closing"},
    {CCS_ESSL, "openssl", "OpenSSL failed"},
    {CCS_EFILETYPE, "not-regular-file", "not a regular file of the store"},
    {CCS_ETOOBIG, "too-big", "larger than a server's PFX file can be"},
    {CCS_EINCOMPLETE, "incomplete", "the file is incomplete, or still being written"},
    {CCS_ECHANGED, "changed", "the file changed while it was read"},
    {CCS_EDAMAGED, "damaged", "the file is damaged"},
    {CCS_EFORMAT, "not-pkcs12", "not a PKCS#12 file"},
    {CCS_EPASSWORD, "wrong-password", "none of the passwords opens the file"},
    {CCS_EKEYPASSWORD, "wrong-key-password",
     "the key is protected by another password than its file"},
    {CCS_ELEGACY, "needs-legacy", "needs OpenSSL's legacy provider, which is not installed"},
    {CCS_EUNSUPPORTED, "unsupported", "uses an algorithm or a mode that is not supported"},
    {CCS_ERECIPIENT, "needs-recipient",
     "encrypted to a certificate or a directory account instead of a password"},
    {CCS_EROUNDS, "too-many-rounds", "asks for more key derivation rounds than are allowed"},
    {CCS_ENOKEY, "no-key", "holds certificates but no key"},
    {CCS_ENOCERT, "no-certificate", "holds a key but no certificate"},
    {CCS_EMISMATCH, "mismatch", "certificate and key do not belong together"},
    {CCS_EKEYUSE, "unusable-key", "certificate or key cannot be used by a TLS server"},
    {CCS_ENAMEMISMATCH, "name-mismatch", "the certificate does not cover the name of its file"},
};

static const struct code_entry *find_code(int code)
{
    for (size_t i = 0; i < CCS_ARRAY_LEN(codes); i++) {
        if (codes[i].code == code)
            return &codes[i];
    }
    return NULL;
}

const char *ccs_strerror(int code)
{
    const struct code_entry *e = find_code(code);

    return e ? e->text : "unknown error";
}

const char *ccs_code_name(int code)
{
    const struct code_entry *e = find_code(code);

    return e ? e->name : "unknown";
}

const char *ccs_version(void)
{
    return CCS_VERSION;
}

const char *ccs_result_name(enum ccs_result result)
{
    switch (result) {
    case CCS_RESULT_HIT:
        return "HIT";
    case CCS_RESULT_SHARED:
        return "SHARED";
    case CCS_RESULT_LOADED:
        return "LOADED";
    case CCS_RESULT_STALE:
        return "STALE";
    case CCS_RESULT_FALLBACK:
        return "FALLBACK";
    case CCS_RESULT_NONE:
        break;
    }
    return "-";
}

/* Length of the well-formed UTF-8 sequence at s, and its code point; 0 if there is none. */
static size_t utf8_sequence(const uint8_t *s, size_t left, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
    uint32_t c;

    if (n == 4 && (s[0] & 0xf8) != 0xf0)
        return 0;
    if (n > left)
        return 0;
    c = n == 1 ? s[0] : s[0] & (0xffU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fU);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *cp = c;
    return n;
}

/* Control characters, and those that turn the direction of writing or break lines. */
static int is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

const char *ccs_printable(char *dst, size_t size, const char *src, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *s = (const uint8_t *)src;
    size_t pos = 0, safe = 0, i = 0, dots;

    if (size == 0)
        return "";
    while (i < len) {
        uint32_t cp = 0;
        size_t n = utf8_sequence(s + i, len - i, &cp);
        int plain = n != 0 && !is_control(cp);
        size_t need;

        if (n == 0)
            n = 1;
        need = plain ? n : 4 * n;
        /* Where the text would be cut, so that the three dots still fit. */
        if (pos + 3 < size)
            safe = pos;
        if (pos + need >= size)
            break;
        for (size_t k = 0; k < n; k++, i++) {
            if (plain) {
                dst[pos++] = (char)s[i];
            } else {
                dst[pos++] = '\\';
                dst[pos++] = 'x';
                dst[pos++] = hex[s[i] >> 4];
                dst[pos++] = hex[s[i] & 15];
            }
        }
    }
    if (i < len) {
        pos = safe;
        for (dots = 0; dots < 3 && pos + 1 < size; dots++)
            dst[pos++] = '.';
    }
    dst[pos] = '\0';
    return dst;
}

/* A sentence under construction; what does not fit is cut with "..." and never in a character. */
struct sentence {
    size_t len;
    int cut;
    char text[sizeof(((struct ccs_error *)0)->text)];
};

static void CCS_PRINTF(2, 0) sentence_vadd(struct sentence *s, const char *fmt, va_list ap)
{
    size_t room = sizeof(s->text) - s->len;
    int n;

    if (s->cut)
        return;
    n = vsnprintf(s->text + s->len, room, fmt, ap);
    if (n < 0) {
        s->text[s->len] = '\0';
    } else if ((size_t)n < room) {
        s->len += (size_t)n;
    } else {
        size_t end = sizeof(s->text) - 4;

        while (end > 0 && ((uint8_t)s->text[end] & 0xc0) == 0x80)
            end--;
        memcpy(s->text + end, "...", 4);
        s->len = end + 3;
        s->cut = 1;
    }
}

static void CCS_PRINTF(2, 3) sentence_add(struct sentence *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sentence_vadd(s, fmt, ap);
    va_end(ap);
}

/* The text was built aside, because an argument may have been err's own old text. */
static void fill(struct ccs_error *err, int code, int errnum, const struct sentence *s)
{
    err->code = code;
    err->sys_errno = errnum;
    memcpy(err->text, s->text, s->len + 1);
}

int ccs_error_set(struct ccs_error *err, int code, const char *fmt, ...)
{
    struct sentence s = {.len = 0};
    va_list ap;

    if (!err)
        return code;
    va_start(ap, fmt);
    sentence_vadd(&s, fmt, ap);
    va_end(ap);
    fill(err, code, 0, &s);
    return code;
}

int ccs_error_sys(struct ccs_error *err, int code, int errnum, const char *fmt, ...)
{
    struct sentence s = {.len = 0};
    char buf[128];
    va_list ap;

    if (!err)
        return code;
    va_start(ap, fmt);
    sentence_vadd(&s, fmt, ap);
    va_end(ap);
    sentence_add(&s, ": %s", strerror_r(errnum, buf, sizeof(buf)));
    fill(err, code, errnum, &s);
    return code;
}

/*
 * How much an entry tells. Entries come deepest first; those above only repeat that something
 * below them failed.
 */
static int ssl_weight(unsigned long e, const char *data)
{
    int reason = ERR_GET_REASON(e);

    if (ERR_GET_LIB(e) == ERR_LIB_EVP &&
        (reason == ERR_R_UNSUPPORTED || reason == EVP_R_UNSUPPORTED_ALGORITHM))
        return data && *data ? 5 : 4;
    if (ERR_SYSTEM_ERROR(e) || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
        return 4;
    if (!ERR_reason_error_string(e))
        return 1;
    /* The reasons that all libraries share: "ASN1 lib", "nested asn1 error", "internal error". */
    if ((ERR_GET_RFLAGS(e) & ERR_RFLAG_COMMON) != 0 || reason < 100)
        return 2;
    return 3;
}

int ccs_error_queue_says_no_memory(void)
{
    unsigned long code;
    int found = 0;

    while ((code = ERR_get_error()) != 0)
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            found = 1;
    return found;
}

int ccs_error_ssl(struct ccs_error *err, int code, const char *fmt, ...)
{
    struct sentence s = {.len = 0};
    char reason[160] = "", data[200] = "";
    const char *entry_data;
    unsigned long e;
    int flags, best = 0;
    va_list ap;

    if (!err) {
        ERR_clear_error();
        return code;
    }
    va_start(ap, fmt);
    sentence_vadd(&s, fmt, ap);
    va_end(ap);

    /* The texts of an entry die with the next call, so the best so far is copied. */
    while ((e = ERR_get_error_all(NULL, NULL, NULL, &entry_data, &flags)) != 0) {
        const char *text = (flags & ERR_TXT_STRING) != 0 ? entry_data : NULL;
        int weight = ssl_weight(e, text);
        const char *r;

        if (weight <= best)
            continue;
        best = weight;
        data[0] = '\0';
        if (text)
            (void)ccs_printable(data, sizeof(data), text, strlen(text));
        if (ERR_SYSTEM_ERROR(e)) {
            char buf[128];

            (void)snprintf(reason, sizeof(reason), "%s",
                           strerror_r(ERR_GET_REASON(e), buf, sizeof(buf)));
        } else if ((r = ERR_reason_error_string(e)) != NULL) {
            (void)snprintf(reason, sizeof(reason), "%s", r);
        } else {
            (void)snprintf(reason, sizeof(reason), "OpenSSL error %08lX", e);
        }
    }
    ERR_clear_error();

    sentence_add(&s, ": %s", best ? reason : "OpenSSL gives no reason");
    if (data[0])
        sentence_add(&s, " (%s)", data);
    fill(err, code, 0, &s);
    return code;
}
