# shellcheck shell=bash
# Sourced by the other scripts: make_environment REQUIREMENT installs it into .venv.

make_environment() {
  local python=${PYTHON:-}
  if [ -z "$python" ]; then
    for python in python3 python3.13 python3.12 python3.11; do
      "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    done
  fi
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: Python 3.11 or newer is needed; set PYTHON to one" >&2
    exit 1
  fi
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  echo "installing into $PWD/.venv ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$1"
}
