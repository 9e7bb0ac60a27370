#!/bin/sh
# `format.sh lint` checks the Swift sources with the toolchain's swift-format, `format.sh format` rewrites them.
set -eu
cd "$(dirname "$0")/.."
if ! swift format --version >/dev/null 2>&1; then
    echo "format: this toolchain has no swift-format; nothing checked"
    exit 0
fi
files=$(git ls-files '*.swift' 2>/dev/null || find Package.swift Sources Tests Benchmarks -name '*.swift')
case "${1:-lint}" in
lint) swift format lint --strict --parallel $files && echo "lint: $(echo "$files" | wc -l) files passed, 0 failed" ;;
format) swift format --in-place --parallel $files && echo "format: done" ;;
esac
