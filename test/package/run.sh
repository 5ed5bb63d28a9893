#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh <cmake> <build dir> <pkg-config> <cc> <libdir> <version>: installs the build into a folder
# of its own and builds a consumer against that, by find_package and by pkg-config.
set -euo pipefail

cmake=$1
build=$2
pkg_config=$3
cc=$4
libdir=$5
version=$6
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/store"

DESTDIR='' "$cmake" --install "$build" --prefix "$work/first" >/dev/null
# An installation may be moved as a whole.
prefix=$work/prefix
mv "$work/first" "$prefix"

echo '-- find_package'
"$cmake" -S "$here" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS='-Wall -Wextra -Werror' >"$work/log" || {
    cat "$work/log"
    exit 1
}
"$cmake" --build "$work/build" >"$work/log" || {
    cat "$work/log"
    exit 1
}
"$work/build/consumer" "$work/store"

echo '-- another minor version is refused'
mkdir "$work/newer"
sed 's/find_package(ccs 0.1 /find_package(ccs 0.999 /' "$here/CMakeLists.txt" >"$work/newer/CMakeLists.txt"
touch "$work/newer/consumer.c"
if "$cmake" -S "$work/newer" -B "$work/newer/build" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1; then
    echo 'FAILED: found as version 0.999'
    exit 1
fi

echo '-- pkg-config'
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
[[ $("$pkg_config" --modversion ccs) == "$version" ]]
read -ra flags < <("$pkg_config" --cflags --libs ccs openssl)
"$cc" -std=c11 -Wall -Wextra -Werror -o "$work/consumer" "$here/consumer.c" "${flags[@]}" \
    "-Wl,-rpath,$prefix/$libdir"
"$work/consumer" "$work/store"

if [[ -x $prefix/libexec/ccs-agent ]]; then
    echo '-- ccs-agent'
    [[ $("$prefix/libexec/ccs-agent" --version) == *"$version"* ]]
    settings=(agent on)
    if ((EUID == 0)); then
        settings+=(agent_user nobody)
        chmod 755 "$work"
    fi
    "$work/consumer" "$work/store" "${settings[@]}"
    mv "$prefix/libexec/ccs-agent" "$work/ccs-agent"
    if [[ ! -x /usr/local/libexec/ccs-agent ]] &&
        "$work/consumer" "$work/store" "${settings[@]}" 2>/dev/null; then
        echo 'FAILED: it was not that ccs-agent'
        exit 1
    fi
fi

echo '-- where ccs-agent is looked for'
# looked_for <way> <libdir> <libexecdir>
looked_for()
{
    rm -rf "$work/layout"
    "$cmake" -S "$here/../.." -B "$work/layout" -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_INSTALL_LIBDIR="$2" -DCMAKE_INSTALL_LIBEXECDIR="$3" -DCCS_NGINX=OFF -DCCS_APACHE=OFF \
        -DCCS_AGENT=OFF -DCCS_DEMO=OFF -DCCS_TESTS=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
        >"$work/log" 2>&1
    if ! grep -qF "CCS_AGENT_FROM_LIB=\\\\\\\"$1\\\\\\\"" "$work/layout/compile_commands.json"; then
        echo "FAILED: with libraries in $2 and programs in $3 the way is not $1"
        exit 1
    fi
}
looked_for ../../libexec lib/x86_64-linux-gnu libexec
looked_for ../../libexec/ccs /usr/lib/x86_64-linux-gnu /usr/libexec/ccs

if [[ -x $prefix/bin/ccsctl ]]; then
    echo '-- ccsctl'
    [[ $("$prefix/bin/ccsctl" --version) == *"$version"* ]]
    [[ -s $prefix/share/man/man1/ccsctl.1 ]]
fi
for module in "$prefix"/lib/nginx/modules/*.so; do
    [[ -e $module ]] || continue
    echo "-- ${module##*/}"
    found=$(ldd "$module" | sed -n 's/.*libccs\.so\.[0-9]* => \([^ ]*\).*/\1/p')
    if [[ $(realpath "$found") != "$(realpath "$prefix/$libdir")"/* ]]; then
        echo "FAILED: it would use libccs.so from ${found:-nowhere}"
        exit 1
    fi
done
