#!/usr/bin/env bash
# tools/golden_matrix.sh FOLDER PYTHON...: golden streams and both interpreters on several Pythons,
# each with the oldest numpy that it has and pyproject.toml allows, then with the one of
# constraints.txt. One virtual environment a Python, kept in FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$1
shift
tests=(tests/codec/test_golden.py tests/codec/test_interpreter.py)

oldest_numpy() {
    "$1" -c 'import sys; print("1.26.0" if sys.version_info < (3, 13) else "2.1.0")'
}

pinned_numpy() {
    sed -n 's/^\(numpy==[0-9.]*\).*/\1/p' constraints.txt | head -1
}

for python in "$@"; do
    environment=$folder/$(basename "$python")
    PYTHON=$python tools/environment.sh "$environment" device,server,train,dev
    for numpy in "numpy==$(oldest_numpy "$environment/bin/python")" "$(pinned_numpy)"; do
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$numpy"
        echo "$("$environment/bin/python" -V), $numpy"
        "$environment/bin/python" -m pytest -q -p no:cacheprovider "${tests[@]}"
    done
done
