"""`scripts/lab/elf_glibc.py`: it edits what it knows and leaves everything else alone.

The edit itself is proved on Debian's Apptainer by `install-apptainer`, which runs the edited program.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import SCRIPTS, load, need

elf = load(SCRIPTS / "lab/elf_glibc.py")

# A library of our own that defines the symbols under the versions glibc has, and a program linked against it.
LIBRARY = """
long new(const char *text, char **end, int base) { return 42; }
long old(const char *text, char **end, int base) { return 7; }
long ancient(void) { return 1; }
__asm__(".symver new, __isoc23_strtol@@GLIBC_2.38");
__asm__(".symver old, strtol@@GLIBC_2.2.5");
__asm__(".symver ancient, ancient_thing@@GLIBC_2.2.5");
__asm__(".symver new, %(extra)s@@GLIBC_2.38");
"""
VERSIONS = """
GLIBC_2.2.5 { global: strtol; ancient_thing; local: *; };
GLIBC_2.38 { global: __isoc23_strtol; %(extra)s; } GLIBC_2.2.5;
"""
PROGRAM = """
extern long __isoc23_strtol(const char *, char **, int);
extern long ancient_thing(void);
extern long %(extra)s(const char *, char **, int);
int main(void) { ancient_thing(); return (int)%(called)s("1", 0, 10); }
"""


def compile_program(folder: Path, *, extra: str, called: str) -> Path:
    """A program that takes `called` from GLIBC_2.38 of a library which also has `extra` under that version."""
    need(shutil.which("g++"), "g++")
    names = {"extra": extra, "called": called}
    (folder / "library.c").write_text(LIBRARY % names, encoding="ascii")
    (folder / "versions").write_text(VERSIONS % names, encoding="ascii")
    (folder / "program.c").write_text(PROGRAM % names, encoding="ascii")
    compiler = ["g++", "-x", "c", "-fno-builtin"]
    subprocess.run(
        [
            *compiler,
            "-shared",
            "-fPIC",
            "library.c",
            "-o",
            "libours.so",
            "-Wl,--version-script=versions",
            "-Wl,-soname,libours.so",
        ],
        cwd=folder,
        check=True,
    )
    subprocess.run(
        [*compiler, "program.c", "-o", "program", "-L.", "-lours", "-Wl,-rpath,$ORIGIN", "-Wl,--as-needed"],
        cwd=folder,
        check=True,
    )
    return folder / "program"


def test_symbol_is_taken_from_its_twin(tmp_path: Path) -> None:
    """A program that called the new strtol calls the old one afterwards, and still runs."""
    program = compile_program(tmp_path, extra="unused_thing", called="__isoc23_strtol")
    assert subprocess.run([program], check=False).returncode == 42

    assert elf.main([str(program)]) == 0

    assert subprocess.run([program], check=False).returncode == 7
    assert elf.lower_glibc(bytearray(program.read_bytes())) == []


def test_unknown_symbol_is_refused(tmp_path: Path) -> None:
    """A program that wants anything else from the newer glibc stays as it was, byte for byte."""
    program = compile_program(tmp_path, extra="something_new", called="something_new")
    before = program.read_bytes()

    assert elf.main([str(program)]) == 1

    assert program.read_bytes() == before


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A program that needs nothing is not touched, a text is refused."""
    text = tmp_path / "text"
    text.write_text("#!/bin/sh\n", encoding="ascii")

    assert elf.lower_glibc(bytearray(Path(sys.executable).resolve().read_bytes())) == []
    with pytest.raises(elf.UnknownFileError, match="not a little-endian ELF64"):
        elf.lower_glibc(bytearray(text.read_bytes()))


def test_hash_is_the_one_of_the_linker() -> None:
    """The System V hash of the version names is the one written in the files on this machine."""
    image = elf.Elf(bytearray(Path(sys.executable).resolve().read_bytes()))
    stored = {need.name: struct.unpack_from("<I", image.data, need.position)[0] for need in image.versions()}

    assert b"GLIBC_2.2.5" in stored
    assert {name: elf.elf_hash(name) for name in stored} == stored
