/* SPDX-License-Identifier: Apache-2.0 */
/* libsmbclient's context, made so that nothing of this machine's Samba configuration matters. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "error.h"
#include "smb_inside.h"

/*
 * Nothing can be made below /dev/null, so nothing is kept on disk; with a cache file the library
 * would also fork a process. The log level is the one at which it says why a logon was refused. The
 * watcher's connection is idle for hours, so that only TCP can tell when its server is gone.
 */
static const char smb_settings[] =
    "[global]\n"
    "  name resolve order = host\n"
    "  disable netbios = yes\n"
    "  lock directory = /dev/null/none\n"
    "  state directory = /dev/null/none\n"
    "  cache directory = /dev/null/none\n"
    "  private dir = /dev/null/none\n"
    "  unix charset = UTF-8\n"
    "  client min protocol = SMB3\n"
    "  client max protocol = SMB3_11\n"
    "  client smb encrypt = required\n"
    "  client ipc min protocol = SMB3\n"
    "  socket options = TCP_NODELAY SO_KEEPALIVE TCP_KEEPIDLE=10 TCP_KEEPINTVL=5 TCP_KEEPCNT=3\n";

/* Writes the settings to memory, and the name by which they can be opened to path. */
static int settings_file(char *path, size_t size)
{
    const int fd = memfd_create("smb.conf", MFD_CLOEXEC);

    if (fd < 0)
        return -1;
    if (write(fd, smb_settings, sizeof(smb_settings) - 1) != (ssize_t)sizeof(smb_settings) - 1) {
        close(fd);
        return -1;
    }
    snprintf(path, size, "/proc/self/fd/%d", fd);
    return fd;
}

static void smb_copy(char *out, int size, const char *text)
{
    if (size > 0)
        snprintf(out, (size_t)size, "%s", text);
}

/* The library asks at every operation. */
static void smb_login(SMBCCTX *ctx, const char *server, const char *share, char *domain,
                      int domain_size, char *user, int user_size, char *password, int password_size)
{
    const struct smb *smb = smbc_getOptionUserData(ctx);

    (void)server;
    (void)share;
    if (smb->config.domain[0] != '\0')
        smb_copy(domain, domain_size, smb->config.domain);
    smb_copy(user, user_size, smb->config.user);
    smb_copy(password, password_size, smb->config.password);
}

static void smb_options(struct smb *smb)
{
    SMBCCTX *ctx = smb->ctx;

    smbc_setDebug(ctx, 3);
    smbc_setOptionUserData(ctx, smb);
    smbc_setFunctionAuthDataWithContext(ctx, smb_login);
    smbc_setTimeout(ctx, (int)smb->config.timeout_ms);
    smbc_setOptionNoAutoAnonymousLogin(ctx, 1);
    smbc_setOptionUseKerberos(ctx, 0);
    smbc_setOptionFallbackAfterKerberos(ctx, 0);
    smbc_setOptionUseCCache(ctx, 0);
    smbc_setOptionSmbEncryptionLevel(ctx, SMBC_ENCRYPTLEVEL_REQUIRE);
}

int smb_context_new(struct smb *smb, struct ccs_error *err)
{
    char path[64];
    const int fd = settings_file(path, sizeof(path));
    int rv = CCS_OK;

    if (fd < 0)
        return ccs_error_sys(err, CCS_ENOMEM, errno, "no memory for the settings of libsmbclient");
    /* Where the first context would look otherwise are files of the system's and of users'. */
    setenv("SMB_CONF_PATH", path, 1);
    smbc_setLogCallback(NULL, NULL, agent_capture_log);
    smb->ctx = smbc_new_context();
    if (smb->ctx == NULL) {
        rv = ccs_error_sys(err, CCS_ENOMEM, errno, "libsmbclient cannot be set up");
        goto out;
    }
    smb_options(smb);
    if (smbc_init_context(smb->ctx) == NULL || smbc_setConfiguration(smb->ctx, path) != 0 ||
        !smbc_setOptionProtocols(smb->ctx, "SMB3", "SMB3_11")) {
        rv = ccs_error_sys(err, CCS_EUNAVAIL, errno, "libsmbclient does not take its settings");
        smbc_free_context(smb->ctx, 1);
        smb->ctx = NULL;
    }
out:
    close(fd);
    return rv;
}
