#!/bin/sh
# onewrite.sh [ROUNDS]: runs the one-write request test against a broker of its own (BROKER=nats-server for the peer).
set -eu
cd "$(dirname "$0")/../.."
scripts/build_c.sh
exec .venv/bin/python Tests/Soak/onewrite.py "${1:-1000000}"
