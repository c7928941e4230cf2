#!/usr/bin/env bash
# Sets up on first use, then trains, certifies and attacks a BCOP network on the embedded digits (about a minute).
# Arguments go to the program: scripts/quickstart.sh dataset=mnist epochs=5
set -euo pipefail
source "$(dirname "$0")/environment.sh"
make_environment ""
python train.py "$@"
echo "Next: source ${LIPNET_VENV:-.venv}/bin/activate; tensorboard --logdir outputs/robustness; python train.py --help"
