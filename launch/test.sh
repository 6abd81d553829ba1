#!/usr/bin/env bash
# Installs what the tests need into .venv and runs them; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh

make_environment ".[test]"
export JAX_PLATFORMS=cpu
.venv/bin/python -m pytest --numprocesses 2 --dist loadfile "$@"
