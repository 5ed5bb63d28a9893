#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# headers.sh <cc> <c++> <include dir>…: each public header compiles by itself, twice included, as C
# and as C++, under warnings that any user may have on; and ccs.h does so without OpenSSL.
set -euo pipefail

cc=$1
cxx=$2
shift 2
includes=("${@/#/-I}")
warnings=(-Wall -Wextra -Wshadow -Wundef -pedantic -Werror -fsyntax-only)
failed=0

# try <what> <compiler and its arguments>…, the source on standard input
try()
{
    local what=$1
    shift
    if "$@" "${warnings[@]}" "${includes[@]}" -; then
        echo "ok: $what"
    else
        echo "FAILED: $what"
        failed=1
    fi
}

headers=0
for directory in "$@"; do
    for path in "$directory"/ccs/*.h; do
        [[ -e $path ]] || continue
        header=ccs/${path##*/}
        headers=$((headers + 1))
        source=$(printf '#include <%s>\n#include <%s>\nextern int one_declaration;\n' \
            "$header" "$header")
        try "$header as C11" "$cc" -x c -std=c11 <<<"$source"
        try "$header as C++17" "$cxx" -x c++ -std=c++17 <<<"$source"
    done
done
if ((headers < 3)); then
    echo "FAILED: only $headers headers found"
    failed=1
fi

needed=$("$cc" -x c -std=c11 "${includes[@]}" -M - <<<'#include <ccs/ccs.h>')
if [[ $needed == *openssl/* ]]; then
    echo 'FAILED: ccs/ccs.h includes OpenSSL'
    failed=1
fi
exit "$failed"
