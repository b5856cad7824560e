"""One compressed tar: the same bytes for the same content, nothing outside its folder, never half a file."""

import io
import os
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc.adapters import archive_file
from hpc.adapters.archive_file import ArchiveError, stays_within, unpack, writing
from hpc.core.errors import InputError

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
trees = st.recursive(st.binary(max_size=50), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6)
SUFFIX = ".tar.zst" if shutil.which("zstd") else ".tar.gz"


def build(folder: Path, tree: object, when: int) -> None:
    """Lay out folders and files."""
    folder.mkdir()
    assert isinstance(tree, dict)
    for name, content in tree.items():
        if isinstance(content, dict):
            build(folder / name, content, when)
        else:
            (folder / name).write_bytes(content)
            os.utime(folder / name, (when, when))
    os.utime(folder, (when, when))


def pack(folder: Path, target: Path) -> None:
    """Archive a folder under the name ``top``."""
    found = sorted(folder.rglob("*"), key=lambda path: os.fsencode(str(path)))
    with writing(target, "top") as archive:
        archive.add("", folder)
        for path in found:
            archive.add(str(path.relative_to(folder)), path)


def contents(folder: Path) -> dict[str, object]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@settings(max_examples=25)
@given(st.dictionaries(names, trees, max_size=4), st.integers(0, 2**31), st.sampled_from([".tar.gz", SUFFIX]))
def test_what_comes_out_is_what_went_in_and_packs_to_the_same_bytes(tmp_path_factory, tree, when, suffix):
    """Any names and contents; archived from another place, and again from what was unpacked: byte for byte the same."""
    base = tmp_path_factory.mktemp("pack")
    for place in ("one", "two"):
        build(base / place, tree, when)
        pack(base / place, base / f"{place}{suffix}")
    assert (base / f"one{suffix}").read_bytes() == (base / f"two{suffix}").read_bytes()
    (base / "out").mkdir()
    found = unpack(base / f"one{suffix}", base / "out")
    assert found.top == "top"
    assert contents(base / "out/top") == contents(base / "one")
    pack(base / "out/top", base / f"three{suffix}")
    assert (base / f"three{suffix}").read_bytes() == (base / f"one{suffix}").read_bytes()


def hostile(kind: str) -> tarfile.TarInfo:
    """A member that must not be unpacked."""
    info = tarfile.TarInfo("top/x")
    if kind == "absolute":
        info.name = "/etc/x"
    elif kind == "up":
        info.name = "top/../../x"
    elif kind == "beside":
        info.name = "other/x"
    elif kind in ("link out", "absolute link"):
        info.type, info.linkname = tarfile.SYMTYPE, "../../x" if kind == "link out" else "/etc"
    elif kind == "hard link":
        info.type, info.linkname = tarfile.LNKTYPE, "top/a"
    else:
        info.type = {"device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE, "sparse": tarfile.GNUTYPE_SPARSE}[kind]
    return info


KINDS = ("absolute", "up", "beside", "link out", "absolute link", "hard link", "device", "pipe", "sparse")


@pytest.mark.parametrize("kind", KINDS)
def test_what_leads_out_is_refused(tmp_path, kind):
    """Absolute names, `..`, a second folder, links out, hard links, devices, pipes: refused, nothing is outside."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        good = tarfile.TarInfo("top/a")
        tar.addfile(good, io.BytesIO())
        tar.addfile(hostile(kind), io.BytesIO())
    out = tmp_path / "out/in"
    out.mkdir(parents=True)
    with pytest.raises(ArchiveError):
        unpack(tmp_path / "a.tar.gz", out)
    assert {path.name for path in tmp_path.rglob("*")} <= {"a.tar.gz", "out", "in", "top", "a"}


def test_nothing_is_written_through_a_link_of_the_archive(tmp_path):
    """A link, then a file below it: links are made last, so that the file meets none."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("top/d")
        link.type, link.linkname = tarfile.SYMTYPE, "e"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("top/d/x"), io.BytesIO())
    (tmp_path / "out").mkdir()
    with pytest.raises((ArchiveError, OSError)):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")


@given(st.lists(st.sampled_from(["a", "..", ".", "b"]), max_size=5), st.integers(1, 4))
def test_a_link_stays_within_as_the_file_system_would_have_it(parts, depth):
    """By words alone what `normpath` says."""
    place = ("top", *(["d"] * (depth - 1)), "link")
    target = "/".join(parts)
    wanted = os.path.normpath("/".join(["/top", *place[1:-1], target]))
    met = [os.path.normpath("/".join(["/top", *place[1:-1], *parts[:n]])) for n in range(1, len(parts) + 1)]
    inside = all(each == "/top" or each.startswith("/top/") for each in [*met, wanted])
    assert stays_within(place, target) == (inside and bool(target))


def test_a_bomb_is_bounded(tmp_path, monkeypatch):
    """Much out of little, and a header that is too large: refused before they are on disk or in memory."""
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", compresslevel=9) as tar:
        info = tarfile.TarInfo("top/zeros")
        info.size = 80 << 20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert (tmp_path / "a.tar.gz").stat().st_size * archive_file.MOST_RATIO > info.size
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(archive_file, "MOST_RATIO", 10)
    with pytest.raises(ArchiveError, match="room"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out/top").exists()
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 16 << 20
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.addfile(long, io.BytesIO(bytes(long.size)))
    tracemalloc.start()
    with pytest.raises(ArchiveError, match="header"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def fail_in_the_middle(target: Path, file: Path, error: BaseException) -> None:
    with writing(target, "top") as archive:
        archive.add("x", file)
        raise error


@pytest.mark.parametrize("suffix", [".tar.gz", SUFFIX])
def test_a_full_disk_leaves_no_half_file(tmp_path, suffix):
    """Whatever fails while it is written: the name is not there, and no temporary either."""
    (tmp_path / "x").write_bytes(os.urandom(100))
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail_in_the_middle(tmp_path / f"a{suffix}", tmp_path / "x", error)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    with pytest.raises(InputError, match=r"\.tar\.gz or \.tar\.zst"), writing(tmp_path / "a.zip", "top"):
        pass


def test_a_damaged_archive_is_said_to_be_one(tmp_path):
    """Cut at any place, or no archive at all: a sentence."""
    (tmp_path / "x").write_bytes(os.urandom(3000))
    with writing(tmp_path / "a.tar.gz", "top") as archive:
        archive.add("x", tmp_path / "x")
    whole = (tmp_path / "a.tar.gz").read_bytes()
    for cut in (0, 3, 20, len(whole) // 2, len(whole) - 3):
        (tmp_path / "b.tar.gz").write_bytes(whole[:cut])
        out = tmp_path / f"out{cut}"
        out.mkdir()
        with pytest.raises(ArchiveError):
            unpack(tmp_path / "b.tar.gz", out)
