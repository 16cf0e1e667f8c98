#!/bin/sh
# SPDX-License-Identifier: MIT
#
# needs.sh - installs the packages that the tests need, as root on a system with apt. Elsewhere it
# prints which are missing; the tests that need them then fail.
#
#     test/needs.sh               installs what make check needs
#     test/needs.sh PACKAGE...    installs these; reports those that cannot be had, without failing
set -u
# redis-tools contains the server's program, too; redis-server would start a service.
packages='gcc g++ libc6-dev clang libclang-rt-dev libcmocka-dev pkgconf binutils
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
    abigail-tools bash cmake git google-perftools liblua5.4-dev libsqlite3-dev lua5.4 mandoc
    musl-tools perl python3 redis-server shellcheck spin sqlite3 tcc valgrind xz-utils libelf-dev
    libdw-dev libzstd-dev libncurses-dev ncurses-bin gdb systemtap-sdt-dev bpftrace util-linux'
foreign=build/arm64/cmocka # cmocka for arm64 is unpacked here, since it is not installed.

missing() { # package...
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            echo "$package"
    done
}

install_packages() { # package...
    # shellcheck disable=SC2046 # missing prints several words
    set -- $(missing "$@")
    [ $# -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "needs.sh: please install: $*" >&2
        return 0
    fi
    echo "installing $*"
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "$@"; } >build/needs.log 2>&1 ||
        { tail -n 20 build/needs.log >&2; return 1; }
}

# Runs apt-get for the packages of arm64 without adding that architecture to the system.
apt_arm64() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$state" -o Dir::State::status=/dev/null -o Dir::Cache="$state" "$@"
}

unpack_cmocka_arm64() {
    [ ! -e "$foreign/usr/include/cmocka.h" ] || return 0
    command -v apt-get >/dev/null || return 0
    state=$PWD/build/arm64/apt
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$foreign"
    chmod -R a+rX build/arm64
    (cd "$state" && apt_arm64 update && apt_arm64 download libcmocka0 libcmocka-dev) \
        >build/needs-arm64.log 2>&1 || { tail -n 5 build/needs-arm64.log >&2; return 0; }
    for package in "$state"/*.deb; do dpkg -x "$package" "$foreign"; done
    rm -rf "$state"
}

cd "$(dirname "$0")/.." || exit 1
mkdir -p build
if [ $# -gt 0 ]; then
    for package; do install_packages "$package"; done
    exit 0
fi
# shellcheck disable=SC2086 # packages is several words
install_packages $packages || exit 1
unpack_cmocka_arm64
