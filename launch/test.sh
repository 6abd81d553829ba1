#!/usr/bin/env bash
# Installs what the tests need into .venv and runs the quick ones of the library;
# arguments go to pytest, such as -m services, -m thorough or -m slow.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh

make_environment ".[test]"
export JAX_PLATFORMS=cpu
.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
    -m "not slow and not services and not thorough" "$@"
