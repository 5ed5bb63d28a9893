#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# host_free.sh <project>: the library knows no server. Neither lib/ nor include/ includes a header
# of nginx, Apache httpd or APR, or uses a name of theirs outside comments.
set -euo pipefail
cd "$1"

files=(lib/*.[ch] include/ccs/*)
[[ -e ${files[0]} ]]
if grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](ngx_|nginx|httpd|http_|mod_|apr|ap_)' \
    "${files[@]}"; then
    echo 'FAILED: a server header in the library'
    exit 1
fi
# Comments may name servers; code may not.
for file in "${files[@]}"; do
    if "${CC:-cc}" -fpreprocessed -dD -E -P -x c "$file" 2>/dev/null |
        grep -nE '\b(ngx|apr|ap)_[a-z]'; then
        echo "FAILED: a server's name in $file"
        exit 1
    fi
done
echo "ok: ${#files[@]} files"
