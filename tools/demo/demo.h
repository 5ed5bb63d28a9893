/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_DEMO_H
#define CCS_DEMO_H

/*
 * The demo makes a store with OpenSSL's command line, starts the nginx or Apache httpd that is
 * installed on a free loopback port, and looks at it as a client would. It uses nothing of libccs
 * itself: what it shows is what any client of such a server sees.
 */

#include <stddef.h>
#include <sys/types.h>

#define DEMO_PATH_SIZE 512

/* -- process.c: programs that the demo runs ------------------------------------------------- */

/* Says what went wrong on standard error, with the program's name before it; returns -1. */
int demo_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Starts argv[0], found by PATH, with standard output and error going to the file `log`. It ends
 * with the demo whatever becomes of that. Returns its process id, or -1.
 */
pid_t demo_start(const char *const argv[], const char *log);

/* Ends and collects it: asks, waits some seconds, insists. Nothing happens for pid <= 0. */
void demo_end(pid_t pid);

/* 1 while it runs. Once it has ended (0) the process id is used up. */
int demo_running(pid_t pid);

/* Starts it and waits for its end. 0 if that was good; else says so, shows the log, returns -1. */
int demo_run(const char *const argv[], const char *log);

/* Copies the last lines of a file to standard error. */
void demo_show_log(const char *path);

/* 1 if those lines have these words in them. */
int demo_log_says(const char *path, const char *words);

double demo_clock_ms(void);
void demo_pause_ms(long ms);

/* dir/name -> out, of DEMO_PATH_SIZE; returns out. */
char *demo_path(char *out, const char *dir, const char *name);

/* New file, or one rewritten in place, as most programs that renew certificates do. 0 or -1. */
int demo_write(const char *path, const void *data, size_t len);

/* -- store.c: the certificates -------------------------------------------------------------- */

struct demo_host {
    const char *name;    /* what the client asks for */
    const char *shown;   /* the same for people */
    const char *file;    /* that it is to be served from */
    const char *subject; /* name in the certificate */
    const char *key;     /* "rsa" or "ec" */
    const char *how;     /* "legacy", "modern" or "open" (modern, with no password) */
    const char *about;   /* what the file is an example of */
};

extern const struct demo_host demo_hosts[];
extern const size_t demo_host_count;

/* Makes authorities and all files below dir: dir/store/, dir/passwords, dir/ca.pem. 0 or -1. */
int demo_store_make(const char *dir);

/* Issues a new certificate for one host and puts it in place of the old one. 0 or -1. */
int demo_store_renew(const char *dir, const struct demo_host *host);

/* SHA-256, in hex, of the certificate that was issued last for this host. 0 or -1. */
int demo_store_fingerprint(const char *dir, const struct demo_host *host, char out[65]);

/* -- server.c, nginx.c, apache.c ------------------------------------------------------------ */

#define DEMO_ARGS 12

struct demo_server;

/* What there is to say about one kind of server. */
struct demo_kind {
    const char *title;   /* "nginx" */
    const char *program; /* found by PATH */
    const char *conf;    /* name of its configuration file */
    const char *result;  /* how its configuration calls what the demo shows */

    /* Writes the configuration, and whatever else it takes, below dir. 0 or -1. */
    int (*configure)(const char *conf, const char *dir, const struct demo_server *server);

    /* Its command line, NULL at the end; everything in it is borrowed. */
    void (*command)(const char *argv[DEMO_ARGS], const char *program, const char *dir,
                    const char *conf, const char *log);
};

extern const struct demo_kind demo_nginx;
extern const struct demo_kind demo_apache;

struct demo_server {
    const struct demo_kind *kind;
    const char *program; /* NULL: the kind's */
    const char *modules; /* where the modules of this project are */
    const char *share;   /* that the store is read from; NULL: from its folder */
    pid_t pid;
    int port;
    char log[DEMO_PATH_SIZE];
};

/* Starts it and waits until it answers. 0 or -1; demo_server_stop() in both cases. */
int demo_server_start(struct demo_server *server, const char *dir);
void demo_server_stop(struct demo_server *server);

/* A port that nothing listened on a moment ago, or -1. */
int demo_free_port(void);

/* 1 if something takes connections there. */
int demo_answers(int port);

/* -- smb.c, outage.c ------------------------------------------------------------------------ */

struct demo_share {
    pid_t pid; /* of smbd */
    int port;
    int lifeline;
    char location[64]; /* as an administrator writes it */
    char conf[DEMO_PATH_SIZE];
    char log[DEMO_PATH_SIZE];
};

/* Makes what a private smbd takes that shows dir/store, and dir/credentials. 0 or -1. */
int demo_share_make(struct demo_share *share, const char *dir);

/* Starts it and waits until it answers. 0 or -1; demo_share_stop() in both cases. */
int demo_share_start(struct demo_share *share);
void demo_share_stop(struct demo_share *share);

/* Shows what happens without it and afterwards. Returns how much of that went wrong. */
int demo_outage(struct demo_share *share, const struct demo_server *server, const char *dir,
                const char *ca);

/* -- client.c ------------------------------------------------------------------------------- */

struct demo_visit {
    int verified;         /* handshake done, chain and host name verified */
    int alert;            /* fatal alert received, or -1 */
    double ms;            /* from the first octet sent to the end of the handshake */
    char fingerprint[65]; /* of the certificate that was served */
    char key[32];         /* "RSA 2048" */
    char body[256];       /* what the server answered */
    char error[256];      /* why it was not verified */
};

/* One TLS connection and one request, on 127.0.0.1. Always fills *visit. */
void demo_visit(int port, const char *host, const char *ca_file, struct demo_visit *visit);

/* SHA-256 of a certificate, in hex. 0 or -1. */
struct x509_st;
int demo_fingerprint(const struct x509_st *cert, char out[65]);

#endif
