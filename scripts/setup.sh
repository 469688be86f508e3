#!/bin/sh
# Makes .venv from requirements-dev.lock and installs this repository into it (editable).
# A second call finds the stamp and returns at once; an interrupted one is begun anew.
# PYTHON=/path/to/python chooses the interpreter, otherwise the first of 3.11 to 3.13 on PATH.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.setup-done         # holds what .venv was made from
packages=$venv/.setup-packages  # the same, of the packages alone
running=$venv/.setup-running    # there while anything is being written

say() { printf '%s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# Content, not time stamps: a git checkout touches files without changing them. The place counts too,
# since a virtual environment cannot be moved.
packages_print() {
    printf '%s\n' "$PWD"
    cksum requirements-dev.lock
    version_of "$venv/bin/python"
}

fingerprint() {
    packages_print
    cksum pyproject.toml
}

holds() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null || true; }

is_asked_for() { [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ]; }

is_done() { [ ! -f "$running" ] && holds "$stamp" "$(fingerprint)" && is_asked_for; }

usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 to 3.14, or does not start." \
            "Airflow 3.3 needs one. Try: make setup PYTHON=/path/to/python3.11"
        say "$PYTHON"
        return
    fi
    # What an earlier call chose stays chosen.
    if usable "$venv/bin/python"; then
        "$venv/bin/python" -c 'import sys; print(sys._base_executable)'
        return
    fi
    # Tried by running: a version manager's shim may be on PATH and still start nothing.
    for candidate in python3.11 python3.12 python3.13 python3; do
        if usable "$candidate"; then
            say "$candidate"
            return
        fi
    done
    die "No Python 3.11 to 3.14 was found on PATH (python3 is: $(python3 -V 2>&1 || true))." \
        "Airflow 3.3 needs one. Install it, or name it: make setup PYTHON=/path/to/python3.11"
}

make_venv() {
    if [ -n "$uv" ]; then
        uv venv --quiet --no-project --seed --python "$python" "$venv"
    else
        "$python" -m venv "$venv" || die "$python cannot make a virtual environment." \
            "On Debian and Ubuntu its package is python3-venv. Then call make setup again."
    fi
}

install_packages() {
    if [ -n "$uv" ]; then
        uv pip sync --quiet --python "$venv/bin/python" --require-hashes requirements-dev.lock
    else
        # pip first: the one that comes with Python 3.11 needs more than twice the time for the rest.
        awk '/^[^ #]/ {mine = /^pip==/} mine' requirements-dev.lock >"$venv/pip.lock"
        pip_install --require-hashes -r "$venv/pip.lock"
        # Modules are compiled when they are first imported (--no-compile), which is less to wait for.
        pip_install --require-hashes --no-compile -r requirements-dev.lock
    fi
}

install_this() {
    if [ -n "$uv" ]; then
        uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
    else
        pip_install --no-build-isolation --editable .
    fi
}

# The lock is complete, so there is nothing to resolve: --no-deps. A user's pip.conf may say `user = true`.
pip_install() {
    PIP_USER=0 "$venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps "$@"
}

# Two shells may call make at once; the second one waits and then finds the stamp.
if command -v flock >/dev/null 2>&1; then
    mkdir -p .local
    exec 9>.local/setup.lock
    flock -n 9 || {
        say "Another make is setting up; waiting for it ..."
        flock 9
    }
fi

if is_done; then
    exit 0
fi

python=$(choose_python) || exit 1
started=$(date +%s)
uv=$(command -v uv || true)

# Begun anew when an earlier call was cut short, when another interpreter is asked for, and when the pins
# have changed under pip, which would leave behind what is no longer pinned.
if [ -f "$running" ] ||
    [ "$(version_of "$python")" != "$(version_of "$venv/bin/python")" ] ||
    ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    { [ -z "$uv" ] && [ -f "$packages" ] && ! holds "$packages" "$(packages_print)"; }; then
    rm -rf "$venv"
fi
[ -x "$venv/bin/python" ] || make_venv
: >"$running"
rm -f "$stamp"
if ! holds "$packages" "$(packages_print)"; then
    if [ -n "$uv" ]; then
        say "Installing the pinned packages into $venv with uv ..."
    else
        say "Installing the pinned packages into $venv with pip; the first time this takes a minute or two ..."
    fi
    rm -f "$packages"
    install_packages || die "The packages could not be installed; the reason stands above." \
        "Often it is the network or a proxy (pip reads PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY)." \
        "Call make setup again: it begins anew."
    packages_print >"$packages"
fi
install_this || die "This repository could not be installed into $venv; the reason stands above." \
    "A mistake in pyproject.toml is the likely cause. Then call make setup again."
fingerprint >"$stamp"
rm -f "$running"
say "Ready after $(($(date +%s) - started)) s: $venv"
