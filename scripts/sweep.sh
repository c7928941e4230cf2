#!/usr/bin/env bash
# Sets up on first use, runs a ready-made sweep (conf/sweep), then prints the table of its runs:
#   scripts/sweep.sh NAME [KEY=VALUE ...]        scripts/sweep.sh methods epochs=10
# Launched again, it goes on where it was stopped.
set -euo pipefail
[[ $# -ge 1 && -f $(dirname "$0")/../conf/sweep/$1.yaml ]] || {
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  echo "sweeps: $(cd "$(dirname "$0")/../conf/sweep" && echo *.yaml | sed 's/\.yaml//g')" >&2
  exit 1
}
source "$(dirname "$0")/environment.sh"
make_environment ""
name=$1 code=0
shift
python train.py "sweep=$name" "$@" || code=$?
((code < 128)) || exit "$code"  # stopped: the closing lines say how to go on
python -m lipnet.results outputs/latest
exit "$code"
