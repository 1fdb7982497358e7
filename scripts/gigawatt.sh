#!/bin/sh
# Runs gigawatt from a checkout, setting up .venv first: `sh scripts/gigawatt.sh plan examples/colossus-100k.yaml`.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/install.sh" run
exec "$root/.venv/bin/gigawatt" "$@"
