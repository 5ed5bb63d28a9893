#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-signature.sh <nginx binary> <module>…
#
# nginx refuses a module whose signature, a string of sizes and feature bits, is not its own.
set -eu

signature() {
    LC_ALL=C grep -aoE '[48],[48],[48],[01]{30,40}' "$1" | sort -u
}

nginx=$1
shift
want=$(signature "$nginx")
if [ -z "$want" ]; then
    echo "no module signature found in $nginx" >&2
    exit 1
fi
for module in "$@"; do
    have=$(signature "$module")
    if [ "$have" != "$want" ]; then
        echo "$module has signature '$have', but $nginx wants '$want'" >&2
        exit 1
    fi
done
