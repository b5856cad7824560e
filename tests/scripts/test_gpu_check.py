"""`make gpu-check` where there is no GPU, and the page it writes where there is one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.parts import REPOSITORY, load

RESULTS = """<testsuites><testsuite>
<testcase classname="tests.gpu.test_training" name="test_bf16" time="12.4"/>
<testcase classname="tests.gpu.test_training" name="test_two" time="0.1"><skipped message="needs two GPUs"/></testcase>
<testcase classname="tests.gpu.test_training" name="test_memory" time="31"><failure message="no">…</failure></testcase>
</testsuite></testsuites>"""


def torch_with(count: int, cuda_version: str | None = "12.8") -> ModuleType:
    """What of PyTorch it asks, on a machine with so many GPUs."""
    gpu = SimpleNamespace(name="H100", total_memory=80 * 2**30)
    cuda = SimpleNamespace(
        is_available=lambda: count > 0, device_count=lambda: count, get_device_properties=lambda _: gpu
    )
    module = ModuleType("torch")
    version = SimpleNamespace(cuda=cuda_version, hip=None)
    module.__dict__.update(cuda=cuda, __version__="2.13", version=version)
    return module


NO_GPU = "gpu-check: no GPU here (torch.cuda.is_available() is false); nothing was checked"
NO_CUDA = (
    "gpu-check: this PyTorch (2.13) is built without CUDA; where there is a GPU, make clean setup installs one that has"
    "; nothing was checked"
)
NO_TORCH = "gpu-check: PyTorch is not installed: make setup; nothing was checked"


@pytest.mark.parametrize(
    ("torch", "said"),
    [(torch_with(0), NO_GPU), (torch_with(0, None), NO_CUDA), (None, NO_TORCH)],
    ids=["no GPU", "a build for CPUs", "no PyTorch"],
)
def test_without_a_gpu_it_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], torch: ModuleType | None, said: str
) -> None:
    """Code 75 (try elsewhere) and what is missing; the record of an earlier check stays."""
    check = load(REPOSITORY / "benchmarks/gpu_check.py")
    monkeypatch.setitem(sys.modules, "torch", torch)
    before = check.PAGE.read_text()
    assert check.main() == 75
    assert capsys.readouterr().err.splitlines() == [said]
    assert check.PAGE.read_text() == before


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_without_a_gpu_ends_with_makes_own_code(tmp_path: Path) -> None:
    """The sentence, then make's "Error 75" and 2, as its page and CONTRIBUTING say: make hands on no code."""
    (tmp_path / "torch.py").write_text(
        "from types import SimpleNamespace as S\nversion, cuda = S(cuda='12.8', hip=None), S(is_available=bool)\n"
    )
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that may run these tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment |= {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "LC_ALL": "C"}
    line = ["make", "--old-file", ".venv/.ready", f"PY={sys.executable}", "gpu-check"]  # nothing is set up anew
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    sentence, of_make = done.stderr.splitlines()
    assert sentence == NO_GPU
    assert "gpu-check] Error 75" in of_make
    for page in ("docs/gpu-check.md", "CONTRIBUTING.md"):
        assert "`Error 75`" in (REPOSITORY / page).read_text(encoding="utf-8")


def test_a_part_of_the_tests_leaves_the_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With arguments for pytest the page would claim less than was checked before; all tests write it."""
    check = load(REPOSITORY / "benchmarks/gpu_check.py")
    monkeypatch.setitem(sys.modules, "torch", torch_with(1))
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "PAGE", tmp_path / "gpu-check.md")

    def pretend(line: list[str], **_: object) -> SimpleNamespace:
        for word in line:
            if word.startswith("--junitxml="):
                Path(word.removeprefix("--junitxml=")).write_text(RESULTS)
        return SimpleNamespace(returncode=0, stdout="abc1234")

    monkeypatch.setattr(check, "subprocess", SimpleNamespace(run=pretend, TimeoutExpired=TimeoutError))
    monkeypatch.setattr(sys, "argv", ["gpu_check", "-k", "bf16"])
    assert check.main() == 0
    assert "gpu-check.md stays" in capsys.readouterr().out
    assert not check.PAGE.exists()
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert check.main() == 0
    assert "`test_bf16` | passed" in check.PAGE.read_text()


def test_the_record_says_what_each_test_came_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the machine it was; what was left out with its reason."""
    check = load(REPOSITORY / "benchmarks/gpu_check.py")
    monkeypatch.setitem(sys.modules, "torch", torch_with(1))
    (tmp_path / "results.xml").write_text(RESULTS)
    page = check.page(tmp_path / "results.xml", 44.0)
    assert "1 × H100 (80 GiB), PyTorch 2.13, CUDA 12.8" in page
    assert page.splitlines()[-3:] == [
        "| `test_bf16` | passed | 12 s |",
        "| `test_two` | left out: needs two GPUs | 0 s |",
        "| `test_memory` | failed | 31 s |",
    ]
