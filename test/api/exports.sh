#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# exports.sh <cc> <libccs.so> <ccs.map> <include dir>…: the library exports what the map names, and
# the map names what the public headers declare, no more and no less.
set -euo pipefail

cc=$1
library=$2
map=$3
shift 3

exported=$(nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
mapped=$(sed -n '/global:/,/local:/s/^ *\([a-z0-9_]*\);$/\1/p' "$map" | sort)
# In preprocessed headers only a prototype has a name of ours right before a parenthesis.
declared=$(printf '#include <ccs/openssl.h>\n' |
    "$cc" -E -P -x c "${@/#/-I}" - |
    grep -oE '\bccs_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)

same()
{
    if [[ -z $3 || $3 != "$4" ]]; then
        echo "FAILED: < $1, > $2"
        diff <(printf '%s\n' "$3") <(printf '%s\n' "$4") || true
        exit 1
    fi
}
same "in $map" "exported by $library" "$mapped" "$exported"
same 'declared in include/ccs' "in $map" "$declared" "$mapped"
printf 'ok: %d functions\n' "$(wc -l <<<"$exported")"
