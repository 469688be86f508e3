#!/bin/sh
# Resolves requirements.txt and requirements-dev.txt into their locks, with hashes, for every platform and
# Python from 3.11 on. Pins that are still allowed stay; UPGRADE=1 takes the newest of everything else.
set -eu
cd "$(dirname "$0")/.."

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # Only this needs uv, so it gets a place of its own.
    [ -x .local/uv/bin/uv ] || {
        .venv/bin/python -m venv .local/uv
        PIP_USER=0 .local/uv/bin/python -m pip --quiet --disable-pip-version-check install uv==0.13.9
    }
    uv=.local/uv/bin/uv
fi

# The dev set first; the runtime set takes its versions, so that the two never differ.
for name in requirements-dev requirements; do
    $uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links ${UPGRADE:+--upgrade} "$name.txt" -o "$name.lock"
    printf "%s\n" "$name.lock"
done
