/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CCSCTL_CMD_H
#define CCSCTL_CMD_H

#include <stdio.h>

/* Exit statuses that all commands share. */
enum {
    CTL_OK = 0,
    CTL_BAD = 1,  /* something that was looked at is not as it should be */
    CTL_USAGE = 2 /* the question was wrong, or the answer could not be given */
};

/* argv[0] is the command's name. Each returns the exit status. */
int ctl_cmd_show(int argc, char **argv);

#endif
