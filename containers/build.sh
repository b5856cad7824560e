#!/bin/bash
# build.sh NAME [--force]: build containers/NAME.def into images/NAME.sif, once.
#
# Nothing is done when the image was built from the same definition, requirements and constraints (--force: build anyway).
# Two at once: one builds, the other waits and finds the result. The image appears whole or not at all, and
# images/images.lock.toml then says what it is: sha256, size, date, definition, Apptainer version, packages inside.
#
#   APPTAINER       default: apptainer on PATH, else REPO/.lab/apptainer (scripts/lab/install-apptainer)
#   DEBIAN_MIRROR   default: the first Debian mirror in this machine's own apt sources
#   BUILD_ARGUMENTS "KEY=VALUE …" for the definition's {{ KEY }}s
#   PYTHON          default: REPO/.venv/bin/python, else python3
set -euo pipefail

HERE=$(dirname "$(readlink -f "$0")")
REPO=$(dirname "$HERE")
IMAGES=$REPO/images

die() { echo "build: $*" >&2; exit 1; }
say() { echo "build: $*"; }

NAME=${1:-}
FORCE=${2:-}
DEFINITION=$HERE/$NAME.def
if [ ! -f "$DEFINITION" ] || [ "${FORCE:---force}" != --force ]; then
  echo "usage: build.sh NAME [--force], NAME one of: $(cd "$HERE" && printf '%s ' *.def | sed 's/\.def//g')" >&2
  exit 2
fi

if [ -z "${PYTHON:-}" ]; then
  PYTHON=$REPO/.venv/bin/python
  [ -x "$PYTHON" ] || PYTHON=$(command -v python3) || die "no python3"
fi
APPTAINER=${APPTAINER:-$(command -v apptainer || echo "$REPO/.lab/apptainer/bin/apptainer")}
VERSION=$("$APPTAINER" --version 2> /dev/null | sed 's/^apptainer version //') || VERSION=
[ -n "$VERSION" ] ||
  die "no Apptainer at $APPTAINER: load your site's module, set APPTAINER, or run scripts/lab/install-apptainer"

uses_wheels() { grep -q '/mnt/wheels' "$DEFINITION"; }
uses_mirror() { grep -q '{{ MIRROR }}' "$DEFINITION"; }

inputs() {   # everything of this repository that the image depends on
  echo "$DEFINITION"
  case $NAME in train*) printf '%s\n' "$HERE/check_train.py" "$HERE/requirements-train.txt" "$REPO/constraints.txt" ;; esac
}
digest=$( { inputs | tr '\n' '\0' | xargs -0 cat; echo "${BUILD_ARGUMENTS:-}"; } | sha256sum | cut -d' ' -f1)
current() { "$PYTHON" "$HERE/image_record.py" current "$IMAGES" "$NAME" "$digest"; }

mkdir -p "$IMAGES"
exec 9> "$IMAGES/.$NAME.lock"   # apptainer inherits it: the lock is free when nothing of a build is left
flock --nonblock 9 || { say "waiting for the build of $NAME that is under way"; flock 9; }

if [ "$FORCE" != --force ] && current; then
  say "images/$NAME.sif is up to date"
  exit 0
fi

WORK=${APPTAINER_TMPDIR:-$REPO/.lab}/build-$NAME
PARTIAL=$IMAGES/.$NAME.sif.partial
LOG=$IMAGES/$NAME.build.log

remove_work() {   # also what a killed build left, which may still be mounted
  awk -v work="$WORK/" 'index($2, work) == 1 {print $2}' /proc/mounts | tac | while read -r mounted; do umount "$mounted"; done
  rm -rf --one-file-system "$WORK"
  rm -f "$PARTIAL"
}

arguments=(--mksquashfs-args '-comp zstd -Xcompression-level 3')   # half the time of gzip for the same size
[ "$(id -u)" = 0 ] || arguments+=(--fakeroot)
for argument in ${BUILD_ARGUMENTS:-}; do arguments+=(--build-arg "$argument"); done
if uses_mirror; then
  mirror=$("$REPO/scripts/debian-mirror")
  case $mirror in *@*) die "the mirror's address holds a password, which the image would keep: set DEBIAN_MIRROR" ;; esac
  arguments+=(--build-arg "MIRROR=$mirror")
fi
if uses_wheels; then
  staged=$(PYTHON=$PYTHON "$HERE/wheels.sh" stage)
  arguments+=(--bind "$staged:/mnt:ro")
fi

remove_work
trap remove_work EXIT
mkdir -p "$WORK"
say "building images/$NAME.sif, which takes minutes (log: images/$NAME.build.log)"
if ! (cd "$HERE" && APPTAINER_TMPDIR=$WORK APPTAINER_CACHEDIR=$WORK/cache "$APPTAINER" build "${arguments[@]}" "$PARTIAL" "$DEFINITION") > "$LOG" 2>&1; then
  tail -n 30 "$LOG" >&2
  die "the build of $NAME failed; the whole log is images/$NAME.build.log"
fi

packages() {   # name=version of Debian's, name==version of Python's
  # shellcheck disable=SC2016  # for the shell inside
  "$APPTAINER" --quiet exec --cleanenv --contain --no-home "$PARTIAL" sh -c '
    dpkg-query -W -f "\${Package}=\${Version}\n"
    python3 -c "from importlib.metadata import distributions
print(*sorted({d.name + \"==\" + d.version for d in distributions()}), sep=\"\\n\")"'
}
listed=$(packages)
sync "$PARTIAL"
mv "$PARTIAL" "$IMAGES/$NAME.sif"
"$PYTHON" "$HERE/image_record.py" add "$IMAGES" "$NAME" "$digest" "$VERSION" <<< "$listed"
say "built images/$NAME.sif in $SECONDS s ($(du -h --apparent-size "$IMAGES/$NAME.sif" | cut -f1))"
