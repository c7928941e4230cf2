# Sourced by the scripts beside it: makes .venv with lipnet in it, unless it is there already, and activates it.
# PYTHON chooses the interpreter (3.10 to 3.13); LIPNET_VENV another place for the environment.

make_environment() {  # make_environment EXTRAS, such as "" or "[test]"
  local root venv
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  venv=${LIPNET_VENV:-$root/.venv}
  cd "$root"
  if [[ ! -x $venv/bin/python ]]; then
    echo "making $venv"
    "${PYTHON:-python3}" -m venv "$venv"
  fi
  # shellcheck disable=SC1091
  source "$venv/bin/activate"
  if [[ ! $venv/.installed"$1" -nt setup.cfg ]]; then
    echo "installing lipnet$1 (torch is large: a minute or more)"
    python -m pip install --quiet --disable-pip-version-check -e ".$1"
    touch "$venv/.installed$1"
  fi
}
