"""Whether the files of a checkpoint can be opened: their headers and directories are read, and nothing of them is run.

A pickle is walked word by word and never loaded. What is read is small beside a checkpoint: that a file is whole by its
own table of contents, not that every number in it is the one that was written.
"""

import json
import os
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from hpc.adapters.files import open_regular, read_regular
from hpc.core.errors import InputError

MOST_JSON = 64 << 20
MOST_PICKLE = 8 << 20
"""Larger ones are not walked: only their last byte is looked at."""
_LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_NUMPY = b"\x93NUMPY"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".metadata")
_OPTIMISER = re.compile(r".*zero_pp_rank_(\d+)_mp_rank_(\d+)_optim_states\.pt")


class _DamagedError(Exception):
    """Why a file cannot be loaded."""


def damages(checkpoint: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file of a checkpoint that cannot be loaded, and why.

    Args:
        checkpoint: A file, or a folder with everything below it.
    """
    files = [checkpoint] if not checkpoint.is_dir() else sorted(_below(checkpoint))
    if not files:
        yield checkpoint, "is an empty folder"
    for path in files:
        if problem := damage_of(path):
            yield path, problem
    for folder in sorted({path.parent for path in files}):
        yield from _missing_parts(folder)


def _below(folder: Path) -> Iterator[Path]:
    for home, _, names in os.walk(folder):
        yield from (Path(home, name) for name in names if not name.startswith(".nfs"))


def damage_of(path: Path) -> str:
    """Say why a file cannot be loaded; empty where nothing speaks against it, or its kind is not known."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if check := _check_for(path, file.read(16)):
                file.seek(0)
                check(file, size)
    except _DamagedError as error:
        return str(error)
    except InputError as error:
        return error.problems[0].message
    except (OSError, ValueError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        return f"is damaged or cut off ({' '.join(str(error).split())[:120] or type(error).__name__})"
    return ""


_Check = Callable[[BinaryIO, int], None]


def _check_for(path: Path, begin: bytes) -> _Check | None:
    """How a file is checked: by what it begins with, else by what its name promises."""
    name = path.name
    if name.endswith(".safetensors"):
        return _safetensors
    if name.endswith(".distcp"):
        return _not_empty
    if name.endswith(".json"):
        return _json
    for magic, check in ((b"PK\x03\x04", _zip), (_HDF5, _hdf5), (_LEGACY_TORCH, _old_torch), (_NUMPY, _numpy)):
        if begin.startswith(magic):
            return check
    if name.endswith((".npz", ".zip")):
        return _zip
    if name.endswith((".h5", ".hdf5")):
        return _hdf5
    if name.endswith(".npy"):
        return _numpy
    if name.endswith(_PICKLES):
        return _pickle
    return None


def _not_empty(file: BinaryIO, size: int) -> None:
    del file
    if not size:
        raise _DamagedError("is empty")


def _safetensors(file: BinaryIO, size: int) -> None:
    """Eight bytes of length, a JSON header, then the tensors, one behind the other to the end of the file."""
    _not_empty(file, size)
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if length > size - 8 or length > MOST_JSON:
        raise _DamagedError(f"its header should have {length} bytes, the file has {size}")
    header = json.loads(file.read(length))
    ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise _DamagedError(f"has {size} bytes, its header says {expected}")


def _json(file: BinaryIO, size: int) -> None:
    if size <= MOST_JSON:
        json.loads(file.read())


def _zip(file: BinaryIO, size: int) -> None:
    """A zip as torch, numpy and Keras write it: its directory is at the end, and each member begins where it says."""
    _not_empty(file, size)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        for member in members:
            file.seek(member.header_offset)
            if file.read(4) != b"PK\x03\x04" or member.header_offset + member.compress_size > size:
                raise _DamagedError(f"its member {member.filename!r} is not where its directory says")
        for member in members:
            if member.filename.endswith("data.pkl") and member.file_size <= MOST_PICKLE:
                _walk(archive.read(member))


def _old_torch(file: BinaryIO, size: int) -> None:
    """Five pickles, then the tensors: a magic number, a version, the machine, the object, the keys of its tensors."""
    del size
    for _ in range(5):
        _walk(file)


def _pickle(file: BinaryIO, size: int) -> None:
    _not_empty(file, size)
    if size <= MOST_PICKLE:
        _walk(file.read())
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b".":
        raise _DamagedError("is cut off: a pickle ends with a full stop")


def _walk(pickled: "bytes | BinaryIO") -> None:
    """Read a pickle's words to its end without doing what they say."""
    try:
        for _ in pickletools.genops(pickled):
            pass
    except (ValueError, UnicodeDecodeError, struct.error) as error:
        raise _DamagedError(f"is no whole pickle ({str(error)[:80]})") from None


def _hdf5(file: BinaryIO, size: int) -> None:
    _not_empty(file, size)
    import h5py  # here: most checkpoints are of another kind

    with h5py.File(file, "r") as content:
        list(content)


def _numpy(file: BinaryIO, size: int) -> None:
    """Its header says type and shape; objects would be a pickle, which is not read."""
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
    items = 1
    for length in shape:
        items *= length
    expected = file.tell() + items * dtype.itemsize
    if not dtype.hasobject and size < expected:
        raise _DamagedError(f"has {size} bytes, its header says {expected}")


# ── files that name others ───────────────────────────────────────────────────────────────────────────────────────


def _missing_parts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what the files of a folder name and is not there."""
    names = set(os.listdir(folder))  # noqa: PTH208  names are enough
    yield from ((folder / name, f"is missing: {of} names it") for of, name in _named_parts(folder, names))
    if "latest" in names:
        tag = (folder / "latest").read_text(encoding="utf-8", errors="replace").strip()[:200]
        if tag and not (folder / tag).is_dir():
            yield folder / tag, "is missing: latest names it"
    ranks: dict[str, set[int]] = {}
    for found in filter(None, map(_OPTIMISER.fullmatch, names)):
        ranks.setdefault(found[2], set()).add(int(found[1]))
    for model, there in ranks.items():
        gaps = sorted(set(range(max(there))) - there)
        if gaps:
            yield folder, f"has no optimiser state of rank {gaps[0]} (model part {model})"
    if ranks and not any(name.endswith("model_states.pt") for name in names):
        yield folder, "has optimiser states and no model states"


def _named_parts(folder: Path, names: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (index, part) of each part that an index names and that is not there."""
    for index in sorted(name for name in names if name.endswith((".safetensors.index.json", ".bin.index.json"))):
        try:
            content = json.loads(read_regular(folder / index, MOST_JSON))
            parts = set(content["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError, InputError, OSError):
            continue  # said by the file's own check, or of another kind
        yield from ((index, part) for part in sorted(map(str, parts)) if part not in names)
    if ".metadata" in names:  # of torch.distributed.checkpoint: a pickle in which the parts are plain texts
        try:
            words = {str(told) for _, told, _ in pickletools.genops(read_regular(folder / ".metadata", MOST_PICKLE))}
        except (ValueError, InputError, OSError, struct.error):
            return
        parts = {word for word in words if word.endswith(".distcp") and "/" not in word}
        yield from ((".metadata", part) for part in sorted(parts) if part not in names)
