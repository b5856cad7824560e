"""Which files of a project are no code: prose (README, LICENSE, notes at its top, ``docs/``), experiments. Pure.

A text elsewhere may be what a program reads: ``prompts/system.md`` is an input like any other.
"""

import re
from pathlib import PurePath

SUFFIXES = frozenset({".md", ".rst", ".adoc"})
_OUR_MANIFESTS = frozenset({"experiments", "clusters", "rendered", "schema"})
"""In ``manifests``; lists of audio files, as many a repository keeps there, are read by programs."""
_FOLDERS = frozenset({"docs", "doc"})
_ABOUT_THE_PROJECT = frozenset({
    "readme", "license", "licence", "copying", "notice", "authors", "contributors", "contributing", "maintainers",
    "changelog", "changes", "history", "news", "citation", "install", "security", "todo",
})  # fmt: skip
_BY_CUSTOM = re.compile(
    r"(README|LICEN[SC]E|COPYING|NOTICE|AUTHORS|CHANGELOG|CITATION)([-.][A-Z0-9][\w.+-]*?)?(\.txt|\.cff|\.bib)?"
)
"""As they are written by custom: ``authors.csv`` and ``copying.yaml`` are data."""


def is_prose(name: PurePath) -> bool:
    """Whether a file is prose.

    Args:
        name: Path inside the project.
    """
    if name.suffix.lower() not in SUFFIXES:
        return _BY_CUSTOM.fullmatch(name.name) is not None
    return is_about_the_project(name) or len(name.parts) == 1 or name.parts[0] in _FOLDERS


def is_manifest(name: PurePath) -> bool:
    """Whether a file is an experiment or a profile, or belongs to these.

    Args:
        name: Path inside the project.
    """
    return len(name.parts) > 1 and name.parts[0] == "manifests" and name.parts[1] in _OUR_MANIFESTS


def is_about_the_project(name: PurePath) -> bool:
    """Whether it is a README, a licence and the like, by its name alone."""
    return re.split(r"[-._]", name.name.lower())[0] in _ABOUT_THE_PROJECT
