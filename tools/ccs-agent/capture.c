/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

#define LINES      16
#define NOTABLE    1 /* libsmbclient's levels: 0 is an error, 1 a warning */
#define LOGON_TEXT "SPNEGO login failed: "

static struct {
    int fd; /* what was printed, 0 until started */
    char lines[LINES][AGENT_CAPTURE_LINE];
    unsigned count;
    char reason[AGENT_CAPTURE_LINE];
} capture;

int agent_capture_start(void)
{
    int fds[2];
    int errnum = 0;

    /* A pipe that is full must not hold the library up: what does not fit is lost. */
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return errno;
    if (dup2(fds[1], STDOUT_FILENO) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
        errnum = errno;
    close(fds[1]);
    if (errnum != 0) {
        close(fds[0]);
        return errnum;
    }
    capture.fd = fds[0];
    return 0;
}

static void capture_line(const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    if (len == 0 || capture.count == LINES)
        return;
    ccs_printable(capture.lines[capture.count], AGENT_CAPTURE_LINE, text, len);
    capture.count++;
}

void agent_capture_log(void *arg, int level, const char *text)
{
    const char *reason = strstr(text, LOGON_TEXT);

    (void)arg;
    if (reason != NULL) {
        reason += strlen(LOGON_TEXT);
        ccs_printable(capture.reason, sizeof(capture.reason), reason, strcspn(reason, "\n"));
    }
    /* It is given directories that cannot be made, so that it keeps nothing on disk. */
    if (level <= NOTABLE && strstr(text, "directory_create_or_exist") == NULL &&
        strncmp(text, "Using ", 6) != 0)
        capture_line(text, strlen(text));
}

const char *agent_capture_reason(void)
{
    return capture.reason;
}

void agent_capture_reset(void)
{
    capture.reason[0] = '\0';
}

static void capture_printed(void)
{
    char text[2048];
    const char *line;
    const char *end;
    ssize_t n;

    if (capture.fd == 0)
        return;
    n = read(capture.fd, text, sizeof(text));
    if (n <= 0)
        return;
    for (line = text; line < text + n; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + n - line));
        if (end == NULL)
            end = text + n;
        capture_line(line, (size_t)(end - line));
    }
}

void agent_capture_drain(void (*cb)(const char *line, void *arg), void *arg)
{
    capture_printed();
    for (unsigned i = 0; i < capture.count; i++)
        cb(capture.lines[i], arg);
    capture.count = 0;
}
