#!/bin/sh
# Sets up .venv from a lock file: `sh scripts/install.sh run|dev`. Needs Python 3.11 or newer with its venv module, nothing else;
# does nothing when the lock file is the one that was installed last.
set -eu
cd "$(dirname "$0")/.."
kind=$1
lock=requirements/$kind.txt
stamp=.venv/.installed

PYTHON=${PYTHON:-python3}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "gigawatt needs Python 3.11 or newer as '$PYTHON' (set PYTHON=/path/to/python to choose another)" >&2
  exit 2
}
if [ ! -x .venv/bin/python ]; then
  "$PYTHON" -m venv .venv || {
    rm -rf .venv
    echo "'$PYTHON -m venv' failed: on Debian the venv module is in the package python3-venv" >&2
    exit 2
  }
fi
sum=$(cat "$lock" pyproject.toml | cksum)
[ -f "$stamp" ] && grep -qxF "$kind $sum" "$stamp" && exit 0
echo "setting up .venv from $lock (once, about half a minute)" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
echo "$kind $sum" >> "$stamp"
