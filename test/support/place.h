/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCS_TEST_PLACE_H
#define CCS_TEST_PLACE_H

/*
 * What the folders of all servers under test have in common: ports, words in configurations, an
 * error log, and files that tell slow_preload.c what to do. What cannot be done fails the running
 * test.
 */

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define CCS_PLACE_PORTS 4

/* Free ports of 127.0.0.1 right now; another program may still take one before the server does. */
void ccs_place_choose_ports(int port[CCS_PLACE_PORTS]);

/* Whether somebody listens there. */
int ccs_place_accepts(int port);

/*
 * Copies text, putting in what its words stand for: @PORT1@ … @PORT4@ "127.0.0.1:<port>", @DIR@ the
 * server's folder, @STORE@ the store in it.
 */
void ccs_place_expand(const char *dir, const int port[CCS_PLACE_PORTS], const char *text,
                      FILE *out);

/* How often the error log has this text. */
size_t ccs_place_logged(const char *dir, const char *text);

/* Waits for the text to be there so many times; fails the test if it does not come. */
void ccs_place_wait_log(const char *dir, const char *text, size_t times);

/* Copies every line of the error log with this text to standard error; 1 if there is one. */
int ccs_place_complain(const char *dir, const char *text);

/* The same for whatever a sanitizer has written to dir/sanitizer.*. */
int ccs_place_reports(const char *dir);

/*
 * Starts a server; what it writes goes to dir/output. own_group: in a process group of its own, for
 * servers that send signals to all of theirs.
 */
pid_t ccs_place_exec(const char *dir, const char *const *argv, char *const *envp,
                     const char *output, int own_group);

/* What the store does from now on, see slow_preload.c. "" for no delay. */
void ccs_place_slow(const char *dir, const char *how);

/* How often files whose name begins with prefix were opened. */
size_t ccs_place_opened(const char *dir, const char *prefix);

#endif
