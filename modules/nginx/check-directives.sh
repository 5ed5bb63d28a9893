#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-directives.sh <program that prints the table> <docs/nginx.md>
set -eu

table=$("$1")
written=$(sed -n '/^<!-- directives -->$/,/^<!-- end -->$/{//d;p}' "$2")
if [ "$table" != "$written" ]; then
    echo "$2 has another table of directives than include/ccs/settings.def; it should be:" >&2
    echo "$table" >&2
    exit 1
fi
