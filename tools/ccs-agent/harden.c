/* SPDX-License-Identifier: Apache-2.0 */
#include "harden.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#define DESCRIPTORS 4096
#define MEMORY      (4ull << 30) /* a listing of some millions of names */
#define SHOWN       80

static int limit_to(int resource, rlim_t value)
{
    struct rlimit limit;

    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return -1;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value)
        value = limit.rlim_max;
    limit.rlim_cur = value;
    limit.rlim_max = value;
    return setrlimit((__rlimit_resource_t)resource, &limit);
}

int agent_harden_secrets(struct ccs_error *err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && limit_to(RLIMIT_CORE, 0) == 0)
        return CCS_OK;
    return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot switch off core dumps");
}

int agent_harden_process(struct ccs_error *err)
{
    if (limit_to(RLIMIT_NOFILE, DESCRIPTORS) != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot limit itself");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (limit_to(RLIMIT_AS, MEMORY) != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot limit its memory");
#endif
    if (clearenv() != 0 || setenv("PATH", "/usr/bin:/bin", 1) != 0 ||
        setenv("LC_ALL", "C.UTF-8", 1) != 0)
        return ccs_error_set(err, CCS_ENOMEM, "no memory for the environment of ccs-agent");
    umask(077);
    if (chdir("/") != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot change to /");
    return CCS_OK;
}

static int become(const struct passwd *pw, struct ccs_error *err)
{
    if (geteuid() == pw->pw_uid && getuid() == pw->pw_uid)
        return CCS_OK;
    if (initgroups(pw->pw_name, pw->pw_gid) != 0 ||
        setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0) {
        return ccs_error_sys(err, CCS_EACCESS, errno,
                             "ccs-agent, which runs as user id %u, cannot become user %s",
                             (unsigned)getuid(), pw->pw_name);
    }
    if (pw->pw_uid != 0 && (setuid(0) == 0 || (pw->pw_gid != 0 && setgid(0) == 0)))
        return ccs_error_set(err, CCS_EACCESS, "ccs-agent could become root again");
    return CCS_OK;
}

int agent_harden_user(const char *user, struct ccs_error *err)
{
    const struct passwd *pw;
    char shown[SHOWN];
    int rv;

    if (user[0] != '\0') {
        errno = 0;
        pw = getpwnam(user);
        if (pw == NULL) {
            return ccs_error_set(err, CCS_EINVAL,
                                 "there is no user \"%s\" for ccs-agent to run as: create it, or "
                                 "name another one as agent_user",
                                 ccs_printable(shown, sizeof(shown), user, strlen(user)));
        }
        rv = become(pw, err);
        if (rv != CCS_OK)
            return rv;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ccs_error_sys(err, CCS_EUNAVAIL, errno, "ccs-agent cannot give up privileges");
    /* Changing the user made it dumpable again. */
    return agent_harden_secrets(err);
}

void agent_harden_leave_log(void)
{
#ifndef __SANITIZE_ADDRESS__
    (void)dup2(STDIN_FILENO, STDERR_FILENO);
#endif
}
