"""The ways to damage a run tree: bytes, keys, kinds of files, what is gone and what is left over."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COPIES = ("code", "toolkit")
"""What nobody reads to judge a run, and most of its files."""


@dataclass(frozen=True)
class Damage:
    """One thing done to a run tree.

    Attributes:
        what: For people.
        path: The file or folder it is done to.
        do: Does it.
    """

    what: str
    path: Path
    do: Callable[[], None]


def _replace(path: Path, make: Callable[[], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    make()


def _cut(path: Path, chance: random.Random) -> Damage:
    size = path.stat().st_size
    left = chance.randrange(size) if size else 0
    return Damage(f"cut to {left} bytes", path, lambda: os.truncate(path, left))


def _flip(path: Path, chance: random.Random) -> Damage:
    content = bytearray(path.read_bytes() or b"\0")
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return Damage("bytes flipped", path, lambda: _write(path, bytes(content)))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _other_shape(path: Path, chance: random.Random) -> Damage:
    value = chance.choice((b"", b"[]", b"{}", b"null", b"0", b'"x"', b"NaN", b"\xff\xfe", b"[" * 5000, b'{"kind": 3}'))
    return Damage(f"holds {value[:12]!r}", path, lambda: _write(path, value))


def _other_key(path: Path, chance: random.Random) -> Damage:
    """Remove a key of a JSON file, or give it a value of another type, at any depth."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return _flip(path, chance)
    places = list(_places(content))
    if not places:
        return _other_shape(path, chance)
    holder, key = chance.choice(places)
    value: Any = chance.choice((None, [], {}, "text", -1, 1e308, True, 2**70, "../../x", {"a": [1]}, _Removed))
    what = f"{key!r} is {value!r:.20}"
    if value is _Removed:
        del holder[key]
    else:
        holder[key] = value
    return Damage(what, path, lambda: _write(path, json.dumps(content).encode()))


class _Removed:
    """No value at all."""


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield value, number
            yield from _places(item)


def _pipe(path: Path, _: random.Random) -> Damage:
    return Damage("is a named pipe", path, lambda: _replace(path, lambda: os.mkfifo(path)))


def _folder(path: Path, _: random.Random) -> Damage:
    return Damage("is a folder", path, lambda: _replace(path, path.mkdir))


def _dangling(path: Path, _: random.Random) -> Damage:
    return Damage("is a dangling link", path, lambda: _replace(path, lambda: path.symlink_to("nowhere")))


def _gone(path: Path, _: random.Random) -> Damage:
    return Damage("is gone", path, lambda: _replace(path, lambda: None))


def _left_over(path: Path, chance: random.Random) -> Damage:
    """What rsync, an editor or a purge leave beside things."""
    name = chance.choice(("attempt-2", "attempt-9", ".attempt-1.ab.tmp", "attempt-x", "exit.json~", "0003", "\udcff"))
    stray = (path if path.is_dir() else path.parent) / name
    return Damage(f"beside it {name!r}", path, stray.mkdir)


FILE_DAMAGES = (
    _cut,
    _flip,
    _other_shape,
    _other_key,
    _other_key,
    _other_key,
    _pipe,
    _folder,
    _dangling,
    _gone,
    _left_over,
)
FOLDER_DAMAGES = (_gone, _left_over, _pipe, _dangling)


def damages(home: Path, count: int, seed: int) -> Iterator[Damage]:
    """Draw what to damage and how; each is made for the tree as it then stands."""
    chance = random.Random(seed)  # noqa: S311  no secret
    for _ in range(count):
        path = chance.choice(whole_paths(home))
        kinds = FOLDER_DAMAGES if path.is_dir() else FILE_DAMAGES
        yield chance.choice(kinds)(path, chance)


def whole_paths(home: Path) -> list[Path]:
    """What can be damaged, in order. A pipe would be waited at, and it or a dangling link is damaged already."""
    found = list[Path]()
    for folder, folders, names in os.walk(home):
        if Path(folder) == home:
            folders[:] = (name for name in folders if name not in COPIES)
        found += (Path(folder, name) for name in (*folders, *names) if not name.endswith(".lock"))
    return sorted(path for path in found if path.is_file() or path.is_dir())


def every_damage(home: Path, seed: int, keys: int) -> Iterator[Damage]:
    """Each kind to each path, and of JSON files so many keys; for a tree that is put back after each."""
    chance = random.Random(seed)  # noqa: S311  no secret
    for path in whole_paths(home):
        kinds = dict.fromkeys(FOLDER_DAMAGES if path.is_dir() else FILE_DAMAGES)
        further = (_other_key,) * (keys - 1 if path.suffix == ".json" else 0)
        for kind in (*kinds, *further):
            yield kind(path, chance)


def change_digits(paths: Iterable[Path], chance: random.Random) -> None:
    """Change digits of one of these files in place, and give it the time it had; nothing where none has content."""
    if found := sorted(path for path in paths if path.is_file() and path.stat().st_size):
        path = chance.choice(found)
        before, text = path.stat(), path.read_bytes()
        path.write_bytes(text.translate(bytes.maketrans(b"01", b"10")))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange_with_then(path: Path, kept: Path, chance: random.Random) -> None:
    """Bring back a file as it was, or keep it as it is for that."""
    names = [path, kept]
    if chance.random() < 0.5:
        names.reverse()
    if names[0].is_file() and names[1].parent.is_dir() and (names[1].is_file() or not os.path.lexists(names[1])):
        shutil.copy(*names)
