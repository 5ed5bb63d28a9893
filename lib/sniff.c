/* SPDX-License-Identifier: Apache-2.0 */
#include "sniff.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "tlv.h"

#define TEXT_WINDOW 4096 /* octets looked at to tell text from binary */
#define ZERO_TAIL   8    /* more zero octets than an honest file ends in */

struct magic {
    const char *octets;
    size_t len;
    const char *what;
};

static const struct magic magics[] = {
    {"\xfe\xed\xfe\xed", 4,
     "the file is a Java keystore (JKS), not PKCS#12; convert it with keytool -importkeystore "
     "-deststoretype pkcs12"},
    {"\xce\xce\xce\xce", 4,
     "the file is a Java keystore (JCEKS), not PKCS#12; convert it with keytool -importkeystore "
     "-deststoretype pkcs12"},
    {"PK\x03\x04", 4,
     "the file is a ZIP archive, not PKCS#12; store the PFX file that is inside it"},
    {"PK\x05\x06", 4, "the file is an empty ZIP archive, not PKCS#12; store the PFX file itself"},
    {"\x1f\x8b", 2,
     "the file is compressed with gzip, not PKCS#12; store the PFX file that is inside it"},
    {"\xff\xfe", 2,
     "the file is text in UTF-16, not PKCS#12; export the certificate as a binary PFX file"},
    {"\xfe\xff", 2,
     "the file is text in UTF-16, not PKCS#12; export the certificate as a binary PFX file"},
    {"%PDF", 4, "the file is a PDF document, not PKCS#12; export the certificate as a PFX file"},
    {"\x7f"
     "ELF",
     4, "the file is a program, not PKCS#12; export the certificate as a PFX file"},
};

static int has(const char *text, size_t len, const char *needle)
{
    return memmem(text, len, needle, strlen(needle)) != NULL;
}

/* No control octets, and few beyond ASCII. */
static int is_text(const uint8_t *data, size_t len)
{
    size_t i, high = 0;

    for (i = 0; i < len && i < TEXT_WINDOW; i++) {
        if (data[i] < 0x20 ? !isspace(data[i]) : data[i] == 0x7f)
            return 0;
        high += data[i] >> 7;
    }
    return high <= i / 4;
}

static int is_base64(const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < len && i < TEXT_WINDOW; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("+/=\r\n", text[i]))
            return 0;
    return len >= 16;
}

static int sniff_text(const char *text, size_t len, struct ccs_error *err)
{
    size_t head = len < TEXT_WINDOW ? len : TEXT_WINDOW;

    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    head = len < head ? len : head;
    if (has(text, head, "-----BEGIN PKCS12"))
        return ccs_error_set(
            err, CCS_EFORMAT,
            "the file is PKCS#12 wrapped in PEM text; store it in binary form: decode the "
            "base64 lines between BEGIN and END");
    if (has(text, head, "-----BEGIN "))
        return ccs_error_set(
            err, CCS_EFORMAT,
            "the file is PEM text, not PKCS#12; convert it with openssl pkcs12 -export");
    if (len > 0 && *text == '<')
        return ccs_error_set(
            err, CCS_EFORMAT,
            "the file is %s, not PKCS#12; it may be an error page saved under this name",
            head >= 5 && strncasecmp(text, "<?xml", 5) == 0 ? "XML" : "HTML");
    if (is_base64(text, len))
        return ccs_error_set(
            err, CCS_EFORMAT,
            "the file is base64 text, not binary PKCS#12; decode it with base64 -d");
    return ccs_error_set(
        err, CCS_EFORMAT,
        "the file is plain text, not PKCS#12; export the certificate as a PFX file");
}

int ccs_sniff(const uint8_t *data, size_t len, struct ccs_error *err)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    size_t i;

    if (len == 0)
        return ccs_error_set(
            err, CCS_EINCOMPLETE,
            "the file is empty; it may still be being written, else write it again");
    for (i = 0; i < CCS_ARRAY_LEN(magics); i++)
        if (len >= magics[i].len && memcmp(data, magics[i].octets, magics[i].len) == 0)
            return ccs_error_set(err, CCS_EFORMAT, "%s", magics[i].what);
    if (len >= sizeof(bom) && memcmp(data, bom, sizeof(bom)) == 0)
        return sniff_text((const char *)data + sizeof(bom), len - sizeof(bom), err);
    /* '0' is the tag of a SEQUENCE too, but no PFX is without control octets for long. */
    if (is_text(data, len) && (data[0] != 0x30 || len >= 16))
        return sniff_text((const char *)data, len, err);
    if (ccs_sniff_zeros(data, len) == len)
        return ccs_sniff_damaged(data, len, "the file holds zero octets only", err);
    if (data[0] != 0x30)
        return ccs_error_set(
            err, CCS_EFORMAT,
            "the file is not PKCS#12 and of no known kind; export the certificate with its "
            "key as a PFX file");
    return CCS_OK;
}

/* The element after the header of the one at *p, which it moves to; 0 if there is none. */
static int step_into(const uint8_t **p, size_t *len, struct ccs_tlv *tlv)
{
    if (ccs_tlv_header(*p, *len, tlv) != CCS_TLV_WHOLE)
        return 0;
    *p += tlv->header;
    *len -= tlv->header;
    return ccs_tlv_header(*p, *len, tlv) == CCS_TLV_WHOLE;
}

static int step_over(const uint8_t **p, size_t *len, struct ccs_tlv *tlv)
{
    struct ccs_tlv_extent extent = ccs_tlv_scan(*p, *len);

    if (extent.state != CCS_TLV_TRAILING)
        return 0;
    *p += extent.size;
    *len -= (size_t)extent.size;
    return ccs_tlv_header(*p, *len, tlv) == CCS_TLV_WHOLE;
}

#define TAG_INTEGER  2
#define TAG_OCTETS   4
#define TAG_OID      6
#define TAG_SEQUENCE 16

static const char *sniff_sequence(const uint8_t *p, size_t len)
{
    static const char certificate[] =
        "the file is a bare certificate, not PKCS#12; export it together with its key";
    static const char request[] = "the file is a certificate request, not PKCS#12; export the "
                                  "issued certificate with its key";
    static const char encrypted[] =
        "the file is a bare encrypted key, not PKCS#12; export it together with "
        "its certificate";
    const uint8_t *inner = p;
    size_t inner_len = len;
    struct ccs_tlv tlv;

    /* Inside SEQUENCE { SEQUENCE { … : a certificate, a request or an encrypted key. */
    if (!step_into(&inner, &inner_len, &tlv))
        return NULL;
    if (tlv.class == 2 && tlv.tag == 0)
        return certificate;
    if (tlv.class != 0)
        return NULL;
    if (tlv.tag == TAG_OID)
        return step_over(&p, &len, &tlv) && tlv.tag == TAG_OCTETS ? encrypted : NULL;
    if (tlv.tag != TAG_INTEGER || !step_over(&inner, &inner_len, &tlv))
        return NULL;
    /* A version 1 certificate has no version: its number is followed by AlgorithmIdentifier, Name.
     */
    if (!step_over(&inner, &inner_len, &tlv) || tlv.class != 0)
        return NULL;
    if (!step_over(&inner, &inner_len, &tlv))
        return NULL;
    return tlv.class == 2 ? request : certificate;
}

static const char *sniff_integer(const uint8_t *p, size_t len)
{
    static const char key[] =
        "the file is a bare key, not PKCS#12; export it together with its certificate";
    const uint8_t *inner;
    size_t inner_len;
    struct ccs_tlv tlv;

    if (!step_over(&p, &len, &tlv) || tlv.class != 0)
        return NULL;
    if (tlv.tag == TAG_INTEGER || tlv.tag == TAG_OCTETS)
        return key;
    if (tlv.tag != TAG_SEQUENCE)
        return NULL;
    /* A PFX goes on with ContentInfo, PKCS#8 with AlgorithmIdentifier: what follows tells. */
    inner = p;
    inner_len = len;
    if (!step_into(&inner, &inner_len, &tlv) || tlv.tag != TAG_OID)
        return NULL;
    return step_over(&p, &len, &tlv) && tlv.class == 0 && tlv.tag == TAG_OCTETS ? key : NULL;
}

int ccs_sniff_der(const uint8_t *data, size_t len, struct ccs_error *err)
{
    const uint8_t *p = data;
    size_t rest = len;
    const char *what = NULL;
    struct ccs_tlv tlv;

    if (step_into(&p, &rest, &tlv) && tlv.class == 0) {
        if (tlv.tag == TAG_SEQUENCE)
            what = sniff_sequence(p, rest);
        else if (tlv.tag == TAG_INTEGER)
            what = sniff_integer(p, rest);
        else if (tlv.tag == TAG_OID)
            what = "the file is a PKCS#7 or CMS file (p7b), which has no key; export a PFX file "
                   "instead";
    }
    if (what)
        return ccs_error_set(err, CCS_EFORMAT, "%s", what);
    return ccs_sniff_damaged(data, len,
                             "the file does not decode as PKCS#12; it is damaged: export "
                             "it again",
                             err);
}

size_t ccs_sniff_zeros(const uint8_t *data, size_t len)
{
    size_t n = 0;

    while (n < len && data[len - 1 - n] == 0)
        n++;
    return n;
}

int ccs_sniff_damaged(const uint8_t *data, size_t len, const char *sentence, struct ccs_error *err)
{
    size_t zeros = ccs_sniff_zeros(data, len);

    if (zeros < ZERO_TAIL && zeros < len)
        return ccs_error_set(err, CCS_EDAMAGED, "%s", sentence);
    return ccs_error_set(
        err, CCS_EDAMAGED,
        "the file ends in %zu zero bytes where its contents should be: writing it was not "
        "finished; copy it again",
        zeros);
}
