/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_SMBD_H
#define CCS_TEST_SMBD_H

/*
 * A real smbd on a port of 127.0.0.1, with all it needs in a folder of its own; works as root and
 * as any user that has a name. Whatever becomes of the test, a keeper process ends it. What cannot
 * be done fails the running test; ccs_smbd_stop() belongs into its teardown.
 */

#include <stddef.h>
#include <sys/types.h>

enum ccs_smbd_encryption { CCS_SMBD_REQUIRED, CCS_SMBD_OFFERED, CCS_SMBD_OFF };

struct ccs_smbd_spec {
    const char *folder; /* that the share "certs" shows; NULL: an empty one of its own */
    enum ccs_smbd_encryption encryption;
    const char *min_protocol; /* NULL: SMB3 */
    const char *max_protocol; /* NULL: the newest */
    int trace;                /* write a log that ccs_smbd_listings() can count in */
};

struct ccs_smbd {
    pid_t keeper; /* 0: not running */
    pid_t pid;    /* of the parent; its process group holds the rest */
    int port;
    char dir[100]; /* short, because sockets are in it */
    char folder[300];
    char user[32]; /* as clients call it */
    char password[40];
    int removed; /* the share is */
    struct ccs_smbd_spec spec;
};

/*
 * Starts it and waits until it accepts connections. Shares: "certs"; "denied", the same folder that
 * the user may not connect to.
 */
void ccs_smbd_start(struct ccs_smbd *smbd, const struct ccs_smbd_spec *spec);

/* SIGKILL for all of it, or an orderly start with all as it was. */
void ccs_smbd_kill(struct ccs_smbd *smbd);
void ccs_smbd_revive(struct ccs_smbd *smbd);

/* SIGSTOP and SIGCONT for all of it: connections stand and nobody answers. */
void ccs_smbd_freeze(const struct ccs_smbd *smbd);
void ccs_smbd_thaw(const struct ccs_smbd *smbd);

/* Sessions that there are now, and their end by SIGKILL; it goes on serving new ones. */
size_t ccs_smbd_sessions(const struct ccs_smbd *smbd);
void ccs_smbd_drop(const struct ccs_smbd *smbd);

/* Another password for the user from now on; ends the sessions. */
void ccs_smbd_set_password(struct ccs_smbd *smbd, const char *password);

/* Takes the share "certs" away from everyone, and gives it back. */
void ccs_smbd_remove_share(struct ccs_smbd *smbd);
void ccs_smbd_restore_share(struct ccs_smbd *smbd);

/* How often somebody logged on so far, or failed to. */
size_t ccs_smbd_logons(const struct ccs_smbd *smbd);
size_t ccs_smbd_refusals(const struct ccs_smbd *smbd);

/* How often a folder was read to its end so far; for spec.trace. */
size_t ccs_smbd_listings(const struct ccs_smbd *smbd);

/* Writes "//127.0.0.1:<port>/<share>"; returns out. */
char *ccs_smbd_unc(const struct ccs_smbd *smbd, const char *share, char *out, size_t size);

/* Writes user and password as a credentials file with mode 0600; password NULL: the right one. */
void ccs_smbd_credentials(const struct ccs_smbd *smbd, const char *dir, const char *name,
                          const char *password);

/* Ends it and removes its folder. Safe to call twice or on a zeroed one. */
void ccs_smbd_stop(struct ccs_smbd *smbd);

#endif
