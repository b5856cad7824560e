"""What wandb leaves of a run that was offline, read as it reads it."""

import struct
from pathlib import Path
from typing import Any


def wandb_records(path: Path) -> list[Any]:
    """The messages of an offline run, as wandb's own classes: it frames them in blocks of 32 KiB, as LevelDB does."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made when it is imported

    content, place, message, found = path.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if (rest := 32768 - place % 32768) < 7:
            place += rest
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(message)
            message = b""
            found.append(record)
    return found
