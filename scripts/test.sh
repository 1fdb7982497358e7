#!/bin/sh
# Sets up .venv with the development tools and runs every check. Needs no root; without Chromium the browser tests are left out, and said so.
set -eu
cd "$(dirname "$0")/.."
sh scripts/install.sh dev
bin=.venv/bin
$bin/ruff check .
$bin/ruff format --check .
$bin/mypy
$bin/lint-imports
command -v chromium >/dev/null 2>&1 || echo "note: no 'chromium' on this machine, so the browser tests are left out (Debian: apt-get install chromium)"
exec $bin/python -m pytest -n 2 -q "$@"
