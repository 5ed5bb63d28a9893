#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-directives.sh <program that prints the table of nginx's directives> <docs/apache.md>
# The tables differ in the names alone: ccs_password_file is CCSPasswordFile.
set -eu

table=$("$1" | awk '{
    while (match($0, /`ccs_[a-z_]+`/)) {
        words = split(substr($0, RSTART + 5, RLENGTH - 6), word, "_")
        name = ""
        for (i = 1; i <= words; i++)
            name = name toupper(substr(word[i], 1, 1)) substr(word[i], 2)
        $0 = substr($0, 1, RSTART) "CCS" name substr($0, RSTART + RLENGTH - 1)
    }
    print
}')
written=$(sed -n '/^<!-- directives -->$/,/^<!-- end -->$/{//d;p}' "$2")
if [ "$table" != "$written" ]; then
    echo "$2 has another table of directives than include/ccs/settings.def; it should be:" >&2
    echo "$table" >&2
    exit 1
fi
