#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# documents.sh <cc> <project>: docs/settings.md has one row per setting of settings.def, in the same
# order and with the same default; docs/architecture.md has each room of the library; the manual of
# ccsctl has each reason to refuse a file.
set -euo pipefail
cc=$1
cd "$2"

settings=$(printf '%s\n' '#define CCS_SETTING(name, kind, scope, value, ...) @name value' \
    '#define NULL "–"' '#include <ccs/settings.def>' |
    "$cc" -E -P -x c -Iinclude - | sed -n 's/^@ *\([a-z_]*\) "\(.*\)"$/\1 \2/p')
documented=$(sed -n 's/^| `\([a-z_]*\)` | `\{0,1\}\([^`|]*[^`| ]\)`\{0,1\} |.*/\1 \2/p' docs/settings.md)

if [[ -z $settings || $settings != "$documented" ]]; then
    echo 'FAILED: < in include/ccs/settings.def, > in docs/settings.md'
    diff <(printf '%s\n' "$settings") <(printf '%s\n' "$documented") || true
    exit 1
fi
printf 'ok: %d settings\n' "$(wc -l <<<"$settings")"

rooms=0
while read -r room; do
    rooms=$((rooms + 1))
    if ! grep -q "^| .*\`$room\`" docs/architecture.md; then
        echo "FAILED: docs/architecture.md does not know lib/$room"
        exit 1
    fi
done < <(grep -oE '^ +[a-z0-9_]+\.c\b' lib/CMakeLists.txt)
if ((rooms < 10)); then
    echo "FAILED: only $rooms sources found in lib/CMakeLists.txt"
    exit 1
fi
while read -r room; do
    if [[ ! -e lib/$room ]]; then
        echo "FAILED: docs/architecture.md knows lib/$room, which is not there"
        exit 1
    fi
done < <(grep '^| `' docs/architecture.md | grep -o '`[a-z0-9_]*\.c`' | tr -d '`')
printf 'ok: %d rooms\n' "$rooms"

reasons=0
while read -r word; do
    [[ $word != name-mismatch ]] || continue # ccsctl warns of that
    reasons=$((reasons + 1))
    if ! grep -qx "\.B ${word//-/\\\\-}" docs/man/ccsctl.1; then
        echo "FAILED: docs/man/ccsctl.1 does not explain the result $word"
        exit 1
    fi
done < <(tr '\n' ' ' <lib/error.c | grep -oE '\{CCS_E[A-Z]+, *"[a-z0-9-]+"' |
    sed 's/.*{\(.*\), *"\(.*\)"/\1 \2/' |
    while read -r code word; do
        if grep -qE "^ *$code = -[23][0-9]\\b" include/ccs/ccs.h; then
            echo "$word"
        fi
    done)
if ((reasons < 10)); then
    echo "FAILED: only $reasons reasons found in lib/error.c"
    exit 1
fi
printf 'ok: %d reasons\n' "$reasons"
