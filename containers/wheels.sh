#!/bin/bash
# wheels.sh deepspeed: build DeepSpeed's wheel with its CPU operators once, print its path.
# wheels.sh stage:     collect every wheel of requirements-train.txt for train-cpu.def, print the folder.
#
# Both keep what they made under REPO/.lab/wheels, keyed by versions, and do nothing when it is there. Wheels come from
# where this machine's pip takes them (pip's own configuration). DeepSpeed exists as source only; compiling takes about
# three minutes and g++, and needs the torch it will run with: `.venv` has it after `make setup`.
#   PYTHON   an interpreter of the image's version (3.11) with pip, torch, setuptools, ninja; default REPO/.venv/bin/python
set -euo pipefail

HERE=$(dirname "$(readlink -f "$0")")
REPO=$(dirname "$HERE")
PYTHON=${PYTHON:-$REPO/.venv/bin/python}
WHEELS=$REPO/.lab/wheels
CONSTRAINTS=$REPO/constraints.txt
REQUIREMENTS=$HERE/requirements-train.txt

die() { echo "wheels: $*" >&2; exit 1; }
say() { echo "wheels: $*" >&2; }
version_of() { sed -n "s/^$1==//p" "$CONSTRAINTS"; }
pip() { "$PYTHON" -m pip --disable-pip-version-check -qq "$@" >&2; }

case ${1:-} in
  deepspeed | stage) ;;
  *) sed -n '/^# wheels.sh/s/^# //p' "$0" >&2; exit 2 ;;
esac
[ -x "$PYTHON" ] || die "no $PYTHON: run make setup, or set PYTHON"
[ "$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = 3.11 ] || die "$PYTHON is not Python 3.11, which the image has"

mkdir -p "$WHEELS"
exec 9> "$WHEELS/lock"
flock 9   # one at a time
rm -rf "$WHEELS"/*.new   # left by a run that was killed; we hold the lock

deepspeed_folder() {
  local torch
  torch=$("$PYTHON" -c 'from importlib.metadata import version; print(version("torch"))' 2> /dev/null) || die "$PYTHON has no torch: run make setup"
  echo "$WHEELS/deepspeed-$(version_of deepspeed)-torch-$torch-cp311"
}

deepspeed() {
  local folder
  folder=$(deepspeed_folder)
  if ! compgen -G "$folder/*.whl" > /dev/null; then
    command -v g++ > /dev/null || die "no g++: as root on Debian, scripts/lab/install-slurm brings it"
    say "compiling DeepSpeed's CPU operators, about three minutes"
    mkdir "$folder.new"
    # ninja is found on PATH only; its job count is the number of cores
    PATH=$(dirname "$PYTHON"):$PATH DS_ACCELERATOR=cpu DS_BUILD_SHM_COMM=1 DS_BUILD_CPU_ADAM=1 \
      pip wheel --no-deps --no-build-isolation --no-cache-dir --wheel-dir "$folder.new" \
        --require-hashes --requirement <(grep "^deepspeed==$(version_of deepspeed) " "$REPO/locks/all.txt") ||
      die "DeepSpeed did not build"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"/*.whl
}

write_requirements() {   # exact versions, and torch without CUDA
  local name
  grep -v '^#' "$REQUIREMENTS" | while read -r name; do
    case $name in
      torch) echo "torch==$(version_of torch)+cpu" ;;
      *) echo "$name==$(version_of "$name")" ;;
    esac
  done
}

stage() {
  local wheel folder
  wheel=$(deepspeed)
  folder=$WHEELS/stage-$( { write_requirements; basename "$(dirname "$wheel")"; } | sha256sum | cut -c1-16)
  if [ ! -d "$folder" ]; then
    say "downloading the wheels of $(basename "$REQUIREMENTS")"
    mkdir "$folder.new"
    write_requirements > "$folder.new/requirements.txt"
    if [ -n "${TORCH_INDEX_URL:-}" ]; then   # from there torch alone, before everything else
      pip download --only-binary :all: --no-deps --index-url "$TORCH_INDEX_URL" --dest "$folder.new/wheels" \
        "torch==$(version_of torch)+cpu" || die "no torch $(version_of torch)+cpu at TORCH_INDEX_URL"
    fi
    pip download --only-binary :all: --find-links "$(dirname "$wheel")" --find-links "$folder.new/wheels" --dest "$folder.new/wheels" \
      --requirement "$folder.new/requirements.txt" pip ||
      die "pip found not every wheel; if it is torch, TORCH_INDEX_URL can name an index that has its CPU builds (+cpu)"
    mv "$folder.new" "$folder"
  fi
  echo "$folder"
}

"$1"
