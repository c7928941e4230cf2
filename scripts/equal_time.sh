#!/usr/bin/env bash
# Sets up on first use, then compares layers and blocks on CIFAR-10, with the same seconds of training for each:
#   scripts/equal_time.sh SECONDS [OPTION ...]        scripts/equal_time.sh 300 --trials 8 --seeds 0,1,2 --jobs 2
# Launched again, it goes on where it was stopped. Options are those of lipnet-equal-time.
set -euo pipefail
[[ $# -ge 1 && $1 =~ ^[0-9] ]] || {
  sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
  exit 1
}
source "$(dirname "$0")/environment.sh"
make_environment ""
seconds=$1
shift
python -m lipnet.equal_time "$seconds" \
  conv=bcop conv=cayley conv=soc conv=lot conv=bro 'conv=aol linear=aol' \
  model.block=cpl model.block=sll model.block=liresnet model.block=lipnext \
  --with dataset=cifar10 model=residual loss=cross_entropy loss.epsilon=36/255 batch_size=256 \
  'eval_radii=[36/255,72/255,108/255]' 'attack.names=[]' --directory outputs/equal_time "$@"
