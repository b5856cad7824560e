"""Let an ELF64 program that wants GLIBC_2.38 only for `strtol` run on an older glibc: `elf_glibc.py FILE…`.

Debian sid's Apptainer is linked against glibc 2.38 for nothing but the C23 spelling of `strtol` and its kin, which
differ from their C99 twins only in taking `0b…` literals. Two edits, in place, no byte moves:

* the dynamic names `__isoc23_strtol…` become `strtol…`;
* the record "needs version GLIBC_2.38" becomes "needs GLIBC_2.2.5", the version those twins have carried for ever.

A file in which anything else wants GLIBC_2.38, or any version above `OLDEST_GLIBC`, is refused and left as it was.
Field numbers and tags: the ELF-64 object file format, and the symbol versioning chapter of the Linux Standard Base.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from pathlib import Path

TWINS = {
    b"__isoc23_strtol": b"strtol",
    b"__isoc23_strtoul": b"strtoul",
    b"__isoc23_strtoll": b"strtoll",
    b"__isoc23_strtoull": b"strtoull",
}
TOO_NEW, LONG_THERE = b"GLIBC_2.38", b"GLIBC_2.2.5"
OLDEST_GLIBC = (2, 36)  # Debian 12

PT_LOAD, PT_DYNAMIC = 1, 2
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_GNU_HASH = 4, 5, 6, 0x6FFFFEF5
DT_VERSYM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
SYMBOL_BYTES = 24


class UnknownFileError(ValueError):
    """The file is not one this edit is known to be safe for."""


@dataclass(frozen=True)
class Segment:
    """One program header.

    Attributes:
        kind: `p_type`.
        offset: First byte in the file.
        address: First byte in memory.
        size: Bytes in the file.
    """

    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True)
class VersionNeed:
    """One `Vernaux` record: a version this file needs of one library.

    Attributes:
        position: Byte offset of the record in the file.
        index: The number by which symbols refer to it.
        name_at: Offset of the version's name in the dynamic string table.
        name: The version, as `GLIBC_2.34`.
        library: The `Verneed` record it hangs on, which is one per library.
    """

    position: int
    index: int
    name_at: int
    name: bytes
    library: int


class Elf:
    """The dynamic part of one ELF64 little-endian image held in memory."""

    def __init__(self, data: bytearray) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise UnknownFileError("not a little-endian ELF64 file")
        self.data = data
        self.segments = self._read_segments()
        self.dynamic = self._read_dynamic()
        self.strings = self.offset(self.dynamic[DT_STRTAB])
        self.symbols = self.offset(self.dynamic[DT_SYMTAB])

    def _read_segments(self) -> list[Segment]:
        (table,) = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        headers = (struct.unpack_from("<IIQQQQ", self.data, table + i * size) for i in range(count))
        return [Segment(kind, offset, address, length) for kind, _, offset, address, _, length in headers]

    def _read_dynamic(self) -> dict[int, int]:
        segment = next((s for s in self.segments if s.kind == PT_DYNAMIC), None)
        if segment is None:
            raise UnknownFileError("statically linked")
        pairs = struct.iter_unpack("<QQ", self.data[segment.offset : segment.offset + segment.size])
        return {tag: value for tag, value in pairs if tag}

    def offset(self, address: int) -> int:
        """Where the byte at this memory address lies in the file."""
        for s in self.segments:
            if s.kind == PT_LOAD and s.address <= address < s.address + s.size:
                return address - s.address + s.offset
        raise UnknownFileError(f"address {address:#x} is not in the file")

    def text(self, at: int) -> bytes:
        """The string at this offset of the dynamic string table."""
        start = self.strings + at
        return bytes(self.data[start : self.data.index(0, start)])

    def versions(self) -> list[VersionNeed]:
        """Every version of every library that this file needs."""
        found = []
        at = self.offset(self.dynamic[DT_VERNEED])
        for library in range(self.dynamic[DT_VERNEEDNUM]):
            _, count, _, first, following = struct.unpack_from("<HHIII", self.data, at)
            aux = at + first
            for _ in range(count):
                _, _, index, name_at, step = struct.unpack_from("<IHHII", self.data, aux)
                found.append(VersionNeed(aux, index & 0x7FFF, name_at, self.text(name_at), library))
                aux += step
            at += following
        return found

    def symbol_count(self) -> int:
        """Number of dynamic symbols, which ELF only states inside its hash tables."""
        if DT_HASH in self.dynamic:
            return int(struct.unpack_from("<I", self.data, self.offset(self.dynamic[DT_HASH]) + 4)[0])
        return max(self._gnu_hash_count(), (self.dynamic[DT_STRTAB] - self.dynamic[DT_SYMTAB]) // SYMBOL_BYTES)

    def _gnu_hash_count(self) -> int:
        table = self.offset(self.dynamic[DT_GNU_HASH])
        buckets, first, bloom, _ = struct.unpack_from("<IIII", self.data, table)
        bucket_table = table + 16 + 8 * bloom
        last = max(struct.unpack_from(f"<{buckets}I", self.data, bucket_table))
        if last < first:
            return int(first)
        chains = bucket_table + 4 * buckets
        while not struct.unpack_from("<I", self.data, chains + 4 * (last - first))[0] & 1:  # 1 ends a chain
            last += 1
        return int(last) + 1

    def symbol_names(self) -> list[int]:
        """Offset in the string table of each dynamic symbol's name."""
        return [
            struct.unpack_from("<I", self.data, self.symbols + SYMBOL_BYTES * i)[0] for i in range(self.symbol_count())
        ]

    def symbol_versions(self) -> list[int]:
        """Version index of each dynamic symbol."""
        count = self.symbol_count()
        found = struct.unpack_from(f"<{count}H", self.data, self.offset(self.dynamic[DT_VERSYM]))
        return [index & 0x7FFF for index in found]


def elf_hash(name: bytes) -> int:
    """The System V ABI's hash of a name."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def refuse_newer(versions: list[VersionNeed]) -> None:
    """Raise UnknownFileError when a version other than GLIBC_2.38 is too new for Debian 12."""
    numbered = [v.name for v in versions if v.name.startswith(b"GLIBC_2.") and v.name != TOO_NEW]
    newer = [name for name in numbered if tuple(int(n) for n in name[6:].split(b"."))[:2] > OLDEST_GLIBC]
    if newer:
        raise UnknownFileError(f"also needs {b', '.join(newer).decode()}")


def rename_symbols(elf: Elf, version: VersionNeed, versions: list[VersionNeed]) -> list[str]:
    """Rename each symbol of this version to its C99 twin; returns the old names."""
    names = elf.symbol_names()
    taken = names + [v.name_at for v in versions]
    wanting = [at for at, index in zip(names, elf.symbol_versions(), strict=True) if index == version.index]
    for at in wanting:
        name = elf.text(at)
        if name not in TWINS:
            raise UnknownFileError(f"{name.decode()} needs {TOO_NEW.decode()}")
        if any(at < other < at + len(name) for other in taken):
            raise UnknownFileError(f"another name shares the tail of {name.decode()}")
    renamed = {at: elf.text(at) for at in wanting}
    for at, name in renamed.items():
        start = elf.strings + at
        elf.data[start : start + len(name)] = TWINS[name].ljust(len(name), b"\0")
    return sorted(name.decode() for name in renamed.values())


def lower_glibc(data: bytearray) -> list[str]:
    """Edit the image in place.

    Args:
        data: The whole file.

    Returns:
        The symbols that were renamed; empty when the file needed nothing.

    Raises:
        UnknownFileError: when the edit is not known to be safe for this file. The data may then be half edited.
    """
    elf = Elf(data)
    versions = elf.versions()
    refuse_newer(versions)
    old = [v for v in versions if v.name == TOO_NEW]
    if not old:
        return []
    new = [v for v in versions if v.name == LONG_THERE and v.library == old[0].library]
    if len(old) != 1 or len(new) != 1:
        raise UnknownFileError(f"needs {TOO_NEW.decode()} of {len(old)} libraries")
    renamed = rename_symbols(elf, old[0], versions)
    struct.pack_into("<I", data, old[0].position, elf_hash(LONG_THERE))
    struct.pack_into("<I", data, old[0].position + 8, new[0].name_at)
    return renamed


def main(paths: list[str]) -> int:
    """Edit each file; the first that is refused ends the run with 1."""
    for path in paths:
        data = bytearray(Path(path).read_bytes())
        try:
            renamed = lower_glibc(data)
        except UnknownFileError as error:
            print(f"elf_glibc: {path}: {error}", file=sys.stderr)  # noqa: T201 - a command line program
            return 1
        Path(path).write_bytes(data)
        print(f"{path}: {', '.join(renamed) or 'nothing to do'}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
