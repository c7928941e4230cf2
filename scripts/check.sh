#!/usr/bin/env bash
# Sets up on first use, then checks lint, format and types, as CI does.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
make_environment "[dev]"
ruff check .
ruff format --check .
mypy
echo "Next: scripts/test.sh runs the tests"
