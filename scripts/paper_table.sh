#!/usr/bin/env bash
# Runs every experiment of a data set for every seed, one after the other, then prints them beside the paper's numbers:
#   scripts/paper_table.sh mnist|cifar10 [--quick] [-- KEY=VALUE ...]
# --quick takes conf/experiment/quick instead of conf/experiment/paper (200 epochs each: days without a GPU).
# SEEDS=0,1,2,3,4 and EXPERIMENTS="NAME ..." choose among the runs; OUTPUTS=outputs is where they go, a folder a run.
# Ctrl-C or SIGTERM saves and stops. The same command goes on from there: what is completed is skipped.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 1; }

dataset=${1:-} kind=paper overrides=()
[[ $dataset == mnist || $dataset == cifar10 ]] || usage
shift
while (($#)); do
  case $1 in
    --quick) kind=quick ;;
    --) shift; overrides=("$@"); break ;;
    *) usage ;;
  esac
  shift
done
source "$(dirname "$0")/environment.sh"
make_environment ""

available=(conf/experiment/paper/"$dataset"_*.yaml)  # each has a twin of the same name in quick
available=("${available[@]##*/}") && available=("${available[@]%.yaml}")
read -ra names <<<"${EXPERIMENTS:-${available[*]}}"
for name in "${names[@]}"; do
  [[ -f conf/experiment/$kind/$name.yaml ]] || { echo "EXPERIMENTS: no $kind/$name; there are ${available[*]}" >&2; exit 1; }
done
IFS=, read -ra seeds <<<"${SEEDS:-0,1,2,3,4}"
root=${OUTPUTS:-outputs}/$kind
if ((${#overrides[@]})); then  # runs with other settings are other runs: they have a folder of their own
  root+=$(printf -- '-%s' "${overrides[@]}" | tr -c 'A-Za-z0-9._-' _)
fi
mkdir -p "$root"
if command -v flock >/dev/null; then
  exec 9>"$root/.$dataset.lock"  # kept by a run that outlives this script
  flock -n 9 || { echo "$root: this table is already being made" >&2; exit 1; }
fi

child='' stopping=''
stop() {
  stopping=yes
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}
trap stop INT TERM

# In a process group of its own, so that Ctrl-C reaches it once, through stop: a second signal would not let it save.
train() {
  local code
  set -m
  python train.py "$@" &
  child=$!
  set +m
  while true; do
    wait "$child" && code=0 || code=$?
    kill -0 "$child" 2>/dev/null || break  # not merely interrupted by a signal
  done
  child=''
  return "$code"
}

number=0 total=$((${#names[@]} * ${#seeds[@]})) failed=()
for seed in "${seeds[@]}"; do
  for name in "${names[@]}"; do
    directory=$root/$name/seed-$seed
    label="[$((number += 1))/$total] $kind/$name, seed $seed"
    if grep -qs '"status": "completed"' "$directory/results.json"; then
      echo "$label: completed in $directory"
      continue
    elif [[ -f $directory/.hydra/overrides.yaml ]]; then
      echo "$label: continuing $directory"
      arguments=("resume=$directory")
    else
      echo "$label: starting in $directory"
      arguments=("experiment=$kind/$name" "seed=$seed" "hydra.run.dir=$directory" ${overrides[@]+"${overrides[@]}"})
    fi
    train "${arguments[@]}" && code=0 || code=$?
    if [[ -n $stopping || $code == 130 || $code == 143 ]]; then
      echo "stopped; the same command goes on from here. The table so far: lipnet-results $root --paper"
      exit 130
    fi
    ((code == 0)) || failed+=("$name seed $seed")
  done
done
python -m lipnet.results "${names[@]/#/$root/}" --paper
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "Next: lipnet-results $root --paper --format latex --figures figures"
