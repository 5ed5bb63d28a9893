/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_LOGIN_H
#define CCS_LOGIN_H

/* Who to be on a file server: user, password and domain, from a file as mount.cifs has them. */

#include <ccs/ccs.h>

#include "base.h"

#define CCS_LOGIN_NAME_MAX     256
#define CCS_LOGIN_PASSWORD_MAX 512
#define CCS_LOGIN_DIGEST_SIZE  32

struct ccs_login;

/* What is in it, NUL-terminated, borrowed. domain is empty if there is none. */
struct ccs_login_texts {
    const char *user;
    const char *domain;
    const char *password;
};

/*
 * Reads lines of username=, password= and domain= (or user=, pass=, dom=, in any case). Spaces in
 * front of them, empty lines and lines with # in front are skipped; all behind the sign belongs to
 * the value. A user may bring the domain along, as in DOMAIN\user. *out is new. Errors are those of
 * ccs_passwords_read(), and like those they never tell a value.
 */
int ccs_login_read(const char *path, struct ccs_login **out, struct ccs_error *err);

/* The same from memory that is copied; where names the source for errors. */
int ccs_login_parse(const void *text, size_t len, const char *where, struct ccs_login **out,
                    struct ccs_error *err);

struct ccs_login *ccs_login_ref(struct ccs_login *login); /* NULL allowed */
void ccs_login_unref(struct ccs_login *login);            /* the last one wipes */

/* Forgets user, domain and password, for all who hold it. NULL allowed. */
void ccs_login_wipe(struct ccs_login *login);

/*
 * 1 and the texts; 0 if they were wiped, or this process was forked from the one that read them:
 * they are not inherited.
 */
int ccs_login_get(const struct ccs_login *login, struct ccs_login_texts *out);

/*
 * Tells logins apart, also when they are wiped. It is keyed with what only this process and those
 * forked from it know, so that no password can be tried out with it. Borrowed.
 */
const uint8_t *ccs_login_digest(const struct ccs_login *login);

/* 1 if they are the same, also if both are NULL. */
int ccs_login_equal(const struct ccs_login *a, const struct ccs_login *b);

#endif
