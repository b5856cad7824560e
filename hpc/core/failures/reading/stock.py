"""Sentences that come with an error whatever it is: descriptions of codes, hints, help. Data, no procedure.

They are cut out of a line before rules see it. A row belongs here when the software prints it beside *every* error of
a kind, so that its words (malloc, socket, corrupted data, configuration) say nothing about this one.
"""

import re

from hpc.core.failures.engine import Finder

STOCK: tuple[tuple[str, str], ...] = (
    ("NCCL describes its codes", r"(?<=ncclSystemError: )System call \([^)]{0,80}\)[^.]{0,80}failed"
                                 r"(?: or device error)?\.?|(?<=ncclInternalError: )Internal check failed\.?"
                                 r"|(?<=ncclInvalidUsage: )This usually reflects invalid usage of NCCL library\.?"
                                 r"|\(run with NCCL_DEBUG=\w+ for details\)"),
    ("NCCL's watchdog explains itself", r"Some NCCL operations have failed or timed out\.?|Due to the asynchronous"
                                        r" nature of CUDA kernels,.{0,120}(?:corrupted/incomplete data"
                                        r"|inconsistent)\.?"
                                        r"|To avoid (?:data inconsistency|this),? we are taking the entire process"
                                        r" down\.?"),
    ("Hydra's help", r"Set the environment variable HYDRA_FULL_ERROR=1.{0,60}"),
    ("CUDA's help", r"CUDA kernel errors might be asynchronously reported.{0,120}|For debugging,? consider passing"
                    r" (?:CUDA|AMD|HIP)_\w+=1\.?|Compile with `?TORCH_USE_\w+`? to enable device-side assertions\.?"),
    ("torchrun's help", r"To enable traceback see: \S+"),
    ("a launcher repeats the command it ran", r"(?<=Command '\[')[^']{1,200}', .{1,1500}(?=\]' (?:returned|died))"),
    ("WRF says which file of its source stopped it", r"^FATAL CALLED FROM FILE: .{0,80}"),
    ("hints", r"^(?:hint|tip|help|note): .{0,400}$"),
    ("Open MPI's banner", r"Primary job\s{1,4}terminated normally, but.{0,120}|Per user-direction, the job has been"
                          r" aborted\.?"),
    ("Ray's help", r"The traceback below is from the worker.{0,80}|See the log files for more information"),
)  # fmt: skip

_STOCK = re.compile("|".join(f"(?:{pattern})" for _, pattern in STOCK), re.IGNORECASE)
_BEGINS = Finder(
    r"nccl|operations have|asynchron|inconsistency|HYDRA_FULL|CUDA kernel|debugging|TORCH_USE|enable trace|command '"
    r"|^(?:hint|tip|help|note): |^fatal called from|primary job|per user|see the log|traceback below|avoid this",
)


def without_stock(text: str) -> str:
    """A line without the sentences that say nothing about this error."""
    if not _BEGINS.found(text):
        return text
    left = _STOCK.sub(_kept, text).strip() or "·"
    return text[: len(text) - len(text.lstrip())] + left  # its depth says whether it is code of a traceback


def _kept(match: re.Match[str]) -> str:
    """Of a repeated command the program stays: which one failed does say something."""
    return match[0].split("'")[0] if match[0].count("', ") else ""
