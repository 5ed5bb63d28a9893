/* SPDX-License-Identifier: Apache-2.0 */
#include "unlock.h"

#include <inttypes.h>
#include <string.h>

#include "companion.h"
#include "error.h"
#include "tlv.h"

/* One thing that a password can be tried on. */
struct lock {
    bool pkcs12;
    uint64_t rounds;
    int (*open)(void *arg, struct ccs_octets password);
    void *arg;
};

void ccs_unlock_init(struct ccs_unlock *unlock, const struct ccs_pfx_params *params)
{
    memset(unlock, 0, sizeof(*unlock));
    unlock->passwords = params->passwords;
    unlock->limit = params->kdf_limit;
    unlock->hint = params->password;
    unlock->password = CCS_PASSWORD_UNKNOWN;
}

int ccs_unlock_declare(struct ccs_unlock *unlock, uint64_t rounds, struct ccs_error *err)
{
    uint64_t most = unlock->limit + unlock->limit + unlock->limit / 2;

    unlock->declared += rounds;
    if (unlock->declared <= most)
        return CCS_OK;
    return ccs_error_set(err, CCS_EROUNDS,
                         "the file asks for %" PRIu64 " rounds of key derivation in sum where "
                         "kdf_limit allows %" PRIu64 "; export it again with fewer",
                         unlock->declared, most);
}

static size_t candidates(const struct ccs_unlock *unlock)
{
    return ccs_passwords_count(unlock->passwords) + 1;
}

/* The candidate at a place: the hint, then the passwords in their order, the empty one at the end.
 */
static int candidate(const struct ccs_unlock *unlock, size_t place)
{
    size_t count = ccs_passwords_count(unlock->passwords), hint;

    if (unlock->hint == CCS_PASSWORD_EMPTY)
        hint = count;
    else
        hint = unlock->hint >= 0 && (size_t)unlock->hint < count ? (size_t)unlock->hint : SIZE_MAX;
    if (hint != SIZE_MAX) {
        if (place == 0)
            place = hint;
        else if (place <= hint)
            place--;
    }
    return place < count ? (int)place : CCS_PASSWORD_EMPTY;
}

static int spend(struct ccs_unlock *unlock, const struct lock *lock, int password,
                 struct ccs_error *err)
{
    if (password == unlock->password)
        return CCS_OK;
    if (unlock->searched + lock->rounds > CCS_UNLOCK_SEARCH_FACTOR * unlock->limit)
        return ccs_error_set(
            err, CCS_EROUNDS,
            "no password was found within the work that kdf_limit allows: each try "
            "costs %" PRIu64 " rounds and %zu passwords are to be tried; move this "
            "file's password to the top of the password file",
            lock->rounds, candidates(unlock));
    unlock->searched += lock->rounds;
    return CCS_OK;
}

struct attempt {
    const struct lock *lock;
    struct ccs_octets password;
};

/* Nearly all of the work that reading a file is. */
static int attempt_open(void *arg)
{
    const struct attempt *attempt = arg;

    return attempt->lock->open(attempt->lock->arg, attempt->password);
}

static int try_forms(struct ccs_unlock *unlock, const struct lock *lock,
                     const struct ccs_passforms *forms, int password, size_t *form,
                     struct ccs_error *err)
{
    size_t first = password == unlock->password ? unlock->form : 0;
    size_t count = lock->pkcs12 ? forms->count : forms->form[0].raw_count;
    struct attempt attempt = {.lock = lock};
    size_t i;
    int rv = CCS_EPASSWORD;

    for (i = 0; rv == CCS_EPASSWORD && i < count; i++) {
        size_t which = lock->pkcs12 ? (first + i) % count : i;

        rv = spend(unlock, lock, password, err);
        attempt.password = lock->pkcs12 ? forms->form[which].pkcs12 : forms->form[0].raw[which];
        if (rv == CCS_OK)
            rv = ccs_companion_call(attempt_open, &attempt);
        ccs_companion_yield();
        if (rv == CCS_OK && lock->pkcs12)
            *form = which;
    }
    return rv;
}

static int try_password(struct ccs_unlock *unlock, const struct lock *lock, int password,
                        struct ccs_error *err)
{
    struct ccs_passforms forms;
    const char *text = "";
    size_t len = 0, form = 0;
    int rv;

    if (password >= 0)
        text = ccs_passwords_get(unlock->passwords, (size_t)password, &len);
    rv = ccs_passforms_init(&forms, text, len);
    if (rv != CCS_OK)
        return ccs_error_set(err, rv, "no memory to try a password");
    rv = try_forms(unlock, lock, &forms, password, &form, err);
    ccs_passforms_clear(&forms);
    if (rv == CCS_OK && unlock->password == CCS_PASSWORD_UNKNOWN) {
        unlock->password = password;
        unlock->form = form;
    }
    return rv;
}

static int search(struct ccs_unlock *unlock, const struct lock *lock, struct ccs_error *err)
{
    int known = unlock->password, rv = CCS_EPASSWORD;
    size_t i;

    if (known != CCS_PASSWORD_UNKNOWN)
        rv = try_password(unlock, lock, known, err);
    for (i = 0; rv == CCS_EPASSWORD && i < candidates(unlock); i++)
        if (candidate(unlock, i) != known)
            rv = try_password(unlock, lock, candidate(unlock, i), err);
    return rv;
}

struct mac_arg {
    const struct ccs_mac *mac;
    const ASN1_OCTET_STRING *data;
};

static int open_mac(void *arg, struct ccs_octets password)
{
    const struct mac_arg *a = arg;

    return ccs_mac_check(a->mac, password, a->data);
}

int ccs_unlock_mac(struct ccs_unlock *unlock, const struct ccs_mac *mac,
                   const ASN1_OCTET_STRING *data, struct ccs_error *err)
{
    struct mac_arg arg = {mac, data};
    struct lock lock = {mac->pkcs12, mac->rounds, open_mac, &arg};
    int rv = search(unlock, &lock, err);

    if (rv == CCS_ESSL)
        return ccs_error_set(err, CCS_EUNSUPPORTED,
                             "the file's MAC cannot be computed with this OpenSSL; export the file "
                             "again with SHA-256");
    return rv;
}

struct pbe_arg {
    const X509_ALGOR *algorithm;
    const ASN1_OCTET_STRING *in;
    struct ccs_plain plain;
};

static bool is_there(const uint8_t *p, size_t len)
{
    const struct ccs_tlv_extent extent = ccs_tlv_scan(p, len);

    return extent.state == CCS_TLV_WHOLE || extent.state == CCS_TLV_TRAILING;
}

/*
 * Padding alone fits one wrong password in 256, and a SEQUENCE inside it one in 100,000. So what it
 * holds counts too: nothing, the first bag, or the version of a key.
 */
static bool is_sequence(const uint8_t *p, size_t len)
{
    struct ccs_tlv outer;
    size_t room;

    if (len == 0 || p[0] != 0x30 || !is_there(p, len) ||
        ccs_tlv_header(p, len, &outer) != CCS_TLV_WHOLE)
        return false;
    room = outer.open ? len - outer.header : (size_t)outer.length;
    p += outer.header;
    if (room == 0 || (outer.open && p[0] == 0))
        return true;
    return (p[0] == 0x30 || p[0] == 0x02) && is_there(p, room);
}

static int open_pbe(void *arg, struct ccs_octets password)
{
    struct pbe_arg *a = arg;
    int rv = ccs_pbe_decrypt(a->algorithm, password, a->in, &a->plain);

    if (rv != CCS_OK)
        return rv;
    if (is_sequence(a->plain.data, a->plain.len))
        return CCS_OK;
    ccs_pbe_clear(&a->plain);
    return CCS_EPASSWORD;
}

int ccs_unlock_decrypt(struct ccs_unlock *unlock, const X509_ALGOR *algorithm,
                       const struct ccs_pbe *pbe, const ASN1_OCTET_STRING *in,
                       struct ccs_plain *out, struct ccs_error *err)
{
    struct pbe_arg arg = {algorithm, in, {NULL, 0}};
    struct lock lock = {pbe->pkcs12, pbe->rounds, open_pbe, &arg};
    int rv = search(unlock, &lock, err);

    if (rv == CCS_OK)
        *out = arg.plain;
    return rv;
}
