/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_AGENT_SHARE_H
#define CCS_AGENT_SHARE_H

/* One store as the broker sees it: its three members, and what is asked of them. */

#include "client.h"

/* The connection to a member. */
enum agent_link_state {
    AGENT_LINK_NONE,
    AGENT_LINK_STARTING, /* ordered from the supervisor */
    AGENT_LINK_UP
};

struct agent_link {
    enum agent_link_state state;
    enum agent_role role;
    struct agent_share *share;
    struct agent_stream stream;
    int64_t since;    /* when the state began */
    int64_t retry_at; /* not before it is one started again */
    int64_t pause_ms;
    int32_t pid;
    unsigned starts;
};

/* Somebody who waits for an answer. */
struct agent_waiter {
    LIST_ENTRY(agent_waiter) link;
    struct agent_client *client;
    uint32_t id;
    int64_t until;
    struct agent_listing *listing; /* NULL, or a reference to the one that it is given */
    size_t next;                   /* the piece of it that comes next */
};
LIST_HEAD(agent_waiters, agent_waiter);

struct agent_job {
    TAILQ_ENTRY(agent_job) link;
    enum ccs_wire_type type;
    uint32_t max;
    char file[CCS_FILE_NAME_SIZE];
    unsigned tries;  /* workers that ended while they were at it */
    int own;         /* the broker's, nobody waits for it */
    unsigned proves; /* the number of the listing that its answer says something of, or 0 */
    struct agent_waiters waiters;
};
TAILQ_HEAD(agent_jobs, agent_job);

/* What a lister, or the watcher, has found, for all who want to know. */
struct agent_listing {
    unsigned refs;
    struct agent_body **piece;
    size_t pieces;
    size_t room;
    size_t octets;
    uint32_t count;
    int done;
    int64_t begun_at;
    int64_t done_at;
    uint64_t changes;     /* of the share when it was begun, or the watch stood */
    struct ccs_root root; /* the folder before it; only if the watcher made it */
};

struct agent_share {
    struct agent_broker *broker;
    const struct ccs_agent_store *config;
    uint16_t store;
    char shown[200];

    struct agent_link worker;
    struct agent_jobs jobs; /* the first one is with the worker if busy */
    unsigned job_count;
    int busy;
    int64_t busy_since;
    uint32_t job_id;
    int64_t asked_at; /* when the store last answered */
    int worker_works; /* the worker has got through to the store */

    int down; /* the store does not answer, and why */
    struct ccs_error reason;
    int64_t down_since;
    int64_t probe_at; /* until then nothing is asked of it */
    int64_t pause_ms;

    struct agent_link watcher;
    int armed;
    int64_t armed_at;
    int64_t wanted_at; /* when a client wanted it last */
    int64_t heard_at;
    int lost;         /* events may have been missed since it was armed last */
    uint64_t changes; /* counts events, and times in which some could be missed */

    int unwatchable;             /* the last watcher ended before the watch stood */
    struct agent_listing *found; /* the watcher's, while nobody may have it yet */
    unsigned found_number;

    struct agent_link lister;
    struct agent_listing *listing;
    struct agent_waiters listers; /* who is given the listing */
    struct agent_waiters patient; /* who came too late for it, and gets the next one */

    struct {
        uint64_t requests;
        uint64_t shared; /* requests answered with another one's answer */
        uint64_t asked;  /* of the store */
        uint64_t timeouts;
        uint64_t listings;
        uint64_t events;
        uint64_t rejected;
    } count;
};

/* -- share.c -- */

struct agent_share *agent_share_new(struct agent_broker *b, unsigned store);

/* PROBE, STAT, READ. */
void agent_share_ask(struct agent_share *s, struct agent_client *c,
                     const struct ccs_wire_message *m);
void agent_share_cancel(struct agent_share *s, const struct agent_client *c, uint32_t id);
void agent_share_forget(struct agent_share *s, const struct agent_client *c);
void agent_share_due(struct agent_share *s, int64_t now);

/* Asks for the folder, for agent_found_judge(). 1 if it does. */
int agent_share_prove(struct agent_share *s, unsigned number);

/* What the worker says to the job it was given; it has ended. */
void agent_share_answered(struct agent_share *s, const struct ccs_wire_message *m,
                          const uint8_t *octets, size_t len);
void agent_share_worker_ended(struct agent_share *s);

/* Answers with *reason in place of the store while it is down; 1 if it did. */
int agent_share_rejects(struct agent_share *s, struct agent_client *c, uint32_t id);

/* The store has answered, or has not. */
void agent_share_up(struct agent_share *s);
void agent_share_failed(struct agent_share *s, const struct ccs_error *err);

struct agent_waiter *agent_waiter_new(struct agent_waiters *list, struct agent_client *c,
                                      const struct ccs_wire_message *m);
void agent_waiter_free(struct agent_waiter *w);

/* Answers each of the list with an error, and empties it. */
void agent_waiters_fail(struct agent_waiters *list, const struct ccs_error *err);

/* Takes those of a client off: all, or the one with this id. */
void agent_waiters_forget(struct agent_waiters *list, const struct agent_client *c,
                          const uint32_t *id);
/* Answers those whose time is up. */
void agent_waiters_due(struct agent_share *s, struct agent_waiters *list, int64_t now);

/* -- link.c -- */

void agent_link_init(struct agent_link *link, struct agent_share *s, enum agent_role role);
void agent_link_want(struct agent_link *link, int64_t now); /* starts it if it may be */
void agent_link_started(struct agent_link *link, int32_t pid, int fd);
void agent_link_drop(struct agent_link *link);   /* it has ended, or is to */
void agent_link_steady(struct agent_link *link); /* it works: no pause before its successor */
short agent_link_events(const struct agent_link *link);
void agent_link_ready(struct agent_link *link, short revents);

/* -- watch.c -- */

void agent_watch_ask(struct agent_share *s, struct agent_client *c,
                     const struct ccs_wire_message *m);
void agent_watch_message(struct agent_share *s, const struct ccs_wire_message *m,
                         const uint8_t *octets, size_t len);
void agent_watch_lost(struct agent_share *s);
void agent_watch_fail(struct agent_share *s, const struct ccs_error *err); /* those who wait */
void agent_watch_due(struct agent_share *s, int64_t now);

/* -- listing.c -- */

struct agent_listing *agent_listing_new(void);
void agent_listing_unref(struct agent_listing *l); /* NULL allowed */

/* Adds a NAMES message. CCS_OK, CCS_ETOOBIG or CCS_ENOMEM. */
int agent_listing_keep(struct agent_listing *l, const uint8_t *octets, size_t len);

/* It says what the folder holds at this moment. Takes over the reference. */
void agent_listing_take(struct agent_share *s, struct agent_listing *l);

void agent_listing_ask(struct agent_share *s, struct agent_client *c,
                       const struct ccs_wire_message *m);
void agent_listing_message(struct agent_share *s, const struct ccs_wire_message *m,
                           const uint8_t *octets, size_t len);
void agent_listing_lost(struct agent_share *s);
void agent_listing_fail(struct agent_share *s, const struct ccs_error *err);
void agent_listing_feed(struct agent_share *s); /* gives clients as much as they take */
void agent_listing_due(struct agent_share *s, int64_t now);

/* -- found.c -- */

/* The watcher lists the folder, which is *root; that listing; the watch stands; all is in vain. */
void agent_found_begin(struct agent_share *s, const struct ccs_root *root);
void agent_found_message(struct agent_share *s, const struct ccs_wire_message *m,
                         const uint8_t *octets, size_t len);
void agent_found_armed(struct agent_share *s);
void agent_found_drop(struct agent_share *s);

/* The folder as it was when the watch stood, NULL if nobody knows. */
void agent_found_judge(struct agent_share *s, unsigned number, const struct ccs_root *root);

/* 1 while a listing of the watcher's may still come. */
int agent_found_is_awaited(const struct agent_share *s);

#endif
