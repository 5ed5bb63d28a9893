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

/* A port that nothing listened on a moment ago. */
static int server_free_port(void)
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

static int server_answers(int port)
{
    struct sockaddr_in a = server_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rv = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return rv;
}

static int server_configure(const char *path, const char *dir, const char *modules, int port)
{
    char text[4096];
    int len = snprintf(text, sizeof(text),
                       "load_module \"%s/ngx_http_ccs_module.so\";\n"
                       "daemon off;\n"
                       "worker_processes 1;\n"
                       "pid \"%s/nginx.pid\";\n"
                       "error_log \"%s/error.log\" info;\n"
                       "events {\n"
                       "}\n"
                       "http {\n"
                       "    access_log off;\n"
                       "    client_body_temp_path \"%s/t1\";\n"
                       "    proxy_temp_path \"%s/t2\";\n"
                       "    fastcgi_temp_path \"%s/t3\";\n"
                       "    uwsgi_temp_path \"%s/t4\";\n"
                       "    scgi_temp_path \"%s/t5\";\n"
                       "\n"
                       "    ccs on;\n"
                       "    ccs_store \"%s/store\";\n"
                       "    ccs_password_file \"%s/passwords\";\n"
                       "\n"
                       "    server {\n"
                       "        listen 127.0.0.1:%d ssl;\n"
                       "        default_type text/plain;\n"
                       "        return 200 \"$ccs_result $ccs_file\\n\";\n"
                       "    }\n"
                       "}\n",
                       modules, dir, dir, dir, dir, dir, dir, dir, dir, dir, port);

    if (len < 0 || (size_t)len >= sizeof(text)) {
        return demo_fail("the path of the temporary folder is too long");
    }
    return demo_write(path, text, (size_t)len);
}

int demo_server_start(struct demo_server *server, const char *dir, const char *nginx,
                      const char *modules)
{
    char conf[DEMO_PATH_SIZE];
    const char *argv[] = {nginx, "-p",        dir, "-c", demo_path(conf, dir, "nginx.conf"),
                          "-e",  server->log, NULL};
    int try;

    demo_path(server->log, dir, "error.log");
    for (try = 0; try < START_TRIES; try++) {
        double deadline = demo_clock_ms() + START_LIMIT_MS;

        server->port = server_free_port();
        if (server->port < 0) {
            return demo_fail("there is no free port on 127.0.0.1");
        }
        if (server_configure(conf, dir, modules, server->port) != 0) {
            return -1;
        }
        server->pid = demo_start(argv, server->log);
        if (server->pid < 0) {
            return -1;
        }
        while (demo_running(server->pid)) {
            if (server_answers(server->port)) {
                return 0;
            }
            if (demo_clock_ms() > deadline) {
                return demo_fail("nginx does not answer on 127.0.0.1:%d", server->port);
            }
            demo_pause_ms(10);
        }
        server->pid = 0;
        if (!demo_log_says(server->log, "Address already in use")) {
            break;
        }
    }
    demo_fail("%s does not start:", nginx);
    demo_show_log(server->log);
    return -1;
}

void demo_server_stop(struct demo_server *server)
{
    demo_end(server->pid);
    server->pid = 0;
}
