/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "login.h"

#define TEXT_MAX   65536
#define SHOWN      200
#define WAIT_MS    5000
#define REFRESH_MS 60000
#define WAIT_MAX   60

struct parser {
    struct ccs_agent_setup *out;
    const char *path;
    unsigned line;
};

static int config_refuse(const struct parser *p, struct ccs_error *err, const char *what)
{
    char shown[SHOWN];

    return ccs_error_set(err, CCS_EINVAL, "%s, line %u: %s",
                         ccs_printable(shown, sizeof(shown), p->path, strlen(p->path)), p->line,
                         what);
}

/* 1 if it fits. */
static int config_copy(char *out, size_t size, const char *text)
{
    return (size_t)snprintf(out, size, "%s", text) < size;
}

static int config_login(const struct parser *p, struct ccs_agent_store *store, const char *path,
                        struct ccs_error *err)
{
    struct ccs_login_texts texts;
    struct ccs_login *login;
    int rv = ccs_login_read(path, &login, err);

    if (rv != CCS_OK)
        return rv;
    if (!ccs_login_get(login, &texts) ||
        !config_copy(store->user, sizeof(store->user), texts.user) ||
        !config_copy(store->domain, sizeof(store->domain), texts.domain) ||
        !config_copy(store->password, sizeof(store->password), texts.password))
        rv = config_refuse(p, err, "the user or the password in this file is too long");
    ccs_login_unref(login);
    return rv;
}

static int config_level(const char *value, enum ccs_level *out)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (size_t i = 0; i < CCS_ARRAY_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = (enum ccs_level)i;
            return 1;
        }
    }
    return 0;
}

static int config_store(const struct parser *p, const char *value, struct ccs_error *err)
{
    struct ccs_agent_setup *out = p->out;
    struct ccs_agent_store *store;

    if (out->stores == CCS_AGENT_STORES_MAX)
        return config_refuse(p, err, "there are more stores than one agent looks after");
    store = &out->store[out->stores];
    if (!config_copy(store->location, sizeof(store->location), value))
        return config_refuse(p, err, "the location is too long");
    store->wait_ms = WAIT_MS;
    store->refresh_ms = REFRESH_MS;
    out->stores++;
    return CCS_OK;
}

static int config_setting(const struct parser *p, const char *name, const char *value,
                          struct ccs_error *err)
{
    struct ccs_agent_setup *out = p->out;
    struct ccs_agent_store *store = out->stores > 0 ? &out->store[out->stores - 1] : NULL;
    char *end;
    unsigned long seconds;

    if (strcmp(name, "store") == 0)
        return config_store(p, value, err);
    if (strcmp(name, "agent_user") == 0) {
        return config_copy(out->user, sizeof(out->user), value)
                   ? CCS_OK
                   : config_refuse(p, err, "the name of the user is too long");
    }
    if (strcmp(name, "log_level") == 0) {
        return config_level(value, &out->level)
                   ? CCS_OK
                   : config_refuse(p, err, "log_level is error, warn, info or debug");
    }
    if (store == NULL)
        return config_refuse(p, err, "this setting belongs to a store, and follows it");
    if (strcmp(name, "credentials_file") == 0)
        return config_login(p, store, value, err);
    if (strcmp(name, "wait") == 0) {
        seconds = strtoul(value, &end, 10);
        if (seconds < 1 || seconds > WAIT_MAX || (*end != '\0' && strcmp(end, "s") != 0))
            return config_refuse(p, err, "wait is a number of seconds from 1 to 60");
        store->wait_ms = (uint32_t)seconds * 1000;
        return CCS_OK;
    }
    return config_refuse(p, err, "there is no such setting");
}

static char *config_trim(char *text)
{
    size_t len;

    text += strspn(text, " \t");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        text[--len] = '\0';
    return text;
}

static int config_line(const struct parser *p, char *line, struct ccs_error *err)
{
    char *value;

    line = config_trim(line);
    if (line[0] == '\0' || line[0] == '#')
        return CCS_OK;
    value = strchr(line, '=');
    if (value == NULL)
        return config_refuse(p, err, "a setting is written name = value");
    *value++ = '\0';
    value = config_trim(value);
    if (value[0] == '\0')
        return config_refuse(p, err, "the setting has no value");
    return config_setting(p, config_trim(line), value, err);
}

int agent_config_parse(char *text, const char *path, struct ccs_agent_setup *out,
                       struct ccs_error *err)
{
    struct parser p = {out, path, 0};
    char *line = text;
    char *next;
    int rv;

    memset(out, 0, sizeof(*out));
    out->level = CCS_LOG_INFO;
    for (; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        p.line++;
        rv = config_line(&p, line, err);
        if (rv != CCS_OK)
            return rv;
    }
    if (out->stores == 0)
        return config_refuse(&p, err, "no store is set");
    return CCS_OK;
}

/* The text of the file, NUL-terminated, to be freed; NULL with *err filled. */
static char *config_text(const char *path, struct ccs_error *err)
{
    char shown[SHOWN];
    char *text = NULL;
    size_t len = 0;
    ssize_t n = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    ccs_printable(shown, sizeof(shown), path, strlen(path));
    if (fd >= 0)
        text = malloc(TEXT_MAX);
    while (text != NULL && len < TEXT_MAX && (n = read(fd, text + len, TEXT_MAX - len)) > 0)
        len += (size_t)n;
    if (text == NULL || n < 0 || len == TEXT_MAX || memchr(text, '\0', len) != NULL) {
        ccs_error_sys(err, CCS_EINVAL, errno, "the settings file %s cannot be read", shown);
        free(text);
        text = NULL;
    } else {
        text[len] = '\0';
    }
    if (fd >= 0)
        close(fd);
    return text;
}

static int config_socket(struct ccs_error *err)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    socklen_t len = sizeof(int);
    int listens = 0;
    int domain = 0;

    if (pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid() &&
        strcmp(count, "1") == 0 &&
        getsockopt(CCS_AGENT_FD_CONTROL, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
        getsockopt(CCS_AGENT_FD_CONTROL, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && listens &&
        domain == AF_UNIX && fcntl(CCS_AGENT_FD_CONTROL, F_SETFL, O_NONBLOCK) == 0 &&
        fcntl(CCS_AGENT_FD_CONTROL, F_SETFD, FD_CLOEXEC) == 0)
        return CCS_OK;
    return ccs_error_set(err, CCS_EINVAL,
                         "with --config it is to be started by a systemd socket unit that listens "
                         "on one path");
}

int agent_config_read(const char *path, struct ccs_agent_setup *out, struct ccs_error *err)
{
    char *text;
    int rv = config_socket(err);

    if (rv != CCS_OK)
        return rv;
    text = config_text(path, err);
    if (text == NULL)
        return CCS_EINVAL;
    rv = agent_config_parse(text, path, out, err);
    free(text);
    return rv;
}
