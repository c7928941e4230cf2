# Sourced by the scripts beside it that train recipe after recipe, for each of some seeds.
# A folder a run: what is completed is skipped, what was stopped is continued. After `trap stop INT TERM`, Ctrl-C saves
# and stops.

# options [--quick] [-- KEY=VALUE ...]: sets quick and overrides; anything else is answered by usage.
options() {
  quick='' overrides=()
  while (($#)); do
    case $1 in
      --quick) quick=yes ;;
      --) shift; overrides=("$@"); return ;;
      *) usage ;;
    esac
    shift
  done
}

child='' stopping=''
stop() {
  stopping=yes
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}

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

# folder_for ROOT [KEY=VALUE ...]: runs with other settings are other runs, and have a folder of their own.
folder_for() {
  local root=$1
  shift
  (($# == 0)) || root+=$(printf -- '-%s' "$@" | tr -c 'A-Za-z0-9._-' _)
  printf '%s\n' "$root"
}

only_one() {  # only_one FILE ROOT: leaves where another script works on the same runs
  command -v flock >/dev/null || return 0
  exec 9>"$1"  # kept by a run that outlives this script
  flock -n 9 || { echo "$2: this table is already being made" >&2; exit 1; }
}

# run_once EXPERIMENT SEED DIRECTORY [KEY=VALUE ...]; false if it fails, and leaves where it is stopped.
run_once() {
  local experiment=$1 seed=$2 directory=$3 code arguments
  shift 3
  if grep -qs '"status": "completed"' "$directory/results.json"; then
    echo "$label: completed in $directory"
    return 0
  elif [[ -s $directory/.hydra/overrides.yaml ]]; then
    echo "$label: continuing $directory"
    arguments=("resume=$directory")
  else
    echo "$label: starting in $directory"
    arguments=("experiment=$experiment" "seed=$seed" "hydra.run.dir=$directory" "$@")
  fi
  train "${arguments[@]}" && code=0 || code=$?
  if [[ -n $stopping || $code == 130 || $code == 143 ]]; then
    echo "stopped; the same command goes on from here. The table so far: $so_far"
    exit 130
  fi
  return "$code"
}

finish() {  # finish NAME ...: what failed, in words; ends with 1 if anything did
  (($# == 0)) && return
  printf 'failed: %s\n' "$@" >&2
  exit 1
}
