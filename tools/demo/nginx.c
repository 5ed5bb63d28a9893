/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <stdio.h>
#include <unistd.h>

/* Where the certificates are. */
static void store_lines(char *out, size_t size, const char *dir, const char *share)
{
    if (share == NULL) {
        snprintf(out, size, "    ccs_store \"%s/store\";\n", dir);
        return;
    }
    /* Whoever is not root cannot give the agent to another user. */
    snprintf(out, size,
             "    ccs_store %s;\n"
             "    ccs_credentials_file \"%s/credentials\";\n"
             "%s",
             share, dir, geteuid() == 0 ? "    ccs_agent_user nobody;\n" : "");
}

static int configure(const char *conf, const char *dir, const struct demo_server *server)
{
    char text[4096], store[2 * DEMO_PATH_SIZE];
    int len;

    store_lines(store, sizeof(store), dir, server->share);
    len = snprintf(text, sizeof(text),
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
                   "%s"
                   "    ccs_password_file \"%s/passwords\";\n"
                   "\n"
                   "    server {\n"
                   "        listen 127.0.0.1:%d ssl;\n"
                   "        default_type text/plain;\n"
                   "        return 200 \"$ccs_result $ccs_file\\n\";\n"
                   "    }\n"
                   "}\n",
                   server->modules, dir, dir, dir, dir, dir, dir, dir, store, dir, server->port);

    if (len < 0 || (size_t)len >= sizeof(text)) {
        return demo_fail("the path of the temporary folder is too long");
    }
    return demo_write(conf, text, (size_t)len);
}

static void command(const char *argv[DEMO_ARGS], const char *program, const char *dir,
                    const char *conf, const char *log)
{
    const char *const args[] = {program, "-p", dir, "-c", conf, "-e", log, NULL};
    size_t i;

    for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        argv[i] = args[i];
    }
}

const struct demo_kind demo_nginx = {
    .title = "nginx",
    .program = "nginx",
    .conf = "nginx.conf",
    .result = "$ccs_result",
    .configure = configure,
    .command = command,
};
