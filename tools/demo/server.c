/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define START_LIMIT_MS 15000
#define START_TRIES    5

static struct sockaddr_in server_address(int port)
{
    struct sockaddr_in a;

    memset(&a, 0, sizeof(a));
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

int demo_free_port(void)
{
    struct sockaddr_in a = server_address(0);
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int port = -1;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
        port = ntohs(a.sin_port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

int demo_answers(int port)
{
    struct sockaddr_in a = server_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rv = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

int demo_server_start(struct demo_server *server, const char *dir)
{
    const struct demo_kind *kind = server->kind;
    const char *program = server->program != NULL ? server->program : kind->program;
    char conf[DEMO_PATH_SIZE];
    const char *argv[DEMO_ARGS];
    int try;

    demo_path(server->log, dir, "error.log");
    kind->command(argv, program, dir, demo_path(conf, dir, kind->conf), server->log);
    for (try = 0; try < START_TRIES; try++) {
        double deadline = demo_clock_ms() + START_LIMIT_MS;

        server->port = demo_free_port();
        if (server->port < 0) {
            return demo_fail("there is no free port on 127.0.0.1");
        }
        if (kind->configure(conf, dir, server) != 0) {
            return -1;
        }
        server->pid = demo_start(argv, server->log);
        if (server->pid < 0) {
            return -1;
        }
        while (demo_running(server->pid)) {
            if (demo_answers(server->port)) {
                return 0;
            }
            if (demo_clock_ms() > deadline) {
                return demo_fail("%s does not answer on 127.0.0.1:%d", kind->title, server->port);
            }
            demo_pause_ms(10);
        }
        server->pid = 0;
        if (!demo_log_says(server->log, "Address already in use")) {
            break;
        }
    }
    demo_fail("%s does not start:", program);
    demo_show_log(server->log);
    return -1;
}

void demo_server_stop(struct demo_server *server)
{
    demo_end(server->pid);
    server->pid = 0;
}
