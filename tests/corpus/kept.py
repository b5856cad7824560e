"""Cases that were answered rightly once: none may be lost, held out or not. Remembered by the hash of their names.

What is held out is never listed by its misses. But a case that was right and is wrong now is named, whatever part it
is of: it says what a change broke, and nothing of what was never understood.
"""

from collections.abc import Collection, Iterable, Sequence

from tests.corpus.answers import Answered
from tests.corpus.cases import HERE, Case, digest

FILE = HERE / "right.txt"


def key_of(case: Case) -> str:
    """The first ten hexadecimal digits of the hash of a case's name."""
    return digest(case).hex()[:10]


def load_kept() -> frozenset[str]:
    """Keys of the cases that were answered rightly or defensibly when the file was written last."""
    return frozenset(FILE.read_text(encoding="utf-8").split()) if FILE.exists() else frozenset()


def lost_cases(answers: Iterable[Answered], kept: Collection[str]) -> list[str]:
    """Names of the cases that are kept and are answered wrongly now, in file order."""
    return [a.case["id"] for a in answers if not a.defensible and key_of(a.case) in kept]


def renewed(answers: Sequence[Answered], kept: Collection[str], forget: Collection[str] = ()) -> list[str]:
    """Keys to keep from now on: the old ones still in the corpus and what is right now, without those to forget."""
    there = {key_of(a.case) for a in answers}
    forgotten = {key_of(a.case) for a in answers if a.case["id"] in forget and not a.defensible}
    return sorted((set(kept) & there | {key_of(a.case) for a in answers if a.defensible}) - forgotten)


def save_kept(keys: Iterable[str]) -> None:
    """Write the file, a key a line."""
    FILE.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
