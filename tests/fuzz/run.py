"""Search for bytes that a reader cannot stand, guided by the lines that are reached (atheris), else by chance.

    python -m tests.fuzz.run --seconds 120             each target for two minutes; 1 when something was found
    python -m tests.fuzz.run hdf5 logs --seconds 600

What is found is printed and kept below build/fuzz/TARGET/found; move it to tests/fuzz/found/TARGET once it is mended.
What was reached before is where the next search begins (build/fuzz/TARGET/corpus).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parents[2] / "build/fuzz"
NAMES = ("yaml", "manifest", "sacct", "records", "hdf5", "logs")
SLOW_S = 10
MOST_BYTES = 16384


def has_atheris() -> bool:
    """Whether the search can be guided."""
    return importlib.util.find_spec("atheris") is not None


def guided(name: str, seconds: float, home: Path) -> None:
    """Search in this process, which ends with it: not with 0 when something was found."""
    import atheris

    with atheris.instrument_imports(include=["hpc", "tests.fuzz"]):
        from tests.fuzz import targets
    corpus = home / "corpus"
    for content in (*targets.seeds(name), *targets.found(name)):
        (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content[:MOST_BYTES])
    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={max(1, round(seconds))}", f"-artifact_prefix={home}/found/",
            f"-timeout={SLOW_S}", f"-max_len={MOST_BYTES}", "-rss_limit_mb=2048", "-verbosity=1",
            "-print_final_stats=1",
        ],
        targets.TARGETS[name],
    )  # fmt: skip
    atheris.Fuzz()


def by_chance(name: str, seconds: float, seed: int, home: Path | None = None) -> tuple[int, str]:
    """Change seeds at random for so long; how many were tried, and what was found, as a person reads it."""
    from tests.fuzz import targets

    chance, tried = random.Random(seed), 0  # noqa: S311  no secret
    known = [*targets.seeds(name), *targets.found(name)]
    for content in targets.found(name):
        targets.TARGETS[name](content)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutated(known, chance)
        tried += 1
        began = time.monotonic()
        try:
            targets.TARGETS[name](content)
        except Exception:
            if home:
                (home / "found" / f"crash-{hashlib.sha256(content).hexdigest()[:16]}").write_bytes(content)
            return tried, f"{traceback.format_exc()}\ninput: {content[:2000]!r}"
        if (took := time.monotonic() - began) > SLOW_S:
            return tried, f"took {took:.1f} s\ninput: {content[:2000]!r}"
    return tried, ""


def mutated(known: list[bytes], chance: random.Random) -> bytes:
    """One of the known, changed where it means something, cut, doubled, or joined to another."""
    content = bytearray(chance.choice(known)[:MOST_BYTES])
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        place = chance.randrange(len(content) + 1)
        match chance.randrange(6):
            case 0:
                content[place : place + 1] = bytes([chance.choice([0, 9, 10, 34, 45, 58, 92, 123, 124, 255])])
            case 1:
                del content[place : place + chance.choice([1, 2, 8, 64])]
            case 2:
                content[place:place] = content[place : place + chance.choice([1, 4, 32, 256])]
            case 3:
                other = chance.choice(known)
                start = chance.randrange(len(other) + 1)
                content[place:place] = other[start : start + chance.choice([4, 32, 256])]
            case 4:
                content[place:place] = chance.choice(PIECES)
            case _ if place < len(content):
                content[place] ^= 1 << chance.randrange(8)
    return bytes(content[:MOST_BYTES])


PIECES = (
    b"1e999", b"-1", b"9" * 30, b"NaN", b"null", b"[]", b"{}", b"true", b"\x00", b"\xff\xfe", b"\xf0\x9f\x98\x80",
    b"&a *a", b"!!python/object:os.system", b"%s%n", b"../../x", b"[" * 200, b"1:1:1", b"|" * 40, b"\x1b[31m", b"\r\n",
)  # fmt: skip


def search(name: str, seconds: float) -> bool:
    """Search for one target in a process of its own, which may die over it; whether nothing was found."""
    home, end = BUILD / name, time.monotonic() + seconds
    for part in ("corpus", "found"):
        (home / part).mkdir(parents=True, exist_ok=True)
    crashes = 0
    while (left_s := end - time.monotonic()) > 1 or not crashes:
        before = set((home / "found").iterdir())
        command = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(left_s), "--here"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
        new = sorted(set((home / "found").iterdir()) - before)
        told = [line for line in done.stderr.splitlines() if " cov: " in line][-1:]
        print(f"{name}: {told[0].strip() if told else done.stdout.strip()[-200:]}", flush=True)  # noqa: T201
        if done.returncode == 0:
            break
        if name != "hdf5" or not new or not all(stands_apart(path) for path in new):
            how = f"{_how(done)}\n{done.stdout[-3000:]}\n{done.stderr[-4000:]}"
            print(f"{name}: {how}\nkept: {[str(path) for path in new]}", flush=True)  # noqa: T201
            return False
        crashes += 1
        print(f"{name}: the library itself gave up ({_how(done)}); it is read in a child for that", flush=True)  # noqa: T201
    return True


def stands_apart(path: Path) -> bool:
    """Whether the reader that everything uses stands it: HDF5 may crash, and does so in a child."""
    from hpc.adapters.metrics_apart import read_apart
    from hpc.core.errors import InputError

    with contextlib.suppress(InputError):
        read_apart(path)
    return True


def _how(done: subprocess.CompletedProcess[Any]) -> str:
    return f"killed by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"exit {done.returncode}"


def main() -> int:
    """Search, in children; with ``--here`` in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if wrong := [name for name in arguments.targets if name not in NAMES]:
        parser.error(f"no such target: {', '.join(wrong)}")
    if not arguments.here:
        sound = [search(name, arguments.seconds) for name in arguments.targets or NAMES]
        return int(not all(sound))
    name = arguments.targets[0]
    if has_atheris():
        guided(name, arguments.seconds, BUILD / name)
    tried, problem = by_chance(name, arguments.seconds, time.time_ns(), BUILD / name)
    print(problem or f"{tried} inputs by chance")  # noqa: T201
    return int(bool(problem))


if __name__ == "__main__":
    sys.exit(main())
