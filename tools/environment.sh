#!/usr/bin/env bash
# tools/environment.sh FOLDER EXTRAS: a virtual environment with this project and those extras.
# uv installs when it is there; pip does when it is not, when pip is set to indexes of its own
# (uv reads no pip settings), and when uv cannot.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$1
extras=$2
requirement=".[$extras]"

fail() {
    echo "environment: error: $1" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

pip_has_indexes_of_its_own() {
    local settings
    settings=$("$1" -m pip config list 2>/dev/null) || return 1
    grep -Eq '[.](index-url|extra-index-url|find-links|no-index)=' <<<"$settings"
}

install_with_uv() {
    command -v uv >/dev/null || return 1
    if [ -z "${UV_INDEX_URL:-}${UV_DEFAULT_INDEX:-}${UV_INDEX:-}${UV_FIND_LINKS:-}" ] &&
        pip_has_indexes_of_its_own "$python"; then
        echo "environment: pip is set to indexes of its own, so pip installs" >&2
        return 1
    fi
    [ -x "$folder/bin/python" ] || uv venv --quiet --seed --python "$python" "$folder" || return 1
    uv pip install --quiet --python "$folder/bin/python" -c constraints.txt -e "$requirement" || {
        echo "environment: uv could not install, trying pip" >&2
        return 1
    }
}

install_with_pip() {
    if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv "$folder" ||
            fail "cannot make $folder; install the venv module (Debian: apt install python3-venv)"
    fi
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        -c constraints.txt -e "$requirement" ||
        fail "pip could not install $requirement; see above; the network or the package index may be at fault"
}

if [ -x "$folder/bin/python" ]; then
    python=$folder/bin/python
    fits "$python" || fail "$folder has $("$python" -V), needed is 3.11, 3.12 or 3.13; remove $folder"
elif ! python=$(find_python); then
    fail "no Python 3.11, 3.12 or 3.13 found${PYTHON:+ at $PYTHON}; install one, or name it: make PYTHON=/path/to/python3.11"
fi

echo "environment: installing $requirement into $folder with $("$python" -V)" >&2
install_with_uv || install_with_pip
