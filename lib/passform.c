/* SPDX-License-Identifier: Apache-2.0 */
#include "passform.h"

#include <string.h>

/* Length of the UTF-8 character at p and its code point, 0 if p holds none. */
static size_t read_char(const uint8_t *p, size_t len, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t c;
    size_t i;

    if (n == 0 || n > len)
        return 0;
    c = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *out = c;
    return n;
}

enum kind { ASCII, LATIN, WIDE, NOT_UTF8 };

static enum kind classify(const uint8_t *p, size_t len)
{
    enum kind kind = ASCII;
    uint32_t c;
    size_t n;

    for (; len > 0; p += n, len -= n) {
        n = read_char(p, len, &c);
        if (n == 0)
            return NOT_UTF8;
        if (c > 0xff)
            kind = WIDE;
        else if (c > 0x7f && kind == ASCII)
            kind = LATIN;
    }
    return kind;
}

static int put_latin1(struct ccs_secret *out, const uint8_t *p, size_t len)
{
    uint32_t c = 0;
    size_t n;
    int rv = ccs_secret_reserve(out, len);

    for (; rv == CCS_OK && len > 0; p += n, len -= n) {
        uint8_t octet;

        n = read_char(p, len, &c);
        octet = (uint8_t)c;
        rv = ccs_secret_append(out, &octet, 1);
    }
    return rv;
}

static int put_utf8(struct ccs_secret *out, const uint8_t *p, size_t len)
{
    int rv = ccs_secret_reserve(out, 2 * len);
    size_t i;

    for (i = 0; rv == CCS_OK && i < len; i++) {
        uint8_t two[2] = {(uint8_t)(0xc0u | p[i] >> 6), (uint8_t)(0x80u | (p[i] & 0x3fu))};

        rv = p[i] < 0x80 ? ccs_secret_append(out, p + i, 1) : ccs_secret_append(out, two, 2);
    }
    return rv;
}

static struct ccs_octets octets_of(const struct ccs_secret *s)
{
    return (struct ccs_octets){(const char *)s->data, (int)s->len};
}

static void init_empty(struct ccs_passforms *forms)
{
    size_t i;

    forms->count = 2;
    for (i = 0; i < 2; i++) {
        forms->form[i].raw_count = 1;
        forms->form[i].raw[0].data = "";
    }
    forms->form[1].pkcs12.data = "";
}

static int init_text(struct ccs_passforms *forms, struct ccs_octets password)
{
    const uint8_t *p = (const uint8_t *)password.data;
    size_t len = (size_t)password.len;
    enum kind kind = classify(p, len);
    int rv = CCS_OK;

    forms->count = 1;
    forms->form[0].pkcs12 = password;
    forms->form[0].raw[0] = password;
    forms->form[0].raw_count = 1;
    if (kind == LATIN)
        rv = put_latin1(&forms->other, p, len);
    else if (kind == NOT_UTF8)
        rv = put_utf8(&forms->other, p, len); /* OpenSSL's PKCS#12 KDF does the same by itself */
    if (rv == CCS_OK && forms->other.len > 0)
        forms->form[0].raw[forms->form[0].raw_count++] = octets_of(&forms->other);
    if (rv == CCS_OK && (kind == LATIN || kind == WIDE)) {
        rv = put_utf8(&forms->widened, p, len);
        forms->form[1] = forms->form[0];
        forms->form[1].pkcs12 = octets_of(&forms->widened);
        forms->count = 2;
    }
    return rv;
}

int ccs_passforms_init(struct ccs_passforms *forms, const char *password, size_t len)
{
    int rv;

    if (len > CCS_PASSWORD_LEN_MAX)
        return CCS_EINVAL;
    memset(forms, 0, sizeof(*forms));
    if (len == 0) {
        init_empty(forms);
        return CCS_OK;
    }
    rv = init_text(forms, (struct ccs_octets){password, (int)len});
    if (rv != CCS_OK)
        ccs_passforms_clear(forms);
    return rv;
}

void ccs_passforms_clear(struct ccs_passforms *forms)
{
    ccs_secret_free(&forms->other);
    ccs_secret_free(&forms->widened);
    memset(forms, 0, sizeof(*forms));
}
