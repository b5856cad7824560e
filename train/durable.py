"""Files of tensors that survive a crash: whole or absent."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from hpc.adapters.files import make_folder


def write_tensors(path: Path, value: Any) -> None:
    """Write and sync one file. Where it may be read meanwhile, use `replace_tensors`.

    Serialised in memory first: a full disk then says "No space left on device", not torch's "unexpected pos".
    """
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with path.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def replace_tensors(path: Path, value: Any) -> None:
    """Replace a file as a whole: temporary file beside it, sync, rename."""
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.tmp")
    write_tensors(partial, value)
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
