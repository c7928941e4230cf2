#!/usr/bin/env bash
# Runs every experiment of a data set for every seed, one after the other, then prints them beside the paper's numbers:
#   scripts/paper_table.sh mnist|cifar10 [--quick] [-- KEY=VALUE ...]
# --quick takes conf/experiment/quick instead of conf/experiment/paper (200 epochs each: days without a GPU).
# SEEDS=0,1,2,3,4 and EXPERIMENTS="NAME ..." choose among the runs; OUTPUTS=outputs is where they go, a folder a run.
# Ctrl-C or SIGTERM saves and stops. The same command goes on from there: what is completed is skipped.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 1; }

source "$(dirname "$0")/environment.sh"
source "$(dirname "$0")/runs.sh"
dataset=${1:-} kind=paper
[[ $dataset == mnist || $dataset == cifar10 ]] || usage
options "${@:2}"
[[ ! $quick ]] || kind=quick
make_environment ""

available=(conf/experiment/paper/"$dataset"_*.yaml)  # each has a twin of the same name in quick
available=("${available[@]##*/}") && available=("${available[@]%.yaml}")
read -ra names <<<"${EXPERIMENTS:-${available[*]}}"
for name in "${names[@]}"; do
  [[ -f conf/experiment/$kind/$name.yaml ]] || { echo "EXPERIMENTS: no $kind/$name; there are ${available[*]}" >&2; exit 1; }
done
IFS=, read -ra seeds <<<"${SEEDS:-0,1,2,3,4}"
root=$(folder_for "${OUTPUTS:-outputs}/$kind" ${overrides[@]+"${overrides[@]}"})
mkdir -p "$root"
only_one "$root/.$dataset.lock" "$root"
trap stop INT TERM

so_far="lipnet-results $root --paper" number=0 total=$((${#names[@]} * ${#seeds[@]})) failed=()
for seed in "${seeds[@]}"; do
  for name in "${names[@]}"; do
    label="[$((number += 1))/$total] $kind/$name, seed $seed"
    run_once "$kind/$name" "$seed" "$root/$name/seed-$seed" ${overrides[@]+"${overrides[@]}"} ||
      failed+=("$name seed $seed")
  done
done
python -m lipnet.results "${names[@]/#/$root/}" --paper
finish ${failed[@]+"${failed[@]}"}
echo "Next: lipnet-results $root --paper --format latex --figures figures"
