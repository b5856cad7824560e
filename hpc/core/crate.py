"""``ro-crate-metadata.json``: what an archived experiment is, as RO-Crate 1.1 (JSON-LD) has it. Pure.

https://www.researchobject.org/ro-crate/specification/1.1/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAME = "ro-crate-metadata.json"
SUMS = "SHA256SUMS"
_PROFILE = "https://w3id.org/ro/crate/1.1"
_AS_IT_IS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/=+,@")
_FORMATS = {
    "json": "application/json", "jsonl": "application/jsonl", "h5": "application/x-hdf5", "csv": "text/csv",
    "html": "text/html", "md": "text/markdown", "yaml": "application/yaml", "svg": "image/svg+xml", "png": "image/png",
    "pdf": "application/pdf",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file that is described by itself.

    Attributes:
        path: Below the experiment's folder.
        size: Bytes.
        sha256: Its digest.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RunInCrate:
    """A run.

    Attributes:
        name: Name of its folder.
        outcome: What it came to.
        parameters: Parameter → value, the seed included.
        values: Final metric → value.
    """

    name: str
    outcome: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Crate:
    """An archived experiment.

    Attributes:
        experiment: Its name.
        description: What it asks, in words.
        published: When it was collected last, else planned, as ``2026-11-30T08:00:00Z``.
        software: What made it, with version.
        code: Folder of the code it was made with; empty where that is not archived.
        files: Files that are described by themselves.
        runs: Its runs.
    """

    experiment: str
    description: str
    published: str
    software: str
    code: str = ""
    files: Sequence[Member] = ()
    runs: Sequence[RunInCrate] = ()


def crate_json(crate: Crate) -> dict[str, Any]:
    """The metadata as JSON, flat and in a fixed order."""
    runs = [_run(each) for each in crate.runs]
    files = [_file(each) for each in crate.files]
    values = [value for each in crate.runs for value in _values(each)]
    code = [{"@id": _folder(crate.code), "@type": ["Dataset", "SoftwareSourceCode"], "name": "the code as it ran"}]
    parts = [*(code if crate.code else []), *files, *runs]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": crate.experiment,
        "description": crate.description,
        "datePublished": crate.published,
        "license": "No licence was declared: ask the authors before you use or share it.",
        "hasPart": [{"@id": each["@id"]} for each in parts],
        "mentions": {"@id": "#experiment"},
    }
    action = {
        "@id": "#experiment",
        "@type": "CreateAction",
        "name": crate.experiment,
        "endTime": crate.published,
        "instrument": {"@id": "#software"},
        "object": [{"@id": each["@id"]} for each in (code if crate.code else [])],
        "result": [{"@id": each["@id"]} for each in runs],
    }
    software = {"@id": "#software", "@type": "SoftwareApplication", "name": crate.software}
    descriptor = {"@id": NAME, "@type": "CreativeWork", "conformsTo": {"@id": _PROFILE}, "about": {"@id": "./"}}
    return {"@context": f"{_PROFILE}/context", "@graph": [descriptor, root, *parts, action, software, *values]}


def _file(member: Member) -> dict[str, Any]:
    told = {
        "@id": _id(member.path),
        "@type": "File",
        "name": member.path.rpartition("/")[2],
        "contentSize": str(member.size),
        "sha256": member.sha256,
    }
    suffix = member.path.rpartition(".")[2]
    return {**told, "encodingFormat": _FORMATS[suffix]} if suffix in _FORMATS else told


def _run(run: RunInCrate) -> dict[str, Any]:
    return {
        "@id": _folder(f"tasks/{run.name}"),
        "@type": "Dataset",
        "name": run.name,
        "description": f"one run of the experiment: {run.outcome}",
        "variableMeasured": [{"@id": each["@id"]} for each in _values(run)],
    }


def _values(run: RunInCrate) -> list[dict[str, Any]]:
    """Settings and results of a run, as entities of their own."""
    told = [("parameter", name, value) for name, value in run.parameters.items()]
    told += [("result", name, value) for name, value in run.values.items()]
    return [
        {
            "@id": f"#{_quoted(run.name)}/{kind}/{_quoted(str(name)).replace('/', '%2F')}",
            "@type": "PropertyValue",
            "name": str(name),
            "value": value if isinstance(value, str | int | float | bool) else str(value),
        }
        for kind, name, value in told
    ]


def _folder(path: str) -> str:
    return f"{_id(path).rstrip('/')}/"


def _id(path: str) -> str:
    """A path as a relative URI."""
    return _quoted(path)


def _quoted(text: str) -> str:
    """As URIs have it: what they do not take as it is, byte by byte."""
    return "".join(
        chr(byte) if byte in _AS_IT_IS else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape")
    )


def sums_line(path: str, sha256: str) -> str:
    r"""A line as ``sha256sum`` writes and reads it: a name with a backslash or line end is escaped, and says so."""
    safe = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if safe == path else chr(92)}{sha256}  {safe}\n"


def read_sums(text: str) -> dict[str, str]:
    """Path → digest, of lines that `sums_line` wrote.

    Raises:
        ValueError: A line is none.
    """
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            continue
        escaped = line.startswith("\\")
        digest, gap, name = line.removeprefix("\\").partition("  ")
        if len(digest) != 64 or not gap or not name:
            raise ValueError(f"{line[:80]!r} is not a line of {SUMS}")
        found[_unescaped(name) if escaped else name] = digest
    return found


def _unescaped(name: str) -> str:
    parts = name.split("\\\\")
    return "\\".join(part.replace("\\n", "\n").replace("\\r", "\r") for part in parts)
