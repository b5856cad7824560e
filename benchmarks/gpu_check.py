"""The tests that need a GPU, and their record in docs/gpu-check.md.

    make gpu-check          under ten minutes; one test alone: python -m benchmarks.gpu_check -k bf16

Without a GPU: exit code 75 and one sentence (make says "Error 75" and ends with its own code 2). The page is written
of all tests only: it stays as it is without a GPU, and where arguments for pytest are given.
"""

import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/gpu-check.md"
NO_GPU = 75
LIMIT_S = 600


def outcome(case: ET.Element) -> str:
    """What a test came to, with the reason where it was skipped."""
    for name in ("failure", "error"):
        if case.find(name) is not None:
            return "failed"
    skipped = case.find("skipped")
    return "passed" if skipped is None else f"left out: {(skipped.get('message') or '').removeprefix('Skipped: ')}"


def page(results: Path, seconds: float) -> str:
    """The record as a page."""
    import torch

    gpu = torch.cuda.get_device_properties(0)
    cases = ET.parse(results).iter("testcase")  # noqa: S314 pytest wrote it a moment ago
    told = ((case.get("name"), outcome(case), float(case.get("time", 0))) for case in cases)
    rows = "\n".join(f"| `{name}` | {how} | {took:.0f} s |" for name, how, took in told)
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    count = torch.cuda.device_count()
    return (
        "# What was checked on a GPU\n\n"
        f"`make gpu-check` on {time.strftime('%Y-%m-%d')}, commit {commit}: {count} × {gpu.name} "
        f"({gpu.total_memory / 2**30:.0f} GiB), PyTorch {torch.__version__}, CUDA {torch.version.cuda}, Python "
        f"{platform.python_version()}; {seconds:.0f} s.\n\n"
        f"| test (`tests/gpu`) | came to | took |\n|---|---|---:|\n{rows}\n"
    )


def why_none() -> str:
    """Why PyTorch has no GPU here; empty where it has one."""
    try:
        import torch
    except ImportError:
        return "PyTorch is not installed: make setup"
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        mended = "where there is a GPU, make clean setup installs one that has"
        return f"this PyTorch ({torch.__version__}) is built without CUDA; {mended}"
    return "no GPU here (torch.cuda.is_available() is false)"


def main() -> int:
    """Run from the command line; return the exit code."""
    if reason := why_none():
        print(f"gpu-check: {reason}; nothing was checked", file=sys.stderr)
        return NO_GPU
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        line = [sys.executable, "-m", "pytest", "-q", "tests/gpu", f"--junitxml={results}", "-p", "no:cacheprovider"]
        began = time.monotonic()
        try:
            code = subprocess.run([*line, *sys.argv[1:]], cwd=ROOT, check=False, timeout=LIMIT_S).returncode
        except subprocess.TimeoutExpired:
            less = "python -m benchmarks.gpu_check -k bf16"
            print(f"gpu-check: not done after {LIMIT_S} s; run less of it: {less}", file=sys.stderr)
            return 1
        if not results.exists():
            return code or 1
        if sys.argv[1:]:
            print(f"gpu-check: {PAGE.relative_to(ROOT)} stays: it is the record of all tests, without arguments")
            return code
        PAGE.write_text(page(results, time.monotonic() - began), encoding="utf-8")
    print(f"gpu-check: wrote {PAGE.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
