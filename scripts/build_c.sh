#!/bin/sh
# Compiles the tests' C programs into .venv/bin, those that are older than their sources.
set -eu
cd "$(dirname "$0")/.."
compile() {
    source=$1 program=.venv/bin/$2
    shift 2
    if [ ! -x "$program" ] || [ "$source" -nt "$program" ]; then
        gcc -O2 -Wall -Wextra -Wno-unused-parameter -o "$program" "$source" "$@"
    fi
}
compile Tests/Interop/libnats_client.c libnats_client $(pkg-config --cflags --libs libnats)
compile Tests/Interop/libnats_jetstream.c libnats_jetstream $(pkg-config --cflags --libs libnats)
compile Tests/Soak/onewrite.c onewrite -lpthread
