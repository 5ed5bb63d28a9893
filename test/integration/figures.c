/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wait.h"

static const char request[] = "GET /status HTTP/1.0\r\n\r\n";

struct question {
    const struct ccs_farm *farm;
    char *out;
    const char *state;
};

/* The answer up to its end, or nothing. */
static size_t converse(int fd, char *out)
{
    size_t len = 0;
    ssize_t n;

    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        return 0;
    while (len < CCS_FIGURES_SIZE - 1) {
        n = recv(fd, out + len, CCS_FIGURES_SIZE - 1 - len, 0);
        if (n <= 0)
            return n == 0 ? len : 0;
        len += (size_t)n;
    }
    return 0;
}

static int read_once(void *arg)
{
    const struct question *q = arg;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)q->farm->nginx.port[1]),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;

    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        len = converse(fd, q->out);
    close(fd);
    q->out[len] = '\0';
    return strstr(q->out, " 200 ") != NULL && strstr(q->out, "}]") != NULL;
}

char *ccs_figures_read(const struct ccs_farm *farm, char out[CCS_FIGURES_SIZE])
{
    struct question q = {.farm = farm, .out = out};

    if (!ccs_wait_until(read_once, &q, 0))
        fail_msg("no state of the store: %s", out);
    return out;
}

unsigned long ccs_figures_number(const char *text, const char *object, const char *name)
{
    char key[64];
    const char *at, *end;

    snprintf(key, sizeof(key), "\"%s\":{", object);
    at = strstr(text, key);
    end = at != NULL ? strchr(at, '}') : NULL;
    snprintf(key, sizeof(key), "\"%s\":", name);
    at = at != NULL ? strstr(at, key) : NULL;
    if (at == NULL || end == NULL || at > end)
        fail_msg("no %s.%s in %s", object, name, text);
    return strtoul(at + strlen(key), NULL, 10);
}

unsigned long ccs_figures_get(const struct ccs_farm *farm, const char *object, const char *name)
{
    char text[CCS_FIGURES_SIZE];

    return ccs_figures_number(ccs_figures_read(farm, text), object, name);
}

static int is_so(void *arg)
{
    struct question *q = arg;
    char key[64];

    snprintf(key, sizeof(key), "\"index\":{\"state\":\"%s\"", q->state);
    return strstr(ccs_figures_read(q->farm, q->out), key) != NULL;
}

void ccs_figures_wait_index(const struct ccs_farm *farm, const char *state)
{
    char text[CCS_FIGURES_SIZE];
    struct question q = {.farm = farm, .out = text, .state = state};

    if (!ccs_wait_until(is_so, &q, 0))
        fail_msg("the index is not %s: %s", state, text);
}
