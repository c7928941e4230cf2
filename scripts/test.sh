#!/usr/bin/env bash
# Sets up on first use, then runs the tests on two processes. Arguments go to pytest: scripts/test.sh tests/layers -k bcop
set -euo pipefail
source "$(dirname "$0")/environment.sh"
make_environment "[test]"
unset PYTHONDONTWRITEBYTECODE  # a hundred tests start the program: its files are compiled once
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
echo "Next: scripts/quickstart.sh trains a first network; scripts/check.sh runs lint and types"
