#!/usr/bin/env bash
# Estimates every Wasserstein distance of conf/experiment/wasserstein for every seed, one run after the other, then
# prints them beside the true values and, for the MinFunnel pairs, the published estimates:
#   scripts/wasserstein_benchmark.sh [--quick] [-- KEY=VALUE ...]
# --quick takes one seed and six of the MinFunnel pairs, those with critics of cones alone.
# SEEDS=0,1,2, EXPERIMENTS="cone ...", DIMENSIONS=2,4,8,16,32,64,128 and FUNNELS=4,16,64,256 (of the MinFunnel pairs)
# choose among the runs; OUTPUTS=outputs is where they go, a folder a run.
# Ctrl-C or SIGTERM saves and stops. The same command goes on from there: what is completed is skipped.
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 1; }

source "$(dirname "$0")/environment.sh"
source "$(dirname "$0")/runs.sh"
options "$@"
make_environment ""

available=(conf/experiment/wasserstein/*.yaml)
available=("${available[@]##*/}") && available=("${available[@]%.yaml}")
default=${available[*]} seeds=0,1,2 dimensions=2,4,8,16,32,64,128 funnels=4,16,64,256
if [[ $quick ]]; then
  default=${default/minfunnel / } seeds=0 dimensions=2,16,128 funnels=4,64
fi
read -ra names <<<"${EXPERIMENTS:-$default}"
for name in "${names[@]}"; do
  [[ -f conf/experiment/wasserstein/$name.yaml ]] || { echo "EXPERIMENTS: no wasserstein/$name; there are ${available[*]}" >&2; exit 1; }
done
IFS=, read -ra seeds <<<"${SEEDS:-$seeds}"
IFS=, read -ra dimensions <<<"${DIMENSIONS:-$dimensions}"
IFS=, read -ra funnels <<<"${FUNNELS:-$funnels}"
root=$(folder_for "${OUTPUTS:-outputs}/wasserstein-benchmark" ${overrides[@]+"${overrides[@]}"})

jobs=()  # "experiment folder KEY=VALUE ..."
for name in "${names[@]}"; do
  if [[ $name == minfunnel* ]]; then
    for dimension in "${dimensions[@]}"; do
      for number in "${funnels[@]}"; do
        jobs+=("$name $name-$dimension-$number dataset.dimension=$dimension dataset.funnels=$number")
      done
    done
  else
    jobs+=("$name $name")
  fi
done
mkdir -p "$root"
only_one "$root/.lock" "$root"
trap stop INT TERM

so_far="lipnet-results $root" number=0 total=$((${#jobs[@]} * ${#seeds[@]})) folders=() failed=()
for job in "${jobs[@]}"; do
  read -r _ folder _ <<<"$job"
  folders+=("$root/$folder")
done
for seed in "${seeds[@]}"; do
  for job in "${jobs[@]}"; do
    read -ra words <<<"$job"
    label="[$((number += 1))/$total] ${words[1]}, seed $seed"
    run_once "wasserstein/${words[0]}" "$seed" "$root/${words[1]}/seed-$seed" "${words[@]:2}" \
      ${overrides[@]+"${overrides[@]}"} || failed+=("${words[1]} seed $seed")
  done
done
python -m lipnet.results "${folders[@]}"
finish ${failed[@]+"${failed[@]}"}
