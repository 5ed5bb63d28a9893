# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What the commands beside this file share: where the project is, and how its packages get here.

ccs_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

export LC_ALL=C.UTF-8             # file names in tests and demo are UTF-8
export PATH=$PATH:/usr/sbin:/sbin # where Debian keeps nginx, which an ordinary user's PATH lacks

# Everything that the library, the agent, the command line and the nginx modules are built from.
# nginx-dev brings the headers that nginx's own configure asks for.
ccs_build_packages=(build-essential cmake ninja-build pkg-config libssl-dev libidn2-dev
    libjansson-dev libsmbclient-dev nginx nginx-dev)
ccs_demo_packages=(openssl curl)
ccs_smb_packages=(samba samba-common-bin)
ccs_apache_packages=(apache2-bin apache2-dev apache2-ssl-dev) # the server, not its service
ccs_check_packages=(git openssl curl libcmocka-dev libnginx-mod-stream
    clang clang-format clang-tidy cppcheck libclang-rt-14-dev
    strace gnutls-bin libnss3-tools openjdk-17-jre-headless python3-cryptography
    shellcheck)
ccs_long_packages=(valgrind)

ccs_die()
{
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-1}"
}

ccs_seconds()
{
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

ccs_missing_packages()
{
    local package
    for package in "$@"; do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            printf '%s\n' "$package"
        fi
    done
}

# ccs_need_packages <what for> <package>…: installs those that are missing.
ccs_need_packages()
{
    local purpose=$1 missing as_root=()
    shift
    command -v apt-get >/dev/null ||
        ccs_die "this needs Debian 12 packages, and there is no apt-get here; they are: $*"
    mapfile -t missing < <(ccs_missing_packages "$@")
    if ((${#missing[@]} == 0)); then
        return
    fi

    printf 'Needed %s and not installed: %s\n' "$purpose" "${missing[*]}"
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null || ! sudo -v; then
            ccs_die "installing them takes root. Ask for this to be run, then start again:
    apt-get install --no-install-recommends ${missing[*]}"
        fi
        as_root=(sudo)
    fi
    echo 'Installing them with apt-get, without recommended packages and without starting services.'
    if [[ " ${missing[*]} " == *' nginx '* ]]; then
        echo "Debian enables nginx's own service for the next boot: 'systemctl disable nginx' undoes that."
    fi
    if [[ " ${missing[*]} " == *' samba '* ]]; then
        echo "Debian enables Samba's own services for the next boot: 'systemctl disable smbd nmbd" \
            "samba-ad-dc' undoes that."
    fi
    # A command of its own, so that what it puts in place is taken away again however it ends.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash "$ccs_root/scripts/lib.sh" "${missing[@]}" ||
        ccs_die "apt-get could not install: ${missing[*]}"
}

# ccs_build <preset>, from the project's root.
ccs_build()
{
    cmake --preset "$1" | tail -n 3
    cmake --build --preset "$1" -j "$(nproc)" -- --quiet
}

# Runs as root. policy-rc.d is how Debian lets an administrator keep packages from starting their
# services; one that is there already is the administrator's, and its answer stands.
ccs_install_packages()
{
    local policy=/usr/sbin/policy-rc.d
    exec 9<"${policy%/*}"
    flock 9 # two commands at once: the first one's policy must not vanish under the second
    if [[ ! -e $policy && ! -L $policy ]]; then
        trap 'rm -f '"$policy" EXIT
        trap 'exit 129' HUP
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get -q update 9<&- || echo 'apt-get update failed; trying with the package lists at hand.' >&2
    apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install \
        --no-remove --no-install-recommends "$@" 9<&-
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    ((EUID == 0)) || ccs_die 'this part runs as root'
    ccs_install_packages "$@"
fi
