/* SPDX-License-Identifier: Apache-2.0 */
#include "demo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What httpd answers: environment variables of the request, put in by mod_include. */
static const char page[] = "<!--#echo encoding=\"none\" var=\"CCS_RESULT\" --> "
                           "<!--#echo encoding=\"none\" var=\"CCS_FILE\" -->\n";

static int write_folders(const char *dir)
{
    static const char *const folders[] = {"run", "www"};
    char path[DEMO_PATH_SIZE];
    size_t i;

    for (i = 0; i < 2; i++) {
        if (mkdir(demo_path(path, dir, folders[i]), 0755) != 0 && errno != EEXIST) {
            return demo_fail("%s: %s", path, strerror(errno));
        }
    }
    return demo_write(demo_path(path, dir, "www/index.html"), page, sizeof(page) - 1);
}

static int configure(const char *conf, const char *dir, const struct demo_server *server)
{
    static const char *const stock[] = {"mpm_event", "authz_core", "socache_shmcb",
                                        "ssl",       "dir",        "include"};
    char text[4096];
    size_t len = 0, i;

    for (i = 0; i < sizeof(stock) / sizeof(stock[0]); i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "LoadModule %s_module %s/mod_%s.so\n", stock[i],
                                CCS_DEMO_APACHE_MODULES, stock[i]);
        if (len >= sizeof(text)) {
            return demo_fail("the path of httpd's modules is too long");
        }
    }
    len += (size_t)snprintf(text + len, sizeof(text) - len,
                            "LoadModule ccs_module \"%s/mod_ccs.so\"\n"
                            "%s"
                            "PidFile \"%s/pid\"\n"
                            "DefaultRuntimeDir \"%s/run\"\n"
                            "Mutex \"default:%s/run\"\n"
                            "ErrorLog \"%s/error.log\"\n"
                            "LogLevel info\n"
                            "ServerName localhost\n"
                            "ServerLimit 1\n"
                            "StartServers 1\n"
                            "ThreadsPerChild 25\n"
                            "MaxRequestWorkers 25\n"
                            "SSLSessionCache \"shmcb:%s/run/sessions(512000)\"\n"
                            "\n"
                            "CCSStore \"%s/store\"\n"
                            "CCSPasswordFile \"%s/passwords\"\n"
                            "\n"
                            "Listen 127.0.0.1:%d\n"
                            "<VirtualHost 127.0.0.1:%d>\n"
                            "    SSLEngine on\n"
                            "    CCSEngine on\n"
                            "    DocumentRoot \"%s/www\"\n"
                            "    DirectoryIndex index.html\n"
                            "    <Directory \"%s/www\">\n"
                            "        Options IncludesNoExec\n"
                            "        SetOutputFilter INCLUDES\n"
                            "        ForceType text/html\n"
                            "        Require all granted\n"
                            "    </Directory>\n"
                            "</VirtualHost>\n",
                            server->modules,
                            geteuid() == 0 ? "User www-data\nGroup www-data\n" : "", dir, dir, dir,
                            dir, dir, dir, dir, server->port, server->port, dir, dir);
    if (len >= sizeof(text)) {
        return demo_fail("the path of the temporary folder is too long");
    }
    return write_folders(dir) == 0 ? demo_write(conf, text, len) : -1;
}

static void command(const char *argv[DEMO_ARGS], const char *program, const char *dir,
                    const char *conf, const char *log)
{
    const char *const args[] = {program, "-d", dir, "-f", conf, "-E", log, "-DFOREGROUND", NULL};
    size_t i;

    for (i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        argv[i] = args[i];
    }
}

const struct demo_kind demo_apache = {
    .title = "Apache httpd",
    .program = "apache2",
    .conf = "httpd.conf",
    .result = "CCS_RESULT",
    .configure = configure,
    .command = command,
};
