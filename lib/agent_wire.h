/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_WIRE_H
#define CCS_AGENT_WIRE_H

/*
 * What is said between a server's processes (clients) and ccs-agent, as octets: both ends use these
 * functions. Pure: no I/O, no allocation, no state. docs/agent-protocol.md describes the talk.
 *
 * A message is a header of CCS_WIRE_HEADER octets and a body. Numbers are big-endian. What comes
 * out of a decoder is within its bounds whatever went in, and points into the octets given to it.
 */

#include <ccs/ccs.h>

#include "name.h"
#include "store.h"

#define CCS_WIRE_MAGIC        0x43435341u /* "CCSA" */
#define CCS_WIRE_VERSION      1
#define CCS_WIRE_HEADER       12
#define CCS_WIRE_FILE_MAX     1048576 /* octets of one file */
#define CCS_WIRE_NAMES_MAX    65536   /* octets of one piece of a listing */
#define CCS_WIRE_LOCATION_MAX 4095
#define CCS_WIRE_STATE_MAX    16384
#define CCS_WIRE_LINE_MAX     1023                                           /* a log line */
#define CCS_WIRE_TEXT_MAX     511                                            /* an error's text */
#define CCS_WIRE_MESSAGE_MAX  (CCS_WIRE_HEADER + 64 + CCS_WIRE_FILE_MAX)     /* none is larger */
#define CCS_WIRE_REQUEST_MAX  (CCS_WIRE_HEADER + 64 + CCS_WIRE_LOCATION_MAX) /* to the agent */

enum ccs_wire_type {
    /* from a client */
    CCS_WIRE_HELLO = 1, /* the first message of a connection; WELCOME */
    CCS_WIRE_PROBE,     /* ROOT */
    CCS_WIRE_STAT,      /* STAMP */
    CCS_WIRE_READ,      /* CONTENTS */
    CCS_WIRE_LIST,      /* any number of NAMES, then LISTED */
    CCS_WIRE_WATCH,     /* WATCHING, then EVENT for as long as the connection lives */
    CCS_WIRE_CANCEL,    /* of the request with this id; not answered */
    CCS_WIRE_STATUS,    /* STATE */
    CCS_WIRE_PING,      /* PONG */
    /* from the agent */
    CCS_WIRE_WELCOME = 65,
    CCS_WIRE_ROOT,
    CCS_WIRE_STAMP,
    CCS_WIRE_CONTENTS,
    CCS_WIRE_NAMES,
    CCS_WIRE_LISTED,
    CCS_WIRE_WATCHING,
    CCS_WIRE_EVENT,
    CCS_WIRE_STATE,
    CCS_WIRE_PONG,
    CCS_WIRE_ERROR, /* in place of any answer, and in the middle of a listing; ends the request */
    CCS_WIRE_LOG    /* unasked, id 0 */
};

enum ccs_wire_side { CCS_WIRE_TO_AGENT, CCS_WIRE_TO_CLIENT };

/* HELLO: log lines of the agent are wanted on this connection. */
#define CCS_WIRE_WANT_LOG 1u

/* Octets, not NUL-terminated. */
struct ccs_wire_text {
    const char *data;
    size_t len;
};

struct ccs_wire_message {
    enum ccs_wire_type type;
    uint16_t store; /* number of the store; 0 in HELLO, that of WELCOME in what follows */
    uint32_t id;    /* of the request; an answer has that of its request */

    uint16_t version;    /* HELLO: the newest that is known; WELCOME: the one that is spoken */
    uint16_t flags;      /* HELLO */
    uint32_t pid;        /* WELCOME: of the process that answers */
    uint32_t timeout_ms; /* PROBE, STAT, READ, LIST, WATCH: after that nobody waits any more */
    uint32_t max;        /* READ: octets, at most CCS_WIRE_FILE_MAX */
    uint32_t count;      /* LISTED: names in all */
    enum ccs_event_kind event; /* EVENT */
    enum ccs_level level;      /* LOG */
    struct ccs_root root;      /* ROOT */
    struct ccs_stamp stamp;    /* STAMP, CONTENTS; ERROR: zero if the file could not be opened */
    int code;                  /* ERROR: a negative enum ccs_code */
    int sys_errno;             /* ERROR: or 0 */
    struct ccs_wire_text text; /* HELLO: location; STAT, READ, EVENT: file (an EVENT may have
                                  none); CONTENTS: octets; NAMES: see below; STATE: JSON;
                                  ERROR, LOG: text */
};

/*
 * The name of a file of a store: CCS_FILE_NAME_MAX octets at most, ends in .pfx, and has nothing in
 * it that means something else to a file system or to SMB. Requests for other names are refused by
 * both ends, and such entries are left out of listings.
 */
int ccs_wire_is_file(const char *name, size_t len);

/* Octets that the message takes; 0 if it is not one that may be sent. */
size_t ccs_wire_size(const struct ccs_wire_message *m);

/* Writes the message. CCS_EINVAL if it may not be sent, CCS_ENOMEM if it does not fit. */
int ccs_wire_encode(const struct ccs_wire_message *m, uint8_t *out, size_t size, size_t *len);

/*
 * The message that p begins with. CCS_OK: *out borrows from p, *used is its length. CCS_PENDING: it
 * goes on beyond len; *used is how many octets it takes, or CCS_WIRE_HEADER while that is unknown.
 * CCS_EINVAL: these octets are no message to this side, so that the connection is of no more use.
 */
int ccs_wire_decode(enum ccs_wire_side side, const uint8_t *p, size_t len,
                    struct ccs_wire_message *out, size_t *used);

/*
 * The names of a NAMES message. ccs_wire_names_add() puts one behind those in buf; 0 if there is no
 * room, or it is no file's name. ccs_wire_names_next() takes the first one off; 0 at the end.
 */
int ccs_wire_names_add(char *buf, size_t size, size_t *used, const char *name, size_t len);
int ccs_wire_names_next(struct ccs_wire_text *names, struct ccs_wire_text *name);

/* -- how the agent is started (agent_setup.c) ----------------------------------------------- */

/* What the executable inherits, beside /dev/null as 0 and 1, and the start-up log as 2. */
#define CCS_AGENT_FD_CONTROL 3 /* SOCK_SEQPACKET: connections come in, and it tells who is left */
#define CCS_AGENT_FD_SETUP   4 /* a pipe with the octets of a struct ccs_agent_setup, then EOF */
#define CCS_AGENT_FD_REPORT  5 /* a pipe for one report */

/* The one octet of a datagram that brings a connection with it, by SCM_RIGHTS. */
#define CCS_AGENT_CONNECT 'C'

#define CCS_AGENT_STORES_MAX  4
#define CCS_AGENT_USER_SIZE   65
#define CCS_AGENT_LOGIN_SIZE  257
#define CCS_AGENT_SECRET_SIZE 513
#define CCS_AGENT_SETUP_MAX   32768 /* octets of it; fits in a pipe */
#define CCS_AGENT_REPORT_MAX  512   /* octets of a report */

/* All texts are NUL-terminated; empty means not given. */
struct ccs_agent_store {
    char location[CCS_WIRE_LOCATION_MAX + 1]; /* a path, or what ccs_unc_format() makes */
    char user[CCS_AGENT_LOGIN_SIZE];          /* empty: no login is given */
    char domain[CCS_AGENT_LOGIN_SIZE];
    char password[CCS_AGENT_SECRET_SIZE];
    uint32_t wait_ms;    /* the setting `wait` */
    uint32_t refresh_ms; /* the setting `refresh` */
};

/* What the agent is told. Holds secrets: wipe it. */
struct ccs_agent_setup {
    char user[CCS_AGENT_USER_SIZE]; /* the setting `agent_user`; empty: the agent stays who it is */
    enum ccs_level level;           /* the most detailed log lines wanted */
    uint32_t stores;                /* at least one; their places are their numbers */
    struct ccs_agent_store store[CCS_AGENT_STORES_MAX];
};

/* CCS_EINVAL if a text is not terminated, or no store is named; CCS_ENOMEM if it does not fit. */
int ccs_agent_setup_encode(const struct ccs_agent_setup *setup, uint8_t *out, size_t size,
                           size_t *len);

/* All of it, nothing left over. CCS_EINVAL; *out is then wiped. */
int ccs_agent_setup_decode(const uint8_t *p, size_t len, struct ccs_agent_setup *out);

/*
 * A report is "OK <pid>" (of the supervisor) or "ERR <one sentence>", and a line end. Encoding
 * returns its length. Decoding: CCS_OK and *pid, or CCS_EUNAVAIL with the sentence in *err.
 */
size_t ccs_agent_report_encode(int32_t pid, const char *error, char out[CCS_AGENT_REPORT_MAX]);
int ccs_agent_report_decode(const char *p, size_t len, int32_t *pid, struct ccs_error *err);

#endif
