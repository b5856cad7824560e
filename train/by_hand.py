"""What a run that was started by hand leaves for people: config.yaml, metrics.json and train.log.

Under the toolkit its wrapper writes them for every program, and nothing is written here.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

from hpc.adapters.files import make_folder, read_json_or_none, write_json, write_text
from hpc.core.errors import EXIT_CHECKPOINTED, EXIT_DONE

_OUTCOMES = {EXIT_DONE: "finished", EXIT_CHECKPOINTED: "checkpointed"}


def is_by_hand() -> bool:
    """Whether no launcher of ours looks after this run, and this process is the one that writes."""
    return not os.environ.get("HPC_ATTEMPT_DIR") and os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class HandRecord:
    """The folder of a run by hand.

    Attributes:
        folder: Where the three files are.
        log: What all that is printed goes into, too.
        streams: Standard output and error as they were.
    """

    folder: Path
    log: TextIO
    streams: tuple[TextIO, TextIO]

    @classmethod
    def begin(cls, folder: Path, arguments: Mapping[str, object], *, resumes: bool) -> Self:
        """Write the configuration, and from here on all that is printed into the log, too.

        Args:
            folder: Made where it is missing.
            arguments: Every argument, defaults included.
            resumes: The log is continued; else it begins anew.
        """
        make_folder(folder)
        described = {"command": shlex.join(sys.orig_argv), **arguments}
        # Each value in JSON, which YAML 1.2 contains.
        lines = [f"{name}: {json.dumps(value, default=str)}\n" for name, value in described.items()]
        write_text(folder / "config.yaml", "".join(lines))
        (folder / "metrics.json").unlink(missing_ok=True)  # it tells of an earlier end
        log = (folder / "train.log").open("a" if resumes else "w", encoding="utf-8", buffering=1)
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (_Copied(stream, log) for stream in streams)
        return cls(folder, log, streams)

    def finish(self, code: int, **told: object) -> None:
        """Write how it ended beside the final values, and close the log.

        Args:
            code: Exit code.
            told: What else there is to say of the end.
        """
        left = read_json_or_none(self.folder / "summary.json") or {}
        outcome = _OUTCOMES.get(code, "failed")
        head = {"outcome": outcome, "exit_code": code, **told, "complete": left.get("complete") is True}
        write_json(self.folder / "metrics.json", {**head, **left.get("summary", {})})
        sys.stdout, sys.stderr = self.streams
        self.log.close()


class _Copied:
    """A stream whose text goes into a log, too; all else is the stream's own."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
