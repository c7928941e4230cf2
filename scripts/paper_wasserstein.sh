#!/usr/bin/env bash
# Trains a GAN, then critics on its images and real ones: bcop, rko and ossn, with maxmin and with relu, at some learning
# rates, one run after the other; prints what they prove and the ratios between them, beside the paper's:
#   scripts/paper_wasserstein.sh cifar10|mnist [--quick] [-- KEY=VALUE ...]   (the KEY=VALUE are the critics')
# --quick takes conf/experiment/quick instead of conf/experiment/paper, which has cifar10 only and takes days without a GPU.
# SEEDS=0,1,2,3,4, METHODS=bcop,rko,ossn, ACTIVATIONS=maxmin,relu and RATES=1e-2,1e-3,1e-4,1e-5 choose among the runs,
# GAN=DIR takes a finished run of task=gan; OUTPUTS=outputs is where they go, a folder a run.
# Ctrl-C or SIGTERM saves and stops. The same command goes on from there: what is completed is skipped.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 1; }

source "$(dirname "$0")/environment.sh"
source "$(dirname "$0")/runs.sh"
dataset=${1:-} kind=paper seeds=0,1,2,3,4 rates=1e-2,1e-3,1e-4,1e-5
[[ $dataset == cifar10 || $dataset == mnist ]] || usage
options "${@:2}"
[[ ! $quick ]] || kind=quick seeds=0 rates=1e-2,1e-3
make_environment ""
[[ -f conf/experiment/$kind/wasserstein_$dataset.yaml ]] || usage

IFS=, read -ra seeds <<<"${SEEDS:-$seeds}"
IFS=, read -ra rates <<<"${RATES:-$rates}"
IFS=, read -ra methods <<<"${METHODS:-bcop,rko,ossn}"
IFS=, read -ra activations <<<"${ACTIVATIONS:-maxmin,relu}"
root=$(folder_for "${OUTPUTS:-outputs}/$kind-wasserstein/$dataset" ${overrides[@]+"${overrides[@]}"})
mkdir -p "$root"
only_one "$root/.lock" "$root"
trap stop INT TERM

so_far="python scripts/wasserstein_ratios.py $root" number=0 failed=()
total=$((${#seeds[@]} * ${#rates[@]} * ${#methods[@]} * ${#activations[@]}))
gan=${GAN:-${OUTPUTS:-outputs}/$kind-wasserstein/gan_$dataset}
if [[ -z ${GAN:-} ]]; then
  label="GAN on $dataset"
  run_once "$kind/gan_$dataset" 0 "$gan" || finish "$label"
fi
for seed in "${seeds[@]}"; do
  for rate in "${rates[@]}"; do
    for activation in "${activations[@]}"; do
      for method in "${methods[@]}"; do
        name=$method-$activation-$rate
        label="[$((number += 1))/$total] $name, seed $seed"
        run_once "$kind/wasserstein_$dataset" "$seed" "$root/$name/seed-$seed" "run=$gan" "conv=$method" \
          "activation=$activation" "optimizer.lr=$rate" ${overrides[@]+"${overrides[@]}"} || failed+=("$name seed $seed")
      done
    done
  done
done
python scripts/wasserstein_ratios.py "$root"
finish ${failed[@]+"${failed[@]}"}
