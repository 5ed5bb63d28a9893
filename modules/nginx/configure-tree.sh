#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# configure-tree.sh <nginx source> <output directory> <C compiler> [configure argument…]
#
# Runs nginx's configure on a copy made of symbolic links, so that nothing is written into the
# source tree, which may be read-only. The output appears only when all of it is there.
set -eu

source=$(realpath "$1")
out=$2
cc=$3
shift 3

if [ "$#" -gt 0 ]; then
    flags=("$@")
elif [ -f "$source/conf_flags" ]; then
    # Debian's nginx-dev says here what its nginx was configured with.
    NGX_CONF_FLAGS=()
    . "$source/conf_flags"
    flags=("${NGX_CONF_FLAGS[@]}")
else
    flags=(--with-compat --with-threads --with-http_ssl_module --with-http_v2_module)
fi

rm -rf "$out" "$out.new"
mkdir -p "$out.new"
for entry in "$source"/*; do
    ln -s "$entry" "$out.new/"
done
configure=./configure
[ -x "$source/configure" ] || configure=auto/configure

cd "$out.new"
if ! "$configure" "${flags[@]}" --with-cc="$cc" --with-stream=dynamic --with-stream_ssl_module \
    >configure.log 2>&1; then
    cat configure.log >&2
    echo "nginx's configure failed: install libpcre2-dev, zlib1g-dev and libssl-dev, see above" >&2
    exit 1
fi
cd /
mv "$out.new" "$out"
