#!/bin/sh
# Rewrites the lock files from pyproject.toml (versions and hashes, no addresses). Needs uv.
set -eu
cd "$(dirname "$0")/.."
lock() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    pyproject.toml --group build "$@"
}
lock --group dev --extra frames -o requirements/dev.txt
lock --constraint requirements/dev.txt -o requirements/run.txt
